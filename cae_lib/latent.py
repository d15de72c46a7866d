"""Between images and codes: encode, decode, project, interpolate; and PCA as the linear model beside the autoencoder.

Images are uint8 tensors (N, 1, n, n) or float arrays in [0, 1]; codes are float32 arrays (N, latent_dim).
"""

import io

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

from cae_lib import metrics
from cae_lib.data import Dataset
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run


def pixels(images: Tensor) -> np.ndarray:
    """uint8 (N, 1, n, n) → float32 (N, n, n) in [0, 1]."""
    return images[:, 0].numpy().astype(np.float32) / 255


@torch.inference_mode()
def encode(model: ConvAutoencoder, images: Tensor | np.ndarray) -> np.ndarray:
    """Codes (N, latent_dim) of uint8 images (N, 1, n, n) or of floats (N, n, n) in [0, 1]."""
    x = torch.as_tensor(pixels(images) if isinstance(images, Tensor) else images, dtype=torch.float32)
    return torch.cat([model.encode(chunk) for chunk in x[:, None].split(1000)]).numpy()


@torch.inference_mode()
def decode(model: ConvAutoencoder, z: np.ndarray) -> np.ndarray:
    """Images (..., n, n) in [0, 1] of codes (..., latent_dim)."""
    chunks = torch.as_tensor(z, dtype=torch.float32).flatten(end_dim=-2).split(1000)
    x_hat = torch.cat([model.decode(chunk)[:, 0] for chunk in chunks]).numpy()
    return x_hat.reshape(*z.shape[:-1], *x_hat.shape[1:])


def codes(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """Codes of the three splits: train, validation, test, each (N, latent_dim); computed once, kept in latents.npz."""

    def compute():
        model = run.model()
        return {name: encode(model, images) for name, images in _splits(dataset)}

    return run.cached("latents", compute, data=dataset.sha256)


def pca_codes(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """The same three splits by PCA with as many components as the model has; computed once, kept in pca_codes.npz."""

    def compute():
        pca = fit_pca(dataset, run.config.latent_dim)
        return {name: pca.transform(_rows(pixels(images))) for name, images in _splits(dataset)}

    return run.cached("pca_codes", compute, data=dataset.sha256)


def fit_pca(dataset: Dataset, components: int) -> PCA:
    """The best linear autoencoder: PCA of the training pixels with as many components (Jolliffe & Cadima 2016).

    Fewer where there are fewer pixels or fewer training images: then it is exact on them.
    """
    x = _rows(pixels(dataset.train_images))
    return PCA(min(components, *x.shape), svd_solver="covariance_eigh").fit(x)


def pca_reconstruct(pca: PCA, images: Tensor) -> np.ndarray:
    """Images (N, n, n) through PCA and back; not clipped, so values may overshoot [0, 1]."""
    x = pixels(images)
    return pca.inverse_transform(pca.transform(x.reshape(len(x), -1))).reshape(x.shape).astype(np.float32)


def codes_and_errors(model: ConvAutoencoder | PCA, images: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, D) and squared errors (N, n, n) of images, as `encode` takes them, by the autoencoder or by PCA."""
    x = pixels(images) if isinstance(images, Tensor) else images
    if isinstance(model, PCA):
        z = model.transform(_rows(x))
        x_hat = model.inverse_transform(z).reshape(x.shape)
    else:
        z = encode(model, x)
        x_hat = decode(model, z)
    return z, np.square(x - x_hat)


def anomaly_scores(model: ConvAutoencoder | PCA, dataset: Dataset, images, reference: int = 10_000):
    """`metrics.anomaly_scores` of images against the first `reference` training images and all validation images."""
    parts = dataset.train_images[:reference], dataset.validation_images, images
    return metrics.anomaly_scores(*(codes_and_errors(model, part) for part in parts))


def pca_map(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Map (N, 2) of points (N, ...) onto their two principal axes; every axis' share of their variance, falling."""
    rows = _rows(z)
    pca = PCA(svd_solver="covariance_eigh").fit(rows)
    return pca.transform(rows)[:, :2], pca.explained_variance_ratio_


def tsne(z: np.ndarray, seed: int, perplexity: float = 30.0, init: str = "pca") -> np.ndarray:
    """Map (N, 2) of points (N, ...) by t-SNE (van der Maaten & Hinton 2008) from a start by "pca" or at "random".

    From PCA the seed hardly matters. A perplexity that N points cannot give is lowered to (N - 1) / 3.
    """
    perplexity = min(perplexity, (len(z) - 1) / 3)
    return TSNE(perplexity=perplexity, init=init, random_state=seed, n_jobs=-1).fit_transform(_rows(z))


def quantise(z: np.ndarray, low: np.ndarray, step: np.ndarray, levels) -> tuple[np.ndarray, np.ndarray]:
    """Each number of z (N, D) as the cell it falls into and as that cell's middle: int64 and float32, both (N, D).

    Column d has `levels` cells (for all or one for each column), step[d] wide, from low[d] up; the outer ones take
    what lies beyond.
    """
    cells = np.clip(np.floor((z - low) / step), 0, np.asarray(levels) - 1)
    return cells.astype(np.int64), (low + (cells + 0.5) * step).astype(np.float32)


def fitted_cells(train: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, int]:
    """`quantise`'s low, step and levels = 2^bits for codes like train (N, D): each column has a range of its own.

    It is centred on the column's mean, and so wide that quantising train costs the least squared error: a narrow range
    cuts off its tails, a wide one has coarse cells (Max 1960).
    """
    mean, spread, best = train.mean(axis=0), train.std(axis=0) + 1e-9, None
    for reach in np.geomspace(1.2, 12, 15):  # standard deviations
        low, step = mean - reach * spread, 2 * reach * spread / 2**bits
        error = np.square(quantise(train, low, step, 2**bits)[1] - train).mean(axis=0)
        best = (error, low, step) if best is None else np.where(error < best[0], (error, low, step), best)
    return best[1], best[2], 2**bits


def even_cells(train: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`quantise`'s low, step and levels for codes like train (N, D): cells of one width for all, zero in the middle.

    Each column has as many as its numbers reach, so one that hardly varies costs nothing: transform coding, the usual
    use of an orthogonal transform such as PCA (Goyal 2001).
    """
    reach = np.maximum(np.ceil(np.abs(train).max(axis=0) / step - 0.5), 0)
    return -(reach + 0.5) * step, np.full(len(reach), step), (2 * reach + 1).astype(np.int64)


def transmit(train: np.ndarray, z: np.ndarray, cells, settings):
    """For each setting, codes z (N, D) as they arrive, quantised, and their bits (2, N): fixed length, entropy-coded.

    `cells` is `fitted_cells` or `even_cells`. The receiver knows the cells and the frequencies of their use in train;
    see `metrics.code_length`.
    """
    for setting in settings:
        low, step, levels = cells(train, setting)
        (seen, _), (sent, arrived) = (quantise(codes, low, step, levels) for codes in (train, z))
        fixed = np.ceil(np.log2(np.broadcast_to(levels, z.shape[1]))).sum()
        yield arrived, np.stack([np.full(len(z), fixed), metrics.code_length(seen, sent, levels)])


def through_pca(dataset: Dataset, images: Tensor, components: int, cells, settings, fitted_on: int):
    """The same for images by PCA: yields (N, n, n), clipped to [0, 1], and bits (2, N).

    PCA is fitted on all training images, the cells and frequencies on the first `fitted_on`.
    """
    pca = fit_pca(dataset, components)
    train, z = (pca.transform(_rows(pixels(part))) for part in (dataset.train_images[:fitted_on], images))
    for arrived, bits in transmit(train, z, cells, settings):
        yield pca.inverse_transform(arrived).reshape(images[:, 0].shape).clip(0, 1), bits


def through_codec(images: Tensor, kind: str, **options) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (N, 1, n, n) through Pillow's JPEG, WEBP or PNG: (N, n, n) in [0, 1], and bits (2, N).

    Bits are those of the file, and of its content: a JPEG's scan (without the tables that it needs to be read), a
    WebP's data after container and frame header, a PNG's compressed data.
    """
    x_hat, sizes = np.empty(images[:, 0].shape, np.uint8), []
    for i, image in enumerate(images[:, 0].numpy()):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, kind, optimize=True, **options)
        x_hat[i] = Image.open(buffer, formats=[kind]).convert("L")
        file = buffer.getvalue()
        # The scan begins 10 bytes after the last SOS marker (its data cannot hold one) and ends before EOI's two.
        frame = {"JPEG": file.rfind(b"\xff\xda") + 12, "WEBP": 30, "PNG": 57}[kind]
        sizes.append((8 * len(file), 8 * (len(file) - frame)))
    return x_hat.astype(np.float32) / 255, np.transpose(sizes)


def lerp(z0: np.ndarray, z1: np.ndarray, steps: int) -> np.ndarray:
    """The straight path from z0 to z1, ends included: (steps, D), or (P, steps, D) for P pairs (P, D)."""
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return (1 - t) * z0[..., None, :] + t * z1[..., None, :]


def slerp(z0: np.ndarray, z1: np.ndarray, steps: int) -> np.ndarray:
    """The path along the great circle, its length growing evenly from ‖z0‖ to ‖z1‖; shapes as in `lerp`.

    Shoemake 1985, SIGGRAPH 19:245-254. Codes of (nearly) one direction take the straight path, its limit; for
    opposite ones, and from or to zero, no great circle is distinguished, and they take it too.
    """
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    norms = [np.linalg.norm(z, axis=-1, keepdims=True)[..., None, :] for z in (z0, z1)]
    u0, u1 = (z[..., None, :] / np.maximum(n, 1e-12) for z, n in zip((z0, z1), norms, strict=True))
    angle = np.arccos(np.clip((u0 * u1).sum(axis=-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    straight = (sine < 1e-4) | (np.minimum(*norms) == 0)
    sine = np.where(straight, 1, sine)
    path = (np.sin((1 - t) * angle) * u0 + np.sin(t * angle) * u1) / sine * ((1 - t) * norms[0] + t * norms[1])
    return np.where(straight, lerp(z0, z1, steps), path)


def paths(model: ConvAutoencoder, z0: np.ndarray, z1: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """Images (P, steps, n, n) on three ways from codes z0 to z1 (P, latent_dim): linear, spherical, crossfade.

    The last one, the control, mixes the pixels of the same two decoded ends.
    """
    linear, spherical = (decode(model, way(z0, z1, steps)) for way in (lerp, slerp))
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None, None]
    return {"linear": linear, "spherical": spherical, "crossfade": (1 - t) * linear[:, :1] + t * linear[:, -1:]}


def random_pairs(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of images paired at random, (count, 2) of one class each and (count, 2) of two; the first is in both."""
    rng = np.random.default_rng(seed)
    first = rng.choice(np.flatnonzero(np.bincount(labels)[labels] > 1), count)
    alike, other = labels[first, None] == labels, first[:, None] != np.arange(len(labels))  # (count, N)
    chance = rng.random(alike.shape)
    return tuple(np.stack([first, np.where(m & other, chance, -1).argmax(axis=1)], axis=1) for m in (alike, ~alike))


def bilinear_grid(corners: np.ndarray, side: int) -> np.ndarray:
    """Codes (side, side, D) between four corners (4, D): top left, top right, bottom left, bottom right."""
    left, right = lerp(corners[0], corners[2], side), lerp(corners[1], corners[3], side)  # (side, D)
    return lerp(left, right, side)


def _splits(dataset: Dataset):
    return [(name, getattr(dataset, f"{name}_images")) for name in ("train", "validation", "test")]


def _rows(z: np.ndarray) -> np.ndarray:  # (N, ...) → (N, D) float32; a lone column gets one of zeros: a map has two
    rows = np.asarray(z, dtype=np.float32).reshape(len(z), -1)
    return rows if rows.shape[1] > 1 else np.pad(rows, ((0, 0), (0, 1)))
