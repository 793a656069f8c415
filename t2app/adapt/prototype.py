"""Strategy ``prototype``: the expert whose example questions are most like the question.

A prototype is the mean hidden state (last layer, last token) of an expert's example questions, read
by the base model in its chat format. It is kept in the expert's header, so an expert takes part
from the moment its file is there: no prompt, no training, one short forward pass however many
experts there are. Cosine similarity to the prototypes, seen from their centre, becomes
probabilities by one scale, fitted to the experts' own examples. Not covered: questions that fit no
expert, except by likeness to those of ``other``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import operator
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from t2app.adapt import labels
from t2app.adapt.result import Adaptation
from t2app.config import ROOT, TINY, cache_dir
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.svf.expert import Expert
from t2app.tasks import BUILT_IN, dispatch

GENERAL = ROOT / "assets" / "general-questions.jsonl"
# Questions that make a prototype; an expert keeps as many.
QUESTIONS = 64
BATCH = 32
# Questions, of all experts together, that the scale is fitted to: bounds the cost of a new expert.
FITTED_TO = 256
SCALES = torch.logspace(0, 2, 81)
VERSION = 1


def of(engine: Engine, questions: Sequence[str]) -> dict[str, Any]:
    """The prototype of some questions, as JSON values for a header.

    ``mean`` is (hidden,) in float16 and base64, ``n`` the number of questions. Raises T2Error
    without any.
    """
    if not questions:
        raise T2Error("a prototype needs at least one question")
    mean = _embed(engine, questions[:QUESTIONS]).mean(0)
    packed = base64.b64encode(mean.numpy().astype("<f2").tobytes()).decode()
    return {"mean": packed, "n": min(len(questions), QUESTIONS), "size": mean.numel()}


def choose(engine: Engine, question: str) -> Adaptation:
    """Probabilities from likeness; an expert without prototype or examples is named in ``why``."""
    known = _known(engine)
    likeness = _likeness(_embed(engine, [question]), known.means)[0]
    shares = (known.scale * likeness).softmax(0).tolist()
    probabilities = dict(zip(known.names, shares, strict=True))
    label = max(probabilities, key=probabilities.__getitem__)
    why = f"the question is most like those of {label!r} ({probabilities[label]:.0%})"
    if known.missing:
        why += f"; without example questions, so left out: {', '.join(known.missing)}"
    weights = {name: p for name, p in probabilities.items() if name != dispatch.OTHER}
    return Adaptation("prototype", label, probabilities, weights, why)


def examples(expert: Expert) -> list[str]:
    """The example questions that an expert keeps; anybody may have written its header."""
    found = expert.header.get("examples")
    return [q for q in found if isinstance(q, str) and q.strip()] if isinstance(found, list) else []


def missing(engine: Engine) -> tuple[str, ...]:
    """Experts that have neither a prototype nor example questions to make one of."""
    return _known(engine).missing


@dataclass(frozen=True)
class _Known:
    """Prototypes (K, hidden) by name, ``other`` last, and the scale of their likeness."""

    names: tuple[str, ...]
    means: Tensor
    scale: float
    missing: tuple[str, ...]


# For each engine: the experts that were there, and what was made of them.
_cache: WeakKeyDictionary[Engine, tuple[list[Expert], _Known]] = WeakKeyDictionary()


def _known(engine: Engine) -> _Known:
    """The prototypes of the experts that are there now."""
    experts = {n: e for n, e in engine.library.experts().items() if labels.takes_part(e)}
    before = _cache.get(engine)
    now = list(experts.values())
    if before and len(before[0]) == len(now) and all(map(operator.is_, before[0], now)):
        return before[1]
    questions = {name: examples(e) for name, e in experts.items()}
    questions[dispatch.OTHER] = _of_no_expert(engine)
    kept = {name: e.header.get("prototype") for name, e in experts.items()}
    made = _from_disk(engine, kept, questions) or _make(engine, kept, questions)
    known = _Known(
        tuple(made["prototypes"]),
        torch.stack([_unpack(p) for p in made["prototypes"].values()]),
        made["scale"],
        tuple(name for name in questions if name not in made["prototypes"]),
    )
    _cache[engine] = (now, known)
    return known


def _of_no_expert(engine: Engine) -> list[str]:
    """Questions that belong to no expert: hand-written ones of all kinds.

    The built-in model was trained on small talk only, so there it is small talk.
    """
    if engine.base.name == TINY:
        talk = BUILT_IN[dispatch.OTHER].problems("train", QUESTIONS, "prototype")
        return [p.question for p in talk]
    with GENERAL.open(encoding="utf-8") as lines:
        return [json.loads(line)["question"] for line in lines]


def _make(
    engine: Engine, kept: Mapping[str, Any], questions: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Prototypes from headers, the others from their questions; then the scale. Kept on disk."""
    size = engine.model.get_input_embeddings().weight.shape[1]
    found: dict[str, dict[str, Any]] = {}
    for name, asked in questions.items():
        if _fits(kept.get(name), size):
            found[name] = kept[name]
        elif asked:
            found[name] = of(engine, asked)
    made = {"prototypes": found, "scale": _fit(engine, found, questions)}
    _to_disk(_path(engine, kept, questions), made)
    return made


def _fits(prototype: Any, size: int) -> bool:
    """Whether a header's prototype can be read and is one of this model."""
    try:
        mean = _unpack(prototype)
        return mean.numel() == size and bool(mean.isfinite().all()) and int(prototype["n"]) > 0
    except (TypeError, KeyError, ValueError):
        return False


def _unpack(prototype: Mapping[str, Any]) -> Tensor:
    """The mean (hidden,) in fp32."""
    values = np.frombuffer(base64.b64decode(prototype["mean"], validate=True), "<f2")
    return torch.from_numpy(values.astype("float32"))


def _fit(
    engine: Engine,
    prototypes: Mapping[str, Mapping[str, Any]],
    questions: Mapping[str, list[str]],
) -> float:
    """The scale that makes the experts' own examples most likely.

    Each example meets its own prototype as it would be without that example. As if one more had
    been right and one wrong (Laplace), so that examples which are told apart without a mistake do
    not make certain of everything.
    """
    names = list(prototypes)
    share = max(1, FITTED_TO // len(names))
    asked = [(row, q) for row, n in enumerate(names) for q in questions[n][:QUESTIONS][:share]]
    if len(names) < 2 or not asked:
        return float(SCALES[0])
    rows = torch.tensor([row for row, _ in asked])
    states = _embed(engine, [q for _, q in asked])
    means = torch.stack([_unpack(p) for p in prototypes.values()])
    n = torch.tensor([float(p["n"]) for p in prototypes.values()])[rows, None]
    without = torch.where(n > 1, (n * means[rows] - states) / (n - 1).clamp(min=1), means[rows])
    likeness = _likeness(states, means)
    centre = means.mean(0)
    own = functional.cosine_similarity(states - centre, without - centre)
    likeness[torch.arange(len(rows)), rows] = own
    logs = (SCALES[:, None, None] * likeness).log_softmax(-1)  # (scales, examples, experts)
    right = logs[:, torch.arange(len(rows)), rows]
    wrong = (logs.sum(-1) - right) / (len(names) - 1)
    sure = (len(asked) + 1) / (len(asked) + 2)
    return float(SCALES[(sure * right + (1 - sure) * wrong).mean(1).argmax()])


def _likeness(states: Tensor, means: Tensor) -> Tensor:
    """Cosine similarity (B, K) of states (B, hidden) to prototypes, seen from their centre."""
    centre = means.mean(0)
    return functional.normalize(states - centre) @ functional.normalize(means - centre).T


def _embed(engine: Engine, questions: Sequence[str]) -> Tensor:
    """Hidden states (B, hidden) of questions as the chat would ask them; on the CPU."""
    prompts = [engine.prompt_ids([{"role": "user", "content": q}]) for q in questions]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: dict[int, Tensor] = {}
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        found.update(zip(part, engine.embed([prompts[i] for i in part]).cpu(), strict=True))
    return torch.stack([found[i] for i in range(len(prompts))])


# -- what was computed, on disk ------------------------------------------------------------------


def _path(engine: Engine, kept: Mapping[str, Any], questions: Mapping[str, list[str]]) -> Path:
    """A file for exactly these experts of this model."""
    decides = json.dumps([VERSION, engine.base.base, kept, questions], sort_keys=True)
    return cache_dir() / "prototypes" / f"{hashlib.sha256(decides.encode()).hexdigest()[:32]}.json"


def _from_disk(
    engine: Engine, kept: Mapping[str, Any], questions: Mapping[str, list[str]]
) -> dict[str, Any] | None:
    try:
        return json.loads(_path(engine, kept, questions).read_text())
    except (OSError, ValueError):
        return None


def _to_disk(path: Path, made: Mapping[str, Any]) -> None:
    """In one step; a cache that cannot be written is only slower."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, work = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            json.dump(made, file)
        os.replace(work, path)
