"""The loop around both objectives: schedule, validation, the best so far, checkpoints, resuming.

AdamW with gradient clipping; the vectors with the best validation accuracy are kept (paper,
section 4). What decays along a cosine is how far a step moves the policy; the learning rate follows
from that (``moves``). Every step draws its rows and its samples from (seed, step) and ends with a
checkpoint, so a run that was stopped or killed continues exactly. Not covered: measuring on
held-out rows and writing the expert (``experts``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import measure
from t2app.svd.modules import kind_of
from t2app.tasks import Problem, Task
from t2app.training import exact, look, next_token, reinforce
from t2app.training.anchor import Anchor
from t2app.training.moves import FIRST, TRIES, Probe, fitted, next_length
from t2app.training.parallel import World
from t2app.training.runs import Run
from t2app.training.settings import Settings
from t2app.training.tally import Tally

ALONE = World()
# Figures of a step that are only shown, and watched for alarms.
SHOWN = ("general", "same", "alike", "cut", "length", "entropy")
# Steps in a row without a finite gradient that end a run.
MOST_SKIPPED = 3
# A run is short, so Adam's second moment has to forget sooner than after a thousand steps.
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Progress:
    """One step of training; step 0 is the base before any.

    ``reward`` is the mean, -1 to 1 (None in next-token training), ``kl`` that to the base for each
    token in nats, ``loss`` the cross-entropy of a token (None in RL), ``validation`` an accuracy,
    only where it was measured. ``move`` is the KL of an answer from the policy before the step.
    ``general`` is the KL to the base for each token of its answers to general questions.
    ``skipped`` counts the steps so far that were left out, as their gradient was not finite.

    Shares of the prompts of a step of RL: ``same``, whose samples all got the same reward, and
    ``alike``, whose samples are all the same text (None with one sample). ``cut`` is the share of
    answers that ran into the limit of their length, ``length`` the mean in tokens, ``entropy`` that
    of the policy for each token in nats. ``empty`` is the mean score, 0 to 1, of the empty answer;
    step 0 only.
    """

    step: int
    steps: int
    objective: str
    reward: float | None
    kl: float | None
    loss: float | None
    validation: float | None
    best: float
    seconds: float
    move: float | None = None
    skipped: int = 0
    general: float | None = None
    same: float | None = None
    alike: float | None = None
    cut: float | None = None
    length: float | None = None
    entropy: float | None = None
    empty: float | None = None


@dataclass
class _State:
    """What a checkpoint holds; ``best`` is None before the base was validated.

    ``rate`` is the learning rate of the next step, ``last`` the latest validation.
    """

    delta: Tensor
    optimizer: torch.optim.Optimizer
    best_delta: Tensor
    rate: float
    best: float | None = None
    last: float | None = None
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "delta": self.delta.detach(),
            "optimizer": self.optimizer.state_dict(),
            "best_delta": self.best_delta,
            "rate": self.rate,
            "best": self.best,
            "last": self.last,
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.delta.data.copy_(saved["delta"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.best_delta = saved["best_delta"].to(self.delta.device)
        self.best, self.step, self.seconds = saved["best"], saved["step"], saved["seconds"]
        self.rate, self.last = saved["rate"], saved["last"]
        self.skipped = saved.get("skipped", 0)
        self.skipped_in_a_row = saved.get("skipped_in_a_row", 0)


def train(
    engine: Engine, task: Task, settings: Settings, run: Run | None, world: World = ALONE
) -> Iterator[Progress]:
    """Train (or continue ``run``) and yield progress; ``run`` holds the best vectors at any time.

    Objective and steps must have been chosen (no ``auto``, no 0); ``run`` is None in processes that
    write nothing. Closing the iterator stops after the current step and keeps the best so far.
    Raises T2Error where the settings leave nothing to train.
    """
    began = time.perf_counter()
    state = _begin(engine, settings, world.agree(run.load() if run else None))
    began -= state.seconds
    trained = _trained(engine, settings)
    anchor = Anchor.of(engine) if settings.leave_alone else None
    if state.best is None:
        # An expert has to beat the base on the validation rows, or it stays the base.
        state.best = state.last = _validated(engine, task, settings, None, world)
        state.seconds = time.perf_counter() - began
        empty = _empty(task, settings)
        yield _noted(run, settings, state, Tally(), state.best, empty)
    with engine.training_form():
        while state.step < settings.steps:
            _begin_stage(state, settings)
            done = _step(engine, task, settings, state, trained, anchor, world)
            state.step += 1
            validation = None
            if state.step % settings.between == 0 or state.step in _ends(settings):
                validation = _validated(engine, task, settings, state.delta.detach(), world)
                state.last = validation
                if validation > state.best:
                    state.best, state.best_delta = validation, state.delta.detach().clone()
            state.seconds = time.perf_counter() - began
            yield _noted(run, settings, state, done, validation)


def settle(
    engine: Engine, task: Task, settings: Settings, run: Run | None, world: World = ALONE
) -> Tensor:
    """The best vectors (R,) of a run that has ended or was stopped between two validations.

    The last vectors count as well where they were not validated yet; the checkpoint stays as it
    is, so that a resumed run goes on as if it had not been stopped.
    """
    saved = world.agree(run.load() if run else None)
    if saved is None or saved["best"] is None:
        return torch.zeros(engine.svf.layout.total, device=engine.base.device)
    at_end = saved["step"] in (0, *_ends(settings)) or saved["step"] % settings.between == 0
    last, best = (saved[key].to(engine.base.device) for key in ("delta", "best_delta"))
    if at_end or _validated(engine, task, settings, last, world) <= saved["best"]:
        return best
    return last


def _begin(engine: Engine, settings: Settings, saved: dict[str, Any] | None) -> _State:
    size, device = engine.svf.layout.total, engine.base.device
    delta = torch.zeros(size, device=device, requires_grad=True)
    optimizer = _optimizer(delta, settings)
    rate = FIRST * settings.learning_rate
    state = _State(delta, optimizer, torch.zeros(size, device=device), rate)
    if saved is not None:
        state.restore(saved)
    return state


def _optimizer(delta: Tensor, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW([delta], lr=settings.learning_rate, betas=BETAS, weight_decay=0.0)


def _trained(engine: Engine, settings: Settings) -> Tensor | None:
    """Which values of the flat vector are trained, as 0.0 and 1.0 (R,); None for all."""
    if settings.modules == "both":
        return None
    layout = engine.svf.layout
    parts = [
        torch.full((size,), float(kind_of(name) == settings.modules))
        for name, size in layout.sizes.items()
    ]
    mask = torch.cat(parts).to(engine.base.device)
    if not mask.any():
        raise T2Error(f"{engine.base.name} has no {settings.modules} matrices: train both")
    return mask


def _begin_stage(state: _State, settings: Settings) -> None:
    """A second stage goes on from the best of the first, at the rate that the first ended with.

    Where nothing was better than the base, what was learned is kept: it may be right soon.
    """
    _, first, _ = _stage(settings, state.step)
    if state.step == first and first > 0:
        if state.last is not None and state.best is not None and state.last < state.best:
            state.delta.data.copy_(state.best_delta)
        state.optimizer = _optimizer(state.delta, settings)


def _wanted(settings: Settings, step: int) -> float:
    """How far a step should move the policy, in nats an answer: a cosine over the whole run."""
    return settings.step_kl * (1 + math.cos(math.pi * step / settings.steps)) / 2


def _stage(settings: Settings, step: int) -> tuple[str, int, int]:
    """Objective, first step and number of steps of the stage that ``step`` (from 0) is in."""
    first = 0
    for objective, steps in settings.stages():
        if step < first + steps:
            return objective, first, steps
        first += steps
    raise IndexError(step)


def _ends(settings: Settings) -> list[int]:
    """The step after which each stage ends."""
    stages = [steps for _, steps in settings.stages()]
    return [sum(stages[: i + 1]) for i in range(len(stages))]


def _left(done: Tally) -> float:
    """What is left to learn of a given answer, in nats; infinite where answers are sampled.

    A longer step than that would gain nothing and only lead away.
    """
    loss, length = done.mean("loss"), done.mean("length")
    return math.inf if loss is None or length is None else loss * length


def _step(
    engine: Engine,
    task: Task,
    settings: Settings,
    state: _State,
    trained: Tensor | None,
    anchor: Anchor | None,
    world: World,
) -> Tally:
    """One optimizer step, the problems dealt out to the processes; what it measured."""
    problems = task.problems("train", settings.prompts, f"{settings.seed}/{state.step}")
    state.delta.grad = torch.zeros_like(state.delta)
    objective, _, _ = _stage(settings, state.step)
    mine = range(world.rank, len(problems), world.size)
    done, probe = _gradient(engine, task, settings, state, objective, problems, mine)
    if anchor is not None:
        seed, price = f"{settings.seed}/{state.step}", settings.leave_alone
        share = world.rank, world.size
        done.add("general", *anchor.gradient(engine, state.delta, price, seed, *share))
    world.add(state.delta.grad)
    world.add(done.values)
    rows = done.rows
    done.rows = world.spread(lambda share: rows, problems)
    if trained is not None:
        state.delta.grad *= trained
    if not bool(state.delta.grad.isfinite().all()):
        _leave_out(state, problems)
        return done
    state.skipped_in_a_row = 0
    torch.nn.utils.clip_grad_norm_([state.delta], settings.clip)
    before = state.delta.detach().clone()
    for group in state.optimizer.param_groups:
        group["lr"] = state.rate
    state.optimizer.step()
    state.optimizer.zero_grad()
    wanted = min(_wanted(settings, state.step), _left(done))
    moved = _within_reach(engine, settings, state, before, probe, wanted, world)
    if moved is not None:
        done.add("move", *moved)
    return done


def _within_reach(
    engine: Engine,
    settings: Settings,
    state: _State,
    before: Tensor,
    probe: Probe,
    wanted: float,
    world: World,
) -> tuple[float, int] | None:
    """Shorten a step that moves the policy much too far, and set the rate of the next one.

    The first step of a run, whose length nothing tells yet, is lengthened as well. Gives the KL
    that is left, summed over answers, and their number; None without any.
    """
    for _ in range(TRIES):
        found = torch.tensor(probe.moved(engine, state.delta.detach(), before), dtype=torch.float64)
        world.add(found)
        total, answers = found.tolist()
        if not answers:
            return None
        moved = total / answers
        share = fitted(moved, wanted, first=state.step == 0)
        if share == 1:
            state.rate = min(settings.learning_rate, next_length(state.rate, moved, wanted))
            return total, int(answers)
        state.delta.data.sub_(before).mul_(share).add_(before)
        state.rate = min(settings.learning_rate, state.rate * share)
    state.delta.data.copy_(before)
    return 0.0, int(answers)


def _leave_out(state: _State, problems: Sequence[Problem]) -> None:
    """Count a step whose gradient is not finite; T2Error after ``MOST_SKIPPED`` in a row."""
    state.optimizer.zero_grad()
    state.skipped += 1
    state.skipped_in_a_row += 1
    if state.skipped_in_a_row >= MOST_SKIPPED:
        rows = ", ".join(repr(p.question[:40]) for p in problems[:3])
        raise T2Error(
            f"the gradient is not a finite number {MOST_SKIPPED} times in a row, up to step "
            f"{state.step + 1}, at rows such as {rows}: load the model in another precision "
            "(--quant none or --device cpu), or train on shorter rows"
        )


def _gradient(
    engine: Engine,
    task: Task,
    settings: Settings,
    state: _State,
    objective: str,
    problems: Sequence[Problem],
    mine: Sequence[int],
) -> tuple[Tally, Probe]:
    if objective == "sft":
        tokens = sum(len(next_token.answer_ids(engine, task, p)) for p in problems)
        share = [problems[i] for i in mine]
        if mine:
            return next_token.gradient(engine, task, state.delta, share, tokens)
    if not mine:
        return Tally(), Probe()
    if task.closed:
        share = [problems[i] for i in mine]
        return exact.gradient(engine, task, settings, state.delta, share, len(problems))
    first = settings.seed * 1_000_003 + state.step * settings.prompts * settings.samples
    seeds = [first + i * settings.samples for i in mine]
    share = [problems[i] for i in mine]
    return reinforce.gradient(engine, task, settings, state.delta, share, seeds, len(problems))


def _validated(
    engine: Engine, task: Task, settings: Settings, delta: Tensor | None, world: World
) -> float:
    """Accuracy on the validation rows."""
    problems = task.problems("validation", settings.validation, settings.seed)

    def scores(share: list[Problem]) -> Sequence[float]:
        return measure.accuracy(engine, task, share, delta).scores

    found = world.spread(scores, problems)
    return sum(found) / len(found)


def _empty(task: Task, settings: Settings) -> float:
    """The mean score of the empty answer, on a few rows to train on."""
    problems = task.problems("train", settings.prompts, f"{settings.seed}/empty")
    found = task.score(problems, [""] * len(problems))
    return sum(found) / len(found)


def _noted(
    run: Run | None,
    settings: Settings,
    state: _State,
    done: Tally,
    validation: float | None,
    empty: float | None = None,
) -> Progress:
    """What the step came to; log and checkpoint are written."""
    progress = Progress(
        step=state.step,
        steps=settings.steps,
        objective=_stage(settings, max(0, state.step - 1))[0],
        reward=done.mean("reward"),
        kl=done.mean("kl"),
        loss=done.mean("loss"),
        validation=validation,
        best=state.best,
        seconds=state.seconds,
        move=done.mean("move"),
        skipped=state.skipped,
        empty=empty,
        **{figure: done.mean(figure) for figure in SHOWN},
    )
    if run:
        if done.rows:
            look.write(run.folder, state.step, settings.steps, done.rows)
        run.log(progress)
        run.save(state.to_dict())
    return progress
