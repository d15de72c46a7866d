"""Runs Python code in a process that ends when this one does, however that ends: no orphan writes into the book."""

import os
import subprocess
import sys
from pathlib import Path

# Its standard input is a pipe of which only this process holds the other end, so that it closes with this process:
# no signal is needed, and no system call that only Linux has.
WATCHED = """
import os, threading
threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
"""


def run_code(code: str, *argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run `code` with `sys.argv[1:]` as `argv`; the result has its exit code and, as texts, what it told."""
    theirs, ours = os.pipe()
    try:
        command = [sys.executable, "-c", WATCHED + code, *argv]
        return subprocess.run(command, stdin=theirs, capture_output=True, text=True, encoding="utf-8", cwd=cwd)
    finally:
        os.close(theirs)
        os.close(ours)
