from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from t2app import adapt
from t2app.adapt import trust
from t2app.adapt.trust import Trust
from t2app.ui import asking, conversation, words
from t2app.ui.conversation import Turn, Turns
from tests.ui.double import Double, Script

DONE = Turn("first", "classifier", state="done", looked=True, answer="one", weights={"math": 0.5})
SKIP = asking.gr.skip()
TURNS, BEFORE, TICKET, CHATBOT, NOTICE, BOX = range(6)


def answered(double: Double, turns: Turns, before: Turns = (), **options: Any) -> list[Any]:
    return list(running(double, turns, before, **options))


def running(double: Double, turns: Turns, before: Turns = (), **options: Any) -> Iterator[Any]:
    settings = {"compare": False, "temperature": 0, "length": 64, **options}
    return asking.answer(double, double.stream, turns, before, **settings)


def notice_of(values: Any, place: int = NOTICE) -> str:
    update = values[place]
    assert update["visible"] == bool(update["value"])
    return update["value"]


def test_asking_opens_a_turn_and_raises_the_ticket() -> None:
    values = asking.ask("  second\x00 ", (DONE,), 3, "classifier", {"math": 0.4})
    assert values[TURNS] == (DONE, Turn("second", "classifier"))
    assert values[BEFORE] == (DONE,)
    assert values[TICKET] == 4
    assert values[BOX]["value"] == ""
    assert values[BOX]["stop_btn"] == words.STOP
    assert notice_of(values) == ""


@pytest.mark.parametrize("text", ["", " \n\t", "\x00\x07", None])
def test_a_blank_question_changes_nothing(text: str) -> None:
    values = asking.ask(text, (DONE,), 3, "classifier", {})
    assert values[TURNS] == values[BEFORE] == values[TICKET] == values[BOX] == SKIP
    assert asking.BLANK in notice_of(values)


def test_a_question_while_one_is_open_is_refused_and_stays_in_the_box() -> None:
    values = asking.ask("next", (DONE, Turn("open", "off")), 3, "classifier", {})
    assert values[TICKET] == values[BOX] == SKIP
    assert "Still answering" in notice_of(values)


def test_weights_by_hand_go_with_the_question() -> None:
    values = asking.ask("q", (), 0, "manual", {"code": 0.5, "math": 1.5})
    assert values[TURNS][0].weights == {"code": 0.25, "math": 0.75}
    again = asking.ask_again((DONE,), 0, {"code": 0.3})
    assert again[TURNS] == (DONE, Turn("first", "manual", weights={"code": 0.3}))
    assert asking.NOTHING_YET in notice_of(asking.ask_again((), 0, {}))


def test_retry_replaces_the_last_answer_and_can_be_undone_by_an_error() -> None:
    values = asking.retry((DONE, DONE), 1, "off", {})
    assert values[TURNS] == (DONE, Turn("first", "off"))
    assert values[BEFORE] == (DONE, DONE)
    assert values[BOX].get("value") is None
    assert notice_of(asking.retry((), 1, "off", {}))


def test_edit_asks_anew_from_there() -> None:
    event = SimpleNamespace(index=0, value="f\ufeff*\ufeffirst, better")
    values = asking.edit((DONE, DONE), 1, "classifier", {}, event)
    assert values[TURNS] == (Turn("f*irst, better", "classifier"),)
    event = SimpleNamespace(index=3, value=" ")
    refused = asking.edit((DONE, DONE), 1, "classifier", {}, event)
    assert refused[TURNS] == SKIP
    assert refused[CHATBOT] == conversation.messages((DONE, DONE))


def test_undo_gives_the_question_back() -> None:
    assert asking.undo((DONE, DONE), 3) == ((DONE,), (3, (DONE,)), "first")
    assert asking.undo((), 0) == ((), (0, ()), SKIP)


def test_an_answer_that_was_taken_back_does_not_come_back() -> None:
    turns, withdrawn, question = asking.undo((DONE, Turn("late", "off")), 3)
    assert question == "late"
    late = (DONE, Turn("late", "off", answer="half"))
    assert asking.settled(Double(), late, 3, withdrawn)[0] == turns == (DONE,)


def test_examples_are_not_asked_twice_while_there_are_others() -> None:
    turns: Turns = ()
    for _ in words.EXAMPLES["Math"]:
        opened = asking.try_kind("Math", turns, 0, "classifier", {})[TURNS]
        turns = conversation.closed(opened)
    assert {turn.question for turn in turns} == set(words.EXAMPLES["Math"])
    assert asking.try_kind("Math", turns, 0, "classifier", {})[TURNS][-1].question
    picked = asking.pick((), 0, "off", {}, SimpleNamespace(value={"text": "hello"}))
    assert picked[TURNS] == (Turn("hello", "off"),)


def test_an_answer_streams_and_says_what_was_asked() -> None:
    double = Double(Script("one two three", seconds=0.1))
    seen = answered(double, (DONE, Turn("q", "classifier")), temperature=0.5, length=64.0)
    assert [values[0][-1].answer for values in seen] == ["", "one", "one two", "one two three"]
    assert list(seen[0][2].data[0].y)[-1] == "base"  # the chart comes with the first pass
    assert [values[2] for values in seen[1:]] == [SKIP] * 3
    assert seen[-1][0][-1].state == "done"
    assert [t.question for t in conversation.load(seen[0][6])] == ["first", "q"]
    messages, settings = double.asked[0]
    assert [m["content"] for m in messages] == ["first", "one", "q"]
    assert settings == {
        "strategy": "classifier",
        "weights": None,
        "generate_label": False,
        "mix": None,
        "compare": False,
        "temperature": 0.5,
        "max_new_tokens": 64,
    }


def test_weights_reach_the_model_only_when_set_by_hand() -> None:
    double = Double()
    answered(double, (Turn("q", "manual", weights={"math": 0.5}),))
    answered(double, (Turn("q", "off"),))
    assert [settings["weights"] for _, settings in double.asked] == [{"math": 0.5}, None]


def test_updates_are_rare_enough_for_a_browser() -> None:
    double = Double(Script(" ".join(["word"] * 400), seconds=0.0005))
    began = time.monotonic()
    seen = answered(double, (Turn("q", "off"),))
    assert len(seen) <= (time.monotonic() - began) / asking.SECONDS_BETWEEN_UPDATES + 3
    assert seen[-1][0][-1].answer.count("word") == 400


def test_closing_an_answer_closes_the_stream() -> None:
    double = Double(Script("one two three"))
    updates = running(double, (Turn("q", "off"),))
    next(updates)
    updates.close()
    assert double.closed == 1


def test_an_error_gives_back_conversation_and_question() -> None:
    double = Double(Script(error="too long: <shorten> it"))
    (values,) = answered(double, (Turn("q", "off"),), before=(DONE,))
    assert values[0] == (DONE,)
    assert values[1] == conversation.messages((DONE,))
    assert "Too long: &lt;shorten&gt; it" in notice_of(values, 4)
    assert values[5]["value"] == "q"


def test_a_defect_gives_back_the_question_too(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any, **__: Any) -> Iterator[Any]:
        raise KeyError("secret detail")

    values = list(asking.answer(Double(), broken, (Turn("q", "off"),), (), False, 0, 8))
    assert "KeyError" in notice_of(values[0], 4)
    assert "secret detail" not in notice_of(values[0], 4)
    assert "secret detail" in caplog.text


def test_settling_closes_saves_and_sets_the_sliders() -> None:
    values = asking.settled(Double(), (Turn("q", "off"),), 2, (-1, ()))
    assert values[0] == (Turn("q", "off", state="stopped"),)
    values = asking.settled(Double(), (DONE,), 2, (-1, ()))
    turns, _, chart, mix, mixer, hand, _, status, notice, box, saved = values
    assert turns == (DONE,)
    assert list(chart.data[0].x) == [0.5, 0.5]
    assert "math 50\xa0%, base 50\xa0%" in mix
    assert mixer["weights"] == hand == {"code": 0.0, "math": 0.5, "reasoning": 0.0}
    assert "tiny" in status
    assert notice == SKIP
    assert box["submit_btn"] == words.ASK
    assert conversation.load(saved) == (DONE,)


def test_a_cleared_conversation_does_not_come_back() -> None:
    turns, cleared = asking.cleared(2)
    assert turns == ()
    values = asking.settled(Double(), (Turn("late", "off"),), 2, cleared)
    assert values[0] == ()
    assert conversation.load(values[-1]) == ()


def test_restore() -> None:
    kept = conversation.dump((DONE,))
    assert asking.restore(Double(), kept, 0)[0] == (DONE,)
    fresh = asking.restore(Double(), None, 0)
    assert fresh[0] == ()
    assert list(fresh[2].data[0].x) == [0, 0, 0, 1]
    assert words.EMPTY_MIX in fresh[3]
    assert words.NO_EXPERTS in asking.restore(Double(names=()), None, 0)[3]
    assert set(map(str, asking.restore(Double(), kept, 1))) == {str(SKIP)}
    # What was refused before the page had loaded keeps its notice.
    assert fresh[8] == SKIP
    damaged = asking.restore(Double(), {"format": 99}, 0)
    assert damaged[0] == ()
    assert "could not be read" in notice_of(damaged, 8)
    assert conversation.load(damaged[-1]) == ()


def test_experts_that_only_sort_get_no_slider() -> None:
    assert asking.expert_names(Double()) == ["code", "math", "reasoning"]
    assert asking.fitted(Double(), "classifier")[0] == SKIP
    double = Double()
    double.library = SimpleNamespace(experts=dict)
    assert asking.fitted(double, "classifier")[0] == adapt.DEFAULT
    assert asking.fitted(double, "prototype")[0] == SKIP


@pytest.mark.parametrize(
    ("known", "running", "line"),
    [
        (Trust("prompt", 20, 64, 31, 32), False, "Prompt: 31% of 64 kept questions sent to their"),
        (Trust("prompt", 20, 64, 31, 32), False, "left to the base: not to be trusted"),
        (None, True, words.MEASURING),
        (None, False, ""),
    ],
)
def test_the_strategy_says_how_far_it_is_to_be_trusted(monkeypatch, known, running, line) -> None:
    started = []
    monkeypatch.setattr(trust, "measure_in_background", started.append)
    monkeypatch.setattr(trust, "known", lambda *_: known)
    monkeypatch.setattr(trust, "is_running", lambda _: running)
    double = Double()
    said = asking.told(double, "prompt")
    assert said.startswith(asking.explained("prompt"))
    assert line in said
    assert said.count("<p") == 1 + bool(line)
    assert started == [double]
    assert asking.told(double, "off") == asking.explained("off")
    assert started == [double]


def test_saved_mixes_are_offered_with_their_strategy(monkeypatch) -> None:
    monkeypatch.setattr(asking, "told", lambda _, strategy: asking.explained(strategy))
    double = Double()
    made = {"old": "2026-01-01", "new": "2026-02-02"}
    double.library = SimpleNamespace(
        experts=lambda: {
            "math": SimpleNamespace(task="math", header={}),
            **{
                name: SimpleNamespace(task="sums", header={"mix": {}, "created": created})
                for name, created in made.items()
            },
        }
    )
    line, mixes = asking.chosen(double, "few-shot", "old")
    assert line == asking.explained("few-shot")
    assert mixes["choices"] == [(asking.NEWEST, ""), ("new", "new"), ("old", "old")]
    assert (mixes["visible"], mixes["value"]) == (True, "old")
    assert asking.chosen(double, "few-shot", "gone")[1]["value"] == ""
    assert asking.chosen(double, "prompt", "")[1]["visible"] is False


@pytest.mark.parametrize(
    ("strategy", "mix", "passed"),
    [("few-shot", "mine", "mine"), ("few-shot", "", None), ("prompt", "mine", None)],
)
def test_a_saved_mix_and_a_label_said_aloud_reach_the_model(strategy, mix, passed) -> None:
    double = Double()
    answered(double, (Turn("q", strategy),), aloud=True, mix=mix)
    [(_, given)] = double.asked
    assert (given["mix"], given["generate_label"]) == (passed, True)


def test_a_new_expert_gets_a_slider_when_the_sliders_are_opened() -> None:
    double = Double()
    hand = {"code": 0.5, "math": 0.0, "reasoning": 0.0}
    assert asking.refreshed(double, hand) == (SKIP, SKIP, SKIP)
    double.names = ["code", "poems"]
    mixer, weights, line = asking.refreshed(double, hand)
    assert mixer["weights"] == weights == {"code": 0.5, "poems": 0.0}
    assert "50\xa0%" in line


def test_sliders_never_add_up_to_more_than_the_mix() -> None:
    third = 1 / 3
    weights = asking.slider_weights(["a", "b", "c", "new"], {"a": third, "b": third, "c": third})
    assert weights == {"a": 0.33, "b": 0.33, "c": 0.33, "new": 0.0}
    assert asking.slider_weights(["a"], {"a": 0.29}) == {"a": 0.29}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, "The base model gets the rest: 100\xa0%."),
        ({"a": 0.75}, "The base model gets the rest: 25\xa0%."),
        ({"a": 1.0, "b": 1.0}, "Together 2.00, which is more than 1, so they are scaled: "),
    ],
)
def test_hand_line(weights: dict[str, float], expected: str) -> None:
    assert expected in asking.hand_line(weights)


def test_status_line() -> None:
    state = {
        "model": "<m>",
        "device": "CPU",
        "precision": "nf4",
        "memory_mb": 5321,
        "execution": "auto",
    }
    line = asking.status_line(state, (Turn("q", "off", rate=41.6),))
    assert "&lt;m&gt;" in line
    assert "5.3 GB" in line
    assert "42 tokens/s" in line
    assert "tokens/s" not in asking.status_line(state)


def test_an_answer_says_which_model_gave_it_when_another_is_in_use_by_then() -> None:
    double = Double()
    answering = running(double, (Turn("q", "classifier"),))
    next(answering)
    double.base.name = "tiny"
    *_, last = answering
    (turn,) = last[0]
    assert turn.model == "tiny"
    state = {**double.status(), "model": "org/big"}
    assert "tokens/s, by tiny" in asking.status_line(state, (turn,))
    assert ", by" not in asking.status_line(double.status(), (turn,))
