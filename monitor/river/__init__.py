"""river's drift detectors, for rules that ask for them. A new one is one file and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitor.river.adwin import Adwin
from monitor.river.ddm import Ddm
from monitor.river.eddm import Eddm
from monitor.river.fhddm import Fhddm
from monitor.river.hddm import HddmA, HddmW
from monitor.river.kswin import Kswin
from monitor.river.page_hinkley import PageHinkley

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.river.base import RiverDetector

RIVER: Final[Mapping[str, RiverDetector]] = {
    "adwin": Adwin(),
    "page_hinkley": PageHinkley(),
    "kswin": Kswin(),
    "ddm": Ddm(),
    "eddm": Eddm(),
    "hddm_a": HddmA(),
    "hddm_w": HddmW(),
    "fhddm": Fhddm(),
}
