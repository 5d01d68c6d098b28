"""The most memory that driftd takes with a configuration, whatever comes: the sum of what each part is bounded by.

Bytes per stream, id and series are measured (benchmarks.streams, tests/unit/test_memory.py), the rest follows from the
limits. It is a worst case: every stream there may be is there and still learns, and all that may wait does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from monitor.config import Settings
from monitor.court import OPEN_BYTES_MAX
from monitor.dead_letters import LETTERS_MAX, PAYLOAD_BYTES_MAX
from monitor.panes import HITS_MAX
from monitor.probes import PROBE_VALUES
from monitor.sinks.outbox import NOTICES_MAX

MIB: Final = 1 << 20
PROGRAM_BYTES: Final = 160 * MIB
"""Python, the libraries and the client of Kafka, before the first message."""
STREAM_BYTES: Final = 16_384
"""Counts, reference and evidence of a stream; what benchmarks.streams is held to."""
LEARNING_BYTES: Final = 2_048 + 24 * PROBE_VALUES
"""What a stream takes besides while it learns: its fluctuation, and values that wait for a grid."""
DECODED: Final = 8
"""A message as Python's values, times its bytes."""
ID_BYTES: Final = 80
SKETCH_BYTES: Final = 100_000
"""Of the frequent segments of a model version: 50 KB with values of 60 characters, measured in mid-course."""
SERIES_BYTES: Final = 1_200
NOTICE_BYTES: Final = 2_500
LETTER_BYTES: Final = 1_024
SAVE_BYTES: Final = 64 * MIB
"""A section in the making, and SQLite's cache."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at most, part by part."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {"bytes_max": self.total, "parts": self.parts}

    def to_text(self) -> str:
        """Give it for people, the largest parts first."""
        largest = sorted(self.parts.items(), key=lambda part: -part[1])
        told = ", ".join(f"{name} {_size(count)}" for name, count in largest if count >= 0.02 * self.total)
        return f"at most {_size(self.total)}: {told}"


def memory_max(settings: Settings) -> Memory:
    """Give the most that a configuration lets driftd take."""
    limits, kafka = settings.limits, settings.kafka
    batch = min(kafka.batch_records_max * kafka.message_bytes_max, kafka.prefetch_bytes)
    letters = 0 if settings.dead_letters.topic is None else PAYLOAD_BYTES_MAX + LETTERS_MAX * LETTER_BYTES
    finding = any(entry.auto_segments for entry in settings.models)
    return Memory(
        {
            "the program": PROGRAM_BYTES,
            f"{limits.streams_max:,} streams that learn": limits.streams_max * (STREAM_BYTES + LEARNING_BYTES),
            "panes still open": OPEN_BYTES_MAX + 8 * HITS_MAX,
            "messages fetched ahead and in hand": kafka.prefetch_bytes + DECODED * batch,
            f"{limits.event_ids_max:,} event ids": limits.event_ids_max * ID_BYTES,
            "segments that are frequent": limits.models_max * SKETCH_BYTES if finding else 0,
            "the page of metrics": limits.label_series_max * SERIES_BYTES,
            "what is to be told": len(settings.receivers) * NOTICES_MAX * NOTICE_BYTES,
            "dead letters": letters,
            "storing state": SAVE_BYTES if settings.state.enabled else 0,
        }
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
