"""The classifier's training set follows the experts there are; it says when it is out of date."""

from __future__ import annotations

from dataclasses import replace

import pytest

from t2app import adapt
from t2app.adapt import kept, router
from t2app.data.task import RowsTask
from t2app.tasks import DISPATCH, split_of

QUESTIONS = [f"how do I cook {n} eggs with salt?" for n in range(40)]


@pytest.fixture
def cook(engine, make_expert):
    """``cook(questions)``: one more expert, that keeps these questions."""

    def add(questions: list[str]) -> None:
        expert = make_expert("cooking", seed=9)
        engine.library.add(replace(expert, header={**expert.header, "examples": questions}))

    return add


def test_with_the_built_in_experts_it_is_the_built_in_task(engine):
    assert router.task(engine.library.experts()) is DISPATCH
    assert router.out_of_date(engine.library.experts()) is None
    assert router.find(engine.library.experts()) == "dispatch"


def test_one_more_expert_puts_it_out_of_date(engine, cook):
    cook(QUESTIONS)
    line = router.out_of_date(engine.library.experts())
    assert line == "expert 'dispatch' is out of date: it has not learned cooking"
    assert adapt.choose(engine, "hi", "classifier").why.endswith(line)
    engine.library.delete("cooking")
    assert router.out_of_date(engine.library.experts()) is None


def test_so_does_one_less(engine):
    engine.library.delete("code")
    line = router.out_of_date(engine.library.experts())
    assert line.endswith("it still knows code")


def test_nobody_is_out_of_date_without_a_classifier(empty_engine):
    assert router.out_of_date(empty_engine.library.experts()) is None
    assert router.find({}) is None


def test_its_problems_come_from_the_examples_that_experts_keep(engine, cook):
    cook(QUESTIONS)
    task = router.task(engine.library.experts())
    assert isinstance(task, RowsTask)
    for split in ("train", "validation", "test"):
        problems = task.problems(split)
        assert {p.gold for p in problems} == {"code", "math", "reasoning", "cooking", "other"}
        assert all("- cooking: questions about cooking" in p.system for p in problems)
        own = {q for q in QUESTIONS if split_of(q) != split}
        assert not own & {p.question for p in problems}
    assert router.task(engine.library.experts()).dataset == task.dataset


def test_after_training_on_them_it_is_up_to_date(engine, cook):
    cook(QUESTIONS)
    task = router.task(engine.library.experts())
    expert = engine.library.get("dispatch")
    learned = replace(expert, header={**expert.header, "reading": task.dataset.reading})
    engine.library.add(learned, overwrite=True)
    assert router.out_of_date(engine.library.experts()) is None
    engine.library.delete("cooking")
    assert "it still knows cooking" in router.out_of_date(engine.library.experts())


def test_too_few_examples_are_not_learned_by_heart(engine, cook):
    cook(QUESTIONS[:3])
    task = router.task(engine.library.experts())
    assert "cooking" not in {p.gold for p in task.problems("train")}
    assert "- cooking:" in task.problems("train")[0].system
    assert router.out_of_date(engine.library.experts()) is None


def test_an_expert_of_a_built_in_task_under_another_name(engine, make_expert):
    engine.library.delete("math")
    engine.library.add(make_expert("sums", task="math"))
    task = router.task(engine.library.experts())
    assert {p.gold for p in task.problems("train")} == {"code", "reasoning", "sums", "other"}


def test_other_is_learned_from_general_questions_and_small_talk(empty_engine, make_expert):
    """On a model of its own no expert is of a built-in kind."""
    for name in ("cooking", "sailing"):
        expert = make_expert(name)
        questions = [q.replace("cook", name) for q in QUESTIONS]
        empty_engine.library.add(
            replace(expert, header={**expert.header, "task": "my.csv", "examples": questions})
        )
    task = router.task(empty_engine.library.experts())
    sides = {
        split: [p.question for p in task.problems(split) if p.gold == "other"]
        for split in ("train", "validation")
    }
    own = {split: {q for q in kept.general() if split_of(q) == split} for split in sides}
    for split, asked in sides.items():
        # Undressed ones are found again as they are; none is on the other side.
        assert len(own[split] & set(asked)) > 3
        assert len(set(asked) - own[split]) > len(asked) / 4
        assert not set(asked) & (set(kept.general()) - own[split])
    golds = [p.gold for p in task.problems("train")]
    count = {label: golds.count(label) for label in ("cooking", "sailing", "other")}
    assert min(count.values()) > 0.3 * max(count.values())
