"""Files as people have them: what is read of each, or the question or refusal it ends in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from t2app.data import Report, Unclear, check, read_table
from t2app.errors import T2Error

N = range(14)


def lines(head: str, rows: Iterable[str]) -> bytes:
    """A header and a line for each row."""
    return "\n".join((head, *rows, "")).encode()


def objects(rows: Iterable[object]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def turns(*pairs: Sequence[str]) -> list[dict[str, str]]:
    """A conversation as most programs write it."""
    return [{"role": role, "content": content} for role, content in pairs]


def report(content: bytes, **how: object) -> Report:
    """The file, read and checked with everything guessed."""
    return check(read_table(content, "case", **how))


CASES = {
    "unknown Chinese header": (
        lines("询问,答复", (f"今天是第{i}天吗？,是的第{i}天" for i in N)),
        "今天是第0天吗？",
        "是的第0天",
    ),
    "a counter first": (
        lines("编号,问题,答案", (f"{i},颜色{i}是什么？,红{i}" for i in N)),
        "颜色0是什么？",
        "红0",
    ),
    "label first": (
        lines(
            "v1,v2",
            (f"{('dull', 'fun')[i % 2]},the film number {i} was long and I liked it" for i in N),
        ),
        "the film number 0 was long and I liked it",
        "dull",
    ),
    "rating first": (
        lines("rating,review", (f"{i % 5}.0,bought it {i} weeks ago and use it daily" for i in N)),
        "bought it 0 weeks ago and use it daily",
        "0.0",
    ),
    "quotation marks in TSV": (
        lines("text\tlabel", (f'"Wait, {i} said\t{("a", "b")[i % 2]}' for i in N)),
        '"Wait, 0 said',
        "a",
    ),
    "GBK": (
        lines("question,answer", (f"第{i}个城市的首都叫什么名字？,北京{i}" for i in N))
        .decode()
        .encode("gbk"),
        "第0个城市的首都叫什么名字？",
        "北京0",
    ),
    "cp1251": (
        lines("вопрос,ответ", (f"Какого цвета небо в день {i}?,Оно синее {i}" for i in N))
        .decode()
        .encode("cp1251"),
        "Какого цвета небо в день 0?",
        "Оно синее 0",
    ),
    "ShareGPT": (
        objects(
            {
                "id": f"n{i}",
                "conversations": [
                    {"from": "human", "value": f"What is {i}+2?"},
                    {"from": "gpt", "value": str(i + 2)},
                ],
            }
            for i in N
        ),
        "What is 0+2?",
        "2",
    ),
    "messages": (
        objects(
            {
                "messages": turns(
                    ("system", "Be kind."), ("user", f"Hi {i}"), ("assistant", f"Ho {i}")
                )
            }
            for i in N
        ),
        "Hi 0",
        "Ho 0",
    ),
    "contents in parts": (
        objects(
            {
                "contents": [
                    {"role": "user", "parts": [{"text": f"Say {i}"}]},
                    {"role": "model", "parts": [{"text": f"Said {i}"}]},
                ]
            }
            for i in N
        ),
        "Say 0",
        "Said 0",
    ),
    "cells inside an object": (
        objects(
            {"id": i, "translation": {"en": f"The word number {i}", "nl": f"Het woord {i}"}}
            for i in N
        ),
        "The word number 0",
        "Het woord 0",
    ),
    "prompt and completion": (
        objects(
            {
                "prompt": turns(("user", f"Say {i}")),
                "completion": turns(("assistant", f"Said {i}")),
            }
            for i in N
        ),
        "Say 0",
        "Said 0",
    ),
    "lists of answers": (
        objects({"question": f"Who won year {i}?", "answer": [f"Ann {i}", f"A. {i}"]} for i in N),
        "Who won year 0?",
        "Ann 0",
    ),
    "SQuAD": (
        objects(
            {
                "id": str(i),
                "context": f"The mill {i} is in Ham {i}.",
                "question": f"Where is mill {i}?",
                "answers": {"text": [f"in Ham {i}"], "answer_start": [5]},
            }
            for i in N
        ),
        "Where is mill 0?\nThe mill 0 is in Ham 0.",
        "in Ham 0",
    ),
    "ARC": (
        objects(
            {
                "question": f"Which is number {i}?",
                "choices": {"text": ["one", "two"], "label": ["A", "B"]},
                "answerKey": "AB"[i % 2],
            }
            for i in N
        ),
        "Which is number 0?\nA) one\nB) two",
        "A",
    ),
    "by column": (
        json.dumps(
            {"question": [f"Add 1 to {i}" for i in N], "answer": [i + 1 for i in N]}
        ).encode(),
        "Add 1 to 0",
        "1",
    ),
    "rows under a key": (
        json.dumps({"data": [{"question": f"Q {i}?", "answer": f"A{i}"} for i in N]}).encode(),
        "Q 0?",
        "A0",
    ),
    "marks at the beginning of lines": (
        "\n".join(f"Q: What is {i}+3?\nA: {i + 3}\n" for i in N).encode(),
        "What is 0+3?",
        "3",
    ),
    "MBPP": (
        objects(
            {
                "text": "Write a function that triples a number.",
                "code": f"def triple_{i}(n):\n    return 3 * n",
                "test_list": [f"assert triple_{i}(2) == 6"],
            }
            for i in N
        ),
        "Write a function that triples a number.\nThe function is named triple_0.",
        "def triple_0(n):\n    return 3 * n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_read(case: str) -> None:
    content, question, answer = CASES[case]
    found = report(content)
    examples = {e.number: e for rows in found.splits.values() for e in rows}
    first = examples[min(examples)]
    assert (first.question, first.answer) == (question, answer)
    assert (found.used, found.problem) == (len(N), None), found.rejected[:2]


@pytest.mark.parametrize(
    "system",
    [
        {"system": "Be kind."},
        {"system": [{"text": "Be kind."}]},
        {"systemInstruction": {"role": "system", "parts": [{"text": "Be kind."}]}},
    ],
)
def test_a_system_prompt_beside_a_conversation(system: dict[str, object]) -> None:
    found = report(
        objects(
            {**system, "messages": turns(("user", f"Hi {i}"), ("assistant", f"Ho {i}"))} for i in N
        )
    )
    assert {e.system for rows in found.splits.values() for e in rows} == {"Be kind."}


def test_any_answer_of_a_list_is_right() -> None:
    found = report(CASES["lists of answers"][0])
    assert all(len(e.also) == 1 for rows in found.splits.values() for e in rows)
    assert any("any of them is right" in note for note in found.notes)


def test_cells_that_stand_for_no_value_are_left_out() -> None:
    cells = [f"Where is {i}?,{'nan' if i % 7 == 0 else f'Ham {i}'}" for i in N]
    found = report(lines("question,answer", cells))
    assert [row.number for row in found.rejected] == [2, 9]
    assert all(row.reason.startswith("missing value: 'nan'") for row in found.rejected)


def test_a_guess_that_loses_most_rows_is_asked_about() -> None:
    cells = [f"Where is {i}?,{'nan' if i % 3 else f'Ham {i}'}" for i in range(60)]
    table = read_table(lines("question,answer", cells), "case")
    found = check(table)
    assert found.doubt is not None
    assert found.doubt.about == "rows"
    assert "--columns question=question,answer=answer" in (found.problem or "")


ASKED = {
    "three texts": lines(
        "foo,bar,baz",
        (f"thing number {i} here,other number {i} there,some number {i} more" for i in N),
    ),
    "first row names or not": b"hello,hi\nbye,see you\n",
    "no encoding reads well": b"question,answer\ncaf\xe9 \x9d,b\n",
}


@pytest.mark.parametrize("case", ASKED)
def test_what_is_asked_about(case: str) -> None:
    with pytest.raises(Unclear) as doubt:
        report(ASKED[case])
    assert "--" in str(doubt.value)
    assert "--" not in doubt.value.on_page()


REFUSED = {
    "preferences": objects(
        {"prompt": f"Say {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in N
    ),
    "long conversations": objects(
        {
            "messages": turns(
                ("user", f"a{i}"), ("assistant", "b"), ("user", "c"), ("assistant", "d")
            )
        }
        for i in N
    ),
    "tool calls": objects(
        {
            "messages": [
                {"role": "user", "content": f"Weather in {i}?"},
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "w"}}]},
                {"role": "tool", "content": "rain"},
                {"role": "assistant", "content": "Rain."},
            ]
        }
        for i in N
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_by_name(case: str) -> None:
    with pytest.raises(T2Error) as error:
        report(REFUSED[case])
    assert "\n" not in str(error.value)
