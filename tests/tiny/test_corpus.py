"""Pretraining text: a pure function of seed and step, training questions only, well formed."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from t2app.tasks import LABELS, Task, dispatch, other, split_of
from t2app.tiny import corpus

# The texts that the tokenizer is trained on, an early step and a late one.
STEPS = (-1, 0, corpus.LATER)


def drawn(seed: int, step: int, n: int = 300) -> list:
    return list(islice(corpus.conversations(seed, step), n))


@pytest.mark.parametrize("step", STEPS)
def test_text_is_a_function_of_seed_and_step(step):
    first = drawn(1, step, 60)
    drawn(2, step, 10)
    random.seed(0)
    assert drawn(1, step, 60) == first
    assert drawn(2, step, 60) != first
    assert drawn(1, step + 1, 60) != first


def test_steps_drawn_side_by_side_do_not_disturb_each_other():
    a, b = corpus.conversations(1, 5), corpus.conversations(1, 6)
    together = [(next(a), next(b)) for _ in range(30)]
    assert [x for x, _ in together] == drawn(1, 5, 30)
    assert [y for _, y in together] == drawn(1, 6, 30)


@pytest.mark.parametrize("step", STEPS)
def test_roles_alternate(step):
    for talk in drawn(3, step):
        roles = [m["role"] for m in talk]
        if roles[0] == "system":
            assert roles == ["system", "user", "assistant"]
        else:
            assert roles == ["user", "assistant"] * (len(talk) // 2)
            assert 2 <= len(talk) <= 8
        for message in talk:
            assert set(message) == {"role", "content"}
            assert message["content"].strip()
            assert "<|" not in message["content"]


@pytest.mark.parametrize("step", STEPS)
def test_only_questions_of_the_training_split_are_answered(step, monkeypatch):
    """Afterwards a question is dressed up, so this looks at what the tasks give."""
    seen = []
    sample = Task.sample

    def spy(self, rng, split):
        problem = sample(self, rng, split)
        seen.append((split, split_of(problem.question)))
        return problem

    monkeypatch.setattr(Task, "sample", spy)
    drawn(4, step)
    assert len(seen) > 200
    assert set(seen) == {("train", "train")}


@pytest.mark.parametrize("step", STEPS)
def test_first_passes_are_answered_by_a_label_of_their_list(step):
    lists = [talk for talk in drawn(5, step, 1500) if talk[0]["role"] == "system"]
    assert len(lists) > 100
    labels = set()
    for system, _, said in lists:
        names = [line[2:].split(":")[0] for line in system["content"].split("\n")[1:]]
        assert said["content"] in [*names, dispatch.OTHER]
        assert len(set(names)) == len(names)
        labels.add(said["content"])
    assert labels > set(LABELS)
    plain = dispatch.system_prompt(LABELS)
    assert 0.3 < sum(talk[0]["content"] == plain for talk in lists) / len(lists) < 0.7


def test_every_kind_is_drawn_in_its_share():
    """Two correct styles of each task are there, and both stay a fair part."""
    answers = [m["content"] for t in drawn(6, 0, 3000) for m in t if m["role"] == "assistant"]
    code = [a for a in answers if a.startswith("```python")]
    at_once = [a for a in answers if a.startswith(("The answer is", "Option "))]
    worked = [a for a in answers if a.startswith(("Let me work it out", "I remember"))]
    for found in (code, at_once, worked):
        assert len(found) > 300
    assert len(at_once) > len(worked)


def test_reasoning_is_worked_out_less_often_later():
    """Also beside the drill of facts: the quick style must stay what the model says by default."""
    shares = []
    for step in (corpus.LATER - 1, corpus.LATER):
        said = [m["content"] for t in drawn(7, step, 4000) for m in t if m["role"] == "assistant"]
        worked = sum(a.startswith("I remember") for a in said)
        shares.append(worked / (worked + sum(a.startswith("Option") for a in said)))
    assert 0.4 < shares[0] < 0.55
    assert 0.2 < shares[1] < 0.35


def test_drilled_sums_are_right():
    r = random.Random(0)
    for _ in range(300):
        asked, said = corpus._sums(r)
        sums = said["content"].removeprefix("Let me work it out. ").removesuffix(".").split(". ")
        for line in sums:
            text, result = line.split(" = ")
            assert eval(text) == int(result)
        assert asked["content"].split(": ")[1] == ", ".join(x.split(" = ")[0] for x in sums)


def test_first_passes_neither_list_nor_ask_about_new_topics(monkeypatch):
    """These are kept for the dispatch expert, which has to learn something."""
    asked = set()
    ask = other.topic_question

    def spy(r, topic):
        asked.add(topic)
        return ask(r, topic)

    monkeypatch.setattr(other, "topic_question", spy)
    r = random.Random(0)
    for _ in range(500):
        system, *_ = corpus._dispatch(r)
        assert not any(f"- {topic}:" in system["content"] for topic in other.NEW_TOPICS)
    assert asked == set(other.KNOWN_TOPICS)


def test_questions_of_first_passes_are_of_the_training_split_too(monkeypatch):
    seen = []
    monkeypatch.setattr(corpus, "dress", lambda r, text, typos: seen.append(text) or text)
    r = random.Random(0)
    for _ in range(300):
        corpus._dispatch(r)
    assert len(seen) == 300
    assert {split_of(text) for text in seen} == {"train"}
