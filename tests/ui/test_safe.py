from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2app.ui import safe

LINES = st.text(alphabet="ab1 \n`*_<>&[]()!#|~.-:/\\$\"'{}=@é😀", max_size=60)


def outside_code(markdown: str) -> str:
    """Markdown without its fenced blocks and without the tags that this program wrote."""
    prose = re.sub(r"^(`{3,}).*?^\1$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return prose.replace("<code>", "").replace("</code>", "")


@given(LINES)
def test_a_question_comes_back_as_it_was_typed(text: str) -> None:
    assert safe.unshield(safe.shield(text)) == text


@given(LINES)
def test_no_mark_of_a_question_touches_a_letter(text: str) -> None:
    shown = safe.shield(text)
    assert "`" not in shown
    assert not re.search(r"(?<!\ufeff)[*_<\[]", shown)
    assert not re.search(r"[*_>\]](?!\ufeff)", shown)


@given(LINES)
def test_an_answer_never_holds_html(text: str) -> None:
    assert "<" not in outside_code(safe.answer_markdown(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x1b[0m\x07\r\nc\r", "ab[0m\nc"),
        ("\tkept\n", "kept"),
        ("one\ttwo", "one\ttwo"),
        ("lone \ud83d surrogate", "lone  surrogate"),
        ("\ufefffrom a file", "from a file"),
        ("👩‍🚀 emoji stay 😀", "👩‍🚀 emoji stay 😀"),
        (" \n\t ", ""),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert safe.clean(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("**bold** and *light*", "**bold** and *light*"),
        ("2*3*4 = 24, 2**3", "2&#42;3&#42;4 = 24, 2&#42;&#42;3"),
        ("<b>x</b> & &lt;", "&lt;b>x&lt;/b> &amp; &amp;lt;"),
        ("![x](http://a.b/c.png)", "!&#91;x](http://a.b/c.png)"),
        ("use `a<b`", "use <code>a&#60;b</code>"),
        ("one ` tick", "one &#96; tick"),
        ("    four spaces", "   four spaces"),
        ("- a\n    - b", "- a\n    - b"),
        ("def f(x):\n    return x", "```python\ndef f(x):\n    return x\n```"),
        ("See:\ndef f(x):\n    y = 1\n\n    return x\nDone.",
         "See:\n\n```python\ndef f(x):\n    y = 1\n\n    return x\n```\n\nDone."),
        ("for two days:\nyes", "for two days:\nyes"),
        ("for x in xs:\n    print(x)", "```python\nfor x in xs:\n    print(x)\n```"),
        ("definitely", "definitely"),
        ("import this from there", "import this from there"),
        ("```py\n<b>\n```", "```py\n<b>\n```"),
        ("```\nstill being written", "```\nstill being written\n```"),
        ("~~~~js\n```\n~~~~", "````js\n```\n````"),
        ("```mermaid\ngraph\n```", "```text\ngraph\n```"),
        ("``` <img>\nx\n```", "```\nx\n```"),
    ],
)  # fmt: skip
def test_answer_markdown(text: str, expected: str) -> None:
    assert safe.answer_markdown(text) == expected
