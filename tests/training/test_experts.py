"""From a task to an expert file: the report, kills at any moment, Ctrl-C, what is refused."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from t2app.errors import T2Error
from t2app.svf import expert as expert_file
from t2app.svf.expert import Expert
from t2app.tasks.base import Problem, Task
from t2app.training import experts, reinforce
from t2app.training.reinforce import Settings
from t2app.training.runs import Run

SMALL = Settings(
    steps=9, prompts=4, samples=3, learning_rate=0.05, validation=8, validate_every=3, seed=3
)
TEST = 12


def draw(r: random.Random) -> Problem:
    return Problem("toy", f"fox {r.randint(0, 99999)}", "", "", "")


def ended(problems, answers) -> list[float]:
    return [float(bool(a)) for _, a in zip(problems, answers, strict=True)]


TASK = Task("toy", "ending early", draw, ended, 2)


@pytest.fixture
def learner(engine, tmp_path, monkeypatch):
    """An engine in which one token of four ends an answer; runs go to a folder of their own."""
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    engine.ends = set(range(0, 300, 4))
    return engine


def train(engine, name: str = "toy", settings: Settings = SMALL, **options) -> dict:
    return experts.train_expert(engine, TASK, name, settings, test=TEST, **options)


def same(a: Expert, b: Expert) -> bool:
    return a.z.keys() == b.z.keys() and all(torch.equal(a.z[k], b.z[k]) for k in a.z)


def test_the_report_and_the_file(learner):
    phases, steps = [], []
    report = train(learner, phase=phases.append, progress=steps.append)
    assert set(report) >= {
        "expert", "path", "objective", "reward", "rows", "before", "after", "seconds",
    }  # fmt: skip
    assert report["expert"] == "toy"
    assert report["objective"] == "rl"
    assert set(report["rows"]) == {"train", "validation", "rejected"}
    assert report["before"]["n"] == report["after"]["n"] == TEST
    assert report["gain"]["mean"] == pytest.approx(
        report["after"]["accuracy"] - report["before"]["accuracy"], abs=1e-3
    )
    assert len(phases) == 3
    assert [p.step for p in steps] == list(range(1, 10))

    found = learner.library.get("toy")
    assert Path(report["path"]) == learner.library.folder / "toy.safetensors"
    header = expert_file.read_header(Path(report["path"]))
    for key in ("objective", "reward", "rows", "before", "after", "gain"):
        assert header[key] == report[key]
    assert header["base"] == learner.base.base
    assert header["task"] == "toy"
    assert header["description"] == "ending early"
    assert header["seed"] == 3
    assert header["settings"] == asdict(SMALL)
    assert set(header["versions"]) == {"t2app", "torch", "transformers"}
    assert len(header["dataset_sha256"]) == 64
    assert [r["step"] for r in header["curve"]] == list(range(1, 10))
    assert header["examples"]
    assert learner.delta({"toy": 1.0}).isfinite().all()
    assert all(v.dtype == torch.float32 for v in found.z.values())


def test_the_figures_are_of_problems_that_were_never_trained_on(learner, monkeypatch):
    seen: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    problems = Task.problems

    def note(self, split, n, seed):
        found = problems(self, split, n, seed)
        seen[split] |= {p.question for p in found}
        return found

    monkeypatch.setattr(Task, "problems", note)
    train(learner)
    assert all(seen.values())
    assert not seen["test"] & (seen["train"] | seen["validation"])
    assert not seen["train"] & seen["validation"]


def test_a_finished_run_is_forgotten(learner):
    first = train(learner)
    assert not experts.run_folder(learner, "toy").exists()
    again = train(learner, overwrite=True, settings=replace(SMALL, seed=4))
    assert again["path"] == first["path"]


@pytest.mark.parametrize("name", ["base", "other", "Upper", "../x", "", "a b"])
def test_impossible_names_are_refused_at_once(learner, passes, name):
    with pytest.raises(T2Error):
        train(learner, name)
    assert passes == []


def test_an_expert_that_exists_is_not_replaced_by_accident(learner, passes):
    with pytest.raises(T2Error, match=r"'math' exists already.*--overwrite"):
        train(learner, "math")
    assert passes == []


# -- kills -----------------------------------------------------------------------------------


def killed(action: Callable[[], object]) -> None:
    """Run ``action`` in a process of its own that must die by SIGKILL before the end."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the run ended before it was killed"
    assert os.WTERMSIG(status) == signal.SIGKILL


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(engine, step: int) -> None:
    train(engine, progress=lambda p: die() if p.step == step else None)


def while_a_checkpoint_is_written(engine, number: int) -> None:
    real, count = torch.save, iter(range(99))

    def save(state, path):
        if next(count) == number:
            Path(path).write_bytes(b"half of it")
            die()
        real(state, path)

    torch.save = save
    train(engine)


def before_it_is_in_place(engine, number: int) -> None:
    real, count = os.replace, iter(range(99))

    def replace_file(source, target):
        if Path(target).name == "checkpoint.pt" and next(count) == number:
            die()
        real(source, target)

    os.replace = replace_file
    train(engine)


def while_the_expert_is_written(engine, _: int) -> None:
    os.fsync = die
    train(engine)


def after_the_expert_is_written(engine, _: int) -> None:
    Run.finish = die
    train(engine)


MOMENTS = {
    "in the first step": (at_step, 1),
    "after a validation": (at_step, 3),
    "between validations": (at_step, 5),
    "after the last step": (at_step, 9),
    "while the first checkpoint is written": (while_a_checkpoint_is_written, 0),
    "while the second checkpoint is written": (while_a_checkpoint_is_written, 1),
    "before the last checkpoint is in place": (before_it_is_in_place, 2),
    "while the expert is written": (while_the_expert_is_written, 0),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_in_the_same_expert(learner, tmp_path, moment):
    undisturbed = train(learner, "undisturbed")
    how, number = MOMENTS[moment]
    before = set(learner.library.experts())
    killed(lambda: how(learner, number))
    assert set(learner.library.experts()) == before, "no half-written expert is listed"
    assert learner.library.problems() == {}
    report = train(learner)
    assert same(learner.library.get("toy"), learner.library.get("undisturbed"))
    assert (report["before"], report["after"]) == (undisturbed["before"], undisturbed["after"])
    steps = [r["step"] for r in learner.library.get("toy").header["curve"]]
    assert steps == list(range(1, 10))


def test_killed_twice(learner):
    train(learner, "undisturbed")
    killed(lambda: at_step(learner, 4))
    killed(lambda: at_step(learner, 8))
    train(learner)
    assert same(learner.library.get("toy"), learner.library.get("undisturbed"))


def test_killed_after_the_expert_is_in_place(learner):
    killed(lambda: after_the_expert_is_written(learner, 0))
    kept = learner.library.get("toy")
    with pytest.raises(T2Error, match="exists already"):
        train(learner)
    train(learner, overwrite=True)
    assert same(learner.library.get("toy"), kept)


def test_killed_from_outside_at_any_time(learner):
    train(learner, "undisturbed")
    for pause in (0.02, 0.1, 0.25):
        pid = os.fork()
        if pid == 0:
            try:
                train(learner)
            finally:
                os._exit(0)
        time.sleep(pause)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert learner.library.problems() == {}
    train(learner, overwrite=True)
    assert same(learner.library.get("toy"), learner.library.get("undisturbed"))


# -- stopping and refusing -------------------------------------------------------------------


def interrupt_at(step: int) -> Callable[[reinforce.Progress], None]:
    def progress(p: reinforce.Progress) -> None:
        if p.step == step:
            raise KeyboardInterrupt

    return progress


def test_ctrl_c_keeps_the_best_so_far(learner):
    states = []

    def progress(p: reinforce.Progress) -> None:
        if p.step == 5:
            run = experts.run_folder(learner, "toy")
            states.append(torch.load(run / "checkpoint.pt", weights_only=True))
            raise KeyboardInterrupt

    report = train(learner, progress=progress)
    assert torch.equal(learner.delta({"toy": 1.0}).float(), (1 + states[0]["best_delta"]) - 1)
    assert report["after"]["n"] == TEST
    assert not experts.run_folder(learner, "toy").exists()


def test_ctrl_c_from_the_keyboard(learner):
    steps = []

    def progress(p: reinforce.Progress) -> None:
        steps.append(p.step)
        if p.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    # A process that was started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        train(learner, settings=replace(SMALL, steps=500), progress=progress)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(steps) < 10
    assert "toy" in learner.library.experts()


def test_ctrl_c_before_there_is_anything_to_keep(learner):
    with pytest.raises(T2Error, match="nothing to keep"):
        train(learner, progress=interrupt_at(1))
    assert "toy" not in learner.library.experts()
    train(learner)


def test_an_unfinished_run_with_other_settings_is_refused(learner):
    with pytest.raises(RuntimeError):
        train(learner, progress=lambda p: (_ for _ in ()).throw(RuntimeError()))
    with pytest.raises(T2Error, match=r"other settings \(learning_rate\)"):
        train(learner, settings=replace(SMALL, learning_rate=0.5))
    train(learner)


def test_a_damaged_checkpoint_is_refused(learner):
    def stop(p: reinforce.Progress) -> None:
        if p.step == 4:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(learner, progress=stop)
    path = experts.run_folder(learner, "toy") / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(T2Error, match=r"checkpoint.pt is damaged"):
        train(learner)
    assert "toy" not in learner.library.experts()
