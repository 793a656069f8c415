"""What of a growing answer may be shown, and how tokens are drawn for it."""

from __future__ import annotations

import pytest

from t2app.server import answering, names
from t2app.server.answering import Begun, Ended, Piece, Row, Sampling
from t2app.server.errors import Refused

ASKED = [{"role": "user", "content": "the quick fox"}]


def said(engine, text: str, *stops: str) -> tuple[list[str], str | None]:
    """The pieces of an answer whose tokens are the characters of ``text``."""
    row = Row(0, engine, lambda ids: "".join(map(chr, ids)), stops)
    pieces = [piece for c in text if row.finish is None for piece in row.says(ord(c), None)]
    pieces += row.ends()
    return [piece.text for piece in pieces if piece.text], row.finish


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("abc", (), ["a", "b", "c"]),
        ("abSTOPc", ("STOP",), ["a", "b"]),
        ("abSTc", ("STOP",), ["a", "b", "STc"]),
        ("aST", ("STOP",), ["a", "ST"]),
        ("aSSTOP", ("STOP",), ["a", "S"]),
        ("one\n\ntwo", ("\n\n",), ["o", "n", "e"]),
        ("xyz", ("yz", "y"), ["x"]),
    ],
)
def test_a_stop_text_is_held_back_until_it_is_none(engine, text, stops, expected):
    pieces, finish = said(engine, text, *stops)
    assert pieces == expected
    assert finish == ("stop" if any(stop in text for stop in stops) else "length")


def test_half_a_character_is_held_back(engine):
    halves = ["\ufffd", "é", "é!"]
    row = Row(0, engine, lambda ids: halves[len(ids) - 1], ())
    assert [p.text for _ in halves for p in row.says(5, None) if p.text] == ["é", "!"]


def test_all_rows_that_have_stopped_stop_the_model(engine, passes):
    every = tuple(chr(c) for c in range(32, 127))
    events = list(
        answering.chat(engine, names.find(engine, "base"), ASKED, Sampling(100, stops=every))
    )
    assert len(passes) < 50
    assert isinstance(events[0], Begun)
    assert [e.finish for e in events if isinstance(e, Piece)] == ["stop"]
    assert isinstance(events[-1], Ended)


def test_each_prompt_may_have_a_mix_of_its_own(engine, monkeypatch):
    """``auto`` chooses for each text that is continued."""
    mixes = iter(["math", "code"])
    monkeypatch.setattr(
        answering.adapt,
        "choose",
        lambda engine, text, strategy, weights: answering.Adaptation(
            strategy, weights={next(mixes): 1.0}
        ),
    )
    prompts = [engine.tokenizer(text).input_ids for text in ("the quick", "the quick")]
    choice = names.find(engine, "auto")
    events = list(answering.plain(engine, choice, prompts, Sampling(12)))
    texts = ["".join(e.text for e in events if isinstance(e, Piece) and e.row == i) for i in (0, 1)]
    for text, name in zip(texts, ("math", "code"), strict=True):
        [alone] = engine.generate(prompts[:1], engine.delta({name: 1.0}), max_new_tokens=12)
        assert text == engine.tokenizer.decode(alone.token_ids, skip_special_tokens=True)


def test_names(engine):
    assert names.find(engine, "base").strategy == "off"
    assert names.find(engine, "math").weights == {"math": 1.0}
    assert names.find(engine, "math=0.7,code=0.3").weights == {"math": 0.7, "code": 0.3}
    for name, reason in (
        ("mth", "did you mean math"), ("math=2", "weights sum to 2"), ("math=x", "between 0 and 1"),
        ("=", "cannot read weights"), ("math=1,math=1", "comes twice"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=reason) as caught:
            names.find(engine, name)
        assert caught.value.status == 404
