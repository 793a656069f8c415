"""``train FILE``: from a file on disk to an expert whose header says where it comes from."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from t2app.cli import main, rows, train_command
from t2app.engine import Engine

FAST = "--objective rl --steps 1 --prompts 2 --samples 2 --validate-every 1".split()
ROWS = [(f"What is {n} plus 1?", str(n + 1)) for n in range(12)]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """``write(rows)``: a CSV file with a question and an answer a row."""

    def to_file(rows: list[tuple[str, str]], name: str = "My sums.csv") -> str:
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("question", "answer"), *rows])
        return str(path)

    return to_file


@pytest.fixture
def loaded(empty_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine that the command gets."""
    monkeypatch.setattr(train_command, "load_engine", lambda _: empty_engine)
    return empty_engine


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model fails the test."""
    monkeypatch.setattr(train_command, "load_engine", lambda _: pytest.fail("a model was loaded"))


def test_train_on_a_file(loaded: Engine, write: Callable, capsys, tmp_path: Path) -> None:
    file = write([*ROWS, ("late", ""), ("long " * 1000, "1")])
    rejected = tmp_path / "rejected.csv"
    arguments = ["train", file, "--json", "--seed", "3", "--rejected", str(rejected), *FAST]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report.keys() >= {
        "expert", "path", "objective", "reward", "rows", "before", "after", "seconds",
    }  # fmt: skip
    assert (report["expert"], report["objective"], report["reward"]) == ("my-sums", "rl", "numeric")
    assert report["rows"] == {"train": 7, "validation": 2, "test": 3, "rejected": 2}
    assert report["before"].keys() == {"accuracy", "n", "ci95"}
    assert report["after"]["n"] == 3
    assert "My sums.csv: utf-8, delimiter ',', question 'question', answer 'answer'" in err
    assert "12 of 14 rows can be used" in err
    assert "row 14: empty cell: nothing in 'answer'" in err
    assert "row 15: too long:" in err
    assert err.count("row 14: empty cell") == err.count("as it will be asked and answered") == 1
    assert rejected.read_text().splitlines()[1] == "14,empty cell: nothing in 'answer',late,"
    expert = loaded.library.get("my-sums")
    assert expert.task == "My sums.csv"
    assert expert.description == "questions answered by a number: plus"
    assert expert.header["reading"]["columns"] == {"question": "question", "answer": "answer"}
    assert len(expert.header["dataset_sha256"]) == 64
    assert {*expert.header["examples"]} <= {question for question, _ in ROWS}


def test_the_same_file_seed_and_settings_give_the_same_expert(
    loaded: Engine, write: Callable, capsys
) -> None:
    file = write(ROWS)
    for name in ("first", "second"):
        assert main(["train", file, "--name", name, *FAST]) == 0
    first, second = (loaded.library.get(name) for name in ("first", "second"))
    assert all((first.z[key] == second.z[key]).all() for key in first.z)
    assert first.header["dataset_sha256"] == second.header["dataset_sha256"]


def test_columns_reward_and_description_can_be_named(
    loaded: Engine, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "data.txt"
    path.write_text("".join(f"why {n}\\because {n}\\x\n" for n in range(12)), "cp1252")
    options = "--columns|question=column 1,answer=column 2|--reward|contains|--encoding|cp1252|"
    options += "--delimiter|\\|--no-header|--name|reasons|--description|why things are"
    assert main(["train", str(path), *options.split("|"), *FAST]) == 0
    expert = loaded.library.get("reasons")
    assert (expert.header["reward"], expert.description) == ("contains", "why things are")
    assert expert.header["reading"] == {
        "format": "csv",
        "encoding": "cp1252",
        "delimiter": "\\",
        "header": False,
        "columns": {"question": "column 1", "answer": "column 2"},
        "split_seed": 0,
    }
    assert "on 3 held-out rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a FILE with rows to train on, or --task"),
        (["FILE", "--task", "math"], "give either a FILE"),
        (["--task", "maths"], "unknown task 'maths': choose from math"),
        (["--task", "math", "--columns", "question=a"], "--columns is for a FILE"),
        (["--task", "math", "--reward", "exact"], "--reward is for a FILE"),
        (["--task", "math", "--no-header"], "--header is for a FILE"),
        (["missing.csv"], "cannot read 'missing.csv': No such file"),
        (["FILE", "--columns", "answer=reply"], "has no column 'reply'. It has 'question'"),
        (["FILE", "--columns", "reply"], "'reply' is not a choice of columns"),
        (["FILE", "--encoding", "klingon"], "'klingon' is not an encoding"),
        (["FILE", "--delimiter", "::"], "'::' is not a delimiter"),
        (["FILE", "--reward", "code"], "the reward code needs a column of tests"),
        (["FILE", "--reward", "numeric", "--rejected", "/"], "cannot write '/'"),
        (["FILE", "--steps=-1"], "steps is -1"),
        (["FILE", "--test", "0"], "--test is 0"),
    ],
)
def test_mistakes_are_told_before_a_model_is_loaded(
    arguments: list[str], message: str, write: Callable, no_model: None, capsys
) -> None:
    file = write(ROWS)
    assert main(["train", *(file if a == "FILE" else a for a in arguments)]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


def test_how_rows_are_read_is_shown_before_a_model_is_loaded(
    write: Callable, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    class Asked(Exception):
        """A model is asked for."""

    def load(_: object) -> None:
        raise Asked

    monkeypatch.setattr(train_command, "load_engine", load)
    with pytest.raises(Asked):
        main(["train", write(ROWS), *FAST])
    err = capsys.readouterr().err
    assert "12 of 12 rows can be used" in err
    assert "row 3, as it will be asked and answered:\n  user: What is 1 plus 1?\n" in err


def test_too_few_rows(write: Callable, no_model: None, capsys, tmp_path: Path) -> None:
    rejected = tmp_path / "rejected.csv"
    file = write([*ROWS[:5], ("", "1")])
    assert main(["train", file, "--rejected", str(rejected)]) == 2
    assert "has 5 rows that can be used, and at least 10 are needed" in capsys.readouterr().err
    assert rejected.read_text().count("\n") == 2


@pytest.mark.parametrize("objective", ["auto", "sft", "sft+rl"])
def test_every_objective(loaded: Engine, write: Callable, capsys, objective: str) -> None:
    options = [*FAST, "--objective", objective, "--steps", "2", "--name", "sums"]
    assert main(["train", write(ROWS), "--json", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    chosen = "sft+rl" if objective == "auto" else objective  # a random model is never right
    assert report["objective"] == chosen
    header = loaded.library.get("sums").header
    assert (header["objective"], header["settings"]["objective"]) == (chosen, chosen)


def test_a_run_that_broke_off_is_named_and_continued(
    loaded: Engine, write: Callable, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t2app.training import loop

    file = write(ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(loop.measure, "accuracy", lambda *_: pytest.fail("stop here"))
        with pytest.raises(pytest.fail.Exception):
            main(["train", file, "--name", "sums", *FAST])
    assert main(["train", file, "--name", "sums", *FAST]) == 0
    name = capsys.readouterr().err.split("run ")[1].split(" did not get to its end; --resume")[0]
    Path(file).unlink()  # the rows are kept with the run
    assert main(["train", "--resume", name, "--json"]) == 2
    assert "expert 'sums' exists already" in capsys.readouterr().err
    loaded.library.delete("sums")
    assert main(["train", "--resume", "sums", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == name
    assert main(["train", "--resume"]) == 2
    assert "there is no unfinished run" in capsys.readouterr().err


def test_tokens_are_counted_as_the_model_reads_them(empty_engine: Engine) -> None:
    messages = [{"role": "user", "content": "What is <|end|> 2 + 2?"}]
    assert empty_engine.count_tokens(messages) == len(empty_engine.prompt_ids(messages))
    long = [{"role": "user", "content": "x" * 5000}]
    assert empty_engine.count_tokens(long) > empty_engine.longest_prompt


def test_the_name_of_a_file_becomes_that_of_its_expert() -> None:
    names = {"a/My Data (2).csv": "my-data-2", "Übung_1.tsv": "ubung_1", "x" * 60: "x" * 41}
    assert {file: rows.name_of(file) for file in names} == names
