"""A Kafka broker inside this process, for the demo and for tests on machines that have neither Docker nor Java.

It is the mock cluster of librdkafka, the C library that confluent-kafka brings along, reached through ctypes. It
listens on real TCP ports of 127.0.0.1, so other processes can use it as long as this one lives. Groups (classic and
KIP-848), rebalances, commits, keys, headers, timestamps and watermarks behave as on a real broker.

What it can't do, and a real broker can:

* create or delete topics through an admin client: name them when it starts, or call `create_topic`. A topic that a
  producer writes to and nobody created appears with four partitions.
* look up offsets by time: `offsets_for_times` answers -1 (end) for every time.
* keep much: about 5 MB per partition, after which the oldest batches go. Read while writing, or spread over partitions.
* hide aborted transactions: `read_committed` reads them too.
* compaction, ACLs, quotas, SASL, TLS, or anything on disk: `close` forgets it all.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import confluent_kafka
from confluent_kafka import cimpl

from monitor.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

_PRODUCER: Final = 0  # rd_kafka_type_t: the mock cluster hangs on a client handle, and a producer is the lighter one
_CONF_OK: Final = 0  # rd_kafka_conf_res_t
_ERROR_BYTES: Final = 512  # what librdkafka itself reserves for an error text
_BROKERS_MAX: Final = 64  # ours: more listeners than any test needs, few enough not to exhaust file handles


class EmbeddedBroker:
    """Gives a running Kafka cluster on 127.0.0.1 until closed; a context manager.

    topics: name -> number of partitions (at least 1), created before the first client can connect.
    brokers: how many listeners, at least 1. Every partition is replicated on all of them.
    Raises SourceError where librdkafka is missing or has no mock cluster, or refuses a topic.
    Starts in about 3 ms; holds one thread, and the retained records in memory. Not to be used after a fork.
    """

    def __init__(self, topics: Mapping[str, int], brokers: int = 1) -> None:
        if not 1 <= brokers <= _BROKERS_MAX:
            raise SourceError(f"embedded broker: brokers must be 1 to {_BROKERS_MAX}, got {brokers}")
        self._brokers = brokers
        self._library = _load_library()
        self._client: int | None = _new_client(self._library)
        self._cluster: int = self._library.rd_kafka_mock_cluster_new(self._client, brokers) or 0
        if not self._cluster:
            self.close()
            raise SourceError(f"embedded broker: librdkafka did not start a cluster of {brokers} on 127.0.0.1")
        # A group otherwise waits three seconds for more members before its first assignment.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        try:
            for name, partitions in topics.items():
                self.create_topic(name, partitions)
        except SourceError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bootstrap_servers(self) -> str:
        """The addresses for `bootstrap.servers`: host:port, separated by commas."""
        addresses: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._open_cluster())
        return addresses.decode()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create an empty topic. Raises SourceError where it exists or partitions is below 1."""
        if partitions < 1:
            raise SourceError(f"embedded broker: topic {name!r} needs at least 1 partition, got {partitions}")
        self._check(
            self._library.rd_kafka_mock_topic_create(self._open_cluster(), name.encode(), partitions, self._brokers),
            f"topic {name!r}",
        )

    def set_broker_down(self, broker_id: int | None = None) -> None:
        """Close the broker's connections and refuse new ones, as in an outage; None means every broker.

        broker_id: 1 to brokers. What it holds is kept.
        """
        for each in self._broker_ids(broker_id):
            self._check(self._library.rd_kafka_mock_broker_set_down(self._open_cluster(), each), f"broker {each}")

    def set_broker_up(self, broker_id: int | None = None) -> None:
        """Accept connections again, on the same port; None means every broker."""
        for each in self._broker_ids(broker_id):
            self._check(self._library.rd_kafka_mock_broker_set_up(self._open_cluster(), each), f"broker {each}")

    def set_round_trip(self, round_trip_s: float, broker_id: int | None = None) -> None:
        """Delay every answer by round_trip_s (whole milliseconds, 0 for none); None means every broker."""
        for each in self._broker_ids(broker_id):
            answer = self._library.rd_kafka_mock_broker_set_rtt(self._open_cluster(), each, round(round_trip_s * 1000))
            self._check(answer, f"broker {each}")

    def fail_next(self, api_key: int, errors: Sequence[int]) -> None:
        """Answer the next len(errors) requests of one kind with these errors, one each, in order.

        api_key: the number of the request in Kafka's protocol: 0 Produce, 1 Fetch, 8 OffsetCommit, 11 JoinGroup.
        errors: `KafkaError` codes, such as `KafkaError.NOT_LEADER_FOR_PARTITION`.
        """
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._open_cluster(), api_key, len(errors), codes)

    def close(self) -> None:
        """Stop the cluster and forget its records; more than once does nothing."""
        if self._client is None:
            return
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)
        self._client = None
        self._cluster = 0

    def _open_cluster(self) -> int:
        if not self._cluster:
            raise SourceError("embedded broker: it is closed")
        return self._cluster

    def _broker_ids(self, broker_id: int | None) -> range:
        return range(1, self._brokers + 1) if broker_id is None else range(broker_id, broker_id + 1)

    def _check(self, code: int, what: str) -> None:
        if code:
            text: bytes = self._library.rd_kafka_err2str(code)
            raise SourceError(f"embedded broker: {what}: {text.decode()}")


def _new_client(library: ctypes.CDLL) -> int:
    """Give the librdkafka handle that owns the cluster."""
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    settings = library.rd_kafka_conf_new()
    # Its log goes straight to standard error, which belongs to the daemon. What matters comes back as an error code.
    if library.rd_kafka_conf_set(settings, b"log_level", b"0", error, len(error)) != _CONF_OK:
        library.rd_kafka_conf_destroy(settings)
        raise SourceError(f"embedded broker: librdkafka refused log_level: {error.value.decode()}")
    client: int | None = library.rd_kafka_new(_PRODUCER, settings, error, len(error))
    if client is None:
        library.rd_kafka_conf_destroy(settings)
        raise SourceError(f"embedded broker: librdkafka gave no client: {error.value.decode()}")
    return client


def _load_library() -> ctypes.CDLL:
    """Give the librdkafka that confluent_kafka uses, with the calls we make declared.

    Raises SourceError where no file found exports the mock cluster.
    """
    tried: list[str] = []
    for path in _library_paths():
        tried.append(path.name)
        try:
            library = ctypes.CDLL(str(path))
            _declare(library)
        except (OSError, AttributeError):  # not loadable here; loadable but without the mock cluster
            continue
        return library
    raise SourceError(
        "embedded broker: no librdkafka with a mock cluster comes with this installation of confluent-kafka "
        f"(looked in {', '.join(tried) or 'nothing'}); install its wheel, or use a real broker"
    )


def _library_paths() -> Iterator[Path]:
    """Give the files which may export librdkafka's calls, the likeliest first.

    The extension module comes first: symbols are also looked up in what it links to, so this finds the very library
    that the clients use, wherever the wheel (or a distribution) put it. The others are the places where wheels for
    Linux, Windows and macOS put a bundled library.
    """
    extension = getattr(cimpl, "__file__", None)
    if extension:
        yield Path(extension)
    package = Path(confluent_kafka.__file__).parent
    for folder in (package.parent / "confluent_kafka.libs", package / ".dylibs"):
        for suffix in ("so*", "dylib", "dll"):
            yield from sorted(folder.glob(f"*rdkafka*.{suffix}"))


def _declare(library: ctypes.CDLL) -> None:
    """Tell ctypes the types of each call: without them a 64-bit pointer is cut to 32 bits.

    Raises AttributeError for a call that the library does not export.
    """
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    calls: dict[str, tuple[type | None, list[type]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_destroy": (None, [pointer]),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_err2str": (text, [number]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_down": (number, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_up": (number, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_rtt": (number, [pointer, ctypes.c_int32, number]),
        "rd_kafka_mock_push_request_errors_array": (
            None,
            [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)],
        ),
    }
    for name, (result, arguments) in calls.items():
        call = getattr(library, name)
        call.restype = result
        call.argtypes = arguments
