"""Events from Kafka, by the synchronous client in the loop thread.

Where to read on is decided here, never by the group: positions come from the state that rests on them, and what a
partition had come to stays known when another member has it for a while. Partitions that are held back are given back
to the client, not paused: released, they start anew at the position kept, whatever was fetched ahead. Offsets
committed to the group are for lag tools, and for a process that has no state.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.domain import Batch, Gap, PartitionStatus, TopicPartition
from monitor.errors import SourceError
from monitor.intake import Intake
from monitor.sources.files import NO_IDS, NONE_STORED
from monitor.sources.kafka_assignment import Assignment, Progress
from monitor.sources.kafka_batch import Batches
from monitor.sources.kafka_contact import PROBE_S, Contact
from monitor.sources.kafka_ends import Ends
from monitor.sources.kafka_errors import CURES, SILENT, text_of
from monitor.sources.kafka_starts import Starts, StartTerms
from monitor.sources.kafka_terms import CLASSIC, KafkaTerms
from monitor.sources.kafka_topics import TopicIds


class KafkaSource:
    """A consumer group member. report: told of each error (reason, text, cure) for the log; it must not raise."""

    def __init__(self, terms: KafkaTerms, clock: Callable[[], float], report: Callable[[str, str, str], None]) -> None:
        self._terms = terms
        self._clock = clock
        self._report = report
        self._consumer: Consumer | None = None
        self._assignment = Assignment()
        self._on_hold: frozenset[TopicPartition] = frozenset()
        self._beyond: set[TopicPartition] = set()
        self._errors: Counter[str] = Counter()
        self._ends = Ends(clock, terms.outage_s_max)
        self._starts = Starts(StartTerms.of(terms), lambda error: self._on_error(error.args[0]))
        self._batches = Batches(self._starts.positions, has_many_topics=len(terms.topics) > 1)
        self._committed: dict[TopicPartition, int] = {}
        self._contact = Contact(clock, terms.outage_s_max)
        self._topics = TopicIds(terms.options, terms.topics if terms.positions != "group" else (), clock)

    def open(self, stored: Mapping[TopicPartition, int] = NONE_STORED, topic_ids: Mapping[str, str] = NO_IDS) -> None:
        """Create the consumer and subscribe; brokers that are down are waited for, wrong options are not."""
        self._starts.open(stored)
        self._topics.open(topic_ids)
        self._join()

    def topic_ids(self) -> Mapping[str, str]:
        """Give the ids of the topics that positions are of, as far as brokers have told them."""
        return dict(self._topics.known)

    def _join(self) -> None:
        own: dict[str, Any] = {
            "auto.offset.reset": "error",
            "error_cb": self._on_error,
            "on_commit": self._on_commit,
        }
        is_classic = self._terms.options.get("group.protocol", "classic") == "classic"
        if is_classic:
            own["partition.assignment.strategy"] = "cooperative-sticky"
        try:
            self._consumer = Consumer({**(CLASSIC if is_classic else {}), **self._terms.options, **own}, logger=SILENT)
            topics = [topic for topic in self._terms.topics if topic not in self._terms.followers]
            self._consumer.subscribe(
                topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        except (KafkaException, ValueError, TypeError) as error:
            raise SourceError(f"kafka: {text_of(error)}") from None

    def poll(self, timeout_s: float) -> Batch:
        """Give up to batch_records_max messages; waits at most timeout_s for them, longer where brokers are asked."""
        self._settle()
        messages = self._consume(timeout_s)
        if self._ends.has_to_rejoin() or self._is_out():
            self.rejoin()
        batch, lasts = self._batches.batch(messages, self._assignment.running)
        if self._beyond:  # after the batch, which may hold what came before the place where the log ends
            self._doubt()
        now_s = self._clock()
        for source, message in lasts.items():
            progress = self._assignment.ours[source]
            progress.last, progress.moved_s, progress.read_s = message, now_s, now_s
        if messages:
            self._contact.heard(now_s)
            self._contact.look_after(self.consumer(), self._assignment.silent(now_s, PROBE_S))
        if not messages or self._on_hold:
            is_quiet = not self._on_hold  # the ends of partitions that are held come from probes alone
            self._contact.probe(self.consumer(), self._assignment.ours, self._terms.topics[0], is_quiet=is_quiet)
        return batch

    def _is_out(self) -> bool:
        if not self._ends.is_out(self._contact.met_s):
            return False
        self._errors["out_of_group"] += 1
        self._report("out_of_group", "the client lost its partitions and was given none since", "it joins anew")
        return True

    def rejoin(self) -> None:
        """Leave the group, or be missed in it later, and join as another member; what is ours is told anew."""
        with suppress(SourceError):  # it is of no use any more, whatever it says
            self.close()
        held = self._assignment
        for source in held.ours if self._terms.positions == "group" else ():
            self._starts.forget(source)
        held.ours.clear()
        held.running.clear()
        held.is_settled = True
        self._committed.clear()
        self._join()

    def _consume(self, timeout_s: float) -> list[Message]:
        try:
            messages = self.consumer().consume(self._terms.batch_records_max, timeout_s)
        except KafkaException as error:
            self._on_error(error.args[0])
            return []
        errors = list(map(Message.error, messages))
        if any(errors):  # not by count(None) or ==: a KafkaError can't be compared with None
            for message, found in zip(messages, errors, strict=True):
                if found is not None:
                    self._on_bad_message(message, found)
            messages = [message for message, found in zip(messages, errors, strict=True) if found is None]
        return messages

    def _doubt(self) -> None:
        """Have the position of partitions checked whose next message the log lacks; the client has given up on them."""
        beyond = self._beyond & self._assignment.running
        self._beyond = set()
        if beyond:
            self._stop(beyond)
        for source in beyond:
            self._errors["offset_out_of_range"] += 1
            self._starts.doubt(source)

    # ---- where to read on

    def positions(self) -> Mapping[TopicPartition, int]:
        """Give the next offset of each partition that is or was read, or that state rests on."""
        return dict(self._starts.positions)

    def hold(self, partitions: Collection[TopicPartition]) -> None:
        """Do not read these; what was fetched ahead of them is dropped, and fetched anew later."""
        self._on_hold = frozenset(partitions)
        stopped = self._on_hold & self._assignment.running
        if stopped:
            self._stop(stopped)
        self._assignment.is_settled = False

    def gaps(self) -> Sequence[Gap]:
        """Give the gaps found since this was last asked, which were accepted: one that is not raises in poll."""
        return self._starts.take_gaps()

    def _settle(self) -> None:
        """Start what is ours and neither read nor held."""
        held = self._assignment
        for topic, partitions in self._topics.renewed().items():
            self._starts.renew(topic, partitions)
            self._stop({each for each in held.running if each.topic == topic})
        if held.is_settled:
            return
        waiting = [each for each in held.ours if each not in held.running and each not in self._on_hold]
        told = [each for each in waiting if self._topics.is_told(each.topic)]
        self._start(self._starts.settle(self.consumer(), told, self._clock))
        held.is_settled = held.running.issuperset(waiting)

    def _start(self, ready: Mapping[TopicPartition, int]) -> None:
        """Let the client fetch partitions from these offsets on."""
        try:
            if ready:
                self.consumer().incremental_assign([KafkaPartition(*each, offset) for each, offset in ready.items()])
                self._assignment.running |= ready.keys()
        except KafkaException as error:
            self._on_error(error.args[0])

    def _stop(self, sources: Collection[TopicPartition]) -> None:
        """Let the client fetch these no more."""
        self._assignment.running -= set(sources)
        self._assignment.is_settled = False
        try:
            self.consumer().incremental_unassign([KafkaPartition(*each) for each in sources])
        except KafkaException as error:
            self._on_error(error.args[0])

    # ---- rebalances: callbacks inside poll, which wait for nothing and never raise

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        held, now_s = self._assignment, self._clock()
        held.is_known, held.is_settled = True, False
        self._ends.assigned()
        held.rebalances["assigned"] += 1
        for source in self._with_followers(partitions):
            held.ours[source] = Progress(held.rebalances["assigned"], now_s, moved_s=now_s, read_s=now_s)
            self._batches.add(source)
        self._contact.ask_soon()
        self._topics.ask_soon()
        # The client would start all by itself, at offsets of its own, were nothing assigned here. `_settle` does it.
        consumer.incremental_assign([])

    def _on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._give_up(consumer, partitions, "revoked")

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._give_up(consumer, partitions, "lost")
        self._ends.lost()

    def _give_up(self, consumer: Consumer, partitions: list[KafkaPartition], kind: str) -> None:
        """Forget partitions but for their positions. Nothing is committed: what was durable has been, at `saved`."""
        began_s = time.perf_counter()
        held = self._assignment
        gone = set(self._with_followers(partitions))
        for each in gone:
            held.ours.pop(each, None)
            if self._terms.positions == "group":
                self._starts.forget(each)
            self._committed.pop(each, None)
        running = gone & held.running
        held.running -= running
        try:
            consumer.incremental_unassign([KafkaPartition(*each) for each in running])
        except KafkaException as error:
            self._on_error(error.args[0])
        held.rebalances[kind] += 1
        held.revokes_s.append(time.perf_counter() - began_s)

    def _with_followers(self, partitions: list[KafkaPartition]) -> list[TopicPartition]:
        found = [TopicPartition(p.topic, p.partition) for p in partitions]
        return found + [TopicPartition(topic, each.partition) for topic in self._terms.followers for each in found]

    def assigned(self) -> Sequence[TopicPartition] | None:
        """Give the partitions assigned to this member; None before the first assignment."""
        return tuple(self._assignment.ours) if self._assignment.is_known else None

    def tenures(self) -> Mapping[TopicPartition, int]:
        """Give our partitions, each with a number that is another one each time that it becomes ours."""
        return {source: progress.tenure for source, progress in self._assignment.ours.items()}

    def away(self) -> Sequence[TopicPartition]:
        """Give the partitions that were read and are not ours; none before an assignment, nor where work is shared."""
        if not self._assignment.is_known or self._terms.positions != "kept":
            return ()
        ours, topics = self._assignment.ours, self._terms.topics
        return sorted(each for each in self._starts.positions if each not in ours and each.topic in topics)

    # ---- quiet, or cut off

    def idle(self) -> tuple[Sequence[TopicPartition], float]:
        """Give those with nothing to read, silent for idle_s since brokers are there; at once if they always were."""
        now_s, idle, quiet = self._clock(), [], []
        if self.trouble():
            return (), 0.0  # what looks like quiet may be a broker out of reach
        for source, progress in self._assignment.ours.items():
            waited_s = now_s - max(progress.read_s, self.back_s)
            is_quiet = (progress.last is None and self.back_s < 0.0) or waited_s >= self._terms.idle_s
            is_at_end = self.lag(source) == 0 and self._contact.is_end_known(source, progress.since_s)
            if source in self._assignment.running and is_quiet and is_at_end:
                idle.append(source)
                quiet.append(waited_s)
        return idle, min(quiet) if idle and len(idle) == len(self._assignment.ours) else 0.0

    @property
    def back_s(self) -> float:
        """When brokers were heard again after they had been away; -inf: they were not."""
        return self._contact.back_s

    def trouble(self) -> str:
        """Give why nothing can be read at the moment, "" if it can."""
        if self._contact.is_silent():
            return "no broker has answered for a while"
        if not self._assignment.is_settled and self._starts.is_unanswered:
            return "no broker says where to start reading"
        return ""

    # ---- what is told

    def lag(self, source: TopicPartition) -> int | None:
        """Give how many messages of a partition are still to be read, None where that is not known."""
        end, position = self._contact.end(self.consumer(), source), self._starts.positions.get(source)
        return None if end is None or position is None else max(0, end - position)

    def status(self) -> Sequence[PartitionStatus]:
        """Give what is known of each partition; a lag that is not known is None, never a guess."""
        now_s, out, is_cut_off = self._clock(), [], bool(self.trouble())
        for source, progress in self._assignment.ours.items():
            lag, is_held = self.lag(source), source in self._on_hold
            if not lag or is_held or is_cut_off:
                progress.moved_s = now_s
            lag_s = None if lag is None else 0.0
            if lag and progress.last is not None:
                kind, time_ms = progress.last.timestamp()
                lag_s = max(0.0, now_s - time_ms / 1000.0) if kind else None
            position, stalled_s = self._starts.positions.get(source, 0), now_s - progress.moved_s
            out.append(
                PartitionStatus(
                    source, position, self._contact.end(self.consumer(), source), lag, lag_s, stalled_s, is_held
                )
            )
        return out

    def intake(self) -> Intake:
        """Give rebalances, how long partitions took to be given up, gaps, and what was given again."""
        held = self._assignment
        revokes_s = np.array(held.revokes_s)
        return Intake(
            rebalances={kind: held.rebalances[kind] for kind in ("assigned", "revoked", "lost")},
            revoke_s_max=float(revokes_s.max(initial=0.0)),
            revoke_s_p99=float(np.quantile(revokes_s, 0.99)) if len(revokes_s) else 0.0,
            gaps=dict(self._starts.gaps),
            missing=dict(self._starts.missing),
            repeated=self._batches.repeated,
            unsettled=sum(each not in held.running and each not in self._on_hold for each in held.ours),
        )

    # ---- commits, errors, end

    def saved(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit to the group, without waiting, the positions of partitions that are ours."""
        due = {
            each: positions[each]
            for each in self._assignment.ours
            if each in positions and positions[each] != self._committed.get(each)
        }
        if not due or self._terms.positions == "group" or not self.consumer().memberid():
            return  # what a static member commits while it joins anew, without an id, fences it for good
        try:
            offsets = [KafkaPartition(*each, offset) for each, offset in due.items()]
            self.consumer().commit(offsets=offsets, asynchronous=True)
            self._committed |= due
        except KafkaException as error:
            self._on_error(error.args[0])

    def _on_commit(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        """Count commits that failed, as some do while partitions change hands; the next one makes up for it."""
        if error is not None:
            if error.code() == KafkaError.FENCED_INSTANCE_ID:
                self._ends.fence()
            self._errors[f"commit_{error.name().lower()}"] += 1
            for p in partitions:
                self._committed.pop(TopicPartition(p.topic, p.partition), None)

    def errors(self) -> Mapping[str, int]:
        """Give the errors met, by librdkafka's name for them."""
        return self._errors

    def _on_bad_message(self, message: Message, error: KafkaError) -> None:
        if error.code() != KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the public name of this code
            self._on_error(error)
            return
        self._beyond.add(TopicPartition(str(message.topic()), int(message.partition() or 0)))

    def _on_error(self, error: KafkaError) -> None:
        reason = error.name().lower()
        self._errors[reason] += 1
        self._report(reason, error.str(), CURES.get(error.code(), ""))
        self._ends.meet(error)

    def close(self) -> None:
        """Leave the group and let go; commits under way are finished."""
        if self._consumer is None:
            return
        self._contact.close()
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as error:
            raise SourceError(f"kafka: closing failed: {text_of(error)}", is_fatal=False) from None
        self._consumer = None

    def seek(self, source: TopicPartition, offset: int | None) -> None:
        """Read a partition from there on; None: from where one of which nothing is known begins."""
        if source in self._assignment.running:
            self._stop([source])
        self._assignment.is_settled = False
        self._starts.seek(source, offset)

    def consumer(self) -> Consumer:
        """Give the member of the group, also for what else is to be asked of it on this thread."""
        if self._consumer is None:
            raise SourceError("kafka: the source is not open")
        return self._consumer
