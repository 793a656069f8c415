"""The names that columns go by, in data sets and in spreadsheets; earlier ones count for more."""

from __future__ import annotations

import re
import unicodedata

NAMES: dict[str, tuple[str, ...]] = {
    "question": (
        "question", "prompt", "instruction", "query", "problem", "input", "user", "task",
        "utterance", "message", "sentence", "text", "source", "document", "content",
        "frage", "aufgabe", "pregunta", "domanda", "pergunta", "vraag", "вопрос", "问题", "質問",
    ),
    "answer": (
        "answer", "output", "completion", "response", "label", "target", "solution", "gold",
        "reply", "expected", "assistant", "result", "class", "category", "sentiment", "intent",
        "chosen", "code", "antwort", "lösung", "respuesta", "réponse", "risposta", "resposta",
        "antwoord", "ответ", "答案", "回答",
    ),
    "context": ("context", "input", "passage", "background"),
    "choices": ("choices", "options", "alternatives"),
    "tests": ("tests", "test", "test list", "test cases", "unit tests", "asserts"),
    "system": ("system", "system prompt", "system message"),
}  # fmt: skip
ROLES = tuple(NAMES)
_NOT_A_ROLE = frozenset("id idx index type date url count length number nr no split".split())
_OPTION = re.compile(r"(?:option|choice|answer|opt|ans)? ?([a-h]|[1-8])")


def plain(name: str) -> str:
    """``Correct_Answer `` -> ``correct answer``: letters and digits in lower case."""
    text = unicodedata.normalize("NFKC", name).lower()
    return " ".join(re.findall(r"[^\W_]+", text))


def role_rank(name: str, role: str) -> int | None:
    """How well a name fits a role (0 is best); None where it does not.

    The whole name counts first; for question and answer then any word of it, unless a word like
    ``id`` says that the column is about something else.
    """
    text = plain(name)
    known = NAMES[role]
    if text in known:
        return known.index(text)
    words = text.split()
    if role not in ("question", "answer") or _NOT_A_ROLE & set(words):
        return None
    ranks = [known.index(word) for word in words if word in known]
    return len(known) + min(ranks) if ranks else None


def option_letter(name: str) -> str | None:
    """``A``, ``option_b``, ``Choice 3`` -> the letter of the option; None for other names."""
    match = _OPTION.fullmatch(plain(name))
    if match is None or plain(name).isdigit():
        return None
    mark = match[1]
    return mark.upper() if mark.isalpha() else "ABCDEFGH"[int(mark) - 1]


def is_known(name: str) -> bool:
    """Whether any role goes by this whole name."""
    return any(plain(name) in known for known in NAMES.values())
