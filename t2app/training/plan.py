"""Before training: which objective fits, and what the run will take, from a short measurement.

A few training rows are answered, scored and learned from, without changing anything. Times assume
that nothing else runs; while an expert learns its answers change in length, so they are rough.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from t2app.engine import TOKENS_AT_ONCE, Engine
from t2app.scoring import CHUNK_LOGITS
from t2app.tasks import Task
from t2app.training import batches, losses, next_token, rollouts
from t2app.training.rollouts import Rollouts
from t2app.training.settings import Settings

PROBE_ROWS, PROBE_SAMPLES = 16, 4
PROBE_ANSWERS = PROBE_ROWS * PROBE_SAMPLES
# Below this share of rows with a right answer among the samples, a step of RL learns from one row
# or none.
FEWEST_RIGHT = 0.1
# Answers that get worked out are longer than those of the base.
GROWTH = 1.5


@dataclass(frozen=True)
class Plan:
    """Settings with the objective chosen, why, and what the whole run is expected to take.

    ``seconds`` include measuring before and after; ``memory_mb`` comes on top of what is in use.
    """

    settings: Settings
    why: str
    seconds: float
    memory_mb: int

    def words(self) -> str:
        """Time and memory for people."""
        return f"{duration(self.seconds)} and {self.memory_mb:,} MB of memory beside the model"


@dataclass(frozen=True)
class _Probe:
    """Sampled answers of a few rows, and the seconds to sample and to learn from them."""

    found: Rollouts
    sampling: float
    learning: float
    has_answers: bool


def make(engine: Engine, task: Task, settings: Settings | None = None, test: int = 500) -> Plan:
    """Measure, choose the objective where it is ``auto``, and estimate.

    ``test`` is how many held-out problems there will be at most.
    """
    probe = _probe(engine, task, settings or Settings())
    chosen, why = _chosen(task, settings or Settings(), probe)
    return Plan(
        chosen,
        why,
        _seconds(task, chosen, probe, test),
        round(_bytes(engine, task, chosen, probe) / 2**20),
    )


def duration(seconds: float) -> str:
    """``about 2 min``; rough, as the figure is."""
    if seconds < 90:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


def _probe(engine: Engine, task: Task, settings: Settings) -> _Probe:
    problems = task.problems("train", PROBE_ROWS, f"{settings.seed}/probe")
    delta = torch.zeros(engine.svf.layout.total, device=engine.base.device, requires_grad=True)
    began = time.perf_counter()
    found = rollouts.sample(
        engine,
        task,
        problems,
        delta.detach(),
        samples=PROBE_SAMPLES,
        temperature=settings.temperature,
        seeds=[-(1 + settings.seed) * PROBE_ANSWERS + i * PROBE_SAMPLES for i in range(PROBE_ROWS)][
            : len(problems)
        ],
    )
    sampled = time.perf_counter()
    for part in engine.scoring_batches(found.prompts, found.completions):
        with engine.turns.turn():
            logprobs, mask = engine.logprobs(
                [found.prompts[i] for i in part], [found.completions[i] for i in part], delta
            )
            losses.next_token(logprobs, mask).backward()
    learned = time.perf_counter()
    scale = PROBE_ANSWERS / len(found.completions)
    return _Probe(
        found,
        (sampled - began) * scale,
        (learned - sampled) * scale,
        next_token.has_answers(task),
    )


def _chosen(task: Task, settings: Settings, probe: _Probe) -> tuple[Settings, str]:
    if settings.objective != "auto":
        return settings, "As you chose."
    scores = (probe.found.rewards + 1) / 2
    reached = (scores > 0).any(1).float().mean().item()
    right = f"The base got {scores.mean().item():.0%} of {scores.numel()} sampled answers right"
    if task.reward == "overlap" and probe.has_answers:
        objective, why = "sft", "The answers are free text, which is learned word by word."
    elif reached >= FEWEST_RIGHT:
        objective = "rl"
        why = f"{right}, so there is something to reinforce."
    elif probe.has_answers:
        objective = "sft+rl" if settings.steps > 1 else "sft"
        why = f"{right}, too few to reinforce, so the given answers are learned first."
    else:
        objective = "rl"
        why = f"{right}, and there are only tests to learn from: this may well come to nothing."
    return replace(settings, objective=objective), why


def _seconds(task: Task, settings: Settings, probe: _Probe, test: int) -> float:
    per_answer = GROWTH * probe.sampling / PROBE_ANSWERS
    per_update = GROWTH * probe.learning / PROBE_ANSWERS
    total = 0.0
    for objective, steps in settings.stages():
        answers = settings.prompts * (settings.samples if objective == "rl" else 1)
        total += steps * answers * (per_update + (per_answer if objective == "rl" else 0))
    validations = 1 + settings.steps // settings.validate_every
    measured = validations * _rows(task, "validation", settings.validation)
    return total + per_answer * (measured + 2 * _rows(task, "test", test))


def _rows(task: Task, split: str, most: int) -> int:
    return min(most, task.dataset.rows[split]) if task.dataset else most


def _bytes(engine: Engine, task: Task, settings: Settings, probe: _Probe) -> float:
    """The larger of what sampling keeps (keys and values) and what a gradient needs."""
    longest = max(map(len, probe.found.prompts)) + task.max_new_tokens
    answers = settings.prompts * (settings.samples if "rl" in settings.objective else 1)
    rows = min(answers, batches.rows_to_decode(engine, probe.found.prompts, task.max_new_tokens))
    config = engine.model.config.get_text_config(decoder=True)
    tokens = min(answers * longest, TOKENS_AT_ONCE[engine.base.device.type == "cuda"])
    item = 4 if engine.base.precision == "float32" else 2
    # Kept for the backward pass, a token and layer: about 20 times hidden (in and out of norms,
    # projections and corrections) and 8 times the MLP's width.
    width = 20 * config.hidden_size + 8 * getattr(config, "intermediate_size", config.hidden_size)
    logits = min(answers * task.max_new_tokens * config.vocab_size, CHUNK_LOGITS)
    learning = tokens * config.num_hidden_layers * width * item + 3 * 4 * logits
    return max(rows * longest * batches.cache_bytes(engine), learning)
