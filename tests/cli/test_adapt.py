"""``adapt``, and ``ask`` and ``train`` with what it leaves behind."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest

from t2app.cli import common
from t2app.evaluation import few_shot as evaluation

QUICK = ("--population", "6", "--generations", "2", "--reward", "exact")
ROWS = [(f"the fox has {n} dogs", "the dog") for n in range(14)]


@pytest.fixture
def shots(tmp_path: Path) -> str:
    return written(tmp_path, ROWS[:4])


def written(folder: Path, rows: list[tuple[str, str]]) -> str:
    file = folder / "shots.csv"
    file.write_text("question,answer\n" + "".join(f"{q},{a}\n" for q, a in rows))
    return str(file)


def test_adapt_as_json(cli, shots):
    done = cli("adapt", shots, *QUICK, "--json")
    assert done.code == 0
    found = done.json
    assert set(found) == {
        "weights",
        "alpha",
        "before",
        "after",
        "rest",
        "generations",
        "why",
        "seconds",
        "path",
        "preview",
    }
    assert set(found["weights"]) == {"code", "math", "reasoning"}
    assert found["before"]["n"] == found["after"]["n"] == 4
    assert found["rest"] is found["path"] is None
    assert [g["generation"] for g in found["generations"]] == [1, 2]
    assert set(found["generations"][0]) == {
        "generation",
        "mean",
        "spread",
        "fitness",
        "weights",
        "seconds",
    }
    assert "generation 1:" in done.err


def test_one_row_is_shown_as_it_is_asked(cli, shots):
    done = cli("adapt", shots, *QUICK, "--json")
    assert "as it will be asked and answered:" in done.err
    assert re.search(r"user: the fox has \d dogs\n  assistant: the dog\n", done.err)
    shown = done.json["preview"]
    assert [turn["role"] for turn in shown["messages"]][-2:] == ["user", "assistant"]
    assert shown["messages"][-1]["content"] == "the dog"
    assert re.fullmatch(r"the fox has \d dogs", shown["messages"][-2]["content"])


def test_guessed_columns_that_lose_most_rows_are_asked_about(cli, tmp_path):
    rows = [*ROWS[:2], *((f"the fox has {n} hens", "") for n in range(3))]
    done = cli("adapt", written(tmp_path, rows), *QUICK, "--json")
    assert done.code == 2
    assert "2 rows that can be used of 5" in done.err
    assert "(--columns question=question,answer=answer)" in done.err
    named = ("--columns", "question=question,answer=answer")
    assert cli("adapt", written(tmp_path, rows), *QUICK, *named, "--json").code == 0


def test_a_found_mix_is_kept_and_answers(cli, shots, engine):
    done = cli("adapt", shots, *QUICK, "--name", "foxes", "--experts", "math,code")
    assert done.code == 0
    assert done.out.startswith("mix: ")
    assert done.out.rstrip().endswith("foxes.safetensors")
    header = engine.library.get("foxes").header
    assert header["mix"]["experts"] == ["math", "code"]
    for options in (("--mix", "foxes"), ("--strategy", "few-shot")):
        answer = cli("ask", "the fox", *options, "--max-new-tokens", "4", "--json").json
        assert answer["weights"] == {"foxes": 1.0}
        assert answer["strategy"] == "few-shot"
    again = cli("adapt", shots, *QUICK, "--name", "foxes")
    assert again.code == 2
    assert "'foxes' exists already" in again.err
    assert cli("adapt", shots, *QUICK, "--name", "foxes", "--overwrite").code == 0


def test_other_rows_measure_the_result(cli, tmp_path):
    done = cli("adapt", written(tmp_path, ROWS), *QUICK, "--shots", "3", "--json")
    assert done.json["after"]["n"] == 3
    assert done.json["rest"]["after"]["n"] == 11
    assert "3 rows are searched on; the other 11 measure the result." in done.err


def test_how_many_rows_measure_the_result(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "PART", 4)
    monkeypatch.setattr(common, "SECONDS_BETWEEN", 0.0)
    done = cli("adapt", written(tmp_path, ROWS), *QUICK, "--shots", "3", "--test", "6", "--json")
    assert done.json["rest"]["after"]["n"] == 6
    assert "3 rows are searched on; 6 of the other 11 measure the result." in done.err
    assert [f"{n} of 9 rows" for n in (3, 7, 9)] == re.findall(r"\d+ of 9 rows", done.err)
    none = cli("adapt", written(tmp_path, ROWS), *QUICK, "--shots", "3", "--test", "0", "--json")
    assert none.json["rest"] is None


@pytest.mark.parametrize(("parts", "measured"), [(0, None), (1, 3), (2, 3)])
def test_ctrl_c_while_measuring_keeps_the_mix(cli, tmp_path, monkeypatch, engine, parts, measured):
    whole = evaluation.measuring

    def interrupted(*arguments):
        yield from islice(whole(*arguments), parts)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "PART", 4)
    monkeypatch.setattr(evaluation, "measuring", interrupted)
    options = ("--shots", "3", "--name", "kept", "--json")
    done = cli("adapt", written(tmp_path, ROWS), *QUICK, *options)
    assert done.code == 0
    assert "stopped: the mix is kept, with the figures so far" in done.err
    assert (done.json["after"] or {"n": None})["n"] == measured
    assert (done.json["rest"] or {"after": {"n": 0}})["after"]["n"] == (4 if parts == 2 else 0)
    assert engine.library.get("kept").header["mix"]["weights"]
    assert cli("adapt", written(tmp_path, ROWS), *QUICK, *options[:2]).code == 0


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (ROWS[:1], (), "one example only"),
        ([(ROWS[0][0], "a"), (ROWS[0][0], "b")], (), "conflicting answers"),
        (ROWS[:3], ("--reward", "numeric"), "no number in 'the dog'"),
        (ROWS[:3], ("--population", "2"), "population is 2"),
        (ROWS[:3], ("--experts", "maths"), "did you mean math"),
        (ROWS[:3], ("--name", "No Name"), "not a name"),
        (ROWS[:3], ("--name", "math"), "'math' exists already"),
        (ROWS[:3], ("--test", "-1"), "-1 rows cannot measure the result"),
        (ROWS[:3], ("--shots", "1"), "1 examples to search on are too few"),
        (ROWS[:3], ("--columns", "question=nothing"), "nothing"),
    ],
)
def test_what_adapt_refuses(cli, tmp_path, rows, options, message):
    done = cli("adapt", written(tmp_path, rows), *options)
    assert done.code == 2
    assert done.out == ""
    assert message in done.err.splitlines()[-1]


def test_a_file_that_is_not_there(cli):
    done = cli("adapt", "/nowhere/shots.csv")
    assert done.code == 2
    assert "/nowhere/shots.csv" in done.err


def test_ask_refuses_two_mixes_at_once(cli):
    for options in (("--weights", "math=1"), ("--strategy", "prompt")):
        done = cli("ask", "hi", "--mix", "foxes", *options)
        assert done.code == 2
        assert "--mix" in done.err


def test_the_classifier_is_trained_on_the_experts_there_are(cli, engine, make_expert):
    engine.ends = set(range(0, 300, 4))
    expert = make_expert("cooking", seed=9)
    expert.header["examples"] = [f"how do I cook {n} eggs?" for n in range(40)]
    engine.library.add(expert)
    small = ("--steps", "1", "--prompts", "2", "--samples", "2", "--validation", "2")
    done = cli(
        "train", "--task", "dispatch", "--overwrite", "--objective", "rl", *small, "--test", "2"
    )
    assert done.code == 0
    header = engine.library.get("dispatch").header
    assert header["reading"]["labels"] == ["code", "cooking", "math", "reasoning", "other"]
    assert len(header["examples"]) == 64
    assert header["prototype"]["n"] == 64
