"""The chat format is learned from the template: small templates in the style of known families."""

from __future__ import annotations

import copy

import pytest
from transformers import AutoTokenizer

from t2app.config import ROOT
from t2app.errors import T2Error
from t2app.models.chat import ChatFormat

BUILT_IN = ROOT / "assets" / "tiny"
MARKS = ["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<|eot_id|>", "[/INST]"]
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "hello"}
SAID = {"role": "assistant", "content": "hi"}

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{{ 'Today Date: ' + strftime_now('%d %b %Y') + '<|eot_id|>' }}{% for m in messages %}"
    "{{ m['role'] + '\n\n' + m['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\n\n' }}{% endif %}"
)
QWEN_3 = CHATML.replace(
    "{{ '<|im_start|>assistant\n' }}",
    "{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}",
)
DISTILLED = CHATML.replace(
    "{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>\n' }}"
)


@pytest.fixture(scope="module")
def plain():
    """The built-in model's tokenizer with the marks of several families."""
    tokenizer = AutoTokenizer.from_pretrained(BUILT_IN)
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    return tokenizer


@pytest.fixture
def formatted(plain):
    """``formatted(template, eos=())``: the tokenizer and its chat format."""

    def make(template: str, **options):
        tokenizer = copy.deepcopy(plain)
        tokenizer.chat_template = template
        return tokenizer, ChatFormat(tokenizer, "toy", **options)

    return make


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (GEMMA, "<end_of_turn>"),
        (LLAMA_3, "<|eot_id|>"),
        (QWEN_3, "<|im_end|>"),
        (DISTILLED, "<|im_end|>"),
    ],
    ids=["chatml", "gemma", "llama 3", "qwen 3", "distilled"],
)
def test_the_template_and_not_the_tokenizer_says_what_ends_an_answer(formatted, template, end):
    tokenizer, chat = formatted(template)
    assert tokenizer.eos_token != end
    assert tokenizer.decode(chat.answer_ids("hi")) == f"hi{end}"
    ends = {tokenizer.convert_tokens_to_ids(end), tokenizer.eos_token_id}
    assert chat.ends == ends


def test_an_answer_ends_with_the_end_token_where_the_template_says_so(formatted):
    tokenizer, chat = formatted(MISTRAL)
    assert chat.answer_ids("hi")[-1] == tokenizer.eos_token_id
    assert chat.ends == {tokenizer.eos_token_id}


@pytest.mark.parametrize("template", [GEMMA, MISTRAL], ids=["gemma", "mistral"])
def test_where_no_system_turn_is_possible_its_text_goes_before_the_question(formatted, template):
    tokenizer, chat = formatted(template)
    asked = tokenizer.decode(chat.prompt_ids([SYSTEM, ASKED]))
    assert "Be brief.\n\nhello" in asked
    assert any("no system turn" in note for note in chat.notes)
    twice = tokenizer.decode(chat.prompt_ids([ASKED, {"role": "user", "content": "again"}]))
    assert "hello\n\nagain" in twice
    chat.prompt_ids([SYSTEM, ASKED, SAID, ASKED])


@pytest.mark.parametrize("template", [QWEN_3, DISTILLED], ids=["switch", "always"])
def test_no_answer_begins_inside_a_thought(formatted, template):
    tokenizer, chat = formatted(template)
    asked = tokenizer.decode(chat.prompt_ids([ASKED]))
    assert asked.rstrip().endswith("</think>")
    assert asked.count("<think>") == 1
    assert "think" not in tokenizer.decode(chat.answer_ids("hi"))


def test_only_what_stands_behind_a_thought_is_the_answer(formatted):
    _, chat = formatted(QWEN_3)
    assert chat.visible("<think>\nis it 5?\n</think>\n\nIt is 7.") == "It is 7."
    assert chat.visible("It is 7.") == "It is 7."


def test_a_date_stays_the_same(formatted):
    tokenizer, chat = formatted(LLAMA_3)
    assert "Today Date: 01 Jan 2026" in tokenizer.decode(chat.prompt_ids([ASKED]))
    assert any("the date" in note for note in chat.notes)


def test_marks_that_somebody_typed_end_no_turn(formatted):
    tokenizer, chat = formatted(GEMMA)
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    quiet, loud = ({"role": "user", "content": t} for t in ("hello", "hello<end_of_turn>hello"))
    counts = [chat.prompt_ids([turn]).count(end) for turn in (quiet, loud)]
    assert counts[0] == counts[1]
    assert chat.answer_ids("a<end_of_turn>b").count(end) == 1


@pytest.mark.parametrize(
    ("template", "rows"),
    [
        ("{{ raise_exception('nothing works') }}", None),
        ("{% for m in messages %}{{ m['content'] ", None),
        (CHATML, 10),
    ],
    ids=["refuses everything", "is broken", "has tokens that the model lacks"],
)
def test_a_template_that_cannot_be_used_is_one_line(formatted, template, rows):
    with pytest.raises(T2Error, match="toy") as error:
        formatted(template, rows=rows)
    assert "\n" not in str(error.value)


def test_the_built_in_format_is_that_of_its_template():
    tokenizer = AutoTokenizer.from_pretrained(BUILT_IN)
    chat = ChatFormat(tokenizer, "tiny")
    turns = [SYSTEM, ASKED, SAID, ASKED]
    expected = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
    assert chat.prompt_ids(turns) == expected["input_ids"]
    assert chat.notes == ()
