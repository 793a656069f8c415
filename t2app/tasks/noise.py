"""Questions as people type them: a word in front, a missing full stop, lower case, a typo."""

from __future__ import annotations

import random

_BEFORE = (
    "hi, ",
    "Hello! ",
    "Please help me: ",
    "Question: ",
    "Quick question: ",
    "Can you solve this? ",
    "homework: ",
    "please: ",
    "hey, ",
    "OK, ",
    "Here is one for you: ",
    "I have a question. ",
    "next: ",
    "Could you help? ",
    "Another one: ",
    "so, ",
    "Let's see... ",
)
_AFTER = (
    " Thanks!",
    " please",
    " Thank you.",
    " thx",
    " :)",
    "??",
    " Can you help?",
    " I need it fast.",
)


def typo(r: random.Random, text: str, words: int = 1) -> str:
    """Swap, drop or double a letter inside some longer words; numbers are left alone."""
    parts = text.split(" ")
    long = [i for i, w in enumerate(parts) if len(w) > 3 and w.isalpha()]
    for i in r.sample(long, min(words, len(long))):
        w, at = parts[i], r.randint(1, len(parts[i]) - 2)
        parts[i] = r.choice(
            (
                w[:at] + w[at + 1] + w[at] + w[at + 2 :],
                w[:at] + w[at + 1 :],
                w[:at] + w[at] + w[at:],
            )
        )
    return " ".join(parts)


def dress(r: random.Random, text: str, typos: float = 0.0) -> str:
    """Add chatter around a question; with probability ``typos`` misspell one to three words."""
    if r.random() < typos:
        text = typo(r, text, r.randint(1, 3))
    if r.random() < 0.12:
        text = text.lower() if "\n" not in text else text
    if r.random() < 0.1:
        text = r.choice(_BEFORE) + text
    if r.random() < 0.07:
        text = text + r.choice(_AFTER)
    return text
