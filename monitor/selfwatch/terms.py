"""What is watched of driftd itself, from where trouble begins, and what that means to people. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from monitor.domain import Severity, TopicPartition

SELF_MODEL: Final = "driftd"
"""What stands for the model in alerts about driftd itself."""
RULE_PREFIX: Final = "driftd-"
SHARE_S: Final = 300.0
"""Shares of messages (rejected, late, from the future) are of the last so many seconds."""
SAMPLES_MIN: Final = 100
"""Messages that a share must rest on."""
HYSTERESIS: Final = 0.2
"""Share of a limit that a value must get better by before the alert may end."""


class Handling(NamedTuple):
    """What becomes of a condition. for_s, keep_firing_for_s: as of any rule."""

    severity: Severity
    for_s: float = 0.0
    keep_firing_for_s: float = 60.0
    is_on: bool = True


HANDLING: Final[Mapping[str, Handling]] = {
    "no_data": Handling(Severity.SEV2),
    "lag": Handling(Severity.SEV2, for_s=60.0, keep_firing_for_s=120.0),
    "stalled": Handling(Severity.SEV2),
    "brokers": Handling(Severity.SEV2),
    "away": Handling(Severity.SEV3),
    "gap": Handling(Severity.SEV2, keep_firing_for_s=0.0),
    "poison": Handling(Severity.SEV2),
    "rejected": Handling(Severity.SEV2, for_s=60.0, keep_firing_for_s=300.0),
    "late": Handling(Severity.SEV3, for_s=300.0, keep_firing_for_s=300.0),
    "clock": Handling(Severity.SEV3, for_s=300.0, keep_firing_for_s=300.0),
    "labels": Handling(Severity.SEV3),
    "state": Handling(Severity.SEV2),
    "disk": Handling(Severity.SEV3, for_s=60.0, keep_firing_for_s=300.0),
    "receiver": Handling(Severity.SEV2, keep_firing_for_s=120.0),
    "outbox": Handling(Severity.SEV2, keep_firing_for_s=0.0),
    "overflow": Handling(Severity.SEV4, keep_firing_for_s=0.0),
    "series": Handling(Severity.SEV4, for_s=300.0, keep_firing_for_s=300.0),
    "memory": Handling(Severity.SEV3, for_s=60.0, keep_firing_for_s=300.0),
    "reload": Handling(Severity.SEV4),
}
"""Every condition, and how it is handled unless settings say otherwise. What harms verdicts or pages is sev2."""


def rule_name(condition: str) -> str:
    """Give the name of a condition's rule, which is also its heading in docs/operations.md."""
    return RULE_PREFIX + condition.replace("_", "-")


@dataclass(frozen=True, slots=True)
class SelfTerms:
    """From where trouble begins; see config.selfwatch for what each option means. Times in seconds, shares 0 to 1.

    runbook: the page that has an entry for each rule, under the rule's name. gap_s: for how long windows are incomplete
    after messages were lost, which is the longest window. conditions: those handled otherwise than HANDLING says.
    """

    owner: str = ""
    runbook: str = "docs/operations.md"
    no_data_s: float = 900.0
    lag_s: float = 300.0
    stalled_s: float = 45.0
    brokers_s: float = 60.0
    away_s: float = 60.0
    gap_s: float = 3_600.0
    rejected_share: float = 0.05
    late_share: float = 0.05
    future_share: float = 0.01
    labels_s: float = 21_600.0
    unsaved_s: float = 60.0
    disk_share: float = 0.9
    receiver_down_s: float = 300.0
    memory_share: float = 0.8
    conditions: Mapping[str, Handling] = field(default_factory=dict)
    config_version: str = ""

    def handling(self, condition: str) -> Handling:
        """Give how a condition is handled."""
        return self.conditions.get(condition, HANDLING[condition])


class Usage(NamedTuple):
    """How much of something is used, in bytes."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What there is to know beside the snapshot.

    trouble: why nothing can be read, "" if it can. away: partitions once read here that another member has now.
    memory: of the control group; disk: where state is kept; None: unknown.
    """

    trouble: str = ""
    away: Collection[TopicPartition] = ()
    memory: Usage | None = None
    disk: Usage | None = None
