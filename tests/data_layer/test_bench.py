"""The test bench of a reward on the first rows."""

from __future__ import annotations

from t2app.data import bench
from t2app.tasks import own
from t2app.tasks.base import Problem
from t2app.tasks.rewards import REWARDS

ROWS = [
    Problem("t", f"q{i}", gold, gold, gold, number=i + 2, row=(("answer", gold),))
    for i, gold in enumerate(["red", "blue"] * 10)
]


def test_each_row_with_three_answers() -> None:
    lines = bench.lines(REWARDS["exact"], ROWS, rows=2)
    assert [(x.row, x.kind, x.answer, x.score) for x in lines] == [
        (2, bench.RIGHT, "red", 1),
        (2, bench.OTHER, "blue", 0),
        (2, bench.EMPTY, "", 0),
        (3, bench.RIGHT, "blue", 1),
        (3, bench.OTHER, "red", 0),
        (3, bench.EMPTY, "", 0),
    ]
    assert lines[0].to_dict()["kind"] == "the right answer"
    assert len(bench.lines(REWARDS["exact"], ROWS)) == 3 * bench.ROWS


def test_failures_are_shown_and_end_it() -> None:
    rule = own.find("my.py", {"my.py": "def reward(answer, row):\n    return answer"})
    lines = bench.lines(rule, ROWS)
    assert [line.score for line in lines] == [None] * 3
    assert lines[0].said.startswith("my.py, row 2, answer 'red': the function returns the text")


def test_what_is_printed_is_shown() -> None:
    source = "def reward(answer, row):\n    print('looking')\n    return answer == row['answer']"
    [line, *_] = bench.lines(own.find("my.py", {"my.py": source}), ROWS, rows=1)
    assert (line.score, line.said) == (1, "prints 'looking', which does not count")


def test_programs_without_a_solution() -> None:
    rows = [Problem("t", "q", "f(1) -> 1", "", "", number=2)]
    assert [x.kind for x in bench.lines(REWARDS["code"], rows)] == [bench.EMPTY]
