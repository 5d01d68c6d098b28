"""Which window decides, what a look needs, and when a breach began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.bins import NO, VALUE_SPANS, WIDTHS, YES, Arena
from monitor.counts import EMPTY, Counts, Ladder
from monitor.detectors import DETECTORS
from monitor.domain import AlertState, Band, Reason, Transition
from monitor.fields import Watch
from monitor.judge import Judge
from monitor.lines import LOOKS_PER_SPAN, Terms
from monitor.rules import Budget, Level, Plan, Rule
from monitor.scopes import StreamLimits
from monitor.streams import StreamTable
from monitor.verdicts import CLEAR_EVIDENCE
from monitor.views import Views

SHORT, LONG = 10.0, 100.0
WINDOWS = (SHORT, LONG)


def rule(**changes: object) -> Rule:
    told: dict[str, object] = {
        "name": "unsafe",
        "statistic": "yes_rate",
        "fields": ("unsafe",),
        "yellow": Level(0.1),
        "red": Level(0.3),
        "windows_s": WINDOWS,
        "samples_min": 20,
        "keep_firing_for_s": 0.0,
    }
    return Rule(**{**told, **changes})  # type: ignore[arg-type] # a builder for tests: names are checked by Rule


@dataclass
class Court:
    """A judge over one yes/no stream, fed with counts by the second, without events or a pipeline."""

    rules: tuple[Rule, ...]
    budget: Budget = field(default_factory=lambda: Budget(pages=10.0, period_s=3600.0))
    windows_s: tuple[float, ...] = WINDOWS
    past_s: float = 0.0

    def __post_init__(self) -> None:
        plan = Plan(Watch(), self.rules)
        self.table = StreamTable(StreamLimits(), lambda _m, _v: plan.watch)
        self.ladders = tuple(Ladder(self.windows_s, self.past_s) for _ in Arena)
        self.views = Views(self.table, self.ladders)
        terms = Terms.of(self.budget, self.windows_s, 1.0)
        self.judge = Judge(self.table, self.views, DETECTORS, lambda _m, _v: plan, terms)
        self.scope = self.table.scopes_of(["m"], ["1"])
        (self.row,) = self.table.field_rows("unsafe", [True], self.scope).tolist()
        self.table.field_rows("events", None, self.scope)
        self.pane = 0

    def freeze(self, no: int, yes: int) -> None:
        self.table.flags.reference[self.row, [NO, YES]] = (no, yes)
        self.table.freeze(self.table.subjects[0], "told", (0.0, 100.0))

    def second(self, no: int = 0, yes: int = 0) -> list[Transition]:
        at = self.row * WIDTHS[Arena.FLAGS]
        hits = np.repeat([at + NO, at + YES], [no, yes])
        flags = Counts.of_hits([hits], self.table.flags.size) if no or yes else EMPTY
        start_s, end_s = float(self.pane), float(self.pane + 1)
        for arena, ladder in zip(Arena, self.ladders, strict=True):
            ladder.append(start_s, end_s, flags if arena is Arena.FLAGS else EMPTY)
            self.judge.count(arena, (flags if arena is Arena.FLAGS else EMPTY).pairs(), end_s)
        self.views.close(end_s, start_s, flags)
        self.pane += 1
        return self.judge.look(self.pane - 1, end_s)

    def seconds(self, count: int, no: int = 0, yes: int = 0) -> list[Transition]:
        return [t for _ in range(count) for t in self.second(no, yes)]


def told(transitions: list[Transition]) -> list[tuple[float, str, str]]:
    return [(t.time_s, str(t.alert.state), t.alert.band.label) for t in transitions]


def test_nothing_is_said_of_what_is_fine() -> None:
    assert [] == Court((rule(),)).seconds(200, no=99, yes=1)


def test_strong_breach_fires_at_once_and_tells_of_what_came_since() -> None:
    court = Court((rule(),))
    court.seconds(100, no=100)

    (first,) = court.seconds(8, no=20, yes=80)

    assert 101 == first.time_s
    assert (Band.RED, AlertState.FIRING) == (first.alert.band, first.alert.state)
    assert (100, 0.8, 100, 1) == (
        first.alert.since_s,
        first.alert.value,
        first.alert.samples,
        first.alert.window_s,
    )


def test_faint_breach_fires_as_yellow_once_it_is_certain() -> None:
    court = Court((rule(),))

    (first,) = court.seconds(100, no=35, yes=5)

    assert "yellow" == first.alert.band.label
    assert first.alert.window_s > SHORT * 1.4
    assert first.alert.evidence >= first.alert.evidence_needed


def test_short_window_that_proves_the_end_overrules_a_long_one() -> None:
    court = Court((rule(),))
    court.seconds(60, no=100)
    court.seconds(30, no=20, yes=80)

    (end,) = court.seconds(30, no=100)

    assert (Reason.CLEARED, AlertState.RESOLVED) == (end.reason, end.alert.state)
    assert 90 + SHORT <= end.time_s <= 90 + SHORT * 1.4 + 2


def test_long_window_that_remembers_an_incident_does_not_fire_it_again() -> None:
    """After the end was proven, the short window may have too few samples to say so at every look."""
    court = Court((rule(samples_min=95),))
    court.seconds(60, no=100)
    court.seconds(30, no=20, yes=80)
    court.seconds(20, no=100)
    assert [] == court.judge.book.alerts

    assert [] == court.seconds(40, no=5)


def test_rule_of_the_long_window_alone_goes_by_it_alone() -> None:
    court = Court((rule(windows_s=(LONG,)),))
    court.seconds(60, no=100)
    court.seconds(30, no=20, yes=80)

    assert [] == court.seconds(30, no=100)
    assert {AlertState.FIRING} == {alert.state for alert in court.judge.book.alerts}


def test_fewer_samples_than_asked_for_say_nothing() -> None:
    silent, speaking = Court((rule(samples_min=200),)), Court((rule(samples_min=20),))

    assert [] == silent.seconds(60, yes=1)
    assert speaking.seconds(60, yes=1)


def test_value_at_the_threshold_neither_fires_nor_ends() -> None:
    court = Court((rule(),))
    assert [] == court.seconds(150, no=90, yes=10)
    court.seconds(30, no=50, yes=50)

    court.seconds(20, no=90, yes=10)

    assert [] == [t for t in court.seconds(200, no=90, yes=10) if t.alert.state is AlertState.RESOLVED]


def test_hysteresis_asks_for_more_than_the_threshold_to_end() -> None:
    ends = {}
    for hysteresis in (0.1, 0.6):
        court = Court((rule(hysteresis=hysteresis),))
        court.seconds(30, no=50, yes=50)
        ends[hysteresis] = any(t.alert.state is AlertState.RESOLVED for t in court.seconds(150, no=950, yes=50))

    assert {0.1: True, 0.6: False} == ends


def test_threshold_relative_to_the_reference_waits_for_it() -> None:
    relative = rule(yellow=Level(2, is_relative=True), red=None)
    court = Court((relative,))
    assert [] == court.seconds(30, no=10, yes=90)

    court.freeze(no=99_000, yes=1_000)
    (first, *_) = court.seconds(30, no=96, yes=4)

    assert pytest.approx(0.02, rel=0.1) == first.alert.threshold
    assert court.table.subjects[0].reference is not None
    assert court.table.subjects[0].reference.identity == first.alert.reference


def test_absolute_threshold_needs_no_reference() -> None:
    (first, *_) = Court((rule(),)).seconds(30, no=10, yes=90)

    assert "" == first.alert.reference


def test_breach_below_is_as_good_as_above() -> None:
    court = Court((rule(is_above=False, yellow=Level(0.8), red=Level(0.5)),))
    assert [] == court.seconds(60, no=1, yes=99)

    transitions = court.seconds(40, no=90, yes=10)
    transitions += court.seconds(40, no=1, yes=99)

    assert ("firing", "red") in [row[1:] for row in told(transitions)]
    assert "resolved" == told(transitions)[-1][1]
    assert "below" in transitions[0].alert.summary


@pytest.mark.parametrize(
    ("yellow", "red", "band"),
    [
        pytest.param(None, Level(0.3), "red", id="red alone"),
        pytest.param(Level(0.1), None, "yellow", id="yellow alone"),
    ],
)
def test_rule_may_have_one_level_only(yellow: Level | None, red: Level | None, band: str) -> None:
    court = Court((rule(yellow=yellow, red=red),))
    court.seconds(20, no=100)

    transitions = court.seconds(30, no=5, yes=95)

    assert [band] == [found for _, _, found in told(transitions)]


def test_rule_without_levels_never_fires() -> None:
    assert [] == Court((rule(yellow=None, red=None),)).seconds(60, yes=100)


@pytest.mark.parametrize("onset", [40, 70, 90])
@pytest.mark.parametrize(("no", "yes"), [(20, 80), (75, 25)], ids=["strong", "faint"])
def test_onset_is_dated_near_the_change(onset: int, no: int, yes: int) -> None:
    court = Court((rule(),))
    court.seconds(onset, no=99, yes=1)

    (first, *_) = court.seconds(60, no=no, yes=yes)

    assert abs(first.alert.since_s - onset) <= 4
    assert first.alert.since_s < first.time_s


def test_two_rules_on_one_stream_are_two_alerts() -> None:
    court = Court((rule(), rule(name="any", yellow=None, red=Level(0.2))))

    transitions = court.seconds(10, no=10, yes=90)

    assert {"unsafe", "any"} == {t.alert.rule for t in transitions}
    assert 1 == len({t.alert.incident for t in transitions})


def test_smaller_budget_waits_for_more_evidence() -> None:
    times = []
    for pages in (1_000.0, 1e-12):
        court = Court((rule(),), Budget(pages=pages, period_s=3600.0))
        times.append(court.seconds(100, no=15, yes=5)[0].time_s)

    assert times[0] < times[1]


def test_new_stream_does_not_disturb_an_alert() -> None:
    court = Court((rule(),))
    court.seconds(30, no=10, yes=90)

    court.table.field_rows("refused", [True], court.scope)

    assert [] == court.seconds(30, no=10, yes=90)


def test_windows_are_looked_at_often_but_not_more_often_than_panes() -> None:
    terms = Terms.of(Budget(), (3600.0, 60.0, 600.0, 60.0), 1.0)

    assert (60.0, 600.0, 3600.0) == terms.windows_s
    assert tuple(int(w) // LOOKS_PER_SPAN for w in terms.windows_s) == terms.every
    assert (1,) == Terms.of(Budget(), (60.0,), 5.0).every


def test_evidence_to_end_is_one_in_a_thousand() -> None:
    assert pytest.approx(1e-3, rel=0.01) == np.exp(-CLEAR_EVIDENCE)


# ---- views


def sums(court: Court) -> Mapping[str, list[int]]:
    return {
        f"{window:g}": court.views.of(Arena.FLAGS, i).counts[court.row, : VALUE_SPANS[Arena.FLAGS]].tolist()
        for i, window in enumerate(WINDOWS)
    }


def test_view_counts_the_window_and_tells_its_span() -> None:
    court = Court((rule(),))
    court.seconds(5, no=2, yes=1)

    assert {"10": [10, 5], "100": [10, 5]} == sums(court)
    assert 5.0 == court.views.of(Arena.FLAGS, 1).span_s


def test_suffixes_are_sums_of_ever_longer_pasts() -> None:
    court = Court((rule(),))
    for i in range(30):
        court.second(no=i)

    view, starts = court.views.suffixes(Arena.FLAGS, court.row)

    assert [sum(range(int(start), 30)) for start in starts] == view.counts[:, NO].tolist()
    assert np.all(np.diff(starts) < 0)
    assert 30.0 - starts[-1] == view.span_s


def test_silence_is_known_from_the_first_event_on() -> None:
    court = Court((rule(),))
    court.seconds(3)
    assert np.isnan(court.views.of(Arena.FLAGS, 0).silence_s[court.row])

    court.second(no=1)
    court.seconds(7)

    assert 7.0 == court.views.of(Arena.FLAGS, 0).silence_s[court.row]


def test_part_of_all_rows_is_the_view_itself() -> None:
    court = Court((rule(),))
    court.second(no=1)
    view = court.views.of(Arena.FLAGS, 0)

    assert view is court.views.part(view, np.arange(len(view.counts)))
    assert [1, 1] == [
        len(x) for x in (court.views.part(view, np.array([1])).counts, court.views.part(view, np.array([1])).low)
    ]


def test_view_has_the_streams_that_appeared_since_the_pane_closed() -> None:
    court = Court((rule(),))
    court.second(no=1)
    before = len(court.views.of(Arena.FLAGS, 0).counts)

    court.table.field_rows("refused", [True], court.scope)

    assert before + 1 == len(court.views.of(Arena.FLAGS, 0).counts)


class TestWindowsInARow:
    """`for_windows`: a breach is told once so many windows in a row were beyond the limit."""

    def test_breach_waits_until_the_second_window_is_beyond_as_well(self) -> None:
        court = Court((rule(windows_s=(SHORT,), for_windows=2),))
        court.seconds(100, no=100)

        pending, firing = court.seconds(25, no=60, yes=40)

        assert (101, AlertState.PENDING) == (pending.time_s, pending.alert.state)
        assert (AlertState.FIRING, Reason.LASTED, Band.RED) == (firing.alert.state, firing.reason, firing.alert.band)
        assert 100 + SHORT < firing.time_s <= 100 + 2 * SHORT
        assert 100 == firing.alert.since_s

    def test_breach_of_one_window_passes_without_a_page(self) -> None:
        court = Court((rule(windows_s=(SHORT,), for_windows=2, yellow=Level(0.3)),))
        court.seconds(100, no=100)
        changes = court.seconds(5, no=20, yes=80) + court.seconds(60, no=100)

        assert [(AlertState.PENDING, Reason.BREACHED), (AlertState.RESOLVED, Reason.PASSED)] == [
            (t.alert.state, t.reason) for t in changes
        ]

    def test_it_works_beside_for_s(self) -> None:
        court = Court((rule(windows_s=(SHORT,), for_windows=2, for_s=60.0),))
        court.seconds(100, no=100)

        *_, firing = court.seconds(80, no=60, yes=40)

        assert (161, AlertState.FIRING) == (firing.time_s, firing.alert.state)

    def test_any_of_its_windows_may_say_so(self) -> None:
        """Too few samples in the short ones, so the longer ones speak."""
        court = Court((rule(samples_min=150, for_windows=2),), past_s=500.0)
        court.seconds(300, no=10)

        *_, firing = court.seconds(250, no=5, yes=5)

        assert AlertState.FIRING == firing.alert.state
        assert 300 + LONG < firing.time_s <= 300 + 2 * LONG

    @pytest.mark.parametrize("windows", [2, 3, 5])
    def test_more_windows_take_longer(self, windows: int) -> None:
        court = Court((rule(windows_s=(SHORT,), for_windows=windows),))
        court.seconds(100, no=100)

        *_, firing = court.seconds(100, no=60, yes=40)

        assert (windows - 1.4) * SHORT <= firing.time_s - 100 <= (windows + 0.7) * SHORT

    def test_windows_that_lack_messages_are_no_windows(self) -> None:
        court = Court((rule(windows_s=(SHORT,), for_windows=2),))
        court.seconds(100, no=100)
        court.judge.skip(104.0, 105.0)

        *_, firing = court.seconds(60, no=60, yes=40)

        assert (AlertState.FIRING, True) == (firing.alert.state, firing.time_s >= 105 + 2 * SHORT)
