"""What is wrong with a configuration: a path, what was found or allowed, and the cure; many at once.

Validators of single values raise `refusal`; checks that look at several values collect them in `Refusals`, so that a
person sees all that is wrong in one go. No message ever holds the value under a secret's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Path = tuple[str | int, ...]

# The type of our own errors among pydantic's.
REFUSED: Final = "refused"
# Longest piece of a value that is repeated in a message, in characters.
SHOWN_MAX: Final = 60
# Names whose values may be or hold something secret. URLs carry tokens (chat webhooks, user:password@).
_SECRET = re.compile(
    r"passw|pwd|passphrase|secret|token|credential|authorization|bearer|jaas|pem|key|url|dsn|header", re.IGNORECASE
)
# Names that match the above and are harmless; keys of files and yes/no options among them.
_HARMLESS = re.compile(r"(_file|_location|\.location|_type)$|^(routes?|keep_firing_for_s)$")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and what to do about it."""

    path: Path
    message: str
    cure: str
    at_key: bool = False


@dataclass(slots=True)
class Refusals:
    """Problems found so far. `spoilt` are paths already reported, about which nothing more needs to be said."""

    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, message: str, cure: str, *, at_key: bool = False) -> None:
        """Notes one problem."""
        self.problems.append(Problem(path, message, cure, at_key))

    def covers(self, path: Path) -> bool:
        """Says whether the value at this path, or one that holds it, was already reported."""
        return any(path[: len(problem.path)] == problem.path for problem in self.problems)

    def raise_in_validator(self, title: str) -> None:
        """Hands all problems to pydantic, which puts the path of the enclosing model in front of each."""
        if self.problems:
            raise ValidationError.from_exception_data(
                title,
                [
                    InitErrorDetails(type=refusal(problem.message, problem.cure), loc=problem.path, input=None)
                    for problem in self.problems
                ],
                hide_input=True,
            )


class Veiled:
    """Stands for a value that came out of a variable: it may be anything, a secret too, and is not shown."""


def refusal(message: str, cure: str) -> PydanticCustomError:
    """Gives the error that a validator raises: what was found or allowed, and what to do."""
    return PydanticCustomError(REFUSED, "{message}; {cure}", {"message": message, "cure": cure})


def told(error: PydanticCustomError) -> tuple[str, str]:
    """Gives back message and cure of a `refusal`."""
    context = error.context or {}
    return str(context.get("message", "")), str(context.get("cure", ""))


def is_secret(path: Path) -> bool:
    """Says whether the value at this path must not be shown: any name on the way to it decides."""
    names = [element for element in path if isinstance(element, str)]
    return any(_SECRET.search(name) and not _HARMLESS.search(name) for name in names)


def show(value: object, path: Path) -> str:
    """Gives a value as text for a message, or only what kind of thing it is when it is secret or big."""
    if value is None or isinstance(value, Veiled):
        return kind_of(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and not is_secret(path):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if isinstance(value, str) and not (is_secret(path) or "@" in value):
        return shorten(value)
    return kind_of(value)


def kind_of(value: object) -> str:
    """Names the kind of a value in the words of the file, without the value."""
    if isinstance(value, Veiled):
        return "what a variable holds"
    if isinstance(value, str | SecretStr):
        return "text"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, dict):
        return "a mapping"
    return "nothing" if value is None else "a list"


def shorten(text: str) -> str:
    """Gives the text in quotes, escaped and cut to a bounded length."""
    return ascii(text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "~")


def show_key(key: str) -> str:
    """Gives a key in quotes. What follows a key glued to its value ("password:x" without a space) is cut off."""
    return shorten(re.split(r"[^\w.*?\[\]-]", key, maxsplit=1)[0] or "?")


def show_path(path: Path) -> str:
    """Gives the path as people write it: models[0].thresholds.psi.red."""
    text = ""
    for element in path:
        if isinstance(element, int):
            text += f"[{element}]"
        else:
            text += ("." if text else "") + show_key(element)[1:-1]
    return text


def mask(value: object, path: Path) -> object:
    """Gives the value with text under secret names wrapped, so that printing settings shows none of it."""
    if isinstance(value, dict):
        return {key: mask(inner, (*path, str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [mask(inner, path) for inner in value]
    return SecretStr(value) if isinstance(value, str) and is_secret(path) else value


def reveal(value: object) -> object:
    """Undoes `mask`, for handing options to the part that uses them."""
    if isinstance(value, dict):
        return {key: reveal(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [reveal(inner) for inner in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value
