"""What is deployed, asked of the real thing: a Prometheus that scrapes the daemon while traffic with incidents runs."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

import httpx2
import pytest
from confluent_kafka import Producer

from deploy.grafana.build_dashboard import ANNOTATIONS, ROWS, VARIABLES, Panel, Query
from monitor.baseline import Input, build_references
from monitor.config import load_settings
from monitor.demo.traffic import INCIDENTS, RATES_PER_S, event, history
from monitor.embedded import EmbeddedBroker
from monitor.reference_files import write_reference
from tests.deploy.files import ALERTMANAGER, COMPOSE, RULES, alerts, last_stage, read
from tests.deploy.programs import program
from tests.deploy.promql import LABELS, selectors
from tests.support.daemon import Daemon, wait_for
from tests.support.process import Process, accepts_connections, free_ports
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.alertmanager import AlertmanagerFactory
    from tests.support.prometheus import Prometheus, PrometheusFactory

pytestmark = pytest.mark.integration

TOPIC: Final = "inferences"
HISTORY_S: Final = 60.0
DEADLINE_S: Final = 45.0
TICK_S: Final = 0.05
CHOSEN: Final = {"model": ".*", "model_version": ".*", "field": ".*", "window": "10s", "__rate_interval": "10s"}
"""What stands for the dashboard's variables: all there is, in the shortest window."""

QUERIES: Final = [
    pytest.param(panel, query, id=f"{panel.title}: {index}")
    for row in ROWS
    for panel in row.panels
    for index, query in enumerate(panel.queries)
]


class Watched:
    """The daemon at work, and a Prometheus that scrapes it. until_s: when all must be there, on the monotonic clock."""

    def __init__(self, daemon: Daemon, prometheus: Prometheus) -> None:
        self.daemon = daemon
        self.prometheus = prometheus
        self.until_s = time.monotonic() + DEADLINE_S

    def ask(self, expression: str) -> list[dict[str, str]]:
        """Give the labels of all series that an expression has, as soon as one has a number."""
        filled = re.sub(r"\$(\w+)", lambda match: CHOSEN[match[1]], expression)
        numbers = f"({filled}) == ({filled})"  # NaN is not
        found = self.prometheus.wait_for(numbers, max(1.0, self.until_s - time.monotonic()))
        assert not any(math.isnan(each.value) for each in found)
        return [dict(each.labels) for each in found]


@pytest.fixture(scope="module")
def watched(prometheus_factory: PrometheusFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("deploy")
    with contextlib.ExitStack() as started:
        broker = started.enter_context(EmbeddedBroker({TOPIC: 2}))
        receiver = started.enter_context(Receiver())
        build(folder / "references")
        daemon = started.enter_context(
            Daemon(folder, settings(folder, broker, [receiver.url, f"http://127.0.0.1:{free_ports(1)[0]}"]))
        )
        started.enter_context(traffic(broker.bootstrap_servers))
        own = folder / "own.rules.yml"
        own.write_text("groups: [{name: own, rules: [{alert: DriftdTest, expr: vector(1), labels: {severity: info}}]}]")
        prometheus = prometheus_factory([f"127.0.0.1:{daemon.port}"], rules=[RULES, own])
        yield Watched(daemon, prometheus)


@pytest.fixture(scope="module")
def alertmanager_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("alertmanager")
    (port,) = free_ports(1)
    command = [
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={ALERTMANAGER}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with Process("Alertmanager", command, folder / "log") as process:
        process.wait_ready(lambda: accepts_connections(port), timeout_s=30.0)
        yield f"http://127.0.0.1:{port}"


class TestDashboard:
    @pytest.mark.parametrize(("panel", "query"), QUERIES)
    def test_query_has_data(self, watched: Watched, panel: Panel, query: Query) -> None:
        found = watched.ask(query.expr)

        in_legend = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
        assert in_legend <= {label for labels in found for label in labels} or "vector(0)" in query.expr

    @pytest.mark.parametrize("panel", [p for row in ROWS for p in row.panels if p.columns], ids=lambda p: p.title)
    def test_columns_of_tables_exist(self, watched: Watched, panel: Panel) -> None:
        """A label that is empty on every series, as `segment` here, is not there; but the metric has it."""
        labels = {label for query in panel.queries for series in watched.ask(query.expr) for label in series}
        names = {each.name for query in panel.queries for each in selectors(query.expr)}
        labels |= {label for name in names for label in LABELS.get(name, ())}
        letters = [chr(ord("A") + index) for index in range(len(panel.queries))]
        values = {"Value"} if len(letters) == 1 else {f"Value #{letter}" for letter in letters}

        assert panel.columns.keys() <= labels | values
        assert set(panel.hidden) <= labels | values | {"Time"}

    @pytest.mark.parametrize("name", VARIABLES)
    def test_variable_has_values(self, watched: Watched, name: str) -> None:
        _, query = VARIABLES[name]
        expression = query.removeprefix("label_values(").rpartition(",")[0]

        assert [] != [labels for labels in watched.ask(expression) if labels.get(name)]

    @pytest.mark.parametrize("annotation", ANNOTATIONS, ids=lambda annotation: str(annotation["name"]))
    def test_annotation_has_data_and_its_labels(self, watched: Watched, annotation: dict[str, str]) -> None:
        found = watched.ask(annotation["expr"])
        named = set(re.findall(r"\{\{(\w+)\}\}", annotation["titleFormat"] + annotation["textFormat"]))

        assert named <= {label for labels in found for label in labels}


class TestRules:
    def test_prometheus_evaluates_all_without_errors(self, watched: Watched) -> None:
        watched.ask("job_topic:driftd_events_received:rate5m > 0")
        groups = watched.prometheus.get("/api/v1/rules")["groups"]
        evaluated = [rule for group in groups for rule in group["rules"] if rule["name"] != "DriftdTest"]

        assert [] == [(rule["name"], rule.get("lastError")) for rule in evaluated if rule["health"] != "ok"]
        assert alerts().keys() <= {rule["name"] for rule in evaluated}

    def test_verdicts_can_be_pulled(self, watched: Watched) -> None:
        """Yellow is sev2 and red sev1; which of them it is by now is not the point."""
        unsafe = watched.ask('ALERTS{alertname="DriftdVerdictSevere",rule="unsafe_rate",alertstate="firing"}')

        assert {"sev1", "sev2"} >= {each["sev"] for each in unsafe}
        assert {("assistant", "critical", "pull")} == {(e["model"], e["severity"], e["path"]) for e in unsafe}

    def test_driftd_that_is_well_raises_no_alarm_about_itself(self, watched: Watched) -> None:
        """Of those that wait, the failing sink of this test would come in five minutes."""
        watched.ask('ALERTS{alertname="DriftdTest"}')
        about_driftd = 'ALERTS{alertname=~"Driftd.+",alertstate="firing",path!="pull",severity=~"critical|warning"}'

        assert [] == watched.prometheus.query(about_driftd)


class TestHealthchecks:
    @pytest.mark.parametrize("is_up", [True, False], ids=["up", "down"])
    def test_of_the_image_tells_whether_driftd_lives(self, watched: Watched, *, is_up: bool) -> None:
        name, *arguments = last_stage()["HEALTHCHECK"].command()
        port = watched.daemon.port if is_up else free_ports(1)[0]
        filled = [each.replace(":3738/", f":{port}/") for each in arguments]

        done = subprocess.run([sys.executable, *filled], capture_output=True, timeout=30, check=False)

        assert "/usr/bin/python3.11" == name
        assert (done.returncode == 0) == is_up

    def test_of_prometheus(self, watched: Watched) -> None:
        _, name, *arguments = read(COMPOSE)["services"]["prometheus"]["healthcheck"]["test"]

        assert "promtool" == name
        assert succeeds([program(name), *arguments], "localhost:9090", watched.prometheus.url)

    def test_of_alertmanager(self, alertmanager_factory: AlertmanagerFactory) -> None:
        _, name, *arguments = read(COMPOSE)["services"]["alertmanager"]["healthcheck"]["test"]
        with alertmanager_factory("http://127.0.0.1:9") as alertmanager:
            assert "amtool" == name
            assert succeeds([program(name), *arguments], "localhost:9093", alertmanager.url)
        assert not succeeds([program(name), *arguments], "localhost:9093", f"http://127.0.0.1:{free_ports(1)[0]}")


class TestAlertmanager:
    """The shipped configuration in a real Alertmanager. Its receivers are placeholders that lead nowhere."""

    @pytest.mark.parametrize(
        ("source", "target", "is_inhibited"),
        [
            ("DriftdDown,instance=a", "DriftdBusy,instance=a", True),
            ("DriftdDown,instance=a", "DriftdBusy,instance=b", False),
            ("DriftdDown,instance=a", "DriftdDown,instance=b", False),
            ("DriftdAbsent", "DriftdNoEvents", True),
            ("DriftdLoopStalled,instance=a", "DriftdWatermarkStale,instance=a", True),
            ("DriftdLoopStalled,instance=a", "DriftdNotificationsFailing,instance=a", False),
            ("DriftdNoEvents", "DriftdModelSilent,model=m", True),
            ("silence,service=driftd,model=m", "volume_low,service=driftd,model=m", True),
            ("silence,service=driftd,model=m", "volume_low,service=driftd,model=n", False),
            (
                "latency_p95,service=driftd,model=m,field=latency_s,severity=sev2",
                "latency_p99,service=driftd,model=m,field=latency_s,severity=sev3",
                True,
            ),
            (
                "unsafe_rate,service=driftd,model=m,field=unsafe,severity=sev1",
                "psi,service=driftd,model=m,field=score,severity=sev3",
                False,
            ),
        ],
    )
    def test_what_follows_from_something_else_is_not_told(
        self, alertmanager_url: str, request: pytest.FixtureRequest, source: str, target: str, *, is_inhibited: bool
    ) -> None:
        job = request.node.name  # keeps the cases apart; alerts that driftd pushes have none, and a model apart instead
        labels = [alert_labels(each, job) for each in (source, target)]
        sent = [{"labels": each} for each in labels]
        httpx2.post(f"{alertmanager_url}/api/v2/alerts", json=sent, trust_env=False).raise_for_status()

        wait_for(lambda: len(held(alertmanager_url, labels)) == 2, "both alerts")

        assert [False, is_inhibited] == held(alertmanager_url, labels)


def test_event_by_hand_is_counted(watched: Watched) -> None:
    (labels,) = watched.ask('driftd_model_events_total{model="fraud"} > 0')

    assert "v1" == labels["model_version"]


def test_index_names_the_pages_that_the_readme_names(watched: Watched) -> None:
    pages = ("/metrics", "/livez", "/readyz", "/api/v1/status")

    assert [200] * 4 == [httpx2.get(f"{watched.daemon.url}{page}", trust_env=False).status_code for page in pages]


def alert_labels(text: str, case: str) -> dict[str, str]:
    name, *rest = text.split(",")
    labels = {"alertname": name, "severity": "warning", **dict(each.split("=") for each in rest)}
    return {**labels, "model": f"{labels['model']} {case}"} if "service" in labels else {**labels, "job": case}


def held(url: str, labels: Sequence[dict[str, str]]) -> list[bool]:
    """Give, for each alert that Alertmanager has by now, in the order asked for, whether another inhibits it."""
    alerts = httpx2.get(f"{url}/api/v2/alerts", trust_env=False).raise_for_status().json()
    states = [next((e["status"] for e in alerts if e["labels"] == each), None) for each in labels]
    return [bool(each["inhibitedBy"]) for each in states if each and each["state"] != "unprocessed"]


def succeeds(command: Sequence[str], standing_for: str, url: str) -> bool:
    filled = [each.replace(f"http://{standing_for}", url) for each in command]
    assert filled != list(command)
    return subprocess.run(filled, capture_output=True, timeout=30, check=False).returncode == 0


def event_by_hand() -> bytes:
    """The event that compose.yaml shows, with the time filled in."""
    (shown,) = re.findall(r"#\s+echo '(.+)' \|", COMPOSE.read_text())
    return str(shown).replace("'\"$(date +%s)\"'", str(int(time.time()))).encode()


def build(folder: Path) -> None:
    lines = [json.dumps(each).encode() for each in history(HISTORY_S, time.time() - 60.0)]
    given = Input("a minute of healthy traffic", lambda _: iter([lines]))
    for reference in build_references(load_settings(None, {}, topics_required=False), given).references:
        write_reference(folder, reference)


def settings(folder: Path, broker: EmbeddedBroker, webhooks: Sequence[str]) -> dict[str, object]:
    """The last of the webhooks is where nobody listens."""
    return {
        "kafka": {"bootstrap_servers": [broker.bootstrap_servers], "topics": [TOPIC], "start": "earliest"},
        "reference": {"directory": str(folder / "references")},
        "state": {"directory": str(folder / "state")},
        "alerts": {"windows": ["10s", "1m"], "owner": "test", "runbook": "https://example.com/runbook"},
        "run": {"shutdown_s": 2},  # it would try the last of the webhooks for longer
        "receivers": {
            "log": {"type": "log"},
            **{
                f"webhook-{index}": {"type": "webhook", "url": url, "http": {"allow_internal": True}}
                for index, url in enumerate(webhooks)
            },
        },
    }


@contextlib.contextmanager
def traffic(servers: str) -> Iterator[None]:
    """Send until the block ends: healthy for three seconds, then with every incident; some of it can't be read."""
    stopping = threading.Event()
    sender = threading.Thread(target=send, args=(servers, stopping), daemon=True)
    sender.start()
    try:
        yield
    finally:
        stopping.set()
        sender.join()


def send(servers: str, stopping: threading.Event) -> None:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "log_level": 0})
    rng = random.Random(23)
    began_s = time.time()
    due = dict.fromkeys(RATES_PER_S, began_s)
    producer.produce(TOPIC, event_by_hand())
    while not stopping.wait(TICK_S):
        for model, rate_per_s in RATES_PER_S.items():
            while due[model] <= time.time():
                going = [each.name for each in INCIDENTS if each.model == model and due[model] > began_s + 3.0]
                number = round((due[model] - began_s) * rate_per_s)
                name = going[number % len(going)] if going else None
                producer.produce(TOPIC, json.dumps(event(rng, model, round(due[model], 4), name)).encode())
                due[model] += 1.0 / rate_per_s
        producer.produce(TOPIC, b"not JSON")
        producer.poll(0)
    producer.flush(5)
