"""Detectors: turn counts into values and evidence. A new one is one file and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitor.detectors.chi_square import ChiSquare
from monitor.detectors.js import JensenShannon
from monitor.detectors.ks import KolmogorovSmirnov
from monitor.detectors.mean import Mean
from monitor.detectors.mode_share import ModeShare
from monitor.detectors.psi import Psi
from monitor.detectors.quantiles import P50, P95, P99
from monitor.detectors.rates import INVALID_RATE, NULL_RATE, OUT_OF_RANGE_RATE, UNSEEN_RATE, YES_RATE
from monitor.detectors.volume import Silence, Volume
from monitor.detectors.wasserstein import Wasserstein

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.detectors.base import Detector

DETECTORS: Final[Mapping[str, Detector]] = {
    "psi": Psi(),
    "js": JensenShannon(),
    "ks": KolmogorovSmirnov(),
    "wasserstein": Wasserstein(),
    "chi_square": ChiSquare(),
    "null_rate": NULL_RATE,
    "invalid_rate": INVALID_RATE,
    "unseen_rate": UNSEEN_RATE,
    "out_of_range_rate": OUT_OF_RANGE_RATE,
    "yes_rate": YES_RATE,
    "mode_share": ModeShare(),
    "p50": P50,
    "p95": P95,
    "p99": P99,
    "mean": Mean(),
    "volume": Volume(),
    "silence": Silence(),
}
