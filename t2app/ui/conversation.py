"""A conversation as plain data: what is shown, what the model is given, what the browser keeps.

A ``Turn`` is one question with its answer and everything about how it came about. All functions
are pure. Not covered: asking the model (``chat``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from t2app.adapt.two_pass import Answer
from t2app.tasks.dispatch import OTHER
from t2app.ui import safe

Turns = tuple["Turn", ...]
Message = dict[str, Any]

FORMAT = 1
# What a browser is asked to keep: it allows some 5 MB for a site, as text.
KEPT_TURNS = 40
KEPT_CHARACTERS = 400_000

# Length of a text bar that stands for the whole.
BAR = 16
WITHOUT_LABEL = {"manual": "Weights set by hand", "off": "Experts off"}


@dataclass(frozen=True)
class Turn:
    """One question and its answer so far.

    ``state`` is "open" while the model is at work, then "done" or "stopped". ``looked`` says that
    the first pass is over; ``weights`` are those of the experts, the rest is the base model's.
    ``model`` answers, which may not be the one that is in use by now.
    """

    question: str
    strategy: str
    state: str = "open"
    looked: bool = False
    answer: str = ""
    base_answer: str | None = None
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    why: str = ""
    told: str = ""
    first_pass: float = 0.0
    second_pass: float = 0.0
    tokens: int = 0
    rate: float = 0.0
    model: str = ""

    def heard(self, answer: Answer) -> Turn:
        """The turn with what a snapshot of the answer adds."""
        adaptation = answer.adaptation
        if adaptation is None:
            return self
        return replace(
            self,
            state="done" if answer.done else "open",
            looked=True,
            answer=answer.text,
            base_answer=answer.base_text,
            label=adaptation.label,
            probabilities=dict(adaptation.probabilities),
            weights=dict(adaptation.weights),
            why=adaptation.why,
            told=adaptation.told,
            first_pass=float(answer.timings.get("first_pass", adaptation.seconds)),
            second_pass=float(answer.timings.get("second_pass", 0.0)),
            tokens=answer.tokens,
            rate=float(answer.tokens_per_second),
        )

    def closed(self) -> Turn:
        """A turn that nobody works on any more."""
        return replace(self, state="stopped") if self.state == "open" else self


def closed(turns: Turns) -> Turns:
    """The conversation when nobody works on it any more."""
    return tuple(turn.closed() for turn in turns)


def busy(turns: Turns) -> bool:
    """Whether the last question is still being answered."""
    return bool(turns) and turns[-1].state == "open"


def history(turns: Turns) -> list[dict[str, str]]:
    """Messages for the model, ending with the last question.

    Earlier questions without an answer are left out, and so are earlier answers to a question that
    was asked again at once: they would tell the model what to say.
    """
    messages = []
    for turn, after in pairwise(turns):
        if turn.answer.strip() and turn.question != after.question:
            messages += [_said("user", turn.question), _said("assistant", turn.answer)]
    return [*messages, _said("user", turns[-1].question)]


def _said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def messages(turns: Turns) -> list[Message]:
    """Everything the chat shows, in the form that ``gr.Chatbot`` takes."""
    several = len({turn.model for turn in turns if turn.model}) > 1
    return [message for turn in turns for message in _of_turn(turn, several)]


def turn_at(turns: Turns, index: int) -> int:
    """Which turn the message ``index`` of ``messages(turns)`` belongs to."""
    owners = [i for i, turn in enumerate(turns) for _ in _of_turn(turn)]
    return owners[index]


def _of_turn(turn: Turn, several: bool = False) -> list[Message]:
    """``several``: of a conversation with more than one model, so each answer names its own."""
    shown = [_message("user", [safe.shield(turn.question)]), _pass(turn, several)]
    body = _body(turn)
    return [*shown, _message("assistant", body)] if body else shown


def _message(role: str, blocks: Sequence[str], **metadata: Any) -> Message:
    content = [{"type": "text", "text": block} for block in blocks]
    return {"role": role, "content": content, "metadata": metadata or None}


def _pass(turn: Turn, several: bool) -> Message:
    """The accordion: what the first pass saw, and what was mixed from it."""
    if not turn.looked:
        title = "Looking at your question" if turn.state == "open" else "Stopped before an answer"
        status = "pending" if turn.state == "open" else "done"
        return _message("assistant", [""], title=title, status=status)
    log = f"Mix: {mix_words(turn.weights)} · {seconds(turn.first_pass)}"
    log = f"{safe.shield(turn.model)} · {log}" if several and turn.model else log
    return _message("assistant", [_report(turn)], title=_title(turn), log=log, status="done")


def _title(turn: Turn) -> str:
    if turn.label is None:
        return WITHOUT_LABEL.get(turn.strategy, "Experts mixed")
    if turn.label == OTHER:
        return f"**Base model**{_unsure(turn.probabilities)}"
    label = f"**{safe.shield(turn.label)}**"
    sure = turn.probabilities.get(turn.label)
    return label if sure is None else f"{label} · {percent(sure)} sure"


def _unsure(probabilities: Mapping[str, float]) -> str:
    """Why the base model answers: no expert's question, or not surely enough one of an expert's."""
    if not probabilities:
        return ""
    likeliest = max(probabilities, key=probabilities.__getitem__)
    sure = percent(probabilities[likeliest])
    if likeliest == OTHER:
        return f" · {sure} sure"
    return f" · only {sure} sure of {safe.shield(likeliest)}"


def _report(turn: Turn) -> str:
    """Markdown that also reads well as text: it is what a screen reader is given."""
    parts = []
    if turn.probabilities:
        parts += ["**First pass: what kind of question is it?**", bars(turn.probabilities)]
    parts += ["**Experts used for the answer**", bars(with_base(turn.weights))]
    if turn.why:
        parts.append(safe.shield(turn.why[:1].upper() + turn.why[1:]))
    if turn.told:
        parts.append(f"Told, as in training: “{safe.shield(turn.told)}”")
    parts.append(_times(turn))
    return "\n\n".join(parts)


def _times(turn: Turn) -> str:
    words = [safe.shield(turn.model)] if turn.model else []
    words.append(f"First pass {seconds(turn.first_pass)}")
    if turn.state != "open":
        words.append(f"answer {seconds(turn.second_pass)}")
        words.append(f"{turn.tokens} tokens, {turn.rate:.0f} a second")
    return " · ".join(words)


def _body(turn: Turn) -> list[str]:
    """The answer, or with a comparison the two answers, each a block of its own."""
    answer = safe.answer_markdown(turn.answer)
    if turn.state == "open" and turn.looked and not answer:
        answer = "…"
    if turn.state == "stopped" and turn.looked:
        answer = f"{answer}\n\n*Stopped.*"
    if turn.base_answer is None:
        return [answer] if answer else []
    base = safe.answer_markdown(turn.base_answer)
    side = "With experts" if any(turn.weights.values()) else "No experts"
    return [f"**{side}**\n\n{answer}", f"**Base model**\n\n{base}"]


def bars(values: Mapping[str, float]) -> str:
    """Shares as a list with text bars, largest first."""
    ordered = sorted(values.items(), key=lambda item: -item[1])
    return "\n".join(
        f"- {safe.shield(name)} `{'█' * round(share * BAR) or '▏'}` {percent(share)}"
        for name, share in ordered
    )


def with_base(weights: Mapping[str, float]) -> dict[str, float]:
    """Expert weights and the rest, which is the base model's."""
    rest = max(0.0, 1.0 - sum(weights.values()))
    return {**weights, "base": rest}


def mix_words(weights: Mapping[str, float]) -> str:
    """The mix in words: "math 92 %, base 8 %". Shares below half a percent are left out."""
    shares = sorted(with_base(weights).items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {percent(share)}" for name, share in shares if share >= 0.005)


def percent(share: float) -> str:
    """A share in whole percent, unbroken at line ends; never "100 %" or "0 %" for what is not."""
    number = f"{share * 100:.0f}"
    if 0 < share < 0.01:
        number = "<1"
    elif 0.99 < share < 0.9995:
        number = f"{math.floor(share * 1000) / 10:.1f}"
    return f"{number}\N{NO-BREAK SPACE}%"


def seconds(time: float) -> str:
    """A time in a unit that reads well."""
    return f"{time * 1000:.0f} ms" if time < 0.95 else f"{time:.1f} s"


def dump(turns: Turns) -> dict[str, Any]:
    """What the browser keeps: the latest turns, as many as fit."""
    kept: list[dict[str, Any]] = []
    room = KEPT_CHARACTERS
    for turn in reversed(closed(turns)[-KEPT_TURNS:]):
        room -= len(turn.question) + len(turn.answer) + len(turn.base_answer or "") + 500
        if room < 0:
            break
        kept.insert(0, asdict(turn))
    return {"format": FORMAT, "turns": kept}


def load(value: Any) -> Turns:
    """The conversation that ``dump`` gave; ``ValueError`` if this is something else.

    The browser's storage can be edited or be left by another version, so every field is checked.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError("not a conversation")
    found = value.get("turns")
    if not isinstance(found, list) or len(found) > KEPT_TURNS:
        raise ValueError("not a list of turns")
    return closed(tuple(_turn(item) for item in found))


def _turn(value: Any) -> Turn:
    if not isinstance(value, dict):
        raise ValueError("not a turn")
    value = {"model": "", **value}  # which earlier versions did not keep
    if set(value) != {f.name for f in fields(Turn)}:
        raise ValueError("not a turn")
    for name in ("question", "strategy", "answer", "why", "told", "model"):
        _check(isinstance(value[name], str), name)
    for name in ("label", "base_answer"):
        _check(value[name] is None or isinstance(value[name], str), name)
    for name in ("first_pass", "second_pass", "rate", "tokens"):
        _check(_is_number(value[name]), name)
    for name in ("probabilities", "weights"):
        shares = value[name]
        _check(isinstance(shares, dict) and all(map(_is_share, shares.values())), name)
    _check(isinstance(value["looked"], bool), "looked")
    _check(value["state"] in ("open", "done", "stopped"), "state")
    return Turn(**value)


def _check(right: bool, name: str) -> None:
    if not right:
        raise ValueError(f"{name} of a turn")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1 + 1e-6
