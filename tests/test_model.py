"""The model and its walk of sizes, held against real forward passes and a hand-counted example."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cae_lib.config import Config, ConfigError
from cae_lib.model import ConvAutoencoder, Flatten, ResidualBlock, Unflatten, conv_size
from report.walk import shape_walk


def build(size: int, channels: tuple[int, ...], latent: int = 3) -> ConvAutoencoder:
    return ConvAutoencoder(Config(dataset="synthetic", image_size=size, channels=channels, latent_dim=latent)).eval()


@given(size=st.integers(8, 64), depth=st.integers(1, 6), latent=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_any_size_and_depth_that_fits_comes_back_to_its_size(size, depth, latent):
    channels = tuple(range(2, 2 + depth))
    try:
        model = build(size, channels, latent)
    except ConfigError:
        assert min(encoder_sizes_unchecked(size, depth)[:-1]) < 2  # refused only where a layer has nothing to halve
        return
    x = torch.rand(2, 1, size, size)
    z = model.encode(x)
    assert z.shape == (2, latent)
    assert model.decode(z).shape == x.shape
    rows = shape_walk(model)
    assert rows[0].input == (1, size, size) and rows[-1].output == (1, size, size)
    for before, after in itertools.pairwise(rows):
        assert before.output == after.input
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())


def encoder_sizes_unchecked(size: int, depth: int) -> list[int]:
    sizes = [size]
    for _ in range(depth):
        sizes.append(-(-sizes[-1] // 2))  # half, rounded up
    return sizes


@given(n=st.integers(2, 200))
def test_the_formula_is_what_the_layer_does(n):
    layer = torch.nn.Conv2d(1, 1, 3, 2, 1)
    assert layer(torch.zeros(1, 1, n, n)).shape[-1] == conv_size(n)


def test_the_walk_of_the_report_counted_by_hand():
    rows = {(row.part, row.name): row for row in shape_walk(ConvAutoencoder(Config(channels=(32, 64), latent_dim=64)))}
    first, last = rows["encoder", "conv1"], rows["decoder", "deconv1"]
    assert (first.input, first.output, first.parameters) == ((1, 28, 28), (32, 14, 14), 1 * 32 * 9)
    assert first.formula == "⌊(28 + 2·1 − 3) / 2⌋ + 1 = 14"
    assert (
        rows["encoder", "flatten"].output == (64 * 7 * 7,) and rows["encoder", "flatten"].formula == "64 · 7 · 7 = 3136"
    )
    assert rows["encoder", "linear"].parameters == 3136 * 64 + 64
    assert (last.input, last.output, last.parameters) == ((32, 14, 14), (1, 28, 28), 32 * 9 + 1)
    assert last.formula == "(14 − 1)·2 − 2·1 + 3 + 1 = 28"


@given(size=st.integers(8, 64), depth=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_every_formula_in_the_walk_is_true(size, depth):
    for row in shape_walk(build(size, (2,) * depth)):
        if row.kind in ("Conv2d", "ConvTranspose2d", "Flatten", "Unflatten"):
            left, right = row.formula.replace("−", "-").replace("·", "*").split(" = ")
            left = left.replace("⌊", "(").replace("⌋", ")").replace("/", "//")
            assert eval(left) == int(right)
            assert int(right) in (row.output[-1], row.input[-1])


def test_a_depth_that_cannot_work_names_the_layer_and_fills_in_the_formula():
    with pytest.raises(ConfigError, match=r"channels: layer conv4 gets a 1×1 map .*⌊\(1 \+ 2·1 − 3\) / 2⌋ \+ 1 = 1"):
        build(8, (2, 2, 2, 2, 2))


def test_flattening_copies_nothing_and_can_be_undone():
    x = torch.rand(3, 5, 4, 4).contiguous(memory_format=torch.channels_last)
    flat = Flatten()(x)
    assert flat.shape == (3, 80) and flat.data_ptr() == x.data_ptr()
    assert torch.equal(flat[0, :5], x[0, :, 0, 0])  # the first pixel's channels, then the next one's
    assert torch.equal(Unflatten(1, (4, 4, 5))(flat), x)


def test_maps_and_their_gradients_stay_channels_last():
    """Where one layer's maps were laid out otherwise, those around it would copy, and take longer."""
    model = build(28, (4, 8)).train()
    seen = []

    def watch(layer, given, made):
        seen.append(made)
        made.register_hook(seen.append)  # its gradient

    for part in (model.encoder, model.decoder):
        for name, layer in part.named_children():
            if name.startswith(("conv", "norm", "gelu", "deconv2")):
                layer.register_forward_hook(watch)
    model(torch.rand(6, 1, 28, 28)).sum().backward()
    assert len(seen) == 2 * (2 * 3 + 2 * 2 + 1)
    assert all(maps.is_contiguous(memory_format=torch.channels_last) for maps in seen)


def test_the_output_is_an_image():
    x_hat = build(28, (4, 8))(torch.rand(5, 1, 28, 28))
    assert x_hat.min() >= 0 and x_hat.max() <= 1


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in build(28, (4, 8)).parameters()]))
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_new_blocks_change_nothing_and_a_trained_one_does():
    x = torch.rand(2, 1, 28, 28)
    torch.manual_seed(0)
    model = ConvAutoencoder(Config(blocks=2)).eval()
    blocks = [layer for layer in model.modules() if isinstance(layer, ResidualBlock)]
    assert len(blocks) == 2 * 2 * 2  # of each width, in the encoder and in the decoder
    plain = ConvAutoencoder(Config()).eval()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "block" not in name})
    with torch.inference_mode():
        assert torch.equal(model(x), plain(x))
        blocks[0].correction[-1].bias += 1.0
        assert not torch.equal(model(x), plain(x))


def test_the_refining_convolution_makes_one_image_of_many_maps():
    rows = {row.name: row for row in shape_walk(ConvAutoencoder(Config(refine=5))) if row.part == "decoder"}
    assert rows["deconv1"].output == (5, 28, 28) and rows["deconv1"].parameters == 32 * 5 * 9
    assert (rows["refine"].input, rows["refine"].output) == ((5, 28, 28), (1, 28, 28))
    assert rows["refine"].parameters == 5 * 9 + 1 and rows["refine"].formula == "⌊(28 + 2·1 − 3) / 1⌋ + 1 = 28"
