"""Answers and training take turns: who waits for whom, and how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from t2app.engine.turns import GAP, SHARE, Turns

SOON = 10.0


def spawn(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def training(turns: Turns, action: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        with turns.background(), turns.turn():
            action()

    return spawn(run)


def test_a_thread_may_nest_its_turns() -> None:
    turns = Turns()
    with turns.turn(), turns.turn():
        pass
    with turns.background(), turns.turn(), turns.turn():
        pass


def test_answers_go_one_at_a_time_in_the_order_in_which_they_asked() -> None:
    turns, order, together = Turns(), [], []

    def answer(name: int) -> None:
        with turns.turn():
            together.append(1)
            time.sleep(0.005)
            order.append((name, len(together)))
            together.pop()

    with turns.turn():
        threads = []
        for name in range(6):
            threads.append(spawn(lambda name=name: answer(name)))
            time.sleep(0.02)
    for thread in threads:
        thread.join(SOON)
    assert order == [(name, 1) for name in range(6)]


def test_one_that_never_pauses_does_not_starve_others() -> None:
    """As the thread that steps the answers does."""
    turns, stop = Turns(), threading.Event()

    def steps() -> None:
        while not stop.is_set():
            with turns.turn():
                time.sleep(0.001)

    stepping, began = spawn(steps), time.monotonic()
    for _ in range(20):
        with turns.turn():
            pass
    assert time.monotonic() - began < 2.0
    stop.set()
    stepping.join(SOON)


def test_an_answer_waits_for_one_turn_of_training_only() -> None:
    turns, inside, leave = Turns(), threading.Event(), threading.Event()
    trained = training(turns, lambda: (inside.set(), leave.wait(SOON)))
    assert inside.wait(SOON)
    answered = threading.Event()

    def answer() -> None:
        with turns.turn():
            answered.set()

    spawn(answer)
    time.sleep(0.05)
    assert not answered.is_set()
    leave.set()
    assert answered.wait(SOON)
    trained.join(SOON)


def test_a_waiting_answer_comes_before_the_next_turn_of_training() -> None:
    turns, order, first, leave = Turns(), [], threading.Event(), threading.Event()

    def train() -> None:
        with turns.background():
            with turns.turn():
                first.set()
                leave.wait(SOON)
            with turns.turn():
                order.append("training")

    def answer() -> None:
        with turns.turn():
            order.append("answer")

    trained = spawn(train)
    assert first.wait(SOON)
    answers = [spawn(answer) for _ in range(3)]
    time.sleep(0.05)
    leave.set()
    for thread in (*answers, trained):
        thread.join(SOON)
    assert order == ["answer"] * 3 + ["training"]


def test_training_waits_while_an_answer_is_at_it() -> None:
    turns, inside, leave, trained = Turns(), *(threading.Event() for _ in range(3))

    def answer() -> None:
        with turns.turn():
            inside.set()
            leave.wait(SOON)

    spawn(answer)
    assert inside.wait(SOON)
    training(turns, trained.set)
    time.sleep(0.1)
    assert not trained.is_set()
    leave.set()
    assert trained.wait(SOON)


def test_training_keeps_a_share_under_constant_load() -> None:
    """Four threads that never pause cannot starve it, and it does not starve them."""
    turns, stop = Turns(), threading.Event()
    spent = {"training": 0.0, "answers": 0}

    def answer() -> None:
        while not stop.is_set():
            with turns.turn():
                time.sleep(0.002)
                spent["answers"] += 1

    def train() -> None:
        with turns.background():
            while not stop.is_set():
                with turns.turn():
                    time.sleep(0.05)
                    spent["training"] += 0.05

    threads = [spawn(train), *(spawn(answer) for _ in range(4))]
    time.sleep(2.0)
    stop.set()
    for thread in threads:
        thread.join(SOON)
    assert 0.1 < spent["training"] < 2.0 * 2 / (1 + SHARE)
    assert spent["answers"] > 100


def test_training_goes_on_once_answers_have_paused() -> None:
    turns = Turns()
    with turns.turn():
        pass
    began = time.monotonic()
    training(turns, lambda: None).join(SOON)
    assert time.monotonic() - began >= GAP * 0.5


def test_a_turn_ends_with_an_exception() -> None:
    turns = Turns()
    for _ in range(2):
        with pytest.raises(ValueError, match="oops"), turns.turn():
            raise ValueError("oops")
    with pytest.raises(ValueError, match="oops"), turns.background(), turns.turn():
        raise ValueError("oops")
    training(turns, lambda: None).join(SOON)
    with turns.turn():
        pass
