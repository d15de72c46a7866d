"""`Run`: one training's directory. Every write is temporary file → fsync → rename; every read is checked.

A reader always sees whole files, one writer holds the lock, and nothing finished is overwritten.
"""

import csv
import fcntl
import hashlib
import io
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

from cae_lib.config import Config, UserError, project_path
from cae_lib.model import ConvAutoencoder


class RunError(UserError):
    """A run directory that is missing, unfinished, of another configuration, or in somebody's hands."""


class RunBusy(RunError):
    """Another process is writing to the run directory."""


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `path` whole or not at all; leave it alone when it already holds `content`."""
    content = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == content:
        return  # an unchanged time stamp tells make that nothing depends on this anew
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Run:
    """The directory of one training; a relative path counts from the project's folder."""

    def __init__(self, path: str | Path):
        self.path = project_path(path)

    # --- what the directory says -------------------------------------------------------------------------

    @property
    def provenance(self) -> dict:
        return self._json("provenance.json")

    @property
    def metrics(self) -> dict:
        return self._json("metrics.json")

    @property
    def finished(self) -> bool:
        return self.provenance.get("state") == "finished" and (self.path / "model.safetensors").is_file()

    @property
    def config(self) -> Config:
        """The configuration that was trained; `RunError`, with the way to make one, where there is no run."""
        if not self.finished:
            state = self.provenance.get("state", "missing")
            raise RunError(
                f"run: {self.path} holds no finished run (it is {state}). Make one with `make report`, with "
                f"`python -m cae_lib train --run {self.path}`, or by executing 01_training.ipynb with this `run`."
            )
        return Config.from_dict(self._json("config.json"))

    def model(self) -> ConvAutoencoder:
        """The trained model, best by validation, in evaluation mode on the CPU."""
        model = ConvAutoencoder(self.config)
        model.load_state_dict(safetensors.torch.load_file(self.path / "model.safetensors"))
        return model.eval()

    def history(self) -> dict[str, np.ndarray]:
        """Each column of history.csv as an array (epochs,)."""
        with open(self.path / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}

    def differences(self, config: Config, code: str, data: dict) -> list[str]:
        """What this directory was begun with and the caller does not ask for, a line each; [] if the same."""
        if not (self.path / "config.json").is_file():
            return []
        here, asked = self._json("config.json"), config.to_dict()
        found = [
            f"{k}: the run has {here.get(k)!r}, asked is {asked.get(k)!r}"
            for k in dict.fromkeys([*here, *asked])
            if here.get(k) != asked.get(k)
        ]
        begun = self.provenance
        found += ["code: the training code has changed since"] * (begun.get("code_sha256", code) != code)
        found += ["data: the dataset's content has changed"] * (begun.get("data_sha256", data) != data)
        return found

    # --- what a training writes --------------------------------------------------------------------------

    @contextmanager
    def lock(self):
        """Hold the directory for writing; raises `RunBusy`, naming the holder, where another process does.

        The kernel drops the lock with its holder, however it dies: there are no stale locks to clean up.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise RunBusy(f"run: {self.path} is being written by {file.read() or '?'}") from None
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}")
            file.flush()
            yield

    def begin(self, config: Config, provenance: dict) -> None:
        write_atomic(self.path / "config.json", json.dumps(config.to_dict(), indent=1) + "\n")
        self._write_json("provenance.json", {"state": "unfinished", **provenance})

    def save_checkpoint(self, state: dict) -> None:
        """Everything that resuming needs, its SHA-256 behind it; the checkpoint before stays as a second one."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        path = self.path / "checkpoint.pt"
        if path.is_file():
            path.replace(self.path / "checkpoint.previous.pt")
        write_atomic(path, content + hashlib.sha256(content).digest())

    def load_checkpoint(self) -> dict | None:
        """The newest whole checkpoint, or None; a damaged one is named and passed over."""
        for name in ("checkpoint.pt", "checkpoint.previous.pt"):
            path = self.path / name
            if not path.is_file():
                continue
            content = path.read_bytes()
            if hashlib.sha256(content[:-32]).digest() == content[-32:]:
                return torch.load(io.BytesIO(content[:-32]), weights_only=True, map_location="cpu")
            print(f"{path} is damaged (its SHA-256 does not match); trying the one before it", flush=True)
        return None

    def save_history(self, rows: list[dict]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.path / "history.csv", text.getvalue())

    def save_weights(self, state: dict) -> None:
        tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
        write_atomic(self.path / "model.safetensors", safetensors.torch.save(tensors))

    def end(self, state: str, **facts) -> None:
        self._write_json("provenance.json", {**self.provenance, "state": state, **facts})

    # --- what the notebooks add --------------------------------------------------------------------------

    def record(self, notebook: str, numbers: dict, verdicts: list[dict]) -> None:
        """Merge one notebook's top-level numbers and its verdicts (replacing its earlier ones)."""
        metrics = self.metrics
        others = [v for v in metrics.pop("verdicts", []) if v["notebook"] != notebook]
        merged = sorted([*others, *verdicts], key=lambda v: v["notebook"])
        self._write_json("metrics.json", {**metrics, **numbers, "verdicts": merged})

    def cached(self, name: str, compute: Callable[[], dict[str, np.ndarray]], **inputs) -> dict[str, np.ndarray]:
        """`compute()`, done once for these weights and `inputs`: the arrays are kept in cache/ and read back."""
        weights = hashlib.sha256((self.path / "model.safetensors").read_bytes()).hexdigest()
        key = hashlib.sha256(json.dumps([weights, inputs], sort_keys=True, default=str).encode()).hexdigest()
        path = self.path / "cache" / f"{name}-{key[:16]}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as arrays:
                return {k: arrays[k] for k in arrays}
        arrays = {k: np.asarray(v) for k, v in compute().items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomic(path, buffer.getvalue())
        for stale in path.parent.glob(f"{name}-*.npz"):
            if stale != path:
                stale.unlink()
        return arrays

    # -------------------------------------------------------------------------------------------------------

    def _json(self, name: str) -> dict:
        path = self.path / name
        try:
            return json.loads(path.read_text()) if path.is_file() else {}
        except ValueError as error:
            raise RunError(f"{path} is not whole JSON ({error}); move it away and start again") from None

    def _write_json(self, name: str, values: dict) -> None:
        write_atomic(self.path / name, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
