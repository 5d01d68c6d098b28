"""The shape of the settings: as JSON Schema for editors, and the names allowed at each path for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from monitor.config.settings import Settings

if TYPE_CHECKING:
    from monitor.config.refusals import Path

TITLE = "driftd configuration"


def settings_schema() -> dict[str, Any]:
    """Gives the JSON Schema of the configuration file."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": TITLE}


def names_at(path: Path) -> tuple[str, ...]:
    """Gives the option names allowed in the section at this path; none where names are free."""
    model = _model_at(path)
    return tuple(model.model_fields) if model else ()


def sections_with(name: str) -> tuple[str, ...]:
    """Gives the top-level sections that have an option of this name."""
    return tuple(section for section in Settings.model_fields if name in names_at((section,)))


def description_at(path: Path) -> str:
    """Gives the sentence that describes the option at this path, "" if there is none."""
    model = _model_at(path[:-1])
    field = model.model_fields.get(str(path[-1])) if model and path else None
    return (field.description or "") if field else ""


def _model_at(path: Path) -> type[BaseModel] | None:
    """Walks from option to option; an index or a free name (of a rule, a receiver) stays within its container."""
    here: Any = Settings
    for element in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(element))
            here = field.annotation if field else None
        else:
            here = _inner_model(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _inner_model(annotation: object) -> object:
    for inner in get_args(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None
