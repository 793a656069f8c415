"""``train FILE --reward …``: tried without a model, refused in one line, trained with."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from t2app.cli import train_command
from t2app.tasks import sandbox
from t2app.training import runs

pytestmark = pytest.mark.skipif(not sandbox.HAS_LIMITS, reason="needs the resource module")

HINT = """
def reward(answer, row):
    return float(answer.strip() == row["hint"])
"""
FAST = "--objective rl --steps 1 --prompts 2 --samples 2 --validate-every 1".split()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """``write(name, text)``: a file; a table of sums with hints for a name that ends in csv."""

    def to_file(name: str, text: str = "") -> str:
        path = tmp_path / name
        if name.endswith("csv"):
            with path.open("w", newline="") as file:
                rows = [(f"What is {n}?", n, f"hint {n}") for n in range(12)]
                csv.writer(file).writerows([("question", "answer", "hint"), *rows])
        else:
            path.write_text(text)
        return str(path)

    return to_file


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model fails the test."""
    monkeypatch.setattr(train_command, "load_engine", lambda _: pytest.fail("a model was loaded"))


def test_the_bench_shows_what_rows_get(cli, write, no_model):
    arguments = ["train", write("f.csv"), "--reward", write("my.py", HINT), "--try-reward"]
    done = cli(*arguments)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "my.py: your own function says so, 0 to 1"
    assert lines[1].split() == ["row", "2", "the", "right", "answer", "0.00", "'0'"]
    assert "the empty answer" in lines[3]
    assert "It will not do: the right answers get 0.00 on average" in lines[-1]
    found = cli(*arguments, "--json").json
    assert found["reward"] == "my.py"
    assert found["trial"]["own"] == 0
    assert found["rows"][0]["score"] == 0
    assert len(found["rows"]) == 24


@pytest.mark.parametrize("reward", ["auto", "numeric", "exact"])
def test_rewards_that_come_with_the_app(cli, write, no_model, reward):
    done = cli("train", write("f.csv"), "--reward", reward, "--try-reward")
    assert done.code == 0, done.err
    assert "on average, over 12 rows: right answers 1.00, other rows' answers 0.00" in done.out
    assert done.out.endswith("Nothing speaks against it.\n")


def test_weights(cli, write, no_model):
    own = write("my.py", "def reward(answer, row):\n    return len(answer) < 4\n")
    spec = f"numeric=0.8,{own}=0.2"
    found = cli("train", write("f.csv"), "--reward", spec, "--try-reward", "--json").json
    assert found["reward"] == "numeric=0.8,my.py=0.2"
    assert [row["score"] for row in found["rows"][:3]] == [1, 0.2, 0.2]
    assert "The empty answer gets 0.20 on average." in found["trial"]["notes"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "def reward(answer, row):\n    return float(answer) / 0",
            "row 2, answer '0': the function",
        ),
        ("def reward(answer, row):\n    while True: pass", "the function does not end"),
        ("def reward(answer, row):\n    print(1)", "returns nothing, it prints '1'"),
        ("def reward(answer, row):\n    return 'yes'", "returns the text 'yes'"),
        ("def reward(answer, row):\n    return float('nan')", "the function returns nan"),
        (
            "def reward(answer, row):\n    return row['a']",
            "the columns 'question', 'answer', 'hint'",
        ),
        ("def reward(answer, row)", "my.py, line 1: this is not Python"),
        ("def score(answer, row): pass", "my.py defines no function reward"),
    ],
)
@pytest.mark.parametrize("option", [["--try-reward"], FAST])
def test_each_fault_is_one_line_and_no_model_is_loaded(cli, write, no_model, source, line, option):
    done = cli("train", write("f.csv"), "--reward", write("my.py", source), *option)
    assert done.code == 2
    assert line in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--reward", "best"], "unknown reward 'best'"),
        (["--reward", "gone.py"], "cannot read the reward gone.py"),
        (["--reward", "exact=0.5,numeric=0.4"], "the weights add up to 0.9"),
    ],
)
def test_mistakes(cli, write, no_model, arguments, line):
    done = cli("train", write("f.csv"), *arguments)
    assert (done.code, done.out) == (2, "")
    assert line in done.err
    assert done.err.count("\n") == 1


def test_a_bench_needs_rows(cli):
    done = cli("train", "--task", "math", "--try-reward")
    assert done.code == 2
    assert "--try-reward is for a FILE with rows" in done.err


def test_a_run_keeps_the_program_and_goes_on_without_the_file(cli, write, engine):
    engine.ends = set(range(0, 300, 4))
    source = write("my.py", HINT.replace('== row["hint"]', "!= 'hint'") + "    # lenient\n")
    done = cli("train", write("f.csv"), "--reward", source, "--name", "own", "--json", *FAST)
    assert done.code == 0, done.err
    assert done.json["reward"] == "my.py"
    assert "this reward is met by the empty answer" in done.err
    Path(source).unlink()
    run = runs.all_runs(engine.base.base)[0]
    assert run.task().sources == {"my.py": HINT.replace('== row["hint"]', "!= 'hint'")
                                  + "    # lenient\n"}  # fmt: skip
    run.put("status.json", {"state": "interrupted"})
    again = cli("train", "--resume", "own", "--json")
    assert again.code == 0, again.err
    assert again.json["after"] == done.json["after"]
