"""Data of figures: shares of experts by question, confusion of kinds and labels."""

from __future__ import annotations

from t2app.evaluation import figures


def test_contributions_with_the_rest_for_the_base():
    found = figures.contributions([{"math": 0.75, "code": 0.25}, {}, {"math": 0.5}])
    assert found["experts"] == ["code", "math", "base"]
    assert found["rows"] == [[0.25, 0.75, 0.0], [0.0, 0.0, 1.0], [0.0, 0.5, 0.5]]
    assert found["mean"] == [0.0833, 0.4167, 0.5]


def test_contributions_of_nothing():
    assert figures.contributions([]) == {"experts": ["base"], "rows": [], "mean": []}


def test_confusion():
    kinds = ["math", "math", "code", "other"]
    found = figures.confusion(kinds, ["math", "cooking", "math", None])
    assert found["kinds"] == ["code", "math", "other"]
    assert found["labels"] == ["code", "math", "other", "None", "cooking"]
    assert found["counts"] == [[0, 1, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 0]]
    assert sum(map(sum, found["counts"])) == 4
