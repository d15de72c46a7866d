"""What the page's "Your own picture" is given: the encoder, the anomaly score of chapter 06, images to begin from.

It is a script apart, encoder.js: a browser loads it when a reader comes there.
"""

import json

import numpy as np

from cae_lib.data import Dataset
from cae_lib.run import Run
from explore.export import middles
from explore.network import base64_of, portable
from imports import pixels
from report.measures import anomalies

TRAINING = 10_000  # images whose codes and errors are the score's units, as in chapter 06
KNOWN = 500  # training codes among which neighbours are looked for; chapter 06 has all of TRAINING
NEIGHBOURS = 5  # as in chapter 06
ALARM = 0.95  # of the validation images score lower than the threshold
EXAMPLES = 10


def fit_score(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """The numbers of chapter 06's combined score, its neighbours among KNOWN training images, each in one byte.

    `known` (M, D) int8, whitened codes in units of `step` (1,); `mean` (D,), `root` (D, D) and `usual` (n, n) of
    `anomalies.Reference`; `centre` and `spread` (2,) of the score's parts on the validation images; `quantiles` (101,)
    of their scores, from the least to the greatest; `alarm`, which of them is the threshold.
    """
    model = run.model()
    train = anomalies.codes_and_errors(model, dataset.train_images[:TRAINING])
    reference = anomalies.fit_reference(*train)
    whitened = reference.whiten(train[0][:KNOWN])
    step = np.abs(whitened).max() / 127
    known = np.rint(whitened / step).astype(np.int8)
    validation = anomalies.codes_and_errors(model, dataset.validation_images)
    parts = reference.logarithms(*validation, known * step, min(NEIGHBOURS, len(known)))
    centre, spread = parts.mean(axis=1), parts.std(axis=1)
    fitted = dict(known=known, step=np.array([step]), **reference._asdict(), centre=centre, spread=spread)
    scores = combine(fitted, parts)
    return fitted | dict(quantiles=np.quantile(scores, np.linspace(0, 1, 101)), alarm=np.array(100 * ALARM, int))


def combine(fitted: dict[str, np.ndarray], parts: np.ndarray) -> np.ndarray:
    """The score (N,) of its two parts (2, N)."""
    return ((parts - fitted["centre"][:, None]) / fitted["spread"][:, None]).mean(axis=0)


def score(fitted: dict[str, np.ndarray], z: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The score (N,) of codes (N, D) and squared errors (N, n, n), as book/explore/score.js computes it."""
    reference = anomalies.Reference(*(fitted[name] for name in anomalies.Reference._fields))
    known = fitted["known"] * fitted["step"]
    return combine(fitted, reference.logarithms(z, errors, known, min(NEIGHBOURS, len(known))))


def threshold(fitted: dict[str, np.ndarray]) -> float:
    """The score above which the page calls an image strange."""
    return float(fitted["quantiles"][fitted["alarm"]])


def export(run: Run, dataset: Dataset, points: np.ndarray, fitted: dict[str, np.ndarray]) -> dict[str, bytes]:
    """The script by its name; the images to begin from are on the map, at `points` (N, 2), in the midst of a class."""
    model, labels = run.model(), dataset.test_labels[: len(points)].numpy()
    rows = list(middles(points, labels).values())[:EXAMPLES]
    numbers = {name: fitted[name] for name in ("step", "mean", "usual", "centre", "spread", "quantiles")}
    numbers["root"] = fitted["root"][np.tril_indices(len(fitted["root"]))]  # above the diagonal it is zero
    known = dict(known=base64_of(fitted["known"], "i1"), alarm=int(fitted["alarm"]), neighbours=NEIGHBOURS)
    told = dict(
        encoder=portable(model.encoder, model.sizes),
        score={name: base64_of(values, "<f4") for name, values in numbers.items()} | known,
        examples=dict(rows=rows, pixels=base64_of(dataset.test_images[rows, 0].numpy(), "u1")),
        mostPixels=pixels.PIXELS,
    )
    return {"encoder.js": f"globalThis.exploreOwn = {json.dumps(told, separators=(',', ':'))};\n".encode()}
