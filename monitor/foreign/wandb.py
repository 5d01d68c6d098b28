"""Weights & Biases: a run's folder, or a downloaded artefact, as they lie on disk.

Taken from https://docs.wandb.ai (Tables; Artifacts: download and use) and from what wandb 0.31 writes:

* a run: `wandb/run-DATE_TIME-ID/` (or `offline-run-...`), with `files/media/table/KEY_STEP_HASH.table.json`;
* an artefact that was downloaded: `artifacts/NAME:vN/`, or `NAME-vN` where a colon is not allowed; one that a run's
  table made of itself is named `run-ID-KEY`; its tables are `*.table.json`, or Parquet or CSV that was added;
* a table: `{"columns": [...], "data": [[...]], ...}`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from monitor.errors import BaselineError
from monitor.foreign.base import Tables, Wishes, chosen, files_in, is_table
from monitor.lineage import Lineage

RUN: Final = re.compile(r"^(?:offline-)?run-\d{8}_\d{6}-(?P<id>[A-Za-z0-9_-]+)$")
ARTIFACT: Final = re.compile(r"^(?P<name>.+)[:-](?P<version>v\d+)$")
RUN_TABLE: Final = re.compile(r"^run-(?P<id>[A-Za-z0-9]+)-(?P<key>.+)$")
SUFFIXES: Final = (".table.json", ".parquet", ".pq", ".csv")


class WandbFormat:
    """Gives the tables of a run or of an artefact."""

    name = "wandb"

    def recognises(self, path: Path) -> bool:
        """Tell whether it is a run's folder, an artefact's, or has tables of W&B."""
        return path.is_dir() and bool(
            RUN.match(path.absolute().name) or ARTIFACT.match(path.absolute().name) or files_in(path, (".table.json",))
        )

    def read(self, path: Path, wishes: Wishes) -> Tables:
        """Read it. The run is told by the folder's name; of an artefact, only if a run's table made it."""
        tables = [found for found in files_in(path, SUFFIXES) if is_table(found)]
        if not tables:
            raise BaselineError(
                f"{path}: no table ({', '.join(SUFFIXES)}); log one as wandb.Table, or download the artefact"
                " that holds it"
            )
        folders = [folder.name for folder in (path.absolute(), *path.absolute().parents[:4])]
        run = next((found for name in folders if (found := RUN.match(name))), None)
        artifact = next((found for name in folders if (found := ARTIFACT.match(name))), None) if run is None else None
        made = RUN_TABLE.match(artifact["name"]) if artifact else None
        run_id = run["id"] if run else made["id"] if made else ""
        version = f"{artifact['name']}:{artifact['version']}" if artifact else ""
        return Tables(
            described=f"W&B artefact {version}" if version else f"W&B run {run_id}" if run_id else f"W&B {path.name}",
            lineage=Lineage(self.name, run_id, version),
            paths=chosen(tables, path, wishes),
        )
