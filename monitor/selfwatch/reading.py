"""Conditions of reading: whether messages come, from every partition, in time, and can be used. Pure.

Alerts are per topic, never per partition: a topic of a hundred partitions that stands still is one page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from monitor.domain import PartitionStatus, Seen, TopicPartition
from monitor.selfwatch.findings import GAPS, Finding, Look, by_topic, judged, numbers, span, yes_no
from monitor.selfwatch.past import GAIN_MIN, LagPast, Standing
from monitor.selfwatch.terms import SAMPLES_MIN

FLOW_S: Final = 60.0
"""Inferences count as coming in for so long after the last ones: only then can outcomes be missed."""
LABELS_GAPS: Final = 10.0
"""Outcomes of a kind are missed after so many times their mean distance, where that is more than labels_s."""
_RANK: Final = (Seen.UNKNOWN, Seen.CLEAR, Seen.HOLD, Seen.RED)
"""What is said of a topic is what is said of its worst partition."""
_WORDS: Final = {
    Standing.OK: "behind",
    Standing.WARN: "falling behind",
    Standing.STALL: "stalled",
    Standing.STOP: "stopped",
}


def no_data(look: Look) -> Iterator[Finding]:
    """Find that nothing comes from any partition, where something came before.

    A fold or judge that has no partition stands by: it is quiet since it last got one.
    """
    is_standby = bool(look.snapshot.picture.half.role) and not look.snapshot.partitions
    reading_s = look.past.since.note("reading", look.now_s, is_so=not is_standby)
    received = sum(look.snapshot.picture.received.values())
    total = look.past.totals.note("received", received, look.now_s)
    if not total.value:
        return
    quiet_s = look.now_s - total.grew_s
    if look.snapshot.picture.half.role:
        quiet_s = min(quiet_s, reading_s)
    limit_s = look.terms.no_data_s
    text = f"no message from any partition for {span(quiet_s)}: no model is watched meanwhile"
    yield Finding(judged(quiet_s, limit_s), quiet_s, limit_s, text, "messages come again", lasted_s=quiet_s)


def lag(look: Look) -> Iterator[Finding]:
    """Find topics that are read too late, and not sooner and sooner."""
    statuses = {status.source: status for status in look.snapshot.partitions}
    lags = look.past.lags
    for gone in lags.keys() - statuses.keys():
        del lags[gone]
    for source, status in statuses.items():
        lags.setdefault(source, LagPast()).note(status, look.now_s)
    for topic, partitions in by_topic(statuses).items():
        found = [_lag_of(statuses[each], lags[each], look) for each in partitions]
        seen, worst_s, source = max(found, key=lambda one: (_RANK.index(one[0]), one[1]))
        late = [one for one in found if one[0] is Seen.RED]
        word = _WORDS[lags[source].standing]
        text = (
            f"{span(worst_s)} {word} on {topic}, in {len(late)} of {len(found)} partitions (worst: {source.partition});"
            " verdicts about its models come that much later"
        )
        details = {"partitions": numbers(one[2] for one in late), "standing": str(lags[source].standing)}
        segment, limit_s = f"topic={topic}", look.terms.lag_s
        yield Finding(
            seen, worst_s, limit_s, text, f"{topic} is read in time again", segment, change=word, details=details
        )


def _lag_of(status: PartitionStatus, past: LagPast, look: Look) -> tuple[Seen, float, TopicPartition]:
    """Give what is found of one partition; one that catches up is neither good nor bad."""
    if status.lag_s is None:
        return Seen.UNKNOWN, 0.0, status.source
    seen = judged(status.lag_s, look.terms.lag_s)
    if seen is Seen.RED:
        gain = past.gain(status.lag_s, look.now_s)
        seen = Seen.HOLD if gain is None or gain >= GAIN_MIN else Seen.RED
    return seen, status.lag_s, status.source


def stalled(look: Look) -> Iterator[Finding]:
    """Find partitions with records waiting that are not read, and are not held back on purpose."""
    statuses = {status.source: status for status in look.snapshot.partitions}
    limit_s = look.terms.stalled_s
    for topic, partitions in by_topic(statuses).items():
        quiet_s = {
            p: statuses[p].stalled_s if statuses[p].lag_records and not statuses[p].is_held else 0.0 for p in partitions
        }
        bad = [each for each in partitions if quiet_s[each] >= limit_s]
        worst_s = max(quiet_s.values())
        text = (
            f"records wait in {len(bad)} of {len(partitions)} partitions of {topic} ({numbers(bad)}), and none was read"
            f" for {span(worst_s)}; what comes through them is not watched"
        )
        fine = f"every partition of {topic} is read again"
        seen = judged(worst_s, limit_s)
        yield Finding(seen, worst_s, limit_s, text, fine, f"topic={topic}", lasted_s=worst_s)


def brokers(look: Look) -> Iterator[Finding]:
    """Find that nothing can be read: brokers don't answer, or give no partition, nor has another member all of them.

    A fold or judge without a partition is no trouble: there may be more of them than partitions.
    """
    is_alone = not look.snapshot.picture.half.role
    is_left_out = is_alone and not look.snapshot.partitions and not look.watched.away
    trouble = look.watched.trouble or ("no partition is assigned" if is_left_out else "")
    for_s, limit_s = look.past.since.note("brokers", look.now_s, is_so=bool(trouble)), look.terms.brokers_s
    text = f"nothing can be read for {span(for_s)} ({trouble}): event time stands still, and no model is watched"
    yield Finding(judged(for_s, limit_s), for_s, limit_s, text, "brokers answer again", lasted_s=for_s)


def away(look: Look) -> Iterator[Finding]:
    """Find that another member of the group has partitions that were read here."""
    found = by_topic(look.watched.away)
    names = {f"away {topic}" for topic in found}
    look.past.since.keep("away ", names)
    for topic, partitions in found.items():
        for_s = look.past.since.note(f"away {topic}", look.now_s, is_so=True)
        text = (
            f"another member of the group has {len(partitions)} partitions of {topic} ({numbers(partitions)}) for"
            f" {span(for_s)}: windows without them are incomplete and not judged"
        )
        limit_s, fine = look.terms.away_s, f"all partitions of {topic} are back"
        seen = judged(for_s, limit_s)
        yield Finding(seen, for_s, limit_s, text, fine, f"topic={topic}", lasted_s=for_s)
    for topic in {each.source.topic for each in look.snapshot.partitions} - found.keys():
        yield Finding(Seen.CLEAR, 0.0, look.terms.away_s, "", f"all partitions of {topic} are back", f"topic={topic}")


def gap(look: Look) -> Iterator[Finding]:
    """Find messages that were gone before they were read; told until no window lacks them any more."""
    intake = look.snapshot.intake
    for topic in sorted(intake.gaps.keys() | look.past.totals.names(GAPS)):
        total = look.past.totals.note(GAPS + topic, intake.gaps.get(topic, 0), look.now_s)
        ago_s = look.now_s - total.grew_s
        missing = intake.missing.get(topic, 0)
        text = (
            f"{f'{missing:,} messages' if missing else 'messages'} of {topic} were deleted by retention before they"
            " were read: windows that lack them are incomplete and not judged"
        )
        fine = f"no window lacks messages of {topic} any more"
        seen = yes_no(is_bad=ago_s < look.terms.gap_s)
        lasted_s = min(ago_s, look.terms.gap_s)
        yield Finding(seen, float(missing), 1.0, text, fine, f"topic={topic}", lasted_s)


def poison(look: Look) -> Iterator[Finding]:
    """Find partitions that are not read any more because too many of their messages can't be used."""
    letters = look.snapshot.dead_letters
    topics = {each.source.topic for each in look.snapshot.partitions}
    found = by_topic(TopicPartition(*each) for each in letters.broken)
    for topic in sorted(topics | found.keys()):
        partitions = found.get(topic, [])
        why = letters.broken[partitions[0]] if partitions else ""
        text = (
            f"{len(partitions)} partitions of {topic} ({numbers(partitions)}) are not read any more, since too many of"
            f" their messages can't be used ({why}); none was skipped. After state.absence_s the others go on without"
            " them, and what is counted then is incomplete and not judged"
        )
        seen = yes_no(is_bad=bool(partitions))
        yield Finding(seen, float(len(partitions)), 1.0, text, f"all of {topic} is read again", f"topic={topic}")
    text = f"the dead-letter topic takes nothing, and {letters.waiting:,} dead letters wait: nothing more is read"
    fine, segment = "dead letters are taken again", "what=dead_letters"
    yield Finding(yes_no(is_bad=letters.is_full), float(letters.waiting), 1.0, text, fine, segment)


def rejected(look: Look) -> Iterator[Finding]:
    """Find topics of which too many messages can't be used."""
    parts: dict[str, int] = {}
    for (topic, _), count in look.snapshot.picture.rejected.items():
        parts[topic] = parts.get(topic, 0) + count
    for topic, whole in look.snapshot.picture.received.items():
        told = "are rejected, and not watched", parts.get(topic, 0)
        yield _share_of(look, ("rejected", topic), told, whole, look.terms.rejected_share)


def late(look: Look) -> Iterator[Finding]:
    """Find topics of which too many messages come too late to be counted."""
    for topic, whole in look.snapshot.picture.received.items():
        told = "come too late to be counted", look.snapshot.picture.late.get(topic, 0)
        yield _share_of(look, ("late", topic), told, whole, look.terms.late_share)


def clock(look: Look) -> Iterator[Finding]:
    """Find topics of which too many messages are from the future: somebody's clock is wrong, perhaps ours."""
    for topic, whole in look.snapshot.picture.received.items():
        told = "are from the future, and counted as of now", look.snapshot.picture.clamped.get(topic, 0)
        yield _share_of(look, ("clock", topic), told, whole, look.terms.future_share)


def _share_of(look: Look, name: tuple[str, str], told: tuple[str, int], whole: int, limit: float) -> Finding:
    what, part = told
    share = look.past.shares.note(" ".join(name), look.now_s, part, whole)
    seen = Seen.UNKNOWN if share.whole < SAMPLES_MIN else judged(share.share, limit)
    text = f"{share.share:.1%} of the last {share.whole:,} messages of {name[1]} {what}"
    return Finding(seen, share.share, limit, text, f"few messages of {name[1]} {what}", f"topic={name[1]}")


def labels(look: Look) -> Iterator[Finding]:
    """Find kinds of outcomes that came before and come no more, while inferences go on coming.

    Time counts while inferences come. A kind that is rare by nature is missed later: see LABELS_GAPS.
    """
    counted = look.snapshot.picture.counted
    inferences = sum(count for (_, kind), count in counted.items() if kind == "inference")
    if look.now_s - look.past.totals.note("inferences", inferences, look.now_s).grew_s < FLOW_S:
        look.past.flow_s += look.step_s
    kinds: dict[str, int] = {}
    for (_, kind), count in counted.items():
        if kind != "inference":
            kinds[kind] = kinds.get(kind, 0) + count
    now_s = look.past.flow_s
    for kind, count in sorted(kinds.items()):
        total = look.past.totals.note(f"outcomes {kind}", count, now_s)
        if not count:
            continue
        quiet_s = now_s - total.grew_s
        distance_s = (total.grew_s - total.first_s) / max(1, total.value - total.first)
        limit_s = max(look.terms.labels_s, LABELS_GAPS * distance_s)
        text = f"no outcome of kind {kind} for {span(quiet_s)} of traffic; they came every {distance_s:.3g} s before"
        fine, segment = f"outcomes of kind {kind} come again", f"kind={kind}"
        yield Finding(judged(quiet_s, limit_s), quiet_s, limit_s, text, fine, segment, lasted_s=quiet_s)


def standings(lags: dict[TopicPartition, LagPast]) -> Sequence[tuple[TopicPartition, Standing]]:
    """Give how reading each partition goes."""
    return [(source, past.standing) for source, past in sorted(lags.items())]
