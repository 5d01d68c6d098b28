"""Makes the corpus of deltas and layouts beside it: `python -m tests.golden.deltas.make`, from the repository's root.

Each version reads what this one and the one before sends, and this one's is read by the version before. What is there
is never made anew or removed: when a form changes, it gets new files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from monitor.bins import Arena
from monitor.claims import Stretch
from monitor.codec import encode
from monitor.deltas import Counted, Counters, Delta, Forwarded, Post
from monitor.domain import Kind, TopicPartition
from monitor.layouts import Laid, Layout
from monitor.references import Grid

FOLDER: Final = Path(__file__).parent
PLAIN: Final = FOLDER / "v1-plain.bin"
"""Before panes of other courts were told."""
PANES: Final = FOLDER / "v1-panes.bin"
LAYOUT: Final = FOLDER / "v1-layout.bin"


def layout() -> Layout:
    """Give a layout with a stream of every kind."""
    return Layout(
        "fraud",
        "2026.1",
        (
            Laid("", "events", Kind.VOLUME),
            Laid("", "latency_s", Kind.LOG, exponent=-10),
            Laid("", "score", Kind.NUMERIC, grid=Grid(0.5, 0.25, -4.0, 0.125)),
            Laid("region=eu", "features.amount", Kind.NUMERIC),
            Laid("", "prediction", Kind.CATEGORICAL, categories=("yes", "Übrig", "流れ"), is_open=True),
            Laid("", "unsafe", Kind.YES_NO),
        ),
        left_out=(("", "features.note"),),
        is_full=True,
    )


def post(panes: tuple[int, ...] = ()) -> Post:
    """Give a post of all that there is in posts."""
    counted = [
        Counted(1_795_200_000, Arena.FLAGS, np.array([0, 26]), np.array([3, 70_000], dtype=np.uint32)),
        Counted(1_795_200_001, Arena.VALUES, np.array([5, 6, 9_000_000]), np.array([1, 2, 255], dtype=np.uint32)),
    ]
    by_layout = Counters("fraud", "2026.1", layout().identity, 6, 70_003, 1_795_200_000.25, 1_795_200_001.5)
    deltas = [
        Delta(
            TopicPartition("events", 3),
            1_795_200_000_123,
            Stretch(2**40, 2**40 + 70_003, is_fine=False),
            latest_s=1_795_200_001.5,
            subjects=[by_layout],
            counted=counted,
            panes=panes,
        ),
        Delta(
            TopicPartition("events", 4),
            7,
            Stretch(10, 12, is_fine=True),
            latest_s=-np.inf,
            is_idle=True,
            quiet_s=2.5,
            forwarded=[Forwarded(10, 1_795_200_000.5, b'{"model": "m"}'), Forwarded(11, 1_795_199_999.0, b"\x00\xff")],
        ),
        Delta(TopicPartition("more", 0), 1, Stretch(0, 0, is_fine=False)),
    ]
    return Post("host-1a2b", 1_795_200_002.75, {"events": 6, "more": 1}, deltas)


def main() -> None:
    """Write what is not there yet."""
    made = {PANES: post((1_795_200_000, 1_795_200_001)).encode(), LAYOUT: encode(layout().state())}
    for path, data in made.items():
        if not path.exists():
            path.write_bytes(data)


if __name__ == "__main__":
    main()
