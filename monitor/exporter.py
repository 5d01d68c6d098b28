"""The page at /metrics, made from the last published snapshot.

The client library's own rendering costs about 11 us per series, all of it with Python's lock held: 20,000 series would
stand in the main loop's way for 0.2 s at each scrape. Here the text before each value (name and labels, cleaned and
escaped) is kept from page to page, values are written many at a time, and the lock is given up every 2 ms.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import time
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, Metric, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.harmless import is_unsafe
from monitor.metric_readers import Labels, Sample
from monitor.metrics import FAMILIES, PAGE_FAMILIES, AccessStatus, Family, PageStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from monitor.domain import Snapshot

LABEL_CHARACTERS_MAX: Final = 256
SERIES_MAX: Final = 50_000
PAGE_SERIES_MAX: Final = 100  # of those about the page itself: there are some ten
SERIES_AT_ONCE: Final = 500  # 0.2 ms of work when their text is known, 1 ms when it is new
WORK_S: Final = 0.002  # a shorter turn costs a page too much, where a busy thread gives the lock back after 5 ms only
STEP_ASIDE_S: Final = 0.001
STEP_ASIDE_S_MAX: Final = 0.040  # in all for one page: a loop that is always busy must share
BREATH_S: Final = 0.0001  # time for a waiting thread to wake up: after sleep(0) this one mostly takes the lock again
COMPRESSION: Final = 1  # a twentieth of the size; higher levels cost several times as much for little

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HASH_CHARACTERS: Final = 8

Source = TypeVar("Source")
Encoding = Literal["identity", "gzip"]


class Clocks(NamedTuple):
    """wall: seconds since the epoch, for what is told. steady: never goes backwards, for ages. sleep: gives way."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class ExporterTerms:
    """label_series_max: most series from a snapshot. render_s_min: a page is served for so long."""

    label_series_max: int = SERIES_MAX
    render_s_min: float = 1.0


class Exporter:
    """Makes pages, each less than `render_s_min` old when it is served. One thread at a time may ask for one.

    is_busy: tells whether the loop is at work, so that a page steps aside for it. access: tells who came to the server.

    Memory: the page, its compressed form, and about 600 bytes per series for the text before its value.
    """

    def __init__(
        self,
        latest: Callable[[], Snapshot | None],
        terms: ExporterTerms,
        clocks: Clocks | None = None,
        is_busy: Callable[[], bool] = lambda: False,
        access: Callable[[], AccessStatus] = AccessStatus,
    ) -> None:
        self._latest = latest
        self._access = access
        self._terms = terms
        self._clocks = clocks or Clocks()
        self._renderer = Renderer(self._clocks, is_busy)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        GCCollector(registry=self._process)
        self._pages: dict[Encoding, bytes] = {}
        self._made_s = -math.inf
        self._last_render_s = 0.0
        self._renders = 0

    def page(self, encoding: Encoding = "identity") -> bytes:
        """Give the page, made anew where the last one is too old. Takes milliseconds: not for an event loop."""
        if self._clocks.steady() - self._made_s >= self._terms.render_s_min:
            self._pages = {"identity": self._render()}
        if encoding not in self._pages:
            self._pages[encoding] = gzip.compress(self._pages["identity"], COMPRESSION)
        return self._pages[encoding]

    def _render(self) -> bytes:
        began_s = self._clocks.steady()
        snapshot = self._latest()
        text = Text((), 0, 0)
        if snapshot is not None:
            text = self._renderer.render(FAMILIES, snapshot, self._terms.label_series_max)
        status = PageStatus(
            version=__version__,
            made_wall_s=self._clocks.wall(),
            last_render_s=self._last_render_s,
            renders=self._renders,
            series=text.series,
            series_dropped=text.dropped + (snapshot.picture.series_dropped if snapshot is not None else 0),
            access=self._access(),
        )
        own = self._renderer.render(PAGE_FAMILIES, status, PAGE_SERIES_MAX)
        page = b"".join((*text.pieces, *own.pieces, generate_latest(self._process)))
        self._made_s = self._clocks.steady()
        self._last_render_s = self._made_s - began_s
        self._renders += 1
        return page


@dataclass(frozen=True, slots=True)
class Text:
    """Families as text, in pieces. series: how many were written. dropped: how many were left out for lack of room."""

    pieces: Sequence[bytes]
    series: int
    dropped: int


class Renderer:
    """Writes families in Prometheus's text format 0.0.4. Cost per series: 0.6 us, 3 us where it is new.

    What it remembers of a family is forgotten when more than half of it was not written this time.
    """

    def __init__(self, clocks: Clocks, is_busy: Callable[[], bool] = lambda: False) -> None:
        self._clocks = clocks
        self._is_busy = is_busy
        self._befores: dict[str, _Befores] = {}
        self._rested_s = 0.0
        self._aside_s = 0.0

    def render(self, families: Sequence[Family[Source]], source: Source, series_max: int) -> Text:
        """Write the series of all families that have any, at most series_max of them, the first ones."""
        self._rested_s, self._aside_s = self._clocks.steady(), 0.0
        pieces: list[bytes] = []
        left, dropped = series_max, 0
        for family in families:
            befores = self._befores.setdefault(family.name, _Befores(family))
            samples = iter(family.read(source))
            shown = 0
            while chunk := tuple(islice(samples, SERIES_AT_ONCE)):
                room = left - shown
                dropped += max(0, len(chunk) - room)
                if room > 0:
                    pieces += [b"" if shown else befores.head, befores.lines(chunk[:room])]
                    shown += len(chunk[:room])
                self._breathe()
            if shown:
                pieces.append(b"\n")
            befores.prune(shown)
            left -= shown
        return Text(pieces, series_max - left, dropped)

    def _breathe(self) -> None:
        """Let other threads have Python's lock now and then, so that none waits for a whole page.

        While the loop works, step aside for it, within bounds: it mostly waits for messages, and then nobody is kept.
        """
        while self._is_busy() and self._aside_s < STEP_ASIDE_S_MAX:
            self._clocks.sleep(STEP_ASIDE_S)
            self._aside_s += STEP_ASIDE_S
        if self._clocks.steady() - self._rested_s >= WORK_S:
            self._clocks.sleep(BREATH_S)
            self._rested_s = self._clocks.steady()


class _Befores(dict[Labels, bytes]):
    """What stands before the value of each series of one family: a line break, its name and labels."""

    def __init__(self, family: Family[Source]) -> None:
        super().__init__()
        self._series = family.series
        text = family.help.replace("\\", r"\\").replace("\n", r"\n")
        self.head = f"# HELP {family.name} {text}\n# TYPE {family.name} {family.kind}".encode()

    def __missing__(self, values: Labels) -> bytes:
        name, pairs = self._series(tuple(map(label_text, values)))
        labels = ",".join([f'{label}="{_escaped(value)}"' for label, value in pairs])
        before = self[values] = f"\n{name}{{{labels}}} ".encode() if labels else f"\n{name} ".encode()
        return before

    def lines(self, samples: Sequence[Sample]) -> bytes:
        """Write a line for each sample, beginning with its line break."""
        labels, values = zip(*samples, strict=True)
        return b"".join(chain.from_iterable(zip(map(self.__getitem__, labels), _numbers(values), strict=True)))

    def prune(self, shown: int) -> None:
        """Forget all where streams have come and gone; so memory is bounded by what is shown."""
        if len(self) > 2 * shown + SERIES_AT_ONCE:
            self.clear()


def _escaped(value: str) -> str:
    if '"' in value or "\\" in value or "\n" in value:  # three quick looks cost a fifth of one translation
        return value.translate(_ESCAPES)
    return value


def _numbers(values: Sequence[float]) -> Iterable[bytes]:
    """Write numbers so that reading gives the very same ones.

    msgspec's writer takes an eighth of the time of repr. JSON knows no infinities, so these go the slow way. Numpy's
    numbers, which pass for floats, have to become such.
    """
    numbers = tuple(map(float, values))
    if math.isfinite(sum(numbers)):
        return msgspec.json.encode(numbers)[1:-1].split(b",")
    return map(_number, numbers)


def _number(value: float) -> bytes:
    if math.isfinite(value):
        return repr(value).encode()
    return b"NaN" if math.isnan(value) else b"+Inf" if value > 0 else b"-Inf"


def label_text(value: str) -> str:
    """Give what a label says for a value from outside: the value, or a bounded and printable form of it.

    A form that differs from the value ends in a hash of it, so that two series never become one.
    """
    if len(value) <= LABEL_CHARACTERS_MAX and value.isprintable():
        return value
    clean = "".join("\ufffd" if character != "\n" and is_unsafe(character) else character for character in value)
    if clean == value and len(value) <= LABEL_CHARACTERS_MAX:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    return f"{clean[: LABEL_CHARACTERS_MAX - 1 - _HASH_CHARACTERS]}~{digest}"


def render(snapshot: Snapshot, series_max: int = SERIES_MAX) -> bytes:
    """Write one snapshot, with nothing about this process: for files, which are the same for the same events."""
    return b"".join(Renderer(Clocks()).render(FAMILIES, snapshot, series_max).pieces)


class SnapshotCollector(Collector):
    """The same families for a registry of the client library, for those who have one; slow, and not bounded."""

    def __init__(self, latest: Callable[[], Snapshot | None]) -> None:
        self._latest = latest

    def describe(self) -> Iterable[Metric]:
        """Give nothing, so that registering does not need a snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give every family that has series."""
        snapshot = self._latest()
        if snapshot is None:
            return
        for family in FAMILIES:
            metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
            for labels, value in family.read(snapshot):
                name, named = family.series(tuple(map(label_text, labels)))
                metric.add_sample(name, dict(named), value)
            if metric.samples:
                yield metric
