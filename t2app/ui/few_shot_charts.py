"""Figures of a few-shot search: how the weights and their worth change, and a mix by layer.

Pure functions from the records of a search to a plotly figure. Not covered: the bars of a mix,
which are those of the chat (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from t2app.adapt.few_shot import Found, Generation
from t2app.ui.charts import BASE_COLOUR, PALETTE
from t2app.ui.experts_charts import CLEAR, GRID, heat

HEIGHT = 260
# The axis of generations has room for so many before it has to grow.
FEWEST_GENERATIONS = 8
BAND = 0.16


def weights_figure(records: Sequence[Generation]) -> go.Figure:
    """Mean of each expert's weight by generation, in a band of its spread; dots are candidates.

    The dots are those of the latest generation, at its place.
    """
    figure = go.Figure()
    numbers = [record.number for record in records]
    names = list(records[-1].mean) if records else []
    for i, name in enumerate(names):
        colour = PALETTE[i % len(PALETTE)]
        means = [record.mean[name] for record in records]
        spreads = [record.spread[name] for record in records]
        upper = [min(1.0, m + s) for m, s in zip(means, spreads, strict=True)]
        lower = [max(0.0, m - s) for m, s in zip(means, spreads, strict=True)]
        figure.add_scatter(
            x=[*numbers, *reversed(numbers)],
            y=[*upper, *reversed(lower)],
            fill="toself",
            mode="lines",
            fillcolor=_faint(colour),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
        figure.add_scatter(
            x=numbers,
            y=means,
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            marker={"size": 6},
            customdata=spreads,
            hovertemplate=f"generation %{{x}}: {name} %{{y:.2f}} ± %{{customdata:.2f}}"
            "<extra></extra>",
        )
        drawn = [candidate[name] for candidate in records[-1].population]
        figure.add_scatter(
            x=[numbers[-1]] * len(drawn),
            y=drawn,
            mode="markers",
            marker={"color": colour, "size": 4, "opacity": 0.35},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
    _style(figure, "Weight of each expert", records, legend=True)
    figure.update_yaxes(range=[-0.03, 1.03])
    return figure


def fitness_figure(records: Sequence[Generation], fitness: str) -> go.Figure:
    """The best mix so far and the mean of each generation's elite, by generation."""
    share = fitness == "accuracy"
    words = ".0%" if share else ".3f"
    numbers = [record.number for record in records]
    figure = go.Figure()
    for name, values, colour, dash in (
        ("best so far", [r.best_fitness for r in records], PALETTE[0], "solid"),
        ("mean of those kept", [r.elite_fitness for r in records], BASE_COLOUR, "dot"),
    ):
        figure.add_scatter(
            x=numbers,
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"size": 6},
            hovertemplate=f"generation %{{x}}: {name} %{{y:{words}}}<extra></extra>",
        )
    title = "Examples answered right" if share else "Log-likelihood of the given answers, a token"
    _style(figure, title, records, legend=True)
    if share:
        figure.update_yaxes(range=[0, 1.05], tickformat=".0%")
    return figure


def layers_figure(found: Found) -> go.Figure:
    """The weight of each expert (across) in each layer (down), where layers have their own."""
    return heat(
        found.alpha,
        found.experts,
        [f"layer {layer}" for layer in range(len(found.alpha))],
        span=(0, 1),
        digits=".2f",
        hover="%{y}: %{x} %{z:.3f}<extra></extra>",
    )


def _faint(colour: str) -> str:
    """``#0d9488`` as a half transparent colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{BAND})"


def _style(figure: go.Figure, title: str, records: Sequence[Generation], legend: bool) -> None:
    last = max(len(records), FEWEST_GENERATIONS)
    figure.update_layout(
        template=None,
        height=HEIGHT,
        title={"text": title, "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.98},
        margin={"l": 48, "r": 12, "t": 34, "b": 74},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"size": 12},
        dragmode=False,
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": -0.28, "yanchor": "top", "itemclick": False},
        xaxis={
            "title": {"text": "generation", "standoff": 4},
            "range": [0.7, last + 0.3],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "dtick": max(1, last // 8),
        },
        yaxis={"fixedrange": True, "gridcolor": GRID, "zeroline": False, "nticks": 5},
    )
