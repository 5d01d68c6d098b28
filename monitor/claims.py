"""A fold's claim to a source partition: what it commits and may then send, so that no event counts twice. Pure.

The group's committed offset of a partition carries a text: the epoch of the last owner, which rises with every owner,
and the limit: no owner up to that epoch has ever sent anything beyond it. An owner commits a limit before it sends up
to it, and the broker refuses that to one that is no longer in the group. So a successor knows where what it sends may
overlap with what was sent before, in whatever cuts, by a process that is dead or goes on much later: before the limit
that it found. There it sends every event with its offset ("fine"), and from there on counts.

What it rests on: a commit is refused where the partition has been handed on since it was sent, also while the group has
no members; and one whose outcome is unknown never takes effect after a later one, since its sender leaves the group and
commits as another member (see relay.ledger). Memory: ten numbers per partition.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple, Self

_TEXT: Final = re.compile(r"driftd1:([0-9]{1,18}):([0-9]{1,18})", re.ASCII)
_JOINED: Final = re.compile(r"driftd2:([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18})", re.ASCII)


class Committed(NamedTuple):
    """What is committed for a source partition.

    offset: everything before it stands in the delta log. epoch: of the owner, 0 if there was none. limit: nothing
    beyond it was sent by any owner up to this epoch. back: from where to read to know what waits to be joined at the
    offset; None: nothing is joined.
    """

    offset: int
    epoch: int
    limit: int
    back: int | None = None

    def to_text(self) -> str:
        """Give the text that is committed with the offset."""
        if self.back is None:
            return f"driftd1:{self.epoch}:{self.limit}"
        return f"driftd2:{self.epoch}:{self.limit}:{self.back}"


def committed_of(offset: int, text: str | None) -> Committed:
    """Read what was committed. Another text than ours (an operator has set the offset): nobody owned it before."""
    found = _TEXT.fullmatch(text or "") or _JOINED.fullmatch(text or "")
    if found is None:
        return Committed(offset, 0, offset)
    epoch, limit, *back = map(int, found.groups())
    return Committed(offset, epoch, max(offset, limit), min(offset, back[0]) if back else None)


def starts_at(offset: int, text: str | None, _log: int, before: int) -> tuple[int, int]:
    """Give from where a new owner counts, and where it reads: `before` messages sooner, and what may be joined.

    The latter may be less than 0, or than the first offset there is.
    """
    found = committed_of(offset, text)
    return offset, min(offset - before, offset if found.back is None else found.back)


class Stretch(NamedTuple):
    """Messages of a source partition from offset `first` to before `next`. is_fine: each event has its offset."""

    first: int
    next: int
    is_fine: bool


class Stage(StrEnum):
    """Where a claim stands; each name ends the sentence "the claim ..."."""

    NEW = "is not committed yet"
    IDLE = "has nothing under way"
    INTENDED = "waits for its limit to be committed"
    SENT = "waits for what it sent to be acknowledged"
    OVER = "was given up"


class Claim:
    """One owner's claim to one source partition, from its assignment until it is revoked or lost.

    The order is: to_claim, claimed, then over and over intent, sent, acknowledged; at last farewell, or nothing. What
    the outcome of is unknown is done again: to_claim and intent are committed again, and what was sent is sent again in
    the same cut. What is refused may be committed again while the partition was neither revoked nor lost; until one is
    taken, nothing may be sent. Any other order is a bug of the caller, told by an AssertionError.

    acked: everything before it stands in the delta log. position: the next offset to be gathered. limit: what this
    owner has committed, or is about to. back: as it was found; what is committed carries it, unless its caller knows
    a later one by now.
    """

    def __init__(self, found: Committed, epoch: int) -> None:
        assert found.limit >= found.offset, f"a limit of {found.limit} is before the offset {found.offset}"
        assert epoch > found.epoch, f"epoch {epoch} does not follow {found.epoch}"
        self.epoch = epoch
        self.acked = found.offset
        self.position = found.offset
        self.limit = found.limit
        self.back = found.back
        self._fine_until = found.limit
        self._first = found.offset
        self._gaps: list[tuple[int, int]] = []
        self._under_way: Stretch | None = None
        self._stage = Stage.NEW

    @classmethod
    def begin(cls, committed: Committed | None, start: int, wall_ms: int) -> Self:
        """Make the claim of a new owner. committed: None if nothing is; start: where to begin then.

        wall_ms: the clock, so that the epoch rises even where the group's offsets were deleted.
        """
        found = Committed(start, 0, start) if committed is None else committed
        return cls(found, max(found.epoch + 1, wall_ms))

    @property
    def stage(self) -> Stage:
        """Where the claim stands."""
        return self._stage

    @property
    def first(self) -> int:
        """Where the next stretch begins."""
        return self._first

    @property
    def under_way(self) -> Stretch | None:
        """What is to be sent, or was sent and is not acknowledged yet."""
        return self._under_way

    # ---- claiming

    def to_claim(self) -> Committed:
        """Give what has to be committed before anything else."""
        self._ask(Stage.NEW)
        return Committed(self.acked, self.epoch, self.limit, self.back)

    def claimed(self) -> None:
        """Note that the claim is committed."""
        self._ask(Stage.NEW)
        self._stage = Stage.IDLE

    # ---- reading; may go on while a flush is under way

    def gathered(self, upto: int) -> None:
        """Note that the messages from the position to before `upto` were gathered."""
        self._ask(Stage.IDLE, Stage.INTENDED, Stage.SENT)
        assert upto >= self.position, f"gathered up to {upto}, which is before {self.position}"
        self.position = upto

    def skip(self, upto: int) -> None:
        """Note that the messages from the position to before `upto` are gone: the log no longer has them.

        No stretch covers them, by which the judge knows.
        """
        start = self.position
        self.gathered(upto)
        if upto > start:
            self._gaps.append((start, upto))
        if self._stage == Stage.IDLE:
            self._pass_gaps()

    # ---- flushing

    def stretch(self, upto: int) -> Stretch:
        """Give what the next flush may send of the messages before `upto`: up to the limit found, or a gap, at most."""
        self._ask(Stage.IDLE, Stage.INTENDED)
        assert self._first <= upto <= self.position, f"{upto} is not gathered: {self._first} to {self.position} are"
        is_fine = self._first < self._fine_until
        ends = [upto, *(at for at, _ in self._gaps[:1]), *([self._fine_until] if is_fine else [])]
        return Stretch(self._first, min(ends), is_fine)

    def intent(self, upto: int) -> Committed:
        """Give what has to be committed before the stretch up to `upto` may be sent."""
        stretch = self.stretch(upto)
        assert stretch.next == upto, f"a stretch from {stretch.first} to {upto} has to be cut at {stretch.next}"
        self._stage = Stage.INTENDED
        self._under_way = stretch
        self.limit = max(self.limit, upto)
        return Committed(self.acked, self.epoch, self.limit, self.back)

    def sent(self, upto: int) -> Stretch:
        """Note that the intent is committed and the stretch goes out now, to all; again: that it goes out once more."""
        self._ask(Stage.INTENDED, Stage.SENT)
        stretch = self._under_way
        assert stretch is not None
        assert stretch.next == upto, f"{upto} was not intended, but {stretch.next}"
        self._stage = Stage.SENT
        return stretch

    def acknowledged(self) -> None:
        """Note that all who are sent to have what was sent."""
        self._ask(Stage.SENT)
        assert self._under_way is not None
        self.acked = self._first = self._under_way.next
        self._under_way = None
        self._stage = Stage.IDLE
        self._pass_gaps()

    def farewell(self) -> Committed:
        """Give up a partition that is being revoked; give what to commit, so that the successor begins there.

        It is of use, but nothing depends on it. The claim must be committed.
        """
        self._ask(Stage.IDLE, Stage.INTENDED, Stage.SENT)
        self._stage = Stage.OVER
        return Committed(self.acked, self.epoch, self.limit, self.back)

    def _pass_gaps(self) -> None:
        while self._gaps and self._gaps[0][0] == self._first:
            self._first = self._gaps.pop(0)[1]

    def _ask(self, *stages: Stage) -> None:
        assert self._stage in stages, f"not now: the claim {self._stage}"
