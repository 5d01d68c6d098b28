"""Real streams replayed as models, and what driftd tells of them; see benchmarks/README.md.

    python -m benchmarks.stories [electricity] [tokens] [labels] [--picture docs/labels.svg]

electricity: half-hours of the New South Wales electricity market (electricity.csv) as events of a classifier: six
features, the label, and the prediction of a Gaussian naive Bayes classifier fitted on the reference's twelve weeks.
tokens: an hour of requests to a language model (azure-llm-code.csv), context and generated tokens; the reference is the
first half, and in a second replay the generated tokens of the last ten minutes are half as many again.
labels: the market again, with a classifier of scikit-learn whose labels come six hours late (benchmarks.labels).
Each is read from ../shared/data, or from the folder that DRIFTD_DATA names.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.labels import Story, story
from benchmarks.labels_picture import drawing
from monitor.baseline import Input, build_references
from monitor.config import Settings, load_settings
from monitor.domain import FloatArray
from monitor.replaying import Outputs, Summary, replay_files

DATA = Path(os.environ.get("DRIFTD_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
HALF_HOUR_S = 1800.0
FIRST_S = datetime(1996, 5, 7, tzinfo=UTC).timestamp()
REFERENCE_ROWS = 12 * 7 * 48
LONGER = 1.5
CHANGED_S = 600.0


def main() -> int:
    """Print the stories."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="story", help=f"of {', '.join(STORIES)}; by default all")
    parser.add_argument("--picture", type=Path, help="where the picture of `labels` goes")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in STORIES]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(STORIES)}")
    if not DATA.is_dir():
        print(f"no data: {DATA} is not there", file=sys.stderr)
        return 1
    for name in chosen.names or STORIES:
        for title, found in STORIES[name]():
            print(f"{title}\n{found.to_text()}\n")
            if chosen.picture and isinstance(found, Story):
                chosen.picture.write_text(drawing(found), encoding="utf-8")
    return 0


def electricity() -> Iterable[tuple[str, Summary]]:
    """Replay the market after its first twelve weeks."""
    with (DATA / "electricity.csv").open(encoding="utf-8") as file:
        rows = np.array([[float(value) for value in row] for row in list(csv.reader(file))[1:]])
    predicted, score = _naive_bayes(rows[:, :-1], rows[:, -1], REFERENCE_ROWS)
    events = [
        {
            "model": "electricity",
            "event_time": FIRST_S + at * HALF_HOUR_S,
            "features": {
                **{f"feat_{i + 1}": value for i, value in enumerate(row[:-1].tolist())},
                "label": "up" if row[-1] else "down",
                "is_correct": bool(predicted[at] == row[-1]),
            },
            "prediction": "up" if predicted[at] else "down",
            "score": float(score[at]),
        }
        for at, row in enumerate(rows)
    ]
    yield "electricity, after twelve weeks of reference", _replayed(events[:REFERENCE_ROWS], events[REFERENCE_ROWS:])


def _naive_bayes(features: FloatArray, labels: FloatArray, rows: int) -> tuple[FloatArray, FloatArray]:
    """Give the class and the probability of 1 that Gaussian naive Bayes, fitted on the first rows, gives each row."""
    logs = []
    for label in (0.0, 1.0):
        own = features[:rows][labels[:rows] == label]
        mean, deviation = own.mean(axis=0), own.std(axis=0) + 1e-3
        likelihood = -0.5 * ((features - mean) / deviation) ** 2 - np.log(deviation)
        logs.append(likelihood.sum(axis=1) + np.log(len(own)))
    score: FloatArray = 1.0 / (1.0 + np.exp(np.clip(logs[0] - logs[1], -50.0, 50.0)))
    return (score > 0.5).astype(np.float64), score


def tokens() -> Iterable[tuple[str, Summary]]:
    """Replay the second half of the hour as it was, and with longer answers at its end."""
    with (DATA / "azure-llm-code.csv").open(encoding="utf-8") as file:
        rows = [(_epoch_s(row[0]), int(row[1]), int(row[2])) for row in list(csv.reader(file))[1:]]
    middle_s, changed_s = (rows[0][0] + rows[-1][0]) / 2.0, rows[-1][0] - CHANGED_S
    past = [_request(row) for row in rows if row[0] < middle_s]
    rest = [row for row in rows if row[0] >= middle_s]
    yield "tokens, as they were", _replayed(past, [_request(row) for row in rest])
    longer = [_request(row, LONGER if row[0] >= changed_s else 1.0) for row in rest]
    yield (
        f"tokens, answers x {LONGER} from {datetime.fromtimestamp(changed_s, UTC):%H:%M:%S} on",
        _replayed(past, longer),
    )


def labels() -> Iterable[tuple[str, Story]]:
    """Replay the market after its first sixteen weeks, with labels."""
    with tempfile.TemporaryDirectory() as folder:
        yield "electricity, labels six hours late, after eight weeks of reference", story(DATA, Path(folder))


def _request(row: tuple[float, int, int], factor: float = 1.0) -> dict[str, Any]:
    time_s, context, generated = row
    return {"model": "code", "event_time": time_s, "tokens_in": context, "tokens_out": round(generated * factor)}


def _epoch_s(text: str) -> float:
    return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp()


def _replayed(past: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> Summary:
    """Build the reference from the past and replay the events with the default configuration."""
    settings = _settings()
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "past.jsonl", Path(folder) / "events.jsonl"
        for path, own in ((before, past), (after, events)):
            path.write_text("".join(json.dumps(event) + "\n" for event in own), encoding="utf-8")
        built = build_references(settings, Input.of_files([before], model=None, version="", time_column="", every=None))
        return replay_files(settings, built.references, [after], Outputs())


def _settings() -> Settings:
    return load_settings(None, {"DRIFTD_KAFKA__BOOTSTRAP_SERVERS": "none:9092", "DRIFTD_KAFKA__TOPICS": "none"})


STORIES: Final[Mapping[str, Callable[[], Iterable[tuple[str, Summary | Story]]]]] = {
    "electricity": electricity,
    "tokens": tokens,
    "labels": labels,
}


if __name__ == "__main__":
    sys.exit(main())
