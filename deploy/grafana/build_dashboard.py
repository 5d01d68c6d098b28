"""Writes dashboards/driftd.json: `python deploy/grafana/build_dashboard.py`. A test compares the two.

Every panel answers one of three questions, asked in this order: is it healthy, is it drifting, what next? Safety has a
row of its own, apart from performance, and driftd itself comes last. Quantiles are shown as they are, never averaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

Json: TypeAlias = dict[str, object]
Kind: TypeAlias = Literal["stat", "timeseries", "table", "status-history", "text"]
Step: TypeAlias = tuple[float | None, str]

UID: Final = "driftd"
PATH: Final = Path(__file__).parent / "dashboards" / "driftd.json"
SCHEMA_VERSION: Final = 39  # Grafana 10.4 and newer read it, and bring it up to date themselves
COLUMNS: Final = 24
DATASOURCE: Final[Mapping[str, str]] = {"type": "prometheus", "uid": "${datasource}"}

MODEL: Final = 'model=~"$model",model_version=~"$model_version"'
ALL: Final = f'{MODEL},segment="",window="$window"'
"""All traffic of the models chosen, in the window chosen."""
FIELD: Final = f'{ALL},field=~"$field"'

GREEN_RED: Final[Sequence[Step]] = ((None, "green"), (1, "red"))
GREEN_YELLOW: Final[Sequence[Step]] = ((None, "green"), (1, "yellow"))
RED_GREEN: Final[Sequence[Step]] = ((None, "red"), (1, "green"))
DRIFT: Final[Sequence[Step]] = ((None, "green"), (0.1, "yellow"), (0.25, "red"))
"""PSI: stable below 0.1, drifted from 0.25 on, as the built-in rule has it."""
PLAIN: Final[Sequence[Step]] = ((None, "text"),)


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks for. legend: Grafana's template for the name of a series; "": what Grafana makes of it."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. description: the question that it answers. width: of 24 columns. hidden: columns a table leaves out.

    low, high: ends of the axis, None: by the values. is_marked: whether the thresholds are drawn as lines.
    """

    kind: Kind
    title: str
    description: str
    queries: Sequence[Query] = ()
    width: int = 8
    height: int = 8
    unit: str = "short"
    steps: Sequence[Step] = PLAIN
    low: float | None = None
    high: float | None = None
    is_marked: bool = False
    hidden: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with its panels."""

    title: str
    panels: Sequence[Panel]
    is_collapsed: bool = False


# ---- what is shown

YES_NO: Final = {0: ("no", "red"), 1: ("yes", "green")}

HEALTHY: Final = Row(
    "Healthy?",
    (
        Panel(
            "stat",
            "driftd runs",
            "Whether Prometheus can scrape every driftd. If not, nothing below is of now.",
            (Query('min(up{job="driftd"})'),),
            width=3,
            height=4,
            steps=RED_GREEN,
            words=YES_NO,
        ),
        Panel(
            "stat",
            "Ready",
            "Whether its numbers may be relied upon: partitions assigned, panes judged. /readyz says why not.",
            (Query("min(driftd_ready)"),),
            width=3,
            height=4,
            steps=RED_GREEN,
            words=YES_NO,
        ),
        Panel(
            "stat",
            "sev1, sev2 firing",
            "Alerts that wake somebody. 0 is healthy; else the table below says what, and the row Drifting since when.",
            (Query(f'count(driftd_alert_firing{{{MODEL},severity=~"sev1|sev2"}}) or vector(0)'),),
            width=3,
            height=4,
            steps=GREEN_RED,
        ),
        Panel(
            "stat",
            "sev3, sev4 firing",
            "Alerts for working hours.",
            (Query(f'count(driftd_alert_firing{{{MODEL},severity=~"sev3|sev4"}}) or vector(0)'),),
            width=3,
            height=4,
            steps=GREEN_YELLOW,
        ),
        Panel(
            "stat",
            "About driftd",
            "Alerts of Prometheus about driftd itself: while there are any, take the rest with care.",
            (Query('count(ALERTS{alertname=~"Driftd.+",alertstate="firing",path!="pull"}) or vector(0)'),),
            width=3,
            height=4,
            steps=GREEN_RED,
        ),
        Panel(
            "stat",
            "Models",
            "Served model versions: judged against a reference, and still learning theirs.",
            (Query("sum by (state) (driftd_models)", "{{state}}"),),
            width=3,
            height=4,
        ),
        Panel(
            "stat",
            "Behind now",
            "How far event time is behind the clock: the least delay of any verdict. Three or four seconds is normal.",
            (Query("max(driftd_render_timestamp_seconds - driftd_watermark_timestamp_seconds)"),),
            width=3,
            height=4,
            unit="s",
            steps=((None, "green"), (30, "yellow"), (120, "red")),
        ),
        Panel(
            "stat",
            "Oldest notice waiting",
            "How long somebody has been due to be told of something. 0: everything is delivered.",
            (Query("max(driftd_sink_oldest_seconds)"),),
            width=3,
            height=4,
            unit="s",
            steps=((None, "green"), (60, "yellow"), (300, "red")),
        ),
        Panel(
            "table",
            "Firing now",
            "driftd's alerts about models: what is wrong, where, how bad. Empty is healthy.",
            (Query(f"max by (severity, model, model_version, rule, field, segment) (driftd_alert_firing{{{MODEL}}})"),),
            width=14,
            columns={"severity": "severity", "model": "model", "model_version": "version", "rule": "rule"},
            hidden=("Time", "Value"),
        ),
        Panel(
            "table",
            "Firing now, about driftd",
            "Prometheus's alerts about driftd itself. Empty is healthy. Each has an entry in runbook.md.",
            (
                Query(
                    "max by (severity, alertname, instance, topic, sink, what, model) "
                    '(ALERTS{alertname=~"Driftd.+",alertstate="firing",path!="pull"})'
                ),
            ),
            width=10,
            columns={"severity": "severity", "alertname": "alert"},
            hidden=("Time", "Value"),
        ),
    ),
)

DRIFTING: Final = Row(
    "Drifting?",
    (
        Panel(
            "status-history",
            "Drift by field",
            "Green below 0.1, yellow below 0.25, red above: PSI to the reference, less what chance makes of it. The "
            "twenty worst fields at each moment.",
            (Query(f"topk(20, max by (model, field) (driftd_stream_psi{{{ALL}}}))", "{{model}} {{field}}"),),
            width=14,
            height=11,
            steps=DRIFT,
        ),
        Panel(
            "table",
            "Worst fields now",
            "Where to look first, segments too: the fifteen streams that moved furthest from their reference.",
            (Query(f'topk(15, driftd_stream_psi{{{MODEL},window="$window"}})'),),
            width=10,
            height=11,
            steps=DRIFT,
            columns={
                "model": "model",
                "model_version": "version",
                "field": "field",
                "segment": "segment",
                "Value": "PSI",
            },
            hidden=("Time", "__name__", "job", "instance", "window"),
        ),
        Panel(
            "timeseries",
            "PSI of the fields chosen",
            "When did it start, and is it still going on? Lines at 0.1 and 0.25.",
            (Query(f"driftd_stream_psi{{{FIELD}}}", "{{model}} {{model_version}} {{field}}"),),
            width=12,
            steps=DRIFT,
            low=0,
            is_marked=True,
        ),
        Panel(
            "timeseries",
            "Other distances of the fields chosen",
            "Do other measures agree? Jensen-Shannon and Kolmogorov-Smirnov distance, 0 to 1.",
            (
                Query(f"driftd_stream_js{{{FIELD}}}", "JS {{model}} {{field}}"),
                Query(f"driftd_stream_ks{{{FIELD}}}", "KS {{model}} {{field}}"),
            ),
            width=12,
            low=0,
        ),
        Panel(
            "timeseries",
            "Null and missing",
            "Did an upstream source stop filling a field? The ten fields with most.",
            (Query(f"topk(10, driftd_stream_null_ratio{{{FIELD}}})", "{{model}} {{field}}"),),
            unit="percentunit",
            low=0,
        ),
        Panel(
            "timeseries",
            "Unseen categories, out of range",
            "Does something come that the reference never saw? The ten fields with most of each.",
            (
                Query(f"topk(10, driftd_stream_unseen_ratio{{{FIELD}}})", "unseen {{model}} {{field}}"),
                Query(f"topk(10, driftd_stream_out_of_range_ratio{{{FIELD}}})", "out of range {{model}} {{field}}"),
            ),
            unit="percentunit",
            low=0,
        ),
        Panel(
            "timeseries",
            "Invalid values, changed fields",
            "Did the schema of the events change? Values of the wrong type, and fields that are new or changed type.",
            (
                Query(f"topk(10, driftd_stream_invalid_ratio{{{FIELD}}})", "invalid {{model}} {{field}}"),
                Query(
                    'sum by (model, change) (driftd_schema_changes_total{model=~"$model"}) or vector(0)',
                    "changes {{model}} {{change}}",
                ),
            ),
            low=0,
        ),
    ),
)

NEXT_TEXT: Final = """\
1. *About driftd* is not 0: mend driftd first. Its alerts are in `runbook.md`, each with what to do.
2. sev1 or sev2 fires: open the alert's runbook. Its owner decides on rollback, pause or review; driftd only tells.
3. One field drifts, the score does not: ask the owner of that feature. Nulls and unseen values say whether data broke.
4. Many fields drift at once: look for a release, a campaign, a new client. Volume says whether the traffic changed.
5. Nothing drifts, quality falls: the world changed, not the inputs. Look at labels and outcomes.
6. It is the new normal: `driftd baseline build` makes a new reference, `driftd baseline diff` compares the two.
"""

NEXT: Final = Row(
    "What next?",
    (
        Panel("text", "What next?", "From what is seen to what is done.", width=10, height=9, text=NEXT_TEXT),
        Panel(
            "timeseries",
            "Alerts that changed state",
            "When did it begin and end? Many of one rule are noise: raise for_s or the threshold of that rule.",
            (
                Query(
                    "sum by (rule, state) (increase(driftd_transitions_total[$__rate_interval]))",
                    "{{rule}} {{state}}",
                ),
            ),
            width=7,
            height=9,
            low=0,
        ),
        Panel(
            "table",
            "Models and what they are judged against",
            "Is there a reference, and which? Learned: 1 is done. Spent: 1 is all of its false-alarm budget.",
            (
                Query(f"max by (model, model_version, reference) (driftd_reference_info{{{MODEL}}})"),
                Query(f"max by (model, model_version) (driftd_learning_progress_ratio{{{MODEL}}})"),
                Query(f"max by (model, model_version) (driftd_model_streams{{{MODEL}}})"),
                Query(f"sum by (model, model_version) (driftd_budget_spent_ratio{{{MODEL}}})"),
            ),
            width=7,
            height=9,
            columns={
                "model": "model",
                "model_version": "version",
                "reference": "reference",
                "Value #B": "learned",
                "Value #C": "streams",
                "Value #D": "budget spent",
            },
            hidden=("Time", "Value #A"),
        ),
    ),
)

SAFETY: Final = Row(
    "Safety",
    (
        Panel(
            "timeseries",
            "Unsafe outputs",
            "Of the outputs that were checked, how many were unsafe?",
            (Query(f"driftd_unsafe_ratio{{{ALL}}}", "{{model}} {{model_version}}"),),
            unit="percentunit",
            low=0,
        ),
        Panel(
            "timeseries",
            "Refused",
            "How often does the model refuse? A rise after a release is often an over-careful guardrail.",
            (Query(f"driftd_refused_ratio{{{ALL}}}", "{{model}} {{model_version}}"),),
            unit="percentunit",
            low=0,
        ),
        Panel(
            "timeseries",
            "Outputs that were checked",
            "Does the check itself still run? A rate over few outputs says little, and one over none is absent.",
            (
                Query(
                    f'driftd_stream_samples{{{ALL},field="unsafe"}}',
                    "{{model}} {{model_version}}",
                ),
            ),
            low=0,
        ),
    ),
)

PERFORMANCE: Final = Row(
    "Performance",
    (
        Panel(
            "timeseries",
            "Latency",
            "Is it slow, and for how many? p50, p95 and p99 of the window, within 1 %.",
            (Query(f"driftd_latency_quantile_seconds{{{ALL}}}", "p{{quantile}} {{model}} {{model_version}}"),),
            unit="s",
            low=0,
        ),
        Panel(
            "timeseries",
            "Time to the first token",
            "How long do people wait for a sign of life?",
            (Query(f"driftd_ttft_quantile_seconds{{{ALL}}}", "p{{quantile}} {{model}} {{model_version}}"),),
            unit="s",
            low=0,
        ),
        Panel(
            "timeseries",
            "Errors and fallbacks",
            "How many calls fail, or are answered by something else?",
            (
                Query(f"driftd_error_ratio{{{ALL}}}", "error {{model}} {{model_version}}"),
                Query(f"driftd_fallback_ratio{{{ALL}}}", "fallback {{model}} {{model_version}}"),
            ),
            unit="percentunit",
            low=0,
        ),
        Panel(
            "timeseries",
            "Traffic beside the reference",
            "Is it as much as usual? 1 is as usual, 0.5 half of it.",
            (Query(f"driftd_volume_ratio{{{ALL}}}", "{{model}} {{model_version}}"),),
            low=0,
        ),
        Panel(
            "timeseries",
            "Tokens per event",
            "Do prompts or answers grow? Means.",
            (Query(f"driftd_tokens_mean{{{ALL}}}", "{{direction}} {{model}} {{model_version}}"),),
            low=0,
        ),
        Panel(
            "timeseries",
            "Cost per 1,000 events",
            "What does it cost? By the mean of the window.",
            (Query(f"1000 * driftd_cost_mean_usd{{{ALL}}}", "{{model}} {{model_version}}"),),
            unit="currencyUSD",
            low=0,
        ),
    ),
)

EVENTS: Final = Row(
    "Events and notifications",
    (
        Panel(
            "timeseries",
            "Events by model",
            "How much is watched?",
            (
                Query(
                    f"sum by (model, model_version) (rate(driftd_model_events_total{{{MODEL}}}[$__rate_interval]))",
                    "{{model}} {{model_version}}",
                ),
            ),
            unit="reqps",
            low=0,
        ),
        Panel(
            "timeseries",
            "Events by topic",
            "Is what is received also counted? Late and duplicate events are left out on purpose.",
            (
                Query("sum by (topic) (rate(driftd_events_received_total[$__rate_interval]))", "received {{topic}}"),
                Query("sum by (topic) (rate(driftd_events_counted_total[$__rate_interval]))", "counted {{topic}}"),
                Query("sum by (topic) (rate(driftd_events_late_total[$__rate_interval]))", "late {{topic}}"),
                Query("sum by (topic) (rate(driftd_events_duplicate_total[$__rate_interval]))", "duplicate {{topic}}"),
            ),
            unit="reqps",
            low=0,
        ),
        Panel(
            "timeseries",
            "Rejected, by reason",
            "Does a producer send what can't be read?",
            (
                Query(
                    "sum by (topic, reason) (rate(driftd_events_rejected_total[$__rate_interval]))",
                    "{{topic}} {{reason}}",
                ),
            ),
            unit="reqps",
            low=0,
        ),
        Panel(
            "timeseries",
            "Lag",
            "Does driftd keep up? Records that were not read yet, per topic.",
            (Query("sum by (topic) (driftd_consumer_lag_records)", "{{topic}}"),),
            low=0,
        ),
        Panel(
            "timeseries",
            "Lag and standstill in time",
            "How old is what is read now, and does a partition stand still?",
            (
                Query("max by (topic) (driftd_consumer_lag_seconds)", "lag {{topic}}"),
                Query("max by (topic) (driftd_consumer_stalled_seconds)", "stalled {{topic}}"),
            ),
            unit="s",
            low=0,
        ),
        Panel(
            "timeseries",
            "Notifications",
            "Does it reach somebody? Delivered, failed by reason, and waiting.",
            (
                Query("sum by (sink) (increase(driftd_sink_delivered_total[$__rate_interval]))", "delivered {{sink}}"),
                Query(
                    "sum by (sink, reason) (increase(driftd_sink_failed_total[$__rate_interval])) or vector(0)",
                    "failed {{sink}} {{reason}}",
                ),
                Query("sum by (sink) (driftd_sink_queued_alerts)", "waiting {{sink}}"),
            ),
            low=0,
        ),
    ),
)

ITSELF: Final = Row(
    "driftd itself",
    (
        Panel(
            "timeseries",
            "Busy",
            "How much room is left? Share of the time that the main loop works; near 1 it falls behind.",
            (Query("rate(driftd_busy_seconds_total[$__rate_interval])", "{{instance}}"),),
            unit="percentunit",
            steps=((None, "green"), (0.7, "yellow"), (0.9, "red")),
            low=0,
            high=1,
            is_marked=True,
        ),
        Panel(
            "timeseries",
            "Memory",
            "Does it grow? Resident memory.",
            (Query('process_resident_memory_bytes{job="driftd"}', "{{instance}}"),),
            unit="bytes",
            low=0,
        ),
        Panel(
            "timeseries",
            "Processor",
            "Cores in use, all threads.",
            (Query('rate(process_cpu_seconds_total{job="driftd"}[$__rate_interval])', "{{instance}}"),),
            low=0,
        ),
        Panel(
            "timeseries",
            "Looks and commits",
            "Does it judge? One look per closed pane: one per second as configured by default.",
            (
                Query("rate(driftd_looks_total[$__rate_interval])", "looks {{instance}}"),
                Query("rate(driftd_commits_total[$__rate_interval])", "commits {{instance}}"),
                Query("driftd_open_panes", "open panes {{instance}}"),
            ),
            low=0,
        ),
        Panel(
            "timeseries",
            "Streams and series",
            "Is a bound near? What is dropped is neither watched nor shown.",
            (
                Query("driftd_streams", "streams {{instance}}"),
                Query("driftd_series", "series {{instance}}"),
                Query("driftd_series_dropped", "series dropped {{instance}}"),
                Query("sum by (what) (driftd_overflow_total) or vector(0)", "left out: {{what}}"),
            ),
            low=0,
        ),
        Panel(
            "timeseries",
            "Trouble",
            "Errors while reading, by reason, and the time it takes to make a page for Prometheus.",
            (
                Query(
                    "sum by (reason) (increase(driftd_source_errors_total[$__rate_interval])) or vector(0)",
                    "errors {{reason}}",
                ),
                Query("driftd_render_seconds", "page, seconds {{instance}}"),
            ),
            low=0,
        ),
        Panel(
            "timeseries",
            "How soon alerts come",
            "Mean since the start: from onset to decision, to the clock's time of it, and on to each receiver.",
            (
                Query(
                    "sum by (stage, sink) (driftd_detection_delay_seconds_sum)"
                    " / sum by (stage, sink) (driftd_detection_delay_seconds_count)",
                    "{{stage}} {{sink}}",
                ),
            ),
            unit="s",
            width=24,
            height=6,
            low=0,
        ),
        Panel(
            "table",
            "Versions",
            "What runs where, and since when?",
            (
                Query("max by (instance, version) (driftd_build_info)"),
                Query("max by (instance) (driftd_start_timestamp_seconds) * 1000"),
                Query("max by (instance) (driftd_consumer_partitions)"),
            ),
            width=24,
            height=5,
            columns={
                "instance": "instance",
                "version": "version",
                "Value #B": "since",
                "Value #C": "partitions",
            },
            hidden=("Time", "Value #A"),
        ),
    ),
    is_collapsed=True,
)

ROWS: Final = (HEALTHY, DRIFTING, NEXT, SAFETY, PERFORMANCE, EVENTS, ITSELF)

VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "model": ("Model", "label_values(driftd_model_streams, model)"),
    "model_version": ("Version", 'label_values(driftd_model_streams{model=~"$model"}, model_version)'),
    "window": ("Window", "label_values(driftd_stream_samples, window)"),
    "field": ("Field", f"label_values(driftd_stream_samples{{{MODEL}}}, field)"),
}
"""Template variables: how they are called, and where their values come from."""

ANNOTATIONS: Final[Sequence[Json]] = (
    {
        "name": "Alerts about models",
        "expr": f'max by (model, rule, field, severity) (driftd_alert_firing{{{MODEL},severity=~"sev1|sev2"}})',
        "titleFormat": "{{severity}} {{rule}}",
        "textFormat": "{{model}} {{field}}",
        "iconColor": "red",
    },
    {
        "name": "Alerts about driftd",
        "expr": 'max by (alertname, severity) (ALERTS{alertname=~"Driftd.+",alertstate="firing",path!="pull"})',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
        "iconColor": "orange",
    },
    {
        "name": "driftd started",
        "expr": "max by (instance) (driftd_start_timestamp_seconds) * 1000",
        "titleFormat": "driftd started",
        "textFormat": "{{instance}}: windows were empty",
        "iconColor": "blue",
        "useValueForTime": True,
    },
)


# ---- how it is written


def dashboard() -> Json:
    """Give the dashboard as Grafana takes it."""
    return {
        "uid": UID,
        "title": "driftd",
        "description": "Are the served models healthy? Are they drifting? What next?",
        "tags": ["driftd", "drift", "model-serving"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "links": [],
        "templating": {"list": [_datasource(), *(_variable(name, *what) for name, what in VARIABLES.items())]},
        "annotations": {"list": [_annotation(each) for each in ANNOTATIONS]},
        "panels": list(_panels()),
    }


def _datasource() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}


def _variable(name: str, label: str, query: str) -> Json:
    """Give a variable. "All" is .* and not a list: a model without a version has an empty one, which no list holds."""
    common: Json = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
    }
    if name == "window":
        return {**common, "current": {"text": "10m", "value": "10m"}}
    chosen = {"text": ["All"], "value": ["$__all"]}
    return {**common, "multi": True, "includeAll": True, "allValue": ".*", "current": chosen}


def _annotation(given: Json) -> Json:
    return {"datasource": DATASOURCE, "enable": True, "hide": False, "step": "", **given}


def _panels() -> Iterator[Json]:
    """Give the panels with their places: from left to right, and below where a line is full."""
    number, top = 1, 0
    for row in ROWS:
        placed, bottom = _place(row.panels, number + 1, top + 1)
        heading: Json = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": row.is_collapsed,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": placed if row.is_collapsed else [],
        }
        yield heading
        if not row.is_collapsed:
            yield from placed
        number += len(placed) + 1
        top = top + 1 if row.is_collapsed else bottom


def _place(panels: Sequence[Panel], number: int, top: int) -> tuple[list[Json], int]:
    placed: list[Json] = []
    left, height = 0, 0
    for panel in panels:
        if left + panel.width > COLUMNS:
            left, top, height = 0, top + height, 0
        at: Json = {"x": left, "y": top, "w": panel.width, "h": panel.height}
        placed.append({"id": number + len(placed), "gridPos": at, **_panel(panel)})
        left, height = left + panel.width, max(height, panel.height)
    return placed, top + height


def _panel(panel: Panel) -> Json:
    head: Json = {"type": panel.kind, "title": panel.title, "description": panel.description}
    if panel.kind == "text":
        return {**head, "transparent": True, "options": {"mode": "markdown", "content": panel.text}}
    whole = {
        **head,
        "datasource": DATASOURCE,
        "targets": [_target(panel, index, query) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _OPTIONS[panel.kind],
    }
    return {**whole, "transformations": _transformations(panel)} if panel.kind == "table" else whole


def _target(panel: Panel, index: int, query: Query) -> Json:
    is_instant = panel.kind in {"table", "stat"}
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": is_instant,
        "range": not is_instant,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> Json:
    defaults: Json = {
        "unit": panel.unit,
        "color": {
            "mode": "thresholds" if panel.steps is not PLAIN and panel.kind != "timeseries" else "palette-classic"
        },
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in panel.steps]},
    }
    if panel.low is not None:
        defaults["min"] = panel.low
    if panel.high is not None:
        defaults["max"] = panel.high
    if panel.words:
        options = {str(value): {"text": text, "color": color} for value, (text, color) in panel.words.items()}
        defaults["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        style = {"mode": "dashed" if panel.is_marked else "off"}
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "thresholdsStyle": style}
    if panel.kind == "status-history":
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    return defaults


def _overrides(panel: Panel) -> list[Json]:
    """Give what single columns of a table need: colours for PSI, dates for times."""
    properties: dict[str, list[Json]] = {
        "PSI": [{"id": "custom.cellOptions", "value": {"type": "color-background"}}, {"id": "decimals", "value": 3}],
        "since": [{"id": "unit", "value": "dateTimeAsIso"}],
        "learned": [{"id": "unit", "value": "percentunit"}],
    }
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": properties[name]}
        for name in panel.columns.values()
        if name in properties
    ]


def _transformations(panel: Panel) -> list[Json]:
    """Join the queries of a table by the labels they share, then name, order and hide columns."""
    order = {name: index for index, name in enumerate(panel.columns)}
    organize: Json = {
        "excludeByName": dict.fromkeys(panel.hidden, True),
        "indexByName": order,
        "renameByName": dict(panel.columns),
    }
    merge: list[Json] = [{"id": "merge", "options": {}}] if len(panel.queries) > 1 else []
    return [*merge, {"id": "organize", "options": organize}]


_OPTIONS: Final[Mapping[str, Json]] = {
    "stat": {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
    "status-history": {
        "showValue": "never",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single"},
    },
}


def text() -> str:
    """Give the file's text."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
