"""The only training loop, and what it needs: device, precision, learning rate, provenance.

The whole dataset is one uint8 tensor; a batch is one gather. No step waits for the device.
"""

import importlib.metadata
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from cae_lib.config import Config, ConfigError, UserError
from cae_lib.data import Dataset, add_noise
from cae_lib.model import ConvAutoencoder, encoder_sizes
from cae_lib.run import Run, RunError, code_sha256

CODE = ("data", "model", "training")  # the modules that decide the weights
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
            run.begin(config, facts := provenance(config, dataset, device, dtype))
            told = ("device", "processor", "threads", "precision", "parameters")
            print("training:", ", ".join(f"{name} {facts[name]}" for name in told), file=sys.stderr)
            with deterministic(device):
                fit(config, dataset, run, device, dtype, signals)
    return run


def fit(config: Config, dataset: Dataset, run: Run, device: torch.device, dtype: torch.dtype, signals: list) -> None:
    """The loop. Ends with the run finished; leaves it resumable when `signals` is no longer empty."""
    torch.manual_seed(config.seed)
    model = ConvAutoencoder(config).to(device, memory_format=choose_layout(device))
    fused = device.type != "mps"
    adam = torch.optim.Adam(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=fused)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=3)
    images, validation = dataset.train_images.to(device), dataset.validation_images.to(device)
    steps = math.ceil(len(images) / config.batch_size)  # in an epoch
    total = config.epochs * steps

    done, best, history, seconds = 0, math.inf, [], [0.0]
    running = torch.zeros((), device=device)  # squared error of the epoch so far; stays on the device
    if state := run.load_checkpoint():
        done, best, history, seconds = (state[name] for name in ("done", "best", "history", "seconds"))
        running += state["running"].to(device)
        for name, part in (("model", model), ("adam", adam), ("plateau", plateau)):
            part.load_state_dict(state[name])

    with tqdm(total=total, initial=done, unit="step", **bar_style()) as bar:
        while done < total:
            epoch, step, start = done // steps, done % steps, time.perf_counter()
            model.train()
            for batch in shuffled(len(images), config, epoch, device)[step:]:
                if config.schedule in SHAPES:
                    adam.param_groups[0]["lr"] = config.learning_rate * SHAPES[config.schedule](done / total)
                x = images[batch].float().div_(255)  # (B, 1, n, n)
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    x_hat = model(add_noise(x, config.noise_std, config.seed + done))  # (B, 1, n, n)
                loss = F.mse_loss(x_hat.float(), x)
                adam.zero_grad()
                loss.backward()
                adam.step()
                running += loss.detach() * len(batch)
                done += 1
                bar.update()
                if signals:
                    break
            seconds[-1] += time.perf_counter() - start
            if done % steps == 0:
                row = dict(epoch=epoch + 1, running_loss=running.item() / len(images))
                row |= dict(train_loss=mse(model, images[: len(validation)], config.noise_std))
                row |= dict(validation_loss=mse(model, validation, config.noise_std))
                history.append(row | dict(learning_rate=adam.param_groups[0]["lr"]))
                run.save_history(history)
                if not all(map(math.isfinite, row.values())):
                    fail(run, config, row)
                if config.schedule == "plateau":
                    plateau.step(row["validation_loss"])
                if row["validation_loss"] < best:
                    best = row["validation_loss"]
                    run.save_weights(model.state_dict())
                seconds.append(0.0)
                running.zero_()
                loss_now = f"epoch {epoch + 1}/{config.epochs}, validation MSE {row['validation_loss']:.5f}"
                bar.set_postfix_str(loss_now, refresh=False)
            state = dict(done=done, best=best, history=history, seconds=seconds, running=running)
            parts = dict(model=model.state_dict(), adam=adam.state_dict(), plateau=plateau.state_dict())
            run.save_checkpoint(state | parts)
            if signals and done < total:
                raise Interrupted(run, epoch + 1, signals[0])
    run.end("finished", epoch_seconds=[round(s, 2) for s in seconds[:-1]])


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


def fail(run: Run, config: Config, row: dict) -> None:
    """Mark the run failed, for the report must not present it as a result, and say so."""
    reason = f"the loss is {row['running_loss']} in epoch {row['epoch']}, with learning_rate {config.learning_rate:g}"
    run.end("failed", reason=reason)
    raise TrainingError(f"{reason}: {run.path} has failed; try a smaller learning_rate in another run directory")


@torch.inference_mode()
def mse(model: ConvAutoencoder, images: Tensor, noise_std: float = 0.0, batch: int = 1000) -> float:
    """Mean squared error of the reconstructions of uint8 images (N, 1, n, n), evaluation mode, float32.

    With `noise_std` the model sees noisy images, the same at each call, and is judged by the clean ones.
    """
    model.eval()
    total = 0.0
    for i, chunk in enumerate(images.split(batch)):
        x = chunk.float().div_(255)
        total += F.mse_loss(model(add_noise(x, noise_std, seed=i)), x, reduction="sum").item()
    return total / images.numel()


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else the CPU; `UserError` where a named device is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_there in there.items() if is_there)
    if not there[name]:
        raise UserError(f"device: found {name!r}, but this machine has {', '.join(d for d in there if there[d])}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies it natively, else float32. Weights stay float32."""
    if name == "auto":
        cpu = device.type == "cpu" and " avx512_bf16" in "".join(_lines("/proc/cpuinfo", "flags"))
        cuda = device.type == "cuda" and torch.cuda.is_bf16_supported()
        name = "bfloat16" if cpu or cuda else "float32"
    return getattr(torch, name)


def choose_layout(device: torch.device) -> torch.memory_format:
    """Channels last for a GPU's tensor cores; a CPU's step is faster with channels first (benchmarks/levers.csv)."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


@contextmanager
def deterministic(device: torch.device):
    """Only algorithms that give the same bits each time, where the device has them."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is reproducible only with it
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=device.type == "mps")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


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


def provenance(config: Config, dataset: Dataset, device: torch.device, dtype: torch.dtype) -> dict:
    """Everything needed to say where a number came from."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}  # with its build: 2.13.0+cpu
    names = ("numpy", "scipy", "scikit-learn", "scikit-image", "matplotlib", "papermill", "jupyter-book")
    processor = _lines("/proc/cpuinfo", "model name")[:1] or [platform.processor() or platform.machine()]
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seed": config.seed,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "precision": str(dtype).removeprefix("torch."),
        "processor": processor[0].split(":")[-1].strip(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "versions": versions | {n: importlib.metadata.version(n) for n in names},
        "data_source": dataset.source,
        "data_sha256": dataset.sha256,
        "code_sha256": code_sha256(*CODE),
        "parameters": sum(p.numel() for p in ConvAutoencoder(config).parameters()),
    }


def _lines(path: str, start: str) -> list[str]:
    return [x for x in Path(path).read_text().splitlines() if x.startswith(start)] if Path(path).is_file() else []
