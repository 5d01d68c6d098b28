"""Reading a changed file while the daemon runs: what is swapped at once, what needs a restart, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import structlog
import yaml

from monitor import build, logs
from monitor.config import Settings, load_settings
from monitor.errors import ConfigError
from monitor.reloading import Reloader

if TYPE_CHECKING:
    from monitor.reloading import Reloaded

SECRET: Final = "hunter2-hunter2-hunter2"
WINDOWS: Final = ["10s", "1m"]
HOOK: Final = {"type": "webhook", "url": "https://hook.example.com/a", "secret": SECRET}
ALERTMANAGER: Final = {"type": "alertmanager", "urls": ["https://a.example.com:9093", "https://b.example.com:9093"]}
BEFORE: Final[dict[str, Any]] = {
    "kafka": {"topics": ["events"]},
    "alerts": {"windows": WINDOWS, "owner": "me", "runbook": "book", "samples_min": 100},
    "receivers": {"log": {"type": "log"}, "hook": HOOK, "am": ALERTMANAGER},
    "models": [{"match": "m", "thresholds": {"unsafe_rate": {"yellow": 0.05, "red": 0.1}}}],
}


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    yield
    logs.set_level("info")
    structlog.reset_defaults()


class File:
    """A configuration file that is written anew, and who reads it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "driftd.yaml"
        self.write()
        self.reload: Final = Reloader(self.load, self.load())

    def load(self) -> Settings:
        return load_settings(self._path, {})

    def write(self, **sections: Any) -> None:  # noqa: ANN401 - whatever a file may hold
        """Write the file as it was at first, but for some sections; None leaves one out."""
        held = {name: value for name, value in {**BEFORE, **sections}.items() if value is not None}
        self._path.write_text(yaml.safe_dump(held), encoding="utf-8")

    def after(self, **sections: Any) -> Reloaded:  # noqa: ANN401
        self.write(**sections)
        return self.reload()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def alerts(**changes: object) -> dict[str, Any]:
    return {**BEFORE["alerts"], **changes}


def red_of(found: Reloaded, model: str = "m") -> float:
    """Give the red limit of a model's rule on unsafe answers."""
    (rule,) = [each for each in found.terms.plan_of(model, "1").rules if each.name == "unsafe_rate"]
    assert rule.red is not None
    return rule.red.value


def test_same_file_changes_nothing(file: File) -> None:
    found = file.reload()

    assert ((), ()) == (found.changed, found.needs_restart)
    assert {sink.name for sink in found.sinks} == found.same


class TestSwapped:
    def test_thresholds(self, file: File) -> None:
        assert 0.1 == red_of(file.reload())
        found = file.after(models=[{"match": "m", "thresholds": {"unsafe_rate": {"yellow": 0.05, "red": 0.3}}}])

        assert (0.3, ("models",), ()) == (red_of(found), found.changed, found.needs_restart)

    def test_budget(self, file: File) -> None:
        found = file.after(alerts=alerts(false_alarm_budget=7.0))

        assert (7.0, ("alerts.false_alarm_budget",)) == (found.terms.budget.pages, found.changed)

    def test_receiver_that_changed_is_made_anew_and_the_others_go_on(self, file: File) -> None:
        hook = {**HOOK, "url": "https://hook.example.com/b"}
        found = file.after(receivers={**BEFORE["receivers"], "hook": hook})

        names = [sink.name for sink in found.sinks]
        assert 4 == len(names)
        assert set(names) - {"hook"} == found.same
        assert all(path.startswith("receivers.hook") for path in found.changed)
        assert not found.needs_restart

    def test_all_replicas_of_a_receiver_are_made_anew_together(self, file: File) -> None:
        am = {**ALERTMANAGER, "urls": [*ALERTMANAGER["urls"][:1], "https://c.example.com:9093"]}
        found = file.after(receivers={**BEFORE["receivers"], "am": am})

        assert {"log", "hook"} == found.same

    def test_receivers_come_and_go(self, file: File) -> None:
        found = file.after(receivers={"log": {"type": "log"}, "new": HOOK})

        assert (["log", "new"], {"log"}) == ([sink.name for sink in found.sinks], set(found.same))
        assert {"receivers.hook", "receivers.am", "receivers.new"} == set(found.changed)

    def test_what_was_swapped_in_is_what_the_next_reload_compares_with(self, file: File) -> None:
        file.after(receivers={"log": {"type": "log"}, "new": HOOK})
        found = file.reload()

        assert ((), {"log", "new"}) == (found.changed, set(found.same))

    def test_log_level(self, file: File, capsys: pytest.CaptureFixture[str]) -> None:
        logs.set_up("info", "json")
        structlog.get_logger().info("before")
        found = file.after(log={"level": "error"})
        structlog.get_logger().info("after")

        assert ("before" in (err := capsys.readouterr().err), "after" in err) == (True, False)
        assert ("log.level",) == found.changed

    def test_alerts_about_driftd_itself(self, file: File) -> None:
        found = file.after(selfwatch={"no_data_s": 77, "conditions": {"lag": {"enabled": False}}})

        assert (77.0, False) == (found.watch.no_data_s, found.watch.handling("lag").is_on)
        assert {"selfwatch.no_data_s", "selfwatch.conditions.lag"} == set(found.changed)

    def test_owner_of_alerts_is_the_owner_of_those_about_driftd(self, file: File) -> None:
        assert "you" == file.after(alerts=alerts(owner="you")).watch.owner


class TestNeedsRestart:
    @pytest.mark.parametrize(
        ("sections", "options"),
        [
            ({"kafka": {"topics": ["others"], "group_id": "g"}}, {"kafka.topics", "kafka.group_id"}),
            ({"time": {"pane_s": 2}}, {"time.pane_s"}),
            ({"log": {"format": "json"}}, {"log.format"}),
            ({"http": {"port": 4000}}, {"http.port"}),
            ({"state": {"directory": "elsewhere"}}, {"state.directory"}),
        ],
    )
    def test_options_are_named_and_not_in_force(self, file: File, sections: dict[str, Any], options: set[str]) -> None:
        found = file.after(**sections)

        assert (options, ()) == (set(found.needs_restart), found.changed)

    def test_they_are_named_at_every_reload_until_the_restart(self, file: File) -> None:
        file.after(http={"port": 4000})

        assert ("http.port",) == file.reload().needs_restart
        assert () == file.after().needs_restart, "as it was at the start"

    def test_what_models_are_counted_by_is_said_to_wait(self, file: File) -> None:
        found = file.after(models=[{**BEFORE["models"][0], "segments": ["country"]}])

        assert ("models",) == found.changed
        assert ["models (features and segments, of models that were seen already)"] == list(found.needs_restart)

    def test_models_that_come_with_thresholds_alone_need_none(self, file: File) -> None:
        found = file.after(models=[{"match": "other", "thresholds": {"unsafe_rate": {"red": 0.2}}}, *BEFORE["models"]])

        assert (("models",), ()) == (found.changed, found.needs_restart)

    def test_no_value_is_told_only_options(self, file: File) -> None:
        kafka = {**BEFORE["kafka"], "security_protocol": "sasl_ssl", "sasl_mechanism": "PLAIN"}
        found = file.after(
            kafka={**kafka, "sasl_username": "u", "sasl_password": SECRET},
            receivers={"log": {"type": "log"}, "hook": {**HOOK, "secret": f"{SECRET}-2"}},
        )

        assert "kafka.sasl_password" in found.needs_restart
        assert SECRET not in repr((found.changed, found.needs_restart))


class TestRefused:
    @pytest.mark.parametrize(
        ("sections", "said"),
        [
            ({"alerts": alerts(windows=["10s", "5m"])}, "alerts.windows: the set of windows .* restart driftd"),
            ({"models": [{"match": "m", "thresholds": {"no_such": {"red": 1}}}]}, "no_such"),
            ({"receivers": {"hook": {**HOOK, "url": "ftp://x"}}}, "receivers.hook: url must start"),
            ({"kafka": {"topics": ["events"], "librdkafka": {"no.such": "1"}}}, "no.such"),
            ({"log": {"level": "loud"}}, "log.level"),
            ({"kafka": None}, "kafka.topics"),
        ],
    )
    def test_bad_file_changes_nothing(
        self, file: File, sections: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        logs.set_up("info", "json")
        with pytest.raises(ConfigError, match=f"(?s){said}"):
            file.after(log=sections.pop("log", {"level": "error"}), **sections)
        structlog.get_logger().info("still said")
        found = file.after()

        assert "still said" in capsys.readouterr().err
        assert ((), ()) == (found.changed, found.needs_restart)
        assert {sink.name for sink in found.sinks} == found.same

    def test_file_that_is_gone_changes_nothing(self, file: File, tmp_path: Path) -> None:
        (tmp_path / "driftd.yaml").unlink()
        with pytest.raises(ConfigError):
            file.reload()
        found = file.after()

        assert ((), ()) == (found.changed, found.needs_restart)

    def test_sinks_that_were_made_before_the_bad_one_are_let_go(
        self, file: File, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody who tries again and again must not leave connections behind each time."""
        made: list[str] = []
        closed: list[str] = []
        of = build.sinks_of

        def noting(settings: Settings, name: str) -> list[Any]:
            sinks: list[Any] = of(settings, name)
            for sink in sinks:
                made.append(sink.name)
                monkeypatch.setattr(sink, "close", lambda own=sink.name: closed.append(own), raising=False)
            return sinks

        monkeypatch.setattr(build, "sinks_of", noting)
        with pytest.raises(ConfigError):
            file.after(receivers={"hook": HOOK, "last": {**HOOK, "url": "ftp://x"}})

        assert ["hook"] == made == closed


def test_windows_may_move_between_rules_as_long_as_all_of_them_are_the_same(file: File) -> None:
    """What is counted is by the set of them all."""
    rule: dict[str, Any] = {"yellow": 0.05, "red": 0.1, "windows": ["1m"]}

    assert ("models",) == file.after(models=[{"match": "m", "thresholds": {"unsafe_rate": rule}}]).changed
