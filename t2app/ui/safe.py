"""Text from people and from the model, made safe and faithful to show.

The chat shows Markdown. A question must look as it was typed and come back unchanged when it is
edited; an answer may use Markdown but never HTML, images or diagrams of its own. Not covered:
LaTeX.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

# Zero-width, and white space to the Markdown parser: on both sides of a mark it takes the mark's
# meaning away, and it can be removed again without a trace.
SHIELD = "\ufeff"
# Nothing disarms a backtick, so another sign that looks the same stands for it: the Greek varia.
BACKTICK = "\u1fef"
_MARKS = re.compile(r"[\\*_~<>&\[\]()!#|:@./+=-]|^(?=[ \t])", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_OPENS = r"(def|class) \w+.*[:(]|@\w+|import \w[\w.]*(, \w[\w.]*)*( as \w+)?|from [\w.]+ import .*"
_CODE_OPENS = re.compile(_OPENS)
_CODE_LINE = re.compile(
    _OPENS + r"|(for|if|elif|while|with) .*:|(else|try|finally):|return\b.*|\w+ = .*|print\(.*"
)
_INLINE_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)([^\n]+?)(?<!`)\1(?!`)")


def clean(text: str) -> str:
    """Drop control characters, lone surrogates and byte order marks; keep line ends and tabs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = (c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
    return "".join(kept).replace(SHIELD, "").strip()


def shield(text: str) -> str:
    """``text`` that Markdown shows letter by letter; ``unshield`` gives it back."""
    return _MARKS.sub(lambda mark: f"{SHIELD}{mark.group()}{SHIELD}", text.replace("`", BACKTICK))


def unshield(text: str) -> str:
    """What the user typed, from what is shown."""
    return text.replace(SHIELD, "").replace(BACKTICK, "`")


def answer_markdown(text: str) -> str:
    """An answer as Markdown that holds no HTML; code is fenced, also where the model forgot to."""
    return "\n".join(_blocks(text)).strip("\n")


def _blocks(text: str) -> Iterator[str]:
    """Prose and code of ``text`` in turn."""
    lines = text.split("\n")
    start = 0
    while start < len(lines):
        opening = _FENCE.match(lines[start])
        if opening:
            end = _closing(lines, start + 1, opening[1])
            yield from _fenced(lines[start + 1 : end], opening[2])
            start = end + 1
        elif _opens_code(lines, start):
            end = _end_of_code(lines, start)
            yield from _fenced(lines[start:end], "python")
            start = end
        else:
            yield _prose(lines[start])
            start += 1


def _closing(lines: list[str], start: int, mark: str) -> int:
    """Where the fence closes; the end of the text if it is still being written."""
    for i in range(start, len(lines)):
        stripped = lines[i].strip()
        if stripped and set(stripped) == {mark[0]} and len(stripped) >= len(mark):
            return i
    return len(lines)


def _opens_code(lines: list[str], start: int) -> bool:
    """Prose has lines like "for two days:" too, so those need an indented line below."""
    if _CODE_OPENS.fullmatch(lines[start]):
        return True
    indented = start + 1 < len(lines) and lines[start + 1].startswith(("    ", "\t"))
    return indented and bool(_CODE_LINE.fullmatch(lines[start])) and lines[start].endswith(":")


def _end_of_code(lines: list[str], start: int) -> int:
    """Code goes on while lines are indented, blank or look like Python; it ends without blanks."""
    end = start + 1
    for i in range(start + 1, len(lines)):
        if lines[i].startswith((" ", "\t")) or _CODE_LINE.fullmatch(lines[i]):
            end = i + 1
        elif lines[i].strip():
            break
    return end


def _fenced(lines: list[str], language: str) -> Iterator[str]:
    """A fence of our own, longer than any in the code; diagrams are shown as text."""
    name = re.match(r"[\w+#-]*", language.strip())
    tag = name[0] if name and not name[0].lower().startswith("mermaid") else "text"
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    mark = "`" * max(3, longest + 1)
    yield f"\n{mark}{tag}"
    yield from lines
    yield f"{mark}\n"


def _prose(line: str) -> str:
    """One line outside code: Markdown stays, HTML, images and stars in sums are taken literally."""
    parts = []
    done = 0
    for code in _INLINE_CODE.finditer(line):
        parts += [_escape(line[done : code.start()]), _inline_code(code[2])]
        done = code.end()
    return "".join([*parts, _escape(line[done:])])


def _inline_code(code: str) -> str:
    """As HTML with every mark encoded, so that nothing in it can mean anything."""
    body = "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in code.strip())
    return f"<code>{body}</code>"


def _escape(text: str) -> str:
    if text.startswith("    ") and not re.match(r" +([-*+]|\d+[.)]) ", text):
        text = "   " + text.lstrip()  # four spaces would make it a block of code
    text = html.escape(text, quote=False).replace("&gt;", ">")
    text = text.replace("`", "&#96;").replace("![", "!&#91;")
    return re.sub(r"(?<=\w)\*+(?=\w)", lambda stars: "&#42;" * len(stars[0]), text)
