"""SIGKILL at any moment: the run resumes, ends in the same expert, and nothing half is listed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from t2app.errors import T2Error
from t2app.training import experts
from t2app.training.runs import Run
from tests.kills import die, killed
from tests.training.test_experts import same
from tests.training.toy import TASK


def at_step(run, finish, step: int) -> None:
    finish(run, watch=lambda _, p: die() if p and p.step == step else None)


def in_phase(run, finish, phase: str) -> None:
    finish(run, watch=lambda status, _: die() if status.phase.startswith(phase) else None)


def while_a_checkpoint_is_written(run, finish, number: int) -> None:
    real, count = torch.save, iter(range(99))

    def save(state, path):
        if next(count) == number:
            Path(path).write_bytes(b"half of it")
            die()
        real(state, path)

    torch.save = save
    finish(run)


def before_it_is_in_place(run, finish, file: str) -> None:
    real = os.replace

    def replace_file(source, target):
        if Path(target).name == file:
            die()
        real(source, target)

    os.replace = replace_file
    finish(run)


def while_the_expert_is_written(run, finish, number: int) -> None:
    count = iter(range(99))  # once beside the run, once into the library
    real = os.fsync
    os.fsync = lambda file: die() if next(count) == number else real(file)
    finish(run)


MOMENTS = {
    "while planning": (in_phase, "planning"),
    "while the base is measured": (in_phase, "measuring the base"),
    "after the base was validated": (at_step, 0),
    "after a step": (at_step, 5),
    "after the last step": (at_step, 9),
    "while the first checkpoint is written": (while_a_checkpoint_is_written, 0),
    "while a later checkpoint is written": (while_a_checkpoint_is_written, 4),
    "before a checkpoint is in place": (before_it_is_in_place, "checkpoint.pt"),
    "before the base's answers are in place": (before_it_is_in_place, "base.json"),
    "before the rows are in place": (before_it_is_in_place, "held-out.json"),
    "while the expert is measured": (in_phase, "measuring the expert"),
    "while the expert is written": (while_the_expert_is_written, 0),
    "while it is put into the library": (while_the_expert_is_written, 1),
    "before it is in the library": (before_it_is_in_place, "toy.safetensors"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_in_the_same_expert(learner, new_run, finish, moment):
    undisturbed = finish(new_run("undisturbed")).report
    how, what = MOMENTS[moment]
    run = new_run()
    before = set(learner.library.experts())
    killed(lambda: how(run, finish, what))
    assert set(learner.library.experts()) == before, "no half-written expert is listed"
    assert learner.library.problems() == {}
    report = finish(run).report
    assert same(learner.library.get("toy"), learner.library.get("undisturbed"))
    assert (report["before"], report["after"]) == (undisturbed["before"], undisturbed["after"])
    assert [r["step"] for r in run.curve()] == list(range(10))


def test_at_most_the_last_step_is_lost(new_run, finish):
    run = new_run()
    killed(lambda: at_step(run, finish, 4))
    steps = []
    finish(run, watch=lambda _, p: steps.append(p.step) if p else None)
    assert steps == [5, 6, 7, 8, 9]


def test_killed_after_the_expert_is_in_place(learner, new_run, finish):
    run = new_run()
    killed(lambda: in_phase(run, finish, "finished"))
    kept = learner.library.get("toy")
    assert finish(run).state == "finished"
    assert same(learner.library.get("toy"), kept)
    with pytest.raises(T2Error, match="exists already"):
        new_run()


def kill_at_random(learner, new_run, finish, moments: int, seed: int) -> None:
    """Kill and resume one run until the moments are used up; each run continues the last."""
    began = time.monotonic()
    finish(new_run("undisturbed"))
    whole = time.monotonic() - began
    rng, number = random.Random(seed), 0
    run = new_run("toy-0")
    for _ in range(moments):
        run.release()
        pid = os.fork()
        if pid == 0:
            try:
                held = Run(run.folder)
                held.hold()
                experts.train_expert(learner, TASK, held.spec(), held)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, 0.7 * whole))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert learner.library.problems() == {}, "a half-written expert is listed"
        state = Run(run.folder).status().state
        assert state in ("interrupted", "finished")
        if state == "finished":
            name = run.spec().name
            assert same(learner.library.get(name), learner.library.get("undisturbed"))
            number += 1
            run = new_run(f"toy-{number}")
    run.hold()
    finish(run)
    assert same(learner.library.get(run.spec().name), learner.library.get("undisturbed"))


def test_killed_at_five_random_moments(learner, new_run, finish):
    kill_at_random(learner, new_run, finish, moments=5, seed=0)


@pytest.mark.slow
def test_killed_at_thirty_random_moments(learner, new_run, finish):
    kill_at_random(learner, new_run, finish, moments=30, seed=1)
