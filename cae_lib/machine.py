"""The machine that trains: its device, its precision, how it lays memory out, and what a run says of it."""

import importlib.metadata
import os
import platform
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from cae_lib.files import UserError


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


def provenance(device: torch.device, dtype: torch.dtype) -> dict:
    """When, on what and with what is trained: time, device, precision, processor, threads, system, versions."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}  # with its build: 2.13.0+cpu
    names = ("numpy", "scipy", "scikit-learn", "scikit-image", "matplotlib", "papermill", "jupyter-book")
    processor = _lines("/proc/cpuinfo", "model name")[:1] or [platform.processor() or platform.machine()]
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "precision": str(dtype).removeprefix("torch."),
        "processor": processor[0].split(":")[-1].strip(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "versions": versions | {n: importlib.metadata.version(n) for n in names},
    }


def _lines(path: str, start: str) -> list[str]:
    return [x for x in Path(path).read_text().splitlines() if x.startswith(start)] if Path(path).is_file() else []
