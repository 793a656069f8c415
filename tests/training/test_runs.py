"""A run on disk: what is kept, what is refused, what a kill leaves behind."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from t2app.data import build, check, table_from_cells
from t2app.errors import T2Error
from t2app.tasks import own
from t2app.training import runs
from t2app.training.runs import Run, Status
from tests.training.toy import SMALL, TASK

STATE = {"delta": torch.arange(3.0), "best": 0.5, "step": 4}


@pytest.fixture
def run(new_run) -> Run:
    """A run that has not begun."""
    return new_run()


def reopened(run: Run) -> Run:
    return Run(run.folder)


def test_what_it_was_made_of_is_read_back(run):
    spec = reopened(run).spec()
    assert (spec.name, spec.settings, spec.id) == ("toy", SMALL, run.folder.name)
    assert reopened(run).task() is TASK
    assert reopened(run).status() == Status()
    assert reopened(run).load() is None
    assert reopened(run).curve() == []


def test_rows_are_kept_as_they_were(new_run):
    rows = [[f"What is {n} plus 1?", str(n + 1), "yes", "no"] for n in range(12)]
    table = table_from_cells(
        ["question", "answer", "A", "B"], [[r[0], "AB"[n % 2], *r[2:]] for n, r in enumerate(rows)]
    )
    task = build(check(table), description="sums")
    found = new_run("sums", task=task).task()
    for split in ("train", "validation", "test"):
        assert found.problems(split) == task.problems(split)
        assert found.problems(split, 2, 5) == task.problems(split, 2, 5)
    assert (found.reward, found.description, found.dataset) == ("choice", "sums", task.dataset)
    problem = found.problems("test")[0]
    assert found.score([problem], [{"A": "yes", "B": "no"}[problem.gold]]) == [1.0]


def test_the_program_of_a_reward_is_kept_with_the_run(new_run):
    source = "def reward(answer, row):\n    return float(answer == row['hint'])\n"
    rows = [[f"What is {n}?", str(n), f"hint {n}"] for n in range(12)]
    rule = own.find("numeric=0.5,mine.py=0.5", {"mine.py": source})
    task = build(check(table_from_cells(["question", "answer", "hint"], rows), reward=rule))
    found = new_run("own", task=task).task()
    assert (found.reward, found.sources) == ("numeric=0.5,mine.py=0.5", {"mine.py": source})
    problem = found.problems("test")[0]
    assert found.score([problem] * 2, [problem.gold, f"hint {problem.gold}"]) == [0.5, 1.0]


def test_runs_are_listed_newest_first_and_found_by_id(new_run):
    first, second = new_run("one"), new_run("two")
    names = [r.folder.name for r in runs.all_runs(first.spec().base)]
    assert set(names) == {first.folder.name, second.folder.name}
    assert names == sorted(names, reverse=True)
    assert runs.find(first.spec().base, first.folder.name).spec() == first.spec()


@pytest.mark.parametrize("name", ["nothing", "../../etc", "", "20260101-000000-x-0000"])
def test_what_is_no_run_is_refused(run, name):
    with pytest.raises(T2Error, match="there is no run"):
        runs.find(run.spec().base, name)


def test_a_folder_that_cannot_be_written_is_named(new_run, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "file"))
    with pytest.raises(T2Error, match=r"cannot write the run to .* T2APP_CACHE"):
        new_run()


# -- locks and states ------------------------------------------------------------------------


def test_a_run_whose_process_is_gone_is_interrupted(run):
    run.write(Status(state="running", phase="training, step 3/9"))
    assert reopened(run).status().state == "running"
    run.release()
    assert reopened(run).status().state == "interrupted"


def test_a_killed_process_lets_go(new_run):
    run = new_run()
    run.release()
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        held = Run(run.folder)
        held.hold()
        os.write(writable, b"x")
        signal.pause()
    os.read(readable, 1)
    assert reopened(run).alive()
    with pytest.raises(T2Error, match="by another process"):
        reopened(run).hold()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not reopened(run).alive()
    assert reopened(run).status().state == "interrupted"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_that_ended_stays_as_it_ended(run, state):
    run.write(Status(state=state))
    run.release()
    assert reopened(run).status().state == state


def test_stop_reaches_whoever_works_on_it(run):
    reopened(run).ask_to_stop()
    assert run.asked_to_stop()
    run.forget_stop()
    assert not reopened(run).asked_to_stop()


def test_a_deleted_run_is_gone(run):
    run.delete()
    assert not run.folder.exists()
    assert list(run.folder.parent.iterdir()) == []


# -- checkpoint, curve, log ------------------------------------------------------------------


def test_what_is_saved_is_loaded(run):
    run.save({**STATE, "step": 3})
    run.save(STATE)
    found = reopened(run).load()
    assert torch.equal(found["delta"], STATE["delta"])
    assert (found["best"], found["step"]) == (0.5, 4)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_damaged_checkpoint_is_one_clear_line(run, keep):
    run.save(STATE)
    path = run.folder / "checkpoint.pt"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(T2Error, match=r"checkpoint.pt is damaged: delete .* anew") as error:
        run.load()
    assert "\n" not in str(error.value)


def test_pickled_code_is_not_run(run, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"delta": Evil()}, run.folder / "checkpoint.pt")
    with pytest.raises(T2Error, match="damaged"):
        run.load()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("file", ["run.json", "status.json", "task.json"])
def test_damaged_files_are_named(run, file):
    (run.folder / file).write_text('{"state": ')
    with pytest.raises(T2Error, match=f"{file} is missing or damaged"):
        run.spec(), run.status(), run.task()


def test_half_written_files_are_not_seen(run):
    run.save(STATE)
    run.put("base.json", [1])
    (run.folder / "checkpoint.part").write_bytes(b"half")
    (run.folder / ".base.json.part").write_text("[")
    assert run.load()["step"] == 4
    assert run.get("base.json") == [1]
    assert run.get("held-out.json") is None


def test_the_curve_keeps_the_last_of_repeated_steps(run):
    for step, reward in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25), (3, 0.35)):
        run.log({"step": step, "reward": reward})
    with (run.folder / "curve.jsonl").open("a") as file:
        file.write('{"step": 4, "rew')
    assert [r["reward"] for r in run.curve()] == [0.1, 0.25, 0.35]


def test_the_log_is_for_people(run):
    run.tell("measuring the base")
    run.tell("done, ä")
    lines = (run.folder / "log.txt").read_text("utf-8").splitlines()
    assert [line[20:] for line in lines] == ["measuring the base", "done, ä"]
