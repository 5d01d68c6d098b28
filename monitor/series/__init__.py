"""Anomalies of metric series: one causal detector for many series at once, with one frozen default."""

from monitor.series.watch import ALARM_SCORE, SeriesWatch

__all__ = ["ALARM_SCORE", "SeriesWatch"]
