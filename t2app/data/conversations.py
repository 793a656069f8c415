"""Conversations as rows: one question and its answer each, with a system prompt if there is one.

Read are the columns ``conversations`` (ShareGPT), ``messages`` (OpenAI), ``prompt`` and
``completion`` as lists (TRL), whatever they are called, and text with marks such as
``### Human:``. Longer conversations, tool calls and pairs to choose from are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2app.data.names import plain
from t2app.errors import T2Error

ROLE_KEYS, TEXT_KEYS = ("role", "from", "speaker"), ("content", "value", "text", "message", "parts")
_ROLES = {
    "system": "system developer",
    "user": "user human prompter customer question instruction input client",
    "assistant": "assistant gpt bot model chatgpt bard bing ai answer response output agent claude",
    "tool": "tool function observation ipython function_call function_response tool_call "
    "tool_response environment",
}
ROLE_OF = {word: role for role, words in _ROLES.items() for word in words.split()}
LONG, TOOLS, PICTURES = "long conversation", "tool call", "picture"
_WHAT = {
    LONG: "only a question and its answer are read: keep the first two turns of each",
    TOOLS: "tool calls are not read: leave out those rows and the columns of tools",
    PICTURES: "only text is read: leave out the rows with pictures",
}


class Refused(ValueError):
    """A conversation that is not read; the text is a reason for a rejected row."""

    @property
    def kind(self) -> str:
        """What is refused, before the colon."""
        return str(self).split(":")[0]


@dataclass(frozen=True)
class Turn:
    """A question with its answer; the answer is None where a conversation ends with a question."""

    question: str
    answer: str | None
    system: str | None = None


def spoken(value: Any) -> Any:
    """The text of a system turn that comes as an object or in parts; any other value as it is."""
    if isinstance(value, Mapping) and _key(value, TEXT_KEYS):
        return _text(value)
    if (
        isinstance(value, (list, tuple))
        and value
        and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in value)
    ):
        return _text({"content": list(value)})
    return value


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns, each with a speaker and a text."""
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(turn, Mapping) and _key(turn, ROLE_KEYS) for turn in value)
        and any(_key(turn, TEXT_KEYS) or turn.get("tool_calls") for turn in value)
    )


def turn_of(turns: Sequence[Mapping[str, Any]]) -> Turn:
    """The question and answer of a conversation. Raises Refused."""
    return single([(_role(turn), _text(turn)) for turn in turns])


def single(turns: Sequence[tuple[str, str]]) -> Turn:
    """The same of roles (``system``, ``user``, ``assistant``) with their texts."""
    merged: list[tuple[str, str]] = []
    for role, text in turns:
        if merged and merged[-1][0] == role:
            merged[-1] = role, "\n".join(filter(None, (merged[-1][1], text)))
        else:
            merged.append((role, text))
    if not merged:
        raise Refused("empty cell: no turns")
    system = merged.pop(0)[1] if merged and merged[0][0] == "system" else None
    roles = [role for role, _ in merged]
    if roles not in (["user"], ["user", "assistant"]):
        n = len(turns)
        what = "1 turn" if n == 1 else f"{n} turns"
        begins = f", begins with the {roles[0]}" if roles and roles[0] != "user" else ""
        raise Refused(f"{LONG}: {what}{begins}; only a question and its answer are read")
    answer = merged[1][1] if len(merged) > 1 else None
    return Turn(merged[0][1], answer, system)


def _key(turn: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if isinstance(turn.get(key), (str, list))), None)


def _role(turn: Mapping[str, Any]) -> str:
    said = str(turn[_key(turn, ROLE_KEYS) or ROLE_KEYS[0]]).strip().lower()
    role = ROLE_OF.get(said)
    if role == "tool" or turn.get("tool_calls") or turn.get("function_call"):
        raise Refused(f"{TOOLS}: a turn of {said!r}")
    if role is None:
        raise Refused(f"speaker: {said!r} is neither user nor assistant nor system")
    return role


def _text(turn: Mapping[str, Any]) -> str:
    """The text of a turn, which may come in parts."""
    value = turn.get(_key(turn, TEXT_KEYS) or "", "")
    if isinstance(value, str):
        return value
    found = []
    for part in value:
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            found.append(part["text"])
        elif isinstance(part, str):
            found.append(part)
        elif isinstance(part, Mapping) and part.get("type") not in (None, "text"):
            raise Refused(f"{PICTURES}: a turn holds {part['type']!r}")
    return "\n".join(found)


# -- files ---------------------------------------------------------------------------------------


def refuse_preferences(columns: Sequence[str], name: str, booleans: Sequence[str]) -> None:
    """Raise T2Error for files of answers to choose from. ``booleans`` hold true or false."""
    by_plain = {plain(column): column for column in columns}
    words = {word: column for text, column in by_plain.items() for word in text.split()}
    for good, bad in (("chosen", "rejected"), ("preferred", "dispreferred"), ("winner", "loser")):
        if good in words and bad in words:
            raise T2Error(
                f"{name} is a preference file ({words[good]!r}, {words[bad]!r}), and only right "
                "answers are learned from: keep the question and the better answer, as 'question' "
                "and 'answer'"
            )
    for first, second in (("a", "b"), ("j", "k"), ("0", "1"), ("1", "2")):
        for what in ("response", "conversation", "answer", "output", "completion"):
            pair = by_plain.get(f"{what} {first}"), by_plain.get(f"{what} {second}")
            if all(pair) and {"winner", "preference", "better", "preferred"} & set(words):
                raise T2Error(
                    f"{name} is a preference file ({pair[0]!r}, {pair[1]!r} and which is better), "
                    "and only right answers are learned from: keep the better ones as 'answer'"
                )
    if "completion" in by_plain and "prompt" in by_plain and by_plain.get("label") in booleans:
        raise T2Error(
            f"{name} is a preference file ('completion' with 'label' true or false): keep the rows "
            "whose label is true, without that column"
        )


def refuse_most(kinds: Mapping[str, list[int]], rows: int, name: str) -> None:
    """Raise T2Error where more than half of the rows are refused for one reason."""
    for kind, numbers in kinds.items():
        if 2 * len(numbers) > rows and kind in _WHAT:
            raise T2Error(
                f"{name}: {len(numbers)} of {rows} rows hold a {kind} (first row {numbers[0]}), "
                f"and {_WHAT[kind]}"
            )
