"""The tokenizer: any text comes back, digits stay single, the template is the training format."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from t2app.tiny import corpus
from t2app.tiny import tokenizer as tiny_tokenizer

TEXTS = (
    "The answer is 42.",
    "def f(x):\n    return [y for y in x if y % 2 == 0]\n\n\n",
    "        eight spaces, and two  inside",
    "tabs\tand\r\nlines\u2028and\u00a0spaces ",
    "emoji 😀👩‍👩‍👧🏳️‍🌈, accents é ё ß, CJK 漢字かな, RTL שלום عربي, math ∑√²",
    "don't I'm they're it's 'quoted' \"double\"",
    "\x00\x01\x1b[31m\x7f",
    "1234567890 3.14 -7 1,000 ١٢٣ Ⅷ ½",
    "",
    " ",
    "\n",
)


def round_trip(tok, text: str) -> str:
    return tok.decode(tok(text, add_special_tokens=False).input_ids)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back(tiny_tok, text):
    assert round_trip(tiny_tok, text) == text


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=80))
def test_any_text_comes_back(tiny_tok, text):
    assert round_trip(tiny_tok, text) == text


def test_conversations_come_back(tiny_tok):
    for talk in islice(corpus.conversations(9, 9), 200):
        for message in talk:
            assert round_trip(tiny_tok, message["content"]) == message["content"]


def test_digits_are_single_tokens(tiny_tok):
    ids = tiny_tok("12 apples and 345", add_special_tokens=False).input_ids
    assert sum(tiny_tok.decode([i]).strip().isdigit() for i in ids) == 5
    for i in range(len(tiny_tok)):
        assert sum(c.isdigit() for c in tiny_tok.decode([i])) <= 1


def test_no_token_runs_over_a_line_break(tiny_tok):
    for i in range(len(tiny_tok)):
        text = tiny_tok.decode([i])
        assert "\n" not in text or text == "\n"


def test_vocabulary_and_special_tokens(tiny_tok):
    assert len(tiny_tok) <= tiny_tokenizer.VOCABULARY
    assert len(tiny_tok) > 900
    for token in tiny_tokenizer.SPECIAL:
        [single] = tiny_tok(token, add_special_tokens=False).input_ids
        assert tiny_tok.decode([single]) == token
    assert tiny_tok.decode([tiny_tok.eos_token_id]) == "<|end|>"
    assert tiny_tok.pad_token_id != tiny_tok.eos_token_id
    assert tiny_tok.padding_side == "left"


def test_the_template_is_the_training_format(tiny_tok):
    talk = [
        {"role": "system", "content": "list"},
        {"role": "user", "content": "what?\n"},
        {"role": "assistant", "content": "that"},
    ]
    text = tiny_tok.apply_chat_template(talk, tokenize=False)
    assert text == (
        "<|begin|><|system|>\nlist<|end|>\n<|user|>\nwhat?\n<|end|>\n<|assistant|>\nthat<|end|>\n"
    )
    asked = tiny_tok.apply_chat_template(talk[:2], tokenize=False, add_generation_prompt=True)
    assert text.startswith(asked)
    assert asked.endswith("<|end|>\n<|assistant|>\n")


def test_a_seed_decides(tiny_tok):
    again = tiny_tokenizer.train(0, conversations=400)
    assert again.get_vocab() == tiny_tok.get_vocab()
    assert again.backend_tokenizer.to_str() == tiny_tok.backend_tokenizer.to_str()


def test_it_can_be_saved_and_loaded(tiny_tok, tmp_path):
    tiny_tok.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert loaded(text).input_ids == tiny_tok(text).input_ids
        assert round_trip(loaded, text) == text
    talk = [{"role": "user", "content": "hi"}]
    expected = tiny_tok.apply_chat_template(talk, add_generation_prompt=True, return_dict=True)
    found = loaded.apply_chat_template(talk, add_generation_prompt=True, return_dict=True)
    assert found["input_ids"] == expected["input_ids"]
    assert loaded.padding_side == "left"
    assert set(loaded.all_special_tokens) == set(tiny_tokenizer.SPECIAL)
