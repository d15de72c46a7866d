"""The checks of chapter 06's exercises: damage that escapes, pairs, an alarm, rare anomalies, a bottleneck."""

import numpy as np
from sklearn.decomposition import PCA

from report.measures import anomalies

FALSE_ALARMS = 0.05
RARER = 10  # every tenth anomaly is kept
COMPONENTS = (1, 4, 16)


def least_found(answer, auroc) -> bool:
    """The kind of damage with the lowest AUROC; `auroc` is a series under the kinds' names."""
    return isinstance(answer, str) and answer in auroc.index and bool(auroc[answer] == auroc.min())


def auroc_of_pairs(answer, normal, anomalous) -> bool:
    """The share of pairs in which the anomaly scores higher, a tie counted half: in [0, 1], within 0.001."""
    return bool(abs(float(answer) - anomalies.auroc(normal, anomalous)) < 0.001)


def found_by_alarm(answer, normal, anomalous) -> bool:
    """The share of anomalies above the 95th percentile of the normal scores: in [0, 1], within 0.002."""
    threshold = np.quantile(normal, 1 - FALSE_ALARMS)
    return bool(abs(float(answer) - np.mean(np.asarray(anomalous) > threshold)) < 0.002)


def rare_anomalies(answer, normal, anomalous) -> bool:
    """[AUROC, average precision] with every tenth anomaly, each within 0.001."""
    rare = np.asarray(anomalous)[::RARER]
    return _close(answer, [anomalies.auroc(normal, rare), anomalies.average_precision(normal, rare)], 0.001)


def narrow_bottleneck(answer, known, normal, strange) -> bool:
    """The AUROC of PCA's mean squared error with 1, 4 and 16 components, each within 0.01.

    PCA is fitted to the images `known` and tells `strange` from `normal`, all (N, n, n).
    """
    rows = [np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (known, normal, strange)]
    pca = PCA(max(COMPONENTS), random_state=0).fit(rows[0])
    found = []
    for count in COMPONENTS:
        axes = pca.components_[:count]
        left = [x - pca.mean_ - (x - pca.mean_) @ axes.T @ axes for x in rows[1:]]
        found.append(anomalies.auroc(*(np.square(x).mean(axis=1) for x in left)))
    return _close(answer, found, 0.01)


def _close(answer, wanted, tolerance) -> bool:
    answer = np.asarray(answer, dtype=np.float64)
    return answer.shape == (len(wanted),) and bool(np.all(np.abs(answer - wanted) < tolerance))
