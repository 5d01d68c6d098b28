"""What the documents claim, held to the code: commands, configuration, events, rules, metrics, links, exit codes."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import typer.main
from pydantic import TypeAdapter

from monitor import cli, commands, gate_cli
from monitor.build import references, sinks
from monitor.config import BUILT_IN_RULES, load_settings
from monitor.config.http import PORT
from monitor.config.settings import ReceiverSettings
from monitor.config.thresholds import STATISTICS, Threshold, complete_rule
from monitor.decode.canonical import WIRE_NAMES
from monitor.decode.outcomes import OUTCOME_KINDS
from monitor.domain import Reason, Rejection
from monitor.metrics import markdown_table
from monitor.replaying import transition_dict
from monitor.sinks.webhook import WebhookParams, WebhookSink
from tests.unit.sinks.examples import notice

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
SECRET: Final = "hunter2-hunter2-hunter2"
ENVIRONMENT: Final = {"KAFKA_PASSWORD": SECRET, "ON_CALL_URL": "https://example.com/hook", "ON_CALL_SECRET": SECRET}
"""What the examples take from the environment."""
FENCE: Final = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\]\(([^()\s]+)\)")
COMMAND: Final = re.compile(r"(?:^ {4,}(?:\$ )?|`)driftd ((?:[a-z]+ ?)+)([^`\n]*)", re.MULTILINE)
"""`driftd check -c file` in text, or at the start of a line of a block."""
OPTION: Final = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
COMMANDS: Final[dict[str, Any]] = vars(typer.main.get_command(cli.cli))["commands"]


def fenced(language: str) -> list[str]:
    """Give the README's blocks in a language, without the indentation of the list they may stand in."""
    found = [(m[1], m[3]) for m in FENCE.finditer(README) if m[2] == language]
    return ["".join(line.removeprefix(indent) for line in text.splitlines(keepends=True)) for indent, text in found]


def section(title: str) -> str:
    """Give the README's text under a heading, up to the next heading."""
    _, _, rest = README.partition(f"# {title}\n")
    assert rest, f"README has no heading {title!r}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    """Give what stands in backticks in the first column of the tables of a text."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


# ---- commands


def mentioned() -> Iterator[tuple[str, str]]:
    """Give each command that any page mentions, with the rest of its line."""
    for page in PAGES:
        for match in COMMAND.finditer(page.read_text(encoding="utf-8")):
            yield match[1].strip(), match[2]


def command_of(words: list[str]) -> Any | None:  # noqa: ANN401 - typer holds a click of its own, whose types it does not export
    """Give the command that the first words name; None where there is none."""
    found = COMMANDS.get(words[0])
    inner = getattr(found, "commands", None)
    return found if inner is None else inner.get(words[1]) if len(words) > 1 else None


def test_pages_mention_every_command() -> None:
    named = {words.split()[0] for words, _ in mentioned()}

    assert set(COMMANDS) <= named | {"version"}


@pytest.mark.parametrize(("words", "rest"), sorted(set(mentioned())))
def test_commands_and_options_exist(words: str, rest: str) -> None:
    found = command_of(words.split())
    if words == "baseline" and found is None:
        return
    assert found is not None, f"there is no `driftd {words}`"

    known = {option for parameter in found.params for option in parameter.opts}

    assert set(OPTION.findall(rest.partition("|")[0])) <= known


def test_exit_codes_are_those_of_the_command_line() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)}

    assert {0, commands.FAILED, commands.USAGE, gate_cli.NOT_YET, commands.CONFIG} == codes


# ---- configuration


@pytest.mark.parametrize("text", fenced("yaml"))
def test_configurations_load_and_can_be_run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "driftd.yaml"
    path.write_text(text, encoding="utf-8")

    settings = load_settings(path, ENVIRONMENT)

    assert [] == references(settings, str(tmp_path))
    assert sinks(settings)


def test_environment_variables_are_options() -> None:
    given = dict(re.findall(r"`(DRIFTD_\w+__\w+)='?([^`']+)'?`", README))

    assert len(given) >= 2
    load_settings(None, {"DRIFTD_KAFKA__TOPICS": "t", **given})  # raises on a name or value that is none


def test_options_that_are_named_exist() -> None:
    settings = load_settings(None, {"DRIFTD_KAFKA__TOPICS": "t"})
    sections = "|".join(type(settings).model_fields)
    named = set(re.findall(rf"`(?:({sections})\.(?!jsonl)(\w+))(?:: [^`]+)?`", README))

    assert len(named) >= 10
    assert set() == {(name, option) for name, option in named if not hasattr(getattr(settings, name), option)}


def test_port_and_receivers_are_those_of_the_code() -> None:
    types = ReceiverSettings.model_json_schema()["properties"]["type"]["enum"]

    assert f"127.0.0.1:{PORT}" in section("HTTP")
    assert set(types) == set(re.findall(r"^\* `(\w+)`", section("Receivers"), re.MULTILINE))


# ---- events


def test_every_field_of_an_event_is_listed() -> None:
    assert WIRE_NAMES == first_cells(section("Events"))
    assert set(OUTCOME_KINDS) <= set(re.findall(r"`(\w+)`", section("Events")))


def test_every_reason_of_a_rejection_is_listed() -> None:
    assert {str(reason) for reason in Rejection} == first_cells(section("Rejected messages"))


# ---- rules and alerts


def test_every_statistic_is_listed() -> None:
    statistics = section("What is watched").partition("These rules")[0]

    assert set(STATISTICS) == first_cells(statistics)


def test_built_in_rules_are_listed_as_they_are() -> None:
    rows = [line for line in section("What is watched").partition("These rules")[2].splitlines() if line[:3] == "| `"]

    assert [_rule_row(name) for name in BUILT_IN_RULES] == rows


def _rule_row(name: str) -> str:
    rule = Threshold.model_validate(complete_rule(name, {}))
    side = ">" if rule.direction == "above" else "<"
    fields = ", ".join(f"`{field}`" for field in rule.fields)
    severities = ", ".join(severity.label for severity in rule.severities)
    return f"| `{name}` | `{rule.statistic}` of {fields} | {side} {rule.yellow} | {side} {rule.red} | {severities} |"


def test_every_reason_of_a_transition_is_listed() -> None:
    assert {str(reason) for reason in Reason} == first_cells(section("Alerts"))


def test_every_field_of_the_alerts_file_is_listed() -> None:
    assert set(transition_dict(notice().transition)) == first_cells(section("Replay"))


def test_signature_check_takes_what_the_webhook_sends_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    (text,) = fenced("python")
    exec(text, names)  # the page's own words
    params = TypeAdapter(WebhookParams).validate_python({"url": "https://example.com/hook", "secret": SECRET})
    sink = WebhookSink("hook", params)
    headers = dict(sink._headers("msg_1", b"{}", time.time()))

    assert names["is_genuine"](SECRET.encode(), headers, b"{}")
    assert not names["is_genuine"](SECRET.encode(), headers, b"{ }")
    assert not names["is_genuine"](b"another", headers, b"{}")
    assert not names["is_genuine"](SECRET.encode(), {**headers, "webhook-timestamp": "1"}, b"{}")


# ---- metrics


def test_table_of_metrics_is_that_of_the_code() -> None:
    written = README.partition("<!-- metrics: begin")[2].partition("-->\n")[2].partition("<!-- metrics: end")[0]
    table = markdown_table()

    assert table[table.index("| metric |") :].strip() == written.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_metrics_that_are_named_exist(page: Path) -> None:
    known = markdown_table()
    named = set(re.findall(r"`(driftd_[a-z_]+[a-z])(?:\{[^`]*\})?`", page.read_text(encoding="utf-8")))

    assert set() == {name for name in named if f"`{name}`" not in known}


# ---- benchmarks


def test_every_benchmark_is_described() -> None:
    folder = ROOT / "benchmarks"
    found = {path.stem for path in folder.glob("*.py") if "def main(" in path.read_text(encoding="utf-8")}
    found |= {path.parent.name for path in folder.glob("*/__main__.py")}
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")

    assert found == set(re.findall(r"^## `(\w+)`", page, re.MULTILINE))


# ---- links, and what may not be said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]

    broken = [link for link in links if not _leads_somewhere(page, *link.partition("#")[::2])]

    assert [] == broken


def _leads_somewhere(page: Path, path: str, anchor: str) -> bool:
    target = page.parent / path if path else page
    if not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_no_persons_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [] == [word for word in ("/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "/tm" + "p/rd") if word in text]


def test_picture_has_words_and_fits_both_themes() -> None:
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")

    assert "<title" in picture
    assert "<desc" in picture
    assert "prefers-color-scheme: dark" in picture
