"""The optimisers: Muon against a singular value decomposition and PyTorch's own, and who steps which weight."""

import dataclasses

import pytest
import torch

from cae_lib.model import ConvAutoencoder
from cae_lib.optimizers import Muon, hidden_weights, make_optimizers, orthogonalised
from cae_lib.run import Run
from cae_lib.training import Interrupted, train
from tests.test_training import assert_same, files, final_state, interrupt_at_step


@pytest.mark.parametrize("shape", [(12, 300), (300, 12), (20, 20), (1, 9)])
def test_a_direction_has_the_singular_vectors_of_the_gradient_and_values_of_about_one(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, before, v = torch.linalg.svd(matrix, full_matrices=False)
    after = u.T @ orthogonalised(matrix) @ v.T  # diagonal, if the singular vectors are the same
    assert (after - after.diag().diag()).abs().max() < 1e-3
    kept = before > 0.05 * before.max()
    assert after.diag()[kept].min() > 0.6 and after.diag().max() < 1.3


def test_steps_are_those_of_pytorch_s_muon_where_it_has_them():
    torch.manual_seed(1)
    start, gradients = torch.randn(10, 40), torch.randn(4, 10, 40)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    own = Muon([ours], lr=0.02)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        for weight, optimizer in ((ours, own), (theirs, reference)):
            weight.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved, "theirs computes in bfloat16"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_each_weight_is_stepped_by_one_optimizer(tiny, optimizer):
    model = ConvAutoencoder(dataclasses.replace(tiny, optimizer=optimizer, blocks=1, refine=3))
    optimizers = make_optimizers(model, dataclasses.replace(tiny, optimizer=optimizer), torch.device("cpu"))
    stepped = [id(p) for each in optimizers for group in each.param_groups for p in group["params"]]
    assert sorted(stepped) == sorted(id(p) for p in model.parameters())


def test_muon_steps_no_weight_that_meets_pixels_and_no_vector(tiny):
    model = ConvAutoencoder(tiny)
    names = {id(p): name for name, p in model.named_parameters()}
    hidden = {names[id(p)] for p in hidden_weights(model)}
    assert hidden == {
        f"{part}.weight" for part in ("encoder.conv2", "encoder.linear", "decoder.linear", "decoder.deconv2")
    }


@pytest.mark.parametrize(
    "changes",
    [
        dict(optimizer="muon", learning_rate=0.01),
        dict(optimizer="adamw", weight_decay=0.05),
        dict(shift=0.5, refine=2, blocks=1),
    ],
    ids=["muon", "adamw", "shifted images, blocks and a refining convolution"],
)
def test_each_trains_and_resumes_with_the_same_bits(tiny, tiny_data, tmp_path, monkeypatch, changes):
    config = dataclasses.replace(tiny, **changes)
    whole, stopped = train(config, tiny_data, Run(tmp_path / "whole")), Run(tmp_path / "stopped")
    losses = whole.history()["validation_loss"]
    assert losses[-1] < losses[0]
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 7)
        with pytest.raises(Interrupted):
            train(config, tiny_data, stopped)
    train(config, tiny_data, stopped)
    assert files(whole, "model.safetensors", "history.csv") == files(stopped, "model.safetensors", "history.csv")
    assert_same(final_state(whole), final_state(stopped))


def test_adamw_shrinks_weights_beside_the_gradient(tiny, tiny_data, tmp_path):
    """The first step written out (Loshchilov & Hutter 2019, algorithm 2): AdamW's shrinks what Adam's does not."""
    step = dict(epochs=1, batch_size=96, precision="float32", schedule="constant", optimizer="adamw")
    after = []
    for decay in (0.0, 0.5):
        config = dataclasses.replace(tiny, weight_decay=decay, **step)
        after.append(train(config, tiny_data, Run(tmp_path / str(decay))).load_checkpoint()["model"])
    torch.manual_seed(tiny.seed)
    for name, p in ConvAutoencoder(tiny).named_parameters():
        lost = tiny.learning_rate * 0.5 * p.detach()
        assert torch.allclose(after[0][name] - after[1][name], lost, atol=1e-7), name
