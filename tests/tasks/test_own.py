"""Rewards that users write: what they give, and one clear line for what they must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2app.errors import T2Error
from t2app.tasks import own, sandbox
from t2app.tasks.base import Problem

pytestmark = pytest.mark.skipif(not sandbox.HAS_LIMITS, reason="needs the resource module")

LENIENT = '''
def reward(answer, row):
    """Half for the colour, all for the colour alone."""
    if row["colour"] not in answer:
        return 0
    return True if answer == row["colour"] else 0.5
'''


def problem(number: int = 7, colour: str = "red") -> Problem:
    row = (("question", "What?"), ("colour", colour))
    return Problem("t", "What?", colour, colour, colour, row=row, number=number)


def score(source: str, *answers: str) -> list[float]:
    rule = own.find("my.py", {"my.py": source})
    return rule.score([problem()] * len(answers), list(answers))


def test_a_function_of_the_answer_and_its_row() -> None:
    assert score(LENIENT, "red", "dark red", "blue", "") == [1, 0.5, 0, 0]
    rule = own.find("my.py", {"my.py": LENIENT})
    assert rule.score([problem(colour="blue")], ["blue"]) == [1]
    assert (rule.name, rule.own) == ("my.py", True)
    assert rule.sources == (("my.py", LENIENT),)
    assert rule.unreadable("") is None


def test_more_answers_than_one_process_judges() -> None:
    answers = ["red" if i % 3 else "blue" for i in range(own.AT_ONCE * 2 + 5)]
    assert score(LENIENT, *answers) == [float(a == "red") for a in answers]


def reward(body: str, head: str = "") -> str:
    return f"{head}\ndef reward(answer, row):\n    {body}\n"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (reward("return float(answer)"), "the function fails: ValueError: could not convert"),
        (reward("return 1 / 0"), "the function fails: ZeroDivisionError: division by zero"),
        (
            reward("return row['color']"),
            "KeyError: 'color'; the row has the columns 'question', 'colour'",
        ),
        (reward("while True: pass"), "the function does not end, or is too slow"),
        (reward("return 'x' * 10 ** 10"), "MemoryError|too much|memory"),
        (reward("print(0.5)"), "the function returns nothing, it prints '0.5'; it must return a"),
        (reward("return '0.5'"), "the function returns the text '0.5', and it must return a num"),
        (reward("return float('nan')"), "the function returns nan, and it must be from 0 to 1"),
        (reward("return -0.1"), "the function returns -0.1, and it must be from 0 to 1"),
        (reward("return 2"), "the function returns 2, and it must be from 0 to 1"),
        (reward("return [1]"), "the function returns a list, and it must return a number"),
        (reward("return None"), "the function returns nothing; it must return a number"),
        (reward("return 1", "import numpy"), "No module named 'numpy'; only standard modules"),
        (reward("return open('/etc/passwd').read()"), "the function fails: (Permission|OSError)"),
        (reward("import os; os._exit(0)"), "the function fails: the program ended by itself"),
        (reward("return 1", "x = 1 / 0"), "the function fails: ZeroDivisionError"),
    ],
)
def test_each_fault_is_one_clear_line_with_the_row(source: str, line: str) -> None:
    with pytest.raises(T2Error, match=rf"^my\.py, row 7, answer 'red': .*({line})") as caught:
        score(source, "red")
    assert "\n" not in str(caught.value)


def test_the_answer_that_loops_is_named() -> None:
    source = reward("while answer == 'b': pass\n    return 1")
    with pytest.raises(T2Error, match="row 7, answer 'b': the function does not end"):
        score(source, "a", "b", "c")


def test_with_one_answer_a_process_the_others_are_judged() -> None:
    source = reward("while answer == 'b': pass\n    print(answer)\n    return 1")
    found = own.given("my.py", source, [problem()] * 3, ["a", "b", "c"])
    assert [one.score for one in found] == [1, None, 1]
    assert [one.printed for one in found] == ["a\n", "", "c\n"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def reward(answer, row)\n    return 1", r"my\.py, line 1: this is not Python"),
        ("", r"my\.py defines no function reward: write def reward\(answer, row\):"),
        ("def score(a, r): return 1", "defines no function reward"),
        ("def reward(answer): return 1", "line 1: reward must take the answer and its row"),
        ("def reward(a, b, c): return 1", "must take the answer and its row"),
        ("def reward(a, b, *, c): return 1", "must take the answer and its row"),
        ("async def reward(a, b): return 1", "must take the answer and its row"),
    ],
)
def test_programs_that_are_none(source: str, line: str) -> None:
    with pytest.raises(T2Error, match=line):
        own.find("my.py", {"my.py": source})


@pytest.mark.parametrize("head", ["a, b", "a, b, c=1", "*both", "a, *rest", "a, b, **more"])
def test_ways_to_take_two(head: str) -> None:
    assert score(f"def reward({head}): return 1", "x") == [1]


def test_several_rewards_with_weights() -> None:
    sources = {"my.py": LENIENT}
    rule = own.find("exact=0.8, my.py=0.2", sources)
    assert rule.name == "exact=0.8,my.py=0.2"
    assert rule.score([problem()] * 3, ["red", "dark red", "blue"]) == pytest.approx([1, 0.1, 0])
    assert rule.uses("exact")
    assert rule.own
    assert "80% exact" in rule.summary
    again = own.find(rule.name, dict(rule.sources))
    assert again.score([problem()], ["dark red"]) == pytest.approx([0.1])


def test_tests_beside_words() -> None:
    rule = own.find("code=0.5,overlap=0.5")
    given = "def f(x):\n    return 2 * x"
    asked = Problem("t", "q", "f(1) -> 2", given, given)
    assert rule.score([asked], [given]) == [1]
    assert rule.score([asked], ["def f(x):\n    return x * 2"])[0] > 0.5
    assert rule.unreadable("f(x) -> 2") is not None


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("best", "unknown reward 'best': choose from auto, exact, numeric"),
        ("", "unknown reward ''"),
        ("exact=0.5,numeric=0.6", r"the weights add up to 1\.1, and they must to 1"),
        ("exact=0.5", r"the weights add up to 0\.5"),
        ("exact=half,numeric=0.5", "the weight 'half' is no number"),
        ("exact=0,numeric=1", "the weight 0 must be above 0"),
        ("exact=-1,numeric=2", "the weight -1 must be above 0"),
        ("exact=nan,numeric=1", "the weight nan must be above 0"),
        ("exact,numeric", "'exact' has no weight"),
        ("exact=0.5,=0.5", "'=0.5' has no weight"),
        ("exact=0.5,exact=0.5", "exact is named twice"),
        ("exact=0.5,other.py=0.5", r"unknown reward 'other\.py'"),
    ],
)
def test_rewards_that_cannot_be(spec: str, line: str) -> None:
    with pytest.raises(T2Error, match=line):
        own.find(spec)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "my own.py"
    path.write_text(LENIENT)
    rule = own.load(str(path))
    assert rule.name == "my own.py"
    assert rule.score([problem()], ["red"]) == [1]
    mixed = own.load(f"numeric=0.75,{path}=0.25")
    assert mixed.name == "numeric=0.75,my own.py=0.25"
    assert own.load("exact").name == "exact"


def test_files_that_cannot_be(tmp_path: Path) -> None:
    def load(name: str, data: bytes | None = None) -> None:
        if data is not None:
            (tmp_path / name).write_bytes(data)
        own.load(str(tmp_path / name))

    for name, data, line in (
        ("gone.py", None, "cannot read the reward .*gone.py: No such file"),
        ("bad.py", b"\xff\xfe\xfa", "is not UTF-8 text"),
        ("long.py", b"#" * 100_001, "more than 100,000 bytes"),
        ("my.txt", b"", "unknown reward"),
    ):
        with pytest.raises(T2Error, match=line):
            load(name, data)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(T2Error, match="cannot read the reward"):
        load("folder.py")
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "r.py").write_text(LENIENT)
    with pytest.raises(T2Error, match=r"names r\.py twice"):
        own.load(f"{tmp_path}/r.py=0.5,{tmp_path}/a/r.py=0.5")


def test_the_template_works() -> None:
    asked = Problem("t", "q", "Red", "Red", "Red", row=(("answer", "Red"),))
    rule = own.find("own.py", {"own.py": own.TEMPLATE})
    assert rule.score([asked] * 2, ["It is red.", "blue"]) == [1, 0]
