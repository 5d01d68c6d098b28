"""Settings of the built-in server."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from monitor.config.base import SECTION
from monitor.config.units import Duration

# 3738 is DRFT on a telephone's keys. Prometheus's own list for exporters, 9100 to 9999, is full (9464, the nearest
# to a general default, is OpenTelemetry's), and 32768 and above may be taken by outgoing connections.
PORT: Final = 3738
_DAY_S: Final = 86_400.0


class HttpSettings(BaseModel):
    """The built-in server: /metrics, probes and the status page."""

    model_config = SECTION

    host: str = Field(
        default="127.0.0.1", min_length=1, max_length=253, description="Address to listen on; 0.0.0.0 for all."
    )
    port: int = Field(default=PORT, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    web_config_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="File with certificates and passwords, as Prometheus's exporters read it; see docs/security.md.",
    )
    probes_open: bool = Field(
        default=True, description="Whether /livez and /readyz answer without password and client certificate."
    )
    admin: bool = Field(
        default=False,
        description="Whether POST /-/reload reads the configuration anew, and POST /api/annotations is taken.",
    )
    render_s_min: Duration = Field(
        default=1.0, ge=0, le=60, description="/metrics is rendered anew at most this often, in seconds."
    )
    stall_s: Duration = Field(
        default=60.0, ge=1, le=3600, description="/livez fails when the loop stood still for so long, in seconds."
    )
    progress_s: Duration = Field(
        default=300.0,
        ge=1,
        le=_DAY_S,
        description="/livez fails when a partition with records waiting made no progress for so long, in seconds.",
    )
