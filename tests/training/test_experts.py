"""From a run to an expert file: the report, the header, stopping, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from t2app.errors import T2Error
from t2app.svf import expert as expert_file
from t2app.svf.expert import Expert
from t2app.tasks.base import Task
from t2app.training import experts, loop, plan, reinforce, rollouts
from t2app.training.outcome import HeldOut
from t2app.training.runs import Run
from tests.training.toy import SMALL, TASK, TEST

CHECKED = replace(SMALL, harm_check=True, steps=1, validate_every=1)


def same(a: Expert, b: Expert) -> bool:
    return a.z.keys() == b.z.keys() and all(torch.equal(a.z[k], b.z[k]) for k in a.z)


@pytest.fixture
def beaten(monkeypatch):
    """The base gets nothing right, so that anything learned is better."""
    real = loop.measure.accuracy

    def accuracy(engine, task, problems, delta):
        found = real(engine, task, problems, delta)
        return found if delta is not None else replace(found, scores=(-1.0,) * len(problems))

    monkeypatch.setattr(loop.measure, "accuracy", accuracy)


# -- what comes out --------------------------------------------------------------------------


def test_the_report_and_the_file(learner, new_run, finish):
    seen, run = [], new_run()
    status = finish(run, watch=lambda status, progress: seen.append((status, progress)))
    report = status.report
    assert set(report) >= {
        "expert", "path", "objective", "reward", "rows", "before", "after", "seconds",
        "gain", "p_value", "gained", "lost", "verdict", "verdict_words", "stopped",
    }  # fmt: skip
    assert (report["expert"], report["objective"], report["stopped"]) == ("toy", "rl", False)
    assert set(report["rows"]) == {"train", "validation", "rejected"}
    assert report["before"]["n"] == report["after"]["n"] == TEST
    assert status.expected > 0
    assert status.state == "finished"
    assert run.status() == status
    assert [p.step for _, p in seen if p] == list(range(10))

    assert Path(report["path"]) == learner.library.folder / "toy.safetensors"
    header = expert_file.read_header(Path(report["path"]))
    for key in ("objective", "reward", "rows", "before", "after", "gain", "verdict"):
        assert header[key] == report[key]
    assert (header["base"], header["task"], header["run"]) == (
        learner.base.base, "toy", run.folder.name,
    )  # fmt: skip
    assert (header["description"], header["seed"]) == ("ending early", 3)
    assert header["settings"] == SMALL.to_dict()
    assert set(header["versions"]) == {"t2app", "torch", "transformers"}
    assert set(header["machine"]) == {"device", "precision", "threads"}
    assert len(header["dataset_sha256"]) == 64
    assert [r["step"] for r in header["curve"]] == list(range(10))
    assert header["examples"]
    assert same(learner.library.get("toy"), expert_file.load(run.folder / "expert.safetensors"))


def test_phases_are_named_and_counted(new_run, finish):
    phases = []
    finish(new_run(), watch=lambda status, _: phases.append(status.phase))
    kinds = list(dict.fromkeys(p.rstrip("0123456789/ ") for p in phases))
    assert kinds == [
        "planning", "measuring the base,", "measuring the base with 2 solved rows,",
        "training, step", "measuring the expert,", "finished",
    ]  # fmt: skip
    assert f"measuring the base, {TEST}/{TEST}" in phases


def changed(learner, *args):
    """Stands for ``loop.settle``: an expert that is not the base."""
    return torch.ones(learner.svf.layout.total)


def test_other_questions_are_asked_after_the_expert_is_in_the_library(
    learner, new_run, finish, monkeypatch
):
    monkeypatch.setattr(loop, "settle", changed)
    monkeypatch.setattr(experts.harm, "general", lambda: ["a fox?", "a dog?"])
    seen = []

    def watch(status, _):
        if status.phase.startswith("checking other questions"):
            seen.append(learner.library.get("toy").header["harm"])

    run = new_run(settings=CHECKED)
    report = finish(run, watch=watch).report
    assert seen[0] == experts.harm.unchecked("training ended before its end")
    found = report["harm"]
    assert [group["name"] for group in found["groups"]] == ["general questions"]
    assert learner.library.get("toy").header["harm"] == found
    assert expert_file.load(run.folder / "expert.safetensors").header["harm"] == found


def stop_there(*args, **kwargs):
    raise experts.harm.Stopped


def no_memory(*args, **kwargs):
    raise MemoryError


def refused(*args, **kwargs):
    raise T2Error("the numbers are not finite")


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (stop_there, "it was stopped before its end"),
        (no_memory, "memory ran out"),
        (refused, "the numbers are not finite"),
    ],
)
def test_a_check_that_fails_is_noted_and_loses_nothing(
    learner, new_run, finish, monkeypatch, check, why
):
    monkeypatch.setattr(experts.harm, "check", check)
    status = finish(new_run(settings=CHECKED))
    assert status.state == "finished"
    assert status.report["harm"] == experts.harm.unchecked(why)
    assert learner.library.get("toy").header["harm"] == status.report["harm"]


def test_stop_ends_the_check_of_other_questions(learner, new_run, finish, monkeypatch):
    monkeypatch.setattr(loop, "settle", changed)
    phase = []
    status = finish(
        new_run(settings=CHECKED),
        watch=lambda status, _: phase.append(status.phase),
        stop=lambda: phase[-1].startswith("checking"),
    )
    assert (status.state, status.report["stopped"]) == ("finished", False)
    assert status.report["harm"]["why"] == "it was stopped before its end"


def test_the_time_left_is_known_from_the_plan_on_and_falls(new_run, finish):
    left = []
    finish(new_run(), watch=lambda s, _: left.append((s.phase, s.seconds_left)))
    known = [seconds for phase, seconds in left if phase not in ("planning", "finished")]
    assert None not in known
    assert known[-1] < known[0] + 1


def test_held_out_rows_are_kept_with_both_answers(new_run, finish):
    run = new_run()
    report = finish(run).report
    rows = [HeldOut(**row) for row in run.get("held-out.json")]
    assert len(rows) == TEST
    assert sum(r.before for r in rows) / TEST == pytest.approx(report["before"]["accuracy"], 1e-3)
    assert sum(r.after for r in rows) / TEST == pytest.approx(report["after"]["accuracy"], 1e-3)
    assert sum(r.change == "gained" for r in rows) == report["gained"]
    assert {r.question for r in rows} == {
        p.question for p in TASK.problems("test", TEST, experts.TEST_SEED)
    }


def test_the_log_tells_what_happened(new_run, finish):
    run = new_run()
    finish(run)
    log = (run.folder / "log.txt").read_text()
    for line in ("planning", "expected: about", "measuring the base", "step 9/9", "finished"):
        assert line in log


def test_the_figures_are_of_problems_that_were_never_trained_on(new_run, finish, monkeypatch):
    seen: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    problems = Task.problems

    def note(self, split, n, seed):
        found = problems(self, split, n, seed)
        seen[split] |= {p.question for p in found}
        return found

    monkeypatch.setattr(Task, "problems", note)
    finish(new_run())
    assert all(seen.values())
    assert not seen["test"] & (seen["train"] | seen["validation"])
    assert not seen["train"] & seen["validation"]


@pytest.mark.parametrize("objective", ["auto", "sft+rl"])
def test_the_same_seed_and_settings_give_the_same_expert(learner, new_run, finish, objective):
    settings = replace(SMALL, objective=objective, steps=6)
    for name in ("one", "two"):
        finish(new_run(name, settings))
    assert same(learner.library.get("one"), learner.library.get("two"))


# -- the objective ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "answers", "objective"),
    [(1.0, True, "rl"), (0.0, True, "sft+rl"), (0.0, False, "rl")],
)
def test_how_often_the_base_is_right_decides(learner, monkeypatch, right, answers, objective):
    monkeypatch.setattr(rollouts, "judged", lambda task, problems, _: [right] * len(problems))
    monkeypatch.setattr(plan.next_token, "has_answers", lambda _: answers)
    found = plan.make(learner, TASK, replace(SMALL, objective="auto"))
    assert found.settings == replace(SMALL, objective=objective)
    assert f"{right:.0%} of 64 sampled answers right" in found.why


def test_free_text_is_learned_word_by_word(learner):
    found = plan.make(learner, replace(TASK, reward="overlap"), replace(SMALL, objective="auto"))
    assert found.settings.objective == "sft"


def test_what_was_asked_for_is_done(learner):
    found = plan.make(learner, TASK, SMALL)
    assert (found.settings, found.why) == (SMALL, "As you chose.")
    assert found.seconds > 0
    assert found.memory_mb > 0
    assert found.words().startswith("about ")


def test_longer_runs_take_longer(learner):
    short, long = (plan.make(learner, TASK, replace(SMALL, steps=s)) for s in (5, 500))
    assert long.seconds > 5 * short.seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "about 5 s"), (61, "about 60 s"), (200, "about 3 min"), (9000, "about 2.5 h")],
)
def test_durations(seconds, words):
    assert plan.duration(seconds) == words


# -- stopping --------------------------------------------------------------------------------


def stop_at(step: int):
    """``watch`` and ``stop`` that end a run after a step."""
    at = [-1]

    def watch(_, progress):
        if progress is not None:
            at[0] = progress.step

    return {"watch": watch, "stop": lambda: at[0] >= step}


@pytest.mark.usefixtures("beaten")
def test_a_stopped_run_keeps_the_best_so_far(learner, new_run, finish):
    run = new_run()
    status = finish(run, **stop_at(5))
    assert (status.state, status.error) == ("stopped", None)
    assert status.report["stopped"]
    kept = learner.delta({"toy": 1.0})
    choices = [run.load()[key] for key in ("delta", "best_delta")]
    assert any(torch.allclose(kept, c, atol=1e-6) for c in choices)
    assert run.load()["step"] == 5


@pytest.mark.usefixtures("beaten")
def test_a_stopped_run_can_go_on_and_replaces_its_own_expert(learner, new_run, finish):
    run = new_run()
    finish(run, **stop_at(4))
    finish(new_run("whole"))
    assert learner.library.get("toy").header["stopped"]
    assert finish(run).state == "finished"
    assert not learner.library.get("toy").header["stopped"]
    assert same(learner.library.get("toy"), learner.library.get("whole"))


@pytest.mark.parametrize("step", [-1, 0])
def test_stopped_before_there_is_anything_to_keep(learner, new_run, finish, step):
    run = new_run()
    status = finish(run, **stop_at(step))
    assert (status.state, status.report) == ("stopped", None)
    assert status.error.startswith("stopped before")
    assert "toy" not in learner.library.experts()
    assert finish(run).state == "finished"


def test_stop_at_the_last_step_is_the_end(new_run, finish):
    assert finish(new_run(), **stop_at(9)).state == "finished"


# -- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["base", "other", "Upper", "../x", "", "a b"])
def test_impossible_names_are_refused_at_once(learner, passes, name):
    with pytest.raises(T2Error):
        experts.spec_for(learner, TASK, name, SMALL)
    assert passes == []


def test_an_expert_that_exists_is_not_replaced_by_accident(learner, new_run, finish):
    with pytest.raises(T2Error, match="'math' exists already"):
        new_run("math")
    finish(new_run("math", overwrite=True))
    assert learner.library.get("math").task == "toy"


def test_nor_is_a_file_that_does_not_fit(learner, new_run):
    learner.library.folder.mkdir(exist_ok=True)
    learner.library.path("mine").write_bytes(b"damaged")
    with pytest.raises(T2Error, match="'mine' exists already"):
        new_run("mine")


def test_nor_where_it_appeared_meanwhile(learner, new_run, finish, make_expert):
    run = new_run("late")
    learner.library.add(make_expert("late"))
    with pytest.raises(T2Error, match="'late' exists already"):
        finish(run)
    assert learner.library.get("late").task == "late"
    assert run.status().state == "failed"
    assert (run.folder / "expert.safetensors").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_lack_of_memory_ends_in_advice(learner, new_run, finish, monkeypatch, error):
    def fail(*_, **__):
        raise error

    run = new_run()
    with monkeypatch.context() as patch:
        patch.setattr(reinforce, "sample", fail)
        with pytest.raises(T2Error, match="memory ran out with 4 rows of 3 samples") as raised:
            finish(run)
    assert "fewer of either" in str(raised.value)
    assert raised.value.__context__ is None, "the traceback would keep the tensors alive"
    assert (run.status().state, run.status().error) == ("failed", str(raised.value))
    assert finish(run).state == "finished"


def test_defects_are_no_user_errors(new_run, finish, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(reinforce, "sample", fail)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        finish(new_run())


def test_a_damaged_checkpoint_is_refused(learner, new_run, finish):
    run = new_run()
    finish(run, **stop_at(4))
    path = run.folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(T2Error, match=r"checkpoint.pt is damaged"):
        finish(Run(run.folder))
