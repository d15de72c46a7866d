"""The checks of chapter 01, training."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cae_lib.config import Config
from cae_lib.training import SHAPES


def first_near_the_best(answer, validation_loss: np.ndarray) -> bool:
    """Asked: the first epoch, from 1, with a validation loss (epochs,) at most 10% above its lowest value."""
    return answer == 1 + np.argmax(validation_loss <= 1.1 * validation_loss.min())


def rate_after_a_third(answer, learning_rate: float) -> bool:
    """Asked: the cosine schedule's rate after a third of the training, within 1%."""
    return math.isclose(answer, learning_rate * SHAPES["cosine"](1 / 3), rel_tol=0.01)


def early_stopping_loss(answer, validation_loss: np.ndarray) -> bool:
    """Asked: in dB, within 0.05, how far above the lowest loss (epochs,) the best before its first rise is."""
    kept = validation_loss[0]
    for loss in validation_loss[1:]:
        if loss > kept:
            break
        kept = loss
    return math.isclose(answer, 10 * math.log10(kept / validation_loss.min()), abs_tol=0.05)


def half_the_steps(answer, config: Config) -> bool:
    """Asked: a `Config` of at most half as many steps, its epochs and training images no fewer, its model the same."""
    if not isinstance(answer, Config):
        return False
    model = {name: getattr(config, name) for name in ("dataset", "image_size", "channels", "latent_dim")}
    before, after = (c.epochs * math.ceil(c.train_size / c.batch_size) for c in (config, answer))
    enough = answer.epochs >= config.epochs and answer.train_size >= config.train_size
    return enough and answer == replace(answer, **model) and after <= before / 2


def absolute_error(answer, few_steps: Callable[[Callable], nn.Module], held_out: Tensor) -> bool:
    """Asked: the mean absolute error on held_out (N, 1, n, n) of the model few_steps trains with it, within 0.2%."""
    model = few_steps(F.l1_loss)
    with torch.inference_mode():
        return math.isclose(answer, F.l1_loss(model(held_out), held_out).item(), rel_tol=0.002)
