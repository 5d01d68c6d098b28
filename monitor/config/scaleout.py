"""Settings of the scaled form: folds that count, and courts that judge."""

from __future__ import annotations

from pydantic import BaseModel, Field

from monitor.config.base import SECTION
from monitor.config.units import Duration


class ScaleoutSettings(BaseModel):
    """How `driftd fold` and `driftd judge` reach each other. `driftd run` needs none of it."""

    model_config = SECTION

    deltas_topic: str = Field(
        default="driftd.deltas", min_length=1, max_length=249, description="Topic by which folds tell courts of counts."
    )
    layouts_topic: str = Field(
        default="driftd.layouts", min_length=1, max_length=249, description="Compacted topic: how streams are counted."
    )
    state_topic: str = Field(
        default="driftd.state", min_length=1, max_length=249, description="Compacted topic: states of the judges."
    )
    replicas: int = Field(
        default=3, ge=1, le=100, description="Copies of each of these topics, as `driftd topics create` makes them."
    )
    courts: int = Field(
        default=16, ge=1, le=1024, description="Partitions of the topic of deltas; a model lives in one. Never changed."
    )
    judge_group_id: str | None = Field(
        default=None, max_length=249, description="Consumer group of the judges [default: kafka.group_id and -judge]."
    )
    state_save_s: Duration = Field(
        default=10.0,
        ge=0.1,
        le=3_600,
        description="How often judges store their states: a successor reads the deltas since again.",
    )
