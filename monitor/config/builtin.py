"""The rules that watch every model when nothing is configured, written as they would be in the file.

Limits relative to the reference ("2x") fit any model. A reference rate near zero is no trap: the detector multiplies
the upper confidence limit of the reference's rate, so a handful of events never looks like a catastrophe.
Severities: sev1 someone may be harmed, sev2 users are let down now, sev3 look today, sev4 know about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

RuleData = Mapping[str, object]

BUILT_IN_RULES: Final[Mapping[str, RuleData]] = MappingProxyType(
    {
        # Any change that is certain and not negligible: 0.02 is a shift of a seventh of a standard deviation. Told
        # as soon as the false-alarm budget allows, and red once it is certainly a different population.
        "drift": {"statistic": "drift", "yellow": 0.02, "red": 0.25, "samples_min": 20, "severity": "sev3"},
        # Another share of the traffic is logged: then all else that drifts may have drifted by the choice alone.
        "sampling": {
            "statistic": "drift",
            "fields": ["sample_rate"],
            "yellow": 0.02,
            "red": 0.25,
            "samples_min": 20,
            "severity": "sev3",
        },
        # The industry's usual bands: under 0.1 stable, over 0.25 a different population. Drift alone harms nobody yet.
        "psi": {"statistic": "psi", "yellow": 0.1, "red": 0.25, "severity": "sev3"},
        # The model is right less often than it was: of classes; errors of amounts are under `drift`.
        "correct_rate": {
            "statistic": "yes_rate",
            "fields": ["correct"],
            "direction": "below",
            "yellow": "0.95x",
            "red": "0.9x",
            "severity": "sev2",
        },
        # Scores promise more right answers than there are, and go on to: they are no longer worth what they were.
        "estimation_gap": {
            "statistic": "kpi",
            "fields": ["estimation_gap"],
            "direction": "below",
            "yellow": -0.02,
            "red": -0.1,
            "severity": "sev3",
            "for_s": 600.0,
        },
        # Missing inputs usually mean a broken pipeline upstream; twice is noticeable, five times an outage.
        "null_rate": {"statistic": "null_rate", "yellow": "2x", "red": "5x", "severity": "sev3"},
        "invalid_rate": {"statistic": "invalid_rate", "yellow": "2x", "red": "5x", "severity": "sev3"},
        # The reference has seen all its own values, so its rate is zero and only an absolute limit makes sense.
        "unseen_rate": {"statistic": "unseen_rate", "yellow": 0.01, "red": 0.05, "severity": "sev3"},
        "out_of_range_rate": {"statistic": "out_of_range_rate", "yellow": 0.01, "red": 0.05, "severity": "sev3"},
        # Twice the usual share of unsafe answers is worth a look at once; four times is an incident.
        "unsafe_rate": {
            "statistic": "yes_rate",
            "fields": ["unsafe"],
            "yellow": "2x",
            "red": "4x",
            "severity": "sev1",
        },
        "error_rate": {"statistic": "yes_rate", "fields": ["error"], "yellow": "2x", "red": "4x", "severity": "sev2"},
        # Refusals and fallbacks are common enough that half as many again is already a change of behaviour.
        "refused_rate": {
            "statistic": "yes_rate",
            "fields": ["refused"],
            "yellow": "1.5x",
            "red": "2x",
            "severity": "sev3",
        },
        "fallback_rate": {
            "statistic": "yes_rate",
            "fields": ["fallback"],
            "yellow": "1.5x",
            "red": "2x",
            "severity": "sev3",
        },
        # People notice a quarter more waiting; half as much again at p95 is what service objectives call a breach.
        "latency_p95": {
            "statistic": "p95",
            "fields": ["latency_s"],
            "yellow": "1.25x",
            "red": "1.5x",
            "severity": "sev2",
        },
        # The far tail varies more by itself, so its limits are wider and its severity milder.
        "latency_p99": {"statistic": "p99", "fields": ["latency_s"], "yellow": "1.5x", "red": "2x", "severity": "sev3"},
        "ttft_p95": {"statistic": "p95", "fields": ["ttft_s"], "yellow": "1.25x", "red": "1.5x", "severity": "sev2"},
        # Losing half the traffic is unusual at the same demand; losing four fifths means something upstream broke.
        "volume_low": {
            "statistic": "volume",
            "direction": "below",
            "yellow": "0.5x",
            "red": "0.2x",
            "severity": "sev2",
        },
        "volume_high": {
            "statistic": "volume",
            "direction": "above",
            "yellow": "2x",
            "red": "4x",
            "severity": "sev3",
        },
        # Long enough for a deployment to pass unnoticed, short against the two hours in which a fault must be found.
        # The one gap that is seen is its only sample.
        "silence": {"statistic": "silence", "yellow": "5m", "red": "15m", "samples_min": 1, "severity": "sev2"},
        # An odd minute of latency, volume, tokens, cost or rates. Scores are exported all the same, but they keep to no
        # budget: measured, ten series have nine false alarms a month. Who can bear that turns it on; it never pages.
        "anomaly": {"statistic": "anomaly", "yellow": 0.5, "red": 0.9, "severity": "sev4", "enabled": False},
    }
)
