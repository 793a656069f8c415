"""Help, errors and the commands that measure, train and compute."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from t2app.cli import COMMANDS, main
from t2app.engine import Engine
from t2app.tiny import pretrain
from t2app.tiny import tokenizer as tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]


# -- help ------------------------------------------------------------------------------------


def test_help_lists_every_command(cli):
    done = cli("--help")
    assert done.code == 0
    assert all(f"    {name} " in done.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    done = cli(command, "--help")
    assert done.code == 0
    assert f"python -m t2app {command}" in done.out
    assert "--json" in done.out
    assert done.err == ""


def test_help_and_typing_errors_need_no_torch():
    code = (
        "import sys; from t2app.cli import main\n"
        "for argv in (['--help'], ['aks'], []):\n"
        "    try: main(argv)\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


# -- errors ----------------------------------------------------------------------------------

WRONG = [
    ([], "COMMAND"),
    (["aks"], "invalid choice: 'aks'"),
    (["ask"], "question"),
    (["ask", "q", "--temperature", "warm"], "warm"),
    (["ask", "q", "--temperature", "-1"], "--temperature is -1.0"),
    (["ask", "q", "--temperature", "nan"], "--temperature is nan"),
    (["ask", "q", "--max-new-tokens", "0"], "--max-new-tokens is 0"),
    (["ask", "q", "--weights", "math"], "cannot read weights 'math'"),
    (["ask", "q", "--weights", ""], "cannot read weights"),
    (["ask", "q", "--weights", "math=1,math=1"], "comes twice"),
    (["ask", "q", "--weights", "math=much"], "weight of 'math'"),
    (["ask", "q", "--weights", "math=-0.5"], "weight of 'math'"),
    (["ask", "q", "--weights", "math=0.9,code=0.9"], "normalise"),
    (["ask", "q", "--weights", "mathe=1"], "did you mean math"),
    (["ask", "q", "--weights", "math=1", "--strategy", "prompt"], "give one"),
    (["ask", "q", "--strategy", "magic"], "unknown strategy 'magic'"),
    (["ask", ""], "empty"),
    (["ask", " \n"], "empty"),
    (["ask", "why " * 25_000], "too long"),
    (["experts", "frobnicate"], "invalid choice"),
    (["experts", "show"], "takes 1 argument, not 0"),
    (["experts", "list", "math"], "takes 0 arguments, not 1"),
    (["experts", "show", "mth"], "did you mean math"),
    (["experts", "show", "../math"], "unknown expert"),
    (["experts", "delete", "nobody"], "unknown expert 'nobody'"),
    (["experts", "export", "nobody", "x"], "unknown expert 'nobody'"),
    (["experts", "import", "/nowhere/x.safetensors"], "/nowhere/x.safetensors"),
    (["experts", "import", __file__], "is no file of an expert"),
    (["train"], "--task"),
    (["train", "--task", "cooking"], "unknown task 'cooking'"),
    (["train", "--task", "math", "--steps=-1", "--overwrite"], "steps is -1"),
    (["train", "--task", "math", "--test", "0", "--overwrite"], "--test is 0"),
    (["train", "--task", "math"], "'math' exists already"),
    (["train", "--task", "math", "--name", "No Name"], "not a name"),
    (["train", "--task", "other"], "means the base model"),
    (["eval", "--task", "cooking"], "unknown task 'cooking'"),
    (["eval", "--strategy", "off"], "cannot be measured"),
    (["eval", "--n", "0"], "--n is 0"),
    (["bench", "--rounds", "0"], "--rounds is 0"),
    (["bench", "--shape", "gpt-5"], "unknown shape 'gpt-5'"),
    (["ask", "q", "--execution", "fast"], "invalid choice: 'fast'"),
    (["bench", "--tokens", "5000"], "--tokens is 5000: small has room for"),
    (["factors", "/nowhere/model"], "/nowhere/model"),
    (["pretrain", "--steps", "0"], "steps is 0"),
    (["pretrain", "--heads", "3"], "heads"),
    (["pretrain", "--out", f"{__file__}/x"], "cannot make the folder"),
]


@pytest.mark.parametrize(("argv", "said"), WRONG, ids=[" ".join(a)[:50] for a, _ in WRONG])
def test_bad_input_is_one_line_and_exit_code_2(cli, argv, said):
    done = cli(*argv)
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert said in done.err
    assert len(done.err) < 400


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_a_missing_model_is_one_line(capsys, json_too):
    assert main(["ask", "q", "--model", "/nowhere/model", *json_too]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "/nowhere/model" in captured.err


def test_ctrl_c(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "load", interrupted)
    assert main(["experts"]) == 130
    assert capsys.readouterr().err == "t2app: stopped\n"


def test_a_reader_that_has_gone_is_no_error(engine, monkeypatch):
    """As in ``python -m t2app ask - --json | head -1``."""
    monkeypatch.setattr(Engine, "load", classmethod(lambda cls, *_, **__: engine))
    readable, writable = os.pipe()
    os.close(readable)
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            sys.stdin = io.StringIO("fox\n" * 3)
            sys.stdout = os.fdopen(writable, "w")
            code = main(["ask", "-", "--json", "--strategy", "off", "--max-new-tokens", "1"])
        finally:
            os._exit(code)
    os.close(writable)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# -- commands --------------------------------------------------------------------------------

FIGURE = {"accuracy", "n", "ci95"}


def test_train(cli, engine):
    engine.ends = set(range(0, 300, 4))
    small = (
        "--objective rl --steps 2 --prompts 2 --samples 2 --validation 2 --validate-every 1 "
        "--test 3"
    ).split()
    done = cli("train", "--task", "math", "--name", "mine", *small, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert {
        "expert", "path", "objective", "reward", "rows", "before", "after", "seconds",
    } <= set(found)  # fmt: skip
    assert found["expert"] == "mine"
    assert (found["objective"], found["reward"]) == ("rl", "numeric")
    assert set(found["rows"]) == {"train", "validation", "rejected"}
    assert set(found["before"]) == set(found["after"]) == FIGURE
    assert found["before"]["n"] == 3
    assert Path(found["path"]).is_file()
    assert "step 2/2" in done.err
    assert "reward" in done.err
    assert "mine" in engine.library.experts()

    people = cli("train", "--task", "math", "--name", "mine", *small, "--overwrite")
    assert people.code == 0
    assert people.out.startswith("mine: ")
    assert people.out.count("\n") == 3, "the figures, the verdict, and other questions"


def test_eval(cli, engine, tmp_path):
    engine.ends = set(range(0, 300, 4))
    out = tmp_path / "table.json"
    chosen = ("--task", "math-hard", "--task", "math", "--strategy", "prompt", "--n", "2")
    found = cli("eval", *chosen, "--out", str(out), "--json").json
    assert json.loads(out.read_text()) == found
    assert list(found["tasks"]) == ["math-hard", "math"]
    ways = {"base", "code", "math", "reasoning", "oracle", "prompt"}
    assert set(found["tasks"]["math"]) == ways
    assert set(found["tasks"]["math"]["base"]) == FIGURE
    assert found["mixed"]["prompt"]["n"] == 2
    people = cli("eval", *chosen)
    assert people.out.startswith("| task | base |")
    assert "expected: about" in people.err


def test_eval_finds_out_at_once_that_it_cannot_write(cli, tmp_path):
    (tmp_path / "file").write_text("")
    done = cli("eval", "--out", str(tmp_path / "file" / "table.json"))
    assert done.code == 2
    assert "cannot write" in done.err


def test_bench(cli, tmp_path, monkeypatch):
    """The whole table on a small model; see also tests/evaluation/test_bench.py."""
    # Takes a new process for every shape, and is measured there.
    monkeypatch.setattr("t2app.evaluation.bench.size.factoring_peak", lambda shapes: 2.0)
    out = tmp_path / "bench.json"
    found = cli("bench", "--rounds", "1", "--tokens", "2", "--out", str(out), "--json").json
    assert found["about"]["model"] == "small"
    assert json.loads(out.read_text()) == {"small": found}
    people = cli("bench", "--rounds", "1", "--tokens", "2")
    assert people.code == 0
    assert "| factored |" in people.out


def test_factors(cli, checkpoint):
    found = cli("factors", str(checkpoint), "--json")
    assert found.code == 0
    measured = {"matrices", "numbers", "megabytes", "seconds", "kept_as"}
    assert set(found.json) == {"model", "base", *measured}
    assert found.json["matrices"] == 14
    assert set(found.json["kept_as"]) == {"dense", "int8", "nf4"}
    assert found.json["base"].startswith(f"{checkpoint.name}@")
    assert "14 matrices" in cli("factors", str(checkpoint)).out


def test_pretrain(cli, tmp_path, monkeypatch):
    tok = tiny_tokenizer.train(0, conversations=60)
    monkeypatch.setattr(pretrain.tiny_tokenizer, "train", lambda seed: tok)
    small = "--steps 2 --rows 1 --length 32 --hidden 16 --layers 1 --heads 2 --ffn 16".split()
    done = cli("pretrain", "--out", str(tmp_path / "m"), *small, "--json")
    assert done.code == 0
    assert done.json == {"path": str(tmp_path / "m"), "steps": 2, "seed": 1}
    assert "step 2/2" in done.err
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "m").config.hidden_size == 16
    people = cli("pretrain", "--out", str(tmp_path / "n"), *small)
    assert people.out == f"written to {tmp_path / 'n'}\n"


def test_as_a_program(checkpoint, shared_cache, tmp_path):
    """``python -m t2app`` in a process of its own: a good line, a bad one, exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "t2app", "ask", "-", "--strategy", "off", "--json",
         "--model", str(checkpoint), "--max-new-tokens", "2"],
        cwd=ROOT,
        env={**os.environ, "T2APP_CACHE": str(shared_cache), "T2APP_EXPERTS": str(tmp_path)},
        input='the fox 😀\n""\n',
        encoding="utf-8",
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    good, bad = (json.loads(line) for line in done.stdout.splitlines())
    assert good["question"] == "the fox 😀"
    assert good["tokens"] == 2
    assert "empty" in bad["error"]
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("t2app: line 2: ")
