"""What every chapter measures: codes and reconstructions of a model and of PCA beside it; MSE, PSNR, SSIM, k-NN.

Images x (originals, in [0, 1]) and x_hat (reconstructions, which may overshoot as PCA's do) are (N, H, W) or
(N, 1, H, W). Codes are (N, latent_dim), points (N, ...), flattened to rows.
Distances are Euclidean. Bad input raises ValueError.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.linalg import convolution_matrix
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from cae_lib.data import Dataset
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run


def pixels(images: Tensor) -> np.ndarray:
    """uint8 (N, 1, n, n) → float32 (N, n, n) in [0, 1]."""
    x = images[:, 0].numpy().astype(np.float32)
    x /= 255  # in place: the training images are 172 MB
    return x


@torch.inference_mode()
def encode(model: ConvAutoencoder, images: Tensor | np.ndarray) -> np.ndarray:
    """Codes (N, latent_dim) of uint8 images (N, 1, n, n) or of floats (N, n, n) in [0, 1]."""
    chunks = (torch.from_numpy(_floats(images[i : i + 500])) for i in range(0, len(images) or 1, 500))
    return torch.cat([model.encode(x[:, None]) for x in chunks]).numpy()


@torch.inference_mode()
def decode(model: ConvAutoencoder, z: np.ndarray) -> np.ndarray:
    """Images (..., n, n) in [0, 1] of codes (..., latent_dim)."""
    chunks = torch.as_tensor(z, dtype=torch.float32).flatten(end_dim=-2).split(500)
    x_hat = torch.cat([model.decode(chunk)[:, 0] for chunk in chunks]).numpy()
    return x_hat.reshape(*z.shape[:-1], *x_hat.shape[1:])


def codes(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """Codes of the three splits: train, validation, test, each (N, latent_dim); computed once, kept in latents.npz."""
    return _of_splits(run, "latents", dataset, lambda: partial(encode, run.model()))


def fit_pca(dataset: Dataset, components: int) -> PCA:
    """The best linear autoencoder: PCA of the training pixels with as many components (Jolliffe & Cadima 2016).

    Fewer where there are fewer pixels or fewer training images: then it is exact on them.
    """
    x = _flat(dataset.train_images)
    return PCA(min(components, *x.shape), svd_solver="covariance_eigh").fit(x)


def pca_codes(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """PCA's codes of the three splits, each (N, components) with as many components as the run's model has numbers.

    Computed once, kept in pca_codes.npz.
    """
    return _of_splits(run, "pca_codes", dataset, lambda: partial(pca_encode, fit_pca(dataset, run.config.latent_dim)))


def pca_encode(pca: PCA, images: Tensor | np.ndarray) -> np.ndarray:
    """PCA's codes (N, components) of uint8 images (N, 1, n, n) or of floats (N, n, n) in [0, 1]."""
    return pca.transform(_flat(images))


def pca_reconstruct(pca: PCA, images: Tensor) -> np.ndarray:
    """Images (N, n, n) through PCA and back; not clipped, so values may overshoot [0, 1]."""
    return pca.inverse_transform(pca_encode(pca, images)).reshape(images[:, 0].shape).astype(np.float32)


def _floats(images: Tensor | np.ndarray) -> np.ndarray:  # float32 (N, n, n) in [0, 1]
    return pixels(images) if isinstance(images, Tensor) else np.asarray(images, dtype=np.float32)


def _flat(images: Tensor | np.ndarray) -> np.ndarray:  # float32 (N, n * n)
    return _floats(images).reshape(len(images), -1)


def _of_splits(run: Run, name: str, dataset: Dataset, fitted: Callable[[], Callable]) -> dict[str, np.ndarray]:
    """What `fitted()`, an encoder, makes of each split's images: computed once, kept in NAME.npz of the run."""

    def compute():
        encoder = fitted()
        return {part: encoder(getattr(dataset, f"{part}_images")) for part in ("train", "validation", "test")}

    return run.cached(name, compute, data=dataset.sha256)


def mse_per_image(x, x_hat):
    """Mean of (x - x_hat)² over each image's pixels: (N,), from 0 up; 0 = identical."""
    x, x_hat = as_images(x, x_hat)
    return np.square(x - x_hat).mean(axis=(1, 2))


def psnr(mse):
    """Peak signal-to-noise ratio for peak 1, -10 log10(mse), in dB and in the shape of mse; inf for an mse of 0."""
    mse = np.asarray(mse, dtype=np.float64)
    require((mse >= 0).all(), "mse", "a value that is negative or not a number", "0 and up")
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse)


def ssim_per_image(x, x_hat):
    """Structural similarity (Wang et al. 2004, IEEE TIP 13:600-612): (N,), in [-1, 1]; 1 = identical.

    (2 μ μ' + .01²)(2 cov + .03²) / ((μ² + μ'² + .01²)(σ² + σ'² + .03²)) in an 11×11 Gaussian window (σ 1.5), averaged
    over where it fits whole. Images of 8 to 10 pixels get the largest odd window that fits; smaller ones are refused.
    """
    x, x_hat = as_images(x, x_hat)
    side = min(x.shape[1:])
    require(side >= 8, "x", f"images of shape {x.shape[1:]}", "8×8 pixels and larger")
    reach = min(11, side) - 1 >> 1
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / 1.5) ** 2)
    rows, columns = (convolution_matrix(window / window.sum(), n, mode="valid") for n in x.shape[1:])

    def ssim(a, b):
        # A separable filter is two matrix products: (B, H, W) -> (B, H - 2 reach, W - 2 reach).
        mean_a, mean_b, aa, bb, ab = (rows @ images @ columns.T for images in (a, b, a * a, b * b, a * b))
        mean_ab, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        luminance = (2 * mean_ab + 0.01**2) / (squares + 0.01**2)
        structure = (2 * (ab - mean_ab) + 0.03**2) / (aa + bb - squares + 0.03**2)
        return (luminance * structure).mean(axis=(1, 2))

    chunks = (slice(start, start + 1000) for start in range(0, len(x), 1000))
    return np.concatenate([ssim(x[chunk], x_hat[chunk]) for chunk in chunks])


def knn_predictions(train, train_labels, test, k=5):
    """The label that most of each test point's k nearest training points have: (len(test),).

    Cover & Hart 1967. A tied vote goes to the smallest label, as in scikit-learn.
    """
    train = as_rows("train", train)
    test = as_rows("test", test, like=train)
    train_labels = as_labels("train_labels", train_labels, train)
    check_count("k", k, len(train))
    return KNeighborsClassifier(k, algorithm="brute").fit(train, train_labels).predict(test)


def knn_accuracy(train, train_labels, test, test_labels, k=5):
    """Share of test points that `knn_predictions` labels rightly, in [0, 1]."""
    test_labels = as_labels("test_labels", test_labels, test)
    return float((knn_predictions(train, train_labels, test, k) == test_labels).mean())


def as_images(x, x_hat):
    """Both as float64 (N, H, W); `ValueError` where they cannot be compared."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(x_hat, dtype=np.float64)
    found, allowed = f"shapes {a.shape} and {b.shape}", "twice the same (N, H, W) or (N, 1, H, W), N > 0"
    a, b = (images[:, 0] if images.ndim == 4 and images.shape[1] == 1 else images for images in (a, b))
    require(a.ndim == 3 and a.shape == b.shape and a.size, "x, x_hat", found, allowed)
    low, high = a.min(), a.max()  # NaN, if there is one
    require(low >= -1e-6 and high <= 1 + 1e-6, "x", f"pixels from {low:g} to {high:g}", "0 to 1")
    require(np.isfinite(b).all(), "x_hat", "pixels that are not finite", "finite numbers")
    return a, b


def as_rows(name, points, like=None):
    """Points (N, ...) as float32 or float64 (N, D), of as many numbers as those of `like`; `ValueError` where not."""
    points = np.asarray(points)
    require(points.ndim > 1 and points.size, name, f"shape {points.shape}", "(N, ...) with N > 0")
    rows = points.reshape(len(points), -1)
    require(np.isfinite(rows).all(), name, "values that are not finite", "finite numbers")
    if like is not None:
        found, wanted = rows.shape[1], like.shape[1]
        require(found == wanted, name, f"points of {found} numbers", f"{wanted}, as in the other set")
    return rows.astype(np.result_type(rows, np.float32), copy=False)


def as_labels(name, labels, points):
    """One integer for each of the points: int64 (N,); `ValueError` where they are not."""
    labels = np.asarray(labels)
    ok = labels.shape == (len(points),) and labels.dtype.kind in "iu"
    require(ok, name, f"{labels.dtype} of shape {labels.shape}", f"integers of shape ({len(points)},)")
    return labels.astype(np.int64)


def check_count(name, value, most):
    """`ValueError` unless `value` is a whole number from 1 to `most`."""
    ok = isinstance(value, int | np.integer) and 1 <= value <= most
    require(ok, name, repr(value), f"a whole number from 1 to {most}")


def require(ok, name, found, allowed):
    """`ValueError` that names the argument, what was found and what is allowed, unless `ok`."""
    if not ok:
        raise ValueError(f"{name}: found {found}; allowed: {allowed}")
