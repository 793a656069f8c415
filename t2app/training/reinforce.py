"""REINFORCE on the vectors ``z`` of one expert (paper, section 3.1, equation 2).

``J(z) = E[log p_z(y|x) r(y)] - lambda KL(p_z || p)``, AdamW with cosine decay and gradient
clipping, the checkpoint with the best validation accuracy. Every step draws its problems and its
samples from (seed, step), so a run that was stopped or killed continues exactly. Not covered:
writing the expert (``experts``) and next-token training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import measure
from t2app.tasks import Task
from t2app.training import losses
from t2app.training.rollouts import Rollouts, sample
from t2app.training.runs import Run


@dataclass(frozen=True)
class Settings:
    """What decides the result. The defaults worked at once and were not tuned."""

    steps: int = 40
    prompts: int = 24
    samples: int = 6
    learning_rate: float = 2e-2
    kl: float = 0.0
    temperature: float = 1.0
    clip: float = 1e-3
    group_baseline: bool = True
    validation: int = 96
    validate_every: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "prompts", "samples", "validation", "validate_every"):
            if getattr(self, name) < 1:
                raise T2Error(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("learning_rate", "temperature", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise T2Error(f"{name} is {getattr(self, name)}: it must be above 0")
        if not 0 <= self.kl < math.inf:
            raise T2Error(f"kl is {self.kl}: it must not be below 0")


@dataclass(frozen=True)
class Progress:
    """One step of training. ``reward`` is the mean, -1 to 1; ``validation`` only where measured."""

    step: int
    steps: int
    reward: float
    kl: float
    validation: float | None
    best: float
    seconds: float


@dataclass
class _State:
    """What a checkpoint holds besides the settings."""

    delta: Tensor
    optimizer: torch.optim.Optimizer
    best_delta: Tensor
    best: float = -1.0
    step: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict:
        return {
            "delta": self.delta.detach(),
            "optimizer": self.optimizer.state_dict(),
            "best_delta": self.best_delta,
            "best": self.best,
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, saved: dict) -> None:
        self.delta.data.copy_(saved["delta"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.best_delta, self.best = saved["best_delta"], saved["best"]
        self.step, self.seconds = saved["step"], saved["seconds"]


def train(engine: Engine, task: Task, settings: Settings, run: Run) -> Iterator[Progress]:
    """Train (or continue ``run``) and yield progress; ``run`` holds the best vectors at any time.

    Closing the iterator stops after the current step and keeps the best so far.
    """
    size = engine.svf.layout.total
    delta = torch.zeros(size, device=engine.base.device, requires_grad=True)
    optimizer = torch.optim.AdamW([delta], lr=settings.learning_rate, weight_decay=0.0)
    state = _State(delta, optimizer, torch.zeros(size, device=engine.base.device))
    if (saved := run.load()) is not None:
        state.restore(saved)
    held_out = task.problems("validation", settings.validation, settings.seed)
    began = time.perf_counter() - state.seconds
    if state.step == 0:
        # An expert has to beat the base on the validation problems, or it stays the base.
        state.best = measure.accuracy(engine, task, held_out, None).accuracy
    while state.step < settings.steps:
        for group in optimizer.param_groups:
            group["lr"] = (
                settings.learning_rate * (1 + math.cos(math.pi * state.step / settings.steps)) / 2
            )
        reward, kl = _step(engine, task, settings, state)
        state.step += 1
        validation = None
        if state.step % settings.validate_every == 0 or state.step == settings.steps:
            validation = measure.accuracy(engine, task, held_out, delta.detach()).accuracy
            if validation > state.best:
                state.best, state.best_delta = validation, delta.detach().clone()
        state.seconds = time.perf_counter() - began
        progress = Progress(
            state.step, settings.steps, reward, kl, validation, state.best, state.seconds
        )
        run.log(progress)
        if validation is not None:
            run.save(state.to_dict())
        yield progress


def _step(engine: Engine, task: Task, settings: Settings, state: _State) -> tuple[float, float]:
    """One optimizer step; returns mean reward and KL to the base per answer."""
    problems = task.problems("train", settings.prompts, f"{settings.seed}/{state.step}")
    seed = settings.seed * 1_000_003 + state.step * 1009
    rollouts = sample(
        engine,
        task,
        problems,
        state.delta.detach(),
        samples=settings.samples,
        temperature=settings.temperature,
        seed=seed,
    )
    kl = _backward(engine, rollouts, settings, state.delta)
    torch.nn.utils.clip_grad_norm_([state.delta], settings.clip)
    state.optimizer.step()
    state.optimizer.zero_grad()
    return rollouts.rewards.mean().item(), kl


def _backward(
    engine: Engine, rollouts: Rollouts, settings: Settings, delta: Tensor, micro_batch: int = 48
) -> float:
    """Add up gradients over micro-batches of answers of like length; returns the mean KL.

    Answers without advantage (all samples of their prompt got the same reward) have no gradient but
    that of the KL, so they are skipped where it does not count.
    """
    advantage = (
        losses.advantages(rollouts.rewards, settings.group_baseline).flatten().to(delta.device)
    )
    total = len(rollouts.completions)
    chosen = [i for i in range(total) if settings.kl > 0 or advantage[i] != 0]
    chosen.sort(key=lambda i: len(rollouts.prompts[i]) + len(rollouts.completions[i]))
    kl_sum = 0.0
    for start in range(0, len(chosen), micro_batch):
        part = chosen[start : start + micro_batch]
        prompts = [rollouts.prompts[i] for i in part]
        completions = [rollouts.completions[i] for i in part]
        logprobs, mask = engine.logprobs(prompts, completions, delta, settings.temperature)
        with torch.no_grad():
            base, _ = engine.logprobs(prompts, completions, None, settings.temperature)
        kl = losses.kl_to_base(logprobs, base, mask)
        loss = losses.policy_gradient(logprobs, mask, advantage[part]) + settings.kl * kl
        (loss / total).backward()
        kl_sum += kl.item()
    if delta.grad is None:
        delta.grad = torch.zeros_like(delta)
    return kl_sum / max(1, len(chosen))
