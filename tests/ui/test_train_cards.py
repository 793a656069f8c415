"""Runs as HTML: every state has words, and nothing in a name or an answer can mean anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from t2app.training.jobs import Job
from t2app.training.outcome import HeldOut, judge
from t2app.training.settings import Settings
from t2app.ui import train_cards

NASTY = "<script>alert(1)</script>"
RUNNING = Job(
    id="20261121-103000-sums-1f3a",
    name="sums",
    file="sums.csv",
    state="running",
    phase="training, step 12/40",
    done=12,
    total=40,
    stopping=False,
    settings=Settings(),
    objective="rl",
    why="there is something to reinforce",
    reward="numeric",
    rows={"train": 180, "validation": 45, "test": 75, "rejected": 3},
    created="2026-11-21T10:30:00+00:00",
    seconds=40.0,
    seconds_left=100.0,
    expected=120.0,
    curve=[],
    report=None,
    error=None,
    folder=Path("nowhere"),
)


def finished(before: list[float], after: list[float], **more: Any) -> Job:
    report = {**judge(before, after), "stopped": False, "seconds": 90.0}
    return replace(RUNNING, state="finished", phase="finished", report=report, **more)


BETTER = finished([0.0] * 40 + [1.0] * 10, [1.0] * 45 + [0.0] * 5)


def test_a_running_job_shows_phase_share_and_time_left() -> None:
    shown = train_cards.progress(RUNNING)
    assert "Training, step 12/40" in shown
    assert "1 min 40 s left" in shown
    assert "width:30.0%" in shown
    assert "Chat goes on" in shown
    assert "stopping after this step" in train_cards.progress(replace(RUNNING, stopping=True))


def test_a_running_job_says_what_a_stop_would_keep() -> None:
    def said(best: float) -> str:
        curve = [{"step": 0, "validation": 0.25, "best": 0.25}, {"step": 6, "best": best}]
        return train_cards.progress(replace(RUNNING, curve=curve))

    assert "still the base" in said(0.25)
    assert "50\N{NO-BREAK SPACE}%, base 25\N{NO-BREAK SPACE}%" in said(0.5)


@pytest.mark.parametrize(
    ("phase", "stage"),
    [
        ("waiting", -1),
        ("planning", 0),
        ("measuring the base, 40/75", 1),
        ("training, step 1/40", 2),
        ("measuring the expert, 1/75", 3),
    ],
)
def test_phases_belong_to_stages(phase: str, stage: int) -> None:
    assert train_cards.stage(replace(RUNNING, phase=phase)) == stage


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "waiting", "phase": "waiting, 1 job before it"}, "Waiting, 1 job before it."),
        ({"state": "failed", "error": "out of memory: fewer rows"}, "Out of memory: fewer rows."),
        ({"state": "interrupted"}, "Resume goes on from the last checkpoint."),
        ({"state": "stopped", "error": "nothing was better"}, "Nothing was better."),
    ],
)
def test_every_state_has_words(changes: dict[str, Any], said: str) -> None:
    assert said in train_cards.progress(replace(RUNNING, **changes))


@pytest.mark.parametrize(
    ("job", "headline"),
    [
        (BETTER, "It helps"),
        (finished([1.0] * 45 + [0.0] * 5, [0.0] * 50), "It hurts"),
        (finished([1.0, 0.0] * 20, [0.0, 1.0] * 20), "It makes no difference"),
    ],
)
def test_the_verdict_is_a_headline_with_intervals(job: Job, headline: str) -> None:
    shown = train_cards.result(job)
    assert f"<h3>{headline}</h3>" in shown
    assert shown.count("95 % interval") >= 2
    assert "Paired test: p" in shown


def test_figures_are_those_of_the_report() -> None:
    shown = train_cards.result(BETTER)
    assert "<b>20\N{NO-BREAK SPACE}%</b>" in shown
    assert "<b>90\N{NO-BREAK SPACE}%</b>" in shown
    assert "p &lt; 0.001" in shown or "p < 0.001" in shown


def test_held_out_rows_are_text() -> None:
    rows = [
        HeldOut(NASTY, "1", "", NASTY, 0.0, 1.0),
        HeldOut("q", "1", "1", "2", 1.0, 0.0),
        HeldOut("q", "1", "2", "2", 0.0, 0.0),
        HeldOut("q", "1", "a", "b", 0.5, 0.5),
    ]
    shown = train_cards.held_out(rows)
    assert "<script>" not in shown
    for word in ("now right", "now wrong", "both wrong", "same", "<i>nothing</i>"):
        assert word in shown
    assert train_cards.held_out([]) == ""


def test_names_and_files_are_text() -> None:
    job = replace(BETTER, name=NASTY, file=NASTY, why=NASTY, error=NASTY, phase=NASTY)
    failed = replace(job, state="failed", report=None)
    for shown in (
        train_cards.run_list([job, failed], None),
        train_cards.head(job),
        train_cards.facts(job),
        train_cards.progress(failed),
        train_cards.progress(replace(failed, state="running")),
        train_cards.replace_question(NASTY, NASTY),
    ):
        assert "<script>" not in shown


def test_the_list_says_what_came_of_each() -> None:
    shown = train_cards.run_list([RUNNING, BETTER], RUNNING.id)
    assert 'aria-current="true"' in shown
    assert "20\N{NO-BREAK SPACE}% → 90\N{NO-BREAK SPACE}%" in shown
    assert ">helps<" in shown
    assert "None yet" in train_cards.run_list([], None)


def test_a_damaged_run_can_still_be_listed() -> None:
    damaged = replace(RUNNING, name="", file="", created="", reward="", rows={}, state="failed")
    assert train_cards.run_list([damaged], None)
    assert train_cards.facts(damaged)


def test_the_time_that_was_expected_is_told_beside_the_one_it_took() -> None:
    assert "40 s, expected 2 min" in train_cards.facts(BETTER)
    assert "expected" not in train_cards.facts(RUNNING)
    assert "expected" not in train_cards.facts(replace(BETTER, expected=None))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (100, "1 min 40 s"), (720, "12 min"), (7260, "2 h 1 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert train_cards.duration(seconds) == words
