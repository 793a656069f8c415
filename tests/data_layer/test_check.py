"""Every reason to reject a row, the split, and files with hardly any rows."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2app.data.check import MIN_ROWS, Report, check, safe_cell, split
from t2app.data.columns import guess
from t2app.data.table import Table, read_table, table_from_cells
from t2app.errors import T2Error
from t2app.tasks import own
from t2app.tasks.rewards import REWARDS


def table(*rows: Sequence[str], columns: Sequence[str] = ("question", "answer")) -> Table:
    return table_from_cells(columns, rows, "f.csv")


def sums(n: int) -> list[tuple[str, str]]:
    return [(f"{i} + 1", str(i + 1)) for i in range(n)]


def reasons(report: Report) -> dict[int, str]:
    return {row.number: row.reason for row in report.rejected}


def test_rows_that_can_be_used() -> None:
    report = check(table(*sums(20)))
    assert (report.reward, report.objective, report.problem) == ("numeric", "rl", None)
    assert report.counts() == {"train": 12, "validation": 3, "test": 5, "rejected": 0}
    assert report.used == 20
    assert report.summary() == (
        "20 of 20 rows can be used: 12 to train on, 3 to choose the best step by, "
        "5 to measure before and after."
    )


def test_rows_that_cannot() -> None:
    rows = [*sums(12), ("", "1"), ("x", ""), ("0 + 1", "1.0"), ("5 + 1", "7"), ("two", "three")]
    report = check(table(*rows, ("dam\0aged", "1")))
    assert reasons(report) == {
        6: "conflicting answers: row 16 answers the same question with '7'",
        13: "empty cell: nothing in 'question'",
        14: "empty cell: nothing in 'answer'",
        15: "duplicate: row 1 asks the same question",
        16: "conflicting answers: row 6 answers the same question with '6'",
        17: "unreadable answer: no number in 'three'",
        18: "damaged text: a character in 'question' cannot be read; is utf-8 the right encoding?",
    }
    assert report.rejected[-1].cells == ("dam\ufffdaged", "1")
    assert report.summary().endswith(
        "Rejected: 2 conflicting answers, 2 empty cells, 1 duplicate, 1 unreadable answer, "
        "1 damaged text."
    )


def test_three_answers_to_one_question() -> None:
    report = check(table(*sums(12), ("q", "1"), ("q", "1"), ("q", "2")))
    assert reasons(report) == {
        13: "conflicting answers: row 15 answers the same question with '2'",
        14: "conflicting answers: row 15 answers the same question with '2'",
        15: "conflicting answers: row 13 answers the same question with '1'",
    }


def test_free_text_may_be_answered_in_several_ways() -> None:
    long = "an answer that has quite a few words, so it is free text"
    rows = [(f"tell me about {n}", f"{long} about {n}") for n in range(12)]
    report = check(table(*rows, ("tell me  about 3", f"{long} too")))
    assert (report.reward, report.objective) == ("overlap", "sft")
    assert reasons(report) == {13: "duplicate: row 4 asks the same question"}


def test_too_long_in_tokens() -> None:
    def count(messages: Sequence[dict[str, str]]) -> int:
        return sum(len(m["content"]) for m in messages)

    rows = [*sums(12), ("x" * 50, "1"), ("y", "1" * 50)]
    report = check(table(*rows), count_tokens=count, max_tokens=40)
    assert reasons(report) == {
        13: "too long: 51 tokens with its answer, at most 40 fit the model",
        14: "too long: 51 tokens with its answer, at most 40 fit the model",
    }
    assert report.answer_tokens == 2


def test_multiple_choice() -> None:
    rows = [(f"Which is {n}?", "cat", "dog", "", "B") for n in range(12)]
    rows += [("Which is late?", "cat", "dog", "", "cow"), ("Which?", "cat", "", "", "A")]
    report = check(table(*rows, columns=("question", "A", "B", "C", "answer")))
    assert report.reward == "choice"
    assert reasons(report) == {
        13: "unreadable answer: 'cow' is none of the options, nor the letter of one",
        14: "unreadable answer: fewer than two options",
    }
    example = report.splits["train"][0]
    assert example.question.endswith("?\nA) cat\nB) dog")
    assert (example.gold, example.options) == ("B", (("A", "cat"), ("B", "dog")))


def test_options_in_one_column() -> None:
    rows = [(f"Which is {n}?", '["cat", "dog"]', str(n % 2)) for n in range(12)]
    report = check(table(*rows, columns=("question", "choices", "answer")))
    golds = {e.number: e.gold for rows in report.splits.values() for e in rows}
    assert golds == {n + 1: "AB"[n % 2] for n in range(12)}


def test_code_with_tests() -> None:
    rows = [(f"Write f that adds {n}", f"f(1) -> {n + 1}") for n in range(12)]
    rows += [("Write f", "it should work"), ("Write f too", "")]
    report = check(table(*rows, columns=("prompt", "tests")))
    assert (report.reward, report.columns.answer) == ("code", None)
    assert reasons(report) == {
        13: "unreadable tests: 'it should work' is not a test: write name(arguments) -> value, "
        "all literals",
        14: "empty cell: nothing in 'tests'",
    }


def test_context_and_system() -> None:
    rows = [(f"add {n}", "to 1", str(n + 1), "Be brief.") for n in range(12)]
    columns = ("instruction", "input", "output", "system")
    report = check(table(*rows, columns=columns))
    assert report.splits["test"][0].messages() == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": report.splits["test"][0].question},
    ]
    assert report.splits["test"][0].question.endswith("\nto 1")


def labelled(*labels: str, each: int = 12) -> Table:
    """Rows of a question and a label, ``each`` of every label."""
    rows = [(f"Message {n} about {label}", label) for label in labels for n in range(each)]
    return table(*rows)


def test_labels_that_differ_in_case_or_blanks_are_merged_and_said() -> None:
    report = check(labelled("Spam", "ham", "spam", "SPAM.", each=6))
    golds = {(e.gold, e.answer) for rows in report.splits.values() for e in rows}
    assert golds == {("SPAM.", "SPAM."), ("ham", "ham")}
    assert "The answers are 2 different texts that repeat (most often 'SPAM.')" in report.why
    assert report.why.count("are read as one: 'Spam', 'spam' as 'SPAM.'.") == 1


@pytest.mark.parametrize("labels", [("0", "1"), ("1", "2", "3", "4", "5")])
def test_columns_of_few_whole_numbers_are_labels(labels: tuple[str, ...]) -> None:
    rows = [(f"Message no. {label}{n} of many", label) for label in labels for n in range(8)]
    report = check(table(*rows))
    assert report.reward == "exact"
    assert f"{len(labels)} whole numbers that repeat ({', '.join(labels)})" in report.why
    assert "that is the bar to beat" in report.why
    for rows in report.splits.values():
        counts = [sum(e.gold == label for e in rows) for label in labels]
        assert max(counts) - min(counts) <= 1, "every side has its share of each"


def test_sums_whose_answers_repeat_are_numbers() -> None:
    rows = [(f"{n}: what is {n % 4} plus {n % 3}?", str(n % 4 + n % 3)) for n in range(60)]
    assert check(table(*rows)).reward == "numeric"


def test_patterns_and_own_functions_keep_the_spelling() -> None:
    rows = labelled("^A$", "^a$", each=20)
    golds = {e.gold for part in check(rows, reward="regex").splits.values() for e in part}
    assert golds == {"^A$", "^a$"}


@pytest.mark.parametrize("reward", ["auto", "exact", "overlap", "contains"])
def test_one_label_only_is_refused(reward: str) -> None:
    report = check(labelled("spam", each=40), reward=reward)
    assert report.problem == (
        "f.csv: every row has the same answer, 'spam': there is nothing to tell apart; add rows "
        "with other answers"
    )
    report = check(
        table(*((f"q{n}", "7.0" if n % 2 else "7") for n in range(30))), reward="numeric"
    )
    assert "every row has the same answer" in str(report.problem)


def test_two_hundred_labels_are_free_answers_and_said_to_be() -> None:
    report = check(labelled(*(f"intent {n}" for n in range(200)), each=5))
    assert report.problem is None
    assert "200 different labels, more than the 100 of a closed set" in report.why
    assert report.reward == "exact"


def test_every_side_has_rows_of_a_rare_label() -> None:
    rows = [(f"Payment {n}", "fraud" if n % 12 == 0 else "fine") for n in range(120)]
    for seed in range(4):
        for side in check(table(*rows), seed=seed).splits.values():
            assert {e.gold for e in side} == {"fine", "fraud"}
    assert "Always answering 'fine' gets 92%: that is the bar to beat." in check(table(*rows)).why


def test_a_chosen_reward_that_will_not_do_is_said() -> None:
    long = [(f"q{n}", f"{n} is what it is because of all that {n} and the others did to it, once")
            for n in range(20)]  # fmt: skip
    report = check(table(*long), reward="exact")
    assert report.problem is None
    assert "It will not do: the answers have about 17 words and differ" in report.why
    assert report.trial is not None
    assert report.trial.own == 1


def test_a_reward_of_the_users_own() -> None:
    rows = table(*sums(20))
    rule = own.find("my.py", {"my.py": "def reward(a, row): return a == row['answer']"})
    report = check(rows, reward=rule)
    assert (report.reward, report.objective, report.problem) == ("my.py", "rl", None)
    assert report.rule is rule
    broken = own.find("my.py", {"my.py": "def reward(a, row): return min(1, float(a))"})
    assert str(check(rows, reward=broken).problem).startswith(
        "my.py, row 1, answer '': the function fails: ValueError"
    )


def test_rows_are_numbered_in_messages_about_a_reward() -> None:
    rows = [(f"Write f, number {n}", f"f(1) -> {n}", f"def f(x):\n    return {min(n, 10)}")
            for n in range(12)]  # fmt: skip
    report = check(table(*rows, columns=("prompt", "tests", "code")))
    assert "1 of 12 given programs fail their own tests (first: row 12)." in report.why


def test_check_of_human_eval() -> None:
    rows = [
        (
            f'def add(x):\n    """Add {n}."""\n',
            f"def check(candidate):\n    assert candidate(2) == {n + 2}\n\ncheck(add)",
        )
        for n in range(12)
    ]
    report = check(table(*rows, ("q", "def check(c):\n    assert c(print)\ncheck(add)"),
                         columns=("prompt", "tests")))  # fmt: skip
    assert (report.reward, report.used) == ("code", 12)
    assert reasons(report)[13].startswith("unreadable tests: the tests of add cannot be run")


def test_a_chosen_reward() -> None:
    report = check(table(*sums(12)), reward="contains")
    assert (report.reward, report.objective) == ("contains", "rl")
    assert report.why.startswith("As you chose: the right answer occurs in the answer.")
    assert check(table(*sums(12)), reward="overlap").objective == "sft"
    code = check(table(*((f"q{i}", "f(1) -> 1", "4") for i in range(12)),
                       columns=("question", "tests", "answer")), reward="exact")  # fmt: skip
    assert code.splits["train"][0].gold == "4"


def test_rewards_that_cannot_be() -> None:
    with pytest.raises(T2Error, match="unknown reward 'best': choose from auto, exact"):
        check(table(*sums(12)), reward="best")
    with pytest.raises(T2Error, match=r"f\.csv: the reward code needs a column of tests"):
        check(table(*sums(12)), reward="code")
    tests = table(*((f"q{i}", "f(1) -> 1") for i in range(12)), columns=("question", "tests"))
    with pytest.raises(T2Error, match="the reward exact needs a column of answers"):
        check(tests, reward="exact")


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_few_rows(n: int) -> None:
    report = check(table(*sums(n), ("x", "")))
    rows = "1 row" if n == 1 else f"{n} rows"
    assert report.summary() == (
        f"f.csv has {rows} that can be used, and at least 10 are needed to train, to choose and to "
        f"measure. Rejected: 1 empty cell; first row {n + 1}, empty cell: nothing in 'answer'."
    )


def test_no_row_at_all() -> None:
    report = check(table(("x", ""), ("", "y")))
    assert (report.problem or "").startswith("f.csv has no rows that can be used")


def test_ten_rows_are_enough() -> None:
    assert check(table(*sums(MIN_ROWS))).counts() == {
        "train": 6,
        "validation": 2,
        "test": 2,
        "rejected": 0,
    }


def test_one_question_in_many_spellings_is_not_enough() -> None:
    letters = itertools.product("aA", "bB", "cC", "dD")
    report = check(table(*(("".join(spelling), "1") for spelling in letters)))
    assert report.used == 16
    assert report.problem


def test_questions_that_differ_in_case_stay_together() -> None:
    rows = [(case(f"What is {n}"), str(n)) for n in range(30) for case in (str, str.upper)]
    report = check(table(*rows))
    sides = [{e.question.lower() for e in rows} for rows in report.splits.values()]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert report.used == 60


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    def test_rows(rows: list[tuple[str, str]], seed: int = 0) -> set[str]:
        return {e.question for e in check(table(*rows), seed=seed).splits["test"]}

    rows = sums(60)
    assert test_rows(rows) == test_rows(rows[::-1]) == test_rows(rows)
    assert test_rows(rows) != test_rows(rows, seed=1)


def test_large_files_train_on_the_rest() -> None:
    counts = check(table(*sums(3000))).counts()
    assert counts == {"train": 2300, "validation": 200, "test": 500, "rejected": 0}


def test_rejected_rows_as_csv_are_no_formulas() -> None:
    cells = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", " =1", "＝1", "<b>", 'a "b", c\nd']
    report = check(read_table(_csv([(cell, "") for cell in cells])))
    text = report.rejected_csv()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["row", "reason", "question", "answer"]
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(2, 10)]
    found = [row[2] for row in rows[1:]]
    assert found == [*(f"'{cell.strip()}" for cell in cells[:6]), "<b>", 'a "b", c\nd']


def _csv(rows: list[tuple[str, str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("question", "answer"), *rows])
    return out.getvalue().encode()


CELLS = st.text(alphabet="ab 1\n=;-\ufffd.", max_size=6) | st.sampled_from(
    ["f(1) -> 2", "A", "B", "3", "[", "x" * 200, '["a", "b"]', "yes", "-2", "("]
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30),
    st.sampled_from(
        [("question", "answer", "tests"), ("question", "choices", "answer"),
         ("question", "answer", "system"), ("instruction", "input", "output")]
    ),
    st.sampled_from(["auto", *REWARDS]),
    st.integers(0, 3),
)  # fmt: skip
def test_any_table_gives_a_report_or_an_error(
    rows: list[tuple[str, str, str]], columns: tuple[str, ...], reward: str, seed: int
) -> None:
    try:
        found = table_from_cells(columns, rows)
        report = check(found, guess(found), reward=reward, seed=seed)
    except T2Error:
        return
    numbers = [e.number for rows in report.splits.values() for e in rows]
    rejected = [row.number for row in report.rejected]
    assert sorted(numbers + rejected) == sorted({row.number for row in found.rows} | {*rejected})
    assert rejected == sorted(rejected)
    questions = [
        (e.system, " ".join(e.question.split())) for rows in report.splits.values() for e in rows
    ]
    assert len({*questions}) == len(questions)
    assert (report.used < MIN_ROWS) <= (report.problem is not None)
    assert all(REWARDS[report.reward].unreadable(e.gold) is None
               for rows in report.splits.values() for e in rows)  # fmt: skip
    for row in csv.reader(io.StringIO(report.rejected_csv())):
        assert all(safe_cell(cell) == cell for cell in row)
    assert report.summary().count("\n") == 0


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(0, 5))
def test_every_row_is_on_one_side(n: int, seed: int) -> None:
    examples = [e for rows in check(table(*sums(n))).splits.values() for e in rows]
    sides = split(examples, seed)
    assert sorted(e.number for rows in sides.values() for e in rows) == list(range(1, n + 1))
    assert list(sides) == ["train", "validation", "test"]
    if n >= MIN_ROWS:
        assert all(sides.values())
        assert len(sides["train"]) >= n // 2
