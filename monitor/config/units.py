"""Durations, sizes, limits and lists as people write them: 5m, 1h30m, 16MiB, 1.5x, "a, b"."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from monitor.config.refusals import kind_of, refusal, shorten
from monitor.domain import Severity

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
BYTES: Final = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

# Digits are bounded so that no text turns into a number too large to print.
_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_DURATION: Final = re.compile(rf"(?:{_NUMBER}(?:ms|[smhdw]))+")
_DURATION_PART: Final = re.compile(rf"({_NUMBER})(ms|[smhdw])")
_SIZE: Final = re.compile(rf"({_NUMBER}) ?(B|kB|MB|GB|KiB|MiB|GiB)")
_PLAIN: Final = re.compile(rf"-?{_NUMBER}(?:[eE][+-]?[0-9]{{1,2}})?")
_TIMES: Final = re.compile(rf"({_NUMBER}) ?x")
_PERCENT: Final = re.compile(rf"({_NUMBER}) ?%")
_MARGIN: Final = re.compile(rf"(.+?) ?([+-]) ?({_NUMBER}) ?%")


def parse_duration(value: object) -> object:
    """Gives seconds for text such as 30s, 5m or 1h30m; numbers pass as they are."""
    if isinstance(value, str):
        text = value.strip().replace("_", "")
        if _PLAIN.fullmatch(text):
            return float(text)
        if _DURATION.fullmatch(text):
            return sum(float(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
        raise refusal(
            f"found {shorten(value)}, not a duration", "write seconds, or text such as 500ms, 30s, 5m, 1h30m, 7d"
        )
    return _number(value, "write seconds, or text such as 500ms, 30s, 5m, 1h30m, 7d")


def parse_size(value: object) -> object:
    """Gives bytes for text such as 64KiB, 16MiB or 1GB; numbers pass as they are."""
    if isinstance(value, str):
        text = value.strip().replace("_", "")
        match = _SIZE.fullmatch(text)
        if match:
            return int(float(match[1]) * BYTES[match[2]])
        if not _PLAIN.fullmatch(text):
            raise refusal(f"found {shorten(value)}, not a size", "write bytes, or text such as 64KiB, 16MiB, 1GiB")
        return float(text)
    return _number(value, "write bytes, or text such as 64KiB, 16MiB, 1GiB")


def parse_share(value: object) -> object:
    """Gives a share of 1 for 0.15 or "15%"."""
    if isinstance(value, str):
        text = value.strip()
        if match := _PERCENT.fullmatch(text):
            return float(match[1]) / 100
        if not _PLAIN.fullmatch(text):
            raise refusal(f"found {shorten(value)}, not a share", 'write a share such as 0.15, or "15%"')
        return float(text)
    return _number(value, 'write a share such as 0.15, or "15%"')


def split_commas(value: object) -> object:
    """Gives the parts of a comma-separated text; lists pass as they are."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def parse_severity(value: object) -> object:
    """Gives the severity for sev1 (worst) to sev4."""
    if isinstance(value, Severity):
        return value
    labels = {severity.label: severity for severity in Severity}
    if isinstance(value, str) and value in labels:
        return labels[value]
    found = shorten(value) if isinstance(value, str) else kind_of(value)
    raise refusal(f"found {found}, not a severity", "write sev1 (worst), sev2, sev3 or sev4")


def format_duration(seconds: float) -> str:
    """Gives the shortest exact text: 90 as 90s, 3600 as 1h."""
    for unit in ("w", "d", "h", "m", "s", "ms"):
        count = seconds / SECONDS[unit]
        if count >= 1 and count == int(count) and (unit != "w" or seconds % (30 * 86_400)):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"


def format_size(size: int) -> str:
    """Gives the shortest exact text in binary units: 1048576 as 1MiB."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= BYTES[unit] and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return str(size)


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a band begins: a base, and how much further in shares of it.

    is_relative: base times the reference's own. is_duration: it was written as 5m, 500ms. margin: 0.15 for "+ 15%".
    """

    base: float
    is_relative: bool = False
    is_duration: bool = False
    margin: float = 0.0

    @property
    def value(self) -> float:
        """Where the band begins, margin included."""
        return self.base * (1.0 + self.margin)

    def __str__(self) -> str:
        text = format_duration(self.base) if self.is_duration else f"{self.base:g}" + "x" * self.is_relative
        return text + margin_text(self.margin)

    def beyond(self, margin: float) -> Limit:
        """Gives the limit with a margin; its own stays."""
        return self if self.margin else replace(self, margin=margin)

    @classmethod
    def parse(cls, value: object) -> Limit:
        """Gives the limit for 0.25, "1.5x", "500ms" or "1.5s + 15%"."""
        if isinstance(value, Limit):
            return value
        if isinstance(value, str):
            return cls._from_text(value)
        number = _number(value, _LIMIT_CURE)
        if not math.isfinite(number):
            raise refusal("found a number that is not finite", _LIMIT_CURE)
        return cls(number)

    @classmethod
    def _from_text(cls, value: str) -> Limit:
        text = value.strip()
        if match := _MARGIN.fullmatch(text):
            margin = float(match[3]) / 100 * (1 if match[2] == "+" else -1)
            if margin <= -1.0:
                raise refusal(f"found {shorten(value)}, which leaves nothing", "take off less than 100%")
            return cls._from_text(match[1]).beyond(margin)
        if _PLAIN.fullmatch(text):
            return cls(float(text))
        if match := _TIMES.fullmatch(text):
            return cls(float(match[1]), is_relative=True)
        if _DURATION.fullmatch(text):
            return cls(float(str(parse_duration(text))), is_duration=True)
        if match := _PERCENT.fullmatch(text):
            raise refusal(
                f"found {shorten(value)}; shares are 0 to 1, never percent", f"write {float(match[1]) / 100:g}"
            )
        raise refusal(f"found {shorten(value)}, not a limit", _LIMIT_CURE)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Lets settings hold a limit as one value with one message, not as a union with several."""
        del source, handler
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(_plain_limit),
        )


def margin_text(margin: float) -> str:
    """Gives " + 15%" for 0.15, and nothing for 0."""
    return f" {'+' if margin > 0 else '-'} {abs(100 * margin):g}%" if margin else ""


_LIMIT_CURE: Final = 'write a number, or "1.5x" for 1.5 times the reference\'s value'

_DURATION_SCHEMA: Final = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^([0-9.]+(ms|s|m|h|d|w))+$"}]}
_SIZE_SCHEMA: Final = {
    "anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^[0-9.]+ ?(B|kB|MB|GB|KiB|MiB|GiB)$"}]
}
_LIMIT_SCHEMA: Final = {
    "anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9.]+ ?(x|ms|s|m|h|d|w)?( ?[+-] ?[0-9.]+ ?%)?$"}]
}
_SHARE_SCHEMA: Final = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9.]+ ?%$"}]}
_LIST_SCHEMA: Final = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}
_SEVERITY_SCHEMA: Final = {"type": "string", "enum": [severity.label for severity in sorted(Severity, reverse=True)]}

Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
Window = Annotated[Duration, Field(gt=0, le=92 * 86_400)]
Share = Annotated[float, BeforeValidator(parse_share), WithJsonSchema(_SHARE_SCHEMA)]
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]
LimitValue = Annotated[Limit, WithJsonSchema(_LIMIT_SCHEMA)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_commas), WithJsonSchema(_LIST_SCHEMA)]
SeverityValue = Annotated[
    Severity,
    BeforeValidator(parse_severity),
    PlainSerializer(lambda severity: severity.label, return_type=str),
    WithJsonSchema(_SEVERITY_SCHEMA),
]


def _number(value: object, cure: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise refusal("found a number that is too large", cure) from None
    raise refusal(f"found {kind_of(value)}", cure)


def _plain_limit(limit: Limit) -> float | str:
    return str(limit) if limit.is_relative or limit.is_duration or limit.margin else limit.base
