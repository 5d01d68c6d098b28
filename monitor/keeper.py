"""Keeps state while the loop runs: when it is stored, and that nobody is told of what is not stored yet.

A transition is told only once the state that led to it is stored with the offsets it rests on. Killed before that, the
next process decides it anew from the same messages; killed after it, the next process tells it: under the same name, so
that a receiver that has heard of it already knows it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

import structlog

from monitor.alert_state import transition_of, transition_state
from monitor.domain import TopicPartition, Transition
from monitor.errors import BaselineError, StateError
from monitor.kept import Section, State
from monitor.references import Reference
from monitor.upkeep import StateStatus

UNTOLD: Final = "untold"
SAVE_SHARE_MAX: Final = 0.1
"""Saves of very many streams take time: rather than cost more than this share, they are made less often."""
ERROR_LOG_S: Final = 60.0

log = structlog.get_logger()


class Saved(Protocol):
    """What the loop asks of the account of a save."""

    @property
    def bytes(self) -> int:
        """Bytes written."""
        ...

    @property
    def state_bytes(self) -> int:
        """Bytes that are stored now."""
        ...


class Storing(Protocol):
    """What the loop asks of a store; see store.Store."""

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Saved:
        """Replace what is stored, whole or not at all. Raises StateError."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Loaded(Protocol):
    """What the loop asks of what was stored."""

    @property
    def sections(self) -> Mapping[str, State]:
        """The states, by the names of their sections."""
        ...

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset of each partition."""
        ...

    @property
    def saved_wall_s(self) -> float:
        """When that was."""
        ...


Opened = tuple[Storing, Loaded | None]
"""A store, and what it held: None: nothing yet."""


class Decided(NamedTuple):
    """What changed, and the wall clock when that was decided."""

    transitions: Sequence[Transition]
    wall_s: float


@dataclass(slots=True)
class Keeper:
    """When state is stored, and what waits for it. store: None keeps nothing, and lets all be told at once.

    settle_s: how soon after something was told the state is stored that knows of it, if that is before it is due.
    """

    store: Storing | None
    save_s: float = 5.0
    clock: Callable[[], float] = time.perf_counter
    settle_s: float = math.inf
    due_s: float = 0.0
    not_before_s: float = 0.0
    status: StateStatus = field(default_factory=StateStatus)

    _untold: list[Decided] = field(default_factory=list)
    _logged_s: float = -ERROR_LOG_S

    def __post_init__(self) -> None:
        """Say whether anything is kept."""
        self.status = replace(self.status, is_kept=self.store is not None)

    def hold(self, transitions: Sequence[Transition], wall_s: float) -> None:
        """Take in what was decided and is to be told."""
        if transitions:
            self._untold.append(Decided(transitions, wall_s))

    def is_due(self, now_s: float) -> bool:
        """Tell whether to store now: from time to time, and as soon as something is to be told."""
        return now_s >= self.not_before_s and (bool(self._untold) or now_s >= self.due_s)

    def save(
        self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], wall_s: float
    ) -> tuple[Sequence[Decided], bool]:
        """Store the sections, what is untold, and the positions; give what may be told now, and whether it is stored.

        A state that can't be stored must not silence the daemon: all is told, and may be told again after a restart.
        """
        began_s = self.clock()
        is_saved = self._save(sections, positions, wall_s)
        cost_s = self.clock() - began_s
        self.due_s = wall_s + (min(self.save_s, self.settle_s) if self._untold else self.save_s)
        self.not_before_s = wall_s + min(self.save_s, cost_s / SAVE_SHARE_MAX)
        untold, self._untold = self._untold, []
        return untold, is_saved

    def _save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], wall_s: float) -> bool:
        if self.store is None:
            return False
        began_s = self.clock()
        try:
            saved = self.store.save(self._with_untold(sections), positions, wall_s)
        except StateError as error:
            failed, total = self.status.failures + 1, self.status.failures_total + 1
            self.status = replace(self.status, failures=failed, failures_total=total)
            if wall_s - self._logged_s >= ERROR_LOG_S:
                self._logged_s = wall_s
                log.error(  # noqa: TRY400 - the error says it all, and the daemon goes on
                    "state not saved", error_code="state_not_saved", error=str(error), failures=self.status.failures
                )
            return False
        self.status = replace(
            self.status,
            saved_wall_s=wall_s,
            saves=self.status.saves + 1,
            failures=0,
            cost_s=self.clock() - began_s,
            written_bytes=saved.bytes,
            state_bytes=saved.state_bytes,
        )
        return True

    def _with_untold(self, sections: Iterable[Section]) -> Iterator[Section]:
        yield from sections
        yield Section(UNTOLD, None, self.state)

    def state(self) -> State:
        """Give what waits to be told."""
        told = [
            {"wall_s": each.wall_s, "transitions": list(map(transition_state, each.transitions))}
            for each in self._untold
        ]
        return {"decided": told}

    def restore(self, state: State, wall_s: float) -> list[Decided]:
        """Give what an earlier process decided and may not have told. What it stored is not due again at once."""
        self.due_s = wall_s + self.save_s
        return decided_of(state)


def decided_of(state: State) -> list[Decided]:
    """Give what a keeper's state holds."""
    return [
        Decided([transition_of(one) for one in each["transitions"]], float(each["wall_s"]))
        for each in state.get("decided", ())
    ]


def keep_reference(reference: Reference, save: Callable[[Reference], object] | None) -> None:
    """Say that a reference was learned, and save it as a file. save: None: nowhere; raises BaselineError."""
    about = {"model": reference.model, "model_version": reference.model_version, "reference": reference.identity}
    log.info("reference learned", events=reference.events, span_s=round(reference.span_s, 3), **about)
    if save is None:
        return
    try:
        log.info("reference saved", path=str(save(reference)), **about)
    except BaselineError as error:
        log.error(  # noqa: TRY400 - the error says it all, and the daemon goes on: a stack would be noise
            "reference not saved", error_code="reference_not_saved", error=str(error), **about
        )
