"""Training: the same bits for a seed, also when stopped and resumed; no look at the test images; faults are told."""

import dataclasses
import inspect
import math
import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cae_lib import training
from cae_lib.config import ConfigError
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run, RunError
from cae_lib.training import Interrupted, TrainingError, train


def files(run: Run, *names: str) -> list[bytes]:
    return [(run.path / name).read_bytes() for name in names or ("model.safetensors", "history.csv", "checkpoint.pt")]


def final_state(run: Run) -> dict:
    return {k: v for k, v in run.load_checkpoint().items() if k not in ("seconds", "threads")}  # how fast, not what


def assert_same(a, b, where="state"):
    """Bitwise equality of nested states."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def interrupt_at_step(monkeypatch, step: int, number=signal.SIGTERM) -> None:
    """Send this process a signal in the middle of training step `step`, counted from now."""
    real, count = F.mse_loss, [0]

    def mse_loss(*args, **kwargs):
        if kwargs.get("reduction") != "sum":  # a training step, not an evaluation
            count[0] += 1
            if count[0] == step:
                os.kill(os.getpid(), number)
        return real(*args, **kwargs)

    monkeypatch.setattr(training.F, "mse_loss", mse_loss)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "plateau", "constant"])
def test_two_trainings_give_the_same_bits(tiny, tiny_data, tmp_path, schedule):
    config = dataclasses.replace(tiny, schedule=schedule)
    runs = [train(config, tiny_data, Run(tmp_path / name)) for name in "ab"]
    assert files(runs[0], "model.safetensors", "history.csv") == files(runs[1], "model.safetensors", "history.csv")
    assert_same(final_state(runs[0]), final_state(runs[1]))


def test_another_seed_gives_other_weights(tiny, tiny_data, tmp_path):
    runs = [train(dataclasses.replace(tiny, seed=s), tiny_data, Run(tmp_path / str(s))) for s in (1, 2)]
    assert files(runs[0], "model.safetensors") != files(runs[1], "model.safetensors")


@pytest.mark.parametrize("step", [1, 4, 6, 7, 13, 17])  # 6 steps an epoch, 18 in all: within, at the end, after it
def test_stopped_at_a_step_and_resumed_it_ends_with_the_same_bits(tiny, tiny_data, tmp_path, monkeypatch, step):
    whole = train(tiny, tiny_data, Run(tmp_path / "whole"))
    stopped = Run(tmp_path / "stopped")
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, step)
        with pytest.raises(Interrupted, match="nothing is lost") as stop:
            train(tiny, tiny_data, stopped)
    assert stop.value.number == signal.SIGTERM and stopped.state == "unfinished"
    assert stopped.load_checkpoint()["done"] == step
    train(tiny, tiny_data, stopped)
    assert files(whole, "model.safetensors", "history.csv") == files(stopped, "model.safetensors", "history.csv")
    assert_same(final_state(whole), final_state(stopped))
    assert len(stopped.provenance["epoch_seconds"]) == tiny.epochs


def test_ctrl_c_waits_for_the_end_of_the_step_and_is_python_s_again_afterwards(tiny, tiny_data, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    interrupt_at_step(monkeypatch, 2, signal.SIGINT)
    with pytest.raises(Interrupted) as stop:
        train(tiny, tiny_data, Run(tmp_path))
    assert stop.value.number == signal.SIGINT and signal.getsignal(signal.SIGINT) is before


def test_it_trains_outside_the_main_thread_too(tiny, tiny_data, tmp_path):
    thread = threading.Thread(target=train, args=(tiny, tiny_data, Run(tmp_path)))
    thread.start()
    thread.join()
    assert Run(tmp_path).state == "finished"


def test_a_finished_run_is_read_not_trained_again(tiny, tiny_data, tmp_path, monkeypatch):
    run = train(tiny, tiny_data, Run(tmp_path))
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    monkeypatch.setattr(training, "fit", lambda *_: pytest.fail("trained again"))
    train(tiny, tiny_data, run)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_another_configuration_data_or_code_is_refused_and_nothing_is_overwritten(
    tiny, tiny_data, tmp_path, monkeypatch
):
    run = train(tiny, tiny_data, Run(tmp_path))
    before = files(run)
    with pytest.raises(RunError, match=r"latent_dim: the run has 6, asked is 7"):
        train(dataclasses.replace(tiny, latent_dim=7), tiny_data, run)
    with pytest.raises(RunError, match=r"data: the dataset's content has changed"):
        train(tiny, dataclasses.replace(tiny_data, sha256={"synthetic": "0"}), run)
    monkeypatch.setattr(training, "code_sha256", lambda *_: "0")
    with pytest.raises(RunError, match=r"code: what computes the weights has changed"):
        train(tiny, tiny_data, run)
    assert files(run) == before


def test_the_weights_kept_are_the_best_by_validation(tiny, tiny_data, tmp_path):
    run = train(dataclasses.replace(tiny, learning_rate=0.03, schedule="constant", epochs=8), tiny_data, Run(tmp_path))
    history = run.history()["validation_loss"]
    x = tiny_data.validation_images.float() / 255
    with torch.inference_mode():
        kept = F.mse_loss(run.model()(x), x).item()
    assert kept == pytest.approx(history.min(), rel=1e-5)
    assert history.min() < history.max()


def test_the_first_step_is_adam_s(tiny, tiny_data, tmp_path):
    """One step of the loop against Adam written out (Kingma & Ba 2015, algorithm 1, with L2 in the gradient)."""
    config = dataclasses.replace(tiny, epochs=1, batch_size=96, precision="float32", schedule="constant")
    run = train(config, tiny_data, Run(tmp_path))
    torch.manual_seed(config.seed)
    model = ConvAutoencoder(config)
    x = tiny_data.train_images.float() / 255
    F.mse_loss(model(x), x).backward()
    after = run.load_checkpoint()["model"]
    for name, p in model.named_parameters():
        g = p.grad + config.weight_decay * p.detach()
        step = config.learning_rate * g / (g.abs() + 1e-8)  # both bias-corrected moments at t = 1
        assert torch.allclose(after[name], p.detach() - step, atol=2e-4), name


def test_learning_rates_follow_the_schedule(tiny, tiny_data, tmp_path, monkeypatch):
    def rates(schedule, **changes):
        config = dataclasses.replace(tiny, schedule=schedule, **changes)
        return train(config, tiny_data, Run(tmp_path / schedule)).history()["learning_rate"]

    last_steps = np.array([5, 11, 17])
    assert rates("cosine") == pytest.approx(tiny.learning_rate * (1 + np.cos(np.pi * last_steps / 18)) / 2)
    assert rates("one-cycle") == pytest.approx(
        tiny.learning_rate * (1 + np.cos(np.pi * (last_steps / 18 - 0.25) / 0.75)) / 2
    )  # after the rise over the first quarter
    assert rates("constant") == pytest.approx(tiny.learning_rate)
    monkeypatch.setattr(training, "mse", lambda *_: 0.1)  # no epoch is better than the first
    falling = rates("plateau", epochs=10)  # three epochs of patience, then half
    assert falling == pytest.approx(tiny.learning_rate * np.array([1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]))


def test_the_loss_recorded_is_the_loss_of_the_kept_data(tiny, tiny_data, tmp_path):
    row = {k: v[-1] for k, v in train(dataclasses.replace(tiny, epochs=1), tiny_data, Run(tmp_path)).history().items()}
    model = ConvAutoencoder(tiny).eval()
    model.load_state_dict(Run(tmp_path).load_checkpoint()["model"])
    for name, images in (("train_loss", tiny_data.train_images[:32]), ("validation_loss", tiny_data.validation_images)):
        x = images.numpy().astype(np.float64) / 255
        with torch.inference_mode():
            x_hat = model(torch.tensor(x, dtype=torch.float32)).numpy()
        assert row[name] == pytest.approx(np.mean((x - x_hat) ** 2), rel=1e-5)


def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_the_last_good_weights(
    tiny, tiny_data, tmp_path, monkeypatch
):
    real, epochs = training.mse, []

    def mse(model, images, noise_std):
        epochs.append(images)
        return math.nan if len(epochs) > 2 else real(model, images)  # two evaluations an epoch

    monkeypatch.setattr(training, "mse", mse)
    run = Run(tmp_path)
    with pytest.raises(TrainingError, match=r"in epoch 2.*learning_rate 0.001.*smaller learning_rate"):
        train(tiny, tiny_data, run)
    assert run.state == "failed" and (tmp_path / "model.safetensors").is_file()
    with pytest.raises(RunError, match="it is failed"):
        _ = run.config
    with pytest.raises(TrainingError, match="has failed before"):
        train(tiny, tiny_data, run)


def test_a_huge_learning_rate_stops_within_the_first_epochs(tiny, tiny_data, tmp_path):
    config = dataclasses.replace(tiny, learning_rate=1e30, epochs=50)
    with pytest.raises(TrainingError, match=r"learning_rate 1e\+30"):
        train(config, tiny_data, Run(tmp_path))
    assert Run(tmp_path).state == "failed"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(channels=(2, 2, 2, 2, 2)), "channels: layer conv5 gets a 1×1 map"),
        (dict(channels=(2, 2, 2, 2), batch_size=19), "batch_size: found 19, which leaves one of 96 images over"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(tiny, tiny_data, tmp_path, changes, told):
    with pytest.raises(ConfigError, match=told):
        train(dataclasses.replace(tiny, **changes), tiny_data, Run(tmp_path / "r"))
    assert not (tmp_path / "r").exists()


def test_bfloat16_computes_and_the_weights_stay_float32(tiny, tiny_data, tmp_path):
    run = train(dataclasses.replace(tiny, precision="bfloat16"), tiny_data, Run(tmp_path))
    assert {p.dtype for p in run.model().parameters()} == {torch.float32}
    assert run.provenance["precision"] == "bfloat16"


def test_the_training_loop_fits_a_screen():
    lines = inspect.getsource(training.fit).splitlines()  # notebook 01 shows them
    assert len(lines) <= 80 and max(map(len, lines)) <= 80


def test_data_of_any_order_is_seen_once_an_epoch(tiny):
    for epoch in range(2):
        seen = torch.cat(training.shuffled(96, tiny, epoch, torch.device("cpu")))
        assert sorted(seen.tolist()) == list(range(96))
    first, second = (torch.cat(training.shuffled(96, tiny, e, torch.device("cpu"))) for e in (0, 1))
    assert not torch.equal(first, second)


def test_the_validation_images_are_not_trained_on(tiny, tiny_data, tmp_path):
    other = dataclasses.replace(tiny_data, validation_images=255 - tiny_data.validation_images)
    runs = [train(tiny, d, Run(tmp_path / n)) for n, d in (("a", tiny_data), ("b", other))]
    assert_same(*(r.load_checkpoint()["model"] for r in runs))


def test_a_denoising_autoencoder_sees_noise_and_is_judged_by_clean_images(tiny, tiny_data, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(ConvAutoencoder, "forward", lambda model, x: seen.append(x) or model.decode(model.encode(x)))
    config = dataclasses.replace(tiny, noise_std=0.3, epochs=1)
    run = train(config, tiny_data, Run(tmp_path))
    first = tiny_data.train_images[training.shuffled(96, config, 0, torch.device("cpu"))[0]].float() / 255
    assert (seen[0] - first).std().item() == pytest.approx(0.3, rel=0.05)
    x = tiny_data.validation_images.float() / 255
    y = x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        judged = F.mse_loss(run.model()(y), x).item()
    assert run.history()["validation_loss"][-1] == pytest.approx(judged, rel=1e-5)


def test_stopped_and_resumed_a_denoising_training_ends_with_the_same_bits(tiny, tiny_data, tmp_path, monkeypatch):
    config = dataclasses.replace(tiny, noise_std=0.3)
    whole, stopped = train(config, tiny_data, Run(tmp_path / "whole")), Run(tmp_path / "stopped")
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 8)
        with pytest.raises(Interrupted):
            train(config, tiny_data, stopped)
    train(config, tiny_data, stopped)
    assert_same(final_state(whole), final_state(stopped))


def test_what_another_process_began_meanwhile_is_refused_under_the_lock(tiny, tiny_data, tmp_path, monkeypatch):
    real = Run.lock

    def lock(run):
        with monkeypatch.context() as patch:
            patch.setattr(Run, "lock", real)
            train(dataclasses.replace(tiny, seed=1), tiny_data, Run(tmp_path))
        return real(run)

    monkeypatch.setattr(Run, "lock", lock)
    with pytest.raises(RunError, match="seed: the run has 1, asked is 42"):
        train(tiny, tiny_data, Run(tmp_path))
    assert Run(tmp_path).config.seed == 1


def test_what_was_chosen_is_announced(tiny, tiny_data, tmp_path, capsys):
    facts = train(tiny, tiny_data, Run(tmp_path)).provenance
    told = capsys.readouterr().err.splitlines()[0]
    assert told.startswith("training: device cpu") and f"precision {facts['precision']}" in told
