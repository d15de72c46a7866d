"""What an image costs in bits, and how it arrives (chapter 05).

A quantiser, `fitted_cells` or `even_cells`, takes codes (N, D) and a setting and gives `quantise` its cells.
"""

import io

import numpy as np
from PIL import Image
from torch import Tensor

from cae_lib.data import Dataset
from cae_lib.metrics import fit_pca, mse_per_image, pca_encode, require, ssim_per_image


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


def transmit(train: np.ndarray, z: np.ndarray, quantiser, settings):
    """Yield, for each setting, codes z (N, D) as they arrive and their bits (2, N): of fixed length, entropy-coded.

    `quantiser` is `fitted_cells`, whose settings are bits, or `even_cells`, whose settings are steps. The receiver
    knows its cells and how often each is used in train; see `code_length`.
    """
    for setting in settings:
        low, step, levels = quantiser(train, setting)
        (seen, _), (sent, arrived) = (quantise(codes, low, step, levels) for codes in (train, z))
        fixed = np.ceil(np.log2(np.broadcast_to(levels, z.shape[1]))).sum()
        yield arrived, np.stack([np.full(len(z), fixed), code_length(seen, sent, levels)])


def through_pca(dataset: Dataset, images: Tensor, components: int, quantiser, settings, fitted_on: int):
    """Yield, for each setting, uint8 images (N, 1, n, n) as they arrive, (N, n, n) in [0, 1], and their bits (2, N).

    Their codes by PCA are sent, as `transmit` does. PCA is fitted on all training images, the quantiser and its
    frequencies on the first `fitted_on`.
    """
    pca = fit_pca(dataset, components)
    train, z = (pca_encode(pca, part) for part in (dataset.train_images[:fitted_on], images))
    for arrived, bits in transmit(train, z, quantiser, settings):
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


def code_length(train, symbols, levels):
    """Bits of each row of symbols (N, D) where column d is coded by its frequencies in train (M, D): (N,), from 0 up.

    -Σ log2 p_d with p_d = (count + 1/2) / (M + levels_d / 2), so that no symbol is impossible (Krichevsky & Trofimov
    1981). The mean is the columns' cross-entropy, their entropy where the sets are alike (Shannon 1948); an arithmetic
    coder needs at most two bits more. Symbols run from 0 to levels - 1, a number for all columns or one for each.
    """
    train, symbols = np.asarray(train), np.asarray(symbols)
    for name, s in (("train", train), ("symbols", symbols)):
        ok = s.ndim == 2 and s.size and s.dtype.kind in "iu" and s.shape[1] == train.shape[1]
        ok = ok and (s.min(axis=0) >= 0).all() and (s.max(axis=0) < levels).all()
        require(ok, name, f"{s.dtype} of shape {s.shape}", "whole numbers (N, D) from 0 to levels - 1")
    bits = np.zeros(len(symbols))
    for seen, column, count in zip(train.T, symbols.T, np.broadcast_to(levels, len(train.T)), strict=True):
        frequency = np.bincount(seen, minlength=count) + 0.5
        bits -= np.log2(frequency / frequency.sum())[column]
    return bits


def rate_distortion(x, received, keep=0):
    """What images x (N, H, W) cost and how they arrive, in K settings: bpp (K, W), mse (K,) and ssim (K,), the means.

    `received` yields (x_hat (N, H, W), bits (W, N)) for each setting, W being the ways to count the bits. Also of each
    image: bits (K, W, N), errors (K, N) and ssims (K, N); of the first `keep` images x_hat (K, keep, H, W).
    """
    rows = []
    for x_hat, bits in received:
        bits, errors, ssims = np.asarray(bits), mse_per_image(x, x_hat), ssim_per_image(x, x_hat)
        means = bits.mean(axis=1) / x[0].size, errors.mean(), ssims.mean()
        rows.append((*means, x_hat[:keep], bits, errors, ssims))
    names = ("bpp", "mse", "ssim", "x_hat", "bits", "errors", "ssims")
    return dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


def read_off(x, y, at, left=None):
    """y where x is `at` on the curve through the points (x, y), straight between them on logarithmic axes.

    Beyond its ends the curve goes on level, or is `left` below its least x. All of them positive.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    ok = x.ndim == 1 and x.shape == y.shape and x.size and x.min() > 0 and y.min() > 0 and at > 0
    require(ok, "x, y, at", f"shapes {x.shape} and {y.shape}, at {at}", "twice (K,), and all positive")
    order = np.argsort(x)
    return float(np.exp(np.interp(np.log(at), np.log(x[order]), np.log(y[order]), left=left and np.log(left))))
