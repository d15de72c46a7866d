"""The checks of chapter 02's exercises."""

import numpy as np

from cae_lib import metrics
from report.exercises.answers import is_near, is_whole
from report.measures.reconstruction import edge_energy_kept


def largest_lead(answer, per_class) -> bool:
    """The label (a row of `per_class`) whose "psnr" is furthest above its "pca_psnr"."""
    leads = (per_class["psnr"] - per_class["pca_psnr"]).to_numpy()
    return is_whole(answer) and answer == per_class.index[leads.argmax()]


def edges_after_a_shift(answer, originals, reconstructions) -> bool:
    """The mean share of the edges' energy kept once the reconstructions are moved by one pixel along their width.

    Either way; to three thousandths.
    """
    moved = (np.roll(reconstructions, step, axis=2) for step in (1, -1))
    return any(is_near(answer, share, 0.003) for share in (edge_energy_kept(originals, x).mean() for x in moved))


def components_needed(answer, dataset, errors) -> bool:
    """The smallest number of PCA's components whose unclipped MSE on the test images is at most the mean of errors."""
    target, pixels = np.mean(errors), dataset.test_images[0].numel()
    if not is_whole(answer) or not 1 <= answer <= pixels:
        return False
    pca = metrics.fit_pca(dataset, int(answer))
    x_hat = metrics.pca_reconstruct(pca, dataset.test_images)
    mse = metrics.mse_per_image(metrics.pixels(dataset.test_images), x_hat).mean()
    last = np.square(metrics.pca_encode(pca, dataset.test_images)[:, -1], dtype=float).mean() / pixels
    # one part in a million: the sums behind the answer may be rounded otherwise
    return bool(mse <= target * (1 + 1e-6) and (answer == 1 or mse + last > target * (1 - 1e-6)))


def linear_error(answer, x, k) -> bool:
    """The mean squared error per number of a linear autoencoder of k numbers, trained on the centred rows x (N, D).

    From PCA's, below which it cannot be, to 2% above.
    """
    x = np.asarray(x, dtype=np.float64)
    least = np.square(np.linalg.svd(x, compute_uv=False)[k:]).sum() / x.size
    return is_near(answer, 1.01 * least, 0.01 * least + 1e-6 * np.square(x).mean())
