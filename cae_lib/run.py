"""`Run`: one training's directory. Every write is whole or not there; every read is checked.

A reader always sees whole files, one writer holds the lock, and nothing finished is overwritten.
"""

import ast
import csv
import hashlib
import io
import itertools
import json
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from threadpoolctl import threadpool_limits

from cae_lib.config import Config
from cae_lib.files import FileBusy, FileError, UserError, lock, run_path, write_atomic
from cae_lib.model import ConvAutoencoder

MEASURES = Path(__file__).resolve().parents[1] / "book" / "report" / "measures"  # what notebooks compute with


class RunError(UserError):
    """A run directory that is missing, unfinished, damaged or of another configuration."""


class RunBusy(RunError):
    """Another process is writing to the run directory."""

    code = 75  # EX_TEMPFAIL: later, the same command may succeed


class Run:
    """The directory of one training, as `run_path` allows it; a relative path counts from the project's folder."""

    def __init__(self, path: str | Path):
        try:
            self.path = run_path(path)
        except FileError as error:
            raise RunError(str(error)) from None

    # --- what the directory says -------------------------------------------------------------------------

    @property
    def provenance(self) -> dict:
        return self._json("provenance.json")

    @property
    def metrics(self) -> dict:
        return self._json("metrics.json")

    @property
    def state(self) -> str:
        """missing, unfinished, failed or finished."""
        return self.provenance.get("state", "missing")

    @property
    def config(self) -> Config:
        """The configuration that was trained; `RunError`, with the way to make one, where there is no finished run."""
        if self.state != "finished":
            why = self.provenance.get("reason", "")
            raise RunError(
                f"run: {self.path} holds no finished run (it is {self.state}{why and ': '}{why}). Make one with "
                f"`make report`, with `python -m cae_lib train --run {self.path}`, or by executing 01_training.ipynb "
                f"with this `run`."
            )
        return Config.from_dict(self._json("config.json"))

    def model(self) -> ConvAutoencoder:
        """The trained model, best by validation, in evaluation mode on the CPU; `RunError` where it is damaged."""
        model = ConvAutoencoder(self.config)
        content = (self.path / "model.safetensors").read_bytes()
        if hashlib.sha256(content).hexdigest() != self.provenance["weights_sha256"]:
            raise RunError(f"{self.path / 'model.safetensors'} is damaged: delete {self.path} and train again")
        model.load_state_dict(safetensors.torch.load(content))
        return model.eval()

    def history(self) -> dict[str, np.ndarray]:
        """Each column of history.csv as an array (epochs,)."""
        with open(self.path / "history.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}

    def differences(self, config: Config, code: str, data: dict) -> list[str]:
        """What this directory was begun with and the caller does not ask for, a line each; [] if the same."""
        if self.state == "missing":
            return []
        here, asked, begun = self._json("config.json"), config.to_dict(), self.provenance
        names = [name for name in {**here, **asked} if here.get(name) != asked.get(name)]
        found = [f"{name}: the run has {here.get(name)!r}, asked is {asked.get(name)!r}" for name in names]
        if begun["code_sha256"] != code:
            found.append("code: what computes the weights has changed since")
        if begun["data_sha256"] != data:
            found.append("data: the dataset's content has changed")
        return found

    # --- what a training writes --------------------------------------------------------------------------

    @contextmanager
    def lock(self):
        """Hold the directory for writing; raises `RunBusy`, naming the holder, where another process does."""
        try:
            held = lock(self.path / "lock")
        except FileBusy as error:
            raise RunBusy(f"run: {error}") from None
        except FileError as error:
            raise RunError(f"run: {error}") from None
        with held:
            yield

    def beside(self, name: str, config: Config) -> "Run":
        """The directory, inside this one, of a smaller training beside the main one; another `config`, another one."""
        return Run(self.path / f"{name}-{hashlib.sha256(json.dumps(config.to_dict()).encode()).hexdigest()[:8]}")

    def keep_claims(self, path: Path) -> None:
        """Keep claims that were written before the training, as claims.yml; `begin` records their SHA-256."""
        write_atomic(self.path / "claims.yml", path.read_bytes())

    def begin(self, config: Config, facts: dict) -> None:
        """Name what is about to be trained; a resumed run keeps its first `facts`."""
        if self.state == "missing":
            claims = self.path / "claims.yml"
            if claims.is_file():
                facts = facts | {"claims_sha256": hashlib.sha256(claims.read_bytes()).hexdigest()}
            self._write_json("config.json", config.to_dict())
            self._write_json("provenance.json", {"state": "unfinished", **facts})

    def save_checkpoint(self, state: dict) -> None:
        """Everything that resuming needs, its SHA-256 behind it; the checkpoint before stays as a second one."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        path = self.path / "checkpoint.pt"
        write_atomic(path, content + hashlib.sha256(content).digest(), former=self.path / "checkpoint.previous.pt")

    def load_checkpoint(self) -> dict | None:
        """The newest whole checkpoint, or None; a damaged one is named and passed over."""
        for path in (self.path / "checkpoint.pt", self.path / "checkpoint.previous.pt"):
            if path.is_file():
                content = path.read_bytes()
                if hashlib.sha256(content[:-32]).digest() == content[-32:]:
                    return torch.load(io.BytesIO(content[:-32]), weights_only=True, map_location="cpu")
                print(f"{path} is damaged (its SHA-256 does not match): going on from the one before it", flush=True)
        return None

    def save_history(self, rows: list[dict]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.path / "history.csv", text.getvalue())

    def save_weights(self, state: dict) -> None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        write_atomic(self.path / "model.safetensors", safetensors.torch.save(tensors))

    def end(self, state: str, **facts) -> None:
        """Mark the run finished or failed; a finished one names its weights."""
        if state == "finished":
            facts["weights_sha256"] = hashlib.sha256((self.path / "model.safetensors").read_bytes()).hexdigest()
        self._write_json("provenance.json", {**self.provenance, "state": state, **facts})

    # --- what the notebooks add --------------------------------------------------------------------------

    def cached(self, name: str, compute: Callable[[], dict[str, np.ndarray]], **inputs) -> dict[str, np.ndarray]:
        """`compute()`, done once for these weights, this code and `inputs`: kept in NAME.npz and read back.

        The code is the modules of cae_lib that compute, and all of book/report/measures. Linear algebra has one thread:
        many small fits by two take three times as long, as these wait for each other.
        """
        facts = [self.provenance["weights_sha256"], code_sha256("data", "model", "metrics", MEASURES), inputs]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        path = self.path / f"{name}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as arrays:
                if str(arrays["made_from"]) == key:
                    return {n: arrays[n] for n in arrays if n != "made_from"}
        with threadpool_limits(1, "blas"):
            arrays = {n: np.asarray(value) for n, value in compute().items()}
        buffer = io.BytesIO()
        np.savez(buffer, made_from=key, **arrays)
        write_atomic(path, buffer.getvalue())
        return arrays

    def save_table(self, name: str, table) -> None:
        """A data frame as NAME.csv."""
        write_atomic(self.path / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))

    # -------------------------------------------------------------------------------------------------------

    def _json(self, name: str) -> dict:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise RunError(f"{path} is not whole JSON ({error}): delete {self.path} and train again") from None

    def _write_json(self, name: str, values: dict) -> None:
        write_atomic(self.path / name, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def code_sha256(*modules: str | Path) -> str:
    """Fingerprint of modules of cae_lib, by name, and of all in a folder; comments, docstrings and layout do not count.

    A folder is named by its path, not imported: the core does not depend on it, and it may be missing.
    """
    files = (sorted(m.glob("*.py")) if isinstance(m, Path) else [Path(__file__).parent / f"{m}.py"] for m in modules)
    digest = hashlib.sha256()
    for path in itertools.chain.from_iterable(files):
        digest.update(_meaning(path.read_text(encoding="utf-8")))
    return digest.hexdigest()


@cache  # a chapter asks some thirty times, and to parse all modules takes a tenth of a second
def _meaning(source: str) -> bytes:
    """A module's source without what does not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree).encode()
