r"""Which number a text gives as its result, exactly.

A marked result (``####``, ``\boxed{}``, "the answer is") goes before the last number of the text.
Dates, times, versions, addresses, ranges, ratios, lists and sums that were not worked out are no
numbers; 3/4 is 0.75. Values are fractions, so no digit of a long number is lost.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

TOLERANCE = Fraction(1, 10**6)
MOST_DIGITS, MOST_POWER = 300, 300
LONGEST = 400  # characters of a number with its unit

_CURRENCY = r"[$€£¥₹₽₩₺]|(?:US|A|C|HK|R|S)?\$|(?:USD|EUR|GBP|JPY|CNY|INR|CHF|Rs\.?|kr\.?)"
_SPACE = r"[^\S\r\n]"
# A minus counts where nothing stands directly before it, so 12-3 is 12 and 3.
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])[-−–+](?:[$€£¥₹])?)?"
    r"(?P<digits>(?:(?<!\w)\.)?\d(?:(?:[\d.,'’\u00a0\u202f\u2009]|\\,)*\d)?)"
    r"(?P<exponent>[eE][-+−]?\d{1,3}(?!\w))?"
)
_ENGLISH = re.compile(r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")  # 1,234.5 and 12,34,567
_GERMAN = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+|[1-9]\d{0,2}(?:\.\d{3}){2,}")  # 1.234,5
_SPACED = re.compile(r"[1-9]\d{0,2}(?:['’\u00a0\u202f\u2009]\d{3})+(?:[.,]\d+)?")  # 1'234,5
_PLAIN = re.compile(r"(?:\d+[.,])?\d+|\.\d+")
_IP = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")
# 1 234: only where nothing else is there but a unit.
_WHOLE = re.compile(
    rf"\s*(?:{_CURRENCY})?{_SPACE}?(?P<number>[-−+]?[1-9]\d{{0,2}}(?: \d{{3}})+(?:[.,]\d+)?)"
    r"(?:\s?[^\W\d]{1,12}|\s?[%€$£¥])?\s*\.?\s*"
)

_MONTHS = (
    "january february april june july august september october november december "
    "jan feb apr jun jul aug sep sept oct nov dec "
    "januar februar märz maerz juni juli oktober dezember jänner mai "
    "janvier février fevrier avril juin juillet août septembre octobre novembre décembre "
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre "
    "gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre "
    "janeiro fevereiro março maio junho julho setembro outubro novembro dezembro "
    "januari februari maart mei augustus "
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря"
).split()
# March, May and Mars are words of their own: only with a capital.
_MONTH = (
    rf"(?:(?i:{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\b\.?|(?:March|May|Mars|Mar)\b)"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th|er|\.|º|ª)?"
_OF = rf"{_SPACE}+(?:(?:de|del|of){_SPACE}+)?"
_NOT_NUMBERS = re.compile(
    "|".join(
        (
            r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",  # e-mail
            r"(?:https?|ftp)://\S+|www\.\S+",
            rf"(?<!\d){_DAY}{_OF}{_MONTH}(?:,?{_OF}\d{{2,4}})?",  # 7 September 1991
            rf"{_MONTH}{_SPACE}+{_DAY}(?!\d)(?:,?{_SPACE}+\d{{4}})?",  # September 7, 1991
            rf"{_MONTH}{_OF}\d{{4}}",
            rf"(?<![\d.])\d{{1,2}}\.{_SPACE}\d{{1,2}}\.(?:{_SPACE}?\d{{2,4}})?(?!\d)",  # 7. 9. 1991
            r"\d{1,4}\s?[年년](?:\s?\d{1,2}\s?[月월])(?:\s?\d{1,2}\s?[日号號일])?",
            r"\d{1,2}\s?[月월]\s?\d{1,2}\s?[日号號일]?",
            r"\d{1,2}\s?[时時点點시]\s?\d{1,2}\s?[分분]?",
            rf"(?<!\d)\d{{1,2}}(?:[:.]\d{{2}})*{_SPACE}?[aApP]\.?[mM]\b\.?",  # 5 p.m.
            r"(?<!\d)\d{1,2}[hH]\d{2}(?!\d)",  # 14h30
            r"\b[vV]\.?\d[\w.]*",  # v2
        )
    )
)

# What connects numbers to something that is not one number.
_RANGE = re.compile(
    rf"{_SPACE}*(?:[-–—−~〜～:]|\.\.\.?|…){_SPACE}*(?:{_CURRENCY})?|{_SPACE}+(?:to|bis|à|до)"
    rf"{_SPACE}+|[到至から~]+"
)
_SUM = re.compile(rf"{_SPACE}*(?:[+*×·⋅÷]|\\times|\\cdot){_SPACE}*|{_SPACE}+x{_SPACE}+|x")
_EITHER = re.compile(
    rf"{_SPACE}*,?{_SPACE}*(?:\b(?:and|or|und|oder|et|ou|y|o|e|и|или)\b|[&|和或])"
    rf"{_SPACE}*(?:\w{_SPACE}*=)?{_SPACE}*(?:{_CURRENCY})?{_SPACE}*"
)
_COMMA = re.compile(rf"{_SPACE}*[,;、]{_SPACE}*(?:\w{_SPACE}*=)?{_SPACE}*(?:{_CURRENCY})?")
_OVER = re.compile(rf"{_SPACE}?[/⁄]{_SPACE}?")
_POWER = re.compile(r"\^\{?|\*\*")
_TIMES = re.compile(rf"{_SPACE}?(?:[×x*·⋅]|\\times|\\cdot){_SPACE}?")

_WORDS_FOR = (
    "answer result solution antwort ergebnis lösung réponse résultat respuesta resultado risposta "
    "risultato resposta antwoord uitkomst svar odpowiedź wynik cevap ответ результат"
).split()
_IS = r"is|are|was|would be|should be|equals|ist|lautet|est|es|è|é|são|son|to|är|jest|="
# The answer (in km) to this question is …
_ABOUT = r"(?:\s*\([^)\n]{0,30}\))?(?:\s(?:to|for|of|in|zu|auf|de|a|di)\s[^.:=,\n]{1,40}?)?"
_MARK = re.compile(
    "|".join(
        (
            r"####+",
            r"\\f?boxed\s*(?=\{)",
            rf"(?i:\b(?:{'|'.join(_WORDS_FOR)})\b(?:{_ABOUT}\s(?:{_IS})\b(?!\s+not\b)|[*_`\s]*[:：=])"
            r"[:：]?)",
            r"(?:答案|答え|答|정답|คำตอบ)(?:[是为為はกคือ은는]+|\s*[:：])+",
        )
    )
)
_SENTENCE_END = re.compile(r"[.!?。！？](?=\s|$)|\n")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u04ff]")
_MONEY_BEFORE = re.compile(rf"(?:{_CURRENCY})\Z")
_TOLERANCE = re.compile(r"\s*(?:±|\+/-|\+-|\\pm)\s*")
_ALLOWED = re.compile(rf"{_TOLERANCE.pattern}[\d.,]*\d")
# What may follow the number of an answer that is a number: a unit of one or two words.
_UNIT = re.compile(
    r"\s?(?:[%‰€$£¥₹₽°]|°\s?[CF])?(?:\s?[^\W\d_]{1,12}(?:[/·*^]?[^\W\d_]{0,12}[²³23]?)){0,2}[.。)\]*]*"
)
_BEFORE = re.compile(rf"(?:[^\W\d_]\s?=\s?)?[^\w\s]{{0,2}}\s?(?:{_CURRENCY})?\s?")
_ARABIC = str.maketrans("٫٬", ".,")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


@dataclass(frozen=True)
class _Group:
    """Numbers that belong together, as in 3/4 or 2-9; ``value`` is None where they are none."""

    start: int
    end: int
    value: Fraction | None


def marked(text: str) -> str | None:
    """What follows the last mark of a result: in the braces, to the end of line or sentence."""
    found = list(_MARK.finditer(text))
    if not found:
        return None
    mark = found[-1]
    if "boxed" in mark[0]:
        return _braces(text[mark.end() :])
    if mark[0].startswith("#"):
        return text[mark.end() :].strip().split("\n")[0]
    rest = text[mark.end() :].lstrip(" \t*_`:：\n")
    return _SENTENCE_END.split(rest)[0]


@lru_cache(maxsize=20_000)
def number_in(text: str) -> Fraction | None:
    """The number that a text gives as its result; None without one.

    A comma before exactly three digits separates thousands, before others decimals; a point does
    the reverse only where it occurs twice or a comma follows. So ``1.234`` is below two.
    """
    text = _ALLOWED.sub("", _plain(text))
    result = marked(text)
    if result is not None and re.search(r"\d", result):
        return _first(result)
    return _last(text)


@lru_cache(maxsize=10_000)
def with_tolerance(gold: str) -> tuple[Fraction | None, Fraction]:
    """The number of a gold answer and how far off an answer may be: ``3.14 ± 0.01``."""
    text = _plain(gold)
    result = marked(text)
    parts = _TOLERANCE.split(text if result is None else result)
    if len(parts) == 2 and (allowed := _last(parts[1])) is not None:
        return _last(parts[0]), allowed
    return number_in(gold), Fraction(0)


def is_number(text: str) -> bool:
    """Whether a whole answer is a number, perhaps with a unit, or ends in a marked result.

    Digits that begin with 0, as in 007, are a code.
    """
    text = _ALLOWED.sub("", _plain(text))
    result = marked(text)
    if result is not None and re.search(r"\d", result):
        text = result
    text = text.strip()
    if len(text) > LONGEST:
        return False
    if whole := _WHOLE.fullmatch(text):
        return whole["number"] is not None
    blanked = _blanked(text)
    groups = _groups(blanked)
    if len(groups) != 1 or groups[0].value is None:
        return False
    group = groups[0]
    if re.match(r"[-−+]?0\d", blanked[group.start : group.end]):
        return False
    before, after = blanked[: group.start], blanked[group.end :]
    return bool(_BEFORE.fullmatch(before) and _UNIT.fullmatch(after))


def numeric(answer: str, gold: str) -> float:
    """1 where the answer gives the number of ``gold``.

    Whole numbers have to be the same; others may be apart by ``TOLERANCE`` of their size, and all
    by what the gold answer itself allows, as in ``3.14 ± 0.01``.
    """
    wanted, allowed = with_tolerance(gold)
    said = number_in(answer)
    if said is None or wanted is None:
        return 0.0
    size = min(abs(wanted), Fraction(1)) if wanted.denominator == 1 else abs(wanted)
    rounding = max(size * TOLERANCE, Fraction(1, 10**9))
    return float(abs(said - wanted) <= max(rounding, allowed * (1 + Fraction(1, 10**9))))


# -- reading ------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Without TeX, and with digits and marks of other scripts as ASCII has them."""
    if "\\" in text:
        text = _without_tex(text)
    if text.isascii():
        return text
    text = re.sub(r"(?<=[\d)])[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
    text = re.sub(r"(?<=\d)(?=[¼½¾⅐-⅞])", " ", text)  # 1½
    text = text.translate(_ARABIC)
    text = re.sub(r"[¼½¾⅐-⅞！-～]", lambda m: unicodedata.normalize("NFKC", m[0]), text)
    return re.sub(r"\d", lambda m: m[0] if m[0].isascii() else str(unicodedata.digit(m[0])), text)


def _without_tex(text: str) -> str:
    text = re.sub(r"\\(?:text|mathrm|mbox|textbf|mathbf)\s*\{([^{}]*)\}", r" \1", text)
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\[dt]?frac\s*(\d)\s*(\d)", r"\1/\2", text)
    text = re.sub(r"\\(?:left|right|displaystyle|quad|qquad)\b|\\[!;: ]", "", text)
    text = text.replace("{,}", ",").replace("\\$", "$").replace("\\%", "%")
    text = re.sub(r"\^\s*\{?\\circ\}?|\\degree", "°", text)
    text = re.sub(r"\^\s*\{([^{}]*)\}", r"^\1", text)
    text = text.replace("\\(", " ").replace("\\)", " ").replace("\\[", " ").replace("\\]", " ")
    return text.replace("\\times", "×").replace("\\cdot", "·").replace("\\pm", "±")


def _braces(text: str) -> str:
    """What is in the braces at the beginning, or the rest where they do not close."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "{") - (c == "}")
        if depth == 0:
            return text[1:i]
    return text[1:]


def _blanked(text: str) -> str:
    """With addresses, dates and times as marks of the same length."""
    return _NOT_NUMBERS.sub(lambda m: "\x00" * len(m[0]), text)


def _first(result: str) -> Fraction | None:
    """The number of a marked result: the first one, or that after the last ``=`` of a sum."""
    if whole := _WHOLE.fullmatch(result):
        return _spaced(whole)
    text = _blanked(result)
    groups = _groups(text)
    if not groups:
        return None
    worked_out = re.match(r"\s*=", text[groups[0].end :])
    if groups[0].value is not None and not worked_out:
        return groups[0].value
    at = text.rfind("=")
    after = next((group for group in groups if group.end > at), groups[0])
    return after.value if after.start > at else None


def _last(text: str) -> Fraction | None:
    if whole := _WHOLE.fullmatch(text):
        return _spaced(whole)
    groups = _groups(_blanked(text))
    return groups[-1].value if groups else None


def _spaced(match: re.Match[str]) -> Fraction | None:
    digits = match["number"].replace(" ", "").replace(",", ".").replace("−", "-")
    return Fraction(digits)


def _groups(text: str) -> list[_Group]:
    """The numbers of a text in order, those that are connected as one."""
    tokens = [m for m in _NUMBER.finditer(text) if not _is_part_of_a_name(text, m)]
    chains: list[list[re.Match[str]]] = []
    for token in tokens:
        between = text[chains[-1][-1].end() : token.start()] if chains else ""
        if chains and _connected(between, token):
            chains[-1].append(token)
        else:
            chains.append([token])
    groups = [_Group(c[0].start(), c[-1].end(), _value(text, c)) for c in chains]
    return _without_lists(text, groups)


def _connected(between: str, token: re.Match[str]) -> bool:
    if _RANGE.fullmatch(between) or _SUM.fullmatch(between) or _OVER.fullmatch(between):
        return True
    if _POWER.fullmatch(between) or _EITHER.fullmatch(between):
        return True
    return between == "" and token["sign"] is not None


def _is_part_of_a_name(text: str, match: re.Match[str]) -> bool:
    """Digits in a name such as B12, CO2, m^2 or 3f2a are not a number of their own."""
    start = match.start("digits") if match["sign"] else match.start()
    before, after = text[max(0, start - 4) : start], text[match.end() : match.end() + 16]
    if before and _LATIN.match(before[-1]) and not _MONEY_BEFORE.search(before):
        return True
    if re.search(r"[A-Za-z]\^\Z|[A-Za-z]_\Z", before):
        return True
    return bool(re.match(r"[A-Za-z]+\d", after)) and not re.match(r"[kcdm]?m[23]\b|x\d", after)


def _value(text: str, chain: list[re.Match[str]]) -> Fraction | None:
    """What connected numbers are worth: one number, a fraction, a power of ten; else None."""
    values = [_single(m) for m in chain]
    if None in values:
        return None
    joints = [text[a.end() : b.start()] for a, b in pairwise(chain)]
    if not joints:
        return values[0]
    if len(joints) == 1 and _OVER.fullmatch(joints[0]):
        return values[0] / values[1] if values[1] and not chain[1]["sign"] else None
    if _POWER.fullmatch(joints[-1]):
        power = _power(values[-2], values[-1])
        if len(joints) == 1 or power is None:
            return power
        if len(joints) == 2 and values[1] == 10 and _TIMES.fullmatch(joints[0]):
            return values[0] * power
    return None


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    small = exponent.denominator == 1 and abs(exponent) <= MOST_POWER and abs(base) <= 1000
    return base**exponent.numerator if small and (base or exponent > 0) else None


def _single(match: re.Match[str]) -> Fraction | None:
    digits = _digits(match["digits"].replace("\\,", ""))
    if digits is None or len(digits) > MOST_DIGITS:
        return None
    value = Fraction(digits + (match["exponent"] or "").replace("−", "-"))
    return -value if (match["sign"] or "+")[0] in "-−–" else value


def _digits(text: str) -> str | None:
    """A number as Python writes it; None for a version, an address, a date or a list."""
    if _IP.fullmatch(text) and all(int(part) < 256 for part in text.split(".")):
        return None
    if _ENGLISH.fullmatch(text):
        return text.replace(",", "")
    if _GERMAN.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    if _SPACED.fullmatch(text):
        return re.sub(r"['’\s]", "", text).replace(",", ".")
    return text.replace(",", ".") if _PLAIN.fullmatch(text) else None


def _without_lists(text: str, groups: list[_Group]) -> list[_Group]:
    """Three numbers with commas between, or two with nothing else, become one that is none.

    A fraction directly behind a whole number belongs to it: 1 3/4.
    """
    found: list[_Group] = []
    run = 1
    for group in groups:
        between = text[found[-1].end : group.start] if found else "x"
        listed = bool(_COMMA.fullmatch(between))
        run = run + 1 if listed else 1
        rest = text[: found[-1].start] + text[group.end :] if found else "x"
        alone = len(groups) == 2 and not re.search(r"\w", rest)
        if found and between == " " and _is_proper(text, found[-1], group):
            whole = found.pop()
            group = _Group(whole.start, group.end, whole.value + group.value)
        elif listed and (run > 2 or alone):
            group = _Group(found.pop().start, group.end, None)
        found.append(group)
    return found


def _is_proper(text: str, whole: _Group, part: _Group) -> bool:
    slashed = re.fullmatch(r"\d+\s?[/⁄]\s?\d+", text[part.start : part.end])
    counted = text[whole.start : whole.end].isdigit() and whole.value is not None
    return bool(slashed) and counted and part.value is not None and part.value < 1
