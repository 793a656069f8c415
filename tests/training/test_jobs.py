"""The line of jobs: phases, waiting, stopping, resuming after a restart, what fails alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from t2app import data
from t2app.errors import T2Error
from t2app.training import exact, reinforce
from t2app.training.jobs import Jobs
from t2app.training.runs import Run
from tests.training.test_experts import same
from tests.training.toy import SMALL

LONG = 60.0
FEW = replace(SMALL, steps=4, validate_every=2)


@pytest.fixture
def report() -> data.Report:
    """Checked rows, two of them rejected."""
    rows = [[f"fox {n}", "ab" if n % 2 else "ba"] for n in range(24)]
    rows += [["late", ""], ["fox 1", "ab"]]
    return data.check(data.table_from_cells(["question", "answer"], rows, "foxes.csv"))


@pytest.fixture
def jobs(learner) -> Iterator[Jobs]:
    """A line of jobs."""
    line = Jobs(learner)
    yield line
    line.close()


class Gate:
    """Holds training between two steps until it is opened."""

    def __init__(self, monkeypatch) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        self.error: Exception | None = None
        for module, name in ((reinforce, "sample"), (exact, "gradient")):
            monkeypatch.setattr(module, name, self._held(getattr(module, name)))

    def _held(self, real):
        def held(*args, **kwargs):
            self.reached.set()
            assert self._open.wait(LONG)
            if self.error is not None:
                error, self.error = self.error, None
                raise error
            return real(*args, **kwargs)

        return held

    def wait(self) -> None:
        assert self.reached.wait(LONG)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch, jobs) -> Iterator[Gate]:
    """Training stops in its first step."""
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def test_one_job_from_rows_to_expert(jobs, learner, report):
    job = jobs.submit(report, name="foxes", settings=FEW, description="foxes and dogs")
    assert job.state in ("waiting", "running")
    job = jobs.wait(job.id, LONG)
    assert (job.state, job.phase, job.error) == ("finished", "finished", None)
    assert (job.name, job.file, job.reward) == ("foxes", "foxes.csv", "exact")
    assert job.rows == {"train": 14, "validation": 4, "test": 6, "rejected": 2}
    assert (job.objective, job.why, job.settings) == ("rl", "As you chose.", FEW)
    assert [entry["step"] for entry in job.curve] == list(range(5))
    assert job.report["verdict"] in ("helps", "makes no difference", "hurts")
    assert len(job.held_out()) == job.report["after"]["n"] == 6
    assert "empty cell" in job.rejected.read_text()
    assert "finished" in job.log.read_text()
    assert job.expert is not None
    assert not job.can_stop
    assert not job.can_resume
    assert job.can_delete
    assert learner.library.get("foxes").description == "foxes and dogs"
    jobs.close()
    assert jobs.idle()


def test_the_description_is_suggested_from_the_rows(jobs, learner, report):
    jobs.wait(jobs.submit(report, name="foxes", settings=FEW).id, LONG)
    assert learner.library.get("foxes").description == report.description()


def test_a_second_job_waits_in_line(jobs, gate, report):
    first = jobs.submit(report, name="one", settings=FEW)
    gate.wait()
    second, third = (jobs.submit(report, name=n, settings=FEW) for n in ("two", "three"))
    assert jobs.get(first.id).state == "running"
    assert jobs.get(first.id).phase == "training, step 0/4"
    assert not jobs.idle()
    assert [jobs.get(j.id).phase for j in (second, third)] == [
        "waiting, 1 job before it",
        "waiting, 2 jobs before it",
    ]
    gate.open()
    done = [jobs.wait(j.id, LONG) for j in (first, second, third)]
    assert [job.state for job in done] == ["finished"] * 3
    ends = [job.log.read_text().splitlines()[-1][:19] for job in done]
    assert ends == sorted(ends)


def test_a_waiting_job_is_taken_out_of_the_line(jobs, gate, report, learner):
    first = jobs.submit(report, name="one", settings=FEW)
    gate.wait()
    second = jobs.submit(report, name="two", settings=FEW)
    stopped = jobs.stop(second.id)
    assert (stopped.state, stopped.can_resume) == ("stopped", True)
    gate.open()
    jobs.wait(first.id, LONG)
    assert "two" not in learner.library.experts()
    assert jobs.wait(jobs.resume(second.id).id, LONG).state == "finished"


def test_a_running_job_ends_after_its_step(jobs, gate, report):
    job = jobs.submit(report, name="foxes", settings=replace(FEW, steps=500))
    gate.wait()
    stopping = jobs.stop(job.id)
    assert (stopping.state, stopping.stopping, stopping.can_stop) == ("running", True, False)
    gate.open()
    job = jobs.wait(job.id, LONG)
    assert job.state == "stopped"
    assert len(job.curve) == 2
    assert job.report is not None or job.error.startswith("stopped before")


def test_names_that_are_taken(jobs, gate, report):
    job = jobs.submit(report, name="foxes", settings=FEW)
    with pytest.raises(T2Error, match=f"'foxes' is being trained by run {job.id}"):
        jobs.submit(report, name="foxes", settings=FEW)
    with pytest.raises(T2Error, match="'math' exists already"):
        jobs.submit(report, name="math", settings=FEW)
    with pytest.raises(T2Error, match="not a name"):
        jobs.submit(report, name="No Name", settings=FEW)
    with pytest.raises(T2Error, match="at least 10 are needed"):
        jobs.submit(replace(report, problem="2 rows, at least 10 are needed"), name="few")
    assert [j.id for j in jobs.jobs()] == [job.id]


# -- failing ---------------------------------------------------------------------------------


def test_lack_of_memory_ends_the_job_with_advice_and_nothing_else(jobs, gate, report, learner):
    gate.error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    first = jobs.submit(report, name="one", settings=FEW)
    second = jobs.submit(report, name="two", settings=FEW)
    gate.open()
    first, second = (jobs.wait(j.id, LONG) for j in (first, second))
    assert first.state == "failed"
    assert first.error.startswith("memory ran out with 4 rows of 3 samples a step: choose fewer")
    assert second.state == "finished"
    assert learner.generate([[1, 2, 3]], max_new_tokens=2)
    assert jobs.wait(jobs.resume(first.id).id, LONG).state == "finished"


def test_a_defect_ends_the_job_and_is_in_its_log(jobs, gate, report):
    gate.error = ZeroDivisionError("oops")
    first = jobs.submit(report, name="one", settings=FEW)
    second = jobs.submit(report, name="two", settings=FEW)
    gate.open()
    first, second = (jobs.wait(j.id, LONG) for j in (first, second))
    assert (first.state, first.error) == (
        "failed",
        "unexpected ZeroDivisionError: oops; its log says more",
    )
    assert "Traceback" in first.log.read_text()
    assert second.state == "finished"


def test_a_damaged_run_is_listed_and_can_be_deleted(jobs, report):
    job = jobs.wait(jobs.submit(report, name="foxes", settings=FEW).id, LONG)
    (job.folder / "run.json").write_text("{")
    (found,) = jobs.jobs()
    assert (found.id, found.state, found.phase) == (job.id, "failed", "damaged")
    assert "run.json is missing or damaged" in found.error
    jobs.delete(found.id)
    assert jobs.jobs() == []


# -- finding it again ------------------------------------------------------------------------


def test_an_app_that_was_closed_finds_its_runs(jobs, gate, report, learner):
    done = jobs.submit(report, name="whole", settings=FEW)
    gate.open()
    jobs.wait(done.id, LONG)
    gate._open.clear()
    gate.reached.clear()
    running = jobs.submit(report, name="parts", settings=FEW)
    gate.wait()
    waiting = jobs.submit(report, name="third", settings=FEW)
    closed = threading.Thread(target=jobs.close)
    closed.start()
    time.sleep(0.05)
    gate.open()
    closed.join(LONG)

    again = Jobs(learner)
    states = {job.name: job.state for job in again.jobs()}
    assert states == {"whole": "finished", "parts": "interrupted", "third": "interrupted"}
    assert again.wait(again.resume(running.id).id, LONG).state == "finished"
    assert again.wait(again.resume(waiting.id).id, LONG).state == "finished"
    assert same(learner.library.get("whole"), learner.library.get("parts"))
    again.close()


def test_runs_of_another_process_are_seen_and_can_be_stopped(jobs, new_run):
    other = new_run("elsewhere")  # held by this process, but not in this line
    (job,) = jobs.jobs()
    assert (job.name, job.state) == ("elsewhere", "waiting")
    with pytest.raises(T2Error, match="has not ended"):
        jobs.delete(job.id)
    with pytest.raises(T2Error, match="is waiting: there is nothing to resume"):
        jobs.resume(job.id)
    assert jobs.stop(job.id).stopping
    assert other.asked_to_stop()


@pytest.mark.parametrize("action", ["get", "stop", "resume", "delete", "again"])
def test_unknown_runs(jobs, action):
    with pytest.raises(T2Error, match="there is no run"):
        getattr(jobs, action)("20260101-000000-x-0000")


# -- again, side by side, away ---------------------------------------------------------------


def test_again_with_the_same_settings_gives_the_same_expert(jobs, report, learner):
    first = jobs.wait(jobs.submit(report, name="one", settings=FEW).id, LONG)
    second = jobs.wait(jobs.again(first.id, name="two").id, LONG)
    assert same(learner.library.get("one"), learner.library.get("two"))
    assert second.rejected.read_text() == first.rejected.read_text()
    with pytest.raises(T2Error, match="'one' exists already"):
        jobs.again(first.id)
    third = jobs.wait(jobs.again(first.id, overwrite=True).id, LONG)
    assert (third.name, third.state) == ("one", "finished")


def test_runs_are_compared(jobs, report):
    first = jobs.wait(jobs.submit(report, name="one", settings=FEW).id, LONG)
    changed = replace(FEW, objective="sft", learning_rate=0.1)
    second = jobs.wait(jobs.again(first.id, name="two", settings=changed).id, LONG)
    found = jobs.compare([first.id, second.id])
    assert found.names == {first.id: "one", second.id: "two"}
    assert found.curves == {first.id: first.curve, second.id: second.curve}
    assert found.differ == {
        "objective": {first.id: "rl", second.id: "sft"},
        "learning_rate": {first.id: 0.05, second.id: 0.1},
    }
    assert found.same["file"] == "foxes.csv"


def test_a_deleted_run_leaves_its_expert(jobs, report, learner):
    job = jobs.wait(jobs.submit(report, name="foxes", settings=FEW).id, LONG)
    jobs.delete(job.id)
    assert jobs.jobs() == []
    assert not job.folder.exists()
    assert "foxes" in learner.library.experts()


# -- chat meanwhile --------------------------------------------------------------------------


def test_the_model_answers_as_ever_while_it_trains(jobs, report, learner):
    prompt = learner.prompt_ids([{"role": "user", "content": "fox"}])
    learner.ends = set()
    before = learner.generate([prompt], max_new_tokens=12)
    learner.ends = set(range(0, 300, 4))
    job = jobs.submit(report, name="foxes", settings=replace(FEW, steps=30))
    answers = []
    while jobs.get(job.id).state in ("waiting", "running"):
        answers.append(learner.generate([prompt], learner.delta({"math": 1.0}), max_new_tokens=1))
        assert learner.generate([prompt], max_new_tokens=1)[0].token_ids == before[0].token_ids[:1]
    assert jobs.get(job.id).state == "finished"
    assert len(answers) > 3
    assert len({str(a) for a in answers}) == 1


def test_training_is_what_waits(jobs, gate, report, learner):
    """The worker's passes are background passes, whoever else asks is not."""
    kinds = {}
    real = learner.turns.turn

    def turn():
        kinds[threading.current_thread().name] = learner.turns._background.get()
        return real()

    learner.turns.turn = turn
    gate.open()
    jobs.wait(jobs.submit(report, name="foxes", settings=FEW).id, LONG)
    learner.generate([[1, 2]], max_new_tokens=1)
    assert kinds == {"training": True, "MainThread": False}


def test_snapshots_do_not_change(jobs, gate, report):
    job = jobs.submit(report, name="foxes", settings=FEW)
    gate.wait()
    now = jobs.get(job.id)
    gate.open()
    jobs.wait(job.id, LONG)
    assert now.state == "running"
    assert len(now.curve) == 1
    assert Run(now.folder).status().state == "finished"
