"""A verdict for programs and for people."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from monitor.gate.contrasts import Scale
from monitor.gate.counts import Pair
from monitor.gate.findings import Finding, Verdict
from monitor.gate.policy import Measure, Policy
from monitor.gate.release import Release, judge_release

FORMAT: Final = "driftd-gate"
VERSION: Final = 1
SEGMENTS_SHOWN: Final = 12
WORDS: Final = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.INSUFFICIENT: "not yet"}
NOT_YET: Final = "insufficient evidence"


@dataclass(frozen=True, slots=True)
class Gate:
    """Two versions of a model, and what was found."""

    model: str
    pair: Pair
    policy: Policy
    release: Release

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs; what is unknown is null."""
        release, policy = self.release, self.policy
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "incumbent": self.pair.incumbent,
            "candidate": self.pair.candidate,
            "since": self.pair.since_s,
            "verdict": str(release.verdict),
            "criteria": [_finding_dict(finding) for finding in release.findings],
            "segments": [_finding_dict(finding) for finding in release.by_segment],
            "score": {
                "value": _known(release.score.value),
                "interval": [_known(release.score.low), _known(release.score.high)],
                "components": {name: _known(value) for name, value in release.score.components.items()},
                "weights": dict(policy.weights),
            },
            "policy": {"alpha": policy.alpha, "segment": policy.segment, "mix": policy.mix},
        }

    def to_text(self) -> str:
        """Give it for people."""
        release = self.release
        verdict = NOT_YET if release.verdict is Verdict.INSUFFICIENT else str(release.verdict)
        lines = [f"{self.model}: {self.pair.candidate} against {self.pair.incumbent}: {verdict.upper()}"]
        lines += [_line(finding) for finding in release.findings]
        lines.append(self._score())
        if release.by_segment:
            lines.append("by segment, the worst first:")
            lines += [_line(finding) for finding in release.by_segment[:SEGMENTS_SHOWN]]
            if len(release.by_segment) > SEGMENTS_SHOWN:
                lines.append(f"  … and {len(release.by_segment) - SEGMENTS_SHOWN} more: see --json")
        lines.append(
            f"intervals and verdicts hold at all looks together: a false pass or fail has a chance of at most"
            f" {self.policy.alpha:g}"
        )
        return "\n".join(lines)

    def _score(self) -> str:
        score = self.release.score
        parts = ", ".join(
            f"{weight:.0%} {name} {_number(score.components.get(name, math.nan))}"
            for name, weight in self.policy.weights.items()
        )
        if math.isnan(score.value):
            return f"  score unknown: a component has no values ({parts})"
        return f"  score {score.value:+.0f} ({_number(score.low)} to {_number(score.high)}) of -100 to 100: {parts}"


def ask(model: str, pair: Pair, policy: Policy) -> Gate:
    """Judge two versions by a policy."""
    return Gate(model, pair, policy, judge_release(pair.cells_candidate, pair.cells_incumbent, policy))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:+.0f}"


def _finding_dict(finding: Finding) -> dict[str, Any]:
    criterion = finding.criterion
    return {
        "criterion": criterion.name,
        "segment": finding.segment,
        "field": criterion.field,
        "measure": str(criterion.measure),
        "verdict": str(finding.verdict),
        "required": criterion.is_required,
        "reason": finding.reason,
        "candidate": _known(finding.candidate),
        "incumbent": _known(finding.incumbent),
        "change": _known(finding.change),
        "interval": [_known(finding.low), _known(finding.high)],
        "scale": str(criterion.scale),
        "margin": criterion.margin,
        "better": "higher" if criterion.is_higher_better else "lower",
        "samples_candidate": finding.samples[0],
        "samples_incumbent": finding.samples[1],
        "more_events": finding.more_events,
        "coverage": finding.coverage,
    }


def _line(finding: Finding) -> str:
    criterion = finding.criterion
    name = f"{criterion.name} [{finding.segment}]" if finding.segment else criterion.name
    optional = "" if criterion.is_required else " (not required)"
    return f"  {WORDS[finding.verdict]:<8}{name:<12} {', '.join(_parts(finding))}{optional}"


def _parts(finding: Finding) -> Iterator[str]:
    criterion = finding.criterion
    if not math.isnan(finding.candidate):
        what = f"p{criterion.quantile * 100:g}" if criterion.measure is Measure.QUANTILE else str(criterion.measure)
        yield f"{what} of {criterion.field} {finding.candidate:.4g} against {finding.incumbent:.4g}"
    if not math.isnan(finding.low):
        low, high = (_change(finding, end) for end in (finding.low, finding.high))
        yield f"change {_change(finding, finding.change)} ({low} to {high})"
    side = ">=" if criterion.is_higher_better else "<="
    yield f"asked {side} {_change(finding, criterion.margin)}"
    if finding.verdict is Verdict.INSUFFICIENT:
        yield f"{NOT_YET}: {finding.reason}"
    if finding.more_events is not None:
        yield f"about {finding.more_events:,} more values of the candidate needed"


def _change(finding: Finding, change: float) -> str:
    if math.isnan(change) or math.isinf(change):
        return "?" if math.isnan(change) else "unbounded"
    return f"{change:+.1%}" if finding.criterion.scale is Scale.RELATIVE else f"{change:+.4g}"
