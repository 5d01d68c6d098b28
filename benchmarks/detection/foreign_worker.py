"""Runs in the virtual environment of a foreign peer: its library on one side, arrays over pipes on the other.

Imports nothing of driftd, which isn't installed there. Standard input: a line of JSON (`peer`, `shape`, `seed`), the
past of shape (S, m), then blocks of values (S, n); an array is a line of JSON, its shape, and its bytes. Standard
output: for each block as many booleans. Ends when its input does.
"""

from __future__ import annotations

import copy
import importlib
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

Step = Callable[[float], bool]
"""Takes one event of one stream; gives whether to alarm."""

WARM_EVENTS = 1_000
ALIBI = {"ert": 2_000.0, "window_sizes": [20, 100], "n_bootstraps": 4_000}
"""An interval of 100,000 events needs as many simulated streams, some hours; this is what takes 15 s."""
ALIBI_PAST = 500
FROUROS = {"ecdd": "ECDDWT", "stepd": "STEPD", "cusum": "CUSUM", "bocd": "BOCD"}


def evidently_steps(terms: Mapping[str, Any], past: Any) -> list[Step]:
    """Test tumbling windows with Evidently's default test, threshold and all."""
    pandas = importlib.import_module("pandas")
    tests = importlib.import_module("evidently.legacy.calculations.stattests")
    kind = "cat" if terms["shape"] == "categorical" else "num"
    events = int(terms["peer"].split(":")[1])

    def of_stream(values: Any) -> Step:
        reference, held = pandas.Series(values[~np.isnan(values)]), []

        def step(value: float) -> bool:
            held.append(value)
            if len(held) < events:
                return False
            window = pandas.Series(held)
            held.clear()
            test = tests.get_stattest(reference, window, kind, None)
            return bool(test(reference, window, kind, None).drifted)

        return step

    return [of_stream(row) for row in past]


def frouros_steps(terms: Mapping[str, Any], past: Any) -> list[Step]:
    """Run one of Frouros' streaming detectors with its defaults, reset after each alarm as its documentation does."""
    kind = getattr(importlib.import_module("frouros.detectors.concept_drift"), FROUROS[terms["peer"].split(":")[1]])

    def of_stream(values: Any) -> Step:
        detector = kind()

        def step(value: float) -> bool:
            detector.update(value=value)
            is_drift = bool(detector.drift)
            if is_drift:
                detector.reset()
            return is_drift

        for value in values[~np.isnan(values)][-WARM_EVENTS:]:
            step(float(value))
        return step

    return [of_stream(row) for row in past]


def alibi_steps(terms: Mapping[str, Any], past: Any) -> list[Step]:
    """Run Alibi Detect's CVM online; all streams share the first one's past, since each set-up takes 15 s."""
    np.random.seed(terms["seed"])  # noqa: NPY002  the library draws from the global generator
    reference = past[0][~np.isnan(past[0])][-ALIBI_PAST:, None].astype(np.float32)
    first = importlib.import_module("alibi_detect.cd").CVMDriftOnline(reference, verbose=False, **ALIBI)

    def of_stream() -> Step:
        detector = copy.deepcopy(first)

        def step(value: float) -> bool:
            is_drift = bool(detector.predict(np.array([value], np.float32))["data"]["is_drift"])
            if is_drift:
                detector.reset_state()
            return is_drift

        return step

    return [of_stream() for _ in past]


STEPS = {"evidently": evidently_steps, "frouros": frouros_steps, "alibi": alibi_steps}


def received(source: IO[bytes]) -> Any:
    """Give the next array; None at the end."""
    line = source.readline()
    if not line:
        return None
    shape = json.loads(line)
    return np.frombuffer(source.read(8 * math.prod(shape))).reshape(shape)


def main() -> None:
    """Serve one watcher."""
    warnings.simplefilter("ignore")
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the libraries print goes to standard error
    terms = json.loads(source.readline())
    steps = STEPS[terms["peer"].split(":")[0]](terms, received(source))
    while (values := received(source)) is not None:
        alarms = np.zeros(values.shape, np.bool_)
        for row, told, step in zip(values, alarms, steps, strict=True):
            for i in np.flatnonzero(~np.isnan(row)).tolist():
                told[i] = step(float(row[i]))
        sink.write(alarms.tobytes())
        sink.flush()


if __name__ == "__main__":
    main()
