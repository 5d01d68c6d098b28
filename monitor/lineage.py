"""Where a reference comes from, by the names that others have given to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

NAME_CHARACTERS_MAX: Final = 256


class Lineage(NamedTuple):
    """What a reference was made from; each "" where it is not known.

    source_kind: live, file, kafka, mlflow, wandb, whylogs or evidently. run_id: of the run that logged the model or the
    data. registry_version: of the model in its registry, or of the artefact, as that writes it: "fraud/7", "scored:v3".
    """

    source_kind: str = ""
    run_id: str = ""
    registry_version: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Lineage:
        """Give what is told by name; what is missing is not known, and what is told beside it is passed over."""
        return cls(*(str(told.get(name) or "") for name in cls._fields))

    def told(self, run_id: str | None, registry_version: str | None) -> Lineage:
        """Give it with what a person says in place of what was found; None: as found."""
        run = self.run_id if run_id is None else run_id
        version = self.registry_version if registry_version is None else registry_version
        return Lineage(self.source_kind, run[:NAME_CHARACTERS_MAX], version[:NAME_CHARACTERS_MAX])

    @property
    def text(self) -> str:
        """In words, "" where nothing is known but the kind."""
        told = (("run", self.run_id), ("version", self.registry_version))
        return ", ".join(f"{name} {value}" for name, value in told if value)


UNKNOWN: Final = Lineage()
