"""The checks of chapter 02's exercises."""

import numpy as np

from cae_lib import metrics
from report.measures.reconstruction import edge_energy_kept


def largest_lead(answer, per_class) -> bool:
    """The label (a row of `per_class`) whose "psnr" is furthest above its "pca_psnr"."""
    leads = (per_class["psnr"] - per_class["pca_psnr"]).to_numpy()
    return _whole(answer) and answer == per_class.index[leads.argmax()]


def edges_after_a_shift(answer, originals, reconstructions) -> bool:
    """The mean share of the edges' energy kept once the reconstructions are moved by one pixel along their width.

    Either way; to three thousandths.
    """
    shares = [edge_energy_kept(originals, np.roll(reconstructions, step, axis=2)).mean() for step in (1, -1)]
    return _close(answer, min(shares), max(shares), 0.003)


def components_needed(answer, dataset, errors) -> bool:
    """The smallest number of PCA's components whose unclipped MSE on the test images is at most the mean of errors."""

    def mse(components):
        x_hat = metrics.pca_reconstruct(metrics.fit_pca(dataset, components), dataset.test_images)
        return metrics.mse_per_image(metrics.pixels(dataset.test_images), x_hat).mean()

    target, most = np.mean(errors), dataset.test_images[0].numel()
    if not _whole(answer) or not 1 <= answer <= most:
        return False
    # one part in a million: the sums behind the answer may be rounded otherwise
    return bool(mse(int(answer)) <= target * (1 + 1e-6) and (answer == 1 or mse(int(answer) - 1) > target * (1 - 1e-6)))


def linear_error(answer, x, k) -> bool:
    """The mean squared error per number of a linear autoencoder of k numbers, trained on the centred rows x (N, D).

    From PCA's, below which it cannot be, to 2% above.
    """
    x = np.asarray(x, dtype=np.float64)
    least = np.square(np.linalg.svd(x, compute_uv=False)[k:]).sum() / x.size
    return _close(answer, least, 1.02 * least, 1e-6 * np.square(x).mean())


def _whole(answer) -> bool:
    return isinstance(answer, int | np.integer) and not isinstance(answer, bool)


def _close(answer, low, high, tolerance) -> bool:
    return np.ndim(answer) == 0 and bool(low - tolerance <= float(answer) <= high + tolerance)
