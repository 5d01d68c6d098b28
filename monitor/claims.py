"""What a fold may send of a source partition, so that no event is ever counted twice or lost: epochs and limits.

A group's committed offset of a partition says that everything before it stands in the log of every court. Beside it, as
its metadata, stand the epoch of the owner and a limit: no owner up to that epoch ever sent a stretch that ends beyond.
The limit is committed before anything up to it is sent; and brokers refuse the commit of who is no longer the owner. So
a successor knows in which stretch any part may stand in the log already: there it sends event by event, from which a
court takes those that it lacks (see receipts), and only beyond does it send counts, which can't be taken apart.

Whoever was stopped between commit and sending, and goes on much later, sends what is of an older epoch, or what nobody
has sent yet: both are right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

METADATA: Final = re.compile(r"driftd1:(\d{1,19}):(\d{1,19})", re.ASCII)


class Stretch(NamedTuple):
    """Offsets from first to before next of a source partition. is_fine: sent event by event."""

    first: int
    next: int
    is_fine: bool


class Committed(NamedTuple):
    """What stands in the group for a partition."""

    offset: int
    epoch: int
    limit: int

    def to_text(self) -> str:
        """Give the metadata to be committed with the offset."""
        return f"driftd1:{self.epoch}:{self.limit}"

    @classmethod
    def of(cls, offset: int, text: str | None) -> Self:
        """Read what was committed; where somebody else has set the offset, no more is known than that."""
        found = METADATA.fullmatch(text or "")
        return cls(offset, int(found[1]), max(offset, int(found[2]))) if found else cls(offset, 0, offset)


@dataclass(slots=True)
class Claim:
    """One owner's hold on a source partition.

    acked: all before it stands in every court's log. sent: all before it was sent, or is under way. limit: see above.
    fine_until: before it all is sent event by event.
    """

    epoch: int
    acked: int
    sent: int
    limit: int
    fine_until: int

    @classmethod
    def begin(cls, found: Committed | None, start: int, wall_ms: int) -> Self:
        """Claim a partition. found: what was committed last; None: nothing, and reading begins at `start`.

        Epochs go with the wall clock where that is ahead, so that they rise also when the group's offsets were deleted.
        """
        known = found or Committed(start, 0, start)
        return cls(max(known.epoch + 1, wall_ms), known.offset, known.offset, known.limit, known.limit)

    @property
    def first(self) -> Committed:
        """What is to be committed before anything else: that it is the owner's."""
        return Committed(self.acked, self.epoch, self.limit)

    def intent(self, upto: int) -> Committed:
        """Give what is to be committed before all up to an offset is sent."""
        if upto < self.sent:
            raise ValueError(f"offsets before {self.sent} were sent, and {upto} is one of them")
        return Committed(self.acked, self.epoch, max(self.limit, upto))

    def announced(self, intent: Committed) -> None:
        """Note that an intent was committed: all up to its limit may be sent from now on."""
        if intent.epoch != self.epoch or intent.limit < self.limit:
            raise ValueError("that was the intent of another owner, or an older one")
        self.limit = intent.limit

    def sending(self, upto: int) -> None:
        """Note that all up to an offset is under way. Raises ValueError beyond the limit that was committed."""
        if upto > self.limit:
            raise ValueError(f"no more than {self.limit} was announced, and {upto} is beyond")
        self.sent = max(self.sent, upto)

    def acknowledge(self, upto: int) -> None:
        """Note that all before an offset, which was sent, stands in every court's log."""
        if upto > self.sent:
            raise ValueError(f"{upto} was never sent")
        self.acked = max(self.acked, upto)
