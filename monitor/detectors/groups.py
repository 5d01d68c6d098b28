"""Two rows of grouped counts made comparable: shares of the window and of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from monitor.detectors.base import View
    from monitor.domain import BoolArray, FloatArray, IntArray

JEFFREYS: Final = 0.5
"""Added to each used group, so that no share is 0 and no logarithm infinite; half an event nearly cancels the bias of
log ratios (Haldane (1956), Annals of Human Genetics 20)."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What the grouped counts of S streams say about the two distributions.

    window, reference: shape (S, G), shares that sum to 1 over the used groups, and exactly 1 in both for unused
    groups, where differences and log ratios then vanish. samples, reference_samples: shape (S,), events n and m.
    freedom: shape (S,), used groups less one. variance_unit: shape (S,), 1/n + 1/m, what all noise is proportional to.
    is_known: shape (S,), True with events on both sides and at least two groups; other rows hold harmless numbers.
    """

    window: FloatArray
    reference: FloatArray
    samples: FloatArray
    reference_samples: FloatArray
    freedom: FloatArray
    variance_unit: FloatArray
    is_known: BoolArray


def shares_of(view: View, pseudo_count: float = JEFFREYS) -> Shares:
    """Give the shares of a view, with so many events added to each used group. Cost: O(S G), no logarithm."""
    return shares_of_counts(view.grouped, view.reference_grouped, view.groups_used, pseudo_count)


def shares_of_counts(
    grouped: FloatArray, reference: FloatArray, groups_used: IntArray | None = None, pseudo_count: float = JEFFREYS
) -> Shares:
    """Give the shares of counts, both of shape (S, G); groups_used: shape (S,), by default all of them."""
    if groups_used is None:
        groups_used = np.full(len(grouped), grouped.shape[1])
    # A product with ones is several times faster than a sum over short rows, and as exact: counts are whole numbers.
    ones = np.ones(grouped.shape[1])
    samples = grouped @ ones
    reference_samples = reference @ ones
    is_known = (samples > 0.0) & (reference_samples > 0.0) & (groups_used > 1)
    n = np.where(is_known, samples, 1.0)
    m = np.where(is_known, reference_samples, 1.0)
    is_used = is_known[:, None] & (np.arange(grouped.shape[1]) < groups_used[:, None])
    used = np.where(is_known, groups_used, 2).astype(np.float64)
    return Shares(
        window=np.where(is_used, (grouped + pseudo_count) / (n + pseudo_count * used)[:, None], 1.0),
        reference=np.where(is_used, (reference + pseudo_count) / (m + pseudo_count * used)[:, None], 1.0),
        samples=np.where(is_known, samples, 0.0),
        reference_samples=np.where(is_known, reference_samples, 0.0),
        freedom=used - 1.0,
        variance_unit=1.0 / n + 1.0 / m,
        is_known=is_known,
    )


def spread_of(scores: FloatArray, shares: FloatArray) -> FloatArray:
    """Give the variance of `scores` under `shares`, both of shape (S, G), where unused groups have a score of 0."""
    mean = np.einsum("ij,ij->i", scores, shares)
    variance: FloatArray = np.maximum(np.einsum("ij,ij,ij->i", scores, scores, shares) - mean * mean, 0.0)
    return variance
