"""The only training loop, and what it needs: device, precision, learning rate, provenance.

The whole dataset is one uint8 tensor; a batch is one gather. No step waits for the device.
"""

import ast
import hashlib
import importlib.metadata
import math
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from cae_lib.config import Config, UserError
from cae_lib.data import Dataset
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run, RunError


class TrainingError(UserError):
    """The training went wrong in a way that more epochs cannot mend."""


def train(config: Config, dataset: Dataset, run: Run) -> Run:
    """Train as `config` says and keep it in `run`; a finished run is read, an unfinished one is resumed.

    Never reads the test images. Raises `RunError` where the directory belongs to another configuration, code or
    data, `RunBusy` where another process writes to it, `TrainingError` where the loss is no longer finite.
    """
    code, data = code_sha256(), dataset.sha256
    if differences := run.differences(config, code, data):
        raise RunError(
            f"run: {run.path} was made differently, choose another directory:\n  " + "\n  ".join(differences)
        )
    if run.finished:
        return run
    with run.lock():
        device, dtype = choose_device(config.device), torch.float32
        dtype = choose_precision(config.precision, device)
        run.begin(config, provenance(config, device, dtype, code, data))
        torch.manual_seed(config.seed)
        torch.use_deterministic_algorithms(True)
        model = ConvAutoencoder(config).to(device, memory_format=torch.channels_last)
        adam = torch.optim.Adam(
            model.parameters(),
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=device.type != "mps",
        )
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=3)
        images = dataset.train_images.to(device)
        sample, validation = images[: len(dataset.validation_images)], dataset.validation_images.to(device)
        steps = math.ceil(len(images) / config.batch_size)

        history, best = [], math.inf
        if state := run.load_checkpoint():
            model.load_state_dict(state["model"])
            adam.load_state_dict(state["adam"])
            plateau.load_state_dict(state["plateau"])
            history, best = state["history"], state["best"]
        total = config.epochs * steps
        with tqdm(total=total, initial=len(history) * steps, unit="step", **bar_style()) as bar:
            for epoch in range(len(history), config.epochs):
                start, running = time.perf_counter(), torch.zeros((), device=device)
                order = torch.randperm(
                    len(images), generator=torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
                ).to(device)
                model.train()
                for step, batch in enumerate(order.split(config.batch_size)):
                    if config.schedule == "cosine":
                        done = (epoch * steps + step) / total
                        adam.param_groups[0]["lr"] = config.learning_rate * (1 + math.cos(math.pi * done)) / 2
                    x = images[batch].float().div_(255)  # (B, 1, n, n)
                    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                        x_hat = model(x)  # (B, 1, n, n)
                    loss = F.mse_loss(x_hat.float(), x)
                    adam.zero_grad()
                    loss.backward()
                    adam.step()
                    running += loss.detach() * len(batch)
                    bar.update()
                rate = adam.param_groups[0]["lr"]
                row = dict(epoch=epoch + 1, running_loss=running.item() / len(images))
                row |= dict(train_loss=mse(model, sample), validation_loss=mse(model, validation))
                row |= dict(learning_rate=rate, seconds=round(time.perf_counter() - start, 3))
                if not all(map(math.isfinite, row.values())):
                    run.end("failed", reason=f"the loss is not finite in epoch {epoch + 1}")
                    raise TrainingError(
                        f"the loss is {row['running_loss']} in epoch {epoch + 1}: the run {run.path} has failed; "
                        f"try a learning_rate below {config.learning_rate:g} in a new run directory"
                    )
                if config.schedule == "plateau":
                    plateau.step(row["validation_loss"])
                history.append(row)
                bar.set_postfix_str(f"epoch {epoch + 1}/{config.epochs}, validation MSE {row['validation_loss']:.5f}")
                if row["validation_loss"] < best:
                    best = row["validation_loss"]
                    run.save_weights(model.state_dict())
                run.save_history(history)
                run.save_checkpoint(
                    dict(model=model.state_dict(), adam=adam.state_dict(), plateau=plateau.state_dict())
                    | dict(history=history, best=best)
                )
        run.end("finished", training_seconds=round(sum(row["seconds"] for row in history), 1))
    return run


@torch.inference_mode()
def mse(model: ConvAutoencoder, images: Tensor, batch: int = 1000) -> float:
    """Mean squared error of the reconstructions of uint8 images (N, 1, n, n), evaluation mode, float32."""
    model.eval()
    chunks = (chunk.float().div_(255) for chunk in images.split(batch))
    return sum(F.mse_loss(model(x), x, reduction="sum").item() for x in chunks) / images.numel()


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else the CPU; `UserError` where a named device is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_there in there.items() if is_there)
    if not there[name]:
        raise UserError(f"device: found {name!r}, but this machine has {[d for d, ok in there.items() if ok]}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies it natively, else float32. Weights stay float32."""
    if name == "auto":
        native = device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        native = native and "avx512_bf16" in _cpu_flags()
        native = native or (device.type == "cuda" and torch.cuda.is_bf16_supported())
        name = "bfloat16" if native else "float32"
    return getattr(torch, name)


def _cpu_flags() -> str:
    path = Path("/proc/cpuinfo")
    return next((x for x in path.read_text().splitlines() if x.startswith("flags")), "") if path.is_file() else ""


def bar_style() -> dict:
    """tqdm's settings: redrawn in a terminal and in a notebook, a line now and then in a log file."""
    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    return dict(mininterval=0.5 if live else 20, dynamic_ncols=live, smoothing=0.05, desc="training")


def code_sha256() -> str:
    """Fingerprint of the code that decides the weights; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for name in ("data.py", "model.py", "training.py"):
        tree = ast.parse((Path(__file__).parent / name).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()


def provenance(config: Config, device: torch.device, dtype: torch.dtype, code: str, data: dict) -> dict:
    """Everything needed to say where a number came from."""
    names = (
        "torch",
        "numpy",
        "scipy",
        "scikit-learn",
        "scikit-image",
        "matplotlib",
        "papermill",
        "jupyter-book",
    )
    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seed": config.seed,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "precision": str(dtype).removeprefix("torch."),
        "processor": model or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names},
        "data_sha256": data,
        "code_sha256": code,
        "parameters": int(np.sum([p.numel() for p in ConvAutoencoder(config).parameters()])),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []
