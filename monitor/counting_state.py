"""All that counts, as it is kept: the table of streams, what waits, counts in time, and what was received."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from monitor import table_state
from monitor.bins import WIDTHS, Arena
from monitor.counts import Ladder
from monitor.duplicates import Duplicates
from monitor.fold import Folder
from monitor.kept import Moves, Section, State
from monitor.panes import Cadence, OpenPanes
from monitor.segments import HeavySegments
from monitor.streams import StreamTable
from monitor.totals import SubjectTimes, Totals
from monitor.views import Views
from monitor.watermark import Watermark

CADENCE: Final = "counting/cadence"
WATERMARK: Final = "counting/watermark"
TOTALS: Final = "counting/totals"
SUBJECTS: Final = "counting/subjects"
VIEWS: Final = "counting/views"
PROBES: Final = "counting/probes"
DUPLICATES: Final = "counting/duplicates"
SEGMENTS: Final = "counting/segments"
OPEN: Final = "open"
LADDER: Final = "ladder"


@dataclass(frozen=True, slots=True)
class Counting:
    """The parts of a pipeline that count. heavy: None where no segments are found. ladders: by arena."""

    table: StreamTable
    folder: Folder
    heavy: HeavySegments | None
    ladders: Sequence[Ladder]
    views: Views
    open: OpenPanes
    cadence: Cadence
    watermark: Watermark
    duplicates: Duplicates
    totals: Totals
    subjects: SubjectTimes

    def sections(self) -> Iterator[Section]:
        """Give what is kept, piece by piece; to be made before the next message is taken in.

        Names and marks are told in full before any piece is made.
        """
        yield from table_state.sections(self.table)
        epoch = self.table.epoch
        yield from self.folder.sections(PROBES, epoch)
        yield from self.open.sections(OPEN, epoch)
        yield from self.duplicates.sections(DUPLICATES)
        if self.heavy is not None:
            yield from self.heavy.sections(SEGMENTS)
        for arena, ladder in zip(Arena, self.ladders, strict=True):
            yield from ladder.sections(_ladder(arena), epoch)
        yield Section(CADENCE, None, self.cadence.state)
        yield Section(WATERMARK, None, self.watermark.state)
        yield Section(TOTALS, None, self.totals.state)
        yield Section(SUBJECTS, None, partial(self.subjects.state, len(self.table.subjects)))
        yield Section(VIEWS, None, self.views.state)

    def restore(self, states: Mapping[str, State]) -> Moves:
        """Bring back what was kept, on parts that have counted nothing yet; give where rows lie now.

        Raises StateError where it can't be read.
        """
        moves = table_state.restore(self.table, states)
        self.folder.restore(PROBES, states, moves)
        self.open.restore(OPEN, states, moves)
        self.duplicates.restore(DUPLICATES, states)
        if self.heavy is not None:
            self.heavy.restore(SEGMENTS, states, self.table.subjects)
        for arena, ladder in zip(Arena, self.ladders, strict=True):
            ladder.restore(_ladder(arena), states, (moves[arena], WIDTHS[arena]))
        self.cadence.restore(states.get(CADENCE, {}))
        self.watermark.restore(states.get(WATERMARK, {}))
        self.totals.restore(states.get(TOTALS, {}))
        self.subjects.restore(states.get(SUBJECTS, {}))
        self.views.restore(states.get(VIEWS, {}), moves[Arena.FLAGS])
        return moves


def _ladder(arena: Arena) -> str:
    return f"{LADDER}/{arena.name.lower()}"
