from __future__ import annotations

import json

from t2app.ui import charts


def test_bars_are_experts_by_name_and_then_the_base() -> None:
    bar = charts.mix_figure({"math": 0.75, "code": 0.05}).data[0]
    assert list(bar.y) == ["code", "math", "base"]
    assert list(bar.text) == ["5\xa0%", "75\xa0%", "20\xa0%"]
    assert abs(sum(bar.x) - 1) < 1e-9
    assert bar.marker.color[-1] == charts.BASE_COLOUR


def test_an_expert_keeps_its_colour() -> None:
    first = charts.mix_figure({"code": 0.1, "math": 0.9}).data[0].marker.color
    second = charts.mix_figure({"math": 0.2, "code": 0.7}).data[0].marker.color
    assert first == second


def test_any_number_of_experts_fits() -> None:
    few = charts.mix_figure({}).layout.height
    many = charts.mix_figure({f"expert-{i:02}": 0.01 for i in range(40)})
    assert many.layout.height > 20 * few
    assert len(many.data[0].marker.color) == 41


def test_the_figure_serves_light_and_dark() -> None:
    layout = json.loads(charts.mix_figure({"math": 1.0}).to_json())["layout"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert "color" not in layout["font"]
