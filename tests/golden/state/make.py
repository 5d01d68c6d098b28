"""Makes the corpus of state files beside it: `python -m tests.golden.state.make`, from the root of the repository.

Each later version must read all of them. What is there is never made anew or removed: a new format gets new files. To
each `.bin` belongs a `.json` that says what is in it, arrays as type, shape and numbers, in words of its own.
"""

from __future__ import annotations

import json
import math
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor import codec
from monitor.domain import AlertState, Histogram, Severity, TopicPartition
from monitor.kept import Section, State
from monitor.sinks.base import Notice, Terms
from monitor.sinks.worker import Clocks, Worker
from monitor.store import Store, reading, write_portable
from tests.unit.sinks.examples import START_S, ListSink, alert, notice, transition

FOLDER: Final = Path(__file__).parent
POSITIONS: Final = {
    TopicPartition("events", 0): 12_345,
    TopicPartition("events", 1): 2**40,
    TopicPartition("more", 0): 0,
}


def values() -> State:
    """All that is no array."""
    return {
        "none": None,
        "yes": True,
        "no": False,
        "small": -1,
        "least": -(2**63),
        "greatest": 2**63 - 1,
        "float": 0.1,
        "tiny": 5e-324,
        "nan": math.nan,
        "infinite": [math.inf, -math.inf, -0.0],
        "text": "Überlauf, 流れ 🌊",
        "empty": ["", b"", [], {}],
        "bytes": bytes(range(256)),
        "nested": {"a": [{"b": [[1], [2, [3]]]}], "": {"": None}},
    }


def arrays() -> State:
    """Every type that arrays may have, and shapes that are easily got wrong."""
    state: State = {name: np.arange(6).astype(name).reshape(2, 3) for name in codec.DTYPES}
    return {
        **state,
        "empty": np.zeros((0, 4)),
        "one": np.array(2.5),
        "deep": np.arange(8, dtype=np.int64).reshape(2, 1, 2, 1, 2),
        "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "edges": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7976931348623157e308]),
        "nan payloads": np.array([0x7FF8DEAD00000001, 0x7FF0DEAD00000001], dtype=np.uint64).view(np.float64),
    }


def outbox() -> State:
    """What one sink is still to be told, and what it was told."""
    sink = ListSink("pager", Terms(resend_s=60.0))
    worker = Worker(sink, Clocks(wall=lambda: START_S + 10.0, steady=lambda: 10.0))
    worker.offer([notice("told"), notice("over", AlertState.RESOLVED)])
    while worker.step():
        pass
    histogram = Histogram(("low", "high"), (0.5, 0.5), (0.25, 0.75), 1000, 9000)
    changes: dict[str, Any] = {
        "severity": Severity.SEV1,
        "histogram": histogram,
        "details": {"cause": "odd"},
        "change": "location",
    }
    waiting = alert("waiting", **changes, is_drill=True, rank=2, together=5)
    worker.offer([Notice(transition(waiting), START_S + 5.0), notice("over again", AlertState.RESOLVED)])
    return worker.state()


def whole(folder: Path) -> Store:
    """A state of three sections."""
    store = Store.open(folder, START_S)
    numbers = np.arange(3_000, dtype=np.uint32)
    parts = {
        "ladder/counts/0-60": ({"counts": numbers}, "0-60-17"),
        "outbox/pager": (outbox(), None),
        "empty": ({}, "x"),
    }
    kept = [Section(name, mark, partial(dict, state)) for name, (state, mark) in parts.items()]
    store.save(kept, POSITIONS, START_S + 60.0)
    return store


def described(value: object) -> object:
    """Give a plain value as JSON can say it exactly: floats as their hexadecimal form, arrays as the bits of theirs."""
    if isinstance(value, np.ndarray):
        bits = (
            value.view(f"u{value.dtype.itemsize}") if value.ndim else value.reshape(1).view(f"u{value.dtype.itemsize}")
        )
        return {"array": value.dtype.str, "shape": list(value.shape), "bits": [int(each) for each in bits.reshape(-1)]}
    if isinstance(value, dict):
        return {name: described(each) for name, each in value.items()}
    if isinstance(value, list):
        return [described(each) for each in value]
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float):
        return {"float": value.hex()}
    return value


def main() -> None:
    """Write what is not there yet."""
    for name, state in (("values", values()), ("arrays", arrays()), ("outbox", outbox())):
        _write(f"v{codec.VERSION}-{name}", codec.encode(state), described(state))
    with tempfile.TemporaryDirectory() as folder:
        whole(Path(folder)).close()
        with reading(folder) as database:
            contents = database.contents()
            told = {
                "positions": [[*key, offset] for key, offset in contents.positions.items()],
                "marks": {row.name: row.mark for row in contents.rows},
                "saved_wall_s": contents.account.saved_wall_s,
                "sections": {row.name: described(database.section(row)) for row in contents.rows},
            }
            write_portable(Path(folder) / "out", contents, map(database.data, contents.rows))
        _write("v1-file", Path(folder, "driftd.sqlite").read_bytes(), told)
        _write("v1-export", Path(folder, "out").read_bytes(), told)


def _write(name: str, data: bytes, told: Any) -> None:  # noqa: ANN401 - JSON
    if not (FOLDER / f"{name}.bin").exists():
        (FOLDER / f"{name}.bin").write_bytes(data)
        (FOLDER / f"{name}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
