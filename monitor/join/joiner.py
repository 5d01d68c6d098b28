"""The join: inferences are remembered by request id until their outcomes come, and the other way round.

Each outcome that finds its inference becomes a row of fields (see answers), which is counted like an event. What comes
out depends on the messages and their order alone. Of two inferences of one id the later one counts, with its outcomes
begun anew. Of two outcomes of one inference with one mark (kind and evaluator) the first one counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

from monitor.decode.base import Columns, Outcomes
from monitor.join.answers import Fields, judged_fields, kind_of_task, label_fields, success_of, text_of
from monitor.join.ids import Ids
from monitor.join.joined import Row, Told
from monitor.join.pending import Pending
from monitor.join.reach import Reach
from monitor.join.records import Inference, Outcome, encode, inference_of, inferences_of, outcomes_of
from monitor.join.terms import JoinTerms, Task
from monitor.kept import Section, State
from monitor.quality import JoinStatus
from monitor.totals import counter_of, counter_state

GENERATIONS: Final = 8
"""Slices of the time to live: that much too long an entry may be kept, by one of them."""
WAITING_OF_ONE_MAX: Final = 32
"""Outcomes that wait for one inference; there are few marks, and somebody may send any."""
NAME_CHARS_MAX: Final = 64
CRITICAL: Final = "critical"
"""The severity of failures whose modes are also counted apart."""
EVALUATORS_MAX: Final = 200
"""Names of evaluators, all models together; those beyond are counted and say nothing."""
JOIN, INFERENCES, WAITING = "join", "join/inferences", "join/waiting"
MARKED: Final[Mapping[str, str]] = {"override": "overridden", "escalation": "escalated", "label": "labelled"}
"""What an inference is once such an outcome came, and is not if none comes in time: by kind of outcome."""

TaskOf = Callable[[str, str], Task]
KindOf = Callable[[str, str], str | None]


class Joiner:
    """Brings inferences and outcomes together. Called by the pipeline, in the loop thread.

    counts: outcomes by kind and what became of them: joined, waiting (for their inference, yet), duplicate, late (an
    override or escalation of an inference that counted as having none), useless (it says nothing, or something of
    another type than before), not_sampled, overflow. Outcomes that waited in vain are in `expired`.
    """

    def __init__(
        self,
        terms: JoinTerms,
        task_of: TaskOf,
        kept: tuple[Pending, Pending],
        seed: int = 0,
        kind_of: KindOf = lambda _, __: None,
        reach: Reach | None = None,
    ) -> None:
        """Join. kept: where inferences wait, and where outcomes do. kind_of: what is known of a model version's task.

        reach: of one who joins for others: told where entries come from; what a kind of task is, it leaves to them.
        """
        self.terms = terms
        self._task_of = task_of
        self._kind_of = kind_of
        self._reach = reach
        self._pending, self._waiting = kept
        self._ids = Ids(seed, terms.sample)
        self._span_s = max(1.0, terms.ttl_s / GENERATIONS)
        self._tasks: dict[tuple[str, ...], Task] = {}
        self._kinds: dict[tuple[str, str], str] = {}
        self._evaluators: set[str] = set()
        self.is_on = terms.mode == "on"
        self.counts: Counter[tuple[str, str]] = Counter()
        self.expired = 0
        self.forgotten = 0
        self.waited: list[tuple[str, bytes]] = []
        """With `reach`: kinds and ids of outcomes that began to wait, until whoever asks clears it."""

    def status(self) -> JoinStatus:
        """Give what there is to see of it."""
        return JoinStatus(
            is_on=self.is_on,
            outcomes=dict(self.counts),
            pending=len(self._pending),
            waiting=len(self._waiting),
            expired=self.expired,
            forgotten=self.forgotten + self._pending.forgotten + self._waiting.forgotten,
            nbytes=self._pending.nbytes + self._waiting.nbytes,
        )

    def forget_results(self) -> None:
        """Count anew from here on; what waits, waits."""
        self.counts = Counter({each: count for each, count in self.counts.items() if each[1] == "waiting"})
        self.expired = self.forgotten = 0
        self.waited.clear()

    # ---- messages

    def begin(self) -> None:
        """Hear that there are outcomes: in mode auto inferences are remembered from here on."""
        self.is_on = self.is_on or self.terms.mode == "auto"

    def sampled(self, columns: Columns) -> list[tuple[int, bytes]]:
        """Give the inferences that are joined: the place of each, and its id in eight bytes."""
        ids: Sequence[str | None] = columns.request_ids
        if self.terms.key_by_event and None in ids:
            ids = [own if own is not None else other for own, other in zip(ids, columns.event_ids, strict=True)]
        if None in ids:
            chosen = [(i, each) for i, each in enumerate(ids) if each is not None]
            digests = self._ids.of([each for _, each in chosen])
            places: Sequence[int] = [i for i, _ in chosen]
        else:
            digests, places = self._ids.of(ids), range(len(ids))  # type: ignore[arg-type]  # none is None
        if self.terms.sample >= 1.0:
            return list(zip(places, digests, strict=True))
        return [(i, each) for i, each in zip(places, digests, strict=True) if self._ids.is_sampled(each)]

    def take(self, columns: Columns, sampled: Sequence[tuple[int, bytes]], outcomes: Outcomes) -> list[Row]:
        """Take in a run of inferences and outcomes between which no pane closes; give what is to be counted.

        Cost: 1.5 microseconds an inference and 10 an outcome.
        """
        joined: list[Row] = []
        self._tasks.clear()  # a reload may have changed them
        told = self._told(outcomes)
        last = {each: columns.messages[i] for i, each in sampled} if told else {}
        if any(one.message < last.get(one.asked, 0) for one in told):
            self._take_in_order(columns, sampled, told, joined)
        else:
            self._remember(columns, sampled, joined)
            self._hear(told, joined)
        return joined

    def _take_in_order(
        self, columns: Columns, sampled: Sequence[tuple[int, bytes]], told: Sequence[Told], joined: list[Row]
    ) -> None:
        """Take in one message after the other: an id that comes again parts outcomes before it from those after."""
        left = list(told)
        for each in sampled:
            before = [one for one in left if one.message < columns.messages[each[0]]]
            left = left[len(before) :]
            self._hear(before, joined)
            self._remember(columns, [each], joined)
        self._hear(left, joined)

    def _remember(self, columns: Columns, sampled: Sequence[tuple[int, bytes]], joined: list[Row]) -> None:
        """Remember inferences, and join those that outcomes wait for."""
        if not sampled:
            return
        records = inferences_of(columns, [i for i, _ in sampled])
        ids = [each for _, each in sampled]
        generations = [int(record.time_s // self._span_s) for record in records]
        if self._reach is not None:
            self._reach.note(generations)
        if len(self._pending) + len(ids) > self.terms.pending_max:
            self._make_room()
        self._pending.add(generations, ids, list(map(encode, records)))
        if not len(self._waiting):
            return
        last = dict(zip(ids, range(len(ids)), strict=True))
        for i, was in enumerate(self._waiting.get_many(ids)):
            (found,) = self._waiting.get_many(ids[i : i + 1]) if was is not None else (None,)  # an id may come twice
            if found is None:
                continue
            self._join_waiting(found, records[i], (generations[i], ids[i]), columns.messages[sampled[i][0]], joined)
            if records[i].marks and last[ids[i]] == i:
                self._pending.change(generations[i], ids[i], encode(records[i]))

    def _join_waiting(
        self, found: tuple[int, bytes], asked: Inference, entry: tuple[int, bytes], message: int, joined: list[Row]
    ) -> None:
        """Join an inference with the outcomes that wait for it; those that are too far from it in time wait on."""
        told = outcomes_of(found[1])
        near = [one for one in told if self._is_near(asked, one)]
        if not near:
            return
        if len(near) < len(told):
            self._waiting.change(found[0], entry[1], encode([one for one in told if one not in near]))
        else:
            self._waiting.remove(found[0], entry[1])
        if self._reach is not None:
            self._reach.inherit(entry[0], found[0])
        for one in near:
            self.counts[one.kind, "waiting"] -= 1
            self._join(asked, one, message, joined)

    def _is_near(self, asked: Inference, told: Outcome) -> bool:
        return abs(told.time_s - asked.time_s) <= self.terms.ttl_s

    def _told(self, outcomes: Outcomes) -> list[Told]:
        """Give the outcomes that are sampled, in order, with the ids of their inferences."""
        out: list[Told] = []
        for i, each in enumerate(self._ids.of(outcomes.request_ids)):
            kind = outcomes.kinds[i]
            if self.terms.sample < 1.0 and not self._ids.is_sampled(each):
                self.counts[kind, "not_sampled"] += 1
                continue
            names = map(_name, (outcomes.evaluators[i], outcomes.severities[i], outcomes.failure_modes[i]))
            said = Outcome(kind, outcomes.times_s[i], outcomes.labels[i], outcomes.values[i], *names)
            out.append(Told(outcomes.messages[i], each, said))
        return sorted(out, key=attrgetter("message"))

    def _hear(self, told: Sequence[Told], joined: list[Row]) -> None:
        """Join outcomes with their inferences; those that have none yet wait for it."""
        ids = list(dict.fromkeys(one.asked for one in told))
        entries = zip(ids, self._pending.get_many(ids), strict=True)
        found = {each: None if entry is None else (entry[0], inference_of(entry[1])) for each, entry in entries}
        for one in told:
            entry = found[one.asked]
            if entry is None or not self._is_near(entry[1], one.said):
                self._wait(one.asked, one.said)
                continue
            generation, asked = entry
            marks = asked.marks
            self._join(asked, one.said, one.message, joined)
            if asked.marks is not marks:
                self._pending.change(generation, one.asked, encode(asked))

    def knows(self, each: bytes) -> bool:
        """Tell whether an inference of an id is remembered."""
        return self._pending.get_many([each]) != [None]

    def _wait(self, each: bytes, told: Outcome) -> None:
        if self._reach is not None:
            self.waited.append((told.kind, each))
        (found,) = self._waiting.get_many([each])
        if found is None:
            if len(self._waiting) >= self.terms.pending_max:
                self.counts[told.kind, "overflow"] += 1
                return
            generation = int(told.time_s // self._span_s)
            if self._reach is not None:
                self._reach.note([generation])
            self._waiting.add([generation], [each], [encode([told])])
        else:
            generation, value = found
            held = outcomes_of(value)
            if any(one.mark == told.mark for one in held):
                self.counts[told.kind, "duplicate"] += 1
                return
            if len(held) >= WAITING_OF_ONE_MAX:
                self.counts[told.kind, "overflow"] += 1
                return
            self._waiting.change(generation, each, encode([*held, told]))
        self.counts[told.kind, "waiting"] += 1

    # ---- a pair

    def join(self, asked: Inference, told: Outcome) -> list[Row]:
        """Give what a pair says that somebody else has found, with the marks that its inference had before."""
        joined: list[Row] = []
        self._tasks.clear()
        self._join(asked, told, 0, joined)
        return joined

    def _join(self, asked: Inference, told: Outcome, message: int, joined: list[Row]) -> None:
        """Put down what a pair says, and mark the inference."""
        marks = asked.marks
        if told.mark in marks:
            self.counts[told.kind, "duplicate"] += 1
            return
        task = self._task(asked.model, asked.model_version)
        kind = self._kind(asked, task)
        fields = self._fields(asked, told, task, kind)
        if fields is None:
            self.counts[told.kind, "useless"] += 1
            return
        asked.marks = (*marks, told.mark)
        marked = self._marked(told)
        is_late = bool(marked) and told.time_s > asked.time_s + self.terms.horizon_s
        result = "late" if is_late and told.kind != "label" else "joined"
        self.counts[told.kind, result] += 1
        if told.failure_mode:
            fields["failure_mode"] = told.failure_mode
            if told.severity == CRITICAL:
                fields["critical_failure_mode"] = told.failure_mode
        success = success_of(fields, task)
        if success is not None and "success" not in marks:
            asked.marks = (*asked.marks, "success")
            fields["success"] = success
            fields |= {"success_cost_usd": asked.cost_usd} if asked.cost_usd is not None else {}
            fields |= {"success_tokens": asked.tokens} if asked.tokens is not None else {}
        time_s = max(told.time_s, asked.time_s + self.maturity_of(task))
        is_guess = kind is None and told.kind == "label"
        joined.append(Row(message, asked, told, marks, time_s, fields, "" if is_late else marked, result, is_guess))

    def _task(self, *name: str) -> Task:
        if name not in self._tasks:
            self._tasks[name] = self._task_of(*name)
        return self._tasks[name]

    def _marked(self, told: Outcome) -> str:
        """Give what an inference is by an outcome, "" where that does not say so."""
        said = told.value if told.kind != "label" else None
        return MARKED.get(told.kind, "") if said is None or said not in (False, 0, "false", "no") else ""

    def _kind(self, asked: Inference, task: Task) -> str | None:
        """Give what kind of task a model version's is, None where nothing has told yet."""
        if task.kind != "auto":
            return task.kind
        name = (asked.model, asked.model_version)
        return self._kinds.get(name) or self._kind_of(*name)

    def _fields(self, asked: Inference, told: Outcome, task: Task, kind: str | None) -> Fields | None:
        if told.kind in ("override", "escalation"):
            return {}
        if told.kind != "label":
            return judged_fields(told) if self._is_known(told.evaluator) else None
        if told.label is None and told.value is not None:
            told.label = told.value
        found = kind or kind_of_task(asked.prediction, told.label)
        fields = label_fields(asked, told, task, found)
        if fields is not None:
            if self._reach is None:
                self._kinds.setdefault((asked.model, asked.model_version), found)
            fields["label_age_s"] = max(0.0, told.time_s - asked.time_s)
        return fields

    def _is_known(self, evaluator: str) -> bool:
        if self._reach is not None:
            return True
        if evaluator not in self._evaluators and len(self._evaluators) < EVALUATORS_MAX:
            self._evaluators.add(evaluator)
        return evaluator in self._evaluators

    # ---- time

    def maturity_of(self, task: Task) -> float:
        """Give how old a model's inferences are at least when their labels count."""
        return self.terms.maturity_s if task.maturity_s is None else task.maturity_s

    def expire(self, now_s: float) -> None:
        """Forget what has waited for longer than its time. Cost: nothing, but once a generation."""
        last = int((now_s - self.terms.ttl_s) // self._span_s)
        if self._reach is not None:
            self._reach.expire(last)
        for held in (self._pending, self._waiting):
            for generation in [each for each in held.counts if each < last]:
                gone = held.drop(generation)
                self.expired += gone if held is self._waiting else 0

    def _make_room(self) -> None:
        """Forget the oldest inferences: there is no room for all."""
        oldest = min(self._pending.counts, default=None)
        if oldest is not None:
            self.forgotten += self._pending.drop(oldest)

    # ---- what is kept

    def saved(self) -> None:
        """Hear that the state is stored."""
        self._pending.saved()
        self._waiting.saved()

    def drain(self) -> None:
        """Put some of what is stored where it stays; see Pending.drain."""
        self._pending.drain()
        self._waiting.drain()

    def sections(self) -> Iterator[Section]:
        """Give what is kept."""
        if self.is_on or self.counts:
            yield Section(JOIN, None, self._state)
            yield from self._pending.sections(INFERENCES)
            yield from self._waiting.sections(WAITING)

    def _state(self) -> State:
        return {
            "seed": self._ids.seed,
            "is_on": self.is_on,
            "kinds": [[*name, kind] for name, kind in self._kinds.items()],
            "evaluators": sorted(self._evaluators),
            "counts": counter_state(self.counts),
            "expired": self.expired,
            "forgotten": self.forgotten,
            "span_s": self._span_s,
        }

    def restore(self, states: Mapping[str, State]) -> None:
        """Go on from a state."""
        state = states.get(JOIN, {})
        self._ids.seed = int(state.get("seed", self._ids.seed))
        self.is_on = self.terms.mode != "off" and (self.terms.mode == "on" or bool(state.get("is_on", False)))
        self._kinds = {(model, version): kind for model, version, kind in state.get("kinds", ())}
        self._evaluators = set(state.get("evaluators", ()))
        self.counts = counter_of(state.get("counts", ()))
        self.expired, self.forgotten = int(state.get("expired", 0)), int(state.get("forgotten", 0))
        self._span_s = float(state.get("span_s", self._span_s))  # what waits is sorted by it
        self._pending.restore(INFERENCES, states)
        self._waiting.restore(WAITING, states)


def _name(value: object) -> str:
    """Give a name of bounded length; what is none has no name."""
    if value is None or value == "":
        return ""
    return text_of(value)[:NAME_CHARS_MAX] if type(value) in (str, int, float, bool) else ""
