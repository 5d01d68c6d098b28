"""From file and environment to settings, or to one error that names everything that is wrong."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from monitor.config.document import Document, Places, parse_document
from monitor.config.environment import apply_overrides, interpolate
from monitor.config.messages import problems_of
from monitor.config.refusals import Path, Problem, Refusals, Veiled, show_path
from monitor.config.secretfiles import read_secret_files
from monitor.config.settings import Settings
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_BYTES_MAX: Final = 1024 * 1024
# More would scroll the first, which is often the cause of the rest, off the screen.
SHOWN_MAX: Final = 50
_TOPICS: Final[Path] = ("kafka", "topics")


def load_settings(path: str | pathlib.Path | None, env: Mapping[str, str], *, topics_required: bool = True) -> Settings:
    """Gives the settings of a YAML file with the environment's overrides; without a path, of the environment alone.

    topics_required: False for commands that read files instead of Kafka.
    Raises ConfigError, and nothing else, whatever the file holds: one line per problem, each with place and cure.
    """
    refusals = Refusals()
    document = Document({}, Places("environment"))
    if path is not None:
        document = parse_document(read_text(pathlib.Path(path)), str(path), refusals)
    from_env = interpolate(document, env, refusals)
    apply_overrides(document, env, refusals)
    _drop_empty_sections(document.tree)
    read_secret_files(document.tree, refusals)
    if topics_required and not refusals.covers(_TOPICS):
        _require_topics(document.tree, refusals)
    settings = _validate(document, from_env, refusals)
    if settings is None or refusals.problems:
        raise ConfigError(report_of(refusals.problems, document.places))
    return settings


def read_text(path: pathlib.Path) -> str:
    """Gives the text of a configuration file. Raises ConfigError."""
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give the path of a file in it")
        with path.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: does not exist; check the path, or copy config/examples/minimal.yaml") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"{path!s}: can't be read ({reason}); check the path and who may read it") from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: is larger than 1 MiB; a configuration is a few KiB, so check the path")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not text in UTF-8; save it as UTF-8") from None


def _drop_empty_sections(tree: dict[str, object]) -> None:
    """A section whose options are all commented out reads as nothing, and means its defaults."""
    for name in [name for name, value in tree.items() if value is None and name in Settings.model_fields]:
        del tree[name]


def _require_topics(tree: dict[str, object], refusals: Refusals) -> None:
    kafka = tree.get("kafka", {})
    if isinstance(kafka, dict) and not kafka.get("topics"):
        refusals.add(_TOPICS, "is missing", "name at least one topic, such as 'topics: [inferences]'")


def _validate(document: Document, from_env: set[Path], refusals: Refusals) -> Settings | None:
    """Adds pydantic's problems, except about what was already reported."""

    def value_at(path: Path) -> object:
        return _value_at(document.tree, path, from_env)

    tree = dict(document.tree)
    # Names that begin with an underscore are arguments of pydantic-settings itself and never get to the check.
    hidden = [name for name in tree if name.startswith("_")]
    for name in hidden:
        del tree[name]
    found = [Problem((name,), "unknown key", "remove it", at_key=True) for name in hidden]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        found += problems_of(error, value_at)
    refusals.problems += [problem for problem in found if not refusals.covers(problem.path)]
    return settings


def _value_at(tree: Mapping[str, object], path: Path, from_env: set[Path]) -> object:
    """Gives what was written; for what came out of a variable only its kind, as it may be anything, a secret too."""
    if any(path[:length] in from_env for length in range(1, len(path) + 1)):
        return Veiled()
    here: object = tree
    for element in path:
        here = _step(here, element)
    return here


def _step(here: object, element: str | int) -> object:
    if isinstance(here, dict):
        return here.get(element)
    if isinstance(here, list) and isinstance(element, int) and element < len(here):
        return here[element]
    return None


def report_of(problems: list[Problem], places: Places) -> str:
    """Gives one line per problem, in the order of the file."""
    unique = list(
        dict.fromkeys(_line(problem, places) for problem in sorted(problems, key=lambda one: _order(one, places)))
    )
    if len(unique) > SHOWN_MAX:
        unique = [*unique[:SHOWN_MAX], f"... and {len(unique) - SHOWN_MAX} more"]
    return "\n".join(unique)


def _line(problem: Problem, places: Places) -> str:
    place = places.of(problem.path, at_key=problem.at_key)
    return f"{place}: {show_path(problem.path) or 'the file'}: {problem.message}; {problem.cure}"


def _order(problem: Problem, places: Places) -> tuple[int, ...]:
    place = places.of(problem.path, at_key=problem.at_key)
    return tuple(int(number) for number in place.split(":")[-2:] if number.isdecimal())
