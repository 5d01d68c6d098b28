"""Names from events are foreign text: they may not pass for a series, a log line, a page or a command in a chat."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import httpx2
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from monitor import logs
from monitor.domain import AlertState, Histogram, Pages, StreamKey, TopicPartition
from monitor.exporter import label_text, render
from monitor.metrics import FAMILIES
from monitor.sinks.alertmanager import AlertmanagerParams, make_alertmanager
from monitor.sinks.base import Notice
from monitor.sinks.http import HttpParams
from monitor.sinks.log import LogParams, LogSink
from monitor.sinks.message import describe
from monitor.sinks.webhook import WebhookParams, WebhookSink
from monitor.status import alerts_dict, status_of
from monitor.web import WebServer, WebTerms
from tests.unit.sinks.examples import START_S, alert, transition
from tests.unit.snapshots import model_of, partition_of, snapshot, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monitor.domain import Alert, Snapshot
    from tests.support.receiver import Receiver

PIECES: Final = (
    *(
        "\n",
        "\r\n",
        '"',
        "\\",
        "{",
        "}",
        "=",
        ",",
        "'",
        " ",
        "\t",
        "\x00",
        "\x07",
        "\x1b[2J\x1b[31m",
        "\x9b31m",
        "\x7f",
    ),
    *(
        "\u2028",
        "\u2029",
        "\u0085",
        "\u202e",
        "\u2066",
        "\u200b",
        "\ufeff",
        "\ud800",
        "\udfff",
        "\U000e0041",
        "é",
        "🙂",
    ),
    *("<!channel>", "<!here|x>", "<@U012AB3CD>", "<#C024BE7LR>", "<!subteam^S1>", "@here", "@channel", "@everyone"),
    *("@all", "<script>alert(1)</script>", "<img src=x onerror=y>", "<at>all</at>", "[click](http://evil.example)"),
    *("# HELP driftd_up x", '\ndriftd_up{model="a"} 1\n', '"} 1\n# TYPE x counter\nx 1\n', "{{ .Labels }}", "${HOME}"),
    *('\n{"event":"forged","level":"info"}\n', "\n2026-01-01 [info ] forged", "%s%n", "../../etc/passwd", "a" * 10_000),
)
NAMES: Final = st.one_of(
    st.sampled_from(PIECES),
    st.lists(st.sampled_from(PIECES), min_size=2, max_size=4).map("".join),
    st.text(st.characters(), min_size=1, max_size=40),
    st.binary(min_size=1, max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.binary(min_size=1, max_size=20).map(lambda raw: raw.decode("utf-8", "replace")),
)
OBEYED: Final = re.compile(r"<[!@#/?a-z][^<>]*>|@(here|channel|all|everyone|group|team|online)\b|\]\(", re.IGNORECASE)
UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
MANY: Final = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def unsafe_in(text: str, *, but: str = "") -> set[str]:
    return {each for each in text if unicodedata.category(each) in UNSAFE and each not in but}


def hostile_alert(name: str, state: AlertState = AlertState.FIRING) -> Alert:
    """Give an alert in which every text that comes from events or from a hand is this one."""
    return alert(
        "a",
        state,
        key=StreamKey(name, name, f"features.{name}", f"{name}={name}"),
        summary=f"{name} has drifted",
        dedup_key=f"key-{name}",
        incident=name,
        reference=name,
        change=name,
        owner=name,
        runbook=name,
        details={name: name},
        histogram=Histogram((name,), (1.0,), (1.0,), 5, 5),
    )


def hostile_snapshot(name: str) -> Snapshot:
    """Give a snapshot in which every name is this one."""
    whole = snapshot()
    keys = (StreamKey(name, name, f"features.{name}", f"{name}={name}"),)
    shown = (hostile_alert(name), hostile_alert(name, AlertState.PENDING))
    picture = replace(
        whole.picture,
        keys=keys,
        tables=(table_of("psi", [0.5]), table_of("mean", [0.5])),
        models=(model_of(name, name),),
        alerts=shown,
        received={name: 1},
        counted={(name, "inference"): 1},
        rejected={(name, "not_json"): 1},
        late={name: 1},
        duplicate={name: 1},
        clamped={name: 1},
        schema_changes={(name, "new"): 1},
        anomalies=(),
    )
    partition = replace(partition_of(10, stalled_s=301.0), source=TopicPartition(name, 0))
    ended = replace(hostile_alert(name, AlertState.RESOLVED), dedup_key="ended")
    return replace(
        whole,
        picture=picture,
        partitions=(partition,),
        pages=Pages({(name, name): 0.5}, ended=(ended,)),
        not_ready_because=name,
        source_errors={name: 1},
    )


# ---- /metrics


def series_of(source: Snapshot) -> list[tuple[str, dict[str, str]]]:
    return [
        (sample.name, dict(sample.labels))
        for family in text_string_to_metric_families(render(source).decode("utf-8"))
        for sample in family.samples
    ]


@MANY
@given(NAMES)
def test_no_name_forges_a_series_and_labels_come_back(name: str) -> None:
    source = hostile_snapshot(name)
    expected = [
        (series, dict(labels))
        for family in FAMILIES
        for values, _ in family.read(source)
        for series, labels in [family.series(tuple(map(label_text, values)))]
    ]

    assert expected == series_of(source)
    harmless = series_of(hostile_snapshot("harmless"))
    assert [each[0] for each in harmless] == [each[0] for each in series_of(source)]
    assert [sorted(each[1]) for each in harmless] == [sorted(each[1]) for each in series_of(source)]


@MANY
@given(NAMES)
def test_the_page_of_metrics_moves_no_terminal(name: str) -> None:
    assert set() == unsafe_in(render(hostile_snapshot(name)).decode("utf-8"), but="\n")


# ---- the status


@MANY
@given(NAMES)
def test_the_status_says_names_as_they_are_and_nothing_else(name: str) -> None:
    def shape(value: object) -> object:
        if isinstance(value, dict):
            return sorted((len(value), str(sorted(map(repr, map(shape, value.values()))))) for _ in [0])
        return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__

    for page in (status_of, alerts_dict):
        assert shape(page(hostile_snapshot("harmless"))) == shape(page(hostile_snapshot(name)))


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[WebServer, list[Snapshot]]]:
    shown = [snapshot()]
    server = WebServer(lambda: shown[0], WebTerms(render_s_min=0.0))
    server.start()
    yield server, shown
    server.stop()


@pytest.mark.parametrize("name", PIECES)
def test_every_page_answers_whatever_the_names(server: tuple[WebServer, list[Snapshot]], name: str) -> None:
    serving, shown = server
    shown[0] = hostile_snapshot(name)
    with httpx2.Client(base_url=f"http://127.0.0.1:{serving.port}", trust_env=False) as client:
        for path in ("/metrics", "/api/v1/status", "/api/v1/alerts", "/api/v1/alerts/ended", "/"):
            answer = client.get(path)
            assert 200 == answer.status_code
            assert "nosniff" == answer.headers["x-content-type-options"]
            if "api" in path:
                assert "application/json" == answer.headers["content-type"]
                json.loads(answer.content)
        told: dict[str, Any] = client.get("/api/v1/status").json()
        probes = [client.get(path) for path in ("/livez", "/readyz")]
    assert name == told["alerts"][0]["model"]
    assert ["text/plain; charset=utf-8"] * 2 == [probe.headers["content-type"] for probe in probes]
    assert [set()] * 2 == [unsafe_in(probe.text, but="\n") for probe in probes]


# ---- what sinks send


def texts_of(words: Mapping[str, str]) -> str:
    return "\n".join([*words, *words.values()])


@MANY
@given(NAMES)
def test_no_name_forges_a_line_or_a_mention_in_words(name: str) -> None:
    words = describe(hostile_alert(name))
    plain = describe(hostile_alert("harmless"))

    assert set() == unsafe_in(texts_of(words.labels) + texts_of(words.annotations), but="\n")
    for text in (*words.labels.values(), *words.annotations.values()):
        assert "\n" not in text
        assert not OBEYED.search(text), text
        assert len(text) <= 4_000
    assert words.labels.keys() == plain.labels.keys()


@given(st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_two_names_never_become_one(names: list[str]) -> None:
    labels = {tuple(describe(hostile_alert(name)).labels.items()) for name in names}

    assert len(names) == len(labels)


@pytest.mark.parametrize(
    "name", ["a < b", "x<y", "age>30", "team@example.com", "f(x)[0]", "größe", "日本", "a & b", "all"]
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert name == describe(hostile_alert(name)).labels["model"]


def test_bodies_of_all_sinks_hold_what_is_harmless(receiver: Receiver) -> None:
    here = HttpParams(allow_internal=True)
    hook = WebhookSink("hook", WebhookParams(SecretStr(f"{receiver.url}/hook"), http=here))
    (manager,) = make_alertmanager("pager", AlertmanagerParams((receiver.url,)))
    for name in PIECES:
        told = Notice(transition(hostile_alert(name)), START_S)
        hook.deliver([told], START_S)
        manager.deliver([told], START_S)
    hook.close()
    manager.close()

    assert 2 * len(PIECES) == len(receiver.requests)
    for request in receiver.requests:
        body = request.body.decode("utf-8")
        assert set() == unsafe_in(body)
        assert not OBEYED.search(body)
        assert not unsafe_in("".join(f"{k}{v}" for k, v in request.headers.items()))
        alerts = request.json()["alerts"] if request.path == "/hook" else request.json()
        assert 1 == len(alerts)


# ---- the log


def logged(form: str, name: str) -> str:
    """Give what is printed about an alert, and about an error, with this name in it."""
    printed, before = io.StringIO(), sys.stderr
    sys.stderr = printed
    try:
        logs.set_up("info", form)
        LogSink("log", LogParams()).deliver([Notice(transition(hostile_alert(name)), START_S)], START_S)
        log = structlog.get_logger()
        log.info("partitions assigned", partitions=[f"{name}/0"], by={name: name}, error=name)
        try:
            raise ValueError(name)  # noqa: TRY301 - to have it caught
        except ValueError:
            log.exception("failed", model=name)
    finally:
        sys.stderr = before
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    return printed.getvalue()


@MANY
@given(NAMES)
def test_no_name_forges_a_line_of_json(name: str) -> None:
    text = logged("json", name)

    lines = text.splitlines()
    assert 3 == len(lines)
    assert ["alert firing", "partitions assigned", "failed"] == [json.loads(line)["event"] for line in lines]
    assert set() == unsafe_in(text, but="\n")


@MANY
@given(NAMES)
def test_no_name_forges_a_line_for_people(name: str) -> None:
    text = logged("console", name)

    lines = text.splitlines()
    assert 3 == len([line for line in lines if not line.startswith("  | ")])
    assert set() == unsafe_in(text, but="\n")
