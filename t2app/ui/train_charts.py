"""Learning curves as plotly figures: of one run while it trains, and of several side by side.

Colours of text and grid come from the page's style sheet, so that one figure serves light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from t2app.ui.charts import BASE_COLOUR, PALETTE

Curve = Sequence[Mapping[str, Any]]

HEIGHT = 190
# measure: (title, colour, format of its values)
MEASURES = {
    "validation": ("Right on the rows to choose by", PALETTE[0], ".0%"),
    "reward": ("Mean reward of sampled answers", PALETTE[1], "+.2f"),
    "loss": ("Loss on the given answers", PALETTE[4], ".3f"),
    "kl": ("Distance from the base model (KL)", PALETTE[2], ".3f"),
}


def shown(objective: str | None) -> tuple[str, ...]:
    """The measures that training with an objective has; none before it has been chosen.

    They appear together, empty at first: a chart is as wide as the room it finds when it is drawn.
    """
    if objective is None:
        return ()
    learned = ("loss",) if objective == "sft" else ("reward", "kl")
    return ("validation", *(("loss",) if objective == "sft+rl" else ()), *learned)


def figure(curve: Curve, measure: str, steps: int) -> go.Figure:
    """One measure over the steps; the axis is as long as the whole run from the beginning on."""
    title, colour, format_ = MEASURES[measure]
    x, y = _points(curve, measure)
    markers = "lines+markers" if measure == "validation" or len(x) < 2 else "lines"
    chart = go.Figure(
        go.Scatter(
            x=x,
            y=y,
            mode=markers,
            line={"color": colour, "width": 2.5},
            marker={"size": 7},
            cliponaxis=False,
            hovertemplate=f"step %{{x}}: %{{y:{format_}}}<extra></extra>",
        )
    )
    if measure == "validation" and y:
        _base_line(chart, y[0])
    _style(chart, title, measure, [0, max(steps, *x, 1) if x else max(steps, 1)], y)
    return chart


def _base_line(chart: go.Figure, base: float) -> None:
    """Where the plain base model is, to compare with."""
    chart.add_hline(
        y=base,
        line={"color": BASE_COLOUR, "width": 1.5, "dash": "dot"},
        annotation={"text": "base", "font": {"size": 11}},
        annotation_position="top right",
    )


def compared(curves: Mapping[str, Curve], names: Mapping[str, str]) -> go.Figure:
    """Validation accuracy of several runs in one chart."""
    chart = go.Figure()
    last = 1
    every: list[float] = []
    for number, (run, curve) in enumerate(curves.items()):
        x, y = _points(curve, "validation")
        last = max([last, *x])
        every += y
        chart.add_scatter(
            x=x,
            y=y,
            name=names.get(run, run),
            mode="lines+markers",
            line={"color": PALETTE[number % len(PALETTE)], "width": 2.5},
            marker={"size": 7},
            hovertemplate="step %{x}: %{y:.0%}<extra>%{fullData.name}</extra>",
        )
    _style(chart, MEASURES["validation"][0], "validation", [0, last], every)
    chart.update_layout(
        height=320, showlegend=True, legend={"orientation": "h", "y": -0.15, "x": 0}
    )
    chart.update_layout(margin={"b": 70})
    return chart


def _points(curve: Curve, measure: str) -> tuple[list[int], list[float]]:
    found = [(e["step"], e[measure]) for e in curve if e.get(measure) is not None]
    return [step for step, _ in found], [value for _, value in found]


def _style(chart: go.Figure, title: str, measure: str, steps: list[int], y: list[float]) -> None:
    share = measure == "validation"
    chart.update_layout(
        template=None,
        height=HEIGHT,
        title={"text": title, "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.97},
        margin={"l": 44, "r": 12, "t": 34, "b": 30},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        dragmode=False,
        showlegend=False,
        xaxis={
            "range": steps,
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "nticks": 5,
            "ticklabelstandoff": 4,
        },
        yaxis={
            "range": _range(y) if share else [-1.05, 1.05] if measure == "reward" else None,
            "tickformat": ".0%" if share else None,
            "fixedrange": True,
            "gridcolor": "rgba(148,163,184,0.25)",
            "zeroline": False,
            "nticks": 4,
            "rangemode": "tozero" if measure in ("kl", "loss") else "normal",
        },
    )


def _range(shares: list[float]) -> list[float]:
    """From 0 to somewhat above the highest, never beyond what a share can be by much."""
    top = max([*shares, 0.1])
    return [0, min(1.04, top * 1.25)]
