"""How likely a text is what somebody wrote, judged by its characters that are not ASCII.

Bytes can be read in many encodings, and most of them give letters. What gives them away are words
that no language has: letters of two alphabets in one, a capital inside, signs between letters,
letters that no one language has together, rare Chinese characters only.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import islice

import regex

# The letters besides a to z of languages in Latin script; loan words are in those of English.
_LATIN = tuple(
    map(
        frozenset,
        "éèêëïöüñçàâô àâæçéèêëîïôœùûüÿ äöüßé áéíóúñüºª ãõáéíóúâêôçàüºª àèéìíîòóùú "
        "éëïöüèêçáóíú åäöéüà æøåéòóèôäöü äöåšž áðéíóúýþæö ąćęłńóśźż "
        "áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž áéíóöőúüű ăâîşţșț "
        "čćđšž çğıöşüâîû ąčęėįšųūž āčēģīķļņšūž äöõüšž àçéèíïóòúü ĉĝĥĵŝŭ".split(),
    )
)
_VIETNAMESE = frozenset(
    "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ\u0300\u0301\u0303\u0309\u0323"
)
_CYRILLIC = tuple(
    map(
        frozenset,
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя абвгґдеєжзиіїйклмнопрстуфхцчшщьюя "
        "абвгдеёжзійклмнопрстуўфхцчшыьэюя абвгдежзийклмнопрстуфхцчшщъьюя "
        "абвгдђежзијклљмнњопрстћуфхцчџш абвгдѓежзѕијклљмнњопрстќуфхцчџш".split(),
    )
)
_VOWELS = frozenset("аеёиоуыэюяіїєўјълрαεηιουωάέήίόύώϊϋΐΰ")
_GREEK = frozenset("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ")
_HEBREW, _HEBREW_FINAL = frozenset("אבגדהוזחטיכךלמםנןסעפףצץקרשת"), frozenset("ךםןףץ")
_ARABIC = frozenset("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهويىپچژگکی")
_THAI_MARKS = frozenset("ะัาำิีึืฺุู็่้๊๋์ํ๎ๅ")  # they follow a letter
# Signs of text in Latin letters, of East Asian text, and those that may follow a letter.
_SIGNS = frozenset("“”‘’„‚«»‹›–—…•·°£€¥©®™§½¼¾×÷±²³µ¿¡\xa0´†‰№،؛؟־״׳")
_SIGNS_WIDE = frozenset(
    "、。，．：；？！「」『』（）《》〈〉【】“”‘’…—～·・％＋－＝〜\u3000０１２３４５６７８９"
)
_AFTER_LETTERS = frozenset("’”“»›…™®°²³·–—\xa0،؛؟־״׳")
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*")
_SIGN = regex.compile(r"[^\x00-\x7f\p{L}\p{M}]|(?<!\p{L}\p{M}*)\p{M}")
# Distinct words that are looked at; more say nothing new.
_MOST_WORDS = 4000


def words_of(text: str) -> list[str]:
    """The distinct words with letters that are not ASCII."""
    found = dict.fromkeys(word for word in _WORD.findall(text) if not word.isascii())
    return list(found)[:_MOST_WORDS]


def script_of(word: str) -> str:
    """The script of a word's first letter that is not ASCII, such as ``latin`` or ``han``."""
    return _character_script(next((c for c in word if not c.isascii()), "a"))


def strangeness(text: str, encoding: str) -> float:
    """The share of distinct words and signs, ASCII aside, that no language would have.

    ``encoding`` is the one that the text was read with. More than 0.1 says that it is another.
    """
    words = words_of(text)
    signs = _signs(text)
    if not words and not signs:
        return 0.0
    odd = sum(_odd_word(word, encoding) for word in words)
    odd += sum(_odd_sign(*sign) for sign in signs)
    return odd / (len(words) + len(signs)) + _mixture(words)


def _signs(text: str) -> set[tuple[str, str, str]]:
    """Distinct characters that are neither ASCII nor letters, with three on both sides."""
    return {
        (text[max(0, m.start() - 3) : m.start()], m[0], text[m.end() : m.end() + 3])
        for m in islice(_SIGN.finditer(text), _MOST_WORDS)
    }


def _odd_sign(before: str, sign: str, after: str) -> bool:
    last, following = before[-1:], after[:1]
    if sign in _SIGNS_WIDE and not (last + following).isascii():
        return False
    if sign not in _SIGNS:
        return True
    if last and not last.isascii() and not last.isalpha() and last not in "“”‘’«»„–—…\xa0":
        return True
    if sign in "×÷±¤" and following.isalpha():
        return True
    if sign in "¿¡":
        return last.isalnum() or not following.isalpha()
    if last.isalpha() and following.isalpha():
        dash = sign in "–—" and len(before) == len(after) == 3 and (before + after).isalpha()
        return not dash and sign not in "’·\xa0"
    return last.isalpha() and sign not in _AFTER_LETTERS


def _odd_word(word: str, standard: str) -> bool:
    scripts = {_character_script(c) for c in word}
    if scripts <= {"han", "kana", "latin"} and scripts & {"han", "kana"}:
        return _odd_east_asian(word, standard)
    if len(scripts) > 1:
        return True
    script = scripts.pop()
    if script in ("latin", "cyrillic", "greek") and not _cased(word):
        return True
    check = {
        "latin": _odd_latin,
        "cyrillic": _odd_cyrillic,
        "greek": _odd_greek,
        "hebrew": lambda w: not {*w} <= _HEBREW or bool(_HEBREW_FINAL & {*w[:-1]}),
        "arabic": lambda w: not {*w} <= _ARABIC or w[0] in "ةىؤئ",
        "thai": lambda w: w[0] in _THAI_MARKS,
        "hangul": lambda w: not all("가" <= c <= "힣" for c in w),
    }.get(script)
    return check is None or check(word)


def _mixture(words: list[str]) -> float:
    """What speaks against a text of many scripts: a file is in one, besides Latin letters."""
    scripts = [script_of(word) for word in words]
    families = ["cjk" if s in ("han", "kana") else s for s in scripts]
    if not families:
        return 0.0
    main = max(families.count(s) for s in {*families})
    return 1 - main / len(families)


def _cased(word: str) -> bool:
    return word in (word.lower(), word.upper(), word[:1].upper() + word[1:].lower())


def _odd_east_asian(word: str, standard: str) -> bool:
    """Whether Chinese characters are rare ones, or single ones stand between Latin letters."""
    wide = [c for c in word if not c.isascii()]
    if len(wide) == 1 and len(word) > 1:
        return True
    return not all(_frequent_han(c, standard) for c in wide if _character_script(c) == "han")


def _odd_latin(word: str) -> bool:
    lower = word.lower()
    foreign = [c for c in lower if not c.isascii()]
    if len(word) > 1 and len(foreign) == len(word):
        return True  # no plain letter at all
    if len(word) == 1 and lower not in "àéèóáíúåöøäêôæ":
        return True
    if len(word) >= 4 and not any(
        unicodedata.normalize("NFD", c)[0] in "aeiouyıæøœ" for c in lower
    ):
        return True
    return not any(set(foreign) <= alphabet for alphabet in (*_LATIN, _VIETNAMESE))


def _odd_cyrillic(word: str) -> bool:
    lower = word.lower()
    if len(word) == 1 and lower not in "авикосуяжбієй":
        return True
    if len(word) >= 4 and not _VOWELS & {*lower}:
        return True
    if lower[0] in "ьъ" or (lower[0] == "ы" and len(word) > 1):
        return True
    return not any({*lower} <= alphabet for alphabet in _CYRILLIC)


def _odd_greek(word: str) -> bool:
    lower = word.lower()
    if len(word) == 1 and lower not in "οηήωα":
        return True
    if len(word) >= 4 and not _VOWELS & {*lower}:
        return True
    return not {*lower} <= _GREEK or "ς" in word[:-1]


# Lead bytes of the frequent characters in each standard.
_FREQUENT = {
    "gb18030": (("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6)),
    "big5hkscs": (("big5", 0xA4, 0xC6),),
    "cp932": (("euc_jp", 0xB0, 0xCF),),
    "euc-jp": (("euc_jp", 0xB0, 0xCF),),
}


@cache
def _frequent_han(character: str, encoding: str) -> bool:
    """Whether a character is among the frequent ones of the standard of its encoding."""
    for standard, first, last in _FREQUENT.get(encoding, ()):
        try:
            lead = character.encode(standard)[0]
        except UnicodeEncodeError:
            continue
        if first <= lead <= last:
            return True
    return character in "々〇"


@cache
def _character_script(character: str) -> str:
    if character.isascii():
        return "latin"
    name = unicodedata.name(character, "")
    if 0x0E00 <= ord(character) < 0x0E80:
        return "thai"
    for start, script in (
        ("LATIN", "latin"),
        ("COMBINING", "latin"),
        ("CYRILLIC", "cyrillic"),
        ("GREEK", "greek"),
        ("HEBREW", "hebrew"),
        ("ARABIC", "arabic"),
        ("CJK UNIFIED", "han"),
        ("IDEOGRAPHIC ITERATION", "han"),
        ("HIRAGANA", "kana"),
        ("KATAKANA", "kana"),
        ("HANGUL", "hangul"),
    ):
        if name.startswith(start):
            return script
    if name.startswith(("FEMININE ORDINAL", "MASCULINE ORDINAL", "MICRO")):
        return "latin"
    return "other"
