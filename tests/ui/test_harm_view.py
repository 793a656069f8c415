"""What an expert does to other questions, as HTML from a header that anybody may have written."""

from __future__ import annotations

from typing import Any

import pytest

from t2app.evaluation import harm
from t2app.ui import harm_view

NASTY = "<script>alert(1)</script>"
CHANGED = ({"question": NASTY, "base": "17 * 23 = 391.", "expert": NASTY},)
HARMED = harm.Group(NASTY, 100, 0.02, (0.01, 0.07), 2.5, (2.3, 2.7), CHANGED)
ALONE = harm.Group("dogs", 32, 0.7, (0.5, 0.8), 0.01, (0.0, 0.02))


def finding(*groups: harm.Group, verdict: str) -> dict[str, Any]:
    values = [group.to_dict() for group in groups]
    return {"checked": True, "verdict": verdict, "words": "", "groups": values}


def test_a_harmful_expert_has_figures_examples_and_advice() -> None:
    shown = harm_view.card(finding(HARMED, ALONE, verdict="harms"))
    assert "Harms other questions where it is always on" in shown
    assert "not offered as always on" in shown
    assert "2\N{NO-BREAK SPACE}%" in shown
    assert "95 % interval 1 to 7 %" in shown
    assert "2.500" in shown
    assert "harmed" in shown
    assert "left alone" in shown
    assert NASTY not in shown
    assert shown.count("&lt;script&gt;") == 3
    assert "17 * 23 = 391." in shown


def test_one_that_leaves_others_alone() -> None:
    found = finding(ALONE, verdict="leaves alone")
    assert "t2-good" in harm_view.card(found)
    assert "Leaves other questions alone" in harm_view.line(found)
    assert "dogs" in harm_view.details(found)


def test_the_base_unchanged_is_no_praise() -> None:
    shown = harm_view.card(finding(verdict="leaves alone"))
    assert "base, unchanged" in shown
    assert "t2-good" not in shown


def test_an_absent_check_says_why() -> None:
    found = harm.unchecked(f"it was {NASTY}")
    for shown in (harm_view.card(found), harm_view.line(found)):
        assert "not checked" in shown
        assert "&lt;script&gt;" in shown
        assert NASTY not in shown
    assert harm_view.details(found) == ""


@pytest.mark.parametrize(
    "found",
    [None, 7, "harms", [], {}, {"verdict": []}, {"verdict": "harms", "groups": "many"}]
    + [{"verdict": "harms", "groups": [group]} for group in (7, {}, {"n": "x"})]
    + [{"verdict": "harms", "groups": [{**HARMED.to_dict(), key: "x"}]} for key in ("kl", "n")]
    + [{"verdict": "harms", "groups": [{**HARMED.to_dict(), "same_ci95": [1]}]}]
    + [{"verdict": "harms", "groups": [{**ALONE.to_dict(), "changed": [7, {"base": 3}]}]}],
)
def test_headers_of_any_form_are_survived(found: Any) -> None:
    for view in (harm_view.card, harm_view.line, harm_view.details):
        assert isinstance(view(found), str)
