"""The bar of DETECTION.md: what each figure must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Must:
    """One bound on one figure."""

    row: str
    figure: str
    bound: float | str
    """A number, or the name of the figure it is compared with."""
    is_upper: bool = True

    def broken(self, figures: Figures) -> str:
        """Say what does not hold; empty if it holds."""
        value = figures.get(self.figure)
        bound = figures.get(self.bound) if isinstance(self.bound, str) else self.bound
        sign = "<=" if self.is_upper else ">="
        if value is None or bound is None:
            return f"{self.row}: {self.figure} was not measured, must be {sign} {self.bound}"
        if (value <= bound) if self.is_upper else (value >= bound):
            return ""
        return f"{self.row}: {self.figure} is {value:.4g}, must be {sign} {bound:.4g}"


MUSTS = (
    Must("D1", "fa_per_stream_day", 1e-2),
    Must("D2", "arl_ratio_min", 0.5, is_upper=False),
    Must("D2", "arl_ratio_max", 3.0),
    Must("D3", "delay_ratio_mean_shift", 1.6),
    Must("D4", "delay_ratio_rates", 1.6),
    Must("D5", "delay_ratio_shape", 2.5),
    Must("D6", "missed", 0.02),
    Must("D7", "unsafe_seconds", 60.0),
    Must("D8", "latency_events", 300.0),
    Must("D9", "nab_dev_standard", 55.0, is_upper=False),
    Must("D10", "kpi_event_recall", "kpi_best_peer_recall", is_upper=False),
)


def broken(figures: Figures) -> list[str]:
    """Say what does not hold."""
    return [said for must in MUSTS if (said := must.broken(figures))]
