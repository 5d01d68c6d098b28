"""`driftd explain`: which alert a person means, from a daemon or a file, and what is said of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from monitor.alert_json import alert_dict, alert_of
from monitor.cli import cli
from monitor.domain import AlertState, Band, Histogram, Pages, Receipt, SinkStatus, StreamKey
from monitor.drift_sorts import CONCEPT, OTHERS, sort_of
from monitor.errors import DriftdError, SourceError
from monitor.explain.finding import Known, from_file, select
from monitor.explain.words import SORTS, to_json, to_text
from monitor.lineage import Lineage
from monitor.replaying import transition_dict
from monitor.rules import Budget
from monitor.web import WebServer, WebTerms
from tests.unit.sinks.examples import START_S, alert, transition
from tests.unit.snapshots import picture, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monitor.domain import Transition

FIRING, RESOLVED, PENDING = AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING
HISTOGRAM = Histogram(("up to 3", "above 3", "null"), (0.5, 0.48, 0.02), (0.1, 0.88, 0.02), 906, 24_000)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    structlog.reset_defaults()


def known(name: str, **changes: Any) -> Known:  # noqa: ANN401 - fields of an alert
    return Known(alert(name, **changes))


def told_of(**changes: Any) -> str:  # noqa: ANN401 - fields of an alert
    """Give the explanation of an alert, on one line."""
    return " ".join(to_text([known("a", **changes)]).split())


def driftd(*words: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *words])


class TestSelecting:
    ALL = (
        known("a", dedup_key="aaaa1111", incident="cafe01", evidence=9.0, rank=2),
        known("b", dedup_key="aaaa2222", incident="cafe01", evidence=8.0),
        known(
            "c", dedup_key="bbbb1111", incident="beef02", rule="latency_p95", key=StreamKey("chat", "1", "latency_s")
        ),
    )

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ("aaaa1111", ["aaaa1111"]),
            ("bbbb", ["bbbb1111"]),
            ("aaaa", ["aaaa2222", "aaaa1111"]),
            ("cafe01", ["aaaa2222", "aaaa1111"]),
            ("latency_p95/latency_s", ["bbbb1111"]),
            ("Chat", ["bbbb1111"]),
            ("feature_drift feature.a", ["aaaa1111"]),
            ("region=eu", ["aaaa2222", "aaaa1111"]),
        ],
    )
    def test_alert_is_found_by_key_incident_or_words_the_strongest_first(
        self, wanted: str, expected: list[str]
    ) -> None:
        assert expected == [each.alert.dedup_key for each in select(self.ALL, wanted)]

    @pytest.mark.parametrize("wanted", ["nope", "aaa9", "latency_p95 fraud", " ", ""])
    def test_unknown_one_is_answered_with_those_there_are(self, wanted: str) -> None:
        with pytest.raises(DriftdError, match="no alert is named") as raised:
            select(self.ALL, wanted)

        assert all(each.alert.dedup_key in str(raised.value) for each in self.ALL)

    def test_none_at_all_is_said(self) -> None:
        with pytest.raises(DriftdError, match="there are none at all"):
            select([], "x")


class TestFile:
    def write(self, path: Path, *transitions: Transition) -> Path:
        path.write_text("".join(json.dumps(transition_dict(each)) + "\n" for each in transitions))
        return path

    def test_alert_comes_back_as_it_was_while_it_fired(self, tmp_path: Path) -> None:
        told = alert(change="location", rank=2, together=3, histogram=HISTOGRAM, pending_s=START_S)
        path = self.write(
            tmp_path / "alerts.jsonl",
            transition(told, before=None),
            transition(replace(told, state=RESOLVED, value=0.0), at_s=START_S + 60),
        )

        (found,) = from_file(path)

        assert replace(told, state=RESOLVED, resolved_s=START_S + 60) == found.alert

    def test_alert_that_fired_twice_is_told_as_it_is_now(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path / "alerts.jsonl",
            transition(alert(), before=None),
            transition(alert(state=RESOLVED), at_s=START_S + 60),
            transition(alert(state=PENDING), at_s=START_S + 90),
            transition(alert(), at_s=START_S + 99),
        )

        (found,) = from_file(path)

        assert (FIRING, START_S + 90, START_S + 99, None) == (
            found.alert.state,
            found.alert.pending_s,
            found.alert.firing_s,
            found.alert.resolved_s,
        )

    @pytest.mark.parametrize("line", ["{", "[]", "{}", '{"dedup_key": "a", "status": "odd"}'])
    def test_what_is_no_transition_is_named_by_its_line(self, tmp_path: Path, line: str) -> None:
        path = self.write(tmp_path / "alerts.jsonl", transition(alert()))
        path.write_text(path.read_text() + line + "\n")

        with pytest.raises(SourceError, match=r"alerts\.jsonl:2: not a transition"):
            from_file(path)

    def test_missing_file_is_exit_1(self) -> None:
        result = driftd("x", "--alerts", "no-such.jsonl")

        assert (1, "driftd: no-such.jsonl: can't be read: No such file or directory\n") == (
            result.exit_code,
            result.stderr,
        )

    def test_command_explains_what_a_replay_wrote(self, tmp_path: Path) -> None:
        path = str(self.write(tmp_path / "alerts.jsonl", transition(alert())))

        assert "feature_drift of feature.a|region=eu" in driftd("key-a", "--alerts", path).stdout
        assert "key-a" in driftd("--alerts", path).stdout
        assert ["key-a"] == [
            each["dedup_key"] for each in json.loads(driftd("--alerts", path, "--json").stdout)["alerts"]
        ]


class TestDaemon:
    @pytest.fixture
    def url(self) -> Iterator[str]:
        firing = alert(histogram=HISTOGRAM)
        receipts = (Receipt("key-a", START_S, 100.0, 101.5),)
        pager = SinkStatus("pager", 1, {}, 0, 0.0, is_healthy=True, receipts=receipts)
        whole = replace(
            snapshot(),
            picture=replace(picture(), alerts=(firing,)),
            sinks=(pager, replace(pager, name="chat", receipts=())),
            pages=Pages(ended=(alert("gone", RESOLVED),)),
        )
        server = WebServer(lambda: whole, WebTerms(port=0))
        server.start()
        yield f"http://127.0.0.1:{server.port}"
        server.stop()

    def test_alert_is_explained_with_who_was_told(self, url: str) -> None:
        text = driftd("key-a", "--url", url).stdout

        assert "told       pager 1.5 s after the decision, chat: not accepted yet" in text
        assert "above 3" in text

    def test_alert_that_has_just_ended_is_explained_too(self, url: str) -> None:
        assert "(resolved)" in driftd("key-gone", "--url", url).stdout

    def test_address_is_that_of_the_configuration(self, url: str, tmp_path: Path) -> None:
        (tmp_path / "driftd.yaml").write_text(f"http: {{host: 0.0.0.0, port: {url.rpartition(':')[2]}}}\n")

        assert "key-a" in driftd().stdout

    def test_unknown_alert_is_exit_1_with_those_there_are(self, url: str) -> None:
        result = driftd("nope", "--url", url)

        assert (1, "") == (result.exit_code, result.stdout)
        assert "key-a" in result.stderr
        assert "key-gone" in result.stderr

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1", "http://[", "ftp://x"])
    def test_nobody_there_is_exit_1_and_says_what_to_do(self, url: str) -> None:
        result = driftd("x", "--url", url)

        assert 1 == result.exit_code
        assert f"no daemon answers at {url}" in result.stderr
        assert "--url" in result.stderr

    def test_another_server_is_told_from_a_daemon(self, url: str) -> None:
        result = driftd("x", "--url", f"{url}/elsewhere")

        assert 1 == result.exit_code
        assert "no driftd of this version answers there" in result.stderr


class TestWords:
    def test_everything_that_is_known_is_said(self) -> None:
        told = alert(
            change="location", rank=2, together=7, histogram=HISTOGRAM, details={"method": "grid"}, state=RESOLVED
        )
        said = " ".join(to_text([Known(told, {"pager": {"accepted": 1.0, "delay_s": 0.25}})]).split())

        for words in (
            "sev3 credit 7: feature_drift of feature.a|region=eu (resolved)",
            "a has drifted",
            "psi 0.3142, the true value lying in 0.28 to 0.35 (about 95 %)",
            "location: the values as a whole have moved up or down",
            "31.5 nats, 9.2 were needed: with the true value at the threshold",
            "so extreme a one is seen at most once in 47.9 trillion looks",
            "(the budget asks for once in 9,897)",
            "12,000 samples in a window of 10.0 minutes",
            "2027-01-15 07:58:30Z (estimate)",
            "2027-01-15 08:00:00Z, 1.5 minutes after that",
            "pager 0.2 s after the decision",
            "2027-01-15 08:01:00Z, after 1.0 minutes",
            "number 2 of 7 that began together: look at number 1 first",
            "ref-abc",
            "grid",
            "risk-team",
            "https://runbooks.example/drift",
            "dedup_key key-a, incident inc-1",
            "reference (24,000)",
            "now (906)",
            "+40.0 points",
        ):
            assert words in said

    def test_bars_are_drawn_to_one_scale(self) -> None:
        lines = to_text([known("a", histogram=HISTOGRAM)]).splitlines()
        (longest,) = [line for line in lines if line.strip().startswith("above 3")]
        reference, now = longest.split("%")[:2]

        assert (13, 24) == (reference.count("█"), now.count("█"))

    def test_several_are_listed_first(self) -> None:
        first = to_text([known("a"), known("b")]).splitlines()[:2]

        assert [True, True] == [line.strip().startswith(f"{place}.") for place, line in enumerate(first, 1)]

    def test_drill_says_so(self) -> None:
        assert "[DRILL] credit 7" in to_text([known("a", is_drill=True)])

    def test_foreign_text_is_neither_markup_nor_escape_code(self) -> None:
        hostile = known(
            "a",
            key=StreamKey("[red]m[/]", "", "\x1b[31mf"),
            summary="[bold]x[/",
            histogram=replace(HISTOGRAM, labels=("[b]", "\x1b", "c")),
        )
        text = to_text([hostile])

        assert "[red]m[/]" in text
        assert "[bold]x[/" in text
        assert "\x1b" not in text

    def test_unknown_numbers_are_words_for_people_and_null_for_programs(self) -> None:
        odd = known("a", value=math.nan, interval=(-math.inf, math.nan), evidence=math.nan, since_s=math.nan)
        (told,) = json.loads(to_json([odd]), parse_constant=pytest.fail)["alerts"]

        assert "psi unknown" in to_text([odd])
        assert told["value"] is None
        assert told["chance_max"] is None

    @pytest.mark.parametrize(
        ("nats", "words"),
        [
            (-3.0, "once in 1 looks"),
            (1.0, "once in 2.7 looks"),
            (5.0, "once in 148 looks"),
            (16.0, "once in 8.89 million looks"),
            (80.0, "once in 10^35 looks"),
        ],
    )
    def test_rarity_of_a_look_is_told_in_numbers_that_people_know(self, nats: float, words: str) -> None:
        assert words in told_of(evidence=nats)

    @pytest.mark.parametrize(
        ("nats", "words"),
        [
            (-math.inf, "once in 0 seconds"),
            (3.0, "once in 30 seconds"),
            (8.0, "once in 75 minutes"),
            (16.665, "once in 300 days"),
            (18.0, "once in 3.1 years"),
            (69.0, "once in more than 1,000 years"),
            (math.nan, "once in an unknown time"),
        ],
    )
    def test_odds_are_told_as_the_time_between_false_alarms(self, nats: float, words: str) -> None:
        assert f"without a change, evidence this strong comes {words} on average" in told_of(
            statistic="drift", evidence=nats
        )

    def test_what_the_budget_asks_for_comes_back_as_it_was_shared_out(self) -> None:
        needed = Budget(pages=1.0, period_s=30 * 86400.0).drift_nats(streams=5)  # half of the pages is for drift

        assert "(the budget asks for once in 300 days)" in told_of(statistic="drift", evidence_needed=needed)

    def test_rate_is_told_by_its_odds_red_or_not_and_however_it_was_measured_last(self) -> None:
        for changed in ({}, {"band": Band.RED}, {"window_s": 64.0}):
            said = told_of(statistic="p95", **changed)
            assert "with the true value within the threshold, evidence this strong comes once in" in said

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"statistic": "silence", "evidence": 700.0}, "how long nothing came is known, not estimated"),
            ({"statistic": "silence", "evidence": 20.0}, "once in 485 million looks"),
            ({"statistic": "anomaly"}, "no budget is kept"),
            ({"statistic": "adwin"}, "no budget is kept"),
            ({"statistic": "none-of-ours"}, "4.84 billion times as rare by chance as the budget asks for"),
        ],
    )
    def test_no_more_is_said_of_evidence_than_what_it_is(self, changes: dict[str, Any], words: str) -> None:
        assert words in told_of(**changes)

    @pytest.mark.parametrize(
        ("statistic", "expected"),
        [
            ("drift", ("false_alarms_every_s", 30.13, 11.08)),
            ("psi", ("chance_max", 0.0498, 0.1353)),
        ],
    )
    def test_programs_are_told_the_same(self, statistic: str, expected: tuple[str, float, float]) -> None:
        (told,) = json.loads(to_json([known("a", statistic=statistic, evidence=3.0, evidence_needed=2.0)]))["alerts"]
        name, value, needed = expected
        (other,) = {"false_alarms_every_s", "chance_max"} - {name}

        assert (value, needed) == pytest.approx((told[name], told[f"{name}_needed"]), rel=1e-2)
        assert [None, None] == [told[other], told[f"{other}_needed"]]


def test_explanation_says_what_the_reference_was_made_from() -> None:
    assert "made from run 9197a2255aa1, version fraud/7" in told_of(
        lineage=Lineage("mlflow", "9197a2255aa1", "fraud/7")
    )
    assert "made from" not in told_of()


@pytest.mark.parametrize("field", ["features.a", "prediction", "label", "correct"])
def test_explanation_says_what_the_sort_of_drift_means(field: str) -> None:
    sort = sort_of("psi", field)

    assert f"drift {sort}: {SORTS[sort]}" in told_of(key=StreamKey("fraud", "1", field))
    assert f"{sort}: " not in told_of(key=StreamKey("fraud", "1", field), statistic="null_rate")


def test_every_sort_of_drift_is_explained() -> None:
    assert {CONCEPT, *OTHERS} == SORTS.keys()


def test_lineage_comes_through_the_api() -> None:
    told = alert("a", lineage=Lineage("wandb", "79kg35jo", "scored:v3"))

    assert told.lineage == alert_of(alert_dict(told)).lineage
    older = {name: value for name, value in alert_dict(told).items() if name not in Lineage._fields}
    assert Lineage() == alert_of(older).lineage
