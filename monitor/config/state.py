"""Settings of durable state."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from monitor.config.base import SECTION
from monitor.config.units import Duration


class StateSettings(BaseModel):
    """What survives a restart: counts, references, alerts, what is still to be told, and the offsets they rest on."""

    model_config = SECTION

    enabled: bool = Field(default=True, description="Whether state is kept; without it windows start empty.")
    directory: str = Field(
        default="state", min_length=1, max_length=4096, description="Folder of the state file, made if missing."
    )
    on_gap: Literal["fail", "accept-gap"] = Field(
        default="fail",
        description="What to do where Kafka no longer has the next message: fail (stop and say so) or accept-gap.",
    )
    absence_s: Duration = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="How long event time waits for a partition that another member has taken, or of which, in the"
        " scaled form, no fold tells while others do, in seconds.",
    )
