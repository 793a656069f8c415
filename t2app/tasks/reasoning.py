"""Multiple choice about a table of facts (``reasoning``), or needing two (``reasoning-hard``).

The two correct styles: the letter at once, or the facts first and then the letter. The sister
chains two facts, as ARC-Challenge is to ARC-Easy.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from t2app.tasks.base import Problem, a_or_an
from t2app.tasks.facts import ANIMAL_RELATIONS, ASK_OF, DESCRIBE, RELATIONS, Relation

LETTERS = "ABCDE"
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


def _answer(task: str, question: str, options: Sequence[str], right: str, recalled: str) -> Problem:
    letter = LETTERS[options.index(right)]
    last = f"The answer is {letter}."
    return Problem(task, question, letter, last, f"{recalled} {last}")


def _judged(options: Sequence[str], right: str, facts: Sequence[str]) -> str:
    """One option after the other with what is known of it, up to the right one.

    The letter said last is then the answer: a small model that names the letter before it has
    looked at the options stays at chance (docs/LOG.md).
    """
    end = options.index(right) + 1
    return " ".join(
        f"{letter}) {option}{fact}: {'yes' if option == right else 'no'}."
        for letter, option, fact in zip(LETTERS[:end], options, facts, strict=False)
    )


def _ask_value(r: random.Random, relation: Relation, early: bool) -> Problem:
    key = r.choice(list(relation.facts))
    value = relation.facts[key]
    options = _options(r, value, sorted(set(relation.facts.values()) - {value}))
    question = layout(r, fill(r.choice(relation.ask_value), key, value), options)
    letter = LETTERS[options.index(value)]
    stated = fill(relation.state, key, value)
    chosen = f"That is {letter}) {value}." if early else _judged(options, value, [""] * 5)
    recalled = f"I remember: {stated[0].lower()}{stated[1:]}. {chosen}"
    return _answer("reasoning", question, options, value, recalled)


def _ask_key(r: random.Random, relation: Relation, early: bool) -> Problem:
    key = r.choice(list(relation.facts))
    value = relation.facts[key]
    options = _options(r, key, sorted(k for k, v in relation.facts.items() if v != value))
    question = layout(r, fill(r.choice(relation.ask_key), key, value), options)
    if early:
        listed = " ".join(
            f"{letter}) {o}: {relation.facts[o]}."
            for letter, o in zip(LETTERS, options, strict=False)
        )
    else:
        listed = _judged(options, key, [f" ({relation.facts[o]})" for o in options])
    return _answer("reasoning", question, options, key, f"I remember: {listed}")


def draw(r: random.Random, early: bool = False) -> Problem:
    """One fact, asked in either direction, among three to five options.

    ``early`` writes the steps as in the first phase of pretraining (``tiny.corpus``).
    """
    name = r.choices(list(RELATIONS), [len(x.facts) + 3 for x in RELATIONS.values()])[0]
    return (_ask_value if r.random() < 0.6 else _ask_key)(r, RELATIONS[name], early)


def draw_hard(r: random.Random, early: bool = False) -> Problem:
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
    letter = LETTERS[options.index(value)]
    facts = f"{fill(a.state, key, via)}. {fill(b.state, key, value)}."
    chosen = f"That is {letter}) {value}." if early else _judged(options, value, [""] * 5)
    recalled = f"I remember: {facts[0].lower()}{facts[1:]} {chosen}"
    return _answer("reasoning-hard", question, options, value, recalled)


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
    """1 where the letter is the gold letter."""
    return [float(final_letter(a) == p.gold) for p, a in zip(problems, answers, strict=True)]
