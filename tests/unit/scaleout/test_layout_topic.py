"""Layouts by their topic: all that there are, also where brokers come later."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest

from monitor.domain import Kind
from monitor.embedded import EmbeddedBroker
from monitor.errors import SourceError
from monitor.layouts import Laid, Layout
from monitor.relay import layout_topic
from monitor.relay.layout_topic import LayoutReader, LayoutWriter
from tests.support.sources import Told

TOPIC = "layouts"
LAYOUTS = [Layout(f"model-{number}", "1", (Laid("", "latency_s", Kind.LOG),)) for number in range(3)]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({TOPIC: 1}) as made:
        yield made


def options(broker: EmbeddedBroker) -> dict[str, object]:
    return {"bootstrap.servers": broker.bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 100}


def reader(broker: EmbeddedBroker, told: Told, topic: str = TOPIC) -> LayoutReader:
    found = LayoutReader(options(broker), topic, told)
    found.open()
    return found


def heard(of: LayoutReader, seconds: float = 10.0) -> Sequence[str]:
    """Give the models of all that is read until something is."""
    end_s = time.monotonic() + seconds
    found: list[str] = []
    while not found and time.monotonic() < end_s:
        found += [each.model for each in of()]
    return found


def test_first_call_waits_for_all_there_are(broker: EmbeddedBroker) -> None:
    LayoutWriter(options(broker), TOPIC)(LAYOUTS)

    assert [each.model for each in LAYOUTS] == [each.model for each in reader(broker, Told())()]


def test_reader_waits_for_brokers_that_come_later_and_then_reads_all(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_topic, "ASK_S", 0.3)
    monkeypatch.setattr(layout_topic, "AGAIN_S", 0.1)
    LayoutWriter(options(broker), TOPIC)(LAYOUTS)
    broker.set_broker_down()
    told = Told()
    found = reader(broker, told)

    assert [] == list(found())
    assert "layouts_unknown" in {reason for reason, *_ in told}

    broker.set_broker_up()
    assert [each.model for each in LAYOUTS] == list(heard(found))


def test_topic_that_is_not_there_ends_it_with_the_cure(broker: EmbeddedBroker) -> None:
    found = LayoutReader({**options(broker), "allow.auto.create.topics": False}, "no-such", Told())
    found.open()

    with pytest.raises(SourceError, match="driftd topics create"):
        heard(found)
