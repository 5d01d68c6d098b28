"""YAML text to plain values, remembering where each key and value stands.

YAML 1.2's plain types are used, so that `no`, `1:30` and `2024-01-01` stay text. Keys are always text. Refused, each
with its place: keys given twice, tags, merge keys, deep nesting, aliases that unfold into too much. Messages of the
YAML library are not repeated, as they can quote a line that holds a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import yaml

from monitor.config.refusals import Path, Refusals, is_secret, kind_of
from monitor.errors import ConfigError

DEPTH_MAX: Final = 32
# Values after unfolding aliases; a thousand models with twenty rules each are far below.
VALUES_MAX: Final = 100_000
_TAG: Final = "tag:yaml.org,2002:"

# The beginning of the YAML library's message, and what to tell a person.
_SYNTAX: Final = (
    ("found character '\\t'", "a tab can't be used for indentation", "use spaces"),
    ("found character", "a value can't begin with this character", "put the value in quotes"),
    (
        "mapping values are not allowed",
        "a ':' is not expected here",
        "put text with ': ' in quotes, or mend the indentation",
    ),
    (
        "could not find expected ':'",
        "a key is not followed by ': '",
        "write 'key: value', with a space after the colon",
    ),
    ("found undefined alias", "a value that begins with '*' is an alias, and none has this name", "put it in quotes"),
    ("found duplicate anchor", "two anchors have the same name", "rename one"),
    ("found unexpected end of stream", "a quote is not closed", "close it"),
    ("expected ',' or", "a list or mapping in brackets is not closed here", "add a comma or the closing bracket"),
    ("but found another document", "a second document begins here", "keep one document per file: remove '---'"),
    ("expected <block end>", "this does not fit the lines above", "mend the indentation"),
    ("found unknown escape", "a backslash in double quotes begins an unknown escape", "use single quotes"),
)


@dataclass(slots=True)
class Places:
    """Where things stand, as text such as config.yaml:12:7."""

    label: str
    keys: dict[Path, str] = field(default_factory=dict)
    values: dict[Path, str] = field(default_factory=dict)

    def of(self, path: Path, *, at_key: bool = False) -> str:
        """Gives the place of a value, or of its key, or of the nearest thing around it that was written."""
        if at_key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), 0, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return self.label


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain values, and the places of them."""

    tree: dict[str, object]
    places: Places


def parse_document(text: str, label: str, refusals: Refusals) -> Document:
    """Gives the values of one YAML text. Raises ConfigError when nothing can be read from it at all."""
    root = _compose(text, label)
    if root is None:
        raise ConfigError(f"{label}: the file is empty; write at least 'kafka:' with 'topics: [...]' under it")
    reader = _Reader(Places(label), refusals)
    value = reader.read(root, ())
    if not isinstance(value, dict):
        place = _place(label, root.start_mark)
        raise ConfigError(f"{place}: found {kind_of(value)} at the top; write sections such as 'kafka:' there")
    return Document(value, reader.places)


def parse_flow(text: str) -> object:
    """Gives the value of a list or mapping in brackets, as an environment variable may hold. Raises ConfigError."""
    refusals = Refusals()
    root = _compose(text, "value")
    value = None if root is None else _Reader(Places("value"), refusals).read(root, ())
    if refusals.problems:
        raise ConfigError(refusals.problems[0].message)
    return value


class _Loader(yaml.SafeLoader):
    """The library's scanner and parser, with YAML 1.2's plain types and a bound on nesting."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the library copies it per class; an annotation would not fit its own
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Counts the nesting, as the library recurses once per level."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", self.get_mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "int", re.compile(r"^[-+]?[0-9][0-9_]{0,30}$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _TAG + "float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    list("-+.0123456789"),
)


def _compose(text: str, label: str) -> yaml.Node | None:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        message = f"{_place(label, error.problem_mark or error.context_mark)}: {_explain(error, text)}"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"{label}:{line}: holds a control character; remove it"
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        # Odd escapes such as "\UFFFFFFFF" leave the library as these, without a mark.
        message = f"{label}: is not valid YAML; look for odd escapes in double quotes"
    finally:
        if loader is not None:
            loader.dispose()
    # Raised out here, so that the library's error, which may quote a secret, is not even its context.
    raise ConfigError(message)


def _explain(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = f"{error.problem or ''} {error.context or ''}"
    if "nested too deeply" in problem:
        return f"is nested more than {DEPTH_MAX} levels deep; flatten it"
    mark = error.problem_mark
    if mark is not None and re.match(r"[ ]*\t", _line(text, mark.line)):
        return "a tab can't be used for indentation; use spaces"
    for beginning, message, cure in _SYNTAX:
        if beginning in problem:
            return f"{message}; {cure}"
    return "is not valid YAML; mend the indentation or put the value in quotes"


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number] if number < len(lines) else ""


def _place(label: str, mark: yaml.Mark | None) -> str:
    return label if mark is None else f"{label}:{mark.line + 1}:{mark.column + 1}"


class _Reader:
    """Turns nodes into values; notes places and what it refuses."""

    def __init__(self, places: Places, refusals: Refusals) -> None:
        self.places = places
        self._refusals = refusals
        self._count = 0

    def read(self, node: yaml.Node, path: Path) -> object:
        """Gives the value of one node."""
        self._count += 1
        if self._count > VALUES_MAX or len(path) > DEPTH_MAX:
            raise ConfigError(f"{self.places.label}: its aliases unfold into too much; write the values out")
        self.places.values[path] = _place(self.places.label, node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._read_scalar(node, path)
        self._refuse_tag(path)
        return None

    def _read_mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                place = _place(self.places.label, key_node.start_mark)
                self._refusals.add(path, f"has a key that is no text (at {place})", "write 'key: value'")
                continue
            key = key_node.value
            inner = (*path, key)
            place = _place(self.places.label, key_node.start_mark)
            if key in values:
                self._refusals.add(inner, f"given twice, here and at {place}", "remove one of them", at_key=True)
                continue
            self.places.keys[inner] = place
            if key == "<<":
                self._refusals.add(inner, "merge keys can't be used", "write the keys out", at_key=True)
                continue
            values[key] = self.read(value_node, inner)
            if not isinstance(value_node, yaml.ScalarNode):
                # A block begins on the line after its key, where nobody would look for it.
                self.places.values[inner] = place
        return values

    def _read_scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        kind = node.tag.removeprefix(_TAG)
        text: str = node.value
        if kind == "str" or (kind in {"int", "float"} and is_secret(path[-1:])):
            # A password of digits only is still a password: 007 must not become 7.
            return text
        try:
            return _SCALARS[kind](text)
        except (KeyError, ValueError):
            self._refuse_tag(path)
        return None

    def _refuse_tag(self, path: Path) -> None:
        self._refusals.add(path, "has a tag, or a value that does not fit its tag", "remove the '!', or use quotes")


def _read_bool(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError
    return text.lower() == "true"


def _read_float(text: str) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


_SCALARS: Final = {
    "null": lambda text: None,  # noqa: ARG005 - nothing is nothing, however it is written
    "bool": _read_bool,
    "int": lambda text: int(text.replace("_", "")),
    "float": _read_float,
}
