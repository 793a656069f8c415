"""From rows to an expert in the library: measure the base, train, measure again, write it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from t2app import __version__
from t2app.adapt import prototype
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import choosing, harm, measure
from t2app.models import memory
from t2app.svf import expert as expert_file
from t2app.svf.expert import Expert
from t2app.svf.library import check_name
from t2app.tasks import DISPATCH, Problem, Task
from t2app.tasks.judging import Answer, judged
from t2app.training import alarms, formats, loop, next_token, outcome, plan
from t2app.training.journal import Journal, Watch
from t2app.training.loop import ALONE
from t2app.training.outcome import HeldOut
from t2app.training.parallel import World
from t2app.training.runs import Run, Spec, Status, new_id
from t2app.training.settings import Settings

TEST, TEST_SEED = 500, "report"
# Held-out rows that are answered at a time: small enough to stop between, and to show progress.
CHUNK = 48
# Solved rows that the base is shown where answers are free.
SHOWN = 2


class Stopped(Exception):
    """Stop was asked for before there was anything to keep."""


def spec_for(
    engine: Engine,
    task: Task,
    name: str,
    settings: Settings,
    *,
    overwrite: bool = False,
    size: int = TEST,
) -> Spec:
    """What a new run is to train.

    T2Error for a bad name, that of an expert that exists, and answers that the objective lacks.
    """
    check_name(name)
    if "sft" in settings.objective and not next_token.has_answers(task):
        raise T2Error(
            f"{task.name}: next-token training learns from answers, and rows to train on have only "
            "tests; choose reinforcement learning (rl)"
        )
    if engine.library.has_file(name) and not overwrite:
        raise T2Error(f"expert {name!r} exists already: choose another name, or overwrite it")
    return Spec(
        id=new_id(name),
        name=name,
        file=task.name,
        base=engine.base.base,
        reward=task.reward,
        rows=_rows(task, settings),
        dataset_sha256=_dataset_sha256(task, settings),
        settings=settings,
        overwrite=overwrite,
        created=_now(),
        size=size,
    )


def train_expert(
    engine: Engine,
    task: Task,
    spec: Spec,
    run: Run | None,
    *,
    watch: Watch = lambda status, progress: None,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> Status:
    """Train (or continue) a run, put the expert into the library and return the run's last status.

    ``run`` is None in the processes of ``world`` that write nothing. Accuracies are on held-out
    rows that were neither trained on nor chosen by. ``stop`` is asked between steps: the best so
    far is then kept, where something beat the base. Raises T2Error, also for lack of memory.
    """
    journal = Journal(run, watch)
    try:
        return _train(engine, task, spec, run, journal, stop, world)
    except Stopped as reason:
        return journal.end("stopped", error=str(reason))
    except T2Error as error:
        failure = error
    except (MemoryError, RuntimeError) as error:
        if not memory.ran_out(error):
            raise
        failure = T2Error(_advice(spec.settings))
    # Outside the handlers: there the traceback would still hold the tensors.
    memory.release()
    journal.end("failed", error=str(failure))
    raise failure


def _train(
    engine: Engine,
    task: Task,
    spec: Spec,
    run: Run | None,
    journal: Journal,
    stop: Callable[[], bool],
    world: World,
) -> Status:
    problems = task.problems("test", spec.size, TEST_SEED)
    settings, task = _planned(engine, task, spec, run, journal, world)
    base = world.agree(run.get("base.json") if run else None)
    if base is None:
        base = _answers(engine, task, problems, None, journal, "measuring the base", world, stop)
        base["baselines"] = _free_of_cost(engine, task, problems, journal, world, stop)
        if run:
            run.put("base.json", base)
    stopped = False
    for progress in loop.train(engine, task, settings, run, world):
        journal.step(progress)
        if world.agree(stop()) and progress.step < settings.steps:
            stopped = True
            break
    delta = loop.settle(engine, task, settings, run, world)
    if stopped and not delta.any():
        raise Stopped("stopped before anything was better than the base: nothing was kept")
    expert = _answers(engine, task, problems, delta, journal, "measuring the expert", world)
    rows = _held_out(task, problems, base, expert)
    report = {
        "expert": spec.name,
        "objective": settings.objective,
        "reward": spec.reward,
        "rows": spec.rows,
        **outcome.judge(
            [r.before for r in rows],
            [r.after for r in rows],
            outcome.constant_answer(task, problems) | base.get("baselines", {}),
            labels=outcome.labels_of(task, problems),
            finished=(base.get("finished", ()), expert["finished"]),
        ),
        "alarms": alarms.over(run.curve()) if run else [],
        "seconds": journal.seconds(),
        "stopped": stopped,
    }
    if run is None:
        return Status()
    run.put("held-out.json", [row.to_dict() for row in rows])
    expert = _expert(engine, task, spec, run, settings, delta, report)
    # In the library before the check: whatever ends that early, the expert is there.
    path = _write(engine, spec, run, expert)
    report["harm"] = _harm(engine, expert, settings, journal, (lambda: False) if stopped else stop)
    _write(engine, spec, run, replace(expert, header={**expert.header, "harm": report["harm"]}))
    return journal.end("stopped" if stopped else "finished", report={**report, "path": str(path)})


def _harm(
    engine: Engine,
    expert: Expert,
    settings: Settings,
    journal: Journal,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """What the expert does to other questions, or why that is not known."""
    if not settings.harm_check:
        return harm.unchecked("it was switched off")
    if expert.task == DISPATCH.name:
        return harm.unchecked("it sorts questions and answers none")
    try:
        return harm.check(engine, expert, watch=journal.checking, stop=stop)
    except (harm.Stopped, KeyboardInterrupt):
        return harm.unchecked("it was stopped before its end")
    except T2Error as error:
        return harm.unchecked(str(error))
    except (MemoryError, RuntimeError) as error:
        if not memory.ran_out(error):
            raise
    memory.release()
    return harm.unchecked("memory ran out")


def _planned(
    engine: Engine, task: Task, spec: Spec, run: Run | None, journal: Journal, world: World
) -> tuple[Settings, Task]:
    """What was chosen, now or before an interruption: the settings, and the task as answered."""
    kept = world.agree(run.get("plan.json") if run else None)
    if kept is None:
        journal.phase("planning")
        found = plan.make(engine, task, spec.settings, spec.size)
        kept = {
            "settings": found.settings.to_dict(),
            "answered": formats.way_of(found.task),
            "answer_tokens": found.task.max_new_tokens,
        }
        kept = world.agree(kept)
        journal.planned(found)
        if run:
            run.put("plan.json", kept)
    task = formats.answered_by(task, kept["answered"])
    task = replace(task, max_new_tokens=kept["answer_tokens"])
    return Settings.from_dict(kept["settings"]), task


def _answers(
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    delta: Tensor | None,
    journal: Journal,
    phase: str,
    world: World,
    stop: Callable[[], bool] = lambda: False,
    shown: Sequence[Problem] = (),
) -> dict[str, list]:
    """Greedy answers and their scores, a chunk at a time; raises Stopped between chunks."""
    began = time.perf_counter()
    found: list[Answer] = []
    scores: list[float] = []
    for start in range(0, len(problems), CHUNK):
        journal.phase(phase, start, len(problems))
        if world.agree(stop()):
            raise Stopped("stopped before there was anything to keep")
        part = problems[start : start + CHUNK]
        found += world.spread(
            lambda share: measure.answers(engine, task, share, delta, shown), part
        )
        scores += judged(task, part, found[start:])
    journal.phase(phase, len(problems), len(problems))
    journal.measured(time.perf_counter() - began)
    return {
        "answers": [answer.text for answer in found],
        "finished": [answer.finished for answer in found],
        "scores": scores,
    }


def _free_of_cost(
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    journal: Journal,
    world: World,
    stop: Callable[[], bool],
) -> dict[str, list[float]]:
    """What the base gets on the same problems with nothing trained, by a name for people.

    Where answers are chosen among a few: its likeliest choice, and what it says without being told
    the choices, which may distract it. Else what it says after solved rows, which show the style
    that is wanted.
    """
    if task.closed:
        journal.phase("measuring the base's likeliest choices")
        chosen = world.spread(lambda share: choosing.likeliest(engine, task, share), problems)
        measured = {"the base's likeliest choice": task.score(problems, chosen)}
        if task.instruction:
            plain = replace(task, closed=replace(task.closed, tell=False))
            phase = "measuring the base that is not told the choices"
            found = _answers(engine, plain, problems, None, journal, phase, world, stop)
            measured["the base that is not told the choices"] = found["scores"]
        return measured
    shown = _solved(engine, task)
    if not shown:
        return {}
    phase = f"measuring the base with {len(shown)} solved rows"
    found = _answers(engine, task, problems, None, journal, phase, world, stop, shown)
    return {f"the base shown {len(shown)} solved rows": found["scores"]}


def _solved(engine: Engine, task: Task) -> list[Problem]:
    """Solved rows that leave room for a question and its answer; none where there are none."""
    shown: list[Problem] = []
    for problem in task.problems("train", 8 * SHOWN, "shown"):
        # As the last question, with room for its answer: what is asked behind it needs as much.
        needed = engine.count_tokens(task.messages(problem, shown)) + task.max_new_tokens
        if task.answer(problem) and needed <= engine.base.context // 2:
            shown.append(problem)
        if len(shown) == SHOWN:
            return shown
    return []


def _held_out(task: Task, problems: Sequence[Problem], base: dict, expert: dict) -> list[HeldOut]:
    columns = (base["answers"], expert["answers"], base["scores"], expert["scores"])
    rows = zip(problems, *columns, strict=True)
    return [HeldOut(p.question, p.gold, *values) for p, *values in rows]


def _expert(
    engine: Engine,
    task: Task,
    spec: Spec,
    run: Run,
    settings: Settings,
    delta: Tensor,
    report: dict[str, Any],
) -> Expert:
    """The expert as it is before other questions were put to it."""
    z = {key: 1 + d.detach().cpu().clone() for key, d in engine.svf.layout.split(delta).items()}
    about = header(engine, task, spec, settings, report, run)
    unknown = harm.unchecked("training ended before its end")
    return Expert(spec.name, z, {**about, "harm": unknown})


def _write(engine: Engine, spec: Spec, run: Run, expert: Expert) -> Path:
    """Put the expert beside its run, then into the library."""
    expert_file.save(expert, run.folder / "expert.safetensors")
    # A run that is continued after its expert was written replaces its own.
    there = engine.library.experts().get(spec.name)
    own = there is not None and there.header.get("run") == spec.id
    return engine.library.add(expert, overwrite=spec.overwrite or own)


def header(
    engine: Engine,
    task: Task,
    spec: Spec,
    settings: Settings,
    report: dict[str, Any],
    run: Run,
) -> dict[str, Any]:
    """Everything about the expert that its file carries; enough to train it again."""
    examples = [p.question for p in task.problems("train", prototype.QUESTIONS, "examples")]
    return {
        "description": task.description,
        **engine.trained_on(),
        "task": task.name,
        "seed": settings.seed,
        "settings": settings.to_dict(),
        "told": task.instruction,
        "dataset_sha256": spec.dataset_sha256,
        "reading": task.dataset.reading if task.dataset else None,
        **{key: value for key, value in report.items() if key != "expert"},
        "curve": run.curve(),
        "examples": examples,
        "prototype": prototype.of(engine, examples),
        "run": spec.id,
        "created": _now(),
        "versions": {
            "t2app": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "machine": {
            "device": str(engine.base.device),
            "precision": engine.base.precision,
            "threads": torch.get_num_threads(),
        },
    }


def _rows(task: Task, settings: Settings) -> dict[str, int]:
    """Rows of the file; where problems are generated, as many as are drawn."""
    if task.dataset:
        return dict(task.dataset.rows)
    return {
        "train": settings.steps * settings.prompts,
        "validation": settings.validation,
        "rejected": 0,
    }


def _dataset_sha256(task: Task, settings: Settings) -> str:
    """Of the file; where problems are generated, of all that decides them."""
    if task.dataset:
        return task.dataset.sha256
    return hashlib.sha256(f"{task.name}/{settings.seed}/{__version__}".encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _advice(settings: Settings) -> str:
    return (
        f"memory ran out with {settings.prompts} rows of {settings.samples} samples a step: choose "
        "fewer of either, leave out long rows, or load the model quantised (--quant nf4), and "
        "start it again"
    )
