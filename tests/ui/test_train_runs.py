"""Handlers of runs, with a real line of jobs on a small model."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from t2app import adapt
from t2app.engine import Engine
from t2app.training import exact, reinforce
from t2app.training.jobs import Job, Jobs
from t2app.training.settings import Settings
from t2app.ui import train_cards, train_draft, train_runs
from t2app.ui.train_draft import Draft
from t2app.ui.train_form import FIELDS
from t2app.ui.train_runs import Queues

LONG = 60.0
SMALL = Settings(objective="rl", steps=2, prompts=2, samples=2, harm_check=False, leave_alone=0.0)
GIVEN = tuple(asdict(SMALL)[name] for name in FIELDS)


def named(values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(train_runs.VIEW, values, strict=True))


def begun(values: tuple[Any, ...]) -> dict[str, Any]:
    order = (*train_runs.VIEW, "refused", "replace", "asked")
    return dict(zip(order, values, strict=True))


def event(**values: Any) -> gr.EventData:
    return gr.EventData(None, values)


@pytest.fixture
def jobs(queues: Queues, learner: Engine) -> Jobs:
    return queues.of(learner)


@pytest.fixture
def draft(learner: Engine) -> Draft:
    rows = [[f"<i>fox</i> {n}", "ab" if n % 2 else "ba"] for n in range(24)] + [["late", ""]]
    return train_draft.from_cells(learner, ["question", "answer"], rows)


@pytest.fixture
def job(jobs: Jobs, draft: Draft) -> Job:
    """A finished run of ``foxes``."""
    assert draft.report is not None
    return jobs.wait(jobs.submit(draft.report, name="foxes", settings=SMALL).id, LONG)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training fails in its first step."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(reinforce, "sample", fail)
    monkeypatch.setattr(exact, "gradient", fail)


def test_one_click_from_rows_to_a_verdict(learner, queues, jobs, draft) -> None:
    shown = begun(train_runs.begin(learner, queues, False, draft, " foxes ", "", *GIVEN))
    assert not shown["refused"]["visible"]
    assert shown["saved"] == shown["chosen"]
    assert shown["run_view"]["visible"]
    assert not shown["new_view"]["visible"]
    assert shown["timer"].active
    job = jobs.wait(shown["chosen"], LONG)
    assert job.state == "finished"
    shown = named(train_runs.looked(learner, queues, job.id, shown["seen"]))
    assert not shown["timer"].active
    assert "95 % interval" in shown["result"]
    assert shown["use"]["visible"]
    assert "&lt;i&gt;fox" in shown["held_out"]
    assert "<i>fox" not in shown["held_out"]
    assert shown["curve_validation"]["visible"]
    assert not shown["curve_loss"]["visible"]
    for name in ("expert_file", "rejected_file", "log_file"):
        assert Path(shown[name]["value"]).stat().st_size
    assert learner.library.get("foxes").description == draft.report.description()


def test_the_clock_changes_nothing_where_nothing_changed(learner, queues, job) -> None:
    shown = named(train_runs.picked(learner, queues, event(run=job.id)))
    again = train_runs.looked(learner, queues, job.id, shown["seen"])
    assert all(value == gr.skip() for value in again)


def test_the_clock_leaves_questions_and_choices_alone(learner, queues, job) -> None:
    shown = named(train_runs.looked(learner, queues, job.id, None))
    assert all(shown[name] == gr.skip() for name in train_runs.LEFT_ALONE)


def test_a_run_that_somebody_else_deleted_goes_from_the_page(learner, queues, jobs, job) -> None:
    seen = named(train_runs.picked(learner, queues, event(run=job.id)))["seen"]
    jobs.delete(job.id)
    shown = named(train_runs.looked(learner, queues, job.id, seen))
    assert shown["new_view"]["visible"]
    assert shown["chosen"] is None


def test_a_reload_finds_the_run_again(learner, queues, job) -> None:
    assert named(train_runs.opened(learner, queues, job.id))["run_view"]["visible"]
    for saved in ("gone", None, 7, "../.."):
        shown = named(train_runs.opened(learner, queues, saved))
        assert shown["new_view"]["visible"]
        assert shown["chosen"] is None
        assert "foxes" in shown["runs"]


def test_what_stands_in_the_way_is_said_and_nothing_begins(learner, queues, jobs, draft) -> None:
    def refused(draft: Draft | None, name: str, *given: Any) -> str:
        shown = begun(train_runs.begin(learner, queues, False, draft, name, "", *given))
        assert shown["chosen"] == gr.skip()
        return shown["refused"]["value"]

    assert "Choose rows" in refused(None, "foxes", *GIVEN)
    assert "not a name" in refused(draft, "No Name!", *GIVEN)
    assert "Steps is empty" in refused(draft, "foxes", "rl", None, *GIVEN[2:])
    prompts = FIELDS.index("prompts")
    none = (*GIVEN[:prompts], 0, *GIVEN[prompts + 1 :])
    assert "at least 1" in refused(draft, "foxes", *none)
    few = train_draft.from_cells(learner, ["question", "answer"], [["a", "b"]])
    assert "at least 10" in refused(few, "foxes", *GIVEN)
    assert jobs.jobs() == []


def test_an_expert_is_replaced_only_when_asked(learner, queues, jobs, draft) -> None:
    before = learner.library.get("math").z
    shown = begun(train_runs.begin(learner, queues, False, draft, "math", "", *GIVEN))
    assert shown["replace"]["visible"]
    assert "math-2" in shown["asked"]
    assert jobs.jobs() == []
    *shown, name = train_runs.begin_beside(learner, queues, draft, "math", "", *GIVEN)
    assert name == "math-2"
    jobs.wait(begun(tuple(shown))["chosen"], LONG)
    assert "math-2" in learner.library.experts()
    assert learner.library.get("math").z is before
    shown = begun(train_runs.begin(learner, queues, True, draft, "math", "", *GIVEN))
    assert not shown["replace"]["visible"]
    jobs.wait(shown["chosen"], LONG)
    assert learner.library.get("math").header["task"] == train_draft.TYPED


def test_another_seed_splits_anew(learner, queues, jobs, draft) -> None:
    given = (*GIVEN[:-1], 9)
    shown = begun(train_runs.begin(learner, queues, False, draft, "foxes", "", *given))
    job = jobs.wait(shown["chosen"], LONG)
    expected = train_draft.rechecked(learner, draft, "auto", 9).report.splits["test"]
    assert {row.question for row in job.held_out()} == {e.question for e in expected}


def test_a_failed_run_says_why_and_can_be_resumed(
    learner, queues, jobs, draft, stuck, monkeypatch
) -> None:
    shown = begun(train_runs.begin(learner, queues, False, draft, "foxes", "", *GIVEN))
    job = jobs.wait(shown["chosen"], LONG)
    shown = named(train_runs.picked(learner, queues, event(run=job.id)))
    assert "It failed" in shown["progress"]
    assert "no luck" in shown["progress"]
    assert shown["resume"]["visible"]
    assert not shown["use"]["visible"]
    monkeypatch.undo()


def test_run_again_takes_a_free_name(learner, queues, jobs, job) -> None:
    shown = named(train_runs.again(learner, queues, job.id))
    other = jobs.wait(shown["chosen"], LONG)
    assert (other.name, other.state, other.settings) == ("foxes-2", "finished", job.settings)
    assert train_runs.picked(learner, queues, event(run=other.id))


def test_compare_two_runs(learner, queues, jobs, job) -> None:
    other = jobs.wait(jobs.again(job.id, name="dogs").id, LONG)
    shown = named(train_runs.compared(learner, queues, [job.id, other.id, "gone"]))
    assert shown["compare_view"]["visible"]
    assert not shown["new_view"]["visible"]
    assert "foxes" in shown["compared"]
    assert len(shown["compare_chart"].data) == 2
    one = train_runs.compared(learner, queues, [job.id])
    assert all(value == gr.skip() for value in one)
    assert named(train_runs.compared(learner, queues, []))["new_view"]["visible"]


def test_delete_takes_the_run_and_leaves_the_expert(learner, queues, jobs, job) -> None:
    shown = named(train_runs.delete(learner, queues, job.id))
    assert shown["new_view"]["visible"]
    assert jobs.jobs() == []
    assert "foxes" in learner.library.experts()
    shown = named(train_runs.delete(learner, queues, job.id))
    assert "no run" in shown["run_notice"]["value"].lower() or shown["chosen"] is None


@pytest.mark.parametrize("action", ["stop", "resume", "again", "delete"])
@pytest.mark.parametrize("chosen", [None, "gone", "../../etc", 7])
def test_runs_that_are_not_there(learner, queues, action: str, chosen: Any) -> None:
    shown = named(getattr(train_runs, action)(learner, queues, chosen))
    assert shown["run_notice"]["visible"]
    assert shown["chosen"] is None


def test_use_puts_the_expert_alone_in_effect(learner, queues, job) -> None:
    tabs, strategy, mixer, hand, line, question, note, here = train_runs.use(
        learner, queues, job.id
    )
    assert (tabs.selected, strategy) == ("chat", "manual")
    assert hand == mixer["weights"] == {"code": 0, "foxes": 1, "math": 0, "reasoning": 0}
    assert "gets the rest" in line
    assert "fox" in question
    assert "Now foxes alone answers" in note["value"]
    assert not here["visible"]
    assert learner.delta(hand) is not None


def test_an_expert_that_harms_is_not_put_on_for_everything(learner, queues, job) -> None:
    expert = learner.library.get("foxes")
    harms = replace(expert, header={**expert.header, "harm": {"verdict": "harms"}})
    learner.library.add(harms, overwrite=True)
    tabs, strategy, mixer, hand, line, question, note, here = train_runs.use(
        learner, queues, job.id
    )
    assert (tabs.selected, strategy) == ("chat", adapt.DEFAULT)
    assert mixer == hand == line == gr.skip()
    assert "fox" in question
    assert "harms other questions" in note["value"]
    assert "by hand" in note["value"]
    assert not here["visible"]


def test_a_running_job_shows_its_alarms(learner, queues, job) -> None:
    assert "t2-alarm" in train_cards.result(job) or not job.report["alarms"]
    alarm = {"kind": "k", "says": "It is stuck", "advice": "Stop"}
    for state in ("running", "failed", "interrupted"):
        shown = train_cards.progress(replace(job, state=state, report=None, alarms=[alarm]))
        assert "It is stuck" in shown
    finished = replace(job, report={**job.report, "alarms": [{**alarm, "first": 1, "last": 2}]})
    assert "It is stuck (steps 1 to 2)" in train_cards.result(finished)
    assert "It is stuck" not in train_cards.progress(finished)


def test_use_after_the_expert_was_deleted(learner, queues, job) -> None:
    learner.library.delete("foxes")
    *rest, here = train_runs.use(learner, queues, job.id)
    assert here["visible"]
    assert all(value == gr.skip() for value in rest)


def test_the_model_stays_while_a_job_is_there(learner, queues, draft, jobs) -> None:
    assert queues.busy() is None
    shown = begun(train_runs.begin(learner, queues, False, draft, "foxes", "", *GIVEN))
    assert queues.busy() or jobs.get(shown["chosen"]).state == "finished"
    jobs.wait(shown["chosen"], LONG)


def test_each_model_has_a_line_of_its_own() -> None:
    closed = []

    class Line:
        def __init__(self, engine: Any) -> None:
            self.engine = engine

        def close(self) -> None:
            closed.append(self.engine)

    queues = Queues(Line)
    first = queues.of("one")
    assert queues.of("one") is first
    assert queues.of("two").engine == "two"
    assert closed == ["one"]
