"""The model: an encoder that halves the image, a bottleneck, a decoder that walks the same sizes back."""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from cae_lib.config import Config, ConfigError

KERNEL, STRIDE, PADDING = 3, 2, 1


def conv_size(n: int) -> int:
    """Width after one convolution: ⌊(n + 2p − k) / s⌋ + 1 (Dumoulin & Visin 2016, relationship 6)."""
    return (n + 2 * PADDING - KERNEL) // STRIDE + 1


def encoder_sizes(image_size: int, channels: tuple[int, ...]) -> list[int]:
    """Widths before and after each convolution, e.g. [28, 14, 7]; `ConfigError` where a layer halves nothing."""
    sizes = [image_size]
    for i, _ in enumerate(channels, start=1):
        n = sizes[-1]
        if n < 2:
            raise ConfigError(
                f"channels: layer conv{i} gets a {n}×{n} map and cannot halve it: "
                f"⌊({n} + 2·{PADDING} − {KERNEL}) / {STRIDE}⌋ + 1 = {conv_size(n)}; "
                f"images of {image_size} pixels allow at most {i - 1} widths, found {len(channels)}"
            )
        sizes.append(conv_size(n))
    return sizes


class ResidualBlock(nn.Module):
    """Maps x (B, C, m, m) plus a correction of the same shape (He et al. 2016, with GELU).

    The correction is a convolution of the normalised maps. It begins at zero,
    so that a new block changes nothing.
    """

    def __init__(self, maps: int):
        super().__init__()
        conv = nn.Conv2d(maps, maps, KERNEL, padding=PADDING)
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
        self.correction = nn.Sequential(nn.BatchNorm2d(maps), nn.GELU(), conv)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.correction(x)  # (B, C, m, m)


class Flatten(nn.Flatten):
    """Makes a vector (B, m·m·C) of maps (B, C, m, m), pixel after pixel.

    So the maps lie in memory ("channels last"): nothing is copied.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1))


class Unflatten(nn.Unflatten):
    """Makes maps (B, C, m, m) of a vector (B, m·m·C): the reverse of `Flatten`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).permute(0, 3, 1, 2)


class ConvAutoencoder(nn.Module):
    """A convolutional autoencoder for images x (B, 1, n, n) in [0, 1].

    `encode` gives the codes z (B, latent_dim), `decode` images (B, 1, n, n) in
    (0, 1). Each convolution of the encoder halves the image; the transposed
    ones of the decoder walk the same sizes back (Dumoulin & Visin 2016). Weights
    and maps lie in memory with the channels last, which is faster on a processor
    (benchmarks/levers.csv) and for a GPU's tensor cores. Raises `ConfigError`,
    naming the layer, where the image is too small to be halved.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.sizes = encoder_sizes(config.image_size, config.channels)
        widths = [1, *config.channels]  # maps before and after each layer
        depth = len(config.channels)
        last_maps = (self.sizes[-1], self.sizes[-1], widths[-1])  # (m, m, C)
        flat = math.prod(last_maps)

        encoder = OrderedDict()  # the layers under their names
        for i in range(1, depth + 1):
            c_in, c_out = widths[i - 1], widths[i]
            # The convolution needs no bias: BatchNorm brings one.
            conv = nn.Conv2d(c_in, c_out, KERNEL, STRIDE, PADDING, bias=False)
            encoder[f"conv{i}"] = conv
            for b in range(1, config.blocks + 1):
                encoder[f"block{i}_{b}"] = ResidualBlock(c_out)
            encoder[f"norm{i}"] = nn.BatchNorm2d(c_out)
            encoder[f"gelu{i}"] = nn.GELU()
        encoder["flatten"] = Flatten()
        encoder["linear"] = nn.Linear(flat, config.latent_dim)
        self.encoder = nn.Sequential(encoder)

        decoder = OrderedDict()
        decoder["linear"] = nn.Linear(config.latent_dim, flat)
        decoder["unflatten"] = Unflatten(1, last_maps)
        for i in range(depth, 0, -1):
            c_in, c_out = widths[i], widths[i - 1] if i > 1 else config.refine or 1
            # Without output_padding the way back ends at 2m − 1 pixels: where
            # the encoder came from an even size, one pixel more is needed.
            bare_size = 2 * self.sizes[i] - 1
            for b in range(1, config.blocks + 1):
                decoder[f"block{i}_{b}"] = ResidualBlock(c_in)
            decoder[f"norm{i}"] = nn.BatchNorm2d(c_in)
            decoder[f"gelu{i}"] = nn.GELU()
            decoder[f"deconv{i}"] = nn.ConvTranspose2d(
                c_in,
                c_out,
                KERNEL,
                STRIDE,
                PADDING,
                output_padding=self.sizes[i - 1] - bare_size,
                bias=i == 1 and not config.refine,  # no BatchNorm follows
            )
        if config.refine:
            decoder["norm0"] = nn.BatchNorm2d(config.refine)
            decoder["gelu0"] = nn.GELU()
            decoder["refine"] = nn.Conv2d(config.refine, 1, KERNEL, padding=PADDING)
        decoder["sigmoid"] = nn.Sigmoid()
        self.decoder = nn.Sequential(decoder)
        self.to(memory_format=torch.channels_last)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)  # (B, latent_dim)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)  # (B, 1, n, n)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))  # (B, 1, n, n)
