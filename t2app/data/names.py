"""The names that columns go by, in data sets and in spreadsheets; earlier ones count for more."""

from __future__ import annotations

import re
import unicodedata

from t2app.data.foreign_names import ANSWER, QUESTION

NAMES: dict[str, tuple[str, ...]] = {
    "question": (
        "question", "prompt", "instruction", "query", "problem", "input", "utterance", "ctx",
        "goal", "question stem", "stem", "questions", "prompts", "instructions", "inputs",
        "user prompt", "human", "message", "sentence", "text", "review", "tweet", "comment",
        "comments", "statement", "premise", "sentence1", "question1", "text1", "headline", "body",
        "subject", "title", "email", "sms", "document", "article", "content", "description", "user",
        "source", "task", "request", "ask", "q", "in", "x",
    ),
    "answer": (
        "answer", "output", "completion", "response", "label", "target", "solution", "gold",
        "answers", "outputs", "completions", "responses", "labels", "reply", "expected",
        "expected output", "expected answer", "ground truth", "gold answer", "reference",
        "reference answer", "correct answer", "right answer", "best answer", "answer key",
        "correct option", "correct", "reward model", "assistant", "gpt", "model answer", "result",
        "class", "category", "sentiment", "emotion", "intent", "topic", "tag", "rating", "stars",
        "score", "polarity", "stance", "verdict", "code", "translation", "summary", "a", "out", "y",
    ),
    "context": ("context", "input", "passage", "background", "paragraph"),
    "choices": ("choices", "options", "alternatives", "endings", "answer options"),
    "tests": ("tests", "test", "test list", "test cases", "unit tests", "asserts"),
    "system": ("system", "system prompt", "system message", "system instruction"),
}  # fmt: skip
ROLES = tuple(NAMES)
# Two columns that only together are what is asked, and the order that they come in.
PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"),
    ("text1", "text2"), ("sentence a", "sentence b"), ("text a", "text b"), ("subject", "body"),
    ("title", "body"), ("title", "description"), ("title", "abstract"), ("goal", "context"),
)  # fmt: skip
# Words that say that a column is about something else than the question or the answer.
_NOT_A_ROLE = frozenset(
    "id ids idx index type date time timestamp url link count length len number nr no split "
    "confidence probability prob lang language username author created updated votes likes tokens "
    "embedding hash version explanation reason reasoning rationale".split()
)
_OPTION = re.compile(r"(?:option|choice|answer|opt|ans|sol)? ?([a-h]|[1-8])")


def plain(name: str) -> str:
    """``Correct_Answer `` and ``correctAnswer`` -> ``correct answer``: letters and digits."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", unicodedata.normalize("NFKC", name)).lower()
    return " ".join(re.findall(r"[^\W_]+", text))


_FOREIGN = {
    "question": frozenset(map(plain, QUESTION.split())),
    "answer": frozenset(map(plain, ANSWER.split())),
}


def role_rank(name: str, role: str) -> int | None:
    """How well a name fits a role (0 is best); None where it does not.

    The whole name counts first, in any language; for question and answer then any word of it,
    unless a word like ``id`` says that the column is about something else.
    """
    text = plain(name)
    known = NAMES[role]
    if text in known:
        return known.index(text)
    if text in _FOREIGN.get(role, ()):
        return len(known)
    words = text.split()
    if role not in _FOREIGN or _NOT_A_ROLE & set(words):
        return None
    ranks = [known.index(word) for word in words if word in known and len(word) > 2]
    foreign = [len(known) for word in words if word in _FOREIGN[role]]
    return 1 + len(known) + min((*ranks, *foreign)) if ranks or foreign else None


def option_letter(name: str) -> str | None:
    """``A``, ``option_b``, ``Choice 3`` -> the letter of the option; None for other names."""
    match = _OPTION.fullmatch(plain(name))
    if match is None or plain(name).isdigit():
        return None
    mark = match[1]
    return mark.upper() if mark.isalpha() else "ABCDEFGH"[int(mark) - 1]


def is_known(name: str) -> bool:
    """Whether any role goes by this whole name."""
    text = plain(name)
    return any(text in known for known in (*NAMES.values(), *_FOREIGN.values()))


def pair_of(names: list[str]) -> tuple[str, str] | None:
    """Two columns that only together are what is asked; None where there are none."""
    by_plain = {plain(name): name for name in names}
    for first, second in PAIRS:
        if first in by_plain and second in by_plain:
            return by_plain[first], by_plain[second]
    return None
