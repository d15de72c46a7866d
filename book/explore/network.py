"""The model's two halves as the browser runs them: BatchNorm folded away, in half precision, a list of layers.

book/explore/network.js reads what `portable` writes and computes what these modules compute.
"""

import base64
import copy
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cae_lib.model import ResidualBlock

Affine = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


class Scale(nn.Module):
    """Maps (B, C, m, m) times a factor, plus a shift, of each channel."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


@torch.inference_mode()
def fold(part: nn.Sequential) -> nn.Sequential:
    """The same function with fewer layers: each BatchNorm has gone into the affine layer before it, which gets a bias.

    After training it is affine too, y = γ (x − μ) / √(σ² + ε) + β, with one factor and one shift per channel. Behind a
    residual block, and as the first layer within one, where nothing affine comes before it, it becomes a `Scale`.
    The vector between maps and code, here pixel after pixel, is map after map in the browser.
    """
    layers, maps = [], 0
    for layer in map(copy.deepcopy, part):
        if isinstance(layer, nn.Conv2d):
            maps = layer.out_channels
        if isinstance(layer, nn.Linear) and layers and isinstance(layers[-1], nn.Flatten):
            layer.weight = _map_after_map(layer.weight, maps, axis=1)
            layers[-1] = nn.Flatten()
        if isinstance(layer, nn.Unflatten):
            *sides, maps = layer.unflattened_size
            linear = layers[-1]
            linear.weight, linear.bias = (_map_after_map(p, maps, axis=0) for p in (linear.weight, linear.bias))
            layer = nn.Unflatten(1, (maps, *sides))
        if isinstance(layer, Affine) and layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.weight.shape[_outputs_axis(layer)]), requires_grad=False)
        if isinstance(layer, ResidualBlock):
            layer.correction = fold(layer.correction)
        if isinstance(layer, nn.BatchNorm2d):
            scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)  # (C,)
            shift = layer.bias - layer.running_mean * scale
            affine = next((known for known in reversed(layers) if not isinstance(known, nn.Unflatten)), None)
            if isinstance(affine, Affine):
                _scale_outputs(affine, scale, shift)
            else:
                layers.append(Scale(scale, shift))
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval()


def _map_after_map(values: Tensor, maps: int, axis: int) -> nn.Parameter:
    """Values of which an axis goes through all maps at each pixel; it then goes through all pixels of each map."""
    ordered = values.unflatten(axis, (-1, maps)).transpose(axis, axis + 1).flatten(axis, axis + 1)
    return nn.Parameter(ordered, requires_grad=False)


def _scale_outputs(affine: Affine, scale: Tensor, shift: Tensor) -> None:
    """Multiply the outputs of each channel by a factor and add a shift, (C,) each; of a linear layer many make one."""
    axis = _outputs_axis(affine)
    each = affine.weight.shape[axis] // len(scale)
    scale, shift = (values.repeat_interleave(each) for values in (scale, shift))
    broadcast = [1] * affine.weight.dim()
    broadcast[axis] = -1
    affine.weight = nn.Parameter(affine.weight * scale.view(broadcast), requires_grad=False)
    affine.bias = nn.Parameter(affine.bias * scale + shift, requires_grad=False)


def _outputs_axis(affine: Affine) -> int:
    return 1 if isinstance(affine, nn.ConvTranspose2d) else 0


def round_to_float16(part: nn.Sequential) -> nn.Sequential:
    """The same layers, each number rounded to half precision (16 bits): as they arrive in the browser."""
    return copy.deepcopy(part).half().float()


@torch.inference_mode()
def run(part: nn.Sequential, values: np.ndarray) -> np.ndarray:
    """What a half makes of values (N, ...), as the browser does: codes (N, D) of images (N, n, n), or the reverse."""
    x = torch.as_tensor(values, dtype=torch.float32)
    outputs = part(x[:, None] if x.dim() == 3 else x)
    return (outputs[:, 0] if outputs.dim() == 4 else outputs).numpy()


def portable(part: nn.Sequential, sizes: list[int]) -> dict:
    """A half of the model as network.js takes it: folded layers in order, and all weights in one text.

    `sizes` are the images' widths in the order of the half, e.g. [28, 14, 7] of the encoder.
    """
    widths = iter(sizes)
    layers, numbers, _ = _listed(fold(part), next(widths), widths)
    return dict(layers=layers, weights=base64_of(_flat(numbers), "<f2"))


def _listed(part: nn.Sequential, n: int, widths: Iterator[int]) -> tuple[list[dict], list[Tensor], int]:
    """Folded layers that get maps n wide, as dicts; all their weights, in order; the width of what they put out."""
    layers, numbers = [], []
    for layer in part:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kind = "conv" if isinstance(layer, nn.Conv2d) else "deconv"
            m = n if layer.stride == (1, 1) else next(widths)
            told = dict(kind=kind, inputs=layer.in_channels, outputs=layer.out_channels, n=n, m=m)
            sides = zip(("kernel", "stride", "padding"), (layer.kernel_size, layer.stride, layer.padding), strict=True)
            layers.append(told | {name: side for name, (side, _) in sides})
            n = m
        elif isinstance(layer, nn.Linear):
            layers.append(dict(kind="linear", inputs=layer.in_features, outputs=layer.out_features))
        elif isinstance(layer, ResidualBlock):
            inner, inner_numbers, _ = _listed(layer.correction, n, widths)
            layers.append(dict(kind="residual", layers=inner))
            numbers += inner_numbers
        elif isinstance(layer, Scale):
            layers.append(dict(kind="scale", outputs=len(layer.weight)))
        elif isinstance(layer, nn.GELU | nn.Sigmoid):
            layers.append(dict(kind=type(layer).__name__.lower()))
        elif not isinstance(layer, nn.Flatten | nn.Unflatten):  # an image of C channels is flat in the browser
            raise TypeError(f"network.js has no {type(layer).__name__}")
        if isinstance(layer, Affine | Scale):
            numbers += [layer.weight, layer.bias]
    return layers, numbers, n


def _flat(parts: Iterable[Tensor]) -> np.ndarray:
    return np.concatenate([part.detach().numpy().ravel() for part in parts])


def count_weights(part: nn.Sequential) -> int:
    """Of a folded half."""
    return sum(math.prod(weights.shape) for weights in part.parameters())


def base64_of(values: np.ndarray, dtype: str) -> str:
    """Numbers as base64 text of little-endian half precision, "<f2", or of bytes, "u1" or "i1"."""
    return base64.b64encode(values.astype(dtype).tobytes()).decode()
