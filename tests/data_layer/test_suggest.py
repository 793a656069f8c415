"""Which reward fits, and how it is said."""

from __future__ import annotations

import pytest

from t2app.data.suggest import describe, suggest


@pytest.mark.parametrize(
    ("golds", "reward", "objective", "words"),
    [
        (["1", "20", "-3.5"] * 5, "numeric", "rl", "numbers from -3.5 to 20"),
        (["$5", "1,200 km", "12 %", "3 ± 0.1"], "numeric", "rl", "or else its last number"),
        (["First 2 + 2 = 4. #### 4", "So the answer is 5."], "numeric", "rl", "from 4 to 5"),
        (["A", "B", "c", "(D)"], "choice", "rl", "right letter"),
        (["spam", "ham"] * 10, "exact", "rl", "2 different texts that repeat"),
        (["Hello there, what can I do for you today?"] * 8, "exact", "rl", "The answers are short"),
        (["Paris", "Rome", "New York"], "exact", "rl", "short (e.g. 'Rome')"),
        ([f"A long answer of many words number {'x' * n} here" for n in range(9)], "overlap", "sft",
         "about 9 words"),
    ],
)  # fmt: skip
def test_answers(golds: list[str], reward: str, objective: str, words: str) -> None:
    found = suggest(golds)
    assert (found.reward, found.objective) == (reward, objective)
    assert words in found.why
    assert found.why.endswith(".")


def test_numbers_that_stand_for_classes_are_judged_as_labels() -> None:
    stars = suggest([str(1 + n % 5) for n in range(40)], ["Good value", "Poor"] * 20)
    assert (stars.reward, stars.objective) == ("exact", "rl")
    assert "5 whole numbers that repeat (1, 2, 3, 4, 5), as labels do" in stars.why
    sums = [f"What is {n % 5} + {n % 3}?" for n in range(40)]
    assert suggest([str(n % 5 + n % 3) for n in range(40)], sums).reward == "numeric"


LOOK_LIKE_NUMBERS = {
    "dates": [f"{d:02d}.0{m}.1991" for d in range(1, 8) for m in range(1, 5)],
    "days": [f"{d} {m} 1991" for d in range(1, 8) for m in ("May", "March", "juin", "Juli")],
    "iso dates": [f"2021-03-{d:02d}" for d in range(1, 28)],
    "versions": [f"{a}.{b}.{c}" for a in range(3) for b in range(3) for c in range(3)],
    "ip addresses": [f"192.168.1.{n}" for n in range(20)],
    "e-mail addresses": [f"anna{n}@mail.com" for n in range(20)],
    "times": [f"{h}:{m:02d}" for h in range(1, 9) for m in (0, 15, 30)],
    "hours": [f"{h} {x}" for h in range(1, 12) for x in ("am", "p.m.")],
    "ranges": [f"{n}-{n + 7}" for n in range(20)],
    "ranges in words": [f"{n} to {n + 7} days" for n in range(20)],
    "ratios": [f"{n}:1" for n in range(2, 20)],
    "lists": [f"{n}, {n + 1}, {n + 2}" for n in range(20)],
    "pairs": [f"{n}; {n + 1}" for n in range(20)],
    "alternatives": [f"{n} or {n + 3}" for n in range(20)],
    "codes": [f"{n:05d}" for n in range(20)],
    "phone numbers": [f"+49 170 12345{n}" for n in range(10, 30)],
    "one number, many things": [f"5 {x}" for x in ("km", "miles", "days", "cups", "feet", "pens")],
}


@pytest.mark.parametrize("kind", LOOK_LIKE_NUMBERS)
def test_what_only_looks_like_numbers_is_compared_as_text(kind: str) -> None:
    found = suggest(LOOK_LIKE_NUMBERS[kind])
    assert (found.reward, found.objective) == ("exact", "rl"), found.why


NUMBERS = {
    "whole": [str(n) for n in range(20)],
    "long": [str(151235910 + n) for n in range(20)],
    "money": [f"${n},000.50" for n in range(1, 20)],
    "things": [f"{n} {x}" for n in range(1, 8) for x in ("apples", "pens", "cups")],
    "fractions": [f"{n}/7" for n in range(1, 20)],
    "tex": [f"\\boxed{{{n}}}" for n in range(20)],
    "worked out": [f"2 + {n} = {n + 2}, of 9.\n#### {n + 2}" for n in range(20)],
    "said": [f"First 3 and 4. The answer is {n} apples." for n in range(20)],
    "in another script": [f"{n}个" for n in range(20)],
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_many_kinds(kind: str) -> None:
    assert suggest(NUMBERS[kind]).reward == "numeric"


PARAGRAPHS = {
    "chinese": "苹果在日常生活中很常见，很多人从小就认识它。想进一步了解，可以先观察它的样子。",
    "japanese": "りんごは日常生活でよく見られるもので、子どものころから知っている人も多いです。",
    "thai": "แอปเปิลเป็นผลไม้ที่พบได้ทั่วไปในชีวิตประจำวันและหลายคนรู้จักมันตั้งแต่เด็ก",
    "khmer": "ផ្លែប៉ោមគឺជាផ្លែឈើដែលគេស្គាល់ច្រើននៅក្នុងជីវិតប្រចាំថ្ងៃ",
    "lao": "ໝາກແອັບເປີ້ນເປັນໝາກໄມ້ທີ່ຄົນຮູ້ຈັກຫຼາຍໃນຊີວິດປະຈຳວັນ",
    "burmese": "ပန်းသီးသည်နေ့စဉ်ဘဝတွင်အလွန်အသုံးများသောသစ်သီးတစ်မျိုးဖြစ်သည်။",
    "korean": "사과는 일상생활에서 흔히 볼 수 있으며 많은 사람들이 어릴 때부터 알고 있습니다.",
    "hindi": "सेब रोज़मर्रा की ज़िंदगी में बहुत आम है और बहुत लोग इसे बचपन से जानते हैं।",
    "arabic": "التفاح شائع جدا في الحياة اليومية ويعرفه كثير من الناس منذ الصغر.",
    "english": "Apples are common in daily life, and many people know them from childhood on.",
}


@pytest.mark.parametrize("language", PARAGRAPHS)
def test_paragraphs_are_free_text_in_every_script(language: str) -> None:
    golds = [f"{PARAGRAPHS[language]}{n}" for n in range(16)]
    found = suggest(golds)
    assert (found.reward, found.objective) == ("overlap", "sft"), found.why


@pytest.mark.parametrize(
    "golds",
    [["垃圾邮件", "正常"] * 10, ["はい", "いいえ"] * 9, ["ใช่", "ไม่ใช่"] * 8,
     ["新疆维吾尔自治区", "北京市", "上海市"], ["กรุงเทพมหานคร", "เชียงใหม่", "ภูเก็ต"]],
)  # fmt: skip
def test_short_answers_and_labels_in_scripts_without_spaces(golds: list[str]) -> None:
    assert suggest(golds).reward == "exact"


@pytest.mark.parametrize("rows", [400, 1000])
def test_too_many_labels_are_free_answers_and_said_to_be(rows: int) -> None:
    found = suggest([f"intent {n % 200}" for n in range(rows)])
    assert found.reward == "exact"
    assert found.why.startswith(
        "The answers are 200 different labels, more than the 100 of a closed set: they are treated "
        "as free answers."
    )


def test_short_answers_that_hardly_repeat_are_not_called_labels() -> None:
    assert "labels" not in suggest([f"town {n}" for n in range(300)] + ["town 1"] * 9).why


def test_what_has_digits_only_is_said_to_be_no_number() -> None:
    why = suggest(LOOK_LIKE_NUMBERS["dates"]).why
    assert why.startswith("The answers have digits but are no numbers (e.g. '01.01.1991').")


def test_columns_decide_first() -> None:
    assert suggest(["1", "2"], options=True).reward == "choice"
    assert suggest(["1", "2"], tests=True).reward == "code"
    assert suggest([]).reward == "exact"


def test_a_few_odd_answers_do_not_matter() -> None:
    assert suggest(["1"] * 19 + ["unknown"]).reward == "numeric"
    assert suggest(["1"] * 3 + ["unknown"]).reward == "exact"


def test_descriptions() -> None:
    questions = ["What is the capital of France?", "And the capital of Italy?", "Name a river."]
    assert describe(questions, "exact") == "questions with a short answer: capital"
    assert describe(["Why?"], "numeric") == "questions answered by a number"
