"""Fixtures that start the real parts of a test run, and the account of which of them took part.

On a person's machine a missing part skips the tests that need it; in CI (CI=true) it fails them. There, a run of the
whole suite also fails where the real broker, Prometheus or Alertmanager took no part in it.

With pytest-xdist (`pytest -n 4 --dist loadfile`, as `make test` does) the tests run in worker processes. Each worker
hands its account to the controller, which prints and judges the sum. Files that share a broker stay in one worker:
those of the scaled form have one, all others another.
"""

from __future__ import annotations

import contextlib
import gc
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar

import pytest

from tests.support.alertmanager import Alertmanager, AlertmanagerFactory
from tests.support.kafka import Kafka, start_kafka
from tests.support.missing import is_ci, missing
from tests.support.process import Unavailable
from tests.support.prometheus import Prometheus, PrometheusFactory
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xdist.scheduler import LoadFileScheduling as Scheduling

_KAFKA: Final = "Kafka"
_REQUIRED_IN_CI: Final = (_KAFKA, Prometheus.__name__, Alertmanager.__name__)
_INTEGRATION: Final = "tests/integration/"
# Those of the scaled form take as long as all others: the two run side by side, each with a broker of its own.
_SCALED: Final = tuple(f"{_INTEGRATION}test_{name}.py" for name in ("relay", "scaleout", "storm", "takeover", "topics"))
# Files of integration that use no broker of `kafka`.
_ON_THEIR_OWN: Final = tuple(f"{_INTEGRATION}test_{name}.py" for name in ("demo", "deploy", "sinks"))
_SHARED_DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(slots=True)
class TakingPart:
    """What took part in this run: a line for people on each, which were real, and why better brokers were not used."""

    lines: dict[str, str] = field(default_factory=dict)
    real: set[str] = field(default_factory=set)
    passed_over: list[str] = field(default_factory=list)

    def add(self, other: TakingPart) -> None:
        """Add what took part elsewhere in the same run."""
        self.lines |= other.lines
        self.real |= other.real
        self.passed_over += [reason for reason in other.passed_over if reason not in self.passed_over]


_TAKING_PART: Final = pytest.StashKey[TakingPart]()
_WORKER_OUTPUT: Final = "driftd_taking_part"  # among what a worker of pytest-xdist hands to the controller


@pytest.fixture(scope="session")
def kafka(taking_part: TakingPart) -> Iterator[Kafka]:
    """The broker of this run, of whichever kind. Topics are shared by all tests: give each test names of its own."""
    try:
        broker, taking_part.passed_over = start_kafka()
    except Unavailable as reason:
        missing(str(reason))
    taking_part.lines[_KAFKA] = f"{_KAFKA}: {broker.kind} ({broker.version}) at {broker.bootstrap_servers}"
    with contextlib.closing(broker):
        yield broker


@pytest.fixture(scope="session")
def kafka_real(kafka: Kafka, taking_part: TakingPart) -> Kafka:
    """The broker of this run, where it is a real one."""
    if kafka.kind == "embedded":
        missing(f"no real Kafka broker ({'; '.join(taking_part.passed_over) or 'the embedded one was asked for'})")
    taking_part.real.add(_KAFKA)
    return kafka


@pytest.fixture(scope="session")
def prometheus_factory(taking_part: TakingPart) -> Iterator[PrometheusFactory]:
    """Starts Prometheus as the class does; what a test leaves open is closed at the end of the run."""
    with contextlib.ExitStack() as started:
        yield _factory(Prometheus, started, taking_part)


@pytest.fixture(scope="session")
def alertmanager_factory(taking_part: TakingPart) -> Iterator[AlertmanagerFactory]:
    """Starts Alertmanager as the class does; what a test leaves open is closed at the end of the run."""
    with contextlib.ExitStack() as started:
        yield _factory(Alertmanager, started, taking_part)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP receiver of this test's own."""
    with Receiver() as started:
        yield started


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the repository."""
    if not _SHARED_DATA.is_dir():
        missing(f"no folder {_SHARED_DATA.parent.name}/{_SHARED_DATA.name} beside the repository")
    return _SHARED_DATA


@pytest.fixture(scope="session")
def taking_part(pytestconfig: pytest.Config) -> TakingPart:
    return pytestconfig.stash[_TAKING_PART]


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_kept_for_ever() -> Iterator[None]:
    """Let go of what loops that ran here have frozen: garbage in cycles would be kept until the worker ends."""
    yield
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TAKING_PART] = TakingPart()


def pytest_report_header() -> str:
    return f"driftd: real parts are {'required (CI)' if is_ci() else 'used where this machine has them'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker, what waits for real parts comes first: unit tests fill the time of the other workers."""
    if _output_of_worker(config) is not None:
        items.sort(key=lambda item: not item.nodeid.startswith(_INTEGRATION))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """Hand out whole files to the workers, and the files that share a real part as one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - not needed where there are no workers

    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = unit_of_work
    return scheduling


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: _Worker, error: object) -> None:
    """Take over the account of a worker that has ended; one that crashed has none."""
    output: Mapping[str, Any] = getattr(node, "workeroutput", {})
    if _WORKER_OUTPUT in output:
        node.config.stash[_TAKING_PART].add(TakingPart(**output[_WORKER_OUTPUT]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = _output_of_worker(session.config)
    if output is not None:
        output[_WORKER_OUTPUT] = asdict(session.config.stash[_TAKING_PART])
        return
    if _missing_parts(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    taking_part = config.stash[_TAKING_PART]
    lines = "; ".join(taking_part.lines.values())
    terminalreporter.write_line(f"driftd: took part: {lines or 'no broker, Prometheus or Alertmanager'}")
    for reason in taking_part.passed_over:
        terminalreporter.write_line(f"driftd: passed over {reason}")
    for part in _missing_parts(config):
        terminalreporter.write_line(
            f"driftd: FAILED: no real {part} took part in this run of the whole suite", red=True
        )


def unit_of_work(nodeid: str) -> str:
    """Give what one worker runs in one go: a file, or all files of integration that are not known to share nothing."""
    file = nodeid.split("::", 1)[0]
    if not file.startswith(_INTEGRATION) or file in _ON_THEIR_OWN:
        return file
    return f"{_INTEGRATION}scaled" if file in _SCALED else _INTEGRATION


class _Worker(Protocol):
    """What xdist knows of a worker; it publishes no types. config: the controller's."""

    config: pytest.Config


class _Part(Protocol):
    version: str

    def close(self) -> None: ...


_Made = TypeVar("_Made", bound=_Part)
_Arguments = ParamSpec("_Arguments")


def _factory(
    make: Callable[_Arguments, _Made], started: contextlib.ExitStack, taking_part: TakingPart
) -> Callable[_Arguments, _Made]:
    """Give make, with its parts closed by started, counted as taking part, and missing as a skip or a failure."""

    def start(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Made:
        try:
            part = make(*args, **options)
        except Unavailable as reason:
            missing(str(reason))
        started.callback(part.close)
        name = type(part).__name__
        taking_part.lines[name] = f"{name}: {part.version}"
        taking_part.real.add(name)
        return part

    return start


def _missing_parts(config: pytest.Config) -> list[str]:
    """Give the required parts that took no part, where this is a run that must have them all."""
    if not is_ci() or not _is_whole_suite(config):
        return []
    return [part for part in _REQUIRED_IN_CI if part not in config.stash[_TAKING_PART].real]


def _output_of_worker(config: pytest.Config) -> dict[str, Any] | None:
    """Give what this process will hand to the controller, if it is a worker of pytest-xdist."""
    return getattr(config, "workeroutput", None)


def _is_whole_suite(config: pytest.Config) -> bool:
    narrowing = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "collectonly", "lf")
    is_unnarrowed = not any(config.getoption(option, default=None) for option in narrowing)
    return is_unnarrowed and config.args_source is not pytest.Config.ArgsSource.ARGS
