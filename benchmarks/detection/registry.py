"""Who takes part: ours, its peers, and the baselines; and how much of each can be afforded."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from benchmarks.detection.candidates import Candidate, Shape
from benchmarks.detection.degenerate import Every, Never
from benchmarks.detection.peers_foreign import FOLDER_VARIABLE, Foreign
from benchmarks.detection.peers_river import ALGORITHMS, HDDM_A, HDDM_W, KSWIN, River
from benchmarks.detection.peers_windows import Evidently, Psi, ScouterPsi

OURS = "driftd"


class Pace(StrEnum):
    """What a candidate costs per stream and look."""

    OURS = "ours"
    """About 1 us, and measured with the most care."""
    VECTOR = "vector"
    """Much less than 1 us: numpy over all streams."""
    LOOP = "loop"
    """About 1 us: a loop in Python."""
    SLOW = "slow"
    """100 us or more."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is watched.

    Few long streams, not many short ones: a watch that has just begun has little evidence yet, so short ones would
    flatter. Measured: rate .001 with one false alarm asked for in 10,000 events, realised over configured 5.3 from
    4,000 looks a stream, 1.3 from 16,000 and from 20,000.
    """

    budget: tuple[int, int]
    """Streams, and looks of each, where D1 is measured."""
    interval: tuple[int, int]
    """The same for D2."""
    repetitions: int
    """Streams of each scenario."""


FULL = {
    Pace.OURS: Size((500, 52_000), (250, 60_000), 1_000),
    Pace.VECTOR: Size((0, 0), (100, 20_000), 1_000),
    Pace.LOOP: Size((0, 0), (20, 25_000), 100),
    Pace.SLOW: Size((0, 0), (10, 4_000), 20),
}
QUICK = {
    Pace.OURS: Size((100, 16_000), (100, 16_000), 250),
    Pace.VECTOR: Size((0, 0), (50, 10_000), 250),
    Pace.LOOP: Size((0, 0), (10, 10_000), 30),
    Pace.SLOW: Size((0, 0), (2, 2_000), 5),
}
ALL: frozenset[str] = frozenset()
NUMBERS, YES_NO = frozenset({Shape.NUMERIC, Shape.POSITIVE, Shape.RATE}), frozenset({Shape.RATE})
EVIDENTLY_EVENTS = (100, 200, 1_000)
QUICK_RULES: frozenset[Candidate] = frozenset({Psi(100, 0.1), Psi(1_000, 0.25), ScouterPsi(100)})
BRIEF_CASES = frozenset({"N(0,1)", "rate .01", "mean +0.5 sd", "rate 0.01 to 0.05", "latency x1.5"})
"""All that the costly take part in with --quick, and the costliest ever."""
ALIBI_CASES = frozenset({"N(0,1)", "AR(1) 0.3", "mean +0.25 sd", "mean +0.5 sd", "mean +1 sd"})
FOREIGN = (
    (Foreign("Evidently, 100", "evidently:100", "evidently", frozenset(Shape)), BRIEF_CASES),
    (Foreign("Evidently, 1,000", "evidently:1000", "evidently", frozenset(Shape)), BRIEF_CASES),
    (Foreign("Frouros CUSUM", "frouros:cusum", "frouros", NUMBERS), ALL),
    (Foreign("Frouros ECDD", "frouros:ecdd", "frouros", YES_NO), ALL),
    (Foreign("Frouros STEPD", "frouros:stepd", "frouros", YES_NO), ALL),
    (Foreign("Frouros BOCD", "frouros:bocd", "frouros", frozenset({Shape.NUMERIC})), BRIEF_CASES),
    (Foreign("Alibi CVM online", "alibi:cvm", "alibi-detect", frozenset({Shape.NUMERIC})), ALIBI_CASES),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One who takes part."""

    candidate: Candidate
    pace: Pace
    cases: frozenset[str] = ALL
    """Names of the families and scenarios it takes part in; empty: in all."""
    why_absent: str = ""
    """If it can't take part here."""
    is_brief: bool = False
    """Whether it is kept to the brief cases with --quick."""

    def takes_part(self, case: str, *, is_quick: bool) -> bool:
        """Say whether it is run on this family or scenario."""
        return (not self.cases or case in self.cases) and (not (self.is_brief and is_quick) or case in BRIEF_CASES)


def ours() -> Entry | None:
    """Give driftd, of benchmarks/detection/driftd.py; None while there is no such file."""
    if importlib.util.find_spec("benchmarks.detection.driftd") is None:
        return None
    return Entry(importlib.import_module("benchmarks.detection.driftd").candidate(), Pace.OURS)


@cache
def entries() -> tuple[Entry, ...]:
    """Give all who take part, ours first."""
    first = ours()
    baselines = (Never(), Every(1), Every(1_000))
    return (*([first] if first else []), *(Entry(baseline, Pace.VECTOR) for baseline in baselines), *_peers())


def entry(name: str) -> Entry:
    """Give one by the name of its candidate."""
    return next(found for found in entries() if found.candidate.name == name)


def _peers() -> tuple[Entry, ...]:
    return (*_river(), *_windows(), *(_foreign(peer, cases) for peer, cases in FOREIGN))


def _river() -> list[Entry]:
    is_absent = importlib.util.find_spec("river") is None
    found = [River(a) for a in ALGORITHMS] + [River(a, is_calibrated=True) for a in ALGORITHMS if any(a.calibrated)]
    return [
        Entry(
            peer,
            Pace.SLOW if peer.algorithm is KSWIN else Pace.LOOP,
            why_absent="river is not installed" if is_absent else "",
            is_brief=peer.algorithm in {KSWIN, HDDM_A, HDDM_W},
        )
        for peer in found
    ]


def _windows() -> list[Entry]:
    rules: list[Candidate] = [Psi(events, threshold) for events in (100, 1_000) for threshold in (0.1, 0.25)]
    rules += [ScouterPsi(events) for events in (100, 1_000)]
    vector = [Entry(rule, Pace.VECTOR, is_brief=rule not in QUICK_RULES) for rule in rules]
    return [*vector, *(Entry(Evidently(events), Pace.SLOW, is_brief=True) for events in EVIDENTLY_EVENTS)]


def _foreign(peer: Foreign, cases: frozenset[str]) -> Entry:
    why = "" if peer.python else f"not installed in ${FOLDER_VARIABLE}/{peer.environment}"
    return Entry(peer, Pace.SLOW, cases, why, is_brief=True)
