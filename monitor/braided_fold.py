"""A fold whose partitions are braids: for outcomes that have a topic of their own. See braid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from monitor.braids import Braids
from monitor.court import Step
from monitor.delta_fold import DeltaFold
from monitor.domain import Batch, Gap, TopicPartition
from monitor.fold_house import FoldHouse, Hands


class BraidedFold(FoldHouse):
    """Brings the messages of several topics into an order, and does with them as with those of one."""

    def __init__(self, fold: DeltaFold, hands: Hands, sender: str, courts: int, braids: Braids) -> None:
        """Fold by braids. hands: whose ledger, positions, tenures, partitions and letters the braids see to."""
        own = replace(
            hands,
            ledger=braids,
            positions=braids.positions,
            tenures=braids.tenures,
            partitions=braids.partitions,
            untold=dict,
        )
        super().__init__(fold, own, sender, courts)
        self._braids = braids

    def step(self, batch: Batch, now_s: float) -> Step:
        """Count what can be counted of a batch and of what waited, and send what is due."""
        self._renew()
        heard = self._braids.put(batch)
        self._idle = self._idle.difference(heard)
        self._read_s |= dict.fromkeys(heard, now_s)
        return super().step(Batch(), now_s)

    def idle(self, idle: Iterable[TopicPartition], quiet_s: float, now_s: float) -> Step:
        """Hear which partitions are caught up, and send what is due."""
        self._renew()
        return super().idle(self._braids.idle(idle), quiet_s, now_s)

    def lose(self, gaps: Sequence[Gap]) -> None:
        """Hear which messages are gone that were never read. Raises SourceError for a log that was made anew."""
        self._renew()
        for gap in gaps:
            if gap.next < gap.first:
                super().lose([gap])
            self._braids.lose(gap)

    def ahead(self) -> Sequence[TopicPartition]:
        """Give the partitions that are better not read on for now."""
        full = [source for each in super().ahead() for source in self._braids.sources(each)]
        return list(dict.fromkeys([*full, *self._braids.ahead()]))

    def _take(self, batch: Batch, now_s: float) -> Step:
        assert not len(batch), "what is read goes to the braids first"
        ready, gaps = self._braids.take()
        super().lose(gaps)
        step = super()._take(ready, now_s)
        taken = ready if step.batch is None else step.batch
        return replace(step, batch=self._braids.as_read(taken) if len(taken) else Batch())

    def _renew(self) -> None:
        super()._renew()
        self._braids.renew()
