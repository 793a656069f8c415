"""The fold “Look into the run”: handlers with a real run, and what they show."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
import pytest

from t2app.engine import Engine
from t2app.tasks.base import Problem
from t2app.training import look
from t2app.training.jobs import Job
from t2app.training.settings import Settings
from t2app.ui import train_draft, train_look
from t2app.ui.train_queues import Queues

SKIPPED = (gr.skip(),) * 3
NASTY = "<script>alert(1)</script>"
SMALL = Settings(objective="rl", steps=3, prompts=2, samples=2, harm_check=False, leave_alone=0.0)


@pytest.fixture
def job(learner: Engine, queues: Queues) -> Job:
    """A finished run of three steps."""
    rows = [[f"<i>fox</i> {n}", f"{n} ab"] for n in range(24)]  # no labels: answers are sampled
    draft = train_draft.from_cells(learner, ["question", "answer"], rows)
    jobs = queues.of(learner)
    return jobs.wait(jobs.submit(draft.report, name="foxes", settings=SMALL).id, 60)


def looked(learner: Engine, queues: Queues, run: Any, opened: bool = True, at: Any = None, **more):
    return train_look.looked(learner, queues, run, opened, at, more.get("kind", "all"))


def test_the_newest_step_is_shown_with_its_answers(learner, queues, job) -> None:
    slider, figures, answers = looked(learner, queues, job.id)
    assert (slider["minimum"], slider["maximum"], slider["value"]) == (1, 3, 3)
    assert slider["visible"]
    assert answers.count("advantage") == SMALL.prompts * SMALL.samples
    assert "&lt;i&gt;fox&lt;/i&gt;" in answers
    assert "<i>fox" not in answers
    for name in ("Mean reward", "Answers cut off", "Mean length", "Entropy", "KL to the base"):
        assert name in figures
    assert figures.count("<circle") == figures.count("<svg") > 0


def test_another_step_stays_and_the_end_follows(learner, queues, job) -> None:
    at = train_look.moved(learner, queues, job.id, 2)
    assert at == [job.id, 2]
    assert looked(learner, queues, job.id, at=at)[0]["value"] == 2
    rows, _ = look.read(job.folder, 2)
    shown = looked(learner, queues, job.id, at=at)[2]
    assert all(html.escape(row["question"]) in shown for row in rows)
    assert train_look.moved(learner, queues, job.id, 3) is None
    # What was chosen in another run does not count here.
    assert looked(learner, queues, job.id, at=["other", 2])[0]["value"] == 3


def test_nothing_is_sent_while_the_fold_is_closed(learner, queues, job) -> None:
    assert looked(learner, queues, job.id, opened=False) == SKIPPED


@pytest.mark.parametrize("run", [None, "gone", 7])
def test_a_run_that_is_not_there(learner, queues, run: Any) -> None:
    assert looked(learner, queues, run) == SKIPPED
    assert train_look.moved(learner, queues, run, 2) is None


@pytest.mark.parametrize("at", [[], 7, "x", ["x"], [None, None]])
def test_browsers_send_what_they_like(learner, queues, job, at: Any) -> None:
    assert looked(learner, queues, job.id, at=at)[0]["value"] == 3
    assert train_look.moved(learner, queues, job.id, None) is None


def test_a_run_without_kept_answers_says_so(learner, queues, job) -> None:
    for path in (job.folder / "look").iterdir():
        path.unlink()
    slider, _, answers = looked(learner, queues, job.id)
    assert not slider["visible"]
    assert "kept no answers" in answers


def row(*rewards: float, text: str = "ab", cut: bool = False) -> look.Row:
    answers = [
        {"text": text, "tokens": 2, "cut": cut, "reward": r, "advantage": r} for r in rewards
    ]
    return {"question": "why?", "gold": "because", "answers": answers}


@pytest.mark.parametrize(("kind", "count"), [("all", 3), ("differ", 1), ("cut", 1)])
def test_prompts_can_be_filtered(kind: str, count: int) -> None:
    rows = [row(1, 1), row(1, -1), row(-1, -1, cut=True)]
    assert train_look.answers(rows, kind=kind).count("why?") == count
    assert train_look.NONE_FIT in train_look.answers(rows[:1], kind="differ")


def test_rewards_are_told_in_colour_and_in_figures() -> None:
    shown = train_look.answers([row(1, -1, 0.5)], left_out=4)
    for share, said in (("100%", "+1.00"), ("0%", "-1.00"), ("75%", "+0.50")):
        assert f"--t2-share:{share}" in shown
        assert said in shown
    assert "4 more prompts were not kept" in shown


def test_given_answers_are_shown_with_their_loss() -> None:
    problem = Problem("toy", NASTY, "", NASTY, NASTY)
    shown = train_look.answers([look.given(problem, NASTY, 3, 0.25)])
    assert NASTY not in shown
    assert "0.25" in shown
    assert "--t2-share:78%" in shown


def test_nothing_that_a_model_said_means_anything() -> None:
    shown = train_look.answers([{**row(1, text=NASTY), "question": NASTY, "gold": NASTY}])
    assert NASTY not in shown
    assert shown.count("&lt;script&gt;") == 3
    assert "<i>nothing</i>" in train_look.answers([row(1, text="")])


def test_alarms_have_words_advice_and_steps() -> None:
    alarm = {"kind": "flat reward", "says": "No <b> prompt", "advice": "Do & that"}
    shown = train_look.alarm_cards([alarm])
    assert "No &lt;b&gt; prompt" in shown
    assert "Do &amp; that." in shown
    assert "(steps 3 to 6)" in train_look.alarm_cards([{**alarm, "first": 3, "last": 6}])
    assert train_look.alarm_cards([]) == ""
