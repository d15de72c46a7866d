"""How unlike the training images an image is, and how well that tells anomalies from normal images (chapter 06)."""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score
from torch import Tensor

from cae_lib.data import Dataset
from cae_lib.metrics import as_rows, decode, encode, pca_encode, pixels, require
from cae_lib.model import ConvAutoencoder
from report.measures.neighbours import neighbour_distance


def score_images(model: ConvAutoencoder | PCA, dataset: Dataset, images, reference: int = 10_000):
    """`anomaly_scores` of images, as `codes_and_errors` takes them, by one model: name to (N,).

    They are held against the first `reference` training images and all validation images.
    """
    parts = dataset.train_images[:reference], dataset.validation_images, images
    return anomaly_scores(*(codes_and_errors(model, part) for part in parts))


def codes_and_errors(model: ConvAutoencoder | PCA, images: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, D) and squared errors (N, n, n) of images, by the autoencoder or by PCA.

    The images are uint8 (N, 1, n, n) or floats (N, n, n) in [0, 1].
    """
    x = pixels(images) if isinstance(images, Tensor) else images
    if isinstance(model, PCA):
        z = pca_encode(model, x)
        x_hat = model.inverse_transform(z).reshape(x.shape)
    else:
        z = encode(model, x)
        x_hat = decode(model, z)
    return z, np.square(x - x_hat)


def anomaly_scores(train, validation, query, k=5):
    """How unlike the training images each query is, by four scores: name to (N,), higher = more anomalous.

    An argument is a pair: codes (N, D), squared errors (N, H, W). Codes are measured in units of the training codes'
    covariance (Ledoit & Wolf 2004), errors in those of each pixel's usual error, its training mean plus the median of
    all pixels' means. `reconstruction`: mean squared error, in pixels' own units. `mahalanobis`: distance of the code
    from the mean code. `neighbours`: mean distance to the k nearest training codes. `combined`: mean of the logarithms
    of neighbours and of the relative error, each standardised on the validation images.
    """
    known = fit_reference(*train)
    codes = known.whiten(train[0])
    held, parts = (known.logarithms(*pair, codes, k) for pair in (validation, query))
    z_scores = (parts - held.mean(axis=1, keepdims=True)) / held.std(axis=1, keepdims=True)
    away = np.linalg.norm(known.whiten(query[0]), axis=1)
    scores = {"reconstruction": query[1].mean(axis=(1, 2)), "neighbours": np.exp(parts[0]), "mahalanobis": away}
    return scores | {"combined": z_scores.mean(axis=0)}


class Reference(NamedTuple):
    """The units in which `anomaly_scores` measures: what is usual among the training images."""

    mean: np.ndarray  # (D,), the codes'
    root: np.ndarray  # (D, D): distances between codes @ root are Mahalanobis distances
    usual: np.ndarray  # (H, W), the squared error

    def whiten(self, z) -> np.ndarray:
        """Codes (N, D) around zero, in units of the training codes' covariance."""
        return (np.asarray(z, dtype=np.float64) - self.mean) @ self.root

    def logarithms(self, z, errors, codes, k=5) -> np.ndarray:
        """The two parts of the combined score (2, N) of codes and squared errors, neighbours among whitened `codes`."""
        parts = neighbour_distance(codes, self.whiten(z), k), (errors / self.usual).mean(axis=(1, 2))
        return np.log(np.maximum(parts, 1e-12))


def fit_reference(z, errors) -> Reference:
    """The reference of the training images' codes (N, D) and squared errors (N, H, W)."""
    covariance = LedoitWolf().fit(as_rows("train", z).astype(np.float64))
    usual = errors.mean(axis=0)  # (H, W)
    usual = np.maximum(usual + np.median(usual), 1e-12)  # a pixel that is always black must not decide alone
    return Reference(covariance.location_, np.linalg.cholesky(covariance.precision_), usual)


def auroc(normal, anomalous):
    """Chance that an anomaly scores higher than a normal image, a tie counted half: in [0, 1]; .5 = guessing.

    The area under the ROC curve: U / (n m) of Mann & Whitney 1947, from scores (n,) and (m,).
    """
    ranks = rankdata(np.concatenate([_as_scores("normal", normal), _as_scores("anomalous", anomalous)]))[len(normal) :]
    return float((ranks.mean() - (len(anomalous) + 1) / 2) / len(normal))


def average_precision(normal, anomalous):
    """Mean, over the anomalies, of their share among all that score as high: in [0, 1]; 1 = they all come first.

    From scores (n,) and (m,), as scikit-learn's; guessing gives m / (n + m).
    """
    scores = np.concatenate([_as_scores("normal", normal), _as_scores("anomalous", anomalous)])
    return float(average_precision_score(np.arange(len(scores)) >= len(normal), scores))


def bootstrap(normal, anomalous, draws=200, seed=0):
    """AUROC and average precision of resampled scores: (2, draws); their quantiles are intervals (Efron 1979).

    Normals (n,) and anomalies (m,) are drawn apart, with replacement. One seed draws the same images whatever the
    score, so two scores may be compared draw by draw. The scores are sorted once; a draw only counts them anew.
    """
    normal, anomalous = _as_scores("normal", normal), _as_scores("anomalous", anomalous)
    rng, n, m = np.random.default_rng(seed), len(normal), len(anomalous)
    scores = -np.concatenate([normal, anomalous])
    order = np.argsort(scores)
    is_anomaly = order >= n
    first, last = (np.searchsorted(scores[order], scores[order], side) for side in ("left", "right"))  # of equal ones
    areas = np.empty((2, draws))
    for i in range(draws):
        drawn = [np.bincount(rng.integers(size, size=size), minlength=size) for size in (n, m)]
        count = np.concatenate(drawn)[order]
        found, seen = (np.concatenate([[0], np.cumsum(c)]) for c in (count * is_anomaly, count))  # before each place
        areas[0, i] = (count * ~is_anomaly * (found[first] + found[last])).sum() / (2 * n * m)
        areas[1, i] = (count * is_anomaly * found[last] / np.maximum(seen[last], 1)).sum() / m
    return areas


def _as_scores(name, scores):
    scores = np.asarray(scores, dtype=np.float64)
    ok = scores.ndim == 1 and scores.size and np.isfinite(scores).all()
    require(ok, name, f"scores of shape {scores.shape}", "finite ones (N,), N > 0")
    return scores
