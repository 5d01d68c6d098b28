"""Which topic it is: one that was deleted and made anew has the name of the old one, and another id (KIP-516).

Offsets say nothing of that once the new log has grown past them. So the ids are stored beside the positions, and asked
for when partitions come to this member and once in ASK_EVERY_S. Asking waits for nothing; only partitions of which an
id is stored wait for the answer, and not for ever: brokers that tell no id are taken at their word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined] # public, not typed so

ASK_EVERY_S: Final = 60.0
"""How often brokers are asked for ids while nothing else happens."""
ANSWER_S: Final = 2.0
"""How long an answer may take."""
PATIENCE_S: Final = 10.0
"""How long partitions wait for an id to compare: brokers that give messages give that, too, if they have it."""
NO_ID: Final = str(Uuid(0, 0))
"""What a broker tells that has none."""


class TopicIds:
    """The ids of topics (none: nothing is asked). known: by topic, of the logs that positions are of.

    options: librdkafka's, to connect.
    """

    def __init__(self, options: Mapping[str, Any], topics: Sequence[str], clock: Callable[[], float]) -> None:
        self._options = {**options, "log_level": 2}
        self._topics = topics
        self._clock = clock
        self.known: dict[str, str] = {}
        self._untold: set[str] = set()
        self._asked: dict[str, Future[TopicDescription]] = {}
        self._admin: AdminClient | None = None
        self._until_s = self._due_s = 0.0

    def open(self, known: Mapping[str, str]) -> None:
        """Go on with the ids that were stored, and ask for those of today."""
        self.known = {topic: known[topic] for topic in self._topics if topic in known}
        self._untold = set(self.known)
        self._until_s = self._clock() + PATIENCE_S
        self._ask()

    def ask_soon(self) -> None:
        """Ask at the next look: partitions are new here."""
        self._due_s = 0.0

    def is_told(self, topic: str) -> bool:
        """Tell whether a topic's partitions may be read: its id was compared, or there is nothing to compare."""
        return topic not in self._untold or self._clock() >= self._until_s

    def renewed(self) -> Mapping[str, int]:
        """Take in what was answered, and ask anew in time; give the topics that are others now, with their partitions.

        Waits for nothing.
        """
        if self._asked:
            return self._answered() if all(each.done() for each in self._asked.values()) else {}
        if self._clock() >= self._due_s:
            self._ask()
        return {}

    def _ask(self) -> None:
        self._due_s = self._clock() + (ANSWER_S if self._untold else ASK_EVERY_S)
        if not self._topics:
            return
        try:
            self._admin = AdminClient(self._options)
            asked = TopicCollection(list(self._topics))
            self._asked = self._admin.describe_topics(asked, request_timeout=ANSWER_S)
        except (KafkaException, ValueError, TypeError):  # what connects as a consumer says what is wrong with options
            self._untold.clear()

    def _answered(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for topic, answer in self._asked.items():
            error = answer.exception()
            if error is None:
                description = answer.result()
                id_ = str(description.topic_id)
                if id_ != NO_ID:
                    found |= {topic: len(description.partitions)} if self.known.get(topic, id_) != id_ else {}
                    self.known[topic] = id_
            if error is None or not _is_passing(error):
                self._untold.discard(topic)
        self._asked, self._admin = {}, None
        return found


def _is_passing(error: BaseException) -> bool:
    """Tell whether an answer may still come: nobody was there, or the topic is not, as one that is being made anew."""
    codes = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.UNKNOWN_TOPIC_OR_PART)  # noqa: SLF001 - public names
    return isinstance(error, KafkaException) and error.args[0].code() in codes
