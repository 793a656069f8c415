"""A reward that is typed on the page: tried on the rows, and taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from t2app import data
from t2app.engine import Engine
from t2app.tasks import own, sandbox
from t2app.ui import train_data, train_draft, train_reward
from t2app.ui.train_draft import Draft

pytestmark = pytest.mark.skipif(not sandbox.HAS_LIMITS, reason="needs the resource module")

ROWS = "".join(f"what is {n} plus {n}?,{2 * n}\n" for n in range(20))
RIGHT = "def reward(answer, row):\n    return float(answer == row['answer'])\n"


@pytest.fixture
def draft(engine: Engine, tmp_path: Path) -> Draft:
    path = tmp_path / "sums.csv"
    path.write_text(f"question,answer\n{ROWS}")
    return train_draft.from_file(engine, path)


def used(*given: Any) -> dict[str, Any]:
    return dict(zip(train_reward.USED, train_reward.used(*given), strict=True))


def test_what_it_gives_is_shown_row_by_row(engine: Engine, draft: Draft) -> None:
    table, said = train_reward.tried(engine, draft, RIGHT, "own.py")
    assert table["visible"]
    assert table["value"][0] == ["2", "the right answer", "0", "1.00", ""]
    assert table["value"][2] == ["2", "the empty answer", "", "0.00", ""]
    assert "On average over 20 rows: the right answers 1.00" in said
    assert "Nothing speaks against it." in said


def test_the_template_can_be_tried_at_once(engine: Engine, draft: Draft) -> None:
    _, said = train_reward.tried(engine, draft, own.TEMPLATE, "")
    assert "the right answers 1.00" in said


def test_taking_it_judges_the_rows_anew(engine: Engine, draft: Draft) -> None:
    shown = used(engine, draft, RIGHT, "numeric=0.5,own.py=0.5")
    judged = shown["draft"]
    assert judged.ready
    assert judged.report.reward == "numeric=0.5,own.py=0.5"
    assert shown["reward"]["value"] == "numeric=0.5,own.py=0.5"
    assert shown["reward"]["value"] in [value for _, value in shown["reward"]["choices"]]
    assert "Answers are judged by numeric=0.5,own.py=0.5 now." in shown["own_said"]
    task = data.build(judged.report)
    assert task.sources == {"own.py": RIGHT}
    again = train_draft.rechecked(engine, judged, judged.reward, 3)
    assert again.ready, "another seed keeps the reward"
    assert train_data.rejudged(engine, judged, judged.reward, 0)[0] == train_data._nothing("x")[0]


@pytest.mark.parametrize(
    ("code", "weights", "line"),
    [
        (
            "def reward(answer, row):\n    return 1 / 0",
            "own.py",
            "own.py, row 2, answer &#x27;0&#x27;",
        ),
        ("def reward(answer, row):\n    return '<b>'", "own.py", "the text &#x27;&lt;b&gt;&#x27;"),
        ("def reward(answer", "own.py", "own.py, line 1: this is not Python"),
        ("", "own.py", "own.py defines no function reward"),
        (RIGHT, "own.py=0.5", "the weights add up to 0.5"),
        (RIGHT, "/etc/passwd", "unknown reward &#x27;/etc/passwd&#x27;"),
        (RIGHT, "other.py", "unknown reward &#x27;other.py&#x27;"),
        (RIGHT, "code=0.5,own.py=0.5", "needs a column of tests"),
    ],
)
def test_what_cannot_be_is_a_line(
    engine: Engine, draft: Draft, code: str, weights: str, line: str
) -> None:
    _, said = train_reward.tried(engine, draft, code, weights)
    assert line in said
    shown = used(engine, draft, code, weights)
    assert line in shown["own_said"]
    if isinstance(shown["draft"], Draft):
        assert not shown["draft"].ready


def test_an_alarm_is_shown_and_nothing_is_forbidden(engine: Engine, draft: Draft) -> None:
    code = "def reward(answer, row):\n    return 1.0\n"
    _, said = train_reward.tried(engine, draft, code, "own.py")
    assert "this reward is met by the empty answer" in said
    shown = used(engine, draft, code, "own.py")
    assert shown["draft"].ready
    assert "It will not do: this reward is met by the empty answer" in shown["check"]


def test_without_rows(engine: Engine) -> None:
    for draft in (None, train_draft.from_file(engine, "/nowhere.csv")):
        assert train_reward.NO_ROWS in train_reward.tried(engine, draft, RIGHT, "own.py")[1]
        assert train_reward.NO_ROWS in used(engine, draft, RIGHT, "own.py")["own_said"]


def test_new_rows_forget_it(engine: Engine, draft: Draft, tmp_path: Path) -> None:
    shown = dict(
        zip(train_data.OPENED, train_data.opened(engine, draft.source.path, 0), strict=True)
    )
    assert shown["reward"]["value"] == "auto"
    assert "own.py" not in [value for _, value in shown["reward"]["choices"]]


def test_the_parts_of_the_panel() -> None:
    assert {"own_said", "reward"} <= set(train_reward.USED)
