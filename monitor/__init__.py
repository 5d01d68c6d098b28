"""driftd: a streaming drift and anomaly monitor for teams that serve machine-learning and language models.

The map of the house, from the ground up; imports go downwards only (tests/architecture holds it):

    0 words     domain, errors, intake, upkeep
    1 parts     bins, categories, fields, decode/, detectors/, river/, series/, sequential/, references, rows, scopes,
                streams, probes, numbers, fold, panes, counts, watermark, duplicates, totals, rules, alerts, ledger,
                views, absences, incomplete, breakers; kept, codec and the states of parts
    2 whole     judge (docket), drifts, tracks, tables, pipeline (pipeline_terms), selfwatch/, metrics, status
    3 edges     sources/, sinks/, store/, dead_letters, reference_files, exporter, web/, delivery, heartbeat, stalls,
                machine, embedded
    4 loop      app, keeper, rejects, reloads, board, aides
    5 wiring    config/, build, assembly, reloading, checking, acls, redelivery, replaying, baseline, demo/, drill/,
                logs, cli, state_cli, dlq_cli

An event's path: sources -> decode -> fold -> panes -> counts (ladder) -> judge -> alerts -> keeper (store) -> delivery
-> sinks. What has a state gives it to the keeper, which stores it with the offsets it rests on before anything is told.
"""

from __future__ import annotations

__version__ = "0.1.0"
