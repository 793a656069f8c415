"""Which number an answer gives: exactly, and none where it only looks like one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from t2app.tasks.numbers import is_number, marked, number_in, numeric

NUMBERS = {
    # text: its number
    "The answer is 72.": 72,
    "12 * 6 = 72": 72,
    "72 apples, not 71": 71,
    "1,234": 1234,
    "1.234.567": 1234567,
    "1.234,5": "1234.5",
    "1'234": 1234,
    "1\u202f234": 1234,
    "1 234": 1234,
    "1 234 567 km": 1234567,
    "12,34,567": 1234567,
    "2,5": "2.5",
    "1.234": "1.234",
    ".5": "0.5",
    "it is -3": -3,
    "it is −3": -3,
    "(-3)": -3,
    "$3.20": "3.2",
    "-$5": -5,
    "USD500": 500,
    "50 %": 50,
    "1e-3": "0.001",
    "3 × 10^5": 300000,
    "3×10⁵": 300000,
    "10^-3": "0.001",
    "3/4": "0.75",
    "¾": "0.75",
    "1 3/4": "1.75",
    "1½": "1.5",
    "80 / 100": "0.8",
    "12 m^2": 12,
    "12 m2": 12,
    "12cm³": 12,
    "5-year-old": 5,
    "5th": 5,
    "25°C": 25,
    "٥": 5,
    "٣٫٥": "3.5",
    "7 (of 9)": 9,
    "１２": 12,
    "共有12个苹果": 12,
    "12, 7 are left": 7,
    "He had 5. 3 more make 8": 8,
    "<<48/2=24>>24 clips": 24,
    "12 may be right": 12,
    "A) 5": 5,
    # a marked result goes before the last number
    "It is 2 and 3, so #### 5": 5,
    "####\n12": 12,
    "#### 1,234": 1234,
    "So \\boxed{5\\text{ cm}}, not 7": 5,
    "\\boxed{\\frac{3}{4}}": "0.75",
    "\\boxed{1{,}234}": 1234,
    "\\boxed{x = 5}, as 3 + 4 = 7": 5,
    "Final answer: $\\boxed{12}$": 12,
    "The answer is \\(\\dfrac{1}{2}\\).": "0.5",
    "The answer is 5 because 2+3=5 and not 7.": 5,
    "The answer is 3 + 4 = 7": 7,
    "The answer to the question is 42, I think. 17 more": 42,
    "The answer is 5. No, the answer is 6.": 6,
    "Answer: **5**": 5,
    "**Answer:** 5 apples in 3 bags": 5,
    "答案是5。": 5,
    "Die Antwort lautet 12,5 Euro, in 3 Tagen": "12.5",
    "La respuesta es 8, de 10": 8,
    "The answer (in km) is 8, after 2 h": 8,
    "An answer that I gave is wrong, 9": 9,
    "3 ± 0.1": 3,
    "the answer is not 5": 5,
    "The answer is as follows: none. 9": 9,
}
NONE = (
    "no number",
    "",
    "9" * 400,
    # lists and alternatives
    "1, 2, 3",
    "1,2,3",
    "12, 7",
    "1; 2; 3",
    "12 or 13",
    "x=3 or x=-3",
    "The answer is 1, 2 and 3",
    # ranges, ratios, sums
    "2-9",
    "2 – 9",
    "1–2",
    "$5-$10",
    "from 2 to 9",
    "3~5",
    "3到5",
    "3:4",
    "3 : 4",
    "12-1234",
    "5×4",
    "12 * 6",
    "5/0",
    "The result is 2 to 3",
    # dates and times
    "07.09.1991",
    "7. 9. 1991",
    "3/4/2021",
    "2021-03-04",
    "7 September",
    "September 7, 1991",
    "7 de septiembre de 1991",
    "May 5",
    "1991年9月7日",
    "12:30",
    "5 p.m.",
    "5 pm",
    "14h30",
    # versions, addresses, names
    "2.5.3",
    "v2",
    "version 2.0.1",
    "192.168.1.1",
    "1.100.200.250",
    "anna12@mail.com",
    "https://example.org/12",
    "555-1234",
    "CO2",
    "B12",
    "5'11\"",
    "52.52, 13.405",
    "978-3-16-148410-0",
    "12:30-14:00",
    "2nd of May",
    "3f2a9",
)


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_texts_with_a_number(text: str, number: int | str) -> None:
    assert number_in(text) == Fraction(number)


@pytest.mark.parametrize("text", NONE)
def test_texts_without_one(text: str) -> None:
    assert number_in(text) is None
    assert not is_number(text)


@pytest.mark.parametrize(
    "text",
    ["12", "12 years", "€ 12", "$5", "1,200 km", "12 %", "3 ± 0.1", "3/4", "x=3", "0", "-3.5",
     "12 km/h", "5 m²", "5 square metres", "1 234", "12。", "5个", "1e5", "２５", "25 °C",
     "Rs. 500",
     "(5)", "**5**", "1st", "\\frac{3}{4}", "\\boxed{7}", "First 2 + 2 = 4. #### 4",
     "So the answer is 5."],
)  # fmt: skip
def test_answers_that_are_numbers(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize(
    "text",
    ["about 12", "an answer that is long and is about 3", "The answer is about 3 apples", "007",
     "7 May", "Room 5", "12 Angry Men at work", "5 to 6 days", "12' 30", "+49 170 1234567",
     "5 12", "yes", "three"],
)  # fmt: skip
def test_answers_that_only_hold_one(text: str) -> None:
    assert not is_number(text)


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("151235911", "151235910", 0),
        ("151,235,910", "151235910", 1),
        ("151235910.5", "151235910", 0),
        ("9" * 30 + "1", "9" * 30 + "2", 0),
        ("1e30", "1" + "0" * 30, 1),
        ("72.0000001", "72", 1),
        ("72.01", "72", 0),
        ("0.3", "0.30000000000000004", 1),
        ("3.1416", "3.14159", 0),
        ("0.75", "3/4", 1),
        ("6/8", "3/4", 1),
        ("0.3333333", "1/3", 1),
        ("0.333", "1/3", 0),
        ("3.15", "3.14 ± 0.01", 1),
        ("3.16", "3.14 +/- 0.01", 0),
        ("1234", "1,234.00", 1),
        ("1234", "1.234", 0),
        ("-0", "0", 1),
        ("12-1234", "1234", 0),
        ("1, 2, 3", "3", 0),
        ("The answer is 5, of 12.", "He had 12, so #### 5", 1),
        ("The answer is a fish.", "1", 0),
        ("", "72", 0),
        ("72", "Paris", 0),
    ],
)
def test_numeric(answer: str, gold: str, score: float) -> None:
    assert numeric(answer, gold) == score


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("no mark", None),
        ("#### 5 apples\nmore", "5 apples"),
        ("\\boxed{a{b}c} x", "a{b}c"),
        ("\\boxed{never closed", "never closed"),
        ("The answer is 3.5 m. Then 4.", "3.5 m"),
        ("answer: B", "B"),
        ("#### 5, the answer is 6", "6"),
    ],
)
def test_marks(text: str, result: str | None) -> None:
    assert marked(text) == result
