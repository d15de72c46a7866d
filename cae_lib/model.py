"""The model: an encoder that halves the image, a bottleneck, a decoder that walks the same sizes back.

Also `shape_walk`, the table of every layer's sizes, read off the real layers.
"""

import math

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


class ConvAutoencoder(nn.Module):
    """x (B, 1, n, n) in [0, 1] → z (B, latent_dim) → x_hat (B, 1, n, n) in (0, 1).

    Raises `ConfigError` naming the layer that does not fit the image size.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.sizes = encoder_sizes(config.image_size, config.channels)
        widths = [1, *config.channels]
        self.code_map = (widths[-1], self.sizes[-1], self.sizes[-1])  # what the encoder hands over
        flat = math.prod(self.code_map)

        encoder: list[nn.Module] = []
        for c_in, c_out in zip(widths, widths[1:], strict=False):
            conv = nn.Conv2d(c_in, c_out, KERNEL, STRIDE, PADDING, bias=False)  # BatchNorm brings the bias
            encoder += [conv, nn.BatchNorm2d(c_out), nn.ReLU()]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(flat, config.latent_dim))

        decoder: list[nn.Module] = [nn.Linear(config.latent_dim, flat), nn.Unflatten(1, self.code_map)]
        for i in range(len(config.channels), 0, -1):
            decoder += [nn.BatchNorm2d(widths[i]), nn.ReLU()]
            # Without output_padding the walk back gives 2n − 1: an even size needs one pixel more.
            extra = self.sizes[i - 1] - (2 * self.sizes[i] - 1)
            decoder += [nn.ConvTranspose2d(widths[i], widths[i - 1], KERNEL, STRIDE, PADDING, extra, bias=i == 1)]
        self.decoder = nn.Sequential(*decoder, nn.Sigmoid())

    def encode(self, x: Tensor) -> Tensor:  # (B, 1, n, n) → (B, latent_dim)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:  # (B, latent_dim) → (B, 1, n, n)
        return self.decoder(z)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))
