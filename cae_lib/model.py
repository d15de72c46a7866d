"""The model: an encoder that halves the image, a bottleneck, a decoder that walks the same sizes back.

Also `shape_walk`, the table of every layer's sizes, read off the real layers.
"""

import itertools
import math
from typing import NamedTuple

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


class ConvAutoencoder(nn.Module):
    """x (B, 1, n, n) in [0, 1] → z (B, latent_dim) → x_hat (B, 1, n, n) in (0, 1).

    Raises `ConfigError` naming the layer that does not fit the image size.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.sizes = encoder_sizes(config.image_size, config.channels)
        widths = [1, *config.channels]
        code_map = (widths[-1], self.sizes[-1], self.sizes[-1])  # what the encoder's convolutions hand over
        flat = math.prod(code_map)

        self.encoder = nn.Sequential()
        for i, (c_in, c_out) in enumerate(itertools.pairwise(widths), start=1):
            conv = nn.Conv2d(c_in, c_out, KERNEL, STRIDE, PADDING, bias=False)  # BatchNorm brings the bias
            self._append(self.encoder, i, conv=conv, norm=nn.BatchNorm2d(c_out), gelu=nn.GELU())
        self._append(self.encoder, "", flatten=nn.Flatten(), linear=nn.Linear(flat, config.latent_dim))

        self.decoder = nn.Sequential()
        self._append(self.decoder, "", linear=nn.Linear(config.latent_dim, flat), unflatten=nn.Unflatten(1, code_map))
        for i in range(len(config.channels), 0, -1):
            # Without output_padding the walk back gives 2n − 1: an even size needs one pixel more.
            extra = self.sizes[i - 1] - (2 * self.sizes[i] - 1)
            conv = nn.ConvTranspose2d(widths[i], widths[i - 1], KERNEL, STRIDE, PADDING, extra, bias=i == 1)
            self._append(self.decoder, i, norm=nn.BatchNorm2d(widths[i]), gelu=nn.GELU(), deconv=conv)
        self._append(self.decoder, "", sigmoid=nn.Sigmoid())

    @staticmethod
    def _append(part: nn.Sequential, number: int | str, **layers: nn.Module) -> None:
        for name, layer in layers.items():
            part.add_module(f"{name}{number}", layer)

    def encode(self, x: Tensor) -> Tensor:  # (B, 1, n, n) → (B, latent_dim)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:  # (B, latent_dim) → (B, 1, n, n)
        return self.decoder(z)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Layer(NamedTuple):
    """One row of the walk: sizes without the batch, e.g. (1, 28, 28), and how the output's size comes about."""

    part: str  # encoder or decoder
    name: str
    kind: str
    input: tuple[int, ...]
    formula: str
    output: tuple[int, ...]
    parameters: int


@torch.inference_mode()
def shape_walk(model: ConvAutoencoder) -> list[Layer]:
    """Every layer with its sizes, read off the real layers as one black image passes through them."""
    rows, x = [], torch.zeros(1, 1, model.sizes[0], model.sizes[0])
    model.eval()
    for part, layers in model.named_children():
        for name, layer in layers.named_children():
            y = layer(x)
            count = sum(p.numel() for p in layer.parameters())
            before, after = tuple(x.shape[1:]), tuple(y.shape[1:])
            kind = type(layer).__name__
            rows.append(Layer(part, name, kind, before, _formula(layer, before, after), after, count))
            x = y
    return rows


def _formula(layer: nn.Module, before: tuple[int, ...], after: tuple[int, ...]) -> str:
    n, m = before[-1], after[-1]
    if isinstance(layer, nn.Conv2d):
        return f"⌊({n} + 2·{PADDING} − {KERNEL}) / {STRIDE}⌋ + 1 = {m}"
    if isinstance(layer, nn.ConvTranspose2d):
        return f"({n} − 1)·{STRIDE} − 2·{PADDING} + {KERNEL} + {layer.output_padding[0]} = {m}"
    if isinstance(layer, nn.Flatten | nn.Unflatten):
        wide, flat = (before, after) if len(before) == 3 else (after, before)
        return f"{' · '.join(map(str, wide))} = {flat[0]}"
    return f"{n} → {m}" if n != m else "="
