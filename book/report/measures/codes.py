"""Maps of codes, which have as many axes as the model has numbers, onto two axes: PCA and t-SNE (chapter 03)."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE


def pca_map(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Map (N, 2) of points (N, ...) onto their two principal axes; every axis' share of their variance, falling."""
    rows = _two_columns(z)
    pca = PCA(svd_solver="covariance_eigh").fit(rows)
    return pca.transform(rows)[:, :2], pca.explained_variance_ratio_


def tsne_map(z: np.ndarray, seed: int, perplexity: float = 30.0, init: str = "pca") -> np.ndarray:
    """Map (N, 2) of points (N, ...) by t-SNE (van der Maaten & Hinton 2008) from a start by "pca" or at "random".

    From PCA the seed hardly matters. A perplexity that N points cannot give is lowered to (N - 1) / 3.
    """
    perplexity = min(perplexity, (len(z) - 1) / 3)
    return TSNE(perplexity=perplexity, init=init, random_state=seed, n_jobs=-1).fit_transform(_two_columns(z))


def _two_columns(z: np.ndarray) -> np.ndarray:  # (N, ...) → (N, D) float32, D of 2 and more
    rows = np.asarray(z, dtype=np.float32).reshape(len(z), -1)
    return rows if rows.shape[1] > 1 else np.pad(rows, ((0, 0), (0, 1)))  # a map has two axes
