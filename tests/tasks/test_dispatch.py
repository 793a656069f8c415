"""The first pass as a task: its prompt, its gold labels, labels read from generated text."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from t2app.adapt import labels
from t2app.svf.expert import Expert
from t2app.tasks import BUILT_IN, DISPATCH, LABELS, dispatch, other


def test_the_prompt_is_the_one_of_experts_named_like_the_tasks():
    """So the dispatch expert is trained on exactly the prompt that it will see."""
    experts = {
        name: Expert(name, {}, {"task": name, "description": task.description})
        for name, task in {**BUILT_IN, "dispatch": DISPATCH}.items()
        if name != dispatch.OTHER
    }
    assert dispatch.system_prompt(labels.from_experts(experts)) == DISPATCH.system


def test_the_prompt_lists_every_label():
    lines = dispatch.system_prompt({"a": "first", "b-2": "second thing"}).split("\n")
    assert lines[1:] == ["- a: first", "- b-2: second thing"]


def test_messages():
    system, user = dispatch.messages({"a": "first"}, "what?")
    assert system == {"role": "system", "content": dispatch.system_prompt({"a": "first"})}
    assert user == {"role": "user", "content": "what?"}


def test_gold_labels_are_the_kinds_and_sometimes_a_topic_of_the_list():
    r = random.Random(0)
    problems = [DISPATCH.draw(r) for _ in range(2000)]
    golds = Counter(p.gold for p in problems)
    assert set(golds) == {*LABELS, *other.NEW_TOPICS}
    assert all(golds[label] > 350 for label in LABELS)
    assert all(golds[topic] > 50 for topic in other.NEW_TOPICS)
    for p in problems:
        names = [line[2:].split(":")[0] for line in p.system.split("\n")[1:]]
        assert p.gold in names
        assert set(LABELS) <= set(names)
        assert names == [*sorted(names[:-1]), dispatch.OTHER]


def test_half_of_the_lists_are_the_plain_one():
    r = random.Random(0)
    plain = sum(DISPATCH.draw(r).system == DISPATCH.system for _ in range(1000))
    assert 430 < plain < 570


def test_gold_labels_are_right():
    r = random.Random(1)
    problems = [DISPATCH.draw(r) for _ in range(300)]
    assert DISPATCH.score(problems, [p.fast for p in problems]) == [1.0] * 300
    assert DISPATCH.score(problems, [p.gold.upper() + "\n" for p in problems]) == [1.0] * 300
    assert DISPATCH.score(problems, [f"It is {p.gold}" for p in problems]) == [0.0] * 300
    wrong = [next(x for x in LABELS if x != p.gold) for p in problems]
    assert DISPATCH.score(problems, wrong) == [0.0] * 300
    assert DISPATCH.score(problems, [""] * 300) == [0.0] * 300


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("math", "math"),
        ("Math.", "math"),
        ("  CODE\n", "code"),
        ("The category is math.", "math"),
        ("code, not math", "code"),
        ("**math**", "math"),
        ("math-hard", "math-hard"),
        ("It is math-hard!", "math-hard"),
        ("my_own-", "my_own-"),
        ("my_own-, I think", "my_own-"),
        ("mathematics", "other"),
        ("aftermath", "other"),
        ("encode", "other"),
        ("other", "other"),
        ("I do not know", "other"),
        ("", "other"),
    ],
)
def test_parse_label(text, label):
    assert dispatch.parse_label(text, ["math", "code", "math-hard", "my_own-", "other"]) == label


def test_a_name_is_no_pattern():
    assert dispatch.parse_label("aXb", ["a.b", "other"]) == "other"
