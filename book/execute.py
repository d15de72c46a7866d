"""Execute one notebook: `python book/execute.py SOURCE OUTPUT --params FILE`.

The output appears whole or not at all; a failed one is kept beside it as NAME.failed.ipynb, to look into.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

sys.modules["rfc3987_syntax"] = None  # jsonschema would import it: a second for a format that no notebook has
import nbformat  # noqa: E402
import papermill  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402
from traitlets.config import Config as Settings  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from cae_lib.files import FileError, read_yaml  # noqa: E402

LONGEST_SOCKET = 100  # bytes of a socket's path that every system takes: 104 on macOS, 108 on Linux, with its number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--params", required=True, type=Path, help="the profile: a YAML file of parameters")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further parameters, as texts")
    options = parser.parse_args()

    begun, failed = time.monotonic(), options.output.with_suffix(".failed.ipynb")
    failed.parent.mkdir(parents=True, exist_ok=True)
    # The profile speaks to every notebook; each takes the parameters that it has.
    try:
        profile = read_yaml(options.params)
    except FileError as error:
        sys.exit(f"{options.source}: {error}")
    profile |= dict(text.split("=", 1) for text in options.set)
    known = papermill.inspect_notebook(str(options.source))
    values = {name: value for name, value in profile.items() if name in known}
    paths = [str(ROOT), str(ROOT / "book"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # the kernel inherits it, wherever it stands
    try:
        with tempfile.TemporaryDirectory() as sockets:
            # By TCP only where it must be: of kernels that start at once, two may be given the same port.
            address = str(Path(sockets, "kernel"))
            kernel = {"transport": "ipc", "ip": address} if len(os.fsencode(address)) < LONGEST_SOCKET else {}
            papermill.execute_notebook(
                str(options.source),
                str(failed),
                values,
                kernel_name="python3",
                cwd=str(ROOT),
                progress_bar=False,
                config=Settings({"KernelManager": kernel}),
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # not that it was interrupted after an error
            )
    except PapermillExecutionError as error:
        print(f"{options.source}, cell {error.exec_count}: {error.ename}: {error.evalue}", file=sys.stderr)
        print(f"what it had shown until then is in {failed}", file=sys.stderr)
        return 1
    drop_progress(failed)
    failed.replace(options.output)
    print(f"executed {options.output} ({time.monotonic() - begun:.0f} s)")
    return 0


def drop_progress(path: Path) -> None:
    """Take a training's progress out of a notebook: it is for those who wait, not for the readers."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not (o.get("name") == "stderr" and is_progress(o.text))]
    nbformat.write(notebook, path)


def is_progress(text: str) -> bool:
    """Whether each line is one of `training.train`'s: what it chose, and its progress bar redrawn."""
    return all(line.startswith("training:") for line in re.split(r"[\r\n]+", text) if line.strip())


if __name__ == "__main__":
    sys.exit(main())
