"""Between images and codes: encode, decode, project, interpolate; and PCA as the linear model beside the autoencoder.

Images are uint8 tensors (N, 1, n, n) or float arrays in [0, 1]; codes are float32 arrays (N, latent_dim).
"""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

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
    """Images (N, n, n) in [0, 1] of codes (N, latent_dim)."""
    chunks = torch.as_tensor(z, dtype=torch.float32).split(1000)
    return torch.cat([model.decode(chunk)[:, 0] for chunk in chunks]).numpy()


def codes(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """Codes of the three splits: train, validation, test, each (N, latent_dim); computed once, kept in latents.npz."""

    def compute():
        model = run.model()
        names = ("train", "validation", "test")
        return {name: encode(model, getattr(dataset, f"{name}_images")) for name in names}

    return run.cached("latents", compute, data=dataset.sha256)


def fit_pca(dataset: Dataset, components: int) -> PCA:
    """The best linear autoencoder: PCA of the training pixels with as many components (Jolliffe 2002)."""
    x = pixels(dataset.train_images).reshape(len(dataset.train_images), -1)
    return PCA(components, svd_solver="covariance_eigh").fit(x)


def pca_reconstruct(pca: PCA, images: Tensor) -> np.ndarray:
    """Images (N, n, n) through PCA and back; not clipped, so values may overshoot [0, 1]."""
    x = pixels(images)
    return pca.inverse_transform(pca.transform(x.reshape(len(x), -1))).reshape(x.shape).astype(np.float32)


def tsne(z: np.ndarray, seed: int, perplexity: float = 30.0) -> np.ndarray:
    """Map (N, 2) of points (N, D) by t-SNE from a PCA start (van der Maaten & Hinton 2008)."""
    flat = np.asarray(z, dtype=np.float32).reshape(len(z), -1)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=-1).fit_transform(flat)


def lerp(z0: np.ndarray, z1: np.ndarray, steps: int) -> np.ndarray:
    """The straight path from z0 to z1, ends included: (steps, D), or (P, steps, D) for P pairs (P, D)."""
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return (1 - t) * z0[..., None, :] + t * z1[..., None, :]


def slerp(z0: np.ndarray, z1: np.ndarray, steps: int) -> np.ndarray:
    """The path along the great circle, its length growing evenly from ‖z0‖ to ‖z1‖; shapes as in `lerp`.

    Shoemake 1985, SIGGRAPH 19:245-254. Codes of (nearly) one direction take the straight path, its limit; for
    opposite ones no great circle is distinguished, and they take it too.
    """
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    norms = [np.linalg.norm(z, axis=-1, keepdims=True)[..., None, :] for z in (z0, z1)]
    u0, u1 = (z[..., None, :] / np.maximum(n, 1e-12) for z, n in zip((z0, z1), norms, strict=True))
    angle = np.arccos(np.clip((u0 * u1).sum(axis=-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    straight = sine < 1e-4
    sine = np.where(straight, 1, sine)
    path = (np.sin((1 - t) * angle) * u0 + np.sin(t * angle) * u1) / sine * ((1 - t) * norms[0] + t * norms[1])
    return np.where(straight, lerp(z0, z1, steps), path)


def bilinear_grid(corners: np.ndarray, side: int) -> np.ndarray:
    """Codes (side, side, D) between four corners (4, D): top left, top right, bottom left, bottom right."""
    left, right = lerp(corners[0], corners[2], side), lerp(corners[1], corners[3], side)  # (side, D)
    return lerp(left, right, side)
