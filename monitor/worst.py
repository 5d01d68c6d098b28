"""Which segments are worse than the rest of their model's traffic, with multiplicity control.

Everything is a share here: of yes (or no, whichever is bad) among yes and no; of latency, cost or error, of the values
above the bin in which the 95th percentile of all traffic lies. If a segment is as the rest, its hits are so many drawn
out of all without putting back: hypergeometric, whatever the share (Fisher's exact test, one-sided), and it does not
matter that the bin was chosen by the same values. The chance of so many or more is corrected for how many segments and
fields of a model are looked at by Benjamini and Hochberg (1995): of those told, at most one in twenty is expected to be
by chance. That holds for events that are independent; bursts make chances look smaller than they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.domain import FloatArray, StreamKey
from monitor.kpis import FINDINGS, KPIS
from monitor.kpis.shares import Finding, Share
from monitor.segment_hits import SegmentHits

FALSE_SHARE: Final = 0.05
"""Of the segments told, so many are by chance, at most and on average."""
SAMPLES_MIN: Final = 30
_BETTER: Final = {
    kpi.fields[0]: kpi.is_higher_better for kpi in reversed([*KPIS.values()]) if isinstance(kpi, Share | Finding)
}
"""Whether yes is better, of the yes/no fields that a KPI with a name of its own reads; its first KPI says."""
NEUTRAL: Final = frozenset({"label_age_s", "tokens_in", "tokens_out", "success_tokens"})
"""Amounts of which more is not worse."""


@dataclass(frozen=True, slots=True)
class WorstSegment:
    """One segment that is worse than the rest in one field.

    is_above: the share is of values above what 95 in 100 of all are; else of the bad one of yes and no. share, rest:
    of the segment and of all other traffic, 0 to 1. chance: of so many bad ones or more if it were as the rest.
    false_share: the greatest share of false ones among all that are told with it, 0 to 1.
    """

    key: StreamKey
    is_above: bool
    share: float
    rest: float
    samples: int
    chance: float
    false_share: float


def is_yes_bad(field: str) -> bool:
    """Tell whether yes is the bad one of a yes/no field, as its KPI has it.

    Of those that no KPI knows, yes to an evaluation or as feedback is good, and else bad.
    """
    is_good = _BETTER.get(field)
    return not field.startswith(FINDINGS) if is_good is None else not is_good


def worst_segments(found: SegmentHits, model: str | None = None) -> list[WorstSegment]:
    """Give the segments that are worse than the rest, of each model version the least likely first.

    model: the one that is looked at, None: all. Cost: about 20 microseconds per segment and field.
    """
    versions: dict[tuple[str, str], list[int]] = {}
    for at, key in enumerate(found.keys):
        if model in (None, key[0]):
            versions.setdefault((key[0], key[1]), []).append(at)
    return [each for own in versions.values() for each in _of_version(found, own)]


def _of_version(found: SegmentHits, own: Sequence[int]) -> list[WorstSegment]:
    from scipy.stats import false_discovery_control, hypergeom  # noqa: PLC0415 - half a second, and only when asked

    at = np.array(own, dtype=np.int64)
    rest_samples = found.whole_samples[at] - found.samples[at]
    at = at[(found.samples[at] >= SAMPLES_MIN) & (rest_samples >= SAMPLES_MIN)]
    if not at.size:
        return []
    hits, samples = found.hits[at], found.samples[at]
    whole_hits, whole_samples = found.whole_hits[at], found.whole_samples[at]
    chance: FloatArray = np.clip(hypergeom.sf(hits - 1, whole_samples, whole_hits, samples), 0.0, 1.0)
    false_share = false_discovery_control(chance, method="bh")
    rest = (whole_hits - hits) / (whole_samples - samples)
    told = [
        WorstSegment(
            key=StreamKey(*found.keys[int(at[i])]),
            is_above=bool(found.is_above[at[i]]),
            share=float(hits[i] / samples[i]),
            rest=float(rest[i]),
            samples=int(samples[i]),
            chance=float(chance[i]),
            false_share=float(false_share[i]),
        )
        for i in np.flatnonzero(false_share <= FALSE_SHARE).tolist()
    ]
    return sorted(told, key=lambda each: (each.chance, each.rest - each.share, each.key))
