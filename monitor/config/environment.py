"""What the environment has to say: ${VARIABLE} inside values, and DRIFTD_SECTION__OPTION in place of options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from monitor.config.document import Document, parse_flow
from monitor.config.refusals import Path, Refusals, is_secret
from monitor.config.settings import ENV_DELIMITER, ENV_PREFIX, Settings
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# $${ stands for a literal ${. What is between the braces is checked apart, for a message with a place.
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}?")
_CONTENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def interpolate(document: Document, env: Mapping[str, str], refusals: Refusals) -> set[Path]:
    """Puts variables into the document's text values; gives the paths whose values came from the environment."""
    touched: set[Path] = set()
    interpolator = _Interpolator(env, refusals, touched)
    for key, value in document.tree.items():
        document.tree[key] = interpolator.fill(value, (key,))
    return touched


class _Interpolator:
    """Walks values; the environment may hold secrets, so no value of it is ever part of a message."""

    def __init__(self, env: Mapping[str, str], refusals: Refusals, touched: set[Path]) -> None:
        self._env = env
        self._refusals = refusals
        self._touched = touched

    def fill(self, value: object, path: Path) -> object:
        """Gives the value with all variables in it replaced."""
        if isinstance(value, dict):
            return {key: self.fill(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner, (*path, index)) for index, inner in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            self._touched.add(path)
            return _REFERENCE.sub(lambda match: self._replace(match, path), value)
        return value

    def _replace(self, match: re.Match[str], path: Path) -> str:
        if match[0] == "$${":
            return "${"
        content = _CONTENT.fullmatch(match[1] or "") if match[0].endswith("}") else None
        if content is None:
            self._refusals.add(
                path, "'${' does not begin a variable", "write ${NAME} or ${NAME:-default}; $${ for itself"
            )
            return ""
        name, default = content[1], content[2]
        found = self._env.get(name)
        if found or (found is not None and default is None):
            return found
        if default is None:
            self._refusals.add(path, f"the variable {name} is not set", f"set it, or write ${{{name}:-default}}")
        return default or ""


def apply_overrides(document: Document, env: Mapping[str, str], refusals: Refusals) -> None:
    """Puts DRIFTD_... variables in place of what the file says, and notes them as the place of those values."""
    for name, path in sorted(_overrides(env), key=lambda item: (len(item[1]), item[0])):
        value = _read(env[name], path, name, refusals)
        place = f"environment {name}"
        if _put(document.tree, path, value):
            _forget_places(document, path)
            document.places.keys[path] = document.places.values[path] = place
        else:
            document.places.values[path] = place
            section = f"{ENV_PREFIX}{str(path[0]).upper()}"
            refusals.add(path, "can't be set inside a list or a plain value", f"set {section} as a whole, as JSON")


def _overrides(env: Mapping[str, str]) -> Iterable[tuple[str, Path]]:
    """Gives our variables and the paths they name.

    Names without a double underscore count only if they are a section's: Kubernetes sets DRIFTD_PORT and the like for
    a service called driftd, and those are not ours.
    """
    for name in env:
        rest = name.removeprefix(ENV_PREFIX)
        path = tuple(rest.lower().split(ENV_DELIMITER))
        if rest != name and (len(path) > 1 or path[0] in Settings.model_fields):
            yield name, path


def _read(text: str, path: Path, name: str, refusals: Refusals) -> object:
    """Text in brackets is a list or a mapping, but not where a secret is expected: it may begin with a bracket."""
    if not text.lstrip().startswith(("[", "{")) or is_secret(path[-1:]):
        return text
    try:
        return parse_flow(text)
    except ConfigError:
        refusals.add(path, f"{name} begins like JSON and is none", "check its brackets and quotes")
        return None


def _put(tree: dict[str, object], path: Path, value: object) -> bool:
    inner = tree
    for element in path[:-1]:
        key = str(element)
        if inner.get(key) is None:
            inner[key] = {}
        below = inner[key]
        if not isinstance(below, dict):
            return False
        inner = below
    inner[str(path[-1])] = value
    return True


def _forget_places(document: Document, path: Path) -> None:
    for places in (document.places.keys, document.places.values):
        for inner in [inner for inner in places if inner[: len(path)] == path]:
            del places[inner]
