"""`shape_walk`: the table of every layer's sizes and how they come about, read off the model's real layers."""

from typing import NamedTuple

import torch
from torch import nn

from cae_lib.model import KERNEL, PADDING, STRIDE, ConvAutoencoder


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
        return f"⌊({n} + 2·{PADDING} − {KERNEL}) / {layer.stride[0]}⌋ + 1 = {m}"
    if isinstance(layer, nn.ConvTranspose2d):
        return f"({n} − 1)·{STRIDE} − 2·{PADDING} + {KERNEL} + {layer.output_padding[0]} = {m}"
    if isinstance(layer, nn.Flatten | nn.Unflatten):
        wide, flat = (before, after) if len(before) == 3 else (after, before)
        return f"{' · '.join(map(str, wide))} = {flat[0]}"
    return f"{n} → {m}" if n != m else "="
