"""``train``: Ctrl-C keeps the best or ends at once, the bar on a terminal, what is resumed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys

import pytest
import torch

from t2app.cli import train_command
from t2app.training import experts, runs

SMALL = (
    "train --task math --name mine --objective rl --steps 6 --prompts 2 --samples 2 --validation 2 "
    "--validate-every 1 --test 3 --leave-alone 0 --no-harm-check"
).split()


@pytest.fixture
def ending(engine):
    """An engine in which one token of four ends an answer."""
    engine.ends = set(range(0, 300, 4))
    return engine


@pytest.fixture
def press(monkeypatch):
    """``press(step, times)``: Ctrl-C in that step."""
    before = signal.getsignal(signal.SIGINT)
    # A process that was started in the background ignores the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    real = train_command._Bar.show

    def at(step: int, times: int = 1) -> None:
        def show(self, status, progress):
            real(self, status, progress)
            if progress and progress.step == step:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(train_command._Bar, "show", show)

    yield at
    signal.signal(signal.SIGINT, before)


def last_run(engine):
    return runs.all_runs(engine.base.base)[0]


def test_ctrl_c_finishes_the_step_and_keeps_the_best(cli, ending, press, monkeypatch):
    real = experts.loop.settle
    monkeypatch.setattr(experts.loop, "settle", lambda *a: real(*a) + 0.1)  # better than the base
    press(3)
    done = cli(*SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["stopped"]
    assert [turn["role"] for turn in done.json["preview"]["messages"]][-2:] == ["user", "assistant"]
    assert "mine" in ending.library.experts()
    assert [entry["step"] for entry in last_run(ending).curve()][-1] == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_with_nothing_to_keep_says_so_and_how_to_go_on(cli, ending, press):
    press(0)
    done = cli(*SMALL)
    run = last_run(ending).folder.name
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1] == (
        "t2app: stopped before anything was better than the base: nothing was kept; "
        f"--resume {run} continues"
    )
    press(99)
    assert cli("train", "--resume").code == 0
    assert "mine" in ending.library.experts()


def test_ctrl_c_twice_ends_at_once_and_can_be_resumed(cli, ending, press):
    press(2, times=2)
    assert cli(*SMALL).code == 130
    assert last_run(ending).status().state == "interrupted"
    assert "mine" not in ending.library.experts()
    press(99)
    done = cli("train", "--resume", "mine", "--json")
    assert done.code == 0, done.err
    assert "step 3/6" in done.err
    assert "step 1/6" not in done.err


def test_the_bar_on_a_terminal(cli, ending, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert cli(*SMALL, "--overwrite").code == 0
    preview, start, rest = screen.getvalue().partition("\r\x1b[K")
    assert preview.startswith("a row, as it will be asked and answered:\n  user: ")
    shown = start + rest
    assert shown.count("\n") == shown.count("alarm: "), "nothing but an alarm is left standing"
    lines = shown.split("\r\x1b[K")
    assert any("██ training, step 6/6" in line and "best" in line for line in lines)
    assert any("measuring the base, 3/3" in line for line in lines)
    assert lines[-1] == "", "the bar is taken away at the end"


def test_alarms_and_figures_of_the_steps_are_told(cli, ending):
    done = cli(*SMALL, "--json", "--overwrite")
    # A random model gets no sum right.
    assert [alarm["kind"] for alarm in done.json["alarms"]] == ["flat reward"]
    assert {"same", "alike", "cut", "length", "entropy", "kl"} <= set(done.json["curve"][-1])
    assert done.err.count("alarm: No prompt of the last 3 steps") == 1
    assert "same reward 100%" in done.err
    log = (last_run(ending).folder / "log.txt").read_text()
    assert "alarm: No prompt" in log
    assert "(steps 3 to 6)" in log


def test_other_questions_are_checked_unless_switched_off(cli, ending, monkeypatch):
    off = cli(*SMALL)
    assert "Other questions were not checked: it was switched off." in off.out
    monkeypatch.setattr(experts.loop, "settle", lambda *a: torch.ones(ending.svf.layout.total))
    monkeypatch.setattr(experts.harm, "general", lambda: ["a fox?", "a dog?"])
    on = cli(*SMALL[:-1], "--json", "--overwrite")
    assert on.json["harm"]["groups"][0]["name"] == "general questions"
    assert ending.library.get("mine").header["harm"] == on.json["harm"]
    shown = cli("experts", "show", "mine")
    assert f"harm: {on.json['harm']['words']}" in shown.out


def test_ctrl_c_in_the_check_of_other_questions_keeps_the_expert(cli, ending, monkeypatch):
    def pressed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(experts.harm, "check", pressed)
    done = cli(*SMALL[:-1], "--json")
    assert done.code == 0
    assert done.json["harm"]["why"] == "it was stopped before its end"
    assert ending.library.get("mine").header["harm"] == done.json["harm"]
    assert last_run(ending).status().state == "finished"


def test_steps_do_not_flood_a_log_file(cli, ending):
    done = cli(*SMALL, "--overwrite")
    shown = re.findall(r"step (\d)/6", done.err)
    assert (shown[0], shown[-1]) == ("0", "6")
    assert not {"1", "5"} & {*shown}, "only those around the alarm, which comes in step 3"
    assert "measuring the base, 3/3" in done.err


def test_a_run_that_is_resumed_shows_a_row_before_it_goes_on(cli, ending, press):
    press(1, times=2)
    cli(*SMALL)
    press(99)
    done = cli("train", "--resume", "--json")
    shown, _, trained = done.err.partition("step ")
    assert shown.startswith("a row, as it will be asked and answered:\n  user: ")
    assert trained
    assert done.json["preview"]["messages"][-1]["role"] == "assistant"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "there is no unfinished run for small"),
        (["--resume", "nobody"], "there is no unfinished run of 'nobody'"),
        (["--task", "math", "--objective", "magic"], "invalid choice: 'magic'"),
        (["--task", "math", "--modules", "none"], "invalid choice: 'none'"),
    ],
)
def test_mistakes(cli, arguments, message):
    done = cli("train", *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_public_rows_come_from_a_folder(cli, ending, tmp_path):
    for side, start in (("train", 0), ("test", 500)):
        rows = [
            {"question": f"Ann has {i} pens and buys 3. How many now?", "answer": f"#### {i + 3}"}
            for i in range(start, start + 40)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"gsm8k-{side}.jsonl").write_text(lines)
    options = [*SMALL[3:], "--data", str(tmp_path), "--json"]
    done = cli("train", "--task", "gsm8k", *options)
    assert done.code == 0, done.err
    assert done.json["reward"] == "numeric"
    assert done.json["rows"]["test"] == 40
    done = cli("train", "--task", "math", *options)
    assert (done.code, "--data is the folder of public rows" in done.err) == (2, True)
