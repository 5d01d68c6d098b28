"""From pydantic's errors to sentences: what was found, what is allowed, and the cure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from monitor.config.guess import did_you_mean, nearest
from monitor.config.refusals import REFUSED, Path, Problem, Veiled, kind_of, show, show_key
from monitor.config.schema import description_at, names_at, sections_with

if TYPE_CHECKING:
    from pydantic import ValidationError

Lookup = Callable[[Path], object]

_BOUNDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "greater_than": ("gt", "more than", "raise it"),
    "greater_than_equal": ("ge", "at least", "raise it"),
    "less_than": ("lt", "less than", "lower it"),
    "less_than_equal": ("le", "at most", "lower it"),
}
_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("text is allowed", "write one text; put it in quotes if it looks like a number"),
    "string_unicode": ("text in Unicode is allowed", "remove the odd escapes"),
    "string_sub_type": ("text is allowed", "write one text; put it in quotes if it looks like a number"),
    "bool_type": ("true or false is allowed", "write true or false"),
    "bool_parsing": ("true or false is allowed", "write true or false"),
    "int_type": ("a whole number is allowed", "write a whole number"),
    "int_parsing": ("a whole number is allowed", "write a whole number"),
    "int_parsing_size": ("a whole number is allowed", "write a smaller one"),
    "int_from_float": ("a whole number is allowed", "round it"),
    "float_type": ("a number is allowed", "write a number"),
    "float_parsing": ("a number is allowed", "write a number"),
    "finite_number": ("a finite number is allowed", "write a finite number"),
    "tuple_type": ("a list is allowed", "write [one, two], or one '- item' per line"),
    "list_type": ("a list is allowed", "write [one, two], or one '- item' per line"),
    "dict_type": ("a mapping is allowed", "write 'name: value' lines under it, indented"),
    "mapping_type": ("a mapping is allowed", "write 'name: value' lines under it, indented"),
    "model_type": ("a mapping is allowed", "write 'option: value' lines under it, indented"),
    "model_attributes_type": ("a mapping is allowed", "write 'option: value' lines under it, indented"),
}
_LENGTHS: Final = {
    "too_short": ("min_length", "at least", "add some"),
    "too_long": ("max_length", "at most", "remove some"),
    "string_too_short": ("min_length", "at least", "write more"),
    "string_too_long": ("max_length", "at most", "shorten it"),
}


def problems_of(error: ValidationError, value_at: Lookup) -> list[Problem]:
    """Gives one problem per error. value_at finds what was given at a path; None when it must not be shown."""
    details = error.errors(include_url=False, include_input=False)
    return [_problem(detail["type"], _path(detail["loc"]), detail.get("ctx", {}), value_at) for detail in details]


def _path(loc: tuple[int | str, ...]) -> Path:
    """Leaves out pydantic's marker for the key itself."""
    return tuple(element for element in loc if element != "[key]")


def _problem(kind: str, path: Path, context: Mapping[str, Any], value_at: Lookup) -> Problem:
    if kind == REFUSED:
        # Our own messages may quote the value, which is no good when it came out of a variable.
        is_veiled = isinstance(value_at(path), Veiled)
        message = "what a variable holds is not allowed" if is_veiled else str(context["message"])
        return Problem(path, message, str(context["cure"]))
    if kind == "extra_forbidden":
        return _unknown_key(path)
    found = show(value_at(path), path)
    if kind in _BOUNDS:
        name, words, cure = _BOUNDS[kind]
        return Problem(path, f"found {found}; {words} {context[name]:g} is allowed", cure)
    if kind in _LENGTHS:
        name, words, cure = _LENGTHS[kind]
        count = context.get("actual_length", len(str(value_at(path) or "")))
        return Problem(path, f"has length {count}; {words} {context[name]} is allowed", cure)
    if kind == "literal_error":
        return _unknown_word(path, str(context["expected"]), value_at(path))
    if kind in _KINDS:
        allowed, cure = _KINDS[kind]
        if allowed.startswith(("a mapping", "a list")):
            # Text here may be a key glued to its secret ("password:x" without a space), so it is not repeated.
            found = kind_of(value_at(path))
        return Problem(path, f"found {found}; {allowed}", cure)
    return Problem(path, f"found {found}, which is not allowed", description_at(path) or "see config/driftd.yaml")


def _unknown_key(path: Path) -> Problem:
    name, allowed = str(path[-1]), names_at(path[:-1])
    guess = nearest(name, allowed)
    elsewhere = sections_with(name)
    if guess:
        cure = f"did you mean {show_key(guess)}?"
    elif elsewhere:
        cure = f"it belongs under {show_key(elsewhere[0])}"
    else:
        cure = f"allowed here: {', '.join(allowed)}"
    return Problem(path, "unknown key", cure, at_key=True)


def _unknown_word(path: Path, expected: str, found: object) -> Problem:
    """expected: as pydantic words it, 'a', 'b' or 'c'."""
    words = expected.replace(" or ", ", ").replace("'", "").split(", ")
    message = f"found {show(found, path)}; allowed: {', '.join(words)}"
    if isinstance(found, bool):
        return Problem(path, message, "put the word in quotes")
    guess = nearest(found, words) if isinstance(found, str) else None
    return Problem(
        path, message, did_you_mean(str(found), words) if guess else f"write one of them, such as {words[0]}"
    )
