"""The checks of the first two chapters' exercises against answers that are wrong in kind or only nearly right."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from report.exercises import data_and_model, training

CONFIG = Config(dataset="synthetic", image_size=28, train_size=1000, channels=(8, 16), latent_dim=16, batch_size=50)
IMAGE = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 1, 0]])
KERNEL = torch.tensor([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])


def test_a_row_worked_out_by_hand():
    # the window's middle row times 0, its last row times 1: 1 + 1 and 1 + 1 + 1
    assert data_and_model.transposed_row([2, 3], IMAGE, KERNEL)
    for other in ([3, 2], [2], [2, 3, 0], "23", [], 2):
        assert not data_and_model.transposed_row(other, IMAGE, KERNEL), other


@pytest.mark.parametrize(("width", "k", "s", "p", "m"), [(28, 5, 3, 2, 10), (6, 3, 2, 1, 3), (5, 3, 2, 1, 3)])
def test_a_width_is_the_number_of_the_windows_places(width, k, s, p, m):
    assert data_and_model.output_width(m, width, k, s, p)
    assert not data_and_model.output_width(m + 1, width, k, s, p)
    assert not data_and_model.output_width(str(m), width, k, s, p)


def test_the_output_paddings_are_those_of_the_real_decoder():
    assert data_and_model.output_paddings([1, 0, 1], 22, 3)  # 22 → 11 → 6 → 3
    assert data_and_model.output_paddings((0, 0, 0), 17, 3)  # 17 → 9 → 5 → 3
    for other in ([1, 1, 0], [1, 0], [1, 0, 1, 0], "101", 1):
        assert not data_and_model.output_paddings(other, 22, 3), other


def test_the_best_constant_is_the_mean_and_its_error_the_variance():
    x = np.random.default_rng(0).random((20, 4, 4)).astype(np.float32) ** 2
    assert data_and_model.best_constant((x.mean(), x.var()), x)
    assert not data_and_model.best_constant((np.median(x), np.square(x - np.median(x)).mean()), x)
    assert not data_and_model.best_constant((x.mean(), x.std()), x)


@pytest.mark.parametrize("answer", [(8, 16), (7, 15), (4,), (2, 2, 2), (0, 4), "few", ()])
def test_half_the_parameters_with_as_many_layers(answer):
    assert data_and_model.half_the_parameters((4, 7), CONFIG)
    assert not data_and_model.half_the_parameters(answer, CONFIG)


def test_readings_of_a_validation_loss():
    loss = np.array([4.0, 2.0, 2.1, 1.05, 1.0, 1.02])
    assert training.first_near_the_best(4, loss) and not training.first_near_the_best(5, loss)
    assert training.early_stopping_loss(3.01, loss)  # 2 against 1
    assert not training.early_stopping_loss(3.2, loss) and not training.early_stopping_loss(0, loss)
    assert training.early_stopping_loss(0, loss[[0, 1, 4]]), "it never rises"
    assert training.rate_after_a_third(7.5e-4, 1e-3) and not training.rate_after_a_third(6.7e-4, 1e-3)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"batch_size": 60},
        {"epochs": 20},
        {"train_size": 500},
        {"batch_size": 100, "latent_dim": 8},
        {"batch_size": 100, "channels": (4, 8)},
    ],
    ids=str,
)
def test_half_the_steps_without_taking_anything_else_away(other):
    assert training.half_the_steps(replace(CONFIG, batch_size=100), CONFIG)
    assert not training.half_the_steps(replace(CONFIG, **other), CONFIG)
    assert not training.half_the_steps({"batch_size": 100}, CONFIG)


def test_a_model_trained_with_another_loss_has_another_absolute_error():
    x = torch.zeros(32, 1, 28, 28)
    x[:, :, 8:20, 8:20] = 1

    def few_steps(loss_of):
        torch.manual_seed(0)
        model = ConvAutoencoder(CONFIG)
        adam = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(12):
            loss = loss_of(model(x), x)
            adam.zero_grad()
            loss.backward()
            adam.step()
        return model.eval()

    found = {}
    for name, loss_of in (("own", lambda a, b: (a - b).abs().mean()), ("mse", F.mse_loss)):
        found[name] = F.l1_loss(few_steps(loss_of)(x), x).item()
    assert training.absolute_error(found["own"], few_steps, x)
    assert not training.absolute_error(found["mse"], few_steps, x)
