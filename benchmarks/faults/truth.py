"""What is true: one offline pass over the very same topic, and how what the daemon stored differs from it."""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

import numpy as np
from confluent_kafka import Consumer, Message
from confluent_kafka import TopicPartition as KafkaPartition

from monitor import build
from monitor.bins import WIDTHS, Arena
from monitor.config import Settings
from monitor.counting_state import LADDER, OPEN, TOTALS, WATERMARK
from monitor.counts import Counts
from monitor.domain import Batch, StreamKey, TopicPartition, Transition
from monitor.join.joiner import JOIN
from monitor.joining import COHORTS, RIPENING
from monitor.kept import State
from monitor.sinks.base import Notice
from monitor.sinks.webhook import message_id
from monitor.table_state import STREAMS, SUBJECTS

Bins = dict[StreamKey, Counter[int]]
"""Counts of all time, by stream and bin."""
Sums = dict[str, int]
"""Messages by what became of them."""
BATCH: Final = 2_000
READ_S_MAX: Final = 20.0
SUMS: Final = ("received", "counted", "rejected", "late", "duplicate", "clamped")


@dataclass(slots=True)
class Pass:
    """What a pipeline made of a topic. to_s: event time up to which it has judged.

    changed: how often events were added to panes that had closed, which would be judged later than they should.
    outcomes: by kind and what became of them, and inferences noted of which something may be told yet.
    """

    bins: Bins
    sums: Sums
    to_s: float
    changed: int
    transitions: list[Transition] = field(default_factory=list)
    outcomes: Counter[tuple[object, ...]] = field(default_factory=Counter)


def ends_of(servers: str, topic: str, partitions: int) -> dict[TopicPartition, int]:
    """Give how many messages each partition holds."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "driftd-bench-ends", "log_level": 0})
    try:
        return {
            TopicPartition(topic, number): consumer.get_watermark_offsets(KafkaPartition(topic, number), 20)[1]
            for number in range(partitions)
        }
    finally:
        consumer.close()


def messages(servers: str, ends: Mapping[TopicPartition, int]) -> Iterator[Message]:
    """Give everything up to these offsets, in the order of the brokers' time stamps: about as a live reader gets it."""
    yield from heapq.merge(*(_partition(servers, source, end) for source, end in ends.items()), key=_stamp)


def _stamp(message: Message) -> int:
    return int(message.timestamp()[1])


def _partition(servers: str, source: TopicPartition, end: int) -> Iterator[Message]:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "driftd-bench-truth", "enable.auto.commit": False, "log_level": 0}
    )
    consumer.assign([KafkaPartition(*source, 0)])
    read, deadline_s = 0, time.monotonic() + READ_S_MAX
    try:
        while read < end:
            found = [each for each in consumer.consume(1_000, 0.1) if each.error() is None]
            yield from found[: end - read]
            read += len(found)
            if found:
                deadline_s = time.monotonic() + READ_S_MAX
            elif time.monotonic() > deadline_s:
                raise RuntimeError(f"{source}: {end - read} messages could not be read")
    finally:
        consumer.close()


def offline(settings: Settings, servers: str, ends: Mapping[TopicPartition, int]) -> Pass:
    """Run a new pipeline with the same settings and references over the topic."""
    sections, transitions = pass_over(settings, servers, ends)
    whole = stored(sections)
    whole.transitions += transitions
    return whole


def pass_over(
    settings: Settings, servers: str, ends: Mapping[TopicPartition, int]
) -> tuple[dict[str, State], list[Transition]]:
    """Do the same, and give what there is to be stored at the end, and the transitions."""
    pipeline = build.pipeline(settings, build.references(settings))
    sources = [source for source in ends if source.topic == next(iter(ends)).topic]
    index = {source.partition: at for at, source in enumerate(sources)}  # several topics are read as one
    pipeline.assign(sources)
    transitions: list[Transition] = []
    every = messages(servers, ends)
    while found := list(islice(every, BATCH)):
        partitions = np.array([index[m.partition() or 0] for m in found])
        transitions += pipeline.step(Batch([m.value() for m in found], partitions, sources), math.inf).transitions
    return {section.name: section.make() for section in pipeline.sections()}, transitions


def stored(sections: Mapping[str, State]) -> Pass:
    """Read the same from what a daemon stored."""
    changed = sum(
        int(state["changes"])
        for name, state in sections.items()
        if name.startswith(f"{LADDER}/") and "changes" in state
    )
    to_s = float(sections[WATERMARK]["value_s"])
    return Pass(bins_of(sections), sums_of(sections), to_s, changed, outcomes=outcomes_of(sections))


def outcomes_of(sections: Mapping[str, State]) -> Counter[tuple[object, ...]]:
    """Give what was joined or late, and the inferences that wait to be told of as a whole."""
    out: Counter[tuple[object, ...]] = Counter()
    for kind, result, count in sections.get(JOIN, {}).get("counts", ()):
        if result in {"joined", "late"}:
            out[kind, result] += int(count)
    for name in ("asked", "marked"):
        for *row, count in sections.get(COHORTS, {}).get(name, ()):
            out[name, *row] += int(count)
    return out


def sums_of(sections: Mapping[str, State]) -> Sums:
    """Give the messages by what became of them."""
    totals = sections[TOTALS]
    return {name: sum(int(row[-1]) for row in totals[name]) for name in SUMS}


def bins_of(sections: Mapping[str, State]) -> Bins:
    """Give what was counted: closed panes, however merged, open ones, and outcomes whose pane is yet to come.

    Late hits are in closed ones.
    """
    found: Bins = {}
    for arena in Arena:
        keys = _keys(sections, arena)
        total = np.zeros(len(keys) * WIDTHS[arena], dtype=np.int64)
        for counts in _counts(sections, arena.name.lower()):
            at, numbers = counts.pairs()
            total[at] += numbers
        for flat in np.flatnonzero(total).tolist():
            row, bin_ = divmod(flat, WIDTHS[arena])
            found.setdefault(keys[row], Counter())[bin_] += int(total[flat])
    return found


def _keys(sections: Mapping[str, State], arena: Arena) -> list[StreamKey]:
    subjects, streams = sections[SUBJECTS], sections[STREAMS].get(arena.name.lower())
    if streams is None:
        return []
    rows = zip(streams["subjects"].tolist(), streams["fields"], streams["segments"], strict=True)
    return [StreamKey(subjects["models"][at], subjects["versions"][at], name, segment) for at, name, segment in rows]


def _counts(sections: Mapping[str, State], arena: str) -> Iterator[Counts]:
    for name, state in sections.items():
        if name.startswith(f"{LADDER}/{arena}/"):
            yield Counts.of_state(state)
        elif name.startswith((f"{OPEN}/", f"{RIPENING}/")) and arena in state["counts"]:
            yield Counts.of_state(state["counts"][arena])


@dataclass(frozen=True, slots=True)
class Difference:
    """lost, doubled: over all streams and bins. where: the worst of them, for people. counted: all hits."""

    lost: int
    doubled: int
    counted: int
    where: Sequence[str]
    sums: str

    @property
    def is_none(self) -> bool:
        return not (self.lost or self.doubled or self.sums)


def compare(daemon: Pass, truth: Pass, messages_sent: int) -> Difference:
    """Tell where the daemon's counts differ from those of the offline pass; sums: what is wrong with the totals."""
    lost = doubled = counted = 0
    where: list[tuple[int, str]] = []
    for key in truth.bins.keys() | daemon.bins.keys():
        right, found = truth.bins.get(key, Counter()), daemon.bins.get(key, Counter())
        counted += sum(right.values())
        for bin_ in right.keys() | found.keys():
            more = found[bin_] - right[bin_]
            lost, doubled = lost + max(0, -more), doubled + max(0, more)
            if more:
                where.append((abs(more), f"{key.model}/{key.field} bin {bin_}: {found[bin_]}, true {right[bin_]}"))
    wrong = []
    for name, sums in (("daemon", daemon.sums), ("offline", truth.sums)):
        parts = sum(sums[each] for each in ("counted", "rejected", "late", "duplicate"))
        if not sums["received"] == parts == messages_sent:
            wrong.append(f"{name}: received {sums['received']}, accounted for {parts}, sent {messages_sent}")
    if daemon.sums != truth.sums:
        wrong.append(f"daemon {daemon.sums}, offline {truth.sums}")
    worst = [text for _, text in sorted(where, reverse=True)[:10]]
    return Difference(lost, doubled, counted, worst, "; ".join(wrong))


@dataclass(frozen=True, slots=True)
class Alerts:
    """Notices told against those of the offline pass.

    missing: never told. superseded: not told since a newer state of the same alert was. extra: told and not true.
    repeated: told more than once, under the same id.
    """

    true: int
    missing: Sequence[str]
    superseded: int
    extra: Sequence[str]
    repeated: int


def compare_alerts(
    told: Mapping[str, str], repeated: int, daemon: Pass, truth: Pass, models: Collection[str]
) -> Alerts:
    """Compare by message id: rule, stream, state, severity and event time are all in it. told: id to description.

    Only what both have judged is compared.
    """
    to_s = min(daemon.to_s, truth.to_s)
    notices = [Notice(each, 0.0) for each in truth.transitions if each.alert.key.model in models]
    due = [each for each in notices if each.is_about_firing and each.transition.time_s <= to_s]
    known = {message_id(each) for each in notices}
    newest: dict[str, float] = {}
    for each in due:
        if message_id(each) in told:
            newest[each.key] = max(newest.get(each.key, 0.0), each.transition.time_s)
    absent = [each for each in due if message_id(each) not in told]
    missing = [each for each in absent if newest.get(each.key, 0.0) <= each.transition.time_s]
    return Alerts(
        len(due),
        [_described(each) for each in missing],
        len(absent) - len(missing),
        [text for identity, text in told.items() if identity not in known and _time_s(text) <= to_s],
        repeated,
    )


def _time_s(text: str) -> float:
    """Give when an alert ended, or began to fire, by its description (see ground.told_to)."""
    *_, state, starts, ends = text.split()
    return datetime.fromisoformat(ends if state == "resolved" else starts).timestamp()


def _described(notice: Notice) -> str:
    alert = notice.alert
    return f"{alert.rule} {alert.key.model}/{alert.key.field} {alert.state} {notice.transition.time_s}"
