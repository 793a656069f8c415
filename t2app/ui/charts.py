"""Plotly figures of the page: pure functions from numbers to a figure.

Colours of text come from the page's style sheet, so that one figure serves light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from t2app.ui.conversation import percent, with_base

# Told apart also by people who see few colours; experts take them in alphabetical order.
PALETTE = ("#0d9488", "#6366f1", "#d97706", "#db2777", "#0284c7", "#65a30d", "#9333ea", "#dc2626")
BASE_COLOUR = "#94a3b8"
ROW_HEIGHT = 38
LETTER_WIDTH = 8


def mix_figure(weights: Mapping[str, float]) -> go.Figure:
    """Bars of the mixing weights: experts by name, the base model's rest below them."""
    shares = with_base(dict(sorted(weights.items())))
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(shares) - 1)]
    figure = go.Figure(
        go.Bar(
            x=list(shares.values()),
            y=list(shares),
            orientation="h",
            marker={"color": [*colours, BASE_COLOUR], "cornerradius": 4},
            text=[percent(share) for share in shares.values()],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_layout(
        template=None,
        height=ROW_HEIGHT * len(shares) + 8,
        margin={"l": LETTER_WIDTH * max(map(len, shares)) + 26, "r": 60, "t": 4, "b": 4},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 14},
        bargap=0.4,
        dragmode=False,
        showlegend=False,
        xaxis={"range": [0, 1], "visible": False, "fixedrange": True},
        yaxis={
            "autorange": "reversed",
            "fixedrange": True,
            "showgrid": False,
            "ticksuffix": "  ",
        },
    )
    return figure
