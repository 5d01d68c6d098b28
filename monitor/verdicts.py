"""Verdicts: what one window says of each line, and what all windows say together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.detectors.base import Detector, View
from monitor.domain import BoolArray, IntArray, Seen
from monitor.incomplete import Incomplete
from monitor.lines import Lines, Where
from monitor.rules import SILENCE
from monitor.views import Views

CLEAR_EVIDENCE: Final = 6.9
"""Nats that the good side must be proven with (one in a thousand) before an alert may end."""

SeenArray = npt.NDArray[np.int8]


class Verdicts:
    """Judges windows. incomplete: where messages are missing, so that nothing is said of windows that reach there."""

    def __init__(self, views: Views, detectors: Mapping[str, Detector], incomplete: Incomplete) -> None:
        self._views = views
        self._detectors = detectors
        self._incomplete = incomplete

    def seen(self, where: Where, lines: Lines, window: int, is_watched: BoolArray, end_s: float) -> SeenArray:
        """Give what a window says of each line: HOLD, unproven, of those on the good side that nobody asks about."""
        detector = self._detectors[where[0]]
        view = self._views.shared(where[1], window, lines.row)
        if self._incomplete.touch(end_s - view.span_s, end_s):
            return np.full(len(lines.row), Seen.UNKNOWN, dtype=np.int8)
        measure = detector.measure(view)
        seen = np.full(len(lines.row), Seen.HOLD, dtype=np.int8)
        is_bad = lines.sign * (measure.value - lines.lowest) > 0
        at = np.flatnonzero(is_bad | is_watched)
        if at.size:
            seen[at] = self._proven(detector, self._views.part(view, at), lines, at)
        is_unknown = (measure.samples < lines.samples_min) | np.isnan(measure.value) | np.isnan(lines.lowest)
        if where[0] == SILENCE:
            is_unknown |= self._incomplete.touched(end_s - np.nan_to_num(view.silence_s), end_s)
        seen[is_unknown] = Seen.UNKNOWN
        return seen

    def _proven(self, detector: Detector, view: View, lines: Lines, at: IntArray) -> SeenArray:
        """Give what the evidence proves of the lines at `at`, whose rows the view holds."""
        measure, sign, needed = detector.measure(view), lines.sign[at], lines.needed[at]
        evidence = sign * detector.evidence(view, measure, lines.lowest[at])
        seen = np.full(len(at), Seen.HOLD, dtype=np.int8)
        is_good = sign * (measure.value - lines.clear[at]) <= 0
        seen[is_good & (evidence <= -CLEAR_EVIDENCE)] = Seen.CLEAR
        red = lines.red[at]
        is_red = ~np.isnan(red) & (sign * detector.evidence(view, measure, red) >= needed)
        is_breach = evidence >= needed
        seen[is_breach] = np.where(is_red, Seen.RED, Seen.YELLOW)[is_breach]
        return seen


def together(lines: Lines) -> tuple[SeenArray, IntArray]:
    """Give what the windows say together, and which of them decided: the shortest that proves something."""
    verdict = np.zeros(len(lines.row), dtype=np.int8)
    decided_by = np.zeros(len(lines.row), dtype=np.int64)
    for window, seen in enumerate(lines.seen):
        says = np.where(lines.in_window[window], seen, Seen.UNKNOWN)
        better = (verdict < Seen.CLEAR) & (says > verdict)
        verdict[better] = says[better]
        decided_by[better] = window
    return verdict, decided_by
