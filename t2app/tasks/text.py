"""Texts compared: the same text, words in common, words that occur; and how long a text is.

Words work for every script. Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan put no spaces
between words: there each character, with the marks above and below it, counts as a word of its
own where texts are compared, and several of them make one word where lengths are.
"""

from __future__ import annotations

import unicodedata

import regex

MAX_WORDS = 2000

_END = " .,;:!?…。！？、؟،؛।॥។៕။၊ฯ"
_QUOTES = "\"'`“”‘’„«»‹›「」『』*"
_IDEOGRAPHS = r"\p{Han}\p{Hiragana}\p{Katakana}ー々〆"
_ALPHABETS = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
# Korean has spaces, but its endings stick to the words: syllables are compared, words counted.
_SINGLE = rf"[{_IDEOGRAPHS}{_ALPHABETS}\p{{Hangul}}--\p{{P}}--\p{{N}}]"
_WORD = regex.compile(rf"(?V1){_SINGLE}\p{{M}}*|[[\w\p{{M}}]--{_SINGLE}]+|[^\w\s]")
_UNSPACED = regex.compile(
    rf"(?V1)(?P<ideographs>[{_IDEOGRAPHS}])|(?P<letters>[{_ALPHABETS}--\p{{M}}--\p{{P}}])"
)
# How many characters a word has on average, marks not counted.
_PER_WORD = {"ideographs": 2, "letters": 4}


def normalise(text: str) -> str:
    """Without case, repeated white space, quotation marks around it and punctuation at its end."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    bare = text.rstrip(_END).strip(_QUOTES).rstrip(_END)
    return bare or text


def words(text: str) -> list[str]:
    """Words and single punctuation marks, without case."""
    return _WORD.findall(normalise(text))


def has_words(text: str) -> bool:
    """Whether ``words`` finds any."""
    return _WORD.search(normalise(text)) is not None


def length(text: str) -> float:
    """How many words a text has; an estimate where its script does not separate them."""
    if not _UNSPACED.search(text):
        return sum(1 for part in text.split() if part.strip(_END + _QUOTES))
    counts = {"ideographs": 0, "letters": 0}
    for match in _UNSPACED.finditer(text):
        counts[match.lastgroup or "letters"] += 1
    spaced = sum(1 for part in text.split() if _UNSPACED.sub("", part).strip(_END + _QUOTES))
    return spaced + sum(n / _PER_WORD[kind] for kind, n in counts.items())


def exact(answer: str, gold: str) -> float:
    """1 where the answer is ``gold``, but for case, white space and punctuation at the end."""
    return float(normalise(answer) == normalise(gold))


def contains(answer: str, gold: str) -> float:
    """1 where the words of the gold answer occur in the answer, side by side."""
    said, wanted = words(answer), words(gold)
    return float(
        any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))
    )


def overlap(answer: str, gold: str) -> float:
    """F1 of the longest common subsequence of words (ROUGE-L, Lin 2004), 0 to 1."""
    said, wanted = words(answer)[:MAX_WORDS], words(gold)[:MAX_WORDS]
    if not said or not wanted:
        return 0.0
    row = [0] * (len(wanted) + 1)
    for word in said:
        diagonal = 0
        for j, other in enumerate(wanted, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(said) + len(wanted))


def short(text: str, most: int = 40) -> str:
    """A text in quotation marks for a message, cut where it is long."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")
