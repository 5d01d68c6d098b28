"""What every source of events keeps to, whatever it reads from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from monitor.domain import TopicPartition
from monitor.embedded import EmbeddedBroker
from monitor.intake import Intake
from monitor.sources.files import FileSource
from monitor.sources.kafka import KafkaSource
from monitor.sources.kafka_terms import KafkaTerms
from tests.support.sources import Told, options_of, produce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monitor.domain import Batch
    from monitor.sources.base import Source

COUNT = 40
TIMEOUT_S = 20.0


@pytest.fixture(params=["file", "kafka"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """Give a source, not yet open, with COUNT messages of one partition: the numbers from 0 on."""
    if request.param == "file":
        path = tmp_path / "events.jsonl"
        path.write_bytes(b"".join(b"%d\n" % number for number in range(COUNT)))
        yield FileSource([path], batch_records_max=7)
        return
    with EmbeddedBroker({"events": 1}) as broker:
        produce(broker.bootstrap_servers, "events", [(b"%d" % number, 0, 0) for number in range(COUNT)])
        terms = KafkaTerms(("events",), options_of(broker.bootstrap_servers, "group"), batch_records_max=7)
        yield KafkaSource(terms, time.time, Told())


def batches_of(source: Source) -> Iterator[Batch]:
    """Poll until all messages have come."""
    count, end_s = 0, time.monotonic() + TIMEOUT_S
    while count < COUNT:
        assert time.monotonic() < end_s
        batch = source.poll(0.1)
        count += len(batch)
        yield batch


def test_all_messages_come_once_in_order_in_bounded_batches_with_where_they_are_from(source: Source) -> None:
    source.open({}, {})
    batches = list(batches_of(source))
    source.close()

    assert list(range(COUNT)) == [int(value or b"") for batch in batches for value in batch.values]
    assert max(map(len, batches)) <= 7
    for batch in batches:
        assert len(batch.values) == len(batch.partitions)
        assert len(batch.offsets) in (0, len(batch))
        assert len(batch.origins) in (0, len(batch))
        assert all(isinstance(batch.sources[at], TopicPartition) for at in batch.partitions)


def test_position_is_what_was_given_out(source: Source) -> None:
    source.open({}, {})
    count = 0
    for batch in batches_of(source):
        count += len(batch)
        if len(batch):
            assert [count] == list(source.positions().values())
    source.close()


def test_whole_loop_of_calls_is_taken_at_any_time(source: Source) -> None:
    """Each call is made before and after every poll; none of them raises, and no message is lost by it."""
    source.open({}, {})
    values: list[bytes | None] = []
    for batch in batches_of(source):
        values += batch.values
        source.hold(())
        source.saved(source.positions())
        source.saved(source.positions())
        assert source.trouble() == ""
        assert () == tuple(source.gaps())
        assert () == tuple(source.away())
        assert isinstance(source.intake(), Intake)
        assert {each.source for each in source.status()} >= set(batch.sources if len(batch) else ())
        assert {} == source.errors()
        source.idle()
    source.close()

    assert COUNT == len(values) == len(set(values))
