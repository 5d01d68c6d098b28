"""Counts in time: panes, the ladder they are merged on, and the sums of sliding windows.

A pane's counts are a flat array over all streams of one arena (row * width + bin). Streams are only ever added, so an
older array is a shorter one and the missing tail is zero: nothing is rewritten when a stream appears.

Guarantee: every count is in exactly one bucket; a window's sum is the exact sum of the buckets that overlap it, and its
true span is known and told. Sums are 32-bit: one bin of one stream overflows after 4.29e9 events in one window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.domain import CountArray, IntArray
from monitor.kept import Section, State, under

BUCKETS_PER_LEVEL: Final = 4
"""Closed buckets of one length before the two oldest merge: a window spans at most a third more than was asked."""
INDEX_BYTES: Final = 4
"""What the place of a non-zero bin takes; (index, count) pairs are kept where they take less room than the array."""
NARROW: Final = (np.uint8, np.uint16)

Pairs = tuple[IntArray, CountArray]
"""Flat indices of the bins that are not zero, ascending, and their counts."""
Move = tuple[IntArray, int]
"""By the row till now the row from now on, or -1; and how many bins a row has."""


class Counts:
    """An immutable flat array of counts, as narrow as its greatest allows, stored as pairs when few bins are hit.

    at: the flat index of each count, ascending; None: there is one for each of the `size` bins.
    """

    __slots__ = ("at", "counts", "size")

    def __init__(self, counts: npt.NDArray[Any], at: npt.NDArray[np.uint32] | None, size: int) -> None:
        self.counts = _narrow(counts)
        self.at = at
        self.size = size

    @classmethod
    def of_hits(cls, hits: Sequence[IntArray | Counts], size: int) -> Counts:
        """Count flat indices, each below size, and what was counted before.

        Cost: O(hits log hits) or O(hits + size), whichever is less.
        """
        arrays = [part for part in hits if not isinstance(part, Counts)]
        counted = [part for part in hits if isinstance(part, Counts)]
        if arrays:
            counted.append(cls._of_flat(np.concatenate(arrays), size))
        return cls.total(counted) if counted else cls(np.empty(0, np.uint32), np.empty(0, np.uint32), size)

    @classmethod
    def total(cls, parts: Sequence[Counts]) -> Counts:
        """Give the sum of some, at least one. Cost: O(bins that are not zero), or one pass over all bins."""
        some = [part for part in parts if part.at is None or part.at.size] or list(parts[:1])
        if len(some) == 1:
            return some[0]
        size = max(part.size for part in some)
        pairs = [(part.at, part.counts) for part in some if part.at is not None]
        if len(pairs) == len(some) and size > 8 * sum(at.size for at, _ in pairs):
            at, where = np.unique(np.concatenate([at for at, _ in pairs]), return_inverse=True)
            held = np.concatenate([counts.astype(np.uint32) for _, counts in pairs])
            return cls(np.bincount(where, held, at.size).astype(np.uint32), at, size)
        total = np.zeros(size, dtype=np.uint32)
        for part in some:
            part.add_to(total)
        return cls.of_array(total)

    @classmethod
    def _of_flat(cls, flat: IntArray, size: int) -> Counts:
        if size <= 8 * flat.size:
            return cls.of_array(np.bincount(flat, minlength=size).astype(np.uint32))
        at, counts = np.unique(flat, return_counts=True)
        return cls(counts.astype(np.uint32), at.astype(np.uint32), size)

    @classmethod
    def of_array(cls, counts: CountArray) -> Counts:
        """Take over a dense array (not to be changed afterwards)."""
        at, narrow = np.flatnonzero(counts), _narrow(counts)
        if at.size * (INDEX_BYTES + narrow.itemsize) < narrow.nbytes:
            return cls(narrow[at], at.astype(np.uint32), counts.size)
        return cls(narrow, None, counts.size)

    def add_to(self, total: CountArray) -> None:
        """Add to an array at least as long, in place."""
        if self.at is None:
            total[: self.size] += self.counts
        else:
            total[self.at] += self.counts

    def take_from(self, total: CountArray) -> None:
        """Subtract from an array that holds these counts, in place."""
        if self.at is None:
            total[: self.size] -= self.counts
        else:
            total[self.at] -= self.counts

    def plus(self, other: Counts) -> Counts:
        """Give the sum of both."""
        return Counts.total((self, other))

    def moved(self, rows: IntArray, width: int) -> Counts:
        """Give the counts with each row of `width` bins where `rows` says that it is now; those at -1 are left out."""
        if is_still(rows):
            return self
        at, counts = self.pairs()
        now = rows[at // width]
        kept = now >= 0
        flat = (now * width + at % width)[kept]
        total = np.zeros((int(rows.max(initial=-1)) + 1) * width, dtype=np.uint32)
        total[flat] = counts[kept]
        return Counts.of_array(total)

    def state(self) -> State:
        """Give what is kept."""
        return {"size": self.size, "counts": self.counts, "at": self.at}

    @classmethod
    def of_state(cls, state: State) -> Counts:
        """Give the counts that were kept."""
        return cls(state["counts"], state.get("at"), int(state["size"]))

    def span(self, start: int, stop: int) -> CountArray:
        """Give bins start to stop as a dense array; beyond the size they are zero."""
        out = np.zeros(stop - start, dtype=np.uint32)
        if self.at is None:
            part = self.counts[start:stop]
            out[: part.size] = part
        else:
            low, high = np.searchsorted(self.at, (start, stop))
            out[self.at[low:high].astype(np.int64) - start] = self.counts[low:high]
        return out

    def hits(self) -> IntArray:
        """Give the flat indices of the bins that are not zero, ascending."""
        at = np.flatnonzero(self.counts) if self.at is None else self.at
        return at.astype(np.int64)

    def pairs(self) -> Pairs:
        """Give the bins that are not zero. Cost: a pass over all."""
        at = self.hits()
        counts = self.counts[at] if self.at is None else self.counts
        return at, counts.astype(np.uint32)

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return self.counts.nbytes + (0 if self.at is None else self.at.nbytes)


def is_still(rows: IntArray) -> bool:
    """Tell whether every row lies where it lay."""
    return bool((rows == np.arange(len(rows))).all())


def _narrow(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the counts in the narrowest type that holds them all."""
    greatest = int(counts.max(initial=0))
    for dtype in NARROW:
        if greatest <= np.iinfo(dtype).max:
            return counts.astype(dtype, copy=False)
    return counts


EMPTY: Final = Counts(np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.uint32), 0)


@dataclass(slots=True)
class Bucket:
    """Counts of the event time from start_s to end_s (exclusive).

    level: log2 of how many panes it holds when none is empty. changes: how often late events were added.
    """

    start_s: float
    end_s: float
    level: int
    counts: Counts
    changes: int = 0

    def mark(self, epoch: int) -> str:
        """Give what stands for its content; epoch: how often rows were moved."""
        return f"{epoch}-{self.level}-{self.changes}"

    def state(self) -> State:
        """Give what is kept."""
        own = {"start_s": self.start_s, "end_s": self.end_s, "level": self.level, "changes": self.changes}
        return {**own, **self.counts.state()}


class Window:
    """The running sum of the buckets that overlap the last span_s seconds. Memory: 4 bytes per bin."""

    __slots__ = ("_total", "first_s", "span_s")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self.first_s: float | None = None
        self._total = np.zeros(0, dtype=np.uint32)

    def total(self, size: int) -> CountArray:
        """Give the sum as a view of `size` bins; valid until the next change."""
        self._reserve(size)
        return self._total[:size]

    def _reserve(self, size: int) -> None:
        if size > self._total.size:
            grown = np.zeros(max(size, self._total.size * 5 // 4), dtype=np.uint32)
            grown[: self._total.size] = self._total
            self._total = grown

    def includes(self, bucket: Bucket) -> bool:
        """Tell whether the bucket is part of the sum."""
        return self.first_s is not None and bucket.start_s >= self.first_s

    @property
    def nbytes(self) -> int:
        """Bytes held by the sum."""
        return self._total.nbytes

    def add(self, counts: Counts) -> None:
        """Add counts that lie in a bucket of the sum."""
        self._reserve(counts.size)
        counts.add_to(self._total)

    def enter(self, bucket: Bucket) -> None:
        """Take the newest bucket into the sum."""
        self.add(bucket.counts)
        self.first_s = bucket.start_s if self.first_s is None else self.first_s

    def restore(self, buckets: Sequence[Bucket], first_s: float | None) -> None:
        """Sum the buckets from first_s on; None: all."""
        for bucket in buckets:
            if first_s is None or bucket.start_s >= first_s:
                self.enter(bucket)
        self.first_s = self.first_s if first_s is None else first_s

    def leave(self, bucket: Bucket) -> None:
        """Take the oldest bucket out of the sum."""
        bucket.counts.take_from(self._total)
        self.first_s = bucket.end_s

    def pass_gap(self, oldest: Bucket, now_s: float) -> None:
        """Begin no earlier than asked for, if nothing preceded the oldest bucket left: that is not of this window."""
        since_s = min(oldest.start_s, now_s - self.span_s)
        self.first_s = since_s if self.first_s is None else max(self.first_s, since_s)


class Ladder:
    """Closed panes of one arena, merged geometrically with age (Datar et al. 2002), and the windows over them.

    past_s: how long buckets are kept at least, beyond the longest window. Memory: about 3.5 * log2(past_s / pane) count
    arrays, the younger ones sparse. Cost of a pane: amortised O(bins hit) while sparse, O(bins) for each array merged.
    """

    __slots__ = ("_buckets", "_past_s", "windows")

    def __init__(self, spans_s: Iterable[float], past_s: float = 0.0) -> None:
        self._buckets: list[Bucket] = []
        self._past_s = past_s
        self.windows = tuple(Window(span_s) for span_s in spans_s)

    @property
    def buckets(self) -> Sequence[Bucket]:
        """The buckets held, oldest first."""
        return self._buckets

    def append(self, start_s: float, end_s: float, counts: Counts) -> None:
        """Close a pane: it must begin where the last one ended, or later."""
        bucket = Bucket(float(start_s), float(end_s), 0, counts)
        self._buckets.append(bucket)
        for window in self.windows:
            window.enter(bucket)
        self._merge()
        self._expire(end_s)

    def add_late(self, time_s: float, counts: Counts) -> bool:
        """Add counts to the bucket in which their time now lies; False if there is none any more."""
        for bucket in reversed(self._buckets):
            if bucket.start_s <= time_s < bucket.end_s:
                for window in self.windows:
                    if window.includes(bucket):
                        window.add(counts)
                bucket.counts = bucket.counts.plus(counts)
                bucket.changes += 1
                return True
        return False

    def _merge(self) -> None:
        level = 0
        while True:
            same = [i for i, bucket in enumerate(self._buckets) if bucket.level == level]
            if not same:
                return
            if len(same) > BUCKETS_PER_LEVEL and self._may_join(same[0], same[1]):
                self._join(same[0], same[1])
            level += 1

    def _may_join(self, first: int, second: int) -> bool:
        """Tell whether no window begins between the two; one that does has left both soon, and must not go back."""
        older, newer = self._buckets[first], self._buckets[second]
        return all(window.includes(older) == window.includes(newer) for window in self.windows)

    def _join(self, first: int, second: int) -> None:
        older, newer = self._buckets[first], self._buckets[second]
        counts, changes = older.counts.plus(newer.counts), older.changes + newer.changes
        joined = Bucket(older.start_s, newer.end_s, older.level + 1, counts, changes)
        self._buckets[first : second + 1] = [joined]

    def _expire(self, now_s: float) -> None:
        for window in self.windows:
            for bucket in self._buckets:
                if window.includes(bucket):
                    if bucket.end_s > now_s - window.span_s:
                        window.pass_gap(bucket, now_s)
                        break
                    window.leave(bucket)
        while self._buckets and self._is_past(self._buckets[0], now_s):
            self._buckets.pop(0)

    def _is_past(self, bucket: Bucket, now_s: float) -> bool:
        return bucket.end_s <= now_s - self._past_s and not any(window.includes(bucket) for window in self.windows)

    # ---- what is kept

    def sections(self, prefix: str, epoch: int = 0) -> Iterator[Section]:
        """Give what is kept, each bucket by itself: an old one is written once. epoch: how often rows were moved."""
        yield Section(prefix, None, self._head)
        for bucket in self._buckets:
            name = f"{prefix}/{bucket.start_s!r}-{bucket.end_s!r}"
            yield Section(name, bucket.mark(epoch), bucket.state)

    def _head(self) -> State:
        return {"windows": [[window.span_s, window.first_s] for window in self.windows]}

    def restore(self, prefix: str, states: Mapping[str, State], moves: Move | None = None) -> None:
        """Go on with the buckets of a state; the windows' sums are made anew. moves: where rows lie now, None: as then.

        A window that there was not holds what reaches into it of the past that was kept.
        """
        own = (state for _, state in under(f"{prefix}/", states))
        for state in sorted(own, key=lambda state: float(state["start_s"])):
            counts = Counts.of_state(state)
            counts = counts if moves is None else counts.moved(*moves)
            times_s = float(state["start_s"]), float(state["end_s"])
            self._buckets.append(Bucket(*times_s, int(state["level"]), counts, int(state.get("changes", 0))))
        begun = {float(span_s): first_s for span_s, first_s in states.get(prefix, {}).get("windows", ())}
        for window in self.windows:
            window.restore(self._buckets, begun.get(window.span_s))
        if self._buckets:
            self._expire(self._buckets[-1].end_s)

    @property
    def nbytes(self) -> int:
        """Bytes held by buckets and windows."""
        return sum(b.counts.nbytes for b in self._buckets) + sum(w.nbytes for w in self.windows)
