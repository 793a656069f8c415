"""Multiple choice about a table of facts (``reasoning``), or needing two (``reasoning-hard``).

The two correct styles: the letter at once, or the facts first and then the option. The sister
chains two facts, as ARC-Challenge is to ARC-Easy.
"""

from __future__ import annotations

import random
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


def _answer(task: str, question: str, options: Sequence[str], right: str, facts: str) -> Problem:
    """The quick style names a letter, the other recalls the facts and ends with the option's text.

    A model of the built-in one's size did not learn to find the letter of an option (docs/LOG.md).
    """
    letter = LETTERS[options.index(right)]
    steps = f"I remember: {facts}. The answer is {right}."
    hidden = tuple(zip(LETTERS, options, strict=False))
    return Problem(task, question, letter, f"Option {letter}.", steps, hidden)


def recalled(relation: Relation, key: str) -> str:
    """The fact about ``key``, to follow "I remember": small unless it begins with a proper name."""
    value = relation.facts[key]
    fact = fill(relation.state, key, value)
    proper = any(fact.startswith(name) for name in (key, value) if name[0].isupper())
    return fact if proper else fact[0].lower() + fact[1:]


def _ask_value(r: random.Random, relation: Relation) -> Problem:
    key = r.choice(list(relation.facts))
    value = relation.facts[key]
    options = _options(r, value, sorted(set(relation.facts.values()) - {value}))
    question = layout(r, fill(r.choice(relation.ask_value), key, value), options)
    return _answer("reasoning", question, options, value, recalled(relation, key))


def _unique(relation: Relation) -> list[str]:
    """Keys whose value has no other key: only these can be recalled from their value."""
    values = list(relation.facts.values())
    return [key for key, value in relation.facts.items() if values.count(value) == 1]


def _ask_key(r: random.Random, relation: Relation) -> Problem:
    key = r.choice(_unique(relation))
    value = relation.facts[key]
    options = _options(r, key, sorted(k for k, v in relation.facts.items() if v != value))
    question = layout(r, fill(r.choice(relation.ask_key), key, value), options)
    return _answer("reasoning", question, options, key, recalled(relation, key))


def draw(r: random.Random) -> Problem:
    """One fact, asked in either direction, among three to five options."""
    name = r.choices(list(RELATIONS), [len(x.facts) + 3 for x in RELATIONS.values()])[0]
    relation = RELATIONS[name]
    return (_ask_key if _unique(relation) and r.random() < 0.3 else _ask_value)(r, relation)


def draw_hard(r: random.Random) -> Problem:
    """Two facts in a chain: the young of the animal that lives in a stable."""
    while True:
        first, second = r.choice(list(DESCRIBE)), r.choice(list(ASK_OF))
        a, b = RELATIONS[first], RELATIONS[second]
        keys = [k for k in _unique(a) if k in b.facts]
        if first != second and keys:
            break
    assert {first, second} <= set(ANIMAL_RELATIONS)
    key = r.choice(keys)
    via, value = a.facts[key], b.facts[key]
    options = _options(r, value, sorted(set(b.facts.values()) - {value}))
    described = DESCRIBE[first].format(v=via, av=_noun(via))
    question = layout(r, r.choice(ASK_OF[second]).format(x=described), options)
    facts = f"{recalled(a, key)}. {fill(b.state, key, value)}"
    return _answer("reasoning-hard", question, options, value, facts)
