"""Text in which marks say who speaks: ``### Human: …``, chat templates, ``Q: …`` and ``A: …``.

Such text stands in a column (data sets of a single column ``text``) or is the whole file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from t2app.data.building import Builder, Rejected, clean
from t2app.data.conversations import ROLE_OF, Refused, Turn, refuse_most, single
from t2app.data.foreign_names import ANSWER, QUESTION
from t2app.data.names import plain

_USER = "human|user|instruction|question|input|prompt|query|customer|context|task|problem"
_ASSISTANT = "assistant|response|answer|output|completion|gpt|ai|bot|model|solution"
# Templates: a mark, whose group says who speaks from there on.
_FAMILIES = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("ChatML", r"<\|im_start\|>\s*(\w+)\s*\n?"),
        ("Llama 3", r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>\s*"),
        ("Gemma", r"<start_of_turn>\s*(\w+)\s*\n?"),
        ("Zephyr", r"<\|(system|user|assistant)\|>\s*"),
        ("###", rf"(?:^|(?<=\s)|(?<=[^\s#]))###+\s*({_USER}|{_ASSISTANT}|system)\b\s*:?[ \t]*\n?"),
        ("Llama 2", r"(?:<s>\s*)?(\[/?INST\])\s*"),
    )
)
_ENDS = re.compile(
    r"</?s>|<\|(?:im_end|endoftext|eot_id|end|begin_of_text|end_of_text)\|>|<end_of_turn>|<bos>|<eos>"
)
_SYSTEM_2 = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_SPEAKERS = (("human", "assistant"), ("user", "assistant"), ("user", "bot"), ("human", "ai"),
             ("user", "ai"), ("customer", "agent"))  # fmt: skip
MOST = 0.9
_COLON = r"(?:\s*\d{0,4}\s*[.)]?\s*[:：]|\s*\d{1,4}\s*[.)](?=\s))"


@dataclass(frozen=True)
class Marks:
    """Two labels before a colon at the beginning of a line.

    ``talk`` says that they are the speakers of a conversation and not the parts of an exam.
    """

    question: str
    answer: str
    talk: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches a label at the beginning of a line; its groups are the one or the other."""
        q, a = re.escape(self.question), re.escape(self.answer)
        return re.compile(rf"(?im)^[ \t]*(?:\*\*)?(?:({q})|({a})){_COLON}(?:\*\*)?[ \t]*")


def family_of(cells: Sequence[str]) -> str | Marks | None:
    """The marks that almost all of the texts have, in both roles; None where they have none."""
    cells = [cell for cell in cells if cell]
    for name, _ in _FAMILIES:
        if cells and sum(_answered(cell, name) for cell in cells) >= MOST * len(cells):
            return name
    for marks in _label_pairs(cells[:20]):
        if sum(_answered(cell, marks) for cell in cells) >= MOST * len(cells):
            return marks
    return None


def _answered(cell: str, family: str | Marks) -> bool:
    roles = {role for role, _ in turns_of(cell, family)}
    return {"user", "assistant"} <= roles


def turns_of(cell: str, family: str | Marks) -> list[tuple[str, str]]:
    """Who says what in a text. What stands before the first mark is left out."""
    if isinstance(family, Marks):
        return _labelled(cell, family)
    pattern = dict(_FAMILIES)[family]
    parts = pattern.split(cell)
    found = []
    for mark, text in zip(parts[1::2], parts[2::2], strict=True):
        role = _role_of(mark.lower())
        text = _ENDS.sub("", text)
        if family == "Llama 2" and (system := _SYSTEM_2.search(text)):
            found.append(("system", clean(system[1])))
            text = _SYSTEM_2.sub("", text)
        if clean(text):
            found.append((role, clean(text)))
    return found


def _role_of(mark: str) -> str:
    if mark in ("[inst]", "[/inst]"):
        return "user" if mark == "[inst]" else "assistant"
    if mark in ROLE_OF:
        return ROLE_OF[mark]
    return "user" if re.fullmatch(_USER, mark) else "assistant"


def _labelled(text: str, marks: Marks) -> list[tuple[str, str]]:
    parts = marks.pattern.split(text)
    return [
        ("user" if question else "assistant", clean(said))
        for question, _, said in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    ]


def _label_pairs(texts: Sequence[str]) -> list[Marks]:
    """Pairs of labels that the lines of some texts begin with, the longest first."""
    labels = {
        plain(found[1]): found[1].strip()
        for text in texts
        for line in text.splitlines()
        if (found := re.match(rf"[ \t*]*([^\W\d_][\w ]{{0,20}}?){_COLON}", line))
    }
    found = [
        Marks(labels[user], labels[assistant], talk=True)
        for user, assistant in _SPEAKERS
        if user in labels and assistant in labels
    ]
    asked = {*map(plain, QUESTION.split()), *"question q prompt instruction input query".split()}
    answered = {*map(plain, ANSWER.split()), *"answer a response output completion".split()}
    letters = (("в", "о"), ("п", "о"), ("f", "a"), ("p", "r"), ("d", "r"), ("s", "c"), ("f", "s"))
    found += [
        Marks(labels[q], labels[a])
        for q in labels
        for a in labels
        if (q in asked and a in answered and q != a) or (q, a) in letters
    ]
    return found


# -- whole files ---------------------------------------------------------------------------------


def transcript_rows(text: str, name: str) -> Builder | None:
    """The rows of a file of questions and answers with labels; None where it is none.

    A row's number is the line that its question begins in.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    for marks in _label_pairs([text[:20_000]]):
        hits = [m for line in lines if (m := marks.pattern.match(line))]
        asked = sum(m[1] is not None for m in hits)
        if asked < 2 or len(hits) - asked < MOST * asked:
            continue
        if marks.pattern.match(lines[0]) or marks.pattern.match(lines[min(1, len(lines) - 1)]):
            return _rows_of(text, marks, name)
    return None


def _rows_of(text: str, marks: Marks, name: str) -> Builder:
    found = Builder(("question", "answer"), "text")
    found.notes.append(f"the lines begin with {marks.question!r} and {marks.answer!r}")
    found.roles = {"question": "question", "answer": "answer"}
    refused: dict[str, list[int]] = defaultdict(list)
    blocks = _blocks(text, marks)
    for number, turns in blocks:
        try:
            turn: Turn = single(turns)
        except Refused as error:
            refused[error.kind].append(number)
            found.rejected.append(Rejected(number, str(error), (turns[0][1],)))
        else:
            found.add(number, [turn.question, turn.answer or ""])
    refuse_most(refused, len(blocks), name)
    return found


def _blocks(text: str, marks: Marks) -> list[tuple[int, list[tuple[str, str]]]]:
    """The turns of each row: to the next question, or of a conversation to a blank line."""
    matches = list(marks.pattern.finditer(text))
    found: list[tuple[int, list[tuple[str, str]]]] = []
    for match, end in zip(matches, [*(m.start() for m in matches[1:]), len(text)], strict=True):
        role = "user" if match[1] is not None else "assistant"
        said = clean(re.sub(r"\n\s*[-=*_]{3,}\s*$", "", text[match.end() : end]))
        starts = role == "user"
        if marks.talk and found:
            starts = bool(re.search(r"\n[ \t]*(?:[-=*_]{3,}[ \t]*)?\n\s*\Z", text[: match.start()]))
        if starts or not found:
            found.append((text.count("\n", 0, match.start()) + 1, []))
        found[-1][1].append((role, said))
    return found


_LABEL = re.compile(r"((?:__label__[^\s,]+[\s,]+)+)(.*)")


def labelled_lines(text: str) -> Builder | None:
    """Rows of a file in which every line begins with its label, as fastText has them."""
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not all(line.startswith("__label__") for _, line in lines):
        return None
    found = Builder(("text", "label"), "text")
    found.notes.append("every line begins with its label")
    for number, line in lines:
        match = _LABEL.fullmatch(line.strip())
        if match is None:
            found.rejected.append(Rejected(number, "empty cell: no text beside the label"))
            continue
        labels = re.findall(r"__label__([^\s,]+)", match[1])
        found.add(number, [clean(match[2]), ", ".join(labels)])
    return found
