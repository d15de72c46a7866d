"""What makes steps of gradients: Adam, AdamW, or Muon for the hidden layers and Adam for all else."""

import torch
from torch import Tensor, nn

from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder

MOMENTUM = 0.95  # in the form of Nesterov
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz polynomial that Jordan et al. chose for few iterations
AFFINE = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def make_optimizers(model: ConvAutoencoder, config: Config, device: torch.device) -> list[torch.optim.Optimizer]:
    """The optimisers that together step all weights of the model; their learning rate is the first one's."""
    usual = dict(lr=config.learning_rate, weight_decay=config.weight_decay, fused=device.type != "mps")
    if config.optimizer == "adam":  # Kingma & Ba 2015
        return [torch.optim.Adam(model.parameters(), **usual)]
    if config.optimizer == "adamw":  # Loshchilov & Hutter 2019
        return [torch.optim.AdamW(model.parameters(), **usual)]
    hidden = hidden_weights(model)
    others = [p for p in model.parameters() if all(p is not weight for weight in hidden)]
    return [Muon(hidden, lr=config.learning_rate), torch.optim.Adam(others, **usual)]


def hidden_weights(model: ConvAutoencoder) -> list[nn.Parameter]:
    """The weights of all layers but those that meet pixels: the encoder's first one and the decoder's last one."""
    return [layer.weight for layer in model.modules() if isinstance(layer, AFFINE)][1:-1]


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024): a step along the momentum with all its singular values made about equal.

    The step's size is that of Adam at the same learning rate (Liu et al. 2025). torch.optim.Muon refuses the kernels of
    convolutions, here matrices (maps, all else), and multiplies by the long side of a matrix at each iteration; as the
    iterates share the gradient's singular vectors, its short side is enough here: a fifth of the work for 64 × 3136.
    """

    def __init__(self, params, lr: float):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                average = state.setdefault("momentum", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - MOMENTUM)
                direction = orthogonalised(p.grad.lerp(average, MOMENTUM).flatten(1))
                size = 0.2 * max(direction.shape) ** 0.5
                p.sub_(direction.view_as(p), alpha=group["lr"] * size)


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of `matrix` (r, c), and singular values of about 1 (0.7 to 1.2).

    Newton-Schulz iteration on the Gram matrix of the shorter side: X ← p(XXᵀ) X, with p(G) = a + bG + cG².
    """
    if len(matrix) > matrix.shape[1]:
        return orthogonalised(matrix.T).T
    a, b, c = COEFFICIENTS
    one = torch.eye(len(matrix), device=matrix.device)
    norm = matrix.norm() + 1e-7  # all singular values of what is divided by it are below 1
    gram, product = matrix @ matrix.T / norm**2, one
    for _ in range(ITERATIONS):
        factor = a * one + b * gram + c * gram @ gram
        product, gram = factor @ product, factor @ gram @ factor
    return product @ matrix / norm
