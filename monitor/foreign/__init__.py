"""Where references may come from that others have made: one file and one line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from monitor.errors import BaselineError
from monitor.foreign.base import Format
from monitor.foreign.evidently import EvidentlyFormat
from monitor.foreign.mlflow import MlflowFormat
from monitor.foreign.wandb import WandbFormat
from monitor.foreign.whylogs import WhylogsFormat

FORMATS: Final[Mapping[str, Format]] = {
    "mlflow": MlflowFormat(),
    "wandb": WandbFormat(),
    "whylogs": WhylogsFormat(),
    "evidently": EvidentlyFormat(),
}


def format_of(path: Path) -> Format:
    """Tell what a path is, the first that recognises it. Raises BaselineError if none does."""
    if not path.exists():
        raise BaselineError(f"{path}: there is no such file or folder")
    found = next((each for each in FORMATS.values() if each.recognises(path)), None)
    if found is None:
        raise BaselineError(
            f"{path}: neither a run or model of MLflow, nor a run or artefact of W&B, nor a profile of whylogs, nor a"
            " report of Evidently; say which with --format, or build from events or rows with `driftd baseline build`"
        )
    return found
