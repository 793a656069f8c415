"""Learning curves: points where there are values, axes that do not jump."""

from __future__ import annotations

import pytest

from t2app.ui import train_charts

CURVE = [
    {"step": 0, "validation": 0.2, "reward": None, "kl": None, "loss": None},
    {"step": 1, "validation": None, "reward": -0.5, "kl": 0.0, "loss": None},
    {"step": 2, "validation": 0.5, "reward": 0.1, "kl": 0.01, "loss": None},
]


def test_only_measured_values_are_points() -> None:
    line = train_charts.figure(CURVE, "validation", 10).data[0]
    assert (list(line.x), list(line.y)) == ([0, 2], [0.2, 0.5])


@pytest.mark.parametrize("objective", [None, "rl", "sft", "sft+rl"])
def test_every_objective_has_its_charts(objective: str | None) -> None:
    shown = train_charts.shown(objective)
    assert ("validation" in shown) == (objective is not None)
    assert ("reward" in shown) == (objective in ("rl", "sft+rl"))
    assert ("loss" in shown) == (objective in ("sft", "sft+rl"))
    assert set(shown) <= set(train_charts.MEASURES)


def test_the_axis_is_as_long_as_the_run_from_the_beginning() -> None:
    for curve in ([], CURVE[:1], CURVE):
        assert train_charts.figure(curve, "reward", 40).layout.xaxis.range == (0, 40)
    assert train_charts.figure(CURVE, "reward", 1).layout.xaxis.range == (0, 2)


def test_the_base_is_a_line_to_compare_with() -> None:
    shapes = train_charts.figure(CURVE, "validation", 10).layout.shapes
    assert [shape.y0 for shape in shapes] == [0.2]


def test_runs_side_by_side_have_colours_and_names() -> None:
    chart = train_charts.compared({"a": CURVE, "b": CURVE[:1]}, {"a": "first", "b": "second"})
    assert [line.name for line in chart.data] == ["first", "second"]
    assert len({line.line.color for line in chart.data}) == 2
    assert chart.layout.xaxis.range == (0, 2)
