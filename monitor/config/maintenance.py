"""Maintenance windows: when nobody is told of alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from monitor.config.base import SECTION
from monitor.config.refusals import Refusals, refusal, shorten
from monitor.config.units import Names
from monitor.decode.times import time_or_rejection

_CURE: Final = "write a time such as 2026-12-01T02:00:00Z"


def parse_time(value: object) -> object:
    """Gives epoch seconds of a time as people write it: RFC 3339, in UTC where no offset is told, or epoch seconds."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    found = time_or_rejection(value)
    if isinstance(found, float):
        return found
    raise refusal(f"found {shorten(str(value))}, not a time", _CURE)


Time = Annotated[
    float, BeforeValidator(parse_time), WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}]})
]


class MaintenanceSettings(BaseModel):
    """A maintenance: alerts of these models are counted and shown, and nobody is told of them until it is over."""

    model_config = ConfigDict(**{**SECTION, "validate_by_alias": True, "validate_by_name": False})

    start: Time | None = Field(default=None, alias="from", description="When it begins: RFC 3339, UTC if not said.")
    end: Time | None = Field(default=None, alias="to", description="When it ends, exclusive.")
    models: Names = Field(default=("*",), min_length=1, max_length=100, description="Globs of the models it is for.")
    reason: str = Field(default="", max_length=200, description="Why, shown beside the alerts that are held back.")

    @model_validator(mode="after")
    def _check(self) -> MaintenanceSettings:
        found = Refusals()
        for name, value in (("from", self.start), ("to", self.end)):
            if value is None:
                found.add((), f"has no '{name}'", _CURE)
        if self.start is not None and self.end is not None and self.end <= self.start:
            found.add(("to",), "is not after 'from'", "write the later time in 'to'")
        found.raise_in_validator("maintenance")
        return self
