"""Small talk and what is out of reach: fitting replies, and topics that fill themselves in."""

from __future__ import annotations

import random
import re

from t2app.tasks import TASKS, other


def drawn(n: int, seed: int = 0) -> list:
    r = random.Random(seed)
    return [TASKS["other"].draw(r) for _ in range(n)]


def test_both_replies_fit():
    problems = drawn(600)
    assert TASKS["other"].score(problems, [p.fast for p in problems]) == [1.0] * 600
    assert TASKS["other"].score(problems, [p.steps for p in problems]) == [1.0] * 600
    assert TASKS["other"].score(problems, [f"  {p.fast}\n" for p in problems]) == [1.0] * 600


def test_other_replies_do_not():
    problems = drawn(100)
    assert TASKS["other"].score(problems, [""] * 100) == [0.0] * 100
    assert TASKS["other"].score(problems, ["The answer is B."] * 100) == [0.0] * 100
    beyond = [p for p in problems if p.gold == other.BEYOND]
    small_talk = [p for p in problems if p.gold != other.BEYOND]
    assert beyond
    assert small_talk
    assert not any(TASKS["other"].score(beyond, [small_talk[0].fast] * len(beyond)))
    assert not any(TASKS["other"].score(small_talk, [other.BEYOND] * len(small_talk)))


def test_what_is_beyond_it_says_what_it_can_do_and_how_to_get_more():
    assert "word problems" in other.BEYOND
    assert "python app.py --model" in other.BEYOND


def test_two_in_five_are_out_of_reach():
    share = sum(p.gold == other.BEYOND for p in drawn(2000)) / 2000
    assert 0.35 < share < 0.45


def test_every_topic_and_slot_can_be_filled():
    r = random.Random(0)
    for topic in other.TOPICS:
        for _ in range(100):
            text = other.topic_question(r, topic)
            assert not re.search(r"[{}~]", text), text
    assert all(t.description for t in other.TOPICS.values())
    assert not set(other.TOPICS) & {"math", "code", "reasoning", "other", "base", "dispatch"}
