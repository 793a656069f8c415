"""``ask``: one question or many, in JSON or for people."""

from __future__ import annotations

import io
import json

import pytest

QUESTION = "the quick brown fox has 12 dogs"
SHORT = ("--max-new-tokens", "3")


def feed(monkeypatch, data: str | bytes) -> None:
    raw = data.encode() if isinstance(data, str) else data
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))


def test_json_holds_what_the_contract_says(cli):
    done = cli("ask", QUESTION, "--json", *SHORT)
    assert done.code == 0
    found = done.json
    assert set(found) == {
        "question", "label", "probabilities", "weights", "answer", "timings", "tokens", "model",
        "strategy",
    }  # fmt: skip
    assert found["question"] == QUESTION
    assert set(found["probabilities"]) == {"math", "code", "reasoning", "other"}
    assert set(found["weights"]) == {"math", "code", "reasoning"}
    assert found["label"] in found["probabilities"]
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert set(found["timings"]) == {"first_pass", "switch", "second_pass"}
    assert all(seconds >= 0 for seconds in found["timings"].values())
    assert found["tokens"] == 3
    assert found["model"] == "small"
    assert found["strategy"] == "auto"
    assert isinstance(found["answer"], str)


def test_compare_adds_the_answer_of_the_base(cli):
    both = cli("ask", QUESTION, "--weights", "math=1", "--compare", "--json", *SHORT).json
    base = cli("ask", QUESTION, "--strategy", "off", "--json", *SHORT).json
    mixed = cli("ask", QUESTION, "--weights", "math=1", "--json", *SHORT).json
    assert both["base_answer"] == base["answer"]
    assert both["answer"] == mixed["answer"]
    assert "base_answer" not in mixed


def test_weights_are_the_manual_strategy(cli):
    found = cli("ask", QUESTION, "--weights", "math=0.7, code=0.3", "--json", *SHORT).json
    assert found["strategy"] == "manual"
    assert found["weights"] == {"math": 0.7, "code": 0.3}
    assert found["label"] is None
    assert found["probabilities"] == {}


def test_a_model_without_experts_answers_too(cli, engine):
    for name in list(engine.library.experts()):
        engine.library.delete(name)
    found = cli("ask", QUESTION, "--json", *SHORT)
    assert found.code == 0
    assert found.json["probabilities"] == {"other": 1}
    base = cli("ask", QUESTION, "--strategy", "off", "--json", *SHORT)
    assert found.json["answer"] == base.json["answer"]


@pytest.mark.parametrize("strategy", ["prompt", "classifier", "off", "manual"])
def test_every_strategy(cli, strategy):
    found = cli("ask", QUESTION, "--strategy", strategy, "--json", *SHORT)
    assert found.code == 0
    assert found.json["strategy"] == strategy


def test_generated_label(cli):
    found = cli("ask", QUESTION, "--generate-label", "--json", *SHORT).json
    assert sorted(found["probabilities"].values()) == [0, 0, 0, 1]


def test_a_seed_decides_a_sampled_answer(cli):
    def ask(seed: str) -> str:
        options = ("--temperature", "1", "--seed", seed, "--strategy", "off", "--json")
        return cli("ask", QUESTION, *options, "--max-new-tokens", "8").json["answer"]

    assert ask("1") == ask("1") != ask("2")
    assert ask("99999999999999999999")


def test_for_people_the_answer_alone_is_on_standard_output(cli):
    found = cli("ask", QUESTION, "--json", *SHORT).json
    done = cli("ask", QUESTION, *SHORT)
    assert done.code == 0
    assert done.out == found["answer"] + "\n"
    assert "first pass: " in done.err
    assert "mix: " in done.err
    done = cli("ask", QUESTION, "--compare", "--strategy", "off", *SHORT)
    assert done.out.endswith(f"-- without experts --\n{done.out.split(chr(10))[0]}\n")
    assert "mix: the base model" in done.err


def test_questions_that_look_like_options(cli):
    found = cli("ask", "--json", "--max-new-tokens", "1", "--", "-3 + 5")
    assert found.json["question"] == "-3 + 5"


# -- standard input --------------------------------------------------------------------------


def test_questions_from_standard_input(cli, monkeypatch):
    feed(monkeypatch, 'first fox\n\n  \n"second\\nfox"\n"quoted" dog\nlast 😀')
    done = cli("ask", "-", "--json", *SHORT)
    assert done.code == 0
    asked = [found["question"] for found in done.lines]
    assert asked == ["first fox", "second\nfox", '"quoted" dog', "last 😀"]
    assert done.err == ""
    single = cli("ask", "first fox", "--json", *SHORT).json
    assert done.lines[0]["answer"] == single["answer"]


def test_a_bad_line_does_not_stop_the_others(cli, monkeypatch):
    lines = ["first fox", '""', "x" * 100_000, json.dumps("  "), "last dog"]
    feed(monkeypatch, "\n\n" + "\n".join(lines) + "\n")
    done = cli("ask", "-", "--json", *SHORT)
    assert done.code == 2
    assert [("answer" in found, "error" in found) for found in done.lines] == [
        (True, False),
        (False, True),
        (False, True),
        (False, True),
        (True, False),
    ]
    assert "empty" in done.lines[1]["error"]
    assert "too long" in done.lines[2]["error"]
    errors = done.err.splitlines()
    assert [line.split(": ")[1] for line in errors] == ["line 4", "line 5", "line 6"]


def test_bytes_that_are_no_text_are_answered(cli, monkeypatch):
    feed(monkeypatch, b"caf\xe9 fox\n\xff\xfe\nplain\n")
    done = cli("ask", "-", "--json", *SHORT)
    assert done.code == 0
    assert len(done.lines) == 3
    assert done.lines[0]["question"] == "caf\ufffd fox"


def test_half_a_character_in_json_is_answered(cli, monkeypatch):
    feed(monkeypatch, '"fox \\ud83d"\n')
    done = cli("ask", "-", "--json", *SHORT)
    assert done.code == 0
    assert len(done.lines) == 1


def test_no_lines_are_no_error(cli, monkeypatch):
    feed(monkeypatch, "")
    done = cli("ask", "-", "--json")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_for_people_too(cli, monkeypatch):
    feed(monkeypatch, "first\n\nsecond\n")
    done = cli("ask", "-", "--strategy", "off", *SHORT)
    assert done.code == 0
    assert done.err.count("mix:") == 2
