"""The checks of chapter 00, data and model."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from cae_lib.config import Config, ConfigError
from cae_lib.model import PADDING, STRIDE, ConvAutoencoder


def transposed_row(answer, image: torch.Tensor, kernel: torch.Tensor) -> bool:
    """Asked: the first row of the model's convolution of image (n, n) with the transposed kernel (k, k), exactly."""
    result = nn.functional.conv2d(image[None, None], kernel.T[None, None], stride=STRIDE, padding=PADDING)
    return np.array_equal(np.asarray(answer), result[0, 0, 0].numpy())


def output_width(answer, width: int, kernel: int, stride: int, padding: int) -> bool:
    """Asked: the width in pixels of one convolution's output, a whole number. Places of the window are counted."""
    return answer == len(range(0, width + 2 * padding - kernel + 1, stride))


def output_paddings(answer, width: int, depth: int) -> bool:
    """Asked: `output_padding` of each transposed convolution, first to last, behind `depth` of the model's layers."""
    model = ConvAutoencoder(Config(dataset="synthetic", image_size=width, channels=(1,) * depth, latent_dim=1))
    layers = [layer for layer in model.decoder if isinstance(layer, nn.ConvTranspose2d)]
    return np.array_equal(np.asarray(answer), [layer.output_padding[0] for layer in layers])


def best_constant(answer, x: np.ndarray) -> bool:
    """Asked: the number that is nearest to all pixels of x in MSE, and that MSE, both within 0.5%."""
    number, mse = answer
    mean = x.mean(dtype=np.float64)
    variance = np.square(x).mean(dtype=np.float64) - mean**2  # without a copy of x in double precision: 345 MB
    return math.isclose(number, mean, rel_tol=0.005) and math.isclose(mse, variance, rel_tol=0.005)


def half_the_parameters(answer, config: Config) -> bool:
    """Asked: `channels` of as many layers as the config's, for a model of at most half as many parameters."""
    try:
        smaller = replace(config, channels=answer)
    except ConfigError:
        return False
    if len(smaller.channels) != len(config.channels):
        return False
    before, after = (sum(p.numel() for p in ConvAutoencoder(c).parameters()) for c in (config, smaller))
    return after <= before / 2
