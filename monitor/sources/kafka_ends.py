"""What is fatal to a client, and when another one may take its place. librdkafka tells no code of it, only words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError

from monitor.errors import SourceError

FENCED: Final = "Static consumer fenced by other consumer"
LOST: Final = ("The group id does not exist", "Unknown broker error")
"""What brokers say that have just restarted: all members of the group were away, or they can't serve it yet."""
FENCED_AGAIN_S: Final = 60.0
LOST_AGAIN_S: Final = 1.0
OUT_S: Final = 6.0
OUT_S_MAX: Final = 60.0
"""How long a client that lost its partitions may be given none; it is twice as long each time, up to OUT_S_MAX."""


class Ends:
    """Says whether to join anew, or ends it.

    A static member that was stopped for longer than its session is fenced by what it commits while it comes back,
    before it has its new id; one was by its heartbeat, after its broker had restarted. Twice within a short time, it is
    another process that has its name. Where brokers fail a member, it tries again for as long as it does without any.

    Also one who is in no group any more, and does not come back although brokers answer: a client that missed its
    session while its broker restarted never asked to join again (seen with a static member; librdkafka issue 3437).
    """

    def __init__(self, clock: Callable[[], float], outage_s_max: float) -> None:
        """End. outage_s_max: see KafkaTerms."""
        self._clock = clock
        self._outage_s_max = outage_s_max
        self._fatal: SourceError | None = None
        self._is_fenced = self._is_lost = False
        self._rejoined_s = -float("inf")
        self._lost_s: float | None = None
        self._out_s: float | None = None
        self._patience_s = OUT_S

    def meet(self, error: KafkaError) -> None:
        """Hear of an error."""
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - as a message, it does not say so itself
            self._fatal = SourceError(f"kafka: {error.str()}")
            self._is_fenced |= FENCED in error.str()
            self._is_lost |= any(text in error.str() for text in LOST)

    def fence(self) -> None:
        """Hear that a commit was refused, as another has our name."""
        self._is_fenced = True

    def assigned(self) -> None:
        """Hear that we are a member, and all is well."""
        self._lost_s = self._out_s = None
        self._patience_s = OUT_S

    def lost(self) -> None:
        """Hear that the client has lost its partitions, to be given some again, or none."""
        self._out_s = self._clock()

    def is_out(self, met_s: float) -> bool:
        """Tell whether to join anew now, as nothing was given for too long. met_s: when brokers have answered last."""
        now_s = self._clock()
        if self._out_s is None or now_s - self._out_s < self._patience_s or met_s < self._out_s:
            return False
        self._out_s, self._patience_s = now_s, min(OUT_S_MAX, 2.0 * self._patience_s)
        return True

    def has_to_rejoin(self) -> bool:
        """Tell whether to join anew now; raises what was fatal where that is of no use."""
        if self._fatal is None:
            return False
        now_s = self._clock()
        if self._is_lost:
            self._lost_s = now_s if self._lost_s is None else self._lost_s
            if self._outage_s_max and now_s - self._lost_s > self._outage_s_max:
                raise self._fatal
            if now_s - self._rejoined_s < LOST_AGAIN_S:
                return False
        elif not self._is_fenced or now_s - self._rejoined_s < FENCED_AGAIN_S:
            raise self._fatal
        self._fatal, self._is_fenced, self._is_lost, self._rejoined_s = None, False, False, now_s
        return True
