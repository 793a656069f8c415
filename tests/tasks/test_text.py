"""Texts compared and counted, in scripts with and without spaces."""

from __future__ import annotations

import pytest

from t2app.tasks.text import contains, exact, length, overlap, words


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("Yes", "yes", 1),
        (" YES. ", "yes", 1),
        ("new   york!", "New York", 1),
        ("“Paris”.", "paris", 1),
        ("**Paris**", "Paris", 1),
        ("「東京」。", "東京", 1),
        ("हाँ।", "हाँ", 1),
        ("نعم؟", "نعم", 1),
        ("Straße", "STRASSE", 1),
        ("ｆｕｌｌ", "full", 1),
        ("...", "...", 1),
        ("C++", "C", 0),
        ("yes it is", "yes", 0),
        ("", "yes", 0),
        ("-5", "5", 0),
    ],
)
def test_exact(answer: str, gold: str, score: float) -> None:
    assert exact(answer, gold) == score


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("It is Paris, in France", "paris", 1),
        ("I like new  york!", "New York.", 1),
        ("concatenate", "cat", 0),
        ("York, New", "New York", 0),
        ("答えは東京です", "東京", 1),
        ("ผมชื่อสมชาย", "สมชาย", 1),
        ("ខ្ញុំរស់នៅភ្នំពេញ", "ភ្នំពេញ", 1),
        ("हिन्दीभाषा", "हिन्दी", 0),
        ("", "x", 0),
    ],
)
def test_contains(answer: str, gold: str, score: float) -> None:
    assert contains(answer, gold) == score


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("the cat sat", "The cat sat.", 1),
        ("the cat", "the cat sat down", 2 / 3),
        ("sat cat the", "the cat sat", 1 / 3),
        ("dog", "cat", 0),
        ("", "cat", 0),
        ("東京", "東京都", 0.8),
        ("ไทย", "ไทยแลนด์", 0.6),
    ],
)
def test_overlap(answer: str, gold: str, score: float) -> None:
    assert overlap(answer, gold) == pytest.approx(score)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("東京都", ["東", "京", "都"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("ပြည်", ["ပြ", "ည်"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("naïve café", ["naïve", "café"]),
        ("don't", ["don", "'", "t"]),
        ("12,5 kg", ["12", ",", "5", "kg"]),
    ],
)
def test_words(text: str, parts: list[str]) -> None:
    assert words(text) == parts


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("yes", 1, 1),
        ("Hello, world !", 2, 2),
        ("한국어 문장입니다", 2, 2),
        ("हिन्दी में", 2, 2),
        ("垃圾邮件", 2, 2),
        ("新疆维吾尔自治区", 3, 5),
        ("苹果在日常生活中很常见，很多人从小就认识它。", 9, 13),
        ("りんごは日常生活でよく見られるものです。", 8, 11),
        ("แอปเปิลเป็นผลไม้ที่พบได้ทั่วไปในชีวิตประจำวันและหลายคนรู้จักมันตั้งแต่เด็ก", 10, 18),
        ("ផ្លែប៉ោមគឺជាផ្លែឈើដែលគេស្គាល់ច្រើននៅក្នុងជីវិតប្រចាំថ្ងៃ", 6, 16),
        ("ໝາກແອັບເປີ້ນເປັນໝາກໄມ້ທີ່ຄົນຮູ້ຈັກຫຼາຍໃນຊີວິດປະຈຳວັນ", 6, 14),
        ("ပန်းသီးသည်နေ့စဉ်ဘဝတွင်အလွန်အသုံးများသောသစ်သီးတစ်မျိုးဖြစ်သည်။", 6, 16),
        ("Das Wort 東京 steht hier", 5, 5),
    ],
)
def test_length_in_words(text: str, least: float, most: float) -> None:
    assert least <= length(text) <= most
