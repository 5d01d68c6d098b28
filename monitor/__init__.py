"""driftd: a streaming drift and anomaly monitor for teams that serve machine-learning and language models.

The map of the house, from the ground up; imports go downwards only (tests/architecture holds it):

    0 words     domain, errors
    1 parts     bins, categories, fields, decode/, detectors/, references, rows, scopes, streams, probes, numbers, fold,
                panes, counts, watermark, duplicates, totals, rules, alerts, views
    2 whole     judge, tables, pipeline (pipeline_terms), metrics, status
    3 edges     sources/, sinks/, reference_files, exporter, web, delivery, embedded
    4 loop      app
    5 wiring    config/, build, checking, replaying, baseline, demo, logs, cli

An event's path: sources -> decode -> fold -> panes -> counts (ladder) -> judge -> alerts -> delivery -> sinks.
"""

from __future__ import annotations

__version__ = "0.1.0"
