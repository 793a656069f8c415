"""One batch for everyone: rows join and leave, faults stay with the request that has them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from t2app.engine import Engine
from t2app.engine.batch import KINDS
from t2app.engine.slots import fit_slots
from t2app.errors import T2Error

QUESTIONS = ("the fox", "a", "over the lazy dog jumps the quick brown fox", "12 + 30 = ?", "dog")


@pytest.fixture(params=list(KINDS))
def engine(request: pytest.FixtureRequest, empty_engine: Engine) -> Engine:
    """Once with each way to keep keys and values."""
    assert fit_slots(empty_engine.passes)
    empty_engine.means.kind = request.param
    empty_engine.ends = set()
    return empty_engine


def prompts(engine: Engine) -> list[list[int]]:
    return [engine.prompt_ids([{"role": "user", "content": q}]) for q in QUESTIONS]


def deltas(engine: Engine, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(rows, engine.svf.layout.total, generator=generator) * 0.4


def said(steps: Iterator[dict[int, int]]) -> list[int]:
    return [tokens[0] for tokens in steps]


def at_once(jobs: list[Callable[[], None]]) -> None:
    """All in threads of their own; none may hang."""
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


# -- joining and leaving ---------------------------------------------------------------------


def test_answers_share_one_batch(engine, passes):
    rows, mixes = prompts(engine), deltas(engine, 5)
    streams = [engine.decode([p], d, max_new_tokens=9) for p, d in zip(rows, mixes, strict=True)]
    for stream in streams:
        next(stream)
    passes.clear()
    for stream in streams:
        next(stream)
    assert max(rows for rows, _ in passes) >= 5
    for stream in streams:
        stream.close()


def test_rows_join_and_leave_at_any_step(engine):
    """Answers begin and are closed in the middle of others; each says what it says alone."""
    rows, mixes = prompts(engine), [None, *deltas(engine, 4)]
    alone = [
        engine.generate([p], d, max_new_tokens=14)[0].token_ids
        for p, d in zip(rows, mixes, strict=True)
    ]
    streams: dict[int, Iterator] = {}
    found: dict[int, list[int]] = {}
    for step in range(26):
        if step % 3 == 0 and step // 3 < len(rows):
            i = step // 3
            streams[i] = engine.decode([rows[i]], mixes[i], max_new_tokens=14)
            found[i] = []
        for i, stream in list(streams.items()):
            if i == 1 and len(found[1]) == 5:
                stream.close()
            found[i] += [tokens[0] for tokens in [next(stream, None)] if tokens]
    assert found[1] == alone[1][:5]
    for i in (0, 2, 3, 4):
        assert found[i] == alone[i]


def test_a_long_prompt_is_read_in_pieces_between_the_steps_of_others(engine, passes, monkeypatch):
    monkeypatch.setattr("t2app.engine.sizes.PIECE", (16, 16))
    short, long = prompts(engine)[0], prompts(engine)[2] * 4
    alone = [engine.generate([p], max_new_tokens=12)[0].token_ids for p in (short, long)]
    passes.clear()
    first, second = (engine.decode([p], max_new_tokens=12) for p in (short, long))
    found = [next(first)[0]]
    both = [next(second)[0]]
    between = [tokens for _, tokens in passes[1:]]
    if engine.means.kind != "growing":
        assert max(between) == 16
        assert between[:4] == [1, 16, 1, 16]
    found += said(first)
    both += said(second)
    assert [found, both] == alone


def test_the_same_prompt_is_read_once_for_all_its_samples(engine, passes):
    rows = [p for p in prompts(engine)[:2] for _ in range(6)]
    options = {"max_new_tokens": 8, "temperature": 1.0}
    together = engine.generate(rows, seed=7, **options)
    assert passes[0][0] == 2
    for i, prompt in enumerate(rows):
        [alone] = engine.generate([prompt], seed=7 + i, **options)
        assert together[i].token_ids == alone.token_ids


def test_work_that_was_handed_in_whole_does_not_depend_on_who_chats(engine):
    """Bit for bit: the rows of others are never in its batch."""
    rows, mixes = prompts(engine) * 3, deltas(engine, 15)
    options = {"max_new_tokens": 12, "temperature": 1.0, "seed": 3, "likelihoods": True}
    quiet = engine.generate(rows, mixes, **options)
    stop = threading.Event()

    def chat() -> None:
        while not stop.is_set():
            said(engine.decode([rows[0]], mixes[1], max_new_tokens=5))

    chats = [threading.Thread(target=chat, daemon=True) for _ in range(3)]
    for thread in chats:
        thread.start()
    with engine.turns.background():
        busy = engine.generate(rows, mixes, **options)
    stop.set()
    for thread in chats:
        thread.join(60)
    assert busy == quiet


def test_a_later_turn_reads_only_what_is_new(engine, passes):
    mix, other = deltas(engine, 2)
    talk = [{"role": "user", "content": "the quick brown fox jumps over"}]
    prompt = engine.prompt_ids(talk)
    first = said(engine.decode([prompt], mix, max_new_tokens=12))
    later = [*prompt, *first, *prompts(engine)[1]]
    expected = engine.generate([later], mix, max_new_tokens=8)[0].token_ids
    passes.clear()
    assert said(engine.decode([later], mix.clone(), max_new_tokens=8)) == expected
    known = 0 if engine.means.kind == "growing" else len(prompt) + len(first) - 1
    assert passes[0] == (1, len(later) - known)
    for changed, delta in (([*later[:3], 5, *later[4:]], mix), (later, other), (later, None)):
        passes.clear()
        again = said(engine.decode([changed], delta, max_new_tokens=8))
        assert passes[0][1] == len(later)
        assert again == engine.generate([changed], delta, max_new_tokens=8)[0].token_ids


def test_what_is_remembered_is_limited(engine, monkeypatch):
    monkeypatch.setattr("t2app.engine.remembered.MOST_TOKENS", 100)
    for i in range(12):
        said(engine.decode([[i + 1] * 30], max_new_tokens=3))
    assert engine.means.remembered._tokens() <= 100


# -- faults ----------------------------------------------------------------------------------


def test_a_request_that_cannot_be_answered_ends_alone(engine):
    row, mix = prompts(engine)[0], deltas(engine, 1)[0]
    alone = engine.generate([row], mix, max_new_tokens=8)[0].token_ids
    going = engine.decode([row], mix, max_new_tokens=8)
    first = next(going)[0]
    with pytest.raises(T2Error, match="reads 1 to 1,023"):
        engine.generate([[1] * 1024])
    with pytest.raises(T2Error, match="reads 1 to"):
        engine.generate([[]])
    with pytest.raises(T2Error, match="delta has shape"):
        next(engine.decode([row], mix[:-1]))
    assert [first, *said(going)] == alone


def test_numbers_that_are_not_finite_end_one_answer_only(engine):
    """Also where another row comes to lie in its place."""
    rows = prompts(engine)[:3]
    bad = torch.full((engine.svf.layout.total,), 1e30)
    alone = [c.token_ids for c in engine.generate(rows, max_new_tokens=30)]
    streams = [engine.decode([p], max_new_tokens=30) for p in rows]
    broken = engine.decode([rows[2]], bad, max_new_tokens=30)
    found = [[next(streams[0])[0]], [], []]
    with pytest.raises(T2Error, match="not finite"):
        said(broken)
    for i, stream in enumerate(streams):
        found[i] += said(stream)
    assert found == alone


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), MemoryError()], ids=["cuda", "cpu"])
def test_where_memory_runs_out_fewer_rows_go_on(engine, error):
    rows, mixes = prompts(engine), deltas(engine, 5)
    options = {"max_new_tokens": 10, "temperature": 1.0, "seed": 2}
    expected = engine.generate(rows, mixes, **options)
    seen = []

    def small(block, args):
        seen.append(len(args[0]))
        if len(seen) > 4 and len(args[0]) > 2:
            raise error

    handle = engine.model.get_decoder().layers[0].register_forward_pre_hook(small)
    try:
        found = engine.generate(rows, mixes, **options)
    finally:
        handle.remove()
    assert [c.token_ids for c in found] == [c.token_ids for c in expected]
    assert max(seen[8:]) <= 2


def test_one_row_that_does_not_fit_ends_alone(engine):
    rows = prompts(engine)
    expected = engine.generate([rows[0]], max_new_tokens=6)

    def never(block, args):
        if args[0].shape[1] == len(rows[2]):
            raise torch.OutOfMemoryError

    handle = engine.model.get_decoder().layers[0].register_forward_pre_hook(never)
    going = engine.decode([rows[0]], max_new_tokens=6)
    first = next(going)[0]
    try:
        with pytest.raises(torch.OutOfMemoryError):
            engine.generate([rows[2]])
        assert [first, *said(going)] == expected[0].token_ids
    finally:
        handle.remove()


def test_whoever_runs_the_model_may_be_interrupted(engine, monkeypatch, caplog):
    """The others are told, and the next request starts anew."""
    row = prompts(engine)[0]
    expected = engine.generate([row], max_new_tokens=5)
    waiting = engine.decode([row], max_new_tokens=50)
    next(waiting)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine.passes, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.generate([row])
    with pytest.raises(T2Error, match="ask again"):
        said(waiting)
    assert "starts anew" in caplog.text
    assert engine.generate([row], max_new_tokens=5) == expected


def test_closed_rows_leave_no_memory_behind(engine):
    """Where nobody goes on who would see to it."""
    streams = [engine.decode([p], max_new_tokens=50) for p in prompts(engine)]
    for stream in streams:
        next(stream)
    for stream in streams:
        stream.close()
    assert [s._batches for s in engine._schedulers] == [[], []]
    assert all(s._shared is None for s in engine._schedulers)


def test_many_users_who_stop_when_they_like(engine):
    """16 users, 20 questions each, with mixes of their own and random stops: none wrong."""
    rows, mixes = prompts(engine), [None, *deltas(engine, 7)]
    expected = {
        (p, d): engine.generate([rows[p]], mixes[d], max_new_tokens=10)[0].token_ids
        for p in range(len(rows))
        for d in range(len(mixes))
    }
    wrong, answered = [], []

    def user(number: int) -> None:
        chance = random.Random(number)
        for _ in range(20):
            key = chance.randrange(len(rows)), chance.randrange(len(mixes))
            stop = chance.choice([None, None, 1, 4])
            found = []
            steps = engine.decode([rows[key[0]]], mixes[key[1]], max_new_tokens=10)
            for tokens in steps:
                found.append(tokens[0])
                if len(found) == stop:
                    break
            steps.close()
            answered.append(key)
            if found != expected[key][: len(found)] or (stop is None and len(found) != 10):
                wrong.append(key)

    at_once([lambda number=number: user(number) for number in range(16)])
    assert (wrong, len(answered)) == ([], 320)
    assert all(not s._batches for s in engine._schedulers)
