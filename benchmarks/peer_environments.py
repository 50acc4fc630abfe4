"""Environments of peers that pin other versions than this project, and work done in them."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison import ROOT

_FIND = "import sys, importlib.util; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


class Environments:
    """Interpreters that a person named."""

    def __init__(self, pythons: Sequence[Path]) -> None:
        """Remember them.

        Raises:
            ValueError: One is no file.
        """
        if missing := [str(path) for path in pythons if not path.is_file()]:
            raise ValueError(f"{', '.join(missing)}: no such Python")
        self._pythons = tuple(pythons)

    def find(self, module: str) -> Path | None:
        """Return the first interpreter that has a module; None if none has."""
        for python in self._pythons:
            if subprocess.run([str(python), "-c", _FIND, module], check=False).returncode == 0:
                return python
        return None


def run_peer(python: Path, script: str, *arguments: object) -> dict[str, float]:
    """Run benchmarks/peers/<script> and return the JSON object on the last line it prints.

    Raises:
        RuntimeError: It failed; the message has the end of what it wrote.
    """
    done = subprocess.run(
        [str(python), str(ROOT / "benchmarks" / "peers" / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
