"""The verdict: what is said of which held-out scores."""

from __future__ import annotations

import pytest

from t2app.data import build, check, table_from_cells
from t2app.tasks import TASKS
from t2app.training.outcome import HeldOut, changed_first, constant_answer, judge, labels_of


def scores(gained: int, lost: int, same: int = 0) -> tuple[list[float], list[float]]:
    before = [0.0] * gained + [1.0] * lost + [0.0] * same
    after = [1.0] * gained + [0.0] * lost + [0.0] * same
    return before, after


@pytest.mark.parametrize(
    ("gained", "lost", "same", "verdict"),
    [
        (30, 2, 40, "helps"),
        (2, 30, 40, "hurts"),
        (0, 0, 50, "makes no difference"),
        (10, 8, 50, "makes no difference"),
        (6, 0, 0, "helps"),  # exact test: 0.03
        (5, 0, 0, "makes no difference"),  # 0.06, although the interval is far from 0
    ],
)
def test_the_verdict(gained, lost, same, verdict):
    found = judge(*scores(gained, lost, same))
    assert found["verdict"] == verdict
    assert (found["gained"], found["lost"]) == (gained, lost)
    assert found["verdict_words"].lower().startswith(verdict)
    assert found["gain"]["low"] <= found["gain"]["mean"] <= found["gain"]["high"]


def test_what_is_said():
    words = judge(*scores(30, 2, 40))["verdict_words"]
    assert words == (
        "Helps: of 72 held-out rows, 30 became right and 2 wrong "
        "(3% before, 42% after: +39 points, 95 % interval +25 to +51)."
    )


def against(constant: float) -> dict:
    """Base 0 %, expert 90 %, and a constant answer that gets so much, on 100 rows."""
    constants = [1.0] * round(100 * constant) + [0.0] * round(100 * (1 - constant))
    return judge([0.0] * 100, [1.0] * 90 + [0.0] * 10, {"always answering 'fine'": constants})


def test_what_costs_nothing_has_to_be_beaten():
    found = against(0.92)
    assert found["verdict"] == "makes no difference"
    assert found["best_baseline"] == "always answering 'fine'"
    assert found["baselines"]["always answering 'fine'"]["accuracy"] == 0.92
    assert found["gain"]["low"] > 0.5
    assert found["verdict_words"] == (
        "Makes no difference that counts: of 100 held-out rows, 90 became right and 0 wrong (0% "
        "before, 90% after: +90 points, 95 % interval +81 to +95). It is not shown to beat always "
        "answering 'fine', which gets 92%: -2 points, 95 % interval -6 to +2."
    )


def test_the_baseline_that_was_beaten_is_named():
    found = against(0.5)
    assert found["verdict"] == "helps"
    assert found["gain_over_best"]["low"] > 0
    assert "It also beats always answering 'fine' (50%): +40 points" in found["verdict_words"]


def test_the_best_of_several_counts():
    before, after = scores(30, 2, 40)
    weak, strong = [0.0] * 72, [1.0] * 40 + [0.0] * 32
    found = judge(before, after, {"a": weak, "b": strong})
    assert (found["best_baseline"], found["verdict"]) == ("b", "makes no difference")
    assert judge(before, after, {"a": weak})["best_baseline"] == "the base"
    assert judge(before, after, {"a": weak})["verdict"] == "helps"


def test_hurting_is_against_the_base_alone():
    before, after = scores(2, 30, 40)
    found = judge(before, after, {"a": [1.0] * 72})
    assert found["verdict"] == "hurts"


def test_every_label_counts_alike():
    labels = ["fine"] * 9 + ["fraud"]
    right = [1.0] * 9 + [0.0]
    found = judge([0.0] * 10, right, labels=labels)
    assert found["balanced"] == {"before": 0, "after": 0.5, "labels": 2}
    assert found["verdict_words"].endswith(
        "Every label counted alike (balanced accuracy of 2 labels): 0% before, 50% after."
    )
    assert "balanced" not in judge([0.0] * 10, right)


def test_answers_that_were_cut_off_are_in_the_verdict():
    ends = ([True] * 10, [True] * 7 + [False] * 3)
    found = judge([1.0] * 5 + [0.0] * 5, [1.0] * 7 + [0.0] * 3, finished=ends)
    assert found["cut_off"] == {"before": 0, "after": pytest.approx(0.3)}
    assert "0% of the answers before and 30% after were cut off" in found["verdict_words"]
    whole = judge([0.0], [1.0], finished=([True], [True]))
    assert "cut off" not in whole["verdict_words"]


@pytest.mark.parametrize(
    ("score", "advice"),
    [(0.0, "learn from the given answers first"), (1.0, "there is nothing to learn"),
     (0.5, "a reward that also pays for a part")],
)  # fmt: skip
def test_a_flat_reward_is_named(score, advice):
    words = judge([score] * 20, [score] * 20)["verdict_words"]
    assert f"No answer of any row differed in reward (all got {score:g})" in words
    assert advice in words
    assert "differed" not in judge([0.0, 1.0], [0.0, 1.0])["verdict_words"]


def task_of(labels, reward="auto"):
    rows = [(f"Message {n} of {x}", x) for x, count in labels.items() for n in range(count)]
    return build(check(table_from_cells(["question", "answer"], rows, "f.csv"), reward=reward))


def test_the_constant_answer_is_that_of_the_training_rows():
    task = task_of({"fine": 110, "fraud": 10})
    problems = task.problems("test")
    [(name, found)] = constant_answer(task, problems).items()
    assert name == "always answering 'fine'"
    assert found == [float(p.gold == "fine") for p in problems]
    assert set(labels_of(task, problems)) == {"fine", "fraud"}


def test_numbers_that_stand_for_classes_have_a_constant_answer():
    task = task_of({"0": 60, "4": 20})
    problems = task.problems("test")
    [(name, found)] = constant_answer(task, problems).items()
    assert name == "always answering '0'"
    assert sum(found) / len(found) == 0.75
    assert set(labels_of(task, problems)) == {"0", "4"}


@pytest.mark.parametrize(
    "task",
    [task_of({f"answer {n}": 1 for n in range(30)}), task_of({"a": 20, "b": 20}, "overlap"),
     TASKS["math"]],
    ids=lambda task: task.name,
)  # fmt: skip
def test_free_answers_have_no_constant_one(task):
    problems = task.problems("test", 5, 0)
    assert constant_answer(task, problems) == {}
    assert labels_of(task, problems) is None


def test_graded_scores_become_better_not_right():
    found = judge([0.2] * 20, [0.5] * 19 + [0.1])
    assert "19 became better and 1 worse" in found["verdict_words"]
    assert found["verdict"] == "helps"


def test_changed_rows_come_first():
    same = HeldOut("a", "1", "x", "x", 1.0, 1.0)
    other_words = HeldOut("b", "1", "x", "y", 0.0, 0.0)
    gained = HeldOut("c", "1", "x", "1", 0.0, 1.0)
    lost = HeldOut("d", "1", "1", "x", 1.0, 0.0)
    assert changed_first([same, other_words, gained, lost]) == [gained, lost, other_words, same]
    assert [row.change for row in (same, gained, lost)] == ["same", "gained", "lost"]
