"""Deltas: what a stretch of one source partition adds to the counts of the models of one court, as a message.

Counts are of streams by their numbers: place in the layout they were counted by, behind those of the subjects before.
What could not be counted comes as it was read. The format is a table of plain values (see codec, which gives version
and checksum); what a reader does not know it passes over, and what it misses was not there when that was written.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.bins import Arena
from monitor.claims import Stretch
from monitor.codec import decode, encode
from monitor.domain import CountArray, IntArray, TopicPartition
from monitor.errors import StateError
from monitor.kept import State

FORMAT: Final = 1
"""Raised when a reader of the one before could no longer read it."""


def court_of(model: str, courts: int) -> int:
    """Give the court of a model, with all its versions: the same for whoever asks, on any machine."""
    return zlib.crc32(model.encode(errors="surrogatepass")) % courts


class Counted(NamedTuple):
    """The counts of one pane in one arena. flat: number of the stream * width + bin, ascending; counts: of each."""

    pane: int
    arena: Arena
    flat: IntArray
    counts: CountArray


class Counters(NamedTuple):
    """A model version that has counts. layout: the identity of the one they were made by; streams: how many it has."""

    model: str
    model_version: str
    layout: str
    streams: int
    events: int
    first_s: float
    last_s: float


class Forwarded(NamedTuple):
    """A message that the court is to count itself. time_s: event time, as far in the future as that may be."""

    offset: int
    time_s: float
    value: bytes


class Paired(NamedTuple):
    """A pair of an inference and an outcome that the court is to count itself. offset: of the one that came last."""

    offset: int
    value: bytes


class Cohort(NamedTuple):
    """Inferences to be told of later: so many were made about then (field ""), or were marked with a field.

    subject: number among the delta's. time_s: one in the cohort.
    """

    subject: int
    segment: str
    field: str
    time_s: float
    inferences: int


class UserSlice(NamedTuple):
    """Users of a model version in a slice of a window; see users.Slice. subject: number among the delta's."""

    subject: int
    window_s: float
    number: int
    events: int
    sketch: bytes


@dataclass(frozen=True, slots=True)
class Delta:
    """What a stretch adds. latest_s: the latest event time of its partition till now, -inf if none.

    is_idle: nothing is left to read, and nothing came for a while: for quiet_s, as of the message's wall clock.
    panes: in which the stretch has events, of whichever court, so that all courts close panes at the pace of one
    process, whatever their own models get; ascending. ripe: as counted, of inferences and outcomes joined, in the panes
    in which they count at the earliest. pairs: of those that can't be counted by others. results: of outcomes that have
    found their inference: kind, what became of them, and how many, without those of pairs. users: of events that
    are counted. notes: annotations, as notes.note_of gives them; twice does no harm.
    """

    source: TopicPartition
    epoch: int
    stretch: Stretch
    latest_s: float = -np.inf
    is_idle: bool = False
    quiet_s: float = 0.0
    subjects: Sequence[Counters] = ()
    counted: Sequence[Counted] = ()
    forwarded: Sequence[Forwarded] = ()
    panes: Sequence[int] = ()
    ripe: Sequence[Counted] = ()
    pairs: Sequence[Paired] = ()
    cohorts: Sequence[Cohort] = ()
    results: Sequence[tuple[str, str, int]] = ()
    users: Sequence[UserSlice] = ()
    notes: Sequence[dict[str, Any]] = ()

    @property
    def nbytes(self) -> int:
        """About what it takes of a post."""
        counted = sum(each.flat.nbytes + each.counts.nbytes for each in (*self.counted, *self.ripe))
        forwarded = sum(len(each.value) + 20 for each in self.forwarded)
        paired = sum(len(each.value) + 20 for each in self.pairs)
        users = sum(len(each.sketch) + 30 for each in self.users)
        notes = sum(len(str(each)) for each in self.notes)
        return 200 + counted + forwarded + paired + users + notes + 40 * len(self.cohorts)

    def state(self) -> State:
        """Give it as plain values; without what is empty, as most are for most courts."""
        first, last, is_fine = self.stretch
        out: State = {"source": list(self.source), "epoch": self.epoch, "stretch": [first, last, is_fine]}
        out["latest_s"] = self.latest_s
        if self.is_idle:
            out["quiet_s"] = self.quiet_s
        if self.panes:
            out["marks"] = np.array(self.panes, dtype=np.int64)
        if self.subjects:
            out["subjects"] = [list(each) for each in self.subjects]
            out |= _counted_state(self.counted)
            if self.ripe:
                out["ripe"] = _counted_state(self.ripe)
        rows = {"cohorts": self.cohorts, "users": self.users, "results": self.results}
        out |= {name: [list(each) for each in some] for name, some in rows.items() if some}
        if self.notes:
            out["notes"] = list(self.notes)
        if self.pairs:
            out["pair_offsets"] = np.array([each.offset for each in self.pairs], dtype=np.int64)
            out["pairs"] = [each.value for each in self.pairs]
        if self.forwarded:
            out["offsets"] = np.array([each.offset for each in self.forwarded], dtype=np.int64)
            out["times_s"] = np.array([each.time_s for each in self.forwarded])
            out["values"] = [each.value for each in self.forwarded]
        return out

    @classmethod
    def of_state(cls, state: State) -> Delta:
        """Give the delta that `state` gave the values of. Raises what unfit values raise."""
        first, last, is_fine = state["stretch"]
        pair_offsets = state.get("pair_offsets", NOTHING).tolist()
        return cls(
            source=TopicPartition(*state["source"]),
            epoch=int(state["epoch"]),
            stretch=Stretch(int(first), int(last), bool(is_fine)),
            latest_s=float(state["latest_s"]),
            is_idle="quiet_s" in state,
            quiet_s=float(state.get("quiet_s", 0.0)),
            subjects=[Counters(*each[:7]) for each in state.get("subjects", ())],
            counted=_counted_of(state),
            forwarded=[
                Forwarded(offset, time_s, value)
                for offset, time_s, value in zip(
                    state.get("offsets", NOTHING).tolist(),
                    state.get("times_s", NOTHING).tolist(),
                    state.get("values", ()),
                    strict=True,
                )
            ],
            panes=state.get("marks", NOTHING).tolist(),
            ripe=_counted_of(state.get("ripe", {})),
            pairs=[Paired(*each) for each in zip(pair_offsets, state.get("pairs", ()), strict=True)],
            cohorts=[Cohort(*each[:5]) for each in state.get("cohorts", ())],
            results=[(str(kind), str(result), int(count)) for kind, result, count, *_ in state.get("results", ())],
            notes=state.get("notes", ()),
            users=[UserSlice(*each[:5]) for each in state.get("users", ())],
        )


@dataclass(frozen=True, slots=True)
class Post:
    """One message: what a fold sends to one court at one time. partitions: how many each source topic has.

    wall_s: the sender's clock, which is the court's only one: so whoever reads the log again decides as before.
    """

    sender: str
    wall_s: float
    partitions: dict[str, int] = field(default_factory=dict)
    deltas: Sequence[Delta] = ()

    def encode(self) -> bytes:
        """Give the message."""
        return encode(
            {
                "format": FORMAT,
                "sender": self.sender,
                "wall_s": self.wall_s,
                "partitions": self.partitions,
                "deltas": [delta.state() for delta in self.deltas],
            }
        )

    @classmethod
    def decode(cls, data: bytes, what: str) -> Post:
        """Give what a message says. what: names it in errors. Raises StateError: damaged, or of a newer format."""
        state = decode(data, what)
        if int(state.get("format", 0)) > FORMAT:
            raise StateError(
                f"{what}: was sent by a newer version of driftd (deltas of format {state['format']}; this one reads up"
                f" to {FORMAT}): bring the judges up to date before the folds"
            )
        try:
            deltas = [Delta.of_state(each) for each in state["deltas"]]
            return cls(str(state["sender"]), float(state["wall_s"]), dict(state["partitions"]), deltas)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateError(f"{what}: can't be read: {type(error).__name__} {error}") from None


POST_BYTES_MAX: Final = 4 << 20
"""Deltas go in several posts where they are longer together."""


def in_posts(deltas: Sequence[Delta]) -> Iterator[Sequence[Delta]]:
    """Give deltas in as many parts as they need."""
    part: list[Delta] = []
    size = 0
    for delta in deltas:
        if part and size + delta.nbytes > POST_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(delta)
        size += delta.nbytes
    yield part


NOTHING: Final = np.zeros(0, dtype=np.int64)
NO_COUNTS: Final = np.zeros(0, dtype=np.uint32)


def _counted_state(counted: Sequence[Counted]) -> State:
    return {
        "panes": np.array([each.pane for each in counted], dtype=np.int64),
        "arenas": np.array([each.arena for each in counted], dtype=np.uint8),
        "sizes": np.array([len(each.flat) for each in counted], dtype=np.uint32),
        "flat": _narrow(np.concatenate([_steps(each.flat) for each in counted] or [NOTHING])),
        "counts": _narrow(np.concatenate([each.counts for each in counted] or [NO_COUNTS])),
    }


def _counted_of(state: State) -> list[Counted]:
    ends = np.cumsum(state.get("sizes", NOTHING).astype(np.int64))[:-1]
    flats = np.split(state.get("flat", NOTHING).astype(np.int64), ends)
    counts = np.split(state.get("counts", NOTHING).astype(np.uint32), ends)
    panes, arenas = state.get("panes", NOTHING).tolist(), state.get("arenas", NOTHING).tolist()
    return [
        Counted(pane, Arena(arena), np.cumsum(flat), held)
        for pane, arena, flat, held in zip(panes, arenas, flats, counts, strict=bool(panes))
    ]


def _steps(flat: IntArray) -> IntArray:
    """Give the first and then the differences, which are small numbers."""
    return np.diff(flat, prepend=0)


def _narrow(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give whole numbers from 0 up as narrow as they fit."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))
