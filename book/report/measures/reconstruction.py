"""What a reconstruction keeps of its original (chapter 02): edges, shape, frequencies.

Images x (originals, in [0, 1]) and x_hat (reconstructions, which may overshoot as PCA's do) are (N, H, W) or
(N, 1, H, W). Bad input raises ValueError.
"""

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import correlate1d

from cae_lib.metrics import as_images, check_count, require


def edge_energy_kept(x, x_hat):
    """Share of each original's edge energy reproduced in the right place: (N,), in [0, 1]; 1 = every edge.

    max(0, 1 - ‖g - g_hat‖² / ‖g‖²), g the Sobel gradient field: the R² of the gradients. A missing, displaced or
    invented edge is error, so noise can only lower it; all edges at half strength give .75. An original
    without any edge gives 1 if x_hat has none either, else 0.
    """
    x, x_hat = as_images(x, x_hat)

    def energy(images):  # (N, H, W) -> (N,)
        # Not scipy.ndimage.sobel: on a stack it would smooth from one image into the next.
        fields = (correlate1d(correlate1d(images, (1, 2, 1), a), (-1, 0, 1), b) for a, b in ((1, 2), (2, 1)))
        return sum(np.square(g).sum(axis=(1, 2)) for g in fields)

    return _share_explained(energy(x - x_hat), energy(x))


def shape_iou(x, x_hat, threshold=0.1):
    """Intersection over union of the silhouettes, the pixels above threshold: (N,), in [0, 1]; 1 = the same shape.

    Two images without any such pixel agree: 1. The Jaccard index (Jaccard 1912).
    """
    require(0 < threshold < 1, "threshold", threshold, "between 0 and 1")
    a, b = (images > threshold for images in as_images(x, x_hat))
    both, either = (a & b).sum(axis=(1, 2)), (a | b).sum(axis=(1, 2))
    return np.where(either, both / np.maximum(either, 1), 1.0)


def spectrum_kept(x, x_hat, bands=4):
    """Share of the originals' energy that is explained in each frequency band: (bands,), in [0, 1]; 1 = all of it.

    max(0, 1 - Σ (F - F_hat)² / Σ F²), sums over the whole set; F is the orthonormal 2-D DCT-II: its mirrored borders
    keep a shape cut by the frame from passing for texture, as it would in a Fourier transform. Bands are rings of
    equal width in radial frequency, from 0 to .5 cycles per pixel; the last one, the texture, takes the corners too.
    """
    x, x_hat = as_images(x, x_hat)
    return _share_explained(band_energy(x - x_hat, bands).sum(axis=0), band_energy(x, bands).sum(axis=0))


def band_energy(images, bands=4):
    """Each image's energy in the frequency bands of `spectrum_kept`, from areas to detail: (N, bands), from 0 up."""
    height, width = images.shape[1:]
    check_count("bands", bands, min(height, width))
    radius = np.hypot(np.arange(height)[:, None] / height, np.arange(width) / width)  # (H, W); 1 = .5 cycles per pixel
    ring = np.minimum(radius * bands, bands - 1).astype(int)
    power = np.square(dctn(images, axes=(1, 2), norm="ortho"))
    return np.stack([power[:, ring == band].sum(axis=1) for band in range(bands)], axis=1)


def _share_explained(error, energy):
    # Where there is nothing to explain all of it is explained, unless something was invented.
    missed = np.divide(error, energy, out=(error > 0).astype(np.float64), where=energy > 0)
    return np.clip(1 - missed, 0, 1)
