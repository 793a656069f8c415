"""A model's chat format, learned from its chat template before the weights are read.

The template is rendered with marker words in place of the system text, the question and the answer.
What stands around the markers tells whether a system turn is possible, whether roles must
alternate, which token ends an answer and whether a thought is opened before it. The tokenizer's own
end token does not: it often ends documents and not turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from t2app.errors import T2Error
from t2app.models.template import Messages, Template
from t2app.models.thoughts import Thoughts

# Marker words, which no template contains.
SYSTEM, QUESTION, ANSWER, AGAIN = "t2markersystem", "t2markerask", "t2markersay", "t2markeragain"
DEFAULT_SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
# Variables that may switch thinking off, and those whose name already says "no".
SWITCH = re.compile(r"[A-Za-z_]*(?:think|thought|reason)[A-Za-z_]*")
NEGATIVE = re.compile(r"(?:^|_)(?:no|disable|skip|without)(?:_|$)")
OFF: tuple[Any, ...] = (False, "off", "none")


class ChatFormat:
    """Conversations and answers as tokens, in the format that the model was trained on.

    ``label`` names the model in errors; ``eos`` are the end tokens of its generation settings;
    ``bos`` is its begin token; ``rows`` is how many tokens its embedding has. Raises T2Error where
    the template cannot be used.

    Attributes: ``system`` and ``alternate`` say whether a system turn is possible and whether
    roles must alternate; ``end`` is the token that the template writes after an answer, ``ends``
    are all that end one; ``notes`` are lines for people.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        label: str = "the model",
        *,
        eos: Iterable[int] = (),
        bos: int | None = None,
        rows: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._label = label
        self._rows = rows
        known = [token for token in (tokenizer.eos_token_id, *eos) if self._exists(token)]
        self._template = Template(tokenizer, label, next(iter(known), None), bos)
        self._notes = self._template.notes
        self._added = {
            token.content: number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.content.strip()
        }
        self._thoughts = Thoughts("\n".join([self._template.text, *self._added]))
        self._first: list[dict[str, str]] = []
        self._switch: dict[str, Any] = {}
        self._learn_turns()
        self._learn_thinking()
        self._learn_end(known)
        self.ends = frozenset([*known, self.end])
        self.notes = tuple(self._notes)
        self._unsafe = self._unsafe_tokens()
        self._anchor = self._ids(self._header + self._suffix)
        self._check([*self._ids(self._asked() + self._suffix), *self.ends])

    # -- conversations and answers -----------------------------------------------------------

    def prompt_ids(self, messages: Messages) -> list[int]:
        """The conversation up to where its answer begins, behind any thought.

        Special tokens that somebody typed are taken apart, so that a question cannot end its own
        turn. Raises T2Error where the template refuses the conversation, or the model's embedding
        lacks one of its tokens.
        """
        text = self._render(self._arranged(messages), generate=True)
        if text.endswith(self._header):
            text += self._suffix
        else:  # a system text can switch thinking on in some templates
            text += self._thoughts.close(text[text.rstrip().rfind("\n") + 1 :])
        return self._check(self._ids(text))

    def answer_ids(self, text: str) -> list[int]:
        """An answer as the model would say it, with the end of its turn."""
        whole = self._lead + self._taken_apart(text) + self._closing
        # In place, since some tokenizers put a space in front of what they take for a beginning.
        ids = self._ids(self._header + self._suffix + whole)
        here = len(self._anchor)
        ids = ids[here:] if ids[:here] == self._anchor else self._ids(whole)
        return self._check([*ids, self.end])

    def text(self, ids: Sequence[int]) -> str:
        """Sampled tokens for readers: no special tokens, no thought, no end of the turn."""
        ids = list(ids)
        for opening, closing in self._thoughts.tags:
            # Where these are special tokens, decoding leaves them out.
            if self._added.get(closing) in ids:
                ids = ids[len(ids) - ids[::-1].index(self._added[closing]) :]
            elif ids[:1] == [self._added.get(opening)]:
                return ""
        return self.visible(self._tokenizer.decode(ids, skip_special_tokens=True))

    @property
    def whole_at_once(self) -> bool:
        """Whether ``text`` needs all tokens: where the tags of a thought are special tokens."""
        return any(tag in self._added for tags in self._thoughts.tags for tag in tags)

    def visible(self, text: str) -> str:
        """The answer behind ``</think>``, up to the end of its turn; empty while it thinks."""
        answer = self._thoughts.visible(text)
        return self._mark.split(answer, maxsplit=1)[0] if self._mark else answer

    @property
    def longest_end(self) -> int:
        """The most tokens that the text at the end of a turn takes; 0 where a token ends turns."""
        return len(self._mark.pattern.encode()) if self._mark else 0

    def says_end(self, ids: Sequence[int]) -> bool:
        """Whether the tokens hold the end of the turn, where that is text and no token."""
        return self._mark is not None and bool(self._mark.search(self._tokenizer.decode(ids)))

    def _arranged(self, messages: Messages) -> list[dict[str, str]]:
        """The turns as this template takes them, without anybody's special tokens."""
        turns: list[dict[str, str]] = []
        waiting: list[str] = []  # system texts, until there is a question
        for message in messages:
            role, text = message["role"], self._taken_apart(message["content"])
            if role == "system" and not self.system:
                waiting.append(text)
                continue
            if role == "user" and waiting:
                text, waiting = "\n\n".join([*waiting, text]), []
            if self.alternate and turns and turns[-1]["role"] == role:
                turns[-1]["content"] += "\n\n" + text
            else:
                turns.append({"role": role, "content": text})
        if waiting:
            turns.append({"role": "user", "content": "\n\n".join(waiting)})
        starts = bool(turns) and turns[0]["role"] == "system"
        return turns if starts else [*self._first, *turns]

    def _taken_apart(self, text: str) -> str:
        """Special tokens with a space inside; halves of characters as question marks."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        return self._unsafe.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def _unsafe_tokens(self) -> re.Pattern[str]:
        """Added tokens that nobody may type: special ones, ends of turns, those without a row."""
        decoder = self._tokenizer.added_tokens_decoder
        unsafe = {
            content
            for content, number in self._added.items()
            if decoder[number].special or number in self.ends or not self._exists(number)
        }
        # A token of one character cannot be taken apart.
        longest_first = sorted((c for c in unsafe if len(c) > 1), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False).input_ids

    def _exists(self, token: int | None) -> bool:
        return token is not None and token >= 0 and (self._rows is None or token < self._rows)

    def _check(self, ids: list[int]) -> list[int]:
        """``ids``, unless one has no row in the embedding: ``T2Error``."""
        largest = max(ids, default=0)
        if not self._exists(largest):
            token = self._tokenizer.convert_ids_to_tokens(largest)
            raise T2Error(
                f"the tokenizer of {self._label} gives the token {token!r} (number {largest:,}), "
                f"and the model's embedding has {self._rows:,} rows, counted from 0: get tokenizer "
                "and weights from the same place"
            )
        return ids

    # -- learning from the template ----------------------------------------------------------

    def _render(self, turns: Messages, *, generate: bool = False) -> str:
        return self._template.render(turns, generate=generate, **self._switch)

    def _asked(self) -> str:
        """A question up to where its answer begins."""
        return self._render([*self._first, _turn("user", QUESTION)], generate=True)

    def _tried(self, *turns: dict[str, str]) -> str:
        """The conversation without the beginning of an answer; empty where it is refused."""
        first = [] if turns[0]["role"] == "system" else self._first
        try:
            return self._render([*first, *turns])
        except T2Error:
            return ""

    def _learn_turns(self) -> None:
        """How a question is put; whether a system turn and two questions in a row are possible."""
        self._learn_question()
        question = _turn("user", QUESTION)
        found = self._tried(_turn("system", SYSTEM), question)
        # Some templates take every turn that is not a question for an answer.
        mistaken = found == self._tried(_turn("assistant", SYSTEM), question)
        self.system = SYSTEM in found and QUESTION in found and not mistaken
        if not self.system:
            self._notes.append(
                "its chat template takes no system turn: system text goes in front of the first "
                "question"
            )
        found = self._tried(question, _turn("user", AGAIN))
        self.alternate = QUESTION not in found or AGAIN not in found

    def _learn_question(self) -> None:
        """``T2Error`` unless the template shows a question, in one of three ways to put it."""
        refusal = None
        for parts, first in ((False, []), (False, [DEFAULT_SYSTEM]), (True, [])):
            self._template.parts, self._first = parts, first
            try:
                if QUESTION in self._asked():
                    break
            except T2Error as error:
                refusal = refusal or error
        else:
            raise refusal or T2Error(
                f"the chat template of {self._label} leaves out the question: put the template of "
                "its chat format into chat_template.jinja in its folder"
            )
        if self._first:
            self._notes.append(
                "its chat template wants a system turn: without one it gets "
                f"{DEFAULT_SYSTEM['content']!r}"
            )

    def _learn_thinking(self) -> None:
        """Switch thoughts off or close them; find what stands between a question and its answer.

        ``_header`` is the text after a question, ``_suffix`` what is added to it so that the answer
        itself comes next, ``_lead`` the space that the template puts in front of an answer.
        """
        self._switch = self._find_switch()
        asked = self._asked()
        self._header = asked.rpartition(QUESTION)[2]
        self._suffix = self._thoughts.close(self._header)
        self._lead = ""
        if self._suffix:
            self._notes.append(
                "its chat template opens a thought in front of each answer: it is closed at once"
            )
            return
        answered = self._tried(_turn("user", QUESTION), _turn("assistant", ANSWER))
        if ANSWER in answered and answered.startswith(asked):
            # What the prompt lacks before an answer: a header, an empty thought, a channel.
            between = answered[len(asked) :].partition(ANSWER)[0]
            self._suffix = between.rstrip(" ") if between.strip() else ""
            self._lead = between[len(self._suffix) :]

    def _find_switch(self) -> dict[str, Any]:
        """The variable of the template that turns thinking off, with its value; else nothing."""
        default = self._asked().rpartition(QUESTION)[2]
        names = sorted(set(SWITCH.findall(self._template.text)))
        for name in sorted(names, key=lambda name: "enable" not in name):
            for value in (True,) if NEGATIVE.search(name) else OFF:
                self._switch = {name: value}
                try:
                    header = self._asked().rpartition(QUESTION)[2]
                except T2Error:
                    continue
                if header == default or self._thoughts.opened(header):
                    continue
                if self._thoughts.opened(default) or self._thoughts.closed(header):
                    self._notes.append(f"its chat template turns thinking off ({name}={value})")
                    return self._switch
        return {}

    def _learn_end(self, known: Sequence[int]) -> None:
        """What the template writes after an answer.

        ``_closing`` is text before the token that ends the turn, ``_mark`` finds text that ends it.
        """
        question, answer = _turn("user", QUESTION), _turn("assistant", ANSWER)
        after = self._tried(question, answer).rpartition(ANSWER)[2]
        between = self._tried(question, answer, _turn("user", AGAIN))
        between = between.rpartition(AGAIN)[0].rpartition(ANSWER)[2]
        self._closing, self._mark = "", None
        tokens = re.compile("|".join(map(re.escape, sorted(self._added, key=len, reverse=True))))
        for text in (after, between):
            found = tokens.search(text) if self._added else None
            token = self._added[found[0]] if found else None
            begins = token == self._tokenizer.bos_token_id and token not in known
            if found and not begins:
                self.end = token
                self._closing = text[: found.start()]
                self._mark = _mark(self._closing)
                return
        if not known:
            raise T2Error(
                f"nothing says how {self._label} ends an answer: name a token in its chat template "
                "or as eos_token_id in its generation_config.json"
            )
        self.end = known[0]
        self._closing = after.rstrip()
        self._mark = _mark(after) or _mark(between)
        token = self._tokenizer.convert_ids_to_tokens(self.end)
        said = (after.strip() or between.strip()).splitlines()
        text = f" and the text {said[0]!r} end" if said else " ends"
        self._notes.append(
            f"its chat template ends answers with no token of its own: {token!r}{text} them"
        )


def _mark(text: str) -> re.Pattern[str] | None:
    """Finds the first line of ``text``, which ends a turn, behind a line break if there is one."""
    words = text.strip().splitlines()
    if not words:
        return None
    begins = text[: len(text) - len(text.lstrip())]
    return re.compile((r"\n\s*" if "\n" in begins else r"\s*") + re.escape(words[0]))


def _turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}
