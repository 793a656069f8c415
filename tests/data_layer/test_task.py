"""The task that a checked table becomes, and the files that come with the app."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from t2app.data import build, check, read_table, table_from_cells
from t2app.data.columns import Columns
from t2app.data.examples import EXAMPLES, FOLDER
from t2app.data.task import MOST_TOKENS, RowsTask
from t2app.errors import T2Error
from t2app.evaluation import grid
from t2app.tasks import TASKS, Problem, asserts, own

ROWS = [(f"What is {n} plus 1?", str(n + 1)) for n in range(40)]
TABLE = table_from_cells(["question", "answer"], ROWS, "sums.csv")


def test_problems_come_from_their_split() -> None:
    report = check(TABLE)
    task = build(report)
    for side in ("train", "validation", "test"):
        questions = [e.question for e in report.splits[side]]
        assert [p.question for p in task.problems(side)] == questions
        assert [p.question for p in task.problems(side, 500, "report")] == questions
        some = task.problems(side, 4, 1)
        assert some == task.problems(side, 4, 1)
        assert len({p.question for p in some}) == 4
        assert {p.question for p in some} <= {*questions}
        rng = random.Random(0)
        assert {task.sample(rng, side).question for _ in range(500)} == {*questions}
    assert task.problems("train", 4, 1) != task.problems("train", 4, 2)
    assert task.draw(random.Random(0)) in task.problems("train")


def test_the_task_scores_by_the_reward() -> None:
    task = build(check(TABLE))
    [problem] = task.problems("test", 1)
    assert task.score([problem, problem], [f"It is {problem.gold}.", "no"]) == [1, 0]
    assert problem == Problem(
        "sums.csv",
        problem.question,
        problem.gold,
        problem.gold,
        problem.gold,
        number=int(problem.gold),
    )


def test_what_an_expert_keeps_of_its_data() -> None:
    task = build(check(TABLE, seed=3))
    assert (task.name, task.reward) == ("sums.csv", "numeric")
    assert task.name not in TASKS, "nobody takes it for a built-in task"
    assert task.dataset is not None
    assert task.dataset.sha256 == TABLE.sha256
    assert task.dataset.rows == {"train": 24, "validation": 6, "test": 10, "rejected": 0}
    assert task.dataset.reading == {
        "format": "typed",
        "encoding": "utf-8",
        "delimiter": None,
        "header": True,
        "columns": {"question": "question", "answer": "answer"},
        "split_seed": 3,
    }
    assert task.description == "questions answered by a number: plus"
    assert build(check(TABLE), description="sums").description == "sums"


OWN = """
def reward(answer, row):
    return 1.0 if answer == row["hint"] + "!" else 0.0
"""


def test_a_reward_of_the_users_own_reads_the_row() -> None:
    rows = [(q, a, f"hint {a}") for q, a in ROWS]
    table = table_from_cells(["question", "answer", "hint"], rows, "hints.csv")
    rule = own.find("numeric=0.5,mine.py=0.5", {"mine.py": OWN})
    task = build(check(table, reward=rule))
    [problem] = task.problems("test", 1)
    assert dict(problem.row) == {
        "question": problem.question, "answer": problem.gold, "hint": f"hint {problem.gold}"
    }  # fmt: skip
    assert task.reward == "numeric=0.5,mine.py=0.5"
    assert task.score([problem], [f"hint {problem.gold}!"]) == [1]
    kept = RowsTask.from_dict(json.loads(json.dumps(task.to_dict())))
    assert kept.rows == task.rows
    assert kept.sources == {"mine.py": OWN}
    assert task.dataset.reading["rewards"] == {"mine.py": OWN}, "an expert's header has it"
    assert kept.score([problem] * 2, [problem.gold, "no"]) == [0.5, 0]
    assert build(check(table)).problems("test", 1)[0].row == (), "cells only where they are read"


def test_other_right_answers_are_kept() -> None:
    task = build(check(TABLE))
    also = replace(task.rows["train"][0], also=("a", "b"))
    changed = replace(task, rows={**task.rows, "train": (also,)})
    assert RowsTask.from_dict(json.loads(json.dumps(changed.to_dict()))).rows["train"] == (also,)


def test_the_file_may_be_renamed() -> None:
    tasks = [build(check(replace(TABLE, name=name))) for name in ("a.csv", "b.csv")]
    first, second = ([p.question for p in t.problems("train", 9, 1)] for t in tasks)
    assert first == second


def test_each_row_may_have_its_system_prompt() -> None:
    rows = [(q, a, "Be brief." if n % 2 else "") for n, (q, a) in enumerate(ROWS)]
    table = table_from_cells(["question", "answer", "system"], rows)
    task = build(check(table))
    by_system = {p.system: p for p in task.problems("train")}
    assert task.messages(by_system["Be brief."]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": by_system["Be brief."].question},
    ]
    assert [m["role"] for m in task.messages(by_system[None])] == ["user"]


def test_room_for_the_answer() -> None:
    def room(reward: str, answer: str, tokens: int | None = None) -> int:
        rows = [(f"q{n}", f"{answer} {n}") for n in range(20)]
        table = table_from_cells(["question", "answer"], rows)
        return build(check(table, reward=reward), max_new_tokens=tokens).max_new_tokens

    assert room("numeric", "") == 96
    assert room("exact", "yes") == 16
    assert room("exact", "x" * 297) == 158
    assert room("overlap", "x" * 9000) == MOST_TOKENS
    assert room("exact", "yes", 7) == 7


def test_too_few_rows_make_no_task() -> None:
    with pytest.raises(T2Error, match="x has 2 rows that can be used"):
        build(check(table_from_cells(["question", "answer"], ROWS[:2], "x")))


# -- the files that come with the app --------------------------------------------------------------

EXPECTED = {
    "word-problems.csv": ("numeric", 300),
    "two-step-sums.csv": ("numeric", 240),
    "everyday-quiz.csv": ("choice", 300),
    "python-functions.csv": ("code", 200),
    "small-talk.csv": ("exact", 250),
    "secret-codes.csv": ("exact", 200),
}


def test_every_example_is_listed() -> None:
    assert [e.file for e in EXAMPLES] == list(EXPECTED)
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(EXPECTED)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.file)
def test_examples_can_be_used_as_they_are(example) -> None:
    reward, rows = EXPECTED[example.file]
    report = check(read_table(example.path))
    assert (report.reward, report.objective, report.used) == (reward, "rl", rows)
    assert not report.rejected
    assert 150 <= rows <= 400


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.file)
def test_examples_hold_hardly_a_question_that_built_in_tasks_are_measured_by(example) -> None:
    """One short sum is in both; small talk is a list of phrases that everybody uses."""
    task = build(check(read_table(example.path)))
    questions = {p.question for split in task.rows.values() for p in split}
    for name in ("math", "code", "reasoning"):
        measured = {p.question for p in TASKS[name].problems("test", 500, grid.SEED)}
        assert len(questions & measured) <= 1


def test_gold_answers_of_the_examples_are_right_by_their_own_reward() -> None:
    for example in EXAMPLES:
        task = build(check(read_table(example.path)))
        if task.reward != "code":
            problems = task.problems("test")
            assert task.score(problems, [p.fast for p in problems]) == [1.0] * len(problems)


def test_code_examples_name_the_function_that_their_tests_call() -> None:
    table = read_table(FOLDER / "python-functions.csv")
    for question, cell in zip(table.column("instruction"), table.column("tests"), strict=True):
        tests = asserts.read(cell)
        assert tests.function in question
        assert len(tests.cases) == 4


def test_columns_of_an_example() -> None:
    report = check(read_table(FOLDER / "everyday-quiz.csv"))
    assert report.columns == Columns("question", "answer", choices=("A", "B", "C", "D"))
