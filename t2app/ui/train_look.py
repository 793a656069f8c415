"""A look into a run: the answers of a step with reward and advantage, and what its figures say.

The layout of the fold, its handlers, and the HTML of alarms. What a model said is escaped. Only the
step that is looked at is sent to the page, and nothing while the fold is closed. Not covered: what
is kept of a step (``t2app.training.look``).
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.training import alarms, look
from t2app.ui.conversation import percent
from t2app.ui.train_queues import Queues

Values = tuple[Any, ...]

FILTERS = [("all prompts", "all"), ("rewards differ", "differ"), ("cut off", "cut")]
NOTHING_YET = "The answers of each step show up here when the first step is done."
NOTHING_KEPT = "This run kept no answers: it is from before they were kept, or it made no step."
NONE_FIT = "No prompt of this step is of that kind."
# figure of a step: (name on the page, its values in words)
FIGURES = {
    "reward": ("Mean reward", lambda v: f"{v:+.2f}"),
    "loss": ("Loss of a token", lambda v: f"{v:.2f}"),
    "same": ("Prompts with one reward", percent),
    "cut": ("Answers cut off", percent),
    "length": ("Mean length", lambda v: f"{v:.0f} tokens"),
    "entropy": ("Entropy of a token", lambda v: f"{v:.2f}"),
    "kl": ("KL to the base, a token", lambda v: f"{max(0.0, v):.3f}"),
    "general": ("KL on general questions", lambda v: f"{max(0.0, v):.3f}"),
}
WIDTH, HEIGHT = 96, 22


def panel() -> dict[str, Any]:
    """The fold; ``look_at`` remembers which step of which run is looked at, None for the newest."""
    with gr.Accordion(
        "Look into the run", open=False, elem_classes="t2-fold t2-card", elem_id="t2-look"
    ) as fold:
        with gr.Row(elem_classes="t2-look-choice"):
            step = gr.Slider(
                minimum=1, maximum=2, step=1, label="Step", visible=False, elem_id="t2-look-step"
            )
            kind = gr.Radio(FILTERS, value="all", label="Show", elem_id="t2-look-filter")
        figures = gr.HTML(elem_id="t2-look-figures", apply_default_css=False)
        answers = gr.HTML(elem_id="t2-look-answers", apply_default_css=False)
    return {
        "look_fold": fold,
        "look_step": step,
        "look_filter": kind,
        "look_figures": figures,
        "look_answers": answers,
        "look_open": gr.State(False),
        "look_at": gr.State(None),
    }


# -- handlers ------------------------------------------------------------------------------------


def looked(
    engine: Engine, queues: Queues, chosen: str | None, opened: bool, at: Any, kind: str
) -> Values:
    """The step that is looked at: slider, figures, answers; nothing while the fold is closed."""
    same = (gr.skip(),) * 3
    if not opened or not isinstance(chosen, str):
        return same
    try:
        job = queues.of(engine).get(chosen)
    except T2Error:
        return same
    steps = look.steps(job.folder)
    if not steps:
        active = job.state in ("waiting", "running")
        line = f'<p class="t2-quiet">{NOTHING_YET if active else NOTHING_KEPT}</p>'
        return gr.update(visible=False), "", line
    step = _step_of(at, chosen, steps)
    rows, left_out = look.read(job.folder, step)
    slider = gr.update(
        minimum=steps[0], maximum=max(steps[-1], steps[0] + 1), value=step, visible=len(steps) > 1
    )
    return slider, figures(job.curve, step), answers(rows, left_out, kind)


def moved(engine: Engine, queues: Queues, chosen: str | None, step: Any) -> Any:
    """The slider was moved: what ``look_at`` becomes. At its end it follows the newest step."""
    if not isinstance(chosen, str) or not isinstance(step, int | float):
        return None
    try:
        steps = look.steps(queues.of(engine).get(chosen).folder)
    except T2Error:
        return None
    return None if not steps or step >= steps[-1] else [chosen, int(step)]


def _step_of(at: Any, chosen: str, steps: Sequence[int]) -> int:
    """The step that a browser wants to see, if there is one of it; else the newest."""
    fits = isinstance(at, list) and len(at) == 2 and at[0] == chosen
    return at[1] if fits and at[1] in steps else steps[-1]


# -- what is shown -------------------------------------------------------------------------------


def alarm_cards(found: Sequence[Mapping[str, Any]]) -> str:
    """Alarms with what to do about each; those of a finished run say at which steps they held."""
    return "".join(
        f'<div class="t2-alarm" role="alert"><b>{html.escape(_says(alarm))}</b>'
        f"<p>{html.escape(alarm['advice'])}.</p></div>"
        for alarm in found
    )


def _says(alarm: Mapping[str, Any]) -> str:
    return alarms.line({**alarm, "advice": ""}).removesuffix(" .")


def figures(curve: Sequence[Mapping[str, Any]], step: int) -> str:
    """The figures of a step, each above its course over the run."""
    at = next((entry for entry in curve if entry["step"] == step), {})
    tiles = "".join(
        _tile(name, words(at[figure]), _points(curve, figure), step)
        for figure, (name, words) in FIGURES.items()
        if at.get(figure) is not None
    )
    return f'<div class="t2-look-tiles">{tiles}</div>'


def _points(curve: Sequence[Mapping[str, Any]], figure: str) -> list[tuple[int, float]]:
    return [(e["step"], e[figure]) for e in curve if e.get(figure) is not None and e["step"] > 0]


def _tile(name: str, said: str, points: Sequence[tuple[int, float]], step: int) -> str:
    return (
        f'<div class="t2-look-tile"><span>{name}</span><b>{html.escape(said)}</b>'
        f"{_sparkline(points, step)}</div>"
    )


def _sparkline(points: Sequence[tuple[int, float]], step: int) -> str:
    """A line over the steps with a dot at one of them."""
    if len(points) < 2:
        return ""
    first, last = points[0][0], points[-1][0]
    low, high = min(v for _, v in points), max(v for _, v in points)
    span, room = max(1, last - first), high - low or 1.0

    def place(point: tuple[int, float]) -> tuple[float, float]:
        x = 3 + (WIDTH - 6) * (point[0] - first) / span
        return x, 3 + (HEIGHT - 6) * (1 - (point[1] - low) / room)

    line = " ".join("{:.1f},{:.1f}".format(*place(point)) for point in points)
    dots = "".join(
        '<circle cx="{:.1f}" cy="{:.1f}" r="3"/>'.format(*place(p)) for p in points if p[0] == step
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
        f'<polyline points="{line}"/>{dots}</svg>'
    )


def answers(rows: Sequence[Mapping[str, Any]], left_out: int = 0, kind: str = "all") -> str:
    """The prompts of a step, each with its answers; ``kind`` is one of ``FILTERS``."""
    chosen = [row for row in rows if _fits(row, kind)]
    if not chosen:
        return f'<p class="t2-quiet">{NONE_FIT}</p>'
    more = f'<p class="t2-quiet">{left_out} more prompts were not kept.</p>' if left_out else ""
    return f'<ol class="t2-look">{"".join(map(_prompt, chosen))}</ol>{more}'


def _fits(row: Mapping[str, Any], kind: str) -> bool:
    if kind == "differ":
        return len({answer.get("reward") for answer in row["answers"]}) > 1
    return kind != "cut" or any(answer.get("cut") for answer in row["answers"])


def _prompt(row: Mapping[str, Any]) -> str:
    gold = row.get("gold")
    wanted = f'<span class="t2-look-gold" dir="auto">{html.escape(gold)}</span>' if gold else ""
    items = "".join(map(_answer, row["answers"]))
    return (
        f'<li><div class="t2-look-question"><b dir="auto">{html.escape(row["question"])}</b>'
        f"{wanted}</div><ul>{items}</ul></li>"
    )


def _answer(answer: Mapping[str, Any]) -> str:
    """One answer, coloured by reward, or by how likely it is where it was given."""
    if "reward" in answer:
        share = (answer["reward"] + 1) / 2
        said = f"<b>{answer['reward']:+.2f}</b><small>advantage {answer['advantage']:+.2f}</small>"
    else:
        share = math.exp(-answer["loss"])
        said = f"<b>{answer['loss']:.2f}</b><small>loss of a token</small>"
    cut = '<span class="t2-tag t2-poor">cut off</span>' if answer["cut"] else ""
    text = html.escape(answer["text"]) or "<i>nothing</i>"
    return (
        f'<li style="--t2-share:{100 * min(1.0, max(0.0, share)):.0f}%">'
        f'<span class="t2-look-worth">{said}</span>'
        f'<div dir="auto">{text}{cut}</div></li>'
    )


def wire(parts: Mapping[str, Any], bind: Any, queues: Queues, options: Mapping[str, Any]) -> None:
    """Look again when a run changes or another is chosen, a step or kind is, the fold is opened."""
    given = [parts[name] for name in ("chosen", "look_open", "look_at", "look_filter")]
    shown = [parts[name] for name in ("look_step", "look_figures", "look_answers")]
    again = {"fn": bind(looked, queues), "inputs": given, "outputs": shown, **options}
    parts["seen"].change(**again)
    parts["look_filter"].input(**again)
    fold, is_open = parts["look_fold"], parts["look_open"]
    fold.expand(lambda: True, None, is_open, **options).then(**again)
    fold.collapse(lambda: False, None, is_open, **options)
    slider, at = parts["look_step"], parts["look_at"]
    slider.input(bind(moved, queues), [parts["chosen"], slider], at, **options).then(**again)
