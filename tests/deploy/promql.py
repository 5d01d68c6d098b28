"""What a PromQL expression names: metrics, and the labels asked of them. Enough of the language for our own files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.metrics import FAMILIES, PAGE_FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

TARGET: Final = frozenset({"job", "instance"})
"""Labels that Prometheus puts on all that it scrapes."""

LABELS: Final[Mapping[str, AbstractSet[str]]] = {
    **{
        f"{family.name}{suffix}": {*family.labels, *TARGET, *labels}
        for family in FAMILIES
        if family.kind == "histogram"
        for suffix, labels in (("_sum", ()), ("_count", ()), ("_bucket", ("le",)))
    },
    **{family.name: {*family.labels, *TARGET} for family in FAMILIES},
    **{family.name: {*family.labels, *TARGET} for family in PAGE_FAMILIES},
    "up": {*TARGET},
    "process_resident_memory_bytes": {*TARGET},
    "process_cpu_seconds_total": {*TARGET},
}
"""Every metric that the page of driftd has, with its labels, and those of Prometheus that we use."""

ALERTS: Final = "ALERTS"
"""Prometheus's own series of alerts; its labels are those of the alerts."""

_WORDS: Final = frozenset({"and", "or", "unless", "offset", "bool", "inf", "nan"})
_TEXT: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_LABEL_LIST: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_SELECTOR: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\s*\{([^{}]*)\})?")
_RANGE: Final = re.compile(r"\[[^\]]*\]")
_SPAN: Final = re.compile(r"\b\d+(?:\.\d+)?(?:ms|[smhdwy])?\b")


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric, with the labels it is asked for."""

    name: str
    labels: frozenset[str]


def selectors(expression: str) -> Iterator[Selector]:
    """Give every metric that an expression reads."""
    bare = _SPAN.sub(" ", _RANGE.sub(" ", _LABEL_LIST.sub(" ", _TEXT.sub("''", expression))))
    for match in _SELECTOR.finditer(bare):
        name, matchers = match[1], match[2]
        is_call = bare[match.end() :].lstrip().startswith("(") and matchers is None
        if not is_call and name.lower() not in _WORDS:
            yield Selector(name, frozenset(re.findall(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)", matchers or "")))


def unknown(expression: str, recorded: frozenset[str] = frozenset()) -> list[str]:
    """Give what is wrong: metrics that nobody exposes, and labels that they do not have. recorded: names of rules."""
    wrong: list[str] = []
    for each in selectors(expression):
        if each.name == ALERTS or each.name in recorded:
            continue
        if each.name not in LABELS:
            wrong.append(each.name)
        else:
            wrong += [f"{each.name}{{{label}}}" for label in sorted(each.labels - LABELS[each.name])]
    return wrong
