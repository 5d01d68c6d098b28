"""Drift as river's detectors see it: fed once per closed pane and stream, told by the verdict of every other rule.

river says that something has changed and nothing more. What changed, since when, and whether it is over is measured
here: the suffix of the past whose mean lies furthest from the reference's, in the reference's standard deviations (of
positive, heavy-tailed values: in those of their logarithms). An alert needs both, river's detection and a change of at
least the rule's limit; and it lasts until what came since is certainly closer to the reference than that.

Guarantee: none on false alarms, which is why these verdicts have no evidence (0 nats, 0 needed); each detector says
what was measured. They are asked for as few as their part of the budget allows, where they can be asked (`river`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.alerts import AlertBook, Observation
from monitor.bins import VALUE_SPANS, Arena, log_edges, log_values, numeric_edges
from monitor.counts import Pairs
from monitor.detectors.intervals import Z_TWO_SIDED
from monitor.domain import FloatArray, Kind, Seen
from monitor.kept import Moves, State
from monitor.kept_rows import GONE, moved
from monitor.posts import Post, Posts
from monitor.river import RIVER
from monitor.river.base import BOOLEANS_MAX, Feed, load
from monitor.rules import Budget, Level, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.views import Views

PANE_MAX_S: Final = 0.02
"""What feeding one pane to all of river's detectors may take, by the costs that they state."""
POST_S: Final = 8e-6
"""What a stream costs per pane beyond its detector."""
CLEAR_EVIDENCE: Final = 6.9
"""Nats that a return to the reference must be proven with (one in a thousand) before an alert may end."""
MEASURED_EVERY_S: Final = 30.0
"""How often an alert is measured anew."""
PASTS_MAX: Final = 20
"""Streams whose past is looked through at one look: a millisecond each. The others wait for the next one."""


class Watchmen:
    """Judges all streams that a rule of river's watches. Called by the judge, in the loop thread.

    Bound: PANE_MAX_S per pane; streams beyond it are not watched, and counted as overflow. Cost of a look: a
    millisecond for each stream that is alarmed, and each half minute for each alert.
    """

    def __init__(self, table: StreamTable, views: Views, plan_of: PlanOf, budget: Budget) -> None:
        self._table = table
        self._views = views
        self._plan_of = plan_of
        self._budget = budget
        self._posts: dict[Arena, Posts] = defaultdict(Posts)
        self._known: set[tuple[Arena, int, str]] = set()
        self._pane_s = 0.0
        if budget.has_river:
            load()

    # ---- which streams

    def refresh(self, subjects: Iterable[Subject]) -> None:
        """Begin to watch the streams of subjects that have a reference and are not watched yet."""
        for subject in subjects:
            self._refresh(subject)

    def _refresh(self, subject: Subject) -> None:
        found, interval_s = self._found(subject)
        for rule, arena, row in found:
            if (arena, row, rule.name) not in self._known:
                self._known.add((arena, row, rule.name))
                self._post(rule, arena, row, interval_s)

    def _found(self, subject: Subject) -> tuple[list[tuple[Rule, Arena, int]], float]:
        """Give the rules and rows of a subject that are to be watched, and the seconds between false alarms of each."""
        plan = self._plan_of(subject.model, subject.model_version)
        rules = [rule for rule in plan.rules if rule.statistic in RIVER]
        if not rules or not subject.is_ready:
            return [], 0.0
        found = [(rule, arena, row) for arena, row in subject.rows for rule in rules if self._is_for(rule, arena, row)]
        return found, self._budget.river_interval_s(max(1, len(found)))

    def _is_for(self, rule: Rule, arena: Arena, row: int) -> bool:
        rows = self._table.arenas[arena]
        is_learned = not rows.is_learning[row]
        return is_learned and rows.kinds[row] in RIVER[rule.statistic].kinds and rule.watches(rows.keys[row].field)

    def _post(self, rule: Rule, arena: Arena, row: int, interval_s: float) -> Post | None:
        detector, scores = RIVER[rule.statistic], scores_of(self._table, arena, row)
        if scores is None:
            return None
        if self._pane_s + detector.pane_s + POST_S > PANE_MAX_S:
            self._table.overflow["river_streams"] += 1
            return None
        self._pane_s += detector.pane_s + POST_S
        # Panes are taken to be a second long: shorter ones give as many more values, and false alarms.
        interval = interval_s * (1 if detector.feed is Feed.MEAN else BOOLEANS_MAX)
        subject = int(self._table.arenas[arena].subjects[row])
        post = Post(rule, detector, subject, arena, row, scores, interval, detector.make(interval))
        self._posts[arena].add(post)
        return post

    # ---- from one process to the next

    def state(self) -> State:
        """Give all posts in their order, and what has none because there was no room."""
        posts = [post for own in self._posts.values() for by_row in own.by_row.values() for post in by_row]
        posted = {(post.arena, post.row, post.rule.name) for post in posts}
        refused = sorted(self._known - posted)
        return {
            "posts": [post.state() for post in posts],
            "refused": [[arena.name, row, name] for arena, row, name in refused],
        }

    def restore(self, state: State, moves: Moves) -> None:
        """Go on from a state, before `refresh`: with the posts whose rule and stream there still are."""
        wanted: dict[int, dict[tuple[Arena, int, str], tuple[Rule, float]]] = {}
        for found in state.get("posts", []):
            arena = Arena[found["arena"]]
            row = _moved(moves, arena, found["row"])
            if row == GONE:
                continue
            subject = int(self._table.arenas[arena].subjects[row])
            if subject not in wanted:
                own, interval_s = self._found(self._table.subjects[subject])
                wanted[subject] = {(at, place, rule.name): (rule, interval_s) for rule, at, place in own}
            place = (arena, row, str(found["rule"]))
            if place in wanted[subject]:
                self._known.add(place)
                rule, interval_s = wanted[subject][place]
                post = self._post(rule, arena, row, interval_s)
                if post is not None:
                    post.restore(found)
        for name, at, rule_name in state.get("refused", []):
            row = _moved(moves, Arena[name], at)
            if row != GONE:
                self._known.add((Arena[name], row, rule_name))

    def rule_of(self, arena: Arena, row: int, name: str) -> Rule | None:
        """Give the rule of this name that watches a row, if any does."""
        posts = self._posts[arena].by_row.get(row, ()) if arena in self._posts else ()
        return next((post.rule for post in posts if post.rule.name == name), None)

    # ---- panes

    def count(self, arena: Arena, pairs: Pairs) -> None:
        """Feed the counts of a pane that closed."""
        posts = self._posts.get(arena)
        if posts is None:
            return
        flat, held = pairs
        starts = posts.rows * self._table.arenas[arena].width
        bounds = np.searchsorted(flat, (starts, starts + VALUE_SPANS[arena]))
        for at in np.flatnonzero(bounds[0] < bounds[1]).tolist():
            part = slice(*bounds[:, at].tolist())
            for post in posts.by_row[int(posts.rows[at])]:
                post.feed(flat[part] - starts[at], held[part])

    @property
    def alarmed(self) -> int:
        """How many streams without an alert river's detectors have told of since the last look."""
        posts = (post for own in self._posts.values() for by_row in own.by_row.values() for post in by_row)
        return sum(post.is_alarmed and post.raised is None for post in posts)

    def look(self, book: AlertBook, end_s: float) -> Iterator[Observation]:
        """Give what there is to say after a pane: of streams alarmed now, and of those with an alert."""
        pasts = PASTS_MAX
        for posts in self._posts.values():
            for post in (post for own in posts.by_row.values() for post in own):
                if post.raised is not None and (post.raised.rule.name, post.raised.key) not in book:
                    post.begin_anew(end_s)
                if pasts and self._is_due(post, end_s):
                    pasts -= 1
                    self._measure(post, end_s)
                if post.raised is not None:
                    yield post.raised

    @staticmethod
    def _is_due(post: Post, end_s: float) -> bool:
        return post.is_alarmed if post.raised is None else end_s - post.measured_s >= MEASURED_EVERY_S

    # ---- what it is

    def _measure(self, post: Post, end_s: float) -> None:
        """Measure what came since the onset: estimated for a new alarm, that of the alert for an old one."""
        past = Past.of(self._views, post)
        post.is_alarmed, post.measured_s = False, end_s
        if post.raised is None:
            at = past.onset(post)
            post.raised = None if at is None else self._observation(post, past, at, end_s)
            return
        assert post.raised.since_s is not None
        at = int(np.argmin(np.abs(past.starts - post.raised.since_s)))
        seen = past.seen(post, post.raised.since_s)
        if seen is None and past.samples[at] > 0:
            since_s = post.raised.since_s
            post.raised = replace(self._observation(post, past, at, end_s), since_s=since_s, window_s=end_s - since_s)
        else:
            post.raised = replace(post.raised, seen=seen or Seen.UNKNOWN)

    def _observation(self, post: Post, past: Past, at: int, end_s: float) -> Observation:
        value, error = float(abs(past.gap[at])), float(Z_TWO_SIDED * past.error[at])
        red, yellow = post.rule.red, post.rule.yellow
        is_red = yellow is None or (red is not None and value - error >= red.value)
        subject, rows = self._table.subjects[post.subject], self._table.arenas[post.arena]
        return Observation(
            rule=post.rule,
            key=rows.keys[post.row],
            seen=Seen.RED if is_red else Seen.YELLOW,
            value=value,
            threshold=_level(red if is_red else yellow),
            interval=(max(0.0, value - error), value + error),
            samples=int(past.samples[at]),
            evidence=0.0,
            evidence_needed=0.0,
            window_s=end_s - float(past.starts[at]),
            reference=subject.reference.identity if subject.reference else "",
            where=(post.rule.statistic, post.arena),
            row=post.row,
            since_s=float(past.starts[at]),
            change="error rate" if rows.kinds[post.row] is Kind.YES_NO else "location",
        )


@dataclass(frozen=True, slots=True)
class Past:
    """Every suffix of a stream's past, newest first; arrays of shape (n,).

    gap: of its mean from the reference's, in standard deviations; error: of that gap.
    """

    starts: FloatArray
    samples: FloatArray
    gap: FloatArray
    error: FloatArray

    @classmethod
    def of(cls, views: Views, post: Post) -> Past:
        """Give the past of a post's stream."""
        view, starts = views.suffixes(post.arena, post.row)
        counts = view.counts[:, : len(post.scores)].astype(np.float64)
        samples = counts.sum(axis=1)
        least = np.maximum(samples, 1.0)
        gap = counts @ post.scores / least
        variance = np.maximum(counts @ (post.scores * post.scores) / least - gap * gap, 0.0)
        return cls(starts, samples, gap, np.sqrt(variance / least))

    def onset(self, post: Post) -> int | None:
        """Give the suffix that lies furthest from the reference by chance's measure; None if none is told by the rule.

        None that begins before what was told already, but the newest.
        """
        is_own = self.starts >= post.after_s
        is_own[:1] = True
        is_told = is_own & (self.samples >= post.rule.samples_min) & (np.abs(self.gap) >= _lowest(post.rule))
        return int(np.argmax(np.where(is_told, self.samples * self.gap**2, -np.inf))) if is_told.any() else None

    def seen(self, post: Post, since_s: float) -> Seen | None:
        """Give whether an alert is over (CLEAR), or nothing can be said (UNKNOWN); None: it goes on."""
        if not self.samples.any():
            return Seen.UNKNOWN
        room = np.maximum(_lowest(post.rule) * (1.0 - post.rule.hysteresis) - np.abs(self.gap), 0.0)
        is_over = (0.5 * self.samples * room**2 >= CLEAR_EVIDENCE) & (self.samples >= post.rule.samples_min)
        return Seen.CLEAR if bool(np.any(is_over & (self.starts >= since_s))) else None


def _moved(moves: Moves, arena: Arena, row: int) -> int:
    return int(moved(np.array([row]), moves[arena])[0])


def _lowest(rule: Rule) -> float:
    """Give the least change that a rule tells."""
    return min(level.value for level in (rule.yellow, rule.red) if level is not None)


def _level(level: Level | None) -> float:
    assert level is not None
    return level.value


def scores_of(table: StreamTable, arena: Arena, row: int) -> FloatArray | None:
    """Give how far each value bin lies from the reference's mean, in its standard deviations; None without a spread.

    Numeric: bins' middles, of those at the ends their edge. LOG: their logarithms. Yes/no: with half an event more of
    each, so that a rate never seen has a deviation too.
    """
    rows = table.arenas[arena]
    counts = rows.reference[row, : VALUE_SPANS[arena]].astype(np.float64)
    if arena is Arena.FLAGS:
        values, counts = np.array([0.0, 1.0]), counts + 0.5
    elif arena is Arena.LOGS:
        exponent = int(rows.exponents[row])
        values = np.log(np.maximum(log_values(exponent), log_edges(exponent)[0]))
    else:
        (edges,) = numeric_edges(*table.values.grid[row : row + 1].T)
        values = np.concatenate([edges[:1], 0.5 * (edges[1:] + edges[:-1]), edges[-1:]])
    total = counts.sum()
    if not total:
        return None
    mean = counts @ values / total
    deviation = np.sqrt(counts @ (values - mean) ** 2 / total)
    return np.asarray((values - mean) / deviation) if deviation > 0.0 else None
