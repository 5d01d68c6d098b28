"""The settings written out as a file: every option with its default, its unit and its sentence."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from monitor.config.alerts import ModelSettings
from monitor.config.builtin import BUILT_IN_RULES
from monitor.config.releases import BUILT_IN_CRITERIA, CriterionSettings, GateSettings
from monitor.config.settings import Settings
from monitor.config.thresholds import Threshold
from monitor.config.units import format_duration, format_size
from monitor.domain import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_WIDTH: Final = 120
# The one option without a usable default, as a person would write it.
_TOPICS: Final = "[inferences, outcomes]"
_HEAD: Final = """\
# yaml-language-server: $schema=driftd.schema.json
#
# Every option of driftd with its default. A working configuration needs only kafka.topics: see examples/minimal.yaml.
# Durations: seconds, or text such as 500ms, 30s, 5m, 1h30m, 7d. Sizes: bytes, or text such as 64KiB, 16MiB.
# ${NAME} and ${NAME:-default} are replaced by environment variables; $${ stands for ${ itself.
# DRIFTD_SECTION__OPTION in the environment has the last word, for instance DRIFTD_KAFKA__BOOTSTRAP_SERVERS.
# Paths of files are relative to the folder driftd is started in. `driftd check` tells what is wrong, and where.
"""


def render_defaults() -> str:
    """Gives the complete reference configuration; it loads, and means the same as the shortest one."""
    lines = [*_HEAD.splitlines()]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {field.description}"]
        default = field.get_default(call_default_factory=True)
        if name == "models":
            lines += _models()
        elif isinstance(default, dict):
            lines += _mapping(name, default)
        else:
            lines += [f"{name}:", *_options(default)]
        lines += _criteria() if name == "releases" else ()
    return "\n".join(lines) + "\n"


def _options(section: BaseModel) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        yield from _comment(name, field)
        yield f"  {name}: {_TOPICS if name == 'topics' else _write(name, getattr(section, name))}"


def _mapping(name: str, default: dict[str, BaseModel]) -> Iterator[str]:
    yield f"{name}:"
    for key, section in default.items():
        yield f"  {key}:"
        for line in _options(section):
            yield f"  {line}"


def _models() -> Iterator[str]:
    """Models and rules have no entries by default, so their options and the built-in rules stand in comments."""
    yield "models: []"
    yield "# Options of one entry of models:"
    yield from _listing(ModelSettings)
    yield "# Options of one rule under thresholds:"
    yield from _listing(Threshold)
    yield "# The built-in rules. A rule of the same name under thresholds changes what it names and keeps the rest."
    for name, rule in BUILT_IN_RULES.items():
        inner = ", ".join(f"{key}: {json.dumps(value)}" for key, value in rule.items())
        yield f"#   {name}: {{{inner}}}"


def _criteria() -> Iterator[str]:
    yield "# Options of one entry of criteria:"
    yield from _listing(CriterionSettings)
    yield "# Options of one entry of gates:"
    yield from _listing(GateSettings)
    yield "# The upgrade gate. A criterion of the same name changes what it names and keeps the rest."
    for name, criterion in BUILT_IN_CRITERIA.items():
        inner = ", ".join(f"{key}: {json.dumps(value)}" for key, value in criterion.items())
        yield from textwrap.wrap(
            f"{name}: {{{inner}}}", _WIDTH, initial_indent="#   ", subsequent_indent="#     ", break_on_hyphens=False
        )


def _listing(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        default = _write(name, field.get_default(call_default_factory=True))
        shown = "" if default in {"null", "", "[]", "{}"} else f" ({default})"
        yield from textwrap.wrap(
            f"{name}{shown}: {field.description}", _WIDTH, initial_indent="#   ", subsequent_indent="#     "
        )


def _comment(name: str, field: FieldInfo) -> list[str]:
    bounds = _bounds(name, field)
    text = f"{(field.description or '').rstrip('.')}{f' ({bounds})' if bounds else ''}."
    return textwrap.wrap(text, _WIDTH, initial_indent="  # ", subsequent_indent="  # ", break_on_hyphens=False)


def _bounds(name: str, field: FieldInfo) -> str:
    words = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under"}
    limits = [
        f"{text} {_write(name, kind(getattr(entry, bound)))}"
        for bound, text in words.items()
        for entry in field.metadata
        if hasattr(entry, bound)
        for kind in [float if name.endswith(("_s", "_s_min", "_s_max")) else type(getattr(entry, bound))]
    ]
    return ", ".join(limits)


def _write(name: str, value: object) -> str:
    if isinstance(value, float) and name.endswith(("_s", "_s_min", "_s_max")):
        return format_duration(value)
    if isinstance(value, Severity):
        return value.label
    if isinstance(value, int) and "bytes" in name:
        return format_size(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_write_item, value))}]"
    if value is None or isinstance(value, bool | dict):
        return json.dumps(value)
    if isinstance(value, int | float):
        return f"{value:_}" if isinstance(value, int) and value >= 10_000 else f"{value:g}"
    return str(value)


def _write_item(item: object) -> str:
    if isinstance(item, BaseModel):
        inner = (f"{name}: {_write(name, getattr(item, name))}" for name in type(item).model_fields)
        return f"{{{', '.join(inner)}}}"
    return format_duration(item) if isinstance(item, float) else json.dumps(item)
