"""Before training: what to learn from, for how long, and what the run will take.

A few training rows are answered, scored and learned from, without changing anything. Times assume
that nothing else runs; while an expert learns its answers change in length, so they are rough. Not
covered: how closed answers are given (``formats``).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch

from t2app.data.task import RowsTask
from t2app.engine import TOKENS_AT_ONCE, Engine
from t2app.engine.scoring import CHUNK_LOGITS
from t2app.evaluation.measure import prompts_for
from t2app.tasks import Problem, Task
from t2app.tasks.judging import cut_off
from t2app.training import batches, formats, losses, next_token, rollouts
from t2app.training.rollouts import Rollouts
from t2app.training.settings import Settings

PROBE_ROWS, PROBE_SAMPLES = 16, 4
PROBE_ANSWERS = PROBE_ROWS * PROBE_SAMPLES
# Below this share of rows with a right answer among the samples, a step of RL learns from one row
# or none.
FEWEST_RIGHT = 0.1
# Answers that get worked out are longer than those of the base.
GROWTH = 1.5
# Steps where they are not set: of reinforcement learning from samples; else so many times through
# the rows, within limits.
RL_STEPS = 24
PASSES, FEWEST_STEPS, MOST_STEPS = 4, 24, 400
# Above this share of answers that are cut off they get twice the room, up to a limit.
MOST_CUT, MOST_TOKENS = 0.25, 512
# Fewer steps than these are not worth a run, however long they take.
LEAST_STEPS = 24


@dataclass(frozen=True)
class Plan:
    """Settings with objective and steps chosen, why, and what the run is expected to take.

    ``task`` is the one to train on: its answers may be given in another way. ``seconds`` include
    measuring before and after; ``memory_mb`` comes on top of what is in use.
    """

    settings: Settings
    task: Task
    why: str
    seconds: float
    memory_mb: int

    def words(self) -> str:
        """Time and memory for people."""
        return f"{duration(self.seconds)} and {self.memory_mb:,} MB of memory beside the model"


@dataclass(frozen=True)
class _Probe:
    """Sampled answers of a few rows; seconds to sample one answer and to learn from one."""

    found: Rollouts
    sampling: float
    learning: float
    has_answers: bool


def make(engine: Engine, task: Task, settings: Settings | None = None, test: int = 500) -> Plan:
    """Measure, choose what was left open, and estimate.

    ``test`` is how many held-out problems there will be at most.
    """
    settings = settings or Settings()
    if settings.answer_tokens:
        task = replace(task, max_new_tokens=settings.answer_tokens)
    task, said = formats.choose(engine, task, settings)
    probe = _probe(engine, task, settings)
    task, probe, room = _with_room(engine, task, settings, probe)
    chosen, why = _chosen(task, settings, probe)
    chosen, length = _sized(task, chosen, probe, test)
    return Plan(
        chosen,
        task,
        " ".join(filter(None, (said, room, why, length))),
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


# -- measuring -----------------------------------------------------------------------------------


def _probe(engine: Engine, task: Task, settings: Settings) -> _Probe:
    problems = task.problems("train", PROBE_ROWS, f"{settings.seed}/probe")
    began = time.perf_counter()
    found = rollouts.sample(
        engine,
        task,
        problems,
        torch.zeros(engine.svf.layout.total, device=engine.base.device),
        samples=PROBE_SAMPLES,
        temperature=settings.temperature,
        seeds=[-(1 + settings.seed) * PROBE_ANSWERS + i * PROBE_SAMPLES for i in range(PROBE_ROWS)][
            : len(problems)
        ],
    )
    sampling = (time.perf_counter() - began) / len(found.completions)
    return _Probe(
        found, sampling, _learning(engine, task, problems, found), next_token.has_answers(task)
    )


def _with_room(
    engine: Engine, task: Task, settings: Settings, probe: _Probe
) -> tuple[Task, _Probe, str]:
    """The task with longer answers where many of the base's are cut off, and why."""
    cut = cut_off(probe.found.finished)
    known = settings.answer_tokens or task.closed or not isinstance(task, RowsTask)
    if known or cut <= MOST_CUT or task.max_new_tokens >= MOST_TOKENS:
        return task, probe, ""
    room = min(MOST_TOKENS, 2 * task.max_new_tokens)
    why = (
        f"{cut:.0%} of the base's answers were cut off after {task.max_new_tokens} tokens, so they "
        f"get {room}."
    )
    task = replace(task, max_new_tokens=room)
    return task, _probe(engine, task, settings), why


def _learning(engine: Engine, task: Task, problems: list[Problem], sampled: Rollouts) -> float:
    """Seconds to learn from one answer: a sampled one, or the right one where answers are closed.

    Learned from twice, for the first time pays for what is built once.
    """
    prompts, answers = sampled.prompts, sampled.completions
    if task.closed:
        prompts = prompts_for(engine, task, problems)
        answers = [next_token.answer_ids(engine, task, p) for p in problems]
    delta = torch.zeros(engine.svf.layout.total, device=engine.base.device, requires_grad=True)
    with engine.training_form():
        for _ in range(2):
            began = time.perf_counter()
            for part in engine.scoring_batches(prompts, answers):
                with engine.turns.turn():
                    rows = [prompts[i] for i in part], [answers[i] for i in part]
                    losses.next_token(*engine.logprobs(*rows, delta)).backward()
    return (time.perf_counter() - began) / len(answers)


# -- choosing ------------------------------------------------------------------------------------


def _chosen(task: Task, settings: Settings, probe: _Probe) -> tuple[Settings, str]:
    """What is learned from."""
    if settings.objective != "auto":
        return settings, "As you chose."
    scores = (probe.found.rewards + 1) / 2
    reached = (scores > 0).any(1).float().mean().item()
    right = f"The base got {scores.mean().item():.0%} of {scores.numel()} sampled answers right"
    if task.reward == "overlap" and probe.has_answers:
        objective, why = "sft", "The answers are free text, which is learned word by word."
    elif task.closed and probe.has_answers:
        objective = "sft"
        why = f"{right}; the answers are chosen among a few, so the right ones are learned."
    elif reached >= FEWEST_RIGHT:
        objective = "rl"
        why = f"{right}, so there is something to reinforce."
    elif probe.has_answers:
        objective = "sft+rl" if settings.steps != 1 else "sft"
        why = f"{right}, too few to reinforce, so the given answers are learned first."
    else:
        objective = "rl"
        why = f"{right}, and there are only tests to learn from: this may well come to nothing."
    return replace(settings, objective=objective), why


def _sized(task: Task, settings: Settings, probe: _Probe, test: int) -> tuple[Settings, str]:
    """How many steps, and why."""
    if settings.steps:
        return settings, ""
    wanted = _steps_for(task, settings)
    whole = replace(settings, steps=wanted)
    seconds, allowed = _seconds(task, whole, probe, test), 60 * settings.minutes
    if seconds <= allowed:
        return whole, f"{wanted} steps."
    beside = _measuring(task, probe, test)
    share = (allowed - beside) / max(1e-9, seconds - beside)
    fits = min(wanted, max(LEAST_STEPS, int(wanted * share)))
    return replace(settings, steps=fits), (
        f"{fits} steps, of the {wanted} that the rows are worth: more would take longer than "
        f"{settings.minutes:g} minutes (minutes, steps)."
    )


def _steps_for(task: Task, settings: Settings) -> int:
    """Steps that the rows are worth, whatever the time."""
    if not isinstance(task, RowsTask) or (settings.objective == "rl" and not task.closed):
        return RL_STEPS
    passes = math.ceil(PASSES * len(task.rows["train"]) / settings.prompts)
    return max(FEWEST_STEPS, min(MOST_STEPS, passes))


# -- what it takes -------------------------------------------------------------------------------


def _seconds(task: Task, settings: Settings, probe: _Probe, test: int) -> float:
    per_answer, per_update = _per_answer(task, probe), probe.learning
    total = _measuring(task, probe, test)
    for objective, steps in settings.stages():
        sampled = objective == "rl" and not task.closed
        answers = settings.prompts * (settings.samples if sampled else 1)
        # Each step is measured as well, by scoring some of its answers once more.
        update = per_update * (GROWTH if sampled else 1.3)
        total += steps * answers * (update + (per_answer if sampled else 0))
    validations = settings.steps // settings.between
    return total + per_answer * validations * _rows(task, "validation", settings.validation)


def _measuring(task: Task, probe: _Probe, test: int) -> float:
    """Seconds for the base on the validation rows, and base and expert on those held out.

    The base is measured twice there: as it is, and with what costs nothing.
    """
    rows = _rows(task, "validation", Settings().validation) + 3 * _rows(task, "test", test)
    return _per_answer(task, probe) * rows


def _per_answer(task: Task, probe: _Probe) -> float:
    """Seconds to decode an answer: closed ones are short once they are learned."""
    return probe.sampling * (1 if task.closed else GROWTH)


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
