"""Figures of the experts page: pure functions from numbers to a plotly figure.

Colours are half transparent and text takes its own from the page's style sheet, so that one figure
serves light and dark. Every figure has a line of words beside it on the page (``experts_view``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from t2app.svf.compare import place
from t2app.ui.charts import BASE_COLOUR, PALETTE
from t2app.ui.conversation import percent

Matrix = Sequence[Sequence[float | None]]

# From nothing to the page's accent; dark enough text is readable on all of it.
RISING = ((0, "rgba(13,148,136,0.04)"), (1, "rgba(13,148,136,0.8)"))
# From worse to better, with nothing in the middle.
FALLING_RISING = (
    (0, "rgba(220,38,38,0.75)"),
    (0.5, "rgba(148,163,184,0.06)"),
    (1, "rgba(13,148,136,0.8)"),
)
GRID = "rgba(148,163,184,0.25)"
CLEAR = "rgba(0,0,0,0)"
CELL = 30
# More cells than this, and numbers in them could not be read.
MOST_LABELS = 12
MOST_TICKS = 24


def strength_figure(strength: Mapping[str, float], top: float | None = None) -> go.Figure:
    """Mean ``|z - 1|`` by layer (down) and module (across); ``top`` is the end of the scale."""
    layers, modules, cells = _by_place(strength)
    return heat(
        cells,
        [_short(module) for module in modules],
        [f"layer {layer}" for layer in layers],
        span=(0, top or max(strength.values(), default=0) or 1),
        digits=".3f",
        hover="%{y}, %{x}: mean |z − 1| = %{z:.4f}<extra></extra>",
    )


def agreement_figure(similarity: Mapping[str, float]) -> go.Figure:
    """Cosine similarity of two experts by layer (down) and module (across)."""
    layers, modules, cells = _by_place(similarity)
    return heat(
        cells,
        [_short(module) for module in modules],
        [f"layer {layer}" for layer in layers],
        scale=FALLING_RISING,
        span=(-1, 1),
        digits=".2f",
        hover="%{y}, %{x}: cosine similarity %{z:.3f}<extra></extra>",
    )


def similarity_figure(names: Sequence[str], cells: Matrix) -> go.Figure:
    """Cosine similarity of all experts with each other."""
    return heat(
        cells,
        names,
        names,
        scale=FALLING_RISING,
        span=(-1, 1),
        digits=".2f",
        hover="%{y} and %{x}: cosine similarity %{z:.3f}<extra></extra>",
    )


def vector_figure(z: Sequence[float], sigma: Sequence[float]) -> go.Figure:
    """``z`` (r,) along the singular values (r,), largest first, with the spectrum behind it."""
    ranks = list(range(1, len(z) + 1))
    largest = max(sigma, default=1) or 1
    figure = go.Figure()
    figure.add_scatter(
        x=ranks,
        y=[s / largest for s in sigma],
        yaxis="y2",
        fill="tozeroy",
        mode="lines",
        name="singular value",
        line={"width": 0},
        fillcolor="rgba(148,163,184,0.28)",
        hovertemplate="singular value %{x}: %{y:.1%} of the largest<extra></extra>",
    )
    figure.add_scatter(
        x=ranks,
        y=list(z),
        mode="markers",
        name="z",
        marker={"size": 4, "color": PALETTE[0]},
        hovertemplate="z of number %{x}: %{y:.3f}<extra></extra>",
    )
    reach = max([abs(value - 1) for value in z] or [0]) * 1.1 or 0.1
    _plain(figure, height=250, left=44, right=44, top=34, bottom=40)
    figure.add_hline(y=1, line={"color": BASE_COLOUR, "width": 1.5, "dash": "dot"})
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        xaxis={"title": {"text": "singular values, largest first", "standoff": 6}},
        yaxis={"range": [1 - reach, 1 + reach], "overlaying": "y2", "nticks": 5, "showgrid": False},
        yaxis2={"side": "right", "range": [0, 1.05], "tickformat": ".0%", "nticks": 3},
    )
    for axis in ("xaxis", "yaxis", "yaxis2"):
        figure.update_layout({axis: {"fixedrange": True, "zeroline": False, "gridcolor": CLEAR}})
    return figure


def effects_figure(
    tasks: Sequence[str], ways: Sequence[str], measured: Mapping[str, Mapping[str, float | None]]
) -> go.Figure:
    """Accuracy of every way (across) on every task (down); colour is the difference to the first.

    ``measured`` is way -> task -> accuracy, 0 to 1, None where nothing was measured.
    """
    base = measured[ways[0]]
    figures = [[measured[way].get(task) for way in ways] for task in tasks]
    gains = [
        [None if value is None or base.get(task) is None else value - base[task] for value in row]
        for task, row in zip(tasks, figures, strict=True)
    ]
    words = [["" if value is None else percent(value) for value in row] for row in figures]
    widest = max((abs(gain) for row in gains for gain in row if gain is not None), default=0)
    return heat(
        gains,
        ways,
        tasks,
        scale=FALLING_RISING,
        span=(-max(widest, 0.2), max(widest, 0.2)),
        digits="",
        hover="%{x} on %{y}: %{text}, %{z:+.1%} against the base<extra></extra>",
        text=words,
    )


def confusion_figure(
    kinds: Sequence[str], labels: Sequence[str], counts: Sequence[Sequence[int]]
) -> go.Figure:
    """How often questions of each kind (down) got each label (across): the paper's figure 6."""
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    return heat(
        shares,
        labels,
        kinds,
        span=(0, 1),
        digits="",
        hover="%{y} taken for %{x}: %{text} (%{z:.1%})<extra></extra>",
        text=[[str(count) for count in row] for row in counts],
    )


def contributions_figure(
    names: Sequence[str], rows: Sequence[Sequence[float]], of: Sequence[str] = ()
) -> go.Figure:
    """What each expert gave to each answer, stacked to 1: the paper's figure 7.

    ``names`` are the experts with the base last, ``rows`` one list of shares for each question, or
    for each of the names ``of``.
    """
    questions = list(of) or list(range(1, len(rows) + 1))
    hover = "%{x}: %{fullData.name} %{y:.0%}<extra></extra>"
    colours = _colours(names)
    figure = go.Figure(
        [
            go.Bar(
                x=questions,
                y=[row[i] for row in rows],
                name=name,
                marker={"color": colour},
                hovertemplate=hover if of else f"question {hover}",
            )
            for i, (name, colour) in enumerate(zip(names, colours, strict=True))
        ]
    )
    angle, below = _below(of) if of else (0, 44)
    _plain(figure, height=236 + below, left=44, right=8, top=8, bottom=below)
    figure.update_layout(
        barmode="stack",
        bargap=0.25,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        margin={"t": 40},
        xaxis={"fixedrange": True, "tickangle": angle},
        yaxis={"range": [0, 1], "tickformat": ".0%", "fixedrange": True, "gridcolor": GRID},
    )
    if not of:
        figure.update_xaxes(
            title={"text": "question", "standoff": 6},
            dtick=max(1, len(rows) // 12),
            range=[0.4, max(len(rows), 6) + 0.6],
        )
    return figure


def heat(
    cells: Matrix,
    across: Sequence[str],
    down: Sequence[str],
    *,
    scale: Sequence[tuple[float, str]] = RISING,
    span: tuple[float, float],
    digits: str,
    hover: str,
    text: Sequence[Sequence[str]] | None = None,
) -> go.Figure:
    """A heat map with the first row on top and, where there is room, a number in each cell.

    In ``hover``, ``%{x}`` and ``%{y}`` stand for the names ``across`` and ``down``.
    """
    numbered = text is not None or max(len(across), len(down)) <= MOST_LABELS
    figure = go.Figure(
        go.Heatmap(
            z=[list(row) for row in cells],
            x=list(range(len(across))),
            y=list(range(len(down))),
            customdata=None,
            text=text,
            texttemplate=("%{text}" if text else f"%{{z:{digits}}}") if numbered else None,
            textfont={"size": 11},
            zmin=span[0],
            zmax=span[1],
            colorscale=[list(step) for step in scale],
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate=_named(hover),
        )
    )
    figure.data[0].customdata = [[[a, d] for a in across] for d in down]
    angle, below = _below(across)
    height = max(120, min(640, CELL * len(down) + 10 + below))
    longest = max(map(len, down), default=1)
    _plain(figure, height=height, left=min(150, 7 * longest + 18), right=8, top=8, bottom=below)
    figure.update_layout(
        xaxis=_ticks(across, {"side": "bottom", "tickangle": angle}),
        yaxis=_ticks(down, {"autorange": "reversed"}),
    )
    return figure


def _below(names: Sequence[str]) -> tuple[int, int]:
    """The angle of names below a figure, and the room they take: aslant where they are many."""
    if len(names) <= 3:
        return 0, 30
    return -35, min(130, 24 + 4 * max(map(len, names)))


def _named(hover: str) -> str:
    """Names come from ``customdata``: with positions for axes, two may be called the same."""
    return hover.replace("%{x}", "%{customdata[0]}").replace("%{y}", "%{customdata[1]}")


def _ticks(names: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
    """An axis of names, thinned out where there are too many to read."""
    every = -(-len(names) // MOST_TICKS)
    shown = range(0, len(names), max(1, every))
    return {
        "tickvals": list(shown),
        "ticktext": [f"{names[i]} " for i in shown],
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "automargin": False,
        **more,
    }


def _plain(figure: go.Figure, *, height: int, left: int, right: int, top: int, bottom: int) -> None:
    figure.update_layout(
        template=None,
        height=height,
        margin={"l": left, "r": right, "t": top, "b": bottom},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"size": 12},
        dragmode=False,
        showlegend=False,
    )


def _by_place(values: Mapping[str, float]) -> tuple[list[str], list[str], list[list[float | None]]]:
    """Layers, modules, and the value at each, None where a layer lacks a module."""
    places = {name: place(name) for name in values}
    layers = list(dict.fromkeys(layer for layer, _ in places.values()))
    modules = list(dict.fromkeys(module for _, module in places.values()))
    found = {places[name]: value for name, value in values.items()}
    return layers, modules, [[found.get((layer, m)) for m in modules] for layer in layers]


def _short(module: str) -> str:
    """``self_attn.q_proj`` -> ``q_proj``."""
    return module.rsplit(".", 1)[-1]


def _colours(names: Sequence[str]) -> list[str]:
    """As in the chat: experts in alphabetical order take the palette in turn, the base is grey."""
    experts = sorted(name for name in names if name != "base")
    own = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(experts)}
    return [own.get(name, BASE_COLOUR) for name in names]
