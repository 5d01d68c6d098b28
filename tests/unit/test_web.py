from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.alert_json import alert_dict
from monitor.alert_json import alert_of as alert_of_json
from monitor.cli import cli
from monitor.domain import AlertState, Histogram, Pages, Receipt, Severity, SinkStatus
from monitor.errors import ConfigError
from monitor.segment_hits import SegmentHits
from monitor.status import ITEMS_MAX, status_of, worst_first
from monitor.upkeep import Delays, HalfStatus
from monitor.web import Liveness, Probe, WebServer, WebTerms, readiness
from monitor.web import server as web
from monitor.web.doorkeeper import HEADERS
from tests.unit.snapshots import NOW_S, alert_of, model_of, partition_of, picture, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monitor.domain import PartitionStatus, Snapshot


class _Board:
    def __init__(self) -> None:
        self.snapshot: Snapshot | None = snapshot()

    def latest(self) -> Snapshot | None:
        return self.snapshot


BOARD = _Board()


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    """One for all tests, as each start and stop takes a fifth of a second."""
    server = WebServer(BOARD.latest, WebTerms(port=0, render_s_min=0.0))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def board() -> Iterator[_Board]:
    yield BOARD
    BOARD.snapshot = snapshot()


@pytest.fixture
def client(server: WebServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield client


# ---- liveness


class _Asked:
    """A liveness under the test's clock. Each `at` is one probe."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._liveness = Liveness(stall_s=60.0, progress_s=300.0, steady=lambda: self.now_s)

    def at(self, now_s: float, source: Snapshot | None) -> bool:
        self.now_s = now_s
        return self._liveness.probe(source).is_good


def _with(*partitions: PartitionStatus, tick_wall_s: float = 5.0, errors: Mapping[str, int] | None = None) -> Snapshot:
    return replace(snapshot(), partitions=partitions, tick_wall_s=tick_wall_s, source_errors=errors or {})


def test_it_is_alive_while_the_loop_ticks() -> None:
    asked = _Asked()

    assert [True] * 3 == [asked.at(50.0 * i, _with(tick_wall_s=float(i))) for i in range(3)]


def test_it_is_dead_when_the_loop_stands_still_and_alive_again_after() -> None:
    asked = _Asked()

    assert asked.at(0.0, _with())
    assert asked.at(60.0, _with())
    assert not asked.at(60.1, _with())
    assert asked.at(61.0, _with(tick_wall_s=6.0))


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_setting_the_wall_clock_neither_kills_nor_saves(jump_s: float) -> None:
    asked = _Asked()
    asked.at(0.0, _with(tick_wall_s=1e9))

    assert asked.at(50.0, _with(tick_wall_s=1e9 + jump_s))
    assert not asked.at(111.0, _with(tick_wall_s=1e9 + jump_s))


def test_it_is_alive_while_it_starts_however_long_that_takes() -> None:
    asked = _Asked()

    assert asked.at(0.0, None)
    assert asked.at(7_200.0, None)


def test_one_partition_that_hangs_is_enough() -> None:
    moving, hung = partition_of(10), partition_of(10, stalled_s=301.0, partition=3)

    assert _Asked().at(0.0, _with(moving))
    assert not _Asked().at(0.0, _with(moving, hung))


@pytest.mark.parametrize(
    "partitions",
    [
        pytest.param((), id="a rebalance left it without partitions"),
        pytest.param((partition_of(10, stalled_s=0.0),), id="a partition just came"),
        pytest.param((partition_of(0, stalled_s=9_000.0),), id="nothing to read"),
        pytest.param((partition_of(None, stalled_s=9_000.0),), id="the broker can't be asked for the lag"),
        pytest.param((partition_of(10, stalled_s=300.0),), id="at the limit"),
    ],
)
def test_what_is_no_standstill(partitions: tuple[PartitionStatus, ...]) -> None:
    assert _Asked().at(0.0, _with(*partitions))


def test_errors_of_long_ago_excuse_nothing() -> None:
    hung = partition_of(10, stalled_s=301.0)

    assert not _Asked().at(0.0, _with(hung, errors={"_transport": 2}))


def test_an_outage_that_the_source_reports_is_waited_out_for_longer() -> None:
    asked, hung = _Asked(), partition_of(10, stalled_s=400.0)
    assert asked.at(0.0, _with(partition_of(10)))

    assert asked.at(250.0, _with(hung, tick_wall_s=1.0, errors={"_transport": 1}))
    assert asked.at(299.0, _with(hung, tick_wall_s=2.0, errors={"_transport": 2}))
    assert asked.at(590.0, _with(hung, tick_wall_s=3.0, errors={"_transport": 2}))
    assert not asked.at(600.0, _with(hung, tick_wall_s=4.0, errors={"_transport": 2}))
    endless = partition_of(10, stalled_s=1_201.0)
    assert not asked.at(601.0, _with(endless, tick_wall_s=5.0, errors={"_transport": 3}))


def test_counts_that_do_not_reach_the_judges_are_a_standstill_but_in_an_outage_a_long_one() -> None:
    def waiting(seconds: float, errors: int, tick_wall_s: float) -> Snapshot:
        whole = _with(tick_wall_s=tick_wall_s, errors={"_transport": errors})
        return replace(whole, picture=replace(whole.picture, half=HalfStatus("fold", waiting_s=seconds)))

    asked = _Asked()

    assert asked.at(0.0, waiting(300.0, 0, 1.0))
    assert not asked.at(1.0, waiting(301.0, 0, 2.0))
    assert asked.at(2.0, waiting(302.0, 1, 3.0))
    assert not asked.at(3.0, waiting(1_201.0, 2, 4.0))


# ---- readiness

GOOD = Probe(is_good=True, reason="ok")
STALLED = Probe(is_good=False, reason="main loop: no tick for 61 s")


@pytest.mark.parametrize(
    ("source", "liveness", "expected"),
    [
        (None, GOOD, Probe(is_good=False, reason="starting: no numbers yet")),
        (snapshot(), GOOD, GOOD),
        (snapshot(), STALLED, STALLED),
        (replace(snapshot(), is_ready=False, not_ready_because="no partitions"), GOOD, Probe(False, "no partitions")),  # noqa: FBT003
        (replace(snapshot(), is_ready=False, not_ready_because=""), GOOD, Probe(is_good=False, reason="not ready")),
    ],
)
def test_readiness(source: Snapshot | None, liveness: Probe, expected: Probe) -> None:
    assert expected == readiness(source, liveness)


# ---- over HTTP


def test_probes_say_why(client: httpx2.Client, board: _Board) -> None:
    assert (200, "ok\n") == (client.get("/livez").status_code, client.get("/readyz").text)

    board.snapshot = replace(snapshot(), is_ready=False, not_ready_because="no pane has been judged yet")
    assert (503, "no pane has been judged yet\n") == (client.get("/readyz").status_code, client.get("/readyz").text)
    assert 200 == client.get("/livez").status_code

    board.snapshot = _with(partition_of(10, stalled_s=301.0))
    assert "partition inferences/0: 10 records wait, none read for 301 s (limit 300 s)\n" == client.get("/livez").text
    assert 503 == client.get("/livez").status_code == client.get("/readyz").status_code


def test_metrics_are_served_in_the_text_format(client: httpx2.Client) -> None:
    answer = client.get("/metrics", headers={"accept-encoding": "identity"})

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert "content-encoding" not in answer.headers
    assert "\ndriftd_batches_total 77.0\n" in answer.text
    assert "\nprocess_resident_memory_bytes " in answer.text


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip;q=0.8", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0.000", None),
        ("", None),
        ("br", None),
    ],
)
def test_metrics_are_compressed_where_that_is_understood(
    client: httpx2.Client, accepted: str, encoding: str | None
) -> None:
    answer = client.get("/metrics", headers={"accept-encoding": accepted})

    assert encoding == answer.headers.get("content-encoding")
    assert "accept-encoding" == answer.headers["vary"]
    assert "\ndriftd_ready 1.0\n" in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/livez", "/readyz", "/api/v1/status", "/api/v1/alerts", "/api/v1/segments"]
)
def test_head_gives_the_headers_alone(client: httpx2.Client, path: str) -> None:
    answer = client.head(path)

    assert (200, b"") == (answer.status_code, answer.content)
    assert 0 < int(answer.headers["content-length"])
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]


def test_index_links_to_all_pages(client: httpx2.Client) -> None:
    text = client.get("/").text

    assert "text/html" in client.get("/").headers["content-type"]
    for path in ("/metrics", "/livez", "/readyz", "/api/v1/status", "/api/v1/alerts", "/api/v1/segments"):
        assert f'href="{path}"' in text


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/api/v1", "//", "/metrics/../etc"])
def test_other_paths_are_not_found(client: httpx2.Client, path: str) -> None:
    assert 404 == client.get(f"http://127.0.0.1:{client.base_url.port}{path}").status_code


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_not_allowed(client: httpx2.Client, method: str) -> None:
    answer = client.request(method, "/metrics")

    assert 405 == answer.status_code
    assert {"GET", "HEAD"} == set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/metrics", "/livez", "/-/reload", "/nothing"])
def test_bodies_are_refused(client: httpx2.Client, path: str, method: str) -> None:
    for content in (b"x" * 100_000, iter([b"a", b"b"])):  # of a known length, and in pieces
        answer = client.request(method, path, content=content)

        assert (413, "close") == (answer.status_code, answer.headers["connection"])


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/api/v1/status", "/nothing"])
def test_every_answer_has_safe_headers(client: httpx2.Client, path: str) -> None:
    headers = client.get(path).headers

    assert [] == [name for name, value in HEADERS if headers.get(name) != value]
    assert "server" not in headers


def test_before_the_first_snapshot_everything_answers(client: httpx2.Client, board: _Board) -> None:
    board.snapshot = None

    assert 200 == client.get("/livez").status_code
    assert (503, "starting: no numbers yet\n") == (client.get("/readyz").status_code, client.get("/readyz").text)
    assert "driftd_build_info" in client.get("/metrics").text
    assert {"ready": False, "not_ready_because": "starting"} == client.get("/api/v1/status").json()
    assert {"alerts_count": 0, "alerts": []} == client.get("/api/v1/alerts").json()
    assert 404 == client.get("/api/v1/alerts/c3d4").status_code
    assert [] == client.get("/api/v1/segments").json()["segments"]


def test_a_probe_does_not_wait_for_a_scrape() -> None:
    is_rendering, may_go_on = threading.Event(), threading.Event()

    def latest() -> Snapshot | None:
        if threading.current_thread().name != "driftd-web":  # a page is made on a thread of its own
            is_rendering.set()
            may_go_on.wait(10.0)
        return snapshot()

    server = WebServer(latest, WebTerms(port=0))
    server.start()
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as other:
        scrape = threading.Thread(target=other.get, args=("/metrics",))
        scrape.start()
        assert is_rendering.wait(10.0)
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=5.0) as prober:
            assert 200 == prober.get("/livez").status_code
        may_go_on.set()
        scrape.join()
    server.stop()


# ---- the JSON status


def test_status_is_the_snapshot_without_statistics(client: httpx2.Client) -> None:
    told = client.get("/api/v1/status").json()

    assert (10_000, 9_500, 300, 120, 80) == tuple(
        told["totals"][name] for name in ("received", "counted", "rejected", "late", "duplicate")
    )
    assert {"not_json": 300} == told["totals"]["rejected_reasons"]
    assert ["ranker"] == [model["model"] for model in told["models"]]
    assert [("psi", "firing", "sev2"), ("latency_p95", "pending", "sev2")] == [
        (alert["rule"], alert["state"], alert["severity"]) for alert in told["alerts"]
    ]
    assert [(0, 40), (1, 0)] == [(p["partition"], p["lag_records"]) for p in told["partitions"]]
    assert ["pager"] == [sink["name"] for sink in told["sinks"]]


def test_status_has_no_number_that_json_lacks(client: httpx2.Client, board: _Board) -> None:
    odd = replace(alert_of(), value=math.nan, interval=(-math.inf, math.inf))
    model = replace(model_of(), last_event_s=-math.inf)
    board.snapshot = replace(snapshot(), picture=replace(picture(), alerts=(odd,), models=(model,)))
    told = json.loads(client.get("/api/v1/status").text, parse_constant=pytest.fail)

    assert (None, [None, None]) == (told["alerts"][0]["value"], told["alerts"][0]["interval"])
    assert told["models"][0]["last_event_s"] is None


def test_status_is_bounded_and_says_how_much_there_is() -> None:
    many = [replace(alert_of(), dedup_key=str(i)) for i in range(ITEMS_MAX + 7)]
    told = status_of(replace(snapshot(), picture=replace(picture(), alerts=many)))

    assert ITEMS_MAX + 7 == told["alerts_count"]
    shown = told["alerts"]
    assert isinstance(shown, list)
    assert ITEMS_MAX == len(shown)


def test_status_tells_what_the_pages_cost_and_how_soon_they_came() -> None:
    sink = SinkStatus("pager", 2, {}, 0, 0.0, is_healthy=True, delays=Delays((1.0,), (2, 0), 0.5))
    pages = Pages({("a", "1"): 0.5, ("b", "1"): 2.0}, Delays((10.0,), (1, 1), 40.0))
    told: Any = status_of(replace(snapshot(), sinks=(sink,), pages=pages))

    assert [("b", 2.0), ("a", 0.5)] == [(each["model"], each["ratio"]) for each in told["budget_spent"]]
    assert {"count": 2, "mean_s": 20.0} == told["detection_delay"]
    assert {"count": 2, "mean_s": 0.25} == told["sinks"][0]["delivery_delay"]
    assert {"count": 0, "mean_s": None} == status_of(snapshot())["detection_delay"]


# ---- alerts in full


def with_receipt() -> Snapshot:
    """Give a snapshot in which the pager has heard of one alert and the chat has not, and another has ended."""
    firing = replace(alert_of(), change="location", rank=2, together=9, histogram=HISTOGRAM)
    assert firing.firing_s is not None
    receipts = (
        Receipt("c3d4", firing.firing_s - 60, 1.0, 9.0),
        Receipt("c3d4", firing.firing_s, 100.0, 100.5),
    )
    pager = SinkStatus("pager", 1, {}, 0, 0.0, is_healthy=True, receipts=receipts)
    ended = replace(firing, state=AlertState.RESOLVED, dedup_key="e5f6", resolved_s=NOW_S)
    again = replace(ended, dedup_key="c3d4")
    return replace(
        snapshot(),
        picture=replace(picture(), alerts=(firing,)),
        sinks=(pager, replace(pager, name="chat", receipts=())),
        pages=Pages(ended=(again, ended)),
    )


HISTOGRAM = Histogram(("low", "high"), (0.5, 0.5), (0.1, 0.9), 100, 1_000)


def test_alerts_in_full_are_those_active_and_those_that_ended(client: httpx2.Client, board: _Board) -> None:
    board.snapshot = with_receipt()

    told = client.get("/api/v1/alerts").json()

    assert 2 == told["alerts_count"]
    assert [("c3d4", "firing"), ("e5f6", "resolved")] == [(a["dedup_key"], a["state"]) for a in told["alerts"]]


def test_one_model_can_be_asked_for(client: httpx2.Client, board: _Board) -> None:
    board.snapshot = with_receipt()

    for path in ("/api/v1/status", "/api/v1/alerts"):
        assert 0 < client.get(path, params={"model": "ranker"}).json()["alerts_count"]
        assert 0 == client.get(path, params={"model": "another"}).json()["alerts_count"]
    assert [] == client.get("/api/v1/status", params={"model": "another"}).json()["models"]


def test_alert_in_full_tells_why_it_fired_and_who_was_told(client: httpx2.Client, board: _Board) -> None:
    board.snapshot = with_receipt()

    told = client.get("/api/v1/alerts/c3d4").json()

    assert ("location", 2, 9, False) == tuple(told[name] for name in ("change", "rank", "together", "drill"))
    assert [0.1, 0.9] == told["histogram"]["current"]
    assert 400.0 == told["decision_delay_s"]
    assert {"pager": {"accepted": 100.5, "delay_s": 0.5}, "chat": None} == told["deliveries"]


def test_unknown_alert_is_not_found(client: httpx2.Client) -> None:
    answer = client.get("/api/v1/alerts/ffff")

    assert (404, {"error": "no such alert is active or ended lately"}) == (answer.status_code, answer.json())


def test_alert_comes_back_from_json_as_it_was(client: httpx2.Client, board: _Board) -> None:
    board.snapshot = with_receipt()

    assert with_receipt().picture.alerts[0] == alert_of_json(client.get("/api/v1/alerts/c3d4").json())


def test_numbers_that_json_lacks_come_back_as_unknown() -> None:
    odd = alert_of_json({**alert_dict(alert_of()), "value": None, "interval": [None, 1.0]})

    assert math.isnan(odd.value)
    assert math.isnan(odd.interval[0])


def test_worst_alerts_come_first() -> None:
    pending = alert_of(AlertState.PENDING)
    mild, grave = alert_of(), replace(alert_of(), severity=Severity.SEV1)
    newer = replace(mild, pending_s=mild.pending_s + 1.0)

    assert [grave, newer, mild, pending] == worst_first(replace(picture(), alerts=(pending, mild, newer, grave)))


# ---- the server


def test_a_taken_port_is_told(server: WebServer) -> None:
    second = WebServer(lambda: None, WebTerms(port=server.port))
    with pytest.raises(ConfigError, match=rf"http: can't listen on 127.0.0.1, port {server.port}: .*in use"):
        second.start()
    second.stop()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_told(host: str) -> None:
    with pytest.raises(ConfigError, match=f"http: can't listen on {host}"):
        WebServer(lambda: None, WebTerms(host=host)).start()


def test_port_is_known_after_start(server: WebServer) -> None:
    assert 0 == WebServer(lambda: None, WebTerms(port=0)).port
    assert 0 < server.port


def test_it_stops_in_time_and_frees_the_port_whoever_is_connected() -> None:
    server = WebServer(snapshot, WebTerms(port=0))
    server.start()
    port = server.port
    idle = socket.create_connection(("127.0.0.1", port))
    dribbling = socket.create_connection(("127.0.0.1", port))
    dribbling.sendall(b"GET /metrics HTTP/1.1\r\nhost:")
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert 200 == client.get("/livez").status_code
        began_s = time.monotonic()
        server.stop()
        assert time.monotonic() - began_s < web.STOP_WAIT_S
    server.stop()

    again = WebServer(snapshot, WebTerms(port=port))
    again.start()
    again.stop()
    idle.close()
    dribbling.close()


def test_connections_that_are_of_no_use_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "QUIET_S", 0.2)
    server = WebServer(snapshot, WebTerms(port=0))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as dribbling:
        dribbling.sendall(b"GET /livez HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionResetError):  # a reset and a close in good order are both an end
            assert b"" == dribbling.recv(1)
    server.stop()


def test_for_one_more_connection_the_oldest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody who holds connections open keeps the probes out."""
    monkeypatch.setattr(web, "CONNECTIONS_MAX", 3)
    server = WebServer(snapshot, WebTerms(port=0))
    server.start()
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=5.0) for _ in range(3)]
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        assert 200 == client.get("/livez").status_code
    assert b"" == held[0].recv(1)
    for each in held:
        each.close()
    server.stop()


def test_a_flood_of_connections_uses_up_no_files(server: WebServer) -> None:
    flood = [socket.create_connection(("127.0.0.1", server.port), timeout=5.0) for _ in range(3 * web.CONNECTIONS_MAX)]
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        assert 200 == client.get("/livez").status_code
    assert server._door is not None
    deadline_s = time.monotonic() + 5.0
    while (left := sum(each.fileno() >= 0 for each in server._door._inside)) > web.CONNECTIONS_MAX:
        assert time.monotonic() < deadline_s, f"{left} connections are open"
        time.sleep(0.01)
    for each in flood:
        each.close()


def test_oversized_headers_are_refused(server: WebServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-large: " + b"a" * (web.HEADER_BYTES_MAX + 1))

        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_threads_end_with_the_server() -> None:
    before = set(threading.enumerate())
    server = WebServer(snapshot, WebTerms(port=0))
    server.start()
    assert ["driftd-web"] == [thread.name for thread in set(threading.enumerate()) - before]
    server.stop()

    assert set() == set(threading.enumerate()) - before


def segmented() -> SegmentHits:
    """Give two models, each with a segment that is much worse and one that is as the rest."""
    keys = [(model, "7", "unsafe", f"country={name}") for model in ("ranker", "chat") for name in ("US", "DE")]
    hits, samples = np.array([60, 10] * 2), np.array([300, 300] * 2)
    alls = np.array([80] * 4), np.array([900] * 4)
    return SegmentHits("1h", tuple(keys), hits, samples, *alls, np.zeros(4, dtype=np.bool_))


def test_worst_segments_of_one_model_can_be_asked_for(client: httpx2.Client, board: _Board) -> None:
    board.snapshot = replace(snapshot(), picture=replace(picture(), segments=segmented()))

    both, one = client.get("/api/v1/segments").json(), client.get("/api/v1/segments?model=chat").json()

    assert [("ranker", "country=US"), ("chat", "country=US")] == [(s["model"], s["segment"]) for s in both["segments"]]
    assert [("chat", "country=US")] == [(s["model"], s["segment"]) for s in one["segments"]]
    assert (4, 2) == (both["compared"], one["compared"])


def test_command_asks_the_daemon_for_segments(client: httpx2.Client, board: _Board) -> None:
    board.snapshot = replace(snapshot(), picture=replace(picture(), segments=segmented()))

    told = CliRunner().invoke(cli, ["segments", "chat", "--url", str(client.base_url)])

    assert 0 == told.exit_code, told.output
    assert "chat 7: unsafe where country=US: 20.00% yes, the rest 3.33% (300 samples" in told.output
