"""Text that grows token by token is the text of all tokens at once."""

from __future__ import annotations

import pytest

from t2app.engine import Engine
from t2app.engine.growing_text import GrowingText


@pytest.mark.parametrize(
    "text",
    ["the quick brown fox", "é😀 ü", "  spaces   inside ", "a\n\nb", "<think>x</think>y", ""],
)
def test_as_all_at_once(empty_engine: Engine, text: str) -> None:
    ids = [*empty_engine.tokenizer(text).input_ids, empty_engine.tokenizer.eos_token_id]
    growing = empty_engine.growing_text()
    for i, token in enumerate(ids):
        growing.add(token)
        assert growing.text == empty_engine.text(ids[: i + 1]).rstrip("\ufffd")
    assert growing.text == empty_engine.text(ids)


def test_where_thoughts_are_special_tokens(empty_engine: Engine, monkeypatch) -> None:
    chat = empty_engine.chat
    monkeypatch.setattr(type(chat), "whole_at_once", True)
    growing = GrowingText(chat, empty_engine.tokenizer)
    for token in empty_engine.tokenizer("the fox é").input_ids:
        growing.add(token)
    assert growing.text == "the fox é"
