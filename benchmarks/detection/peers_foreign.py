"""Peers that can't share our virtual environment: each runs in its own, behind a pipe.

They take part if the environment variable DRIFTD_PEERS names a folder with their environments, made by

    for peer in evidently frouros alibi-detect; do
        python3 -m venv $DRIFTD_PEERS/$peer && $DRIFTD_PEERS/$peer/bin/pip install $peer 'pandas<3'
    done

Alibi Detect's licence (BSL 1.1) allows this, a benchmark, and forbids production.
"""

from __future__ import annotations

import json
import os
import subprocess
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.detection.candidates import Past, Shape, StreamKind, Terms
from monitor.domain import BoolArray, FloatArray

FOLDER_VARIABLE = "DRIFTD_PEERS"
WORKER = Path(__file__).with_name("foreign_worker.py")


@dataclass(frozen=True, slots=True)
class Foreign:
    """One detector of a library in an environment of its own."""

    name: str
    peer: str
    """What the worker calls it."""
    environment: str
    shapes: frozenset[Shape]

    @property
    def python(self) -> Path | None:
        """Give the interpreter of its environment; None if there is none."""
        folder = os.environ.get(FOLDER_VARIABLE)
        path = Path(folder or ".") / self.environment / "bin" / "python"
        return path if folder and path.exists() else None

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> Worker | None:
        """Begin to watch; None if the detector is not for such values."""
        if stream.shape not in self.shapes:
            return None
        assert self.python is not None, f"{self.name} is not installed"
        header = {"peer": self.peer, "shape": stream.shape, "seed": terms.seed}
        return Worker(self.python, header, past.values)


class Worker:
    """The process that watches, for as long as this object lives."""

    def __init__(self, python: Path, header: dict[str, object], past: FloatArray) -> None:
        self._process = subprocess.Popen([str(python), str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        weakref.finalize(self, _end, self._process)
        self._to.write(json.dumps(header).encode() + b"\n")
        self._send(past)

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:  # noqa: ARG002
        """Give where the detector tells of drift."""
        self._send(values)
        found = self._from.read(values.size)
        if len(found) < values.size:
            raise RuntimeError(f"the foreign worker ended after {len(found)} of {values.size} answers; see above")
        return np.frombuffer(found, np.bool_).reshape(values.shape)

    def _send(self, values: FloatArray) -> None:
        self._to.write(json.dumps(values.shape).encode() + b"\n")
        self._to.write(np.ascontiguousarray(values, dtype=np.float64).tobytes())
        self._to.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
