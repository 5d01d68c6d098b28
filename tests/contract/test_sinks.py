"""What every sink must do, whichever it is; a new one is under test once its line stands in SINKS."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from pydantic import TypeAdapter, ValidationError

from monitor.domain import AlertState
from monitor.errors import SinkError
from monitor.sinks import SINKS
from monitor.sinks.base import REASONS
from tests.unit.sinks.examples import START_S, notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from monitor.sinks.base import Notice, Sink
    from tests.support.receiver import Receiver

SECRET: Final = "hunter2-hunter2-hunter2"
KINDS: Final = sorted(SINKS)
OVER_NETWORK: Final = [name for name in KINDS if name != "log"]


def _raw(kind: str, address: str) -> dict[str, Any]:
    """The least configuration of each kind, as it comes out of a file, with every secret that it knows."""
    http = {"bearer_token": SECRET, "headers": {"X-Key": SECRET}}
    return {
        "log": {},
        "alertmanager": {"urls": [address], "http": http},
        "webhook": {"url": f"{address}/{SECRET}", "secret": SECRET, "http": {**http, "allow_internal": True}},
    }[kind]


def _params(kind: str, raw: Mapping[str, Any]) -> Any:  # noqa: ANN401 - each kind has its own
    return TypeAdapter(SINKS[kind].params).validate_python(raw)


@pytest.fixture
def sinks(request: pytest.FixtureRequest, receiver: Receiver) -> Iterator[Sequence[Sink]]:
    """The sinks of the kind that the test is parametrised with, telling the receiver of this test."""
    made = SINKS[request.param].make("the receiver", _params(request.param, _raw(request.param, receiver.url)))
    yield made
    for sink in made:
        sink.close()


every_kind = pytest.mark.parametrize("kind", KINDS)
every_sink = pytest.mark.parametrize("sinks", KINDS, indirect=True)
every_network_sink = pytest.mark.parametrize("sinks", OVER_NETWORK, indirect=True)


def _deliver(sink: Sink, notices: Sequence[Notice]) -> None:
    for start in range(0, len(notices), sink.terms.notices_max):
        sink.deliver(notices[start : start + sink.terms.notices_max], START_S)


@every_kind
def test_params_are_a_frozen_dataclass_and_refuse_unknown_names(kind: str) -> None:
    params = _params(kind, _raw(kind, "http://receiver.example"))

    assert is_dataclass(params)
    if fields(params):
        with pytest.raises(FrozenInstanceError):
            setattr(params, fields(params)[0].name, "other")
    with pytest.raises(ValidationError, match="misspelt"):
        _params(kind, {**_raw(kind, "http://receiver.example"), "misspelt": 1})


@every_kind
def test_params_tell_no_secrets(kind: str) -> None:
    assert SECRET not in repr(_params(kind, _raw(kind, "http://receiver.example")))


@pytest.mark.parametrize("kind", OVER_NETWORK)
def test_refused_params_tell_no_secrets(kind: str) -> None:
    for broken in ({"timeout_s": -1}, {"misspelt": 1}, {"http": {"bearer_token": SECRET, "username": SECRET}}):
        with pytest.raises(ValidationError) as raised:
            _params(kind, {**_raw(kind, "http://receiver.example"), **broken})
        assert SECRET not in str(raised.value)


@every_kind
def test_making_a_sink_starts_nothing(kind: str, receiver: Receiver) -> None:
    threads = threading.active_count()
    made = SINKS[kind].make("the receiver", _params(kind, _raw(kind, receiver.url)))

    assert made
    assert len({sink.name for sink in made}) == len(made)
    assert all(sink.name.startswith("the receiver") and SECRET not in sink.name for sink in made)
    assert threading.active_count() == threads
    assert receiver.requests == []
    for sink in made:
        sink.close()


@every_sink
def test_terms_stay_the_same(sinks: Sequence[Sink]) -> None:
    for sink in sinks:
        before = sink.terms
        _deliver(sink, [notice()])
        assert sink.terms == before


@every_sink
def test_bears_any_states_and_being_told_twice(sinks: Sequence[Sink]) -> None:
    for sink in sinks:
        states = list(AlertState) if sink.terms.is_every_change_told else [AlertState.FIRING, AlertState.RESOLVED]
        for state in (*states, *reversed(states)):
            for _ in range(2):
                _deliver(sink, [notice(state=state)])


@every_sink
@pytest.mark.parametrize(
    "name", ["line\nbreak", 'quote"brace}', "größe 漢字", "x" * 5000, "\ud800", "\u202etxt", "\x00"]
)
def test_bears_any_name(sinks: Sequence[Sink], receiver: Receiver, name: str) -> None:
    """Names come from events, so from anybody."""
    for sink in sinks:
        _deliver(sink, [notice(name)])
    for request in receiver.requests:
        request.json()


@every_sink
def test_takes_as_many_as_it_says(sinks: Sequence[Sink], receiver: Receiver) -> None:
    for sink in sinks:
        sink.deliver([notice(str(index)) for index in range(sink.terms.notices_max)], START_S)
        assert len(receiver.requests) <= 1


@every_network_sink
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 408, 410, 422, 429, 500, 502, 503, 504])
def test_trouble_is_a_sink_error_with_a_bounded_reason(sinks: Sequence[Sink], receiver: Receiver, status: int) -> None:
    receiver.answer_always(status)
    for sink in sinks:
        with pytest.raises(SinkError) as raised:
            _deliver(sink, [notice()])
        assert raised.value.reason in REASONS
        assert raised.value.is_retryable == (status in {408, 429} or status >= 500)
        assert SECRET not in f"{raised.value} {raised.value.__cause__}"


@every_network_sink
def test_nobody_there_is_unreachable_and_retried(sinks: Sequence[Sink], receiver: Receiver) -> None:
    receiver.close()
    for sink in sinks:
        with pytest.raises(SinkError) as raised:
            _deliver(sink, [notice()])
        assert (raised.value.reason, raised.value.is_retryable) == ("unreachable", True)


@every_network_sink
def test_works_again_after_trouble(sinks: Sequence[Sink], receiver: Receiver) -> None:
    receiver.answer_next(500)
    for sink in sinks:
        with pytest.raises(SinkError):
            _deliver(sink, [notice()])
        _deliver(sink, [notice()])

    assert len(receiver.requests) == 2
