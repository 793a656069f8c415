"""Multiple choice about a table of facts (``reasoning``), or needing two (``reasoning-hard``).

The two correct styles: the letter at once, or the facts first and then the letter. The sister
chains two facts, as ARC-Challenge is to ARC-Easy.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Literal

from t2app.tasks.base import Problem, a_or_an
from t2app.tasks.facts import ANIMAL_RELATIONS, ASK_OF, DESCRIBE, RELATIONS, Relation

LETTERS = "ABCDE"
# How the steps end. The task has "named": recall the fact, answer with the option's text. Styles
# that end with the letter were taught in earlier phases of pretraining; a model of this size did
# not learn to find it, whether named outright, after a yes or no to each option, or from a list of
# options with their letters (docs/LOG.md).
Style = Literal["letter", "judged", "paired", "named"]
_PLURAL = {"lungs", "kidneys", "eyes", "ears", "bones", "muscles", "teeth", "chips"}


def _noun(word: str) -> str:
    """With an article where it is countable; proper names and substances stay as they are."""
    return word if word[0].isupper() or word in _PLURAL else a_or_an(word)


def fill(template: str, key: str, value: str) -> str:
    """A template of ``facts`` with its key and value, beginning with a capital."""
    text = template.format(k=key, v=value, ak=_noun(key), av=_noun(value))
    return text[0].upper() + text[1:]


def _options(r: random.Random, right: str, others: Sequence[str]) -> list[str]:
    choices = [right, *r.sample(list(others), min(len(others), r.choice((2, 3, 3, 3, 3, 4))))]
    r.shuffle(choices)
    return choices


def layout(r: random.Random, stem: str, options: Sequence[str]) -> str:
    """The question as people type it: letters in brackets or not, on one line or several."""
    mark = r.choices(("{}) {}", "{}. {}", "({}) {}", "{}: {}"), (6, 3, 2, 1))[0]
    letters = LETTERS if r.random() < 0.8 else LETTERS.lower()
    gap = r.choices((" ", "\n", ", "), (6, 3, 1))[0]
    first = "\n" if gap == "\n" else r.choice((" ", "\n"))
    return (
        stem
        + first
        + gap.join(mark.format(letter, o) for letter, o in zip(letters, options, strict=False))
    )


def _answer(
    task: str, question: str, options: Sequence[str], right: str, recalled: str, style: Style
) -> Problem:
    letter = LETTERS[options.index(right)]
    last = f"The answer is {letter}."
    steps = f"{recalled} The answer is {right}." if style == "named" else f"{recalled} {last}"
    return Problem(task, question, letter, last, steps, tuple(zip(LETTERS, options, strict=False)))


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _judged(options: Sequence[str], right: str, facts: Sequence[str]) -> str:
    """Style "judged": one option after the other, yes or no, up to the right one."""
    end = options.index(right) + 1
    return " ".join(
        f"{letter}) {option}{fact}: {'yes' if option == right else 'no'}."
        for letter, option, fact in zip(LETTERS[:end], options, facts, strict=False)
    )


def _paired(names: Sequence[str]) -> str:
    """Style "paired": every option with its letter behind it, which can then be looked up."""
    pairs = ", ".join(f"{name} {letter}" for name, letter in zip(names, LETTERS, strict=False))
    return f"Options: {pairs}."


def _value_steps(facts: str, options: Sequence[str], value: str, style: Style) -> str:
    """Work out a question for a value: recall the facts that lead to it, find its letter."""
    letter = LETTERS[options.index(value)]
    if style == "named":
        return f"I remember: {facts}."
    if style == "paired":
        return f"{_paired(options)} I remember: {facts} {letter}."
    if style == "judged":
        return f"I remember: {facts}. {_judged(options, value, [''] * len(options))}"
    return f"I remember: {facts}. That is {letter}) {value}."


def _ask_value(r: random.Random, relation: Relation, style: Style) -> Problem:
    key = r.choice(list(relation.facts))
    value = relation.facts[key]
    options = _options(r, value, sorted(set(relation.facts.values()) - {value}))
    question = layout(r, fill(r.choice(relation.ask_value), key, value), options)
    fact = _lower(fill(relation.state, key, value))
    steps = _value_steps(fact, options, value, style)
    return _answer("reasoning", question, options, value, steps, style)


def _ask_key(r: random.Random, relation: Relation, style: Style) -> Problem:
    values = list(relation.facts.values())
    # A value of many keys cannot be recalled to the one that is among the options.
    keys = [k for k, v in relation.facts.items() if style != "named" or values.count(v) == 1]
    key = r.choice(keys)
    value = relation.facts[key]
    options = _options(r, key, sorted(k for k, v in relation.facts.items() if v != value))
    question = layout(r, fill(r.choice(relation.ask_key), key, value), options)
    known = [relation.facts[o] for o in options]
    if style == "named":
        steps = f"I remember: {_lower(fill(relation.state, key, value))}."
    elif style == "paired":
        listed = _paired([f"{o} {v}" for o, v in zip(options, known, strict=True)])
        steps = f"{listed} I look for {value} {LETTERS[options.index(key)]}."
    elif style == "judged":
        steps = f"I remember: {_judged(options, key, [f' ({v})' for v in known])}"
    else:
        listed = " ".join(
            f"{letter}) {o}: {v}." for letter, o, v in zip(LETTERS, options, known, strict=False)
        )
        steps = f"I remember: {listed}"
    return _answer("reasoning", question, options, key, steps, style)


def draw(r: random.Random, style: Style = "named") -> Problem:
    """One fact, asked in either direction, among three to five options.

    Other styles of the steps are those of earlier phases of pretraining (``tiny.corpus``).
    """
    name = r.choices(list(RELATIONS), [len(x.facts) + 3 for x in RELATIONS.values()])[0]
    relation = RELATIONS[name]
    if style != "named":
        return (_ask_value if r.random() < 0.6 else _ask_key)(r, relation, style)
    values = list(relation.facts.values())
    unique = any(values.count(v) == 1 for v in values)
    return (_ask_key if unique and r.random() < 0.3 else _ask_value)(r, relation, style)


def draw_hard(r: random.Random, style: Style = "named") -> Problem:
    """Two facts in a chain: the young of the animal that lives in a stable."""
    while True:
        first, second = r.choice(list(DESCRIBE)), r.choice(list(ASK_OF))
        a, b = RELATIONS[first], RELATIONS[second]
        keys = [
            k for k in a.facts if k in b.facts and list(a.facts.values()).count(a.facts[k]) == 1
        ]
        if first != second and keys:
            break
    assert {first, second} <= set(ANIMAL_RELATIONS)
    key = r.choice(keys)
    via, value = a.facts[key], b.facts[key]
    options = _options(r, value, sorted(set(b.facts.values()) - {value}))
    described = DESCRIBE[first].format(v=via, av=_noun(via))
    question = layout(r, r.choice(ASK_OF[second]).format(x=described), options)
    facts = f"{_lower(fill(a.state, key, via))}. {fill(b.state, key, value)}"
    steps = _value_steps(facts, options, value, style)
    return _answer("reasoning-hard", question, options, value, steps, style)


def final_letter(text: str) -> str | None:
    """The letter an answer settles on: after "answer is", else the last lone letter A to E.

    A small letter counts only where nothing but a mark follows: "the answer is a bird" names none.
    """
    said = re.findall(r"answer(?: is|:)\s*\(?([A-E]\b|[a-e](?=[).:]|\s*$))", text)
    if said:
        return said[-1].upper()
    lone = re.findall(r"\b([A-E])\b(?!')", text)
    return lone[-1] if lone else None


def score(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
    """1 where the answer settles on the gold letter, or on the text of that option."""
    return [float(_settled(p, a) == p.gold) for p, a in zip(problems, answers, strict=True)]


def _settled(problem: Problem, answer: str) -> str | None:
    """The letter that an answer names, or that of the option it names after "answer is"."""
    said = re.findall(r"answer(?: is|:)\s*(.+?)\s*[.!]?\s*$", answer, re.MULTILINE)
    if said:
        for letter, text in problem.hidden:
            if said[-1].lower() == text.lower():
                return letter
    return final_letter(answer)
