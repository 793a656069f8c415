"""Multiple choice: one right option, both styles right, letters read as people write them."""

from __future__ import annotations

import random
import re

import pytest

from t2app.tasks import TASKS, reasoning
from t2app.tasks.base import Problem
from t2app.tasks.facts import ANIMAL_RELATIONS, ASK_OF, DESCRIBE, RELATIONS

NAMES = ("reasoning", "reasoning-hard")


def drawn(name: str, n: int, seed: int = 0) -> list[Problem]:
    r = random.Random(seed)
    return [TASKS[name].draw(r) for _ in range(n)]


@pytest.mark.parametrize("name", NAMES)
def test_both_styles_are_right(name):
    problems = drawn(name, 600)
    assert TASKS[name].score(problems, [p.fast for p in problems]) == [1.0] * 600
    assert TASKS[name].score(problems, [p.steps for p in problems]) == [1.0] * 600


@pytest.mark.parametrize("name", NAMES)
def test_wrong_letters_score_nothing(name):
    problems = drawn(name, 200)
    others = [next(x for x in "ABCDE" if x != p.gold) for p in problems]
    assert TASKS[name].score(problems, [f"The answer is {x}." for x in others]) == [0.0] * 200
    assert TASKS[name].score(problems, [""] * 200) == [0.0] * 200
    assert TASKS[name].score(problems, ["No idea."] * 200) == [0.0] * 200


def stems() -> dict[str, dict[str, set[str]]]:
    """For every way to ask, of either task: what is a right answer to it, by the tables."""
    found: dict[str, dict[str, set[str]]] = {name: {} for name in NAMES}
    for relation in RELATIONS.values():
        for key, value in relation.facts.items():
            for templates, answer in ((relation.ask_value, value), (relation.ask_key, key)):
                for template in templates:
                    stem = reasoning.fill(template, key, value)
                    found["reasoning"].setdefault(stem, set()).add(answer)
    for first, described in DESCRIBE.items():
        for key, via in RELATIONS[first].facts.items():
            x = described.format(v=via, av=reasoning._noun(via))
            for second, templates in ASK_OF.items():
                if second != first and key in RELATIONS[second].facts:
                    for template in templates:
                        right = found["reasoning-hard"].setdefault(template.format(x=x), set())
                        right.add(RELATIONS[second].facts[key])
    return found


def read(problem: Problem) -> tuple[str, dict[str, str]]:
    """The stem and the options by letter, as a person reads them from the question."""
    stem, *rest = re.split(r"[,\s]+\(?([A-Ea-e])[).:] ", problem.question)
    return stem, {x.upper(): option for x, option in zip(rest[::2], rest[1::2], strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_the_gold_option_is_right_and_no_other_is(name):
    known = stems()[name]
    for problem in drawn(name, 1500, seed=2):
        stem, options = read(problem)
        assert "".join(options) == "ABCDE"[: len(options)], problem.question
        assert 3 <= len(options) == len(set(options.values())) <= 5, problem.question
        right = [letter for letter, option in options.items() if option in known[stem]]
        assert right == [problem.gold], (problem.question, known[stem])


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_name_the_right_option(name):
    for problem in drawn(name, 400):
        _, options = read(problem)
        assert options[problem.gold] in problem.steps


def test_every_option_is_different():
    r = random.Random(0)
    for relation in RELATIONS.values():
        values = sorted(set(relation.facts.values()))
        for _ in range(20):
            options = reasoning._options(r, values[0], values[1:])
            assert len(options) == len(set(options))
            assert values[0] in options
            assert 2 <= len(options) <= 5


def test_letters_are_used_evenly():
    golds = [p.gold for p in drawn("reasoning", 2000)]
    for letter in "ABC":
        assert 0.15 < golds.count(letter) / 2000 < 0.4


def test_a_question_about_two_facts_names_neither_link():
    """The animal that links the two facts is not in the question."""
    for problem in drawn("reasoning-hard", 300):
        recalled = re.findall(r"\w+", problem.steps.split("I remember: ")[1])
        stem = problem.question.split("?")[0]
        keys = {k for name in ANIMAL_RELATIONS for k in RELATIONS[name].facts}
        assert keys & set(recalled)
        assert not keys & set(recalled) & set(re.findall(r"\w+", stem))


def test_every_template_can_be_filled():
    for relation in RELATIONS.values():
        for key, value in relation.facts.items():
            for template in (relation.state, *relation.ask_value, *relation.ask_key):
                text = reasoning.fill(template, key, value)
                assert text[0].isupper() or not text[0].isalpha()
                assert "{" not in text
    assert set(DESCRIBE) | set(ASK_OF) <= set(ANIMAL_RELATIONS) <= set(RELATIONS)
