"""What happens to training runs: begun, watched, stopped, resumed, compared, deleted, used.

Handlers: plain values in, the new values of the components they are wired to (``train_tab``) out,
in the order of ``VIEW`` (everything that shows runs). The runs belong to the app, not to a visit:
whoever opens the page sees all of them. Not covered: how a run works (``t2app.training.jobs``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from t2app import adapt
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import harm
from t2app.training.jobs import Job, Jobs
from t2app.ui import asking, train_cards, train_charts, train_downloads, train_draft, words
from t2app.ui.asking import note
from t2app.ui.train_data import carried
from t2app.ui.train_draft import Draft
from t2app.ui.train_form import settings_from
from t2app.ui.train_queues import Queues

Values = tuple[Any, ...]

CURVES = {f"curve_{measure}": measure for measure in train_charts.MEASURES}
# Components that show runs, in the order in which handlers give their values.
VIEW = (
    "chosen", "seen", "saved", "timer", "runs", "compare",
    "new_view", "run_view", "compare_view", "new_side",
    "new", "head", "progress", "stop", "resume", "use", "again", "delete", "sure", "run_notice",
    "result", *CURVES, "held_out", "run_facts", "expert_file", "rejected_file", "log_file",
    "compared", "compare_chart",
)  # fmt: skip
SECONDS_BETWEEN_LOOKS = 1.0
HOW = "“How the mix is chosen”"
FEWEST_COMPARED, MOST_COMPARED = 2, 6
LEFT_ALONE = (
    "saved", "compare", "sure", "run_notice",
    "new_view", "run_view", "compare_view", "new_side", "new",
)  # fmt: skip
USE, TRY = "Use it in chat", "Try it in chat"
GONE = "This run is not there any more."


# -- what is shown -------------------------------------------------------------------------------


def opened(engine: Engine, queues: Queues, saved: Any) -> Values:
    """The page was loaded: the run that this browser was at, if it is still there."""
    jobs = queues.of(engine)
    chosen = saved if isinstance(saved, str) and _find(jobs, saved) else None
    return _values(jobs, chosen)


def picked(engine: Engine, queues: Queues, event: gr.EventData) -> Values:
    """A run was clicked in the list."""
    return _values(queues.of(engine), carried(event, "run"))


def to_new(engine: Engine, queues: Queues) -> Values:
    """Away from the runs, to the rows of a new one."""
    return _values(queues.of(engine), None)


def looked(engine: Engine, queues: Queues, chosen: str | None, seen: Any) -> Values:
    """The clock ticked, or the tab was opened: what has changed since the last look."""
    jobs = queues.of(engine)
    if seen == _mark(jobs.jobs(), chosen):
        return _nothing()
    if chosen is not None and _find(jobs, chosen) is None:  # somebody else has deleted it
        return _values(jobs, None)
    values = dict(zip(VIEW, _values(jobs, chosen), strict=True))
    # A question that stands on the page, and what is chosen there, are not touched by the clock.
    for name in LEFT_ALONE:
        values[name] = gr.skip()
    return tuple(values.values())


def compared(engine: Engine, queues: Queues, ids: Sequence[str] | None) -> Values:
    """Runs were chosen to compare: two or more are, and without any the comparison closes."""
    jobs = queues.of(engine)
    chosen = [run for run in ids or () if _find(jobs, run)][:MOST_COMPARED]
    if not chosen:
        return _values(jobs, None)
    if len(chosen) < FEWEST_COMPARED:
        return _nothing()
    found = jobs.compare(chosen)
    by_id = {job.id: job for job in jobs.jobs()}
    return _with(
        _values(jobs, None),
        new_view=gr.update(visible=False),
        new_side=gr.update(visible=False),
        new=gr.update(visible=True),
        compare_view=gr.update(visible=True),
        compare=gr.skip(),
        compared=train_cards.comparison(found, by_id),
        compare_chart=train_charts.compared(found.curves, found.names),
    )


def _values(jobs: Jobs, chosen: str | None, notice: str = "") -> Values:
    """Everything that shows runs, in the order of ``VIEW``."""
    every = jobs.jobs()
    job = next((job for job in every if job.id == chosen), None)
    if chosen is not None and job is None:
        chosen, notice = None, notice or GONE
    can_compare = [(f"{j.name}, {j.created[5:16].replace('T', ' ')}", j.id) for j in every]
    shown = {
        "chosen": chosen,
        "seen": _mark(every, chosen),
        "saved": chosen,
        "timer": gr.Timer(active=any(map(train_cards.active, every))),
        "runs": train_cards.run_list(every, chosen),
        "compare": gr.update(
            choices=can_compare, value=[], visible=len(can_compare) >= FEWEST_COMPARED
        ),
        "new_view": gr.update(visible=job is None),
        "run_view": gr.update(visible=job is not None),
        "compare_view": gr.update(visible=False),
        "new_side": gr.update(visible=job is None),
        "new": gr.update(visible=job is not None),
        "run_notice": note(notice),
        "sure": gr.update(visible=False),
    }
    shown |= _of_run(job) if job else {}
    return tuple(shown.get(name, gr.skip()) for name in VIEW)


def _of_run(job: Job) -> dict[str, Any]:
    """The values that belong to one run."""
    over = not train_cards.active(job)
    # Of a run that ended early, only what there was.
    steps = job.curve[-1]["step"] if over and job.curve else job.settings.steps
    files = {
        "expert_file": (job.expert, f"{job.name}.safetensors"),
        "rejected_file": (job.rejected if job.rows.get("rejected") else None, "left-out.csv"),
        "log_file": (job.log, f"{job.name}-log.txt"),
    }
    return {
        "head": train_cards.head(job),
        "progress": train_cards.progress(job),
        "stop": gr.update(visible=job.can_stop, interactive=not job.stopping),
        "resume": gr.update(
            visible=job.can_resume, variant="secondary" if job.report else "primary"
        ),
        "use": gr.update(
            value=TRY if harm.harms(job.report or {}) else USE,
            visible=over and job.report is not None,
            variant="primary" if job.report and job.report["verdict"] == "helps" else "secondary",
        ),
        "again": gr.update(visible=over),
        "delete": gr.update(visible=job.can_delete),
        "result": train_cards.result(job),
        **{name: _chart(job, measure, steps) for name, measure in CURVES.items()},
        "held_out": train_cards.held_out(job.held_out()) if over else "",
        "run_facts": train_cards.facts(job),
        **{name: _file(over, *given) for name, given in files.items()},
    }


def _chart(job: Job, measure: str, steps: int) -> Any:
    if measure not in train_charts.shown(job.objective) or not job.curve:
        return gr.update(visible=False)
    return gr.update(value=train_charts.figure(job.curve, measure, steps), visible=True)


def _file(over: bool, path: Any, name: str) -> Any:
    """A download; while a run goes on its files still grow."""
    copy = train_downloads.copy(path, name) if over else None
    return gr.update(value=copy, visible=copy is not None)


def _mark(jobs: Sequence[Job], chosen: str | None) -> list[Any]:
    """What a look at the runs depends on: it changes when anything shown does."""
    return [
        [job.id, job.state, job.phase, job.stopping, len(job.curve), job.id == chosen]
        for job in jobs
    ]


def _find(jobs: Jobs, run: str) -> Job | None:
    try:
        return jobs.get(run)
    except T2Error:
        return None


def _with(values: Values, **changes: Any) -> Values:
    """Values in the order of ``VIEW`` with some replaced."""
    return tuple({**dict(zip(VIEW, values, strict=True)), **changes}.values())


# -- what is done --------------------------------------------------------------------------------


def begin(
    engine: Engine,
    queues: Queues,
    overwrite: bool,
    draft: Draft | None,
    name: str,
    description: str,
    *given: Any,
) -> Values:
    """Train. Besides ``VIEW``: the notice of the form, the question whether to replace, its words.

    An expert of that name is replaced only with ``overwrite``; without, the page asks first.
    """
    jobs, name = queues.of(engine), (name or "").strip()
    try:
        if draft is None or draft.report is None:
            raise T2Error("Choose rows to train on first.")
        if not overwrite and name in engine.library.experts():
            return *_nothing(), note(""), gr.update(visible=True), _question(engine, name)
        settings = settings_from(*given)
        if draft.seed != settings.seed:
            draft = train_draft.rechecked(engine, draft, draft.reward, settings.seed, draft.tell)
        if draft.problem:
            raise T2Error(draft.problem)
        job = jobs.submit(
            draft.report,
            name=name,
            settings=settings,
            description=(description or "").strip() or None,
            overwrite=overwrite,
        )
    except T2Error as error:
        return *_nothing(), note(str(error)), gr.update(visible=False), gr.skip()
    return *_values(jobs, job.id), note(""), gr.update(visible=False), gr.skip()


def begin_beside(engine: Engine, queues: Queues, draft: Draft | None, name: str, *rest: Any):
    """Train under the first name like this one that is free; gives the name as well."""
    free = train_draft.numbered((name or "").strip(), engine.library.experts())
    return *begin(engine, queues, False, draft, free, *rest), free


def _question(engine: Engine, name: str) -> str:
    free = train_draft.numbered(name, engine.library.experts())
    return train_cards.replace_question(name, free)


def stop(engine: Engine, queues: Queues, chosen: str | None) -> Values:
    """Stop and keep the best so far, or leave the line."""
    return _done(queues.of(engine), chosen, lambda jobs: jobs.stop(chosen).id)


def resume(engine: Engine, queues: Queues, chosen: str | None) -> Values:
    """Go on from the last checkpoint."""
    return _done(queues.of(engine), chosen, lambda jobs: jobs.resume(chosen).id)


def again(engine: Engine, queues: Queues, chosen: str | None) -> Values:
    """The same rows and settings once more, under a name of its own."""

    def run(jobs: Jobs) -> str:
        taken = {*engine.library.experts(), *(job.name for job in jobs.jobs())}
        return jobs.again(chosen, name=train_draft.numbered(jobs.get(chosen).name, taken)).id

    return _done(queues.of(engine), chosen, run)


def delete(engine: Engine, queues: Queues, chosen: str | None) -> Values:
    """Delete the run, which was asked for twice; the expert stays."""

    def run(jobs: Jobs) -> None:
        jobs.delete(chosen)

    return _done(queues.of(engine), chosen, run)


def _done(jobs: Jobs, chosen: str | None, action: Callable[[Jobs], str | None]) -> Values:
    """Do something to the chosen run and show what came of it."""
    if not isinstance(chosen, str):
        return _values(jobs, None, GONE)
    try:
        return _values(jobs, action(jobs))
    except T2Error as error:
        return _values(jobs, chosen, str(error))
    except Exception as error:  # a defect: the page must say so rather than do nothing
        logging.getLogger(__name__).exception("while changing a run")
        line = f"Something went wrong: {type(error).__name__}. The terminal says more."
        return _values(jobs, chosen, line)


def _nothing() -> Values:
    return (gr.skip(),) * len(VIEW)


def use(engine: Engine, queues: Queues, chosen: str | None) -> Values:
    """Over to the chat with the run's expert alone in effect, and a question to try it on.

    One that harms other questions is not put on for all of them: there the first pass decides.
    Gives the open tab, the strategy, the sliders with their weights and line, the question, the
    chat's notice, and the notice here.
    """
    same = (gr.skip(),) * 7
    try:
        job = queues.of(engine).get(chosen or "")
        expert = engine.library.get(job.name)
    except T2Error as error:
        return *same, note(str(error))
    rows = job.held_out()
    gained = [row.question for row in rows if row.change == "gained"]
    question = next(iter([*gained, *(row.question for row in rows)]), "")
    if harm.harms(expert.header):
        line = (
            f"{job.name} harms other questions where it is always on, so the first pass decides "
            f"when it is used. Its weight can be set by hand under {HOW}."
        )
        tabs = gr.Tabs(selected=words.TAB_CHAT)
        return tabs, adapt.DEFAULT, *same[:3], question, note(line), note("")
    weights = {name: float(name == job.name) for name in asking.expert_names(engine)}
    return (
        gr.Tabs(selected=words.TAB_CHAT),
        "manual",
        {"number": time.monotonic_ns(), "weights": weights},
        weights,
        asking.hand_line(weights),
        question,
        note(f"Now {job.name} alone answers. For a mix, choose another way under {HOW}."),
        note(""),
    )
