"""The only training loop, `fit`, and what it needs: learning rate, batches, checks, signals.

The whole dataset is one uint8 tensor; a batch is one gather. No step waits for the device.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau
from tqdm import tqdm

from cae_lib.config import Config, ConfigError
from cae_lib.data import Dataset, add_noise, shift_some
from cae_lib.files import UserError
from cae_lib.machine import choose_device, choose_precision, deterministic, provenance
from cae_lib.model import ConvAutoencoder, encoder_sizes
from cae_lib.optimizers import make_optimizers
from cae_lib.run import Run, RunError, code_sha256
from cae_lib.threads import Threads

CODE = ("data", "machine", "model", "optimizers", "training")  # the modules that decide the weights
SHAPES: dict[str, Callable[[float], float]] = {  # share of the learning rate after a share t of the training
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,  # Loshchilov & Hutter 2017, without restarts
    "one-cycle": lambda t: t / 0.25 if t < 0.25 else SHAPES["cosine"]((t - 0.25) / 0.75),  # Smith & Topin 2019
}


class TrainingError(UserError):
    """The training went wrong in a way that more epochs cannot mend."""


class Interrupted(UserError):
    """Stopped by a signal, its `number`, with a checkpoint at the last whole step."""

    def __init__(self, run: Run, epoch: int, number: int):
        self.number = number
        super().__init__(f"stopped in epoch {epoch}; nothing is lost: the same again goes on in {run.path}")


def train(config: Config, dataset: Dataset, run: Run) -> Run:
    """Train as `config` says and keep it in `run`; a finished run is read, an unfinished one is resumed.

    Never reads the test images. Raises `RunError` where the directory belongs to another configuration, code or
    data, `RunBusy` where another process writes to it, `TrainingError` where the loss is no longer finite and
    `Interrupted` after Ctrl-C or SIGTERM; given again, it then ends with the same bits as if never stopped.
    """
    check_run(config, dataset, run)
    if run.state != "finished":
        check_fit(config, len(dataset.train_images))
        device = choose_device(config.device)
        dtype = choose_precision(config.precision, device)
        with run.lock(), deferred_signals() as signals:
            check_run(config, dataset, run)  # again: another process may have begun it meanwhile
            facts = provenance(device, dtype) | {
                "seed": config.seed,
                "data_source": dataset.source,
                "data_sha256": dataset.sha256,
                "code_sha256": code_sha256(*CODE),
                "parameters": sum(p.numel() for p in ConvAutoencoder(config).parameters()),
            }
            run.begin(config, facts)
            told = ("device", "processor", "precision", "parameters")
            print("training:", ", ".join(f"{name} {facts[name]}" for name in told), file=sys.stderr)
            with deterministic(device):
                fit(config, dataset, run, device, dtype, signals)
    return run


def fit(config: Config, dataset: Dataset, run: Run, device, dtype, signals):
    """Train on the mean squared error.

    Keeps in `run` the weights with the lowest validation loss. Once `signals`
    is not empty, saves a checkpoint after the step and raises `Interrupted`;
    the next call goes on from there. Raises `TrainingError` where a loss is
    not finite.
    """
    torch.manual_seed(config.seed)
    model = ConvAutoencoder(config)
    model.to(device)
    optimizers = make_optimizers(model, config, device)
    plateau = ReduceLROnPlateau(optimizers[0], factor=0.5, patience=3)
    threads = Threads(config, device, dtype)
    parts = dict(model=model, plateau=plateau, threads=threads)
    parts |= {type(each).__name__: each for each in optimizers}

    images = dataset.train_images.to(device)  # (N, 1, n, n), uint8
    validation = dataset.validation_images.to(device)
    noise = config.noise_std  # 0, but for a denoising autoencoder
    mixed = dtype != torch.float32  # the forward pass in lower precision
    steps = math.ceil(len(images) / config.batch_size)  # in an epoch
    total = config.epochs * steps
    running = torch.zeros((), device=device)  # squared error of this epoch
    done, best, history, seconds = resume(run, parts, running)
    style = dict(total=total, initial=done, unit="step") | bar_style()

    with threads.begun_at(done), tqdm(**style) as bar:
        for epoch in range(done // steps, config.epochs):
            start = time.perf_counter()
            model.train()
            batches = shuffled(len(images), config, epoch, device)
            threads.mark()
            for batch in batches[done % steps :]:  # all, or what is left
                set_learning_rate(optimizers, config, done / total)
                x = images[batch].float().div_(255)  # (B, 1, n, n)
                x = shift_some(x, config.shift, config.seed + done)
                noisy = add_noise(x, noise, config.seed + done)
                with torch.autocast(device.type, dtype, enabled=mixed):
                    x_hat = model(noisy)  # (B, 1, n, n)
                loss = F.mse_loss(x_hat.float(), x)
                model.zero_grad()
                loss.backward()
                for each in optimizers:
                    each.step()
                running += loss.detach() * len(batch)
                done += 1
                bar.update()
                threads.watch(done)
                if signals:
                    break
            seconds[-1] = round(seconds[-1] + time.perf_counter() - start, 2)

            if done % steps == 0:  # the epoch is complete
                row = dict(
                    epoch=epoch + 1,
                    running_loss=running.item() / len(images),
                    train_loss=mse(model, images[: len(validation)], noise),
                    validation_loss=mse(model, validation, noise),
                    learning_rate=optimizers[0].param_groups[0]["lr"],
                )
                history.append(row)
                run.save_history(history)
                check_finite(run, config, row)
                if config.schedule == "plateau":
                    plateau.step(row["validation_loss"])
                if row["validation_loss"] < best:
                    best = row["validation_loss"]
                    run.save_weights(model.state_dict())
                seconds.append(0.0)
                running.zero_()
                show(bar, config, row)
            state = dict(done=done, best=best, history=history, seconds=seconds)
            state |= {name: part.state_dict() for name, part in parts.items()}
            run.save_checkpoint(state | dict(running=running))
            if signals and done < total:
                raise Interrupted(run, epoch + 1, signals[0])
    run.end("finished", epoch_seconds=seconds[:-1], **threads.facts)


def resume(run: Run, parts: dict, running: Tensor) -> tuple[int, float, list[dict], list[float]]:
    """Load the checkpoint of `run`, if it has one: the state of `parts`, and the squared error so far into `running`.

    Returns the steps done, the lowest validation loss, a row of history.csv for each epoch, and each epoch's seconds,
    the last one's not complete.
    """
    state = run.load_checkpoint()
    if state is None:
        return 0, math.inf, [], [0.0]
    running += state["running"].to(running.device)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["done"], state["best"], state["history"], state["seconds"]


def set_learning_rate(optimizers: list[torch.optim.Optimizer], config: Config, t: float) -> None:
    """Set the learning rate after a share t of the training; with "plateau" and "constant" the first one's stays."""
    rate = optimizers[0].param_groups[0]["lr"]
    if config.schedule in SHAPES:
        rate = config.learning_rate * SHAPES[config.schedule](t)
    for each in optimizers:
        each.param_groups[0]["lr"] = rate


def show(bar: tqdm, config: Config, row: dict) -> None:
    """Write the epoch and its validation loss beside the progress bar, when it is next drawn."""
    text = f"epoch {row['epoch']}/{config.epochs}, validation MSE {row['validation_loss']:.5f}"
    bar.set_postfix_str(text, refresh=False)


def check_run(config: Config, dataset: Dataset, run: Run) -> None:
    """Raise where `run` holds something else than the begin, the middle or the end of this very training."""
    if differences := run.differences(config, code_sha256(*CODE), dataset.sha256):
        raise RunError(f"run: {run.path} was made differently, choose another:\n  " + "\n  ".join(differences))
    if run.state == "failed":
        raise TrainingError(f"run: {run.path} has failed before: {run.provenance['reason']}")


def check_fit(config: Config, count: int) -> None:
    """Raise `ConfigError`, before anything is written, where the model cannot be built or trained on `count` images."""
    sizes = encoder_sizes(config.image_size, config.channels)
    if sizes[-1] == 1 and count % config.batch_size == 1:
        raise ConfigError(
            f"batch_size: found {config.batch_size}, which leaves one of {count} images over, and BatchNorm needs two "
            f"values of each 1×1 map; choose another batch_size or one width less"
        )


def shuffled(count: int, config: Config, epoch: int, device: torch.device) -> tuple[Tensor, ...]:
    """The batches of one epoch as indices; they follow from the seed and the epoch alone, so resuming is exact."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator).to(device).split(config.batch_size)


def check_finite(run: Run, config: Config, row: dict) -> None:
    """Where a loss of the epoch is not finite, mark the run failed, so that no report presents it, and raise."""
    if all(map(math.isfinite, row.values())):
        return
    reason = f"the loss is {row['running_loss']} in epoch {row['epoch']}, with learning_rate {config.learning_rate:g}"
    run.end("failed", reason=reason)
    raise TrainingError(f"{reason}: {run.path} has failed; try a smaller learning_rate in another run directory")


@torch.inference_mode()
def mse(model: ConvAutoencoder, images: Tensor, noise_std: float = 0.0, batch: int = 500) -> float:
    """Mean squared error of the reconstructions of uint8 images (N, 1, n, n), evaluation mode, float32.

    With `noise_std` the model sees noisy images, the same at each call, and is judged by the clean ones.
    """
    model.eval()
    total = 0.0
    for i, chunk in enumerate(images.split(batch)):
        x = chunk.float().div_(255)
        total += F.mse_loss(model(add_noise(x, noise_std, seed=i)), x, reduction="sum").item()
    return total / images.numel()


@contextmanager
def deferred_signals():
    """Let Ctrl-C, a notebook's interrupt and SIGTERM wait for the end of the step: yields the list they arrive in."""
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may listen
        yield arrived
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, frame: arrived.append(number)) for n in numbers}
    try:
        yield arrived
    finally:
        for n in numbers:
            signal.signal(n, before[n])


def bar_style() -> dict:
    """tqdm's settings: redrawn in a terminal and, less often, in a notebook; a line now and then in a log file."""
    notebook, terminal = "ipykernel" in sys.modules, sys.stderr.isatty()
    seconds = 2 if notebook else 0.5 if terminal else 20
    return dict(mininterval=seconds, dynamic_ncols=notebook or terminal, smoothing=0.05, desc="training")
