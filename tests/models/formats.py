"""Chat templates in the style of many families, and what has to come of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerFast

from t2app.models.chat import ChatFormat
from tests.conftest import build_tokenizer

ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% endfor %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<im>' + m.role + '\n' + m.content + '</im>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}" + NO_SYSTEM + ALTERNATE + "{% for m in messages %}"
    "{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<im>' + role + '\n' + m.content | trim + '</im>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}" + ALTERNATE + "{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for m in messages %}{{ '<im>' + m.role + '\n' + m.content + '</im>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>assistant\n' }}{% else %}{{ eos_token }}{% endif %}"
)
QWEN3 = (
    "{% for m in messages %}{{ '<im>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') + '</im>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
SMOLLM3 = (
    "{% if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif %}"
    "{% set ns = namespace(system='', mode='/think' if enable_thinking else '/no_think') %}"
    "{% if messages[0].role == 'system' %}{% set ns.system = messages[0].content %}{% endif %}"
    "{% if '/think' in ns.system %}{% set ns.mode = '/think' %}{% endif %}"
    "{{ '<im>system\nToday: ' + strftime_now('%d %B %Y') + '\nMode: ' + ns.mode + '\n'"
    " + ns.system + '</im>\n' }}"
    "{% for m in messages %}{% if m.role != 'system' %}"
    "{{ '<im>' + m.role + '\n' + m.content + '</im>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>assistant\n' }}"
    "{% if ns.mode == '/no_think' %}{{ '<think>\n\n</think>\n' }}{% endif %}{% endif %}"
)
DISTILLED = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<ask>' + m.content }}"
    "{% elif m.role == 'assistant' %}"
    "{{ '<say>' + m.content.split('</think>')[-1] + eos_token }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<say><think>\n' }}{% endif %}"
)
LLAMA3 = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}"
    "{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}"
    "{{ '<im>system\n\nToday Date: ' + date_string + '\n\n' }}"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{{ '</im>' }}"
    "{% for m in messages %}{% if m.role != 'system' %}"
    "{{ '<im>' + m.role + '\n\n' + m.content | trim + '</im>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>assistant\n\n' }}{% endif %}"
)
CHANNELS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<im>assistant<channel>final\n' + m.content }}"
    "{% if loop.last %}{{ '<done>' }}{% else %}{{ '</im>' }}{% endif %}"
    "{% else %}{{ '<im>' + m.role + '\n' + m.content + '</im>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>assistant' }}{% endif %}"
)
NEXT_ROLE = (  # as GLM 4: the mark of the next turn ends an answer
    "{% for m in messages %}{{ '<' + ('ask' if m.role == 'user' else 'say') + '>\n' + m.content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<say>\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m.role | title + ': ' + m.content + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
TAGS_AS_TEXT = CHATML.replace("<im>", "<turn>").replace("</im>", "</turn>")
ONLY_QUESTIONS = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<ask>' + m.content }}"
    "{% elif m.role == 'assistant' %}{{ '<say>' + m.content + '</im>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<say>' }}{% endif %}"
)
ELSE_IS_ANSWER = ONLY_QUESTIONS.replace("{% elif m.role == 'assistant' %}", "{% else %}")
NO_PROMPT = CHATML.replace("add_generation_prompt", "false")
PARTS = CHATML.replace("m.content", "m.content[0]['text']")
WANTS_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ raise_exception('Begin with a system turn') }}"
    "{% endif %}" + CHATML
)
SEVERAL = {"default": CHATML, "tool_use": "{{ nothing }}"}
BRACKETS = CHATML.replace("'<im>assistant\n' }}", "'<im>assistant\n[THINK]' }}")
SWITCHED_BY_NO = CHATML.replace(
    "'<im>assistant\n' }}",
    "'<im>assistant\n<thought>\n' + ('</thought>\n' if no_thought is defined else '') }}",
)

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "Hi"}
SAY = {"role": "assistant", "content": "Ho"}


@dataclass(frozen=True)
class Case:
    """A template, a prompt of ``SYSTEM`` and ``ASK`` in it, and how an answer ends."""

    template: Any
    prompt: str
    end: str
    before: str = ""
    note: str | None = None
    alternate: bool = False
    talk: str | None = None


CASES = {
    "chatml": Case(
        CHATML, "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n", "</im>",
    ),
    "gemma": Case(
        GEMMA, "<s><im>user\nBe brief.\n\nHi</im>\n<im>model\n", "</im>",
        note="takes no system turn", alternate=True,
        talk="<s><im>user\nBe brief.\n\nHi</im>\n<im>model\nHo</im>\n"
        "<im>user\nHi</im>\n<im>model\n",
    ),
    "mistral": Case(
        MISTRAL, "<s>[INST] Be brief.\n\nHi [/INST]", "<|end|>", before=" ",
        note="takes no system turn", alternate=True,
    ),
    "phi": Case(PHI, "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n", "</im>"),
    "qwen3": Case(
        QWEN3,
        "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n<think>\n\n</think>\n\n",
        "</im>", note="turns thinking off (enable_thinking=False)",
    ),
    "smollm3": Case(
        SMOLLM3,
        "<im>system\nToday: 01 January 2026\nMode: /no_think\nBe brief.</im>\n"
        "<im>user\nHi</im>\n<im>assistant\n<think>\n\n</think>\n",
        "</im>", note="turns thinking off (enable_thinking=False)",
    ),
    "distilled": Case(
        DISTILLED, "<s>Be brief.<ask>Hi<say><think>\n\n</think>\n\n", "<|end|>",
        note="opens a thought in front of each answer",
        talk="<s>Be brief.<ask>Hi<say>Ho<|end|><ask>Hi<say><think>\n\n</think>\n\n",
    ),
    "llama3": Case(
        LLAMA3,
        "<im>system\n\nToday Date: 01 Jan 2026\n\nBe brief.</im>"
        "<im>user\n\nHi</im><im>assistant\n\n",
        "</im>", note="the date: it is 2026-01-01 in every prompt",
    ),
    "channels": Case(
        CHANNELS,
        "<im>system\nBe brief.</im><im>user\nHi</im><im>assistant<channel>final\n", "<done>",
    ),
    "next role": Case(
        NEXT_ROLE, "<ask>\nBe brief.\n\nHi<say>\n", "<ask>", note="takes no system turn",
    ),
    "plain": Case(
        PLAIN, "System: Be brief.\n\nUser: Hi\n\nAssistant:", "<|end|>", before=" ",
        note="no token of its own: '<|end|>' and the text 'User:' end them",
    ),
    "tags as text": Case(
        TAGS_AS_TEXT, "<turn>system\nBe brief.</turn>\n<turn>user\nHi</turn>\n<turn>assistant\n",
        "</turn><|end|>", note="'<|end|>' and the text '</turn>' end them",
    ),
    "ignores system": Case(
        ONLY_QUESTIONS, "<ask>Be brief.\n\nHi<say>", "</im>", note="takes no system turn",
    ),
    "takes system for an answer": Case(
        ELSE_IS_ANSWER, "<ask>Be brief.\n\nHi<say>", "</im>", note="takes no system turn",
    ),
    "no beginning of an answer": Case(
        NO_PROMPT, "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n", "</im>",
    ),
    "content in parts": Case(
        PARTS, "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n", "</im>",
    ),
    "wants a system turn": Case(
        WANTS_SYSTEM, "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n", "</im>",
        note="without one it gets 'You are a helpful assistant.'",
    ),
    "several": Case(
        SEVERAL, "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n", "</im>",
    ),
    "several without default": Case(
        {"chat": CHATML, "tool_use": "{{ nothing }}"},
        "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n", "</im>",
        note="(chat, tool_use) is called default: 'chat' is used",
    ),
    "thought in brackets": Case(
        BRACKETS,
        "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n[THINK]\n\n[/THINK]\n\n",
        "</im>", note="opens a thought in front of each answer",
    ),
    "a switch that says no": Case(
        SWITCHED_BY_NO,
        "<im>system\nBe brief.</im>\n<im>user\nHi</im>\n<im>assistant\n<thought>\n</thought>\n",
        "</im>", note="turns thinking off (no_thought=True)",
    ),
}  # fmt: skip
TOKENS = ["<s>", "<im>", "</im>", "<ask>", "<say>", "<channel>", "<done>"]


def tokenizer_with(template: Any, *more: str) -> PreTrainedTokenizerFast:
    """The small tokenizer, whose own end is ``<|end|>``, with the marks of the templates here."""
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [*TOKENS, *more]})
    tokenizer.bos_token = "<s>"
    tokenizer.chat_template = template
    return tokenizer


def format_of(template: Any, *more: str, **options: Any) -> tuple[ChatFormat, Callable]:
    tokenizer = tokenizer_with(template, *more)
    return ChatFormat(tokenizer, "small", **options), tokenizer.decode
