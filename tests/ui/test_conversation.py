from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from t2app.ui import conversation, safe
from t2app.ui.conversation import Turn
from tests.ui.double import Double

MATH = Turn(
    "How many?",
    "classifier",
    state="done",
    looked=True,
    answer="19",
    label="math",
    probabilities={"math": 0.9, "other": 0.1},
    weights={"math": 0.9},
    why="it says so",
    first_pass=0.012,
    second_pass=1.5,
    tokens=30,
    rate=20.0,
)


def texts(turn: Turn) -> list[str]:
    return [block["text"] for m in conversation.messages((turn,)) for block in m["content"]]


def accordion(turn: Turn) -> dict[str, Any]:
    return conversation.messages((turn,))[1]


def test_an_answer_is_heard_snapshot_by_snapshot() -> None:
    double = Double()
    turn = Turn("q", "classifier")
    seen = []
    for snapshot in double.stream(double, [], strategy="classifier", weights=None, compare=True):
        turn = turn.heard(snapshot)
        seen.append((turn.state, turn.looked, turn.answer))
    assert seen[0] == ("open", True, "")
    assert seen[-1] == ("done", True, "An answer.")
    assert turn.base_answer == "The base"
    assert turn.label == "math"
    assert turn.weights["math"] == 0.92


def test_the_accordion_tells_the_first_pass_and_the_mix() -> None:
    metadata = accordion(MATH)["metadata"]
    assert metadata["title"] == "**math** · 90\xa0% sure"
    assert metadata["log"] == "Mix: math 90\xa0%, base 10\xa0% · 12 ms"
    assert metadata["status"] == "done"
    report = texts(MATH)[1]
    assert "- math `██████████████` 90\xa0%\n- other `██` 10\xa0%" in report
    assert "- base `██` 10\xa0%" in report
    assert "First pass 12 ms · answer 1.5 s · 30 tokens, 20 a second" in report


@pytest.mark.parametrize(
    ("changes", "title", "status"),
    [
        ({"state": "open", "looked": False}, "Looking at your question", "pending"),
        ({"state": "stopped", "looked": False}, "Stopped before an answer", "done"),
        ({"label": None, "strategy": "manual"}, "Weights set by hand", "done"),
        ({"label": None, "strategy": "off"}, "Experts off", "done"),
        ({"probabilities": {}}, "**math**", "done"),
        ({"label": "other", "probabilities": {}}, "**Base model**", "done"),
        (
            {"label": "other", "probabilities": {"math": 0.1, "other": 0.9}},
            "**Base model** · 90\xa0% sure",
            "done",
        ),
        (
            {"label": "other", "probabilities": {"math": 0.6, "other": 0.4}},
            "**Base model** · only 60\xa0% sure of math",
            "done",
        ),
    ],
)
def test_titles(changes: dict[str, Any], title: str, status: str) -> None:
    metadata = accordion(replace(MATH, **changes))["metadata"]
    assert (metadata["title"], metadata["status"]) == (title, status)


def test_what_the_model_says_about_itself_is_shown_literally() -> None:
    odd = replace(MATH, label="<b>x</b>", probabilities={"<b>x</b>": 1.0}, why="<i>why</i>")
    assert not any("<b>" in text or "<i>" in text for text in texts(odd))


def test_a_comparison_is_two_blocks_of_one_message() -> None:
    turn = replace(MATH, base_answer="21")
    assert texts(turn)[2:] == ["**With experts**\n\n19", "**Base model**\n\n21"]
    assert len(conversation.messages((turn,))) == 3


def test_a_stopped_answer_says_so() -> None:
    assert texts(replace(MATH, state="stopped"))[2] == "19\n\n*Stopped.*"


def test_a_question_is_shown_as_typed() -> None:
    question = "a < b\n    *x* `y`"
    assert safe.unshield(texts(replace(MATH, question=question))[0]) == question


def test_the_model_is_given_earlier_turns_that_have_an_answer() -> None:
    turns = (
        replace(MATH, question="one", answer="first"),
        replace(MATH, question="two", answer=" ", state="stopped"),
        replace(MATH, question="three", answer="old"),
        Turn("three", "manual"),
    )
    assert [(m["role"], m["content"]) for m in conversation.history(turns)] == [
        ("user", "one"),
        ("assistant", "first"),
        ("user", "three"),
    ]


def test_messages_are_found_back_by_their_number() -> None:
    turns = (MATH, replace(MATH, answer="", state="stopped", looked=False), MATH)
    count = len(conversation.messages(turns))
    owners = [conversation.turn_at(turns, i) for i in range(count)]
    assert owners == [0, 0, 0, 1, 1, 2, 2, 2]


def test_a_conversation_survives_the_browser() -> None:
    turns = (MATH, replace(MATH, base_answer="21"), Turn("open", "off"))
    kept = json.loads(json.dumps(conversation.dump(turns)))
    assert conversation.load(kept) == conversation.closed(turns)


def test_the_browser_keeps_the_latest_turns_that_fit() -> None:
    many = tuple(replace(MATH, question=str(i)) for i in range(100))
    kept = conversation.load(conversation.dump(many))
    assert [turn.question for turn in kept] == [str(i) for i in range(60, 100)]
    large = (replace(MATH, answer="x" * 300_000), replace(MATH, answer="y" * 300_000))
    assert [t.answer[0] for t in conversation.load(conversation.dump(large))] == ["y"]


def test_answers_of_several_models_name_theirs() -> None:
    tiny, big = replace(MATH, model="tiny"), replace(MATH, model="org/big <i>")

    def logs(*turns: Turn) -> list[str]:
        found = [m["metadata"]["log"] for m in conversation.messages(turns) if m["metadata"]]
        return [safe.unshield(log).partition("Mix:")[0] for log in found]

    assert logs(tiny, tiny) == ["", ""]
    assert logs(tiny, MATH) == ["", ""]  # kept by a version that did not know
    assert logs(tiny, big) == ["tiny · ", "org/big <i> · "]
    assert "tiny · First pass 12 ms" in texts(tiny)[1]
    assert "<i>" not in texts(big)[1]
    kept = conversation.dump((tiny, big))
    assert conversation.load(json.loads(json.dumps(kept))) == (tiny, big)


def test_a_conversation_of_an_earlier_version_is_read() -> None:
    older = {key: value for key, value in asdict(MATH).items() if key != "model"}
    assert conversation.load({"format": 1, "turns": [older]}) == (MATH,)


def changed(**values: Any) -> dict[str, Any]:
    return {"format": 1, "turns": [{**asdict(MATH), **values}]}


@pytest.mark.parametrize(
    "value",
    [
        "text",
        [],
        {},
        {"format": 2, "turns": []},
        {"format": 1},
        {"format": 1, "turns": {}},
        {"format": 1, "turns": [1]},
        {"format": 1, "turns": [{"question": "q"}]},
        {"format": 1, "turns": [asdict(MATH)] * 41},
        changed(question=None),
        changed(extra=1),
        changed(model=None),
        changed(state="flying"),
        changed(weights={"math": "much"}),
        changed(weights={"math": 2}),
        changed(weights=[]),
        changed(probabilities={"math": float("nan")}),
        changed(base_answer=3),
        changed(looked="yes"),
        changed(rate=float("inf")),
        changed(tokens=True),
    ],
)
def test_damaged_storage_is_told_from_a_conversation(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not a|of a turn"):
        conversation.load(value)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, "0\xa0%"),
        (0.004, "<1\xa0%"),
        (0.07, "7\xa0%"),
        (0.923, "92\xa0%"),
        (0.997, "99.7\xa0%"),
        (0.99951, "100\xa0%"),
        (1, "100\xa0%"),
    ],
)
def test_percent(share: float, expected: str) -> None:
    assert conversation.percent(share) == expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, "base 100\xa0%"),
        ({"math": 1.0}, "math 100\xa0%"),
        ({"code": 0.2, "math": 0.5}, "math 50\xa0%, base 30\xa0%, code 20\xa0%"),
        ({"code": 0.001, "math": 0.5}, "math 50\xa0%, base 50\xa0%"),
    ],
)
def test_mix_words(weights: dict[str, float], expected: str) -> None:
    assert conversation.mix_words(weights) == expected
