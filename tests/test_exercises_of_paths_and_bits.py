"""The checks of chapters 04 and 05 against answers that were worked out otherwise, and against near misses."""

import numpy as np
import pytest
import torch

from cae_lib import data, metrics
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from report.exercises import compression, interpolation
from tests.conftest import TINY

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(20, 3))


@pytest.mark.parametrize(("answer", "right"), [(3.05, True), (3.2, False), (-3.05, False), (0.0305, False)])
def test_the_gain_is_read_in_percent_and_to_a_tenth(answer, right):
    assert interpolation.gain_within(answer, 3.499, 3.609) is right


def test_the_middle_of_two_codes_at_right_angles_is_shorter_by_the_root_of_two():
    assert interpolation.middle_length(np.sqrt(0.5), np.full(5, 90.0))
    assert not interpolation.middle_length(0.5, np.full(5, 90.0))


def test_beyond_the_end_is_half_the_way_again():
    z0, z1 = CODES[:10], CODES[10:]
    assert interpolation.beyond_the_end(z1 + (z1 - z0) / 2, z0, z1)
    for wrong in (z1 + (z1 - z0), z0 + (z1 - z0) / 2, z1[:-1], 3.0, None):
        assert not interpolation.beyond_the_end(wrong, z0, z1)


def test_nearer_codes_is_a_share_of_the_pairs():
    midpoints = dict(linear=np.array([[0.1], [5.0], [0.0], [0.2]]), spherical=np.array([[1.0], [1.0], [3.0], [0.9]]))
    assert interpolation.nearer_codes(0.75, midpoints, np.zeros((2, 1)))
    assert not interpolation.nearer_codes(0.25, midpoints, np.zeros((2, 1)))


def test_ratios_and_break_even_are_right_to_one_percent():
    assert compression.raw_to_code(16.1, 0.5) and not compression.raw_to_code(15.5, 0.5)
    assert compression.paid_off(48, 100, 10, 40) and not compression.paid_off(88, 100, 10, 40)  # 88: all of 32 bits


def test_entropy_of_a_fair_coin_is_a_bit():
    assert compression.entropy(1, np.array([3, 7] * 8)) and not compression.entropy(0.97, np.array([3, 7] * 8))


def test_rounded_codes_lie_on_the_grid_and_near_their_codes():
    assert compression.rounded(np.round(CODES * 2) / 2, CODES, 0.5)
    for wrong in (CODES, np.round(CODES), np.floor(CODES * 2) / 2, np.round(CODES * 2)[:-1] / 2):
        assert not compression.rounded(wrong, CODES, 0.5)


def test_a_model_must_be_trained_and_have_eight_numbers():
    config = Config(**TINY | dict(latent_dim=8))
    x = metrics.pixels(data.load(config).validation_images)
    torch.manual_seed(0)
    model = ConvAutoencoder(config)
    assert not compression.eight_numbers(model.eval(), x), "untrained"
    adam, batch = torch.optim.Adam(model.parameters(), lr=1e-2), torch.from_numpy(x[:, None])
    for _ in range(150):
        adam.zero_grad()
        torch.nn.functional.mse_loss(model.train()(batch), batch).backward()
        adam.step()
    assert compression.eight_numbers(model.eval(), x)
    assert not compression.eight_numbers(ConvAutoencoder(Config(**TINY | dict(latent_dim=4))).eval(), x)
