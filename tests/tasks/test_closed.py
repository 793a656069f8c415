"""Answers that are chosen among a few: what the model is told, and which choice is right."""

from __future__ import annotations

import pytest

from t2app.data import build, check, preview, table_from_cells
from t2app.data.task import RowsTask
from t2app.tasks.base import Problem
from t2app.tasks.closed import LETTER, TEXT, Closed, in_front
from t2app.tasks.rewards import REWARDS

OPTIONS = (("A", "red"), ("B", "blue"))
CHOICE = Problem("t", "Which?\nA) red\nB) blue", "B", "B", "B", OPTIONS)
LABELS = Closed("labels", ("ham", "spam"))


def rows(answers, columns=("question", "answer"), **more):
    cells = [
        [f"What about number {n}, and what of it?", *answer] for n, answer in enumerate(answers)
    ]
    return check(table_from_cells(list(columns), cells), **more)


@pytest.mark.parametrize(
    ("closed", "problem", "choices", "right"),
    [
        (LABELS, Problem("t", "q", "Spam.", "", ""), ["ham", "spam"], "spam"),
        (Closed("letters"), CHOICE, ["A", "B"], "B"),
        (Closed("texts"), CHOICE, ["red", "blue"], "blue"),
    ],
)
def test_choices(closed, problem, choices, right):
    assert closed.choices(problem) == choices
    assert closed.right(problem) == right
    reward = REWARDS["exact" if closed is LABELS else "choice"]
    assert reward.score([problem], [closed.right(problem)]) == [1.0]


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        (LABELS, "Answer with one of: ham, spam."),
        (Closed("labels", ("yes, please", "no")), "Answer with one of: yes, please; no."),
        (Closed("letters"), LETTER),
        (Closed("texts"), TEXT),
        (Closed("labels", ("ham", "spam"), tell=False), ""),
    ],
)
def test_what_the_model_is_told(closed, said):
    assert closed.instruction == said
    assert in_front(said, "Hm?") == (f"{said}\n\nHm?" if said else "Hm?")


def test_labels_of_a_file_are_told_in_front_of_every_question():
    report = rows([[("ham", "spam ", "Ham")[n % 3]] for n in range(40)])
    assert report.closed == LABELS
    task = build(report)
    first = task.rows["train"][0]
    assert task.messages(first)[-1]["content"] == (
        f"Answer with one of: ham, spam.\n\n{first.question}"
    )
    assert preview(task, first).messages[0] == task.messages(first)[0]
    assert "Answer with" not in first.question
    assert RowsTask.from_dict(task.to_dict()).closed == LABELS


def test_they_are_not_told_where_that_is_switched_off():
    report = rows([[("ham", "spam")[n % 2]] for n in range(40)], tell=False)
    task = build(report)
    first = task.rows["train"][0]
    assert task.messages(first)[-1]["content"] == first.question
    assert task.closed.choices(first) == ["ham", "spam"]


def test_options_of_a_row_are_its_choices():
    answers = [["AB"[n % 2], f"red {n}", f"blue {n}"] for n in range(40)]
    report = rows(answers, columns=("question", "answer", "A", "B"))
    assert report.closed == Closed("letters")
    task = build(report)
    first = task.rows["train"][0]
    assert task.closed.choices(first) == ["A", "B"]
    texts = task.closed.answered_by("texts")
    assert texts.right(first) == dict(first.hidden)[first.gold]


@pytest.mark.parametrize(
    "answers",
    [
        [[f"word {n}"] for n in range(40)],
        [[str(13 * n)] for n in range(40)],
        [["the same"] for n in range(40)],
    ],
)
def test_free_answers_have_no_choices(answers):
    assert rows(answers).closed is None


def test_what_is_told_counts_as_length():
    def tokens(messages):
        return sum(len(m["content"]) for m in messages)

    answers = [[("ham", "spam")[n % 2]] for n in range(40)]
    told, untold = (
        rows(answers, tell=tell, count_tokens=tokens, max_tokens=60) for tell in (True, False)
    )
    assert (told.used, untold.used) == (0, 40)
    assert "too long" in told.problem
