"""The configuration: one YAML file and the environment, as frozen settings; `load_settings` is the way in."""

from __future__ import annotations

from monitor.config.builtin import BUILT_IN_RULES
from monitor.config.cautions import cautions
from monitor.config.loading import load_settings
from monitor.config.rendering import render_defaults
from monitor.config.schema import settings_schema
from monitor.config.settings import Settings

__all__ = ["BUILT_IN_RULES", "Settings", "cautions", "load_settings", "render_defaults", "settings_schema"]
