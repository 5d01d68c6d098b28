"""Settings of messages that can't be used: where they are kept, and when a partition full of them is no longer read."""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator

from monitor.config.base import SECTION
from monitor.config.kafka import is_topic
from monitor.config.refusals import Refusals, show_key
from monitor.config.units import Duration


class DeadLetterSettings(BaseModel):
    """What becomes of messages that can't be used, and when too many of them stop a partition."""

    model_config = SECTION

    topic: str | None = Field(
        default=None, description="Topic that messages which can't be used are told to; by default none."
    )
    payload: bool = Field(
        default=False, description="Whether their payload goes along; without, its SHA-256 and where it is."
    )
    invalid_share_max: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="A partition is held when more of its last 1,000 messages can't be used; 1 turns it off.",
    )
    invalid_run_max: int = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="A partition is held after so many messages in a row that can't be used; 0 turns it off.",
    )
    retry_s: Duration = Field(
        default=300.0, ge=1, le=86_400, description="How long a held partition waits until it is tried, in seconds."
    )

    @model_validator(mode="after")
    def _check(self) -> DeadLetterSettings:
        found = Refusals()
        if self.topic is not None and not is_topic(self.topic):
            found.add(
                ("topic",),
                f"found {show_key(self.topic)}, not a topic's name",
                "use letters, digits, '.', '_' and '-', at most 249",
            )
        found.raise_in_validator("dead_letters")
        return self
