"""driftd watches itself: what may go wrong with it, found in its own snapshots, told like any other alert. Pure."""

from __future__ import annotations

from monitor.selfwatch.terms import HANDLING, SELF_MODEL, Handling, SelfTerms, Usage, Watched, rule_name
from monitor.selfwatch.watch import SelfWatch

__all__ = ["HANDLING", "SELF_MODEL", "Handling", "SelfTerms", "SelfWatch", "Usage", "Watched", "rule_name"]
