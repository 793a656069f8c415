"""A reward of the user's own on the page: typed, tried on the rows, then trained with.

Layout and handlers. Functions run in the sandbox (``tasks.own``), never in the app.
"""

from __future__ import annotations

import html
import logging
from typing import Any

import gradio as gr

from t2app.data import bench
from t2app.data.rows import problems_of
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.tasks import own
from t2app.ui import train_data, train_draft
from t2app.ui.train_draft import Draft

Values = tuple[Any, ...]

NAME = "own.py"
HEADERS = ("Row", "Answer", "Text", "Reward", "")
CLIP = 80
# Components that a reward sets when it is taken.
USED = (*train_data.LOOKED, "reward", "own_said")
NO_ROWS = "Choose rows first: a reward is tried on them."


def panel() -> dict[str, Any]:
    """The parts of the panel, closed at first."""
    with gr.Accordion("A reward of your own", open=False, elem_id="t2-own"):
        gr.Markdown(
            "A Python function of the answer and its row (the cells by column) that returns a "
            "number from 0 to 1. It runs in a sandbox: standard modules that compute, no files, no "
            "network."
        )
        code = gr.Code(
            own.TEMPLATE,
            language="python",
            lines=6,
            max_lines=24,
            interactive=True,
            show_label=False,
            elem_id="t2-own-code",
        )
        weights = gr.Textbox(
            NAME,
            label="Rewards and weights",
            info=f"{NAME} is the function above. Several add up to 1: numeric=0.8,{NAME}=0.2",
            elem_id="t2-own-weights",
        )
        with gr.Row():
            try_it = gr.Button("Try it on the rows", size="sm", elem_id="t2-own-try")
            use_it = gr.Button("Judge by it", size="sm", elem_id="t2-own-use")
        said = gr.HTML(elem_id="t2-own-said")
        table = gr.Dataframe(
            headers=list(HEADERS),
            visible=False,
            interactive=False,
            wrap=True,
            show_label=False,
            max_height=320,
            elem_id="t2-own-table",
        )
    return {
        "own_code": code,
        "own_weights": weights,
        "own_try": try_it,
        "own_use": use_it,
        "own_said": said,
        "own_table": table,
    }


def tried(engine: Engine, draft: Draft | None, code: str, weights: str) -> Values:
    """What the reward gives on the first rows, and what to know of it."""
    if draft is None or draft.table is None:
        return gr.skip(), _line(NO_ROWS)
    try:
        judged = _judged(engine, draft, code, weights)
        report = judged.report
        if report is None or not report.used:
            return gr.update(visible=False), _line(judged.problem or NO_ROWS)
        every = [e for rows in report.splits.values() for e in rows]
        shown = sorted(every, key=lambda e: e.number)
        lines = bench.lines(report.rule, problems_of(shown, report.table, report.rule))
    except T2Error as error:
        return gr.update(visible=False), _line(str(error))
    except Exception as error:  # a defect: never an end without a word
        logging.getLogger(__name__).exception("while trying a reward")
        return gr.update(visible=False), _line(f"Something went wrong: {type(error).__name__}.")
    return gr.update(visible=True, value=[_cells(line) for line in lines]), _line(_said(report))


def used(engine: Engine, draft: Draft | None, code: str, weights: str) -> Values:
    """The rows are judged by it from now on."""
    if draft is None or draft.table is None:
        return *(gr.skip(),) * (len(USED) - 1), _line(NO_ROWS)
    try:
        judged = _judged(engine, draft, code, weights)
    except T2Error as error:
        return *(gr.skip(),) * (len(USED) - 1), _line(str(error))
    spec = judged.reward
    return (
        *train_data.looked(engine, judged, described=draft.report is not None),
        gr.update(choices=train_data.reward_choices(spec), value=spec),
        _line(judged.problem or f"Answers are judged by {spec} now."),
    )


def _judged(engine: Engine, draft: Draft, code: str, weights: str) -> Draft:
    """The draft with the typed reward. Raises T2Error for one that cannot be."""
    sources = {NAME: code or ""}
    rule = own.find(weights.strip() or NAME, sources)
    return train_draft.judged_by(engine, draft, rule.name, sources)


def _cells(line: bench.Line) -> list[str]:
    text = " ".join(line.answer.split())
    clipped = text if len(text) <= CLIP else text[: CLIP - 1] + "…"
    score = "fails" if line.score is None else f"{line.score:.2f}"
    return [str(line.row), line.kind, clipped, score, line.said]


def _said(report: Any) -> str:
    trial = report.trial
    if trial is None:
        return ""
    if trial.failure:
        return trial.failure
    means = (("the right answers", trial.own), ("those of other rows", trial.other),
             ("the empty answer", trial.empty))  # fmt: skip
    shown = ", ".join(f"{name} {value:.2f}" for name, value in means if value is not None)
    words = trial.words() or "Nothing speaks against it."
    return f"On average over {trial.rows} rows: {shown}. {words}"


def _line(text: str) -> str:
    """Text of a file or a function as HTML that shows it as it is."""
    return f'<p class="t2-say">{html.escape(text)}</p>'
