"""How well classes are told: F1 of the positive class, macro F1 over all, and AUC from binned scores.

Accuracy, precision, recall and specificity are shares of streams of their own; log loss and Brier score are means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.bins import CATEGORIES_MAX
from monitor.domain import FloatArray, Kind
from monitor.kpis.base import UNKNOWN, Cell, Estimate, flags_of, unit_counts_of
from monitor.kpis.limits import effective_share, mapped, share_of

PAIR: Final = " > "
"""Stands between what was predicted and what was labelled in the categories of `confusion`."""


@dataclass(frozen=True, slots=True)
class F1:
    """F1 of the positive class: 2 TP / (2 TP + FP + FN), ratio.

    `recall` counts TP and FN, `precision` TP and FP. Interval: of J = TP / (TP + FP + FN), the share of hits among rows
    predicted or labelled positive, turned into 2 J / (1 + J), which grows with it. So it is exact for given such rows.
    Guarantee: each side misses with at most alpha/2, for independent rows. Source: limits.share_limits; F1 = 2J/(1+J)
    is Dice's coefficient by Jaccard's. Unknown while nothing was predicted or labelled positive.
    """

    name: str = "f1"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("precision", "recall")
    is_higher_better: bool | None = True

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give F1; unknown too where the two streams don't count the same rows, so that their TP differ."""
        (hits, predicted), (found, labelled) = (flags_of(cell, field) for field in self.fields)
        if hits != found:
            return UNKNOWN
        return mapped(share_of(hits, predicted + labelled - hits, alpha), lambda share: 2.0 * share / (1.0 + share))


@dataclass(frozen=True, slots=True)
class MacroF1:
    """Mean over classes of each class's F1 against all others, ratio; classes are those predicted or labelled.

    F_k = 2 n_kk / (n_k. + n_.k). Interval: variance by the delta method over the cells of the table, turned into an
    effective number of events (limits.effective_share), at most as many as there are and classes * (rows predicted or
    labelled as the rarest one), since what that class may hide weighs as much as all of another.
    Pairs beyond the 57 that are told apart are left out, of `samples` too: then it is the macro F1 of the pairs told.
    A class name that holds " > " itself is read up to its first one. Guarantee: asymptotic.
    Source: Takahashi, Yamamoto, Kuchiba and Koyama (2022), Applied Intelligence 52, 4961-4972.
    """

    name: str = "macro_f1"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("confusion",)
    is_higher_better: bool | None = True

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give macro F1; unknown without pairs."""
        table = confusion_of(cell)
        rows = float(table.sum())
        if rows == 0.0:
            return UNKNOWN
        hits, total = np.diag(table), table.sum(axis=0) + table.sum(axis=1)
        each = 2.0 * hits / total
        # How much one more row (as a share of all) in each cell of the table adds to the sum of the classes' F1.
        gain = -(each / total)[:, None] - (each / total)[None, :] + np.diag(2.0 / total)
        gain *= rows / len(each)
        variance = (float((table * gain * gain).sum()) / rows - (float((table * gain).sum()) / rows) ** 2) / rows
        most = min(rows, len(each) * float(total.min()))
        return effective_share(float(each.mean()), variance, int(rows), most, alpha)


def confusion_of(cell: Cell) -> FloatArray:
    """Give rows by class predicted and class labelled, shape (K, K), of classes that were one or the other."""
    stream = cell.get("confusion")
    if stream is None or stream.kind is not Kind.CATEGORICAL:
        return np.zeros((0, 0))
    found = [
        (*pair.partition(PAIR)[::2], int(count))
        for pair, count in zip(stream.categories[:CATEGORIES_MAX], stream.counts, strict=False)
        if count > 0 and PAIR in pair
    ]
    place = {name: i for i, name in enumerate(sorted({name for pair in found for name in pair[:2]}))}
    table = np.zeros((len(place), len(place)))
    for predicted, labelled, count in found:
        table[place[predicted], place[labelled]] += count
    return table


@dataclass(frozen=True, slots=True)
class Auc:
    """Area under the ROC curve: the chance that a positive's score lies above a negative's, ties half; ratio.

    sum over bins of p_b (sum of n_c for c < b + n_b / 2) / (P N). Interval: DeLong's variance, ties half, turned into
    an effective number of events (limits.effective_share), of at most 4 P N / (P + N), which Hanley and McNeil's
    variance reaches at 1. Guarantee: asymptotic; for perfectly separated scores, where DeLong's is 0, by that limit.
    It is the AUC of scores told to 1/57: the exact one differs by at most AucResolution.
    Source: DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44; Hanley and McNeil (1982), Radiology 143.
    """

    name: str = "auc"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("score_positive", "score_negative")
    is_higher_better: bool | None = True

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the AUC; unknown without scores of both classes."""
        positive, negative = (unit_counts_of(cell, field) for field in self.fields)
        positives, negatives = float(positive.sum()), float(negative.sum())
        if positives == 0.0 or negatives == 0.0:
            return UNKNOWN
        beats = (np.cumsum(negative) - negative / 2.0) / negatives
        beaten = 1.0 - (np.cumsum(positive) - positive / 2.0) / positives
        value = float(positive @ beats) / positives
        variance = _spread(positive, beats, value) / positives + _spread(negative, beaten, value) / negatives
        most = 4.0 * positives * negatives / (positives + negatives)
        return effective_share(value, variance, int(positives + negatives), most, alpha)


def _spread(counts: FloatArray, values: FloatArray, mean: float) -> float:
    """Give the variance of a sample of `values`; 0 for a single one."""
    samples = float(counts.sum())
    return float(counts @ (values - mean) ** 2) / max(samples - 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class AucResolution:
    """The most that the AUC of exact scores can lie from the binned one: half the share of pairs in one bin; ratio.

    sum p_b n_b / (2 P N), a bound without chance, so low and high are the value. About 0.01 for scores spread over
    [0, 1]; near 0.5 for scores that all lie within 1/57, where the binned AUC says little: have such a model send a
    spread-out score (a rank, a logit squashed).
    """

    name: str = "auc_resolution"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("score_positive", "score_negative")
    is_higher_better: bool | None = False

    def estimate(self, cell: Cell, alpha: float) -> Estimate:  # noqa: ARG002
        """Give the bound; unknown without scores of both classes."""
        positive, negative = (unit_counts_of(cell, field) for field in self.fields)
        pairs = float(positive.sum()) * float(negative.sum())
        if pairs == 0.0:
            return UNKNOWN
        bound = float(positive @ negative) / (2.0 * pairs)
        return Estimate(bound, bound, bound, int(positive.sum() + negative.sum()))
