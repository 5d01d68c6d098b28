"""Reading the configuration anew while the daemon runs: what of it can be swapped at once, and what needs a restart.

Thresholds, rules, budget, receivers and the log level are swapped; the consumer, counts and references are not touched.
A file that can't be used changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from monitor import build, logs
from monitor.config import Settings
from monitor.config.refusals import show_path
from monitor.errors import ConfigError
from monitor.pipeline_terms import PipelineTerms
from monitor.selfwatch.terms import SelfTerms
from monitor.silences import Maintenance
from monitor.sinks.base import Sink

LIVE: Final = ("alerts.", "models", "receivers.", "log.level", "selfwatch.")
"""How the options begin that are swapped."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A configuration that can be used, in the form in which it is swapped in.

    changed: options that differ and are in force now. needs_restart: options that differ and are not. sinks: of all
    receivers, made anew. same: names of those whose receiver has not changed.
    """

    settings: Settings
    terms: PipelineTerms
    sinks: Sequence[Sink]
    same: frozenset[str]
    watch: SelfTerms
    maintenance: Sequence[Maintenance]
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


class Reloader:
    """Reads the configuration anew, as it was read at the start. load: raises ConfigError."""

    def __init__(self, load: Callable[[], Settings], settings: Settings) -> None:
        self._load = load
        self._started = settings
        self._settings = settings

    def __call__(self) -> Reloaded:
        """Give what is to be swapped in. Raises ConfigError, and then nothing has changed."""
        found = self._load()
        build.check_kafka(found)
        terms = build.pipeline_terms(found)
        started = build.pipeline_terms(self._started)
        if (terms.windows_s, terms.burn_windows_s) != (started.windows_s, started.burn_windows_s):
            raise ConfigError(
                "alerts.windows: the set of windows over all rules has changed, and counts are kept by window: restart"
                " driftd to apply this file (counts, alerts and offsets survive)"
            )
        before, sinks, same = self._settings.receivers, [], set()
        try:
            for name, receiver in found.receivers.items():
                own = build.sinks_of(found, name)
                sinks += own
                same |= {sink.name for sink in own} if receiver == before.get(name) else set()
        except ConfigError:
            for sink in sinks:
                sink.close()
            raise
        changed = tuple(path for path in _differences(self._settings, found) if path.startswith(LIVE))
        needs_restart = tuple(path for path in _differences(self._started, found) if not path.startswith(LIVE))
        if _counted(self._started) != _counted(found):
            needs_restart += ("models (features and segments, of models that were seen already)",)
        self._settings = found
        logs.set_level(found.log.level)
        return Reloaded(
            settings=found,
            terms=terms,
            sinks=sinks,
            same=frozenset(same),
            watch=build.self_terms(found, terms),
            maintenance=build.maintenance(found),
            changed=changed,
            needs_restart=needs_restart,
        )


def _counted(settings: Settings) -> list[tuple[object, ...]]:
    """Give by what models are counted; nothing where none is counted in a way of its own."""
    if not any(entry.features or entry.segments or entry.auto_segments for entry in settings.models):
        return []
    return [
        (entry.match, entry.versions, entry.features, entry.segments, entry.auto_segments) for entry in settings.models
    ]


def _differences(old: object, new: object, path: str = "") -> Iterator[str]:
    """Give the options that differ, by path, never by value: some are secret."""
    if old == new:
        return
    if isinstance(old, BaseModel) and isinstance(new, BaseModel):
        yield from _differences(_fields(old), _fields(new), path)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            place = f"{path}.{show_path((str(name),))}" if path else show_path((str(name),))
            yield from _differences(old.get(name), new.get(name), place)
    else:
        yield path


def _fields(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields} | (model.model_extra or {})
