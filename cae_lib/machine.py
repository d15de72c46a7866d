"""The machine that trains: its device, its precision, how it lays memory out, and what a run says of it."""

import importlib.metadata
import os
import platform
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from cae_lib.files import UserError


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else the CPU: the first one that computes; what does not is said to standard error.

    Raises `UserError` where a named device is not there, or this torch cannot compute on it.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    names = [device for device, is_there in there.items() if is_there]
    if name not in ("auto", *names):
        raise UserError(f"device: found {name!r}, but this machine has {', '.join(names)}")
    for device in names if name == "auto" else [name]:
        if not (why := _fault(device)):
            return torch.device(device)
        told = f"device: this machine has {device}, but torch {torch.__version__} cannot compute on it ({why})"
        if name == device:
            raise UserError(f"{told}; write `device: cpu`, or install a torch that is made for it")
        print(f"{told}; trying {names[names.index(device) + 1]}", file=sys.stderr)
    raise AssertionError("the CPU computes")


def _fault(device: str) -> str:
    """Why torch cannot compute on a device, as on a GPU that it has no kernels for; "" where it can."""
    if device == "cpu":
        return ""
    try:
        same = torch.allclose(_gradient(device), _gradient("cpu"), rtol=1e-2)
        return "" if same else "its convolutions differ from a processor's"
    except RuntimeError as error:  # torch.AcceleratorError and torch.cuda.OutOfMemoryError are such ones, too
        return (str(error).strip() or type(error).__name__).splitlines()[0]


def _gradient(device: str) -> torch.Tensor:
    """Of a small convolution with the channels last: MPS once computed other values for these."""
    x = torch.ones(2, 4, 8, 8, device=device)
    x[:, ::2] /= 2  # not all channels and columns are alike
    x[..., ::3] /= 3
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.nn.functional.conv2d(x, x.detach()[..., :3, :3], stride=2).square().sum().backward()
    return x.grad.cpu()


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies it natively, else float32. Weights stay float32."""
    if name == "auto":
        cpu = device.type == "cpu" and " avx512_bf16" in "".join(_lines("/proc/cpuinfo", "flags"))
        cuda = device.type == "cuda" and torch.cuda.is_bf16_supported()
        name = "bfloat16" if cpu or cuda else "float32"
    return getattr(torch, name)


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
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):  # a notebook alone, as on Colab, has no Jupyter Book
            versions[name] = importlib.metadata.version(name)
    processor = _lines("/proc/cpuinfo", "model name")[:1] or [platform.processor() or platform.machine()]
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "precision": str(dtype).removeprefix("torch."),
        "processor": processor[0].split(":")[-1].strip(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "versions": versions,
    }


def _lines(path: str, start: str) -> list[str]:
    text = Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else ""
    return [line for line in text.splitlines() if line.startswith(start)]
