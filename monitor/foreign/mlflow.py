"""MLflow: a run, its artefacts, or a logged model, as they lie on disk or in a mounted artefact store.

Taken from https://mlflow.org/docs (Models: storage format; Tracking: artifact stores; `mlflow.log_table`) and from what
MLflow 3.17 writes:

* a run of a file store: `EXPERIMENT/RUN/meta.yaml` (run_id, start_time), `tags/`, `artifacts/`; beside it the
  experiment's own `meta.yaml` (name), and `models/NAME/version-N/meta.yaml` of the registry (name, version, run_id);
* a logged model: a folder with `MLmodel` (run_id, saved_input_example_info); in a file store above it `meta.yaml`
  (source_run_id) and `tags/mlflow.modelVersions` (JSON: name, version); once downloaded from a registry, beside it
  `registered_model_meta` (model_name, model_version);
* tables: `log_table` writes `{"columns": [...], "data": [[...]]}`, or Parquet; other artefacts may be CSV or Parquet.

An experiment or registry in a database is not on disk: then only `MLmodel` tells the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from monitor.errors import BaselineError
from monitor.foreign.base import FILES_MAX, Tables, Wishes, chosen, files_in, is_table, read_json, read_yaml
from monitor.lineage import Lineage

META: Final = "meta.yaml"
MODEL: Final = "MLmodel"
REGISTERED: Final = "registered_model_meta"
ARTIFACTS: Final = "artifacts"
VERSIONS: Final = "tags/mlflow.modelVersions"
SUFFIXES: Final = (".parquet", ".pq", ".csv", ".json")
EXAMPLE: Final = "input_example.json"


class Registered(NamedTuple):
    """A model as its registry names it."""

    name: str = ""
    version: str = ""

    @property
    def text(self) -> str:
        """As people write it."""
        return f"{self.name}/{self.version}" if self.version else self.name


class MlflowFormat:
    """Gives the tables of a run, and failing these the input example of its model."""

    name = "mlflow"

    def recognises(self, path: Path) -> bool:
        """Tell whether it is a run, an artefact folder or a logged model."""
        return path.is_dir() and (_run_of(path) is not None or bool(_models(path)))

    def read(self, path: Path, wishes: Wishes) -> Tables:
        """Read it; the model's name is that of the registry, else of the experiment."""
        run, models = _run_of(path), _models(path)
        if run is None and not models:
            raise BaselineError(
                f"{path}: neither a run of MLflow ({META} with run_id) nor a logged model ({MODEL}); name the folder"
                " of the run"
            )
        run_id = str(run[1]["run_id"]) if run is not None else _run_id_of(models)
        registered = _registered(path, run, models, run_id)
        folder = path if run is None else run[0] / ARTIFACTS if (run[0] / ARTIFACTS).is_dir() else run[0]
        tables = [found for found in files_in(folder, SUFFIXES) if _is_data(found)]
        examples = [] if tables else [model / EXAMPLE for model in models if (model / EXAMPLE).is_file()]
        if not tables and not examples:
            raise BaselineError(
                f"{folder}: no table ({', '.join(SUFFIXES)}) among the artefacts; log one with mlflow.log_table or as"
                " Parquet, or build from the data itself and say where it is from with --run-id"
            )
        return Tables(
            described=f"MLflow run {run_id}" if run_id else f"MLflow model {path.name}",
            lineage=Lineage(self.name, run_id, registered.text),
            paths=chosen(tables or examples, folder if tables else path.parent, wishes),
            model=registered.name or _experiment(run),
            version=registered.version,
        )


def _run_of(path: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Give the run's folder and meta.yaml: of the folder itself, or of the one whose artefacts it is among."""
    for folder in (path, *path.absolute().parents[:4]):
        meta = folder / META
        if meta.is_file():
            found = read_yaml(meta)
            return (folder, found) if "run_id" in found and "version" not in found else None
    return None


def _models(path: Path) -> list[Path]:
    """Give the folders of logged models at or below a path, and those that a run of a file store put elsewhere."""
    below = [found.parent for found in files_in(path, (MODEL,)) if found.name == MODEL]
    logged = path / "outputs"
    elsewhere = [path.parent / "models" / each.name / ARTIFACTS for each in logged.glob("*") if each.is_dir()]
    return sorted({*below, *(folder for folder in elsewhere if (folder / MODEL).is_file())})


def _run_id_of(models: list[Path]) -> str:
    found = {str(told) for model in models if (told := read_yaml(model / MODEL).get("run_id"))}
    if len(found) > 1:
        raise BaselineError(
            f"{models[0].parent}: models of several runs ({', '.join(sorted(found)[:5])}); name the folder of one"
        )
    return found.pop() if found else ""


def _experiment(run: tuple[Path, Mapping[str, Any]] | None) -> str:
    meta = None if run is None else run[0].parent / META
    return str(read_yaml(meta).get("name", "")) if meta is not None and meta.is_file() else ""


def _registered(path: Path, run: tuple[Path, Mapping[str, Any]] | None, models: list[Path], run_id: str) -> Registered:
    """Give the newest registered version that was made by the run."""
    found = [*_beside(models), *(_in_store(run[0].parent.parent, run_id) if run is not None else ())]
    names = {each.name for each in found}
    if len(names) > 1:
        raise BaselineError(
            f"{path}: registered as several models ({', '.join(sorted(names))}); name the folder of one logged model"
        )
    return max(
        found,
        key=lambda each: (each.version.isdigit(), int(each.version) if each.version.isdigit() else 0),
        default=Registered(),
    )


def _beside(models: list[Path]) -> Iterator[Registered]:
    """Give what lies beside logged models."""
    for model in models:
        if (model / REGISTERED).is_file():
            told = read_yaml(model / REGISTERED)
            yield Registered(str(told.get("model_name", "")), str(told.get("model_version", "")))
        if (model.parent / VERSIONS).is_file():
            try:
                yield from [Registered(str(v["name"]), str(v["version"])) for v in read_json(model.parent / VERSIONS)]
            except (KeyError, TypeError):
                raise BaselineError(f"{model.parent / VERSIONS}: not a list of names and versions") from None


def _in_store(root: Path, run_id: str) -> Iterator[Registered]:
    """Give what the registry of a file store says of a run."""
    for number, meta in enumerate(sorted((root / "models").glob(f"*/version-*/{META}"))):
        if number >= FILES_MAX:
            raise BaselineError(f"{root / 'models'}: more than {FILES_MAX} registered versions; say --registry-version")
        told = read_yaml(meta)
        if run_id and str(told.get("run_id")) == run_id:
            yield Registered(str(told.get("name", "")), str(told.get("version", "")))


def _is_data(path: Path) -> bool:
    return "input_example" not in path.name and is_table(path)
