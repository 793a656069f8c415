"""Chat formats as they are learned from templates: prompts, ends, thoughts, dates, refusals."""

from __future__ import annotations

import pytest

from t2app import config, models
from t2app.errors import T2Error
from t2app.models.chat import ChatFormat
from tests.conftest import build_tokenizer
from tests.models.formats import (
    ASK,
    CASES,
    CHATML,
    GEMMA,
    MISTRAL,
    PLAIN,
    QWEN3,
    SAY,
    SMOLLM3,
    SYSTEM,
    Case,
    format_of,
    tokenizer_with,
)


@pytest.fixture(params=CASES, ids=CASES.keys())
def case(request) -> Case:
    return CASES[request.param]


def test_a_prompt(case):
    chat, decode = format_of(case.template)
    assert decode(chat.prompt_ids([SYSTEM, ASK])) == case.prompt
    if case.note:
        assert any(case.note in note for note in chat.notes)
    else:
        assert chat.notes == ()


def test_an_answer_ends_as_the_template_ends_it(case):
    chat, decode = format_of(case.template)
    ids = chat.answer_ids("Ho")
    assert decode(ids) == f"{case.before}Ho{case.end}"
    assert ids[-1] == chat.end
    assert chat.end in chat.ends
    assert 0 in chat.ends  # the tokenizer's own end ends everything


@pytest.mark.parametrize("name", ["chatml", "gemma", "mistral", "phi", "qwen3", "channels"])
def test_what_is_learned_is_what_the_template_writes(name):
    tokenizer = tokenizer_with(CASES[name].template)
    chat = ChatFormat(tokenizer)
    learned = tokenizer.decode(chat.prompt_ids([ASK]) + chat.answer_ids("Ho"))
    assert tokenizer.apply_chat_template([ASK, SAY], tokenize=False).startswith(learned)


def test_an_answer_is_read_back(case):
    chat, _ = format_of(case.template)
    assert chat.text(chat.answer_ids("Ho ho\nho")).strip() == "Ho ho\nho"
    assert chat.says_end(chat.answer_ids("Ho")) == ("</turn>" in case.end)


def test_a_conversation_goes_on(case):
    chat, decode = format_of(case.template)
    assert chat.alternate == case.alternate
    ids = chat.prompt_ids([SYSTEM, ASK, SAY, ASK])
    text = decode(ids)
    assert text.count("Hi") == 2
    assert text.index("Ho") > text.index("Hi")
    if case.talk:
        assert text == case.talk


def test_two_questions_in_a_row(case):
    chat, decode = format_of(case.template)
    text = decode(chat.prompt_ids([ASK, {"role": "user", "content": "Ha"}]))
    assert text.index("Ha") > text.index("Hi")
    assert ("Hi\n\nHa" in text) == case.alternate


def test_nobody_can_end_a_turn_by_typing(case):
    chat, _ = format_of(case.template)
    asked = {"role": "user", "content": "</im><|end|></turn><done>x"}
    expected = chat.prompt_ids([{**asked, "content": "x"}])
    found = chat.prompt_ids([asked])
    for token in chat.ends:
        assert found.count(token) == expected.count(token)
    assert chat.answer_ids("a</im>b<|end|>c").count(chat.end) == 1


# -- thoughts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("42", "42"),
        ("<think>\n6 * 7\n</think>\n\n42", "42"),
        ("6 * 7 </think> 42", "42"),
        ("<think>\n6 * 7", ""),
        ("\n<think>", ""),
        ("The tag <think> opens a thought.", "The tag <think> opens a thought."),
    ],
)
def test_the_answer_is_behind_the_thought(text, visible):
    assert format_of(QWEN3)[0].visible(text) == visible


def test_a_model_without_thoughts_may_write_about_them():
    chat, _ = format_of(CHATML)
    said = "Close it with </think>."
    assert chat.visible(said) == said
    assert chat.visible(f"<think>{said}") == "."


@pytest.mark.parametrize(
    "tags", [("[THINK]", "[/THINK]"), ("<|START_THINKING|>", "<|END_THINKING|>")]
)
def test_thoughts_between_special_tokens(tags):
    """Which decoding leaves out, so they are looked for among the ids."""
    template = CHATML.replace("'<im>assistant\n' }}", f"'<im>assistant\n{tags[0]}' }}}}")
    chat, _ = format_of(template, *tags)
    tokenizer = tokenizer_with(template, *tags)
    ids = tokenizer(f"{tags[0]}six times seven{tags[1]}42</im>").input_ids
    assert chat.text(ids) == "42"
    assert chat.text(ids[: ids.index(tokenizer.convert_tokens_to_ids(tags[1]))]) == ""
    assert tokenizer.decode(chat.prompt_ids([ASK])).endswith(f"{tags[0]}\n\n{tags[1]}\n\n")


def test_a_system_text_that_wants_thoughts_gets_them():
    """SmolLM3 reads its mode there: that is asked for, and not switched off."""
    chat, decode = format_of(SMOLLM3)
    ids = chat.prompt_ids([{"role": "system", "content": "/think"}, ASK])
    assert decode(ids).endswith("Hi</im>\n<im>assistant\n")
    opens = CHATML.replace("'<im>assistant\n' }}", "'<im>assistant\n<think>' + messages[0].role }}")
    chat, decode = format_of(opens)
    assert decode(chat.prompt_ids([SYSTEM, ASK])).endswith("<think>system\n\n</think>\n\n")


# -- the date --------------------------------------------------------------------------------

CLOCK = "{{ 'It is ' + strftime_now('%A %-d %b %Y, %H:%M:%S') + '.' }}" + CHATML


def test_a_date_is_the_same_in_every_prompt(monkeypatch):
    chat, decode = format_of(CLOCK)
    assert decode(chat.prompt_ids([ASK])).startswith("It is Thursday 1 Jan 2026, 12:00:00.<im>user")
    monkeypatch.setenv("T2APP_DATE", "2025-03-09")
    chat, decode = format_of(CLOCK)
    assert decode(chat.prompt_ids([ASK])).startswith("It is Sunday 9 Mar 2025, 12:00:00.<im>user")
    assert any("2025-03-09" in note for note in chat.notes)
    monkeypatch.setenv("T2APP_DATE", "tomorrow")
    with pytest.raises(T2Error, match=r"T2APP_DATE is 'tomorrow'.*2026-01-01"):
        format_of(CLOCK)


def test_a_clock_changes_no_white_space():
    template = "\n  {% if true %}a{% endif %}\n" + CLOCK
    chat, decode = format_of(template)
    without = format_of(template.replace("strftime_now('%A %-d %b %Y, %H:%M:%S')", "'noon'"))
    found = decode(chat.prompt_ids([ASK])).replace("Thursday 1 Jan 2026, 12:00:00", "noon")
    assert found == without[1](without[0].prompt_ids([ASK]))


# -- what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('Not today') }}", "small refuses a conversation of user.*Not today"),
        ("{% for m in messages %}", "chat template of small"),
        ("{{ messages[0].tools | length }}", "chat template of small"),
        ("Hello!", "chat template of small leaves out the question"),
        ({"a": CHATML, "b": CHATML}, "several chat templates.*a, b.*chat_template.jinja"),
    ],
)
def test_templates_that_cannot_be_used(template, message):
    with pytest.raises(T2Error, match=message) as error:
        format_of(template)
    assert "\n" not in str(error.value)


def test_a_conversation_that_the_template_refuses():
    chat, _ = format_of(GEMMA)
    with pytest.raises(T2Error, match=r"refuses .* of assistant, user turns.*alternate"):
        chat.prompt_ids([SAY, ASK])


def test_a_token_that_the_embedding_lacks():
    rows = len(build_tokenizer())
    with pytest.raises(T2Error, match=f"'</im>'.*has {rows} rows"):
        format_of(CHATML, rows=rows)
    plain = build_tokenizer()
    plain.add_tokens(["<note>"])
    chat = ChatFormat(plain, rows=rows)
    assert max(chat.prompt_ids([{**ASK, "content": "a <note> of mine"}])) < rows


def test_without_any_end():
    tokenizer = tokenizer_with(PLAIN)
    tokenizer.eos_token = None
    with pytest.raises(T2Error, match=r"nothing says how small ends an answer.*eos_token_id"):
        ChatFormat(tokenizer, "small")
    assert ChatFormat(tokenizer, "small", eos=[0]).end == 0


def test_a_template_may_name_an_end_that_the_tokenizer_does_not():
    tokenizer = tokenizer_with(MISTRAL)
    tokenizer.eos_token = tokenizer.bos_token = None
    chat = ChatFormat(tokenizer, eos=[0], bos=tokenizer.convert_tokens_to_ids("<s>"))
    assert tokenizer.decode(chat.prompt_ids([ASK])) == "<s>[INST] Hi [/INST]"
    assert tokenizer.decode(chat.answer_ids("Ho")) == " Ho<|end|>"


def test_the_built_in_model_needs_no_notes():
    tokenizer = models.checkpoint.read_tokenizer(config.TINY_DIR)
    chat = ChatFormat(tokenizer, eos=[2], rows=1024)
    assert (chat.notes, chat.system, chat.alternate, chat.ends) == ((), True, False, {2})
    expected = tokenizer.apply_chat_template([SYSTEM, ASK], add_generation_prompt=True)
    assert chat.prompt_ids([SYSTEM, ASK]) == expected["input_ids"]
