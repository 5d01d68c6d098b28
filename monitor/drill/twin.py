"""A drill in a twin: recorded events through the same pipeline on their own time, and real word to real receivers.

The first half of a model's events is what is normal; what follows is judged, and from three quarters on the incident is
planted. Nothing is written to Kafka, and no running daemon is involved. Only the alert that finds the incident is told
to the receivers, as a drill, and ended there when they have accepted it.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from monitor import build
from monitor.backtest import strength
from monitor.baseline import Input, build_references
from monitor.config import Settings
from monitor.decode import ADAPTERS, Limits
from monitor.delivery import Delivery
from monitor.demo.traffic import RATES_PER_S, history
from monitor.domain import AlertState, Batch, FloatArray, Reason, TopicPartition, Transition
from monitor.drill.incidents import Event, Planted, Traits, plant
from monitor.drill.report import Order, Result
from monitor.drills import rehearsed
from monitor.errors import DriftdError
from monitor.ledger import is_page

REFERENCE_SHARE: Final = 0.5
PLANT_SHARE: Final = 0.75
"""Of the model's events: what is normal ends with the first, the incident begins with the second."""
EVENTS_MAX: Final = 2_000_000
"""Events are held in memory: about 1 kB each."""
SAMPLE: Final = 5_000
BATCH: Final = 1_000
GENERATED_S: Final = 600.0
POLL_S: Final = 0.05
SEED: Final = 29
_PLACE: Final = TopicPartition("drill", 0)


@dataclass(frozen=True, slots=True)
class Recording:
    """Events in order of time. times_s: shape (n,). lines, models: of length n."""

    lines: Sequence[bytes]
    times_s: FloatArray
    models: Sequence[str]

    def at_share(self, model: str, share: float) -> float:
        """Give the time of a model's event that comes after such a share of all of its events."""
        own = self.times_s[np.array(self.models) == model]
        return float(own[int(share * len(own))])

    def until(self, time_s: float) -> list[bytes]:
        """Give the lines before a time."""
        return list(self.lines[: int(np.searchsorted(self.times_s, time_s))])


def generated() -> Input:
    """Give ten minutes of the demo's healthy traffic, up to now."""
    lines = [msgspec.json.encode(each) for each in history(GENERATED_S, time.time())]
    return Input(f"generated traffic of {', '.join(RATES_PER_S)}", lambda _: iter([lines]))


def recorded(paths: Sequence[Path], model: str | None) -> Input:
    """Give the events of files. model: of rows that name none (CSV, Parquet)."""
    return Input.of_files(paths, model=model, version="", time_column="event_time", every=None)


def recording(given: Input) -> Recording:
    """Read all inference events. Raises DriftdError where there are none, or too many to hold."""
    lines: list[bytes] = []
    models: list[str] = []
    times_s: list[FloatArray] = []
    adapter = ADAPTERS[build.ADAPTER](Limits())
    for batch in given.read(lambda _done, _events: None):
        columns = adapter.decode(batch)
        lines += [line for at in columns.messages if (line := batch[at]) is not None]
        models += columns.models
        times_s.append(columns.times_s)
        if len(lines) > EVENTS_MAX:
            raise DriftdError(f"{given.described}: more than {EVENTS_MAX:,} events; a drill needs some minutes of them")
    if not lines:
        raise DriftdError(f"{given.described}: no inference events in it")
    times = np.concatenate(times_s)
    order = np.argsort(times, kind="stable")
    return Recording([lines[i] for i in order], times[order], [models[i] for i in order])


def drill(settings: Settings, given: Input, order: Order, say: Callable[[str], None]) -> Result:
    """Plant, look, tell; give what came of it."""
    whole = recording(given)
    model, planted = _fitted(whole, order)
    healthy_until_s, planted_s = (whole.at_share(model, share) for share in (REFERENCE_SHARE, PLANT_SHARE))
    result = Result("twin", planted.name, planted.words, model, planted.stream, planted_s)
    normal = whole.until(healthy_until_s)
    say(f"learning what is normal from {len(normal):,} of {len(whole.lines):,} events ({given.described})")
    references = build_references(settings, Input(given.described, lambda _: iter([normal]))).references
    say(f"planting {planted.name} in {model}: {planted.words}")
    false_alarms: list[str] = []
    found: list[Transition] = []
    pipeline = build.pipeline(settings, references)
    pipeline.assign([_PLACE])
    for lines in _batches(_with_incident(whole, (model, planted), planted_s), len(normal)):
        step = pipeline.step(Batch(lines, [0] * len(lines), (_PLACE,)), math.inf)
        pages = [t for t in step.transitions if is_page(t)]
        false_alarms += [t.alert.summary for t in pages if t.time_s <= planted_s]
        found = [t for t in pages if t.time_s > planted_s and _is_about(t, model, planted)]
        if found:
            break
    result = replace(result, false_alarms=false_alarms)
    if not found:
        return result
    strongest = min(found, key=lambda transition: strength(transition.alert))
    return _tell(settings, result, rehearsed(strongest), (order.timeout_s, say))


def _is_about(transition: Transition, model: str, planted: Planted) -> bool:
    key = transition.alert.key
    return key.model == model and key.field == planted.stream and not key.segment


def _fitted(whole: Recording, order: Order) -> tuple[str, Planted]:
    """Give the model with the most events that the incident fits, or the one that is asked for."""
    counts = Counter(whole.models)
    if order.model is not None and order.model not in counts:
        raise DriftdError(f"--model {order.model}: no events of it; there are: {', '.join(list(counts)[:30])}")
    candidates = [order.model] if order.model is not None else [name for name, _ in counts.most_common()]
    for model in candidates:
        planted = plant(order.incident, Traits.of(_sample(whole, model)), order.field, order.size)
        if planted is not None:
            return model, planted
    raise DriftdError(f"{order.incident}: no model has a field for it; models: {', '.join(candidates[:30])}")


def _sample(whole: Recording, model: str) -> list[Event]:
    until_s = whole.at_share(model, REFERENCE_SHARE)
    own = [line for line, name, time_s in _zipped(whole) if name == model and time_s < until_s]
    stride = max(1, len(own) // SAMPLE)
    return [event for line in own[::stride] if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    """Give an event as JSON; None for one that only the lenient reader of the pipeline takes (NaN, huge integers)."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _with_incident(whole: Recording, wrong: tuple[str, Planted], planted_s: float) -> Iterator[bytes]:
    rng = random.Random(SEED)  # noqa: S311 - to be repeatable, not to be secret
    model, planted = wrong
    for line, name, time_s in _zipped(whole):
        event = _event(line) if name == model and time_s >= planted_s else None
        if event is not None:
            planted.change(event, rng)
        yield line if event is None else msgspec.json.encode(event)


def _zipped(whole: Recording) -> Iterator[tuple[bytes, str, float]]:
    return zip(whole.lines, whole.models, whole.times_s.tolist(), strict=True)


def _batches(lines: Iterator[bytes], skipped: int) -> Iterator[list[bytes]]:
    """Give the lines after those that are the reference, some at a time."""
    batch: list[bytes] = []
    for number, line in enumerate(lines):
        if number < skipped:
            continue
        batch.append(line)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    yield batch


def _tell(settings: Settings, result: Result, found: Transition, terms: tuple[float, Callable[[str], None]]) -> Result:
    """Tell every configured receiver, and end the alert there once each has accepted it or the time is over."""
    timeout_s, say = terms
    delivery = Delivery(build.sinks(settings))
    with closing(delivery):
        delivery.start()
        decided_wall_s = time.time()
        delivery.offer([found], decided_wall_s)
        say(f"found: {found.alert.summary}; telling {', '.join(each.name for each in delivery.status()) or 'nobody'}")
        heard = _wait_heard(delivery, found.alert.dedup_key, timeout_s)
        ended_s = found.time_s + 1.0
        ended = replace(found.alert, state=AlertState.RESOLVED, resolved_s=ended_s)
        delivery.offer([Transition(ended_s, AlertState.FIRING, ended, Reason.REMOVED)], time.time())
        left = delivery.drain(min(5.0, timeout_s))
    return replace(result, found=found.alert, heard=heard, lag_s=settings.time.disorder_s, is_over=not left)


def _wait_heard(delivery: Delivery, dedup_key: str, timeout_s: float) -> Mapping[str, float | None]:
    deadline_s = time.monotonic() + timeout_s
    while True:
        heard: dict[str, float | None] = {
            status.name: next(
                (r.accepted_wall_s - r.decided_wall_s for r in status.receipts if r.dedup_key == dedup_key), None
            )
            for status in delivery.status()
        }
        if None not in heard.values() or time.monotonic() > deadline_s:
            return heard
        time.sleep(POLL_S)
