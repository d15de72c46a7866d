"""Executes one chapter: whole or not at all; a failed one stays beside it as NAME.failed.ipynb, to look into."""

import re
from collections.abc import Callable
from pathlib import Path

from cae_lib.files import UserError, write_atomic
from sweeps.execution import execute, spare_grammar


def execute_chapter(source: Path, output: Path, parameters: dict, threads: int, facts: Callable) -> None:
    """Execute the notebook `source` into `output`, whose metadata then says `facts()`.

    Raises `UserError`, which names the notebook, the cell and its error, where it fails.
    """
    spare_grammar()
    import nbformat
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    failed, log = output.with_suffix(".failed.ipynb"), output.with_suffix(".log")
    seen = f"what it had shown until then is in {failed}"
    try:
        execute(source, failed, parameters, threads, log)
    except PapermillExecutionError as error:
        raise UserError(f"{source}, cell {error.exec_count}: {error.ename}: {error.evalue}\n{seen}") from None
    except (DeadKernelError, RuntimeError) as error:  # RuntimeError: one that died before it answered
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
        raise UserError(
            f"{source}: its kernel, the process that executes it, has died ({error}): out of memory, or killed from "
            f"outside, or its environment was changed; the same command executes it again\n{last}\n{seen}"
        ) from None
    notebook = nbformat.read(failed, as_version=4)
    drop_progress(notebook)
    notebook.metadata["report"] = facts()
    write_atomic(output, nbformat.writes(notebook) + "\n")
    for path in (failed, log):
        path.unlink()


def drop_progress(notebook) -> None:
    """Take a training's progress out of a notebook: it is for those who wait, not for the readers."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not (o.get("name") == "stderr" and is_progress(o.text))]


def is_progress(text: str) -> bool:
    """Whether each line is one of `training.train`'s: what it chose, and its progress bar redrawn."""
    return all(line.startswith("training:") for line in re.split(r"[\r\n]+", text) if line.strip())
