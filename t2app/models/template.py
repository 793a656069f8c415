"""A model's chat template: which one of several, how it is rendered, and the date in it.

Whatever a template raises becomes one ``T2Error``. What the rendered text means is for ``chat``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from transformers import PreTrainedTokenizerBase

from t2app.errors import T2Error
from t2app.models.words import first_line

Messages = Sequence[Mapping[str, str]]

# Templates for other uses, which some models have beside the one for conversations.
OTHER_USES = ("tool_use", "rag")
# A template that asks for the date gets this one, so that a question gives the same prompt every
# day: a resumed run and an expert in use see the prompts of training.
DATE = "2026-01-01"
DATE_VARIABLE = "T2APP_DATE"
DIRECTIVES = (
    *("%-d", "%-m", "%-y", "%-H", "%-I", "%-M", "%-S", "%-j", "%#d", "%#m"),
    *("%a", "%A", "%b", "%B", "%c", "%d", "%D", "%e", "%f", "%F", "%G", "%h", "%H", "%I", "%j"),
    *("%m", "%M", "%n", "%p", "%R", "%S", "%t", "%T", "%u", "%U", "%V", "%w", "%W", "%x", "%X"),
    *("%y", "%Y", "%z", "%Z", "%%"),
)
# Takes the place of the clock that transformers gives to templates. Values but no functions can be
# passed to a template, so it is written in the template's language. Its last line break belongs to
# the block and is not rendered.
FIXED_CLOCK = (
    "{% macro strftime_now(format='%Y-%m-%d') %}{% set fixed = namespace(text=format) %}"
    "{% for directive, value in t2app_date %}"
    "{% set fixed.text = fixed.text.replace(directive, value) %}{% endfor %}"
    "{{ fixed.text }}{% endmacro %}\n"
)


class Template:
    """``render`` gives a conversation as text; ``notes`` says what people should know about it.

    ``label`` names the model in errors. ``eos`` and ``bos`` are the ids of tokens that templates
    write, for tokenizers that do not name them. With ``parts`` each content is given as a list of
    parts, which some templates want. Raises T2Error where no template can be chosen.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        label: str,
        eos: int | None = None,
        bos: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._label = label
        self.notes: list[str] = []
        self.parts = False
        self.text = self._choose(tokenizer.chat_template)
        self._source = self.text
        self._variables: dict[str, Any] = {
            name: "" if token is None else tokenizer.convert_ids_to_tokens(token)
            for name, token in {"eos_token": eos, "bos_token": bos}.items()
            if getattr(tokenizer, name) is None
        }
        if "strftime_now" in self.text:
            self._fix_date()

    def render(self, messages: Messages, *, generate: bool = False, **variables: Any) -> str:
        """The conversation as text, with the beginning of an answer if ``generate``.

        ``variables`` are passed to the template. Raises T2Error for whatever the template raises.
        """
        turns = [{"role": m["role"], "content": self._content(m["content"])} for m in messages]
        try:
            return self._tokenizer.apply_chat_template(
                turns,
                chat_template=self._source,
                add_generation_prompt=generate,
                tokenize=False,
                **self._variables,
                **variables,
            )
        except Exception as error:
            # A template is a program: it may raise nearly any exception.
            roles = ", ".join(m["role"] for m in messages)
            raise T2Error(
                f"the chat template of {self._label} refuses a conversation of {roles} turns: "
                f"{first_line(error)}"
            ) from error

    def _content(self, text: str) -> Any:
        return [{"type": "text", "text": text}] if self.parts else text

    def _choose(self, found: str | Mapping[str, str]) -> str:
        if isinstance(found, str):
            return found
        if "default" in found:
            return found["default"]
        names = [name for name in found if name not in OTHER_USES] or list(found)
        if len(names) != 1:
            raise T2Error(
                f"{self._label} has several chat templates and none is called default "
                f"({', '.join(found)}): put the one to use into chat_template.jinja in its folder"
            )
        self.notes.append(
            f"none of its chat templates ({', '.join(found)}) is called default: "
            f"{names[0]!r} is used"
        )
        return found[names[0]]

    def _fix_date(self) -> None:
        given = os.environ.get(DATE_VARIABLE) or DATE
        try:
            noon = datetime.strptime(given, "%Y-%m-%d").replace(hour=12)
        except ValueError:
            raise T2Error(
                f"{DATE_VARIABLE} is {given!r}, which is no date: write it like {DATE}"
            ) from None
        self._source = FIXED_CLOCK + self.text
        self._variables["t2app_date"] = [[part, noon.strftime(part)] for part in DIRECTIVES]
        self.notes.append(
            f"its chat template tells the model the date: it is {given} in every prompt, so that "
            f"prompts do not change from day to day ({DATE_VARIABLE} sets another date)"
        )
