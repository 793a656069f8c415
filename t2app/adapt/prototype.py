"""Strategy ``prototype``: the expert whose example questions are most like the question.

Each expert is a class: the hidden states (``states``) of the example questions that it keeps.
General questions make the class *other* (``kept``). A linear discriminant (``discriminant``)
tells them apart, so an expert takes part from the moment its file is there: no prompt, no training,
one short forward pass however many experts there are. Where the likeliest expert is not likely
enough, the base model answers; how likely it must be follows from the questions themselves. An
expert without example questions takes part by the mean state in its header.
"""

from __future__ import annotations

import base64
import operator
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from t2app.adapt import discriminant, kept, labels, states
from t2app.adapt.discriminant import Classes, Discriminant
from t2app.adapt.kept import QUESTIONS
from t2app.adapt.result import Adaptation
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.svf.expert import Expert
from t2app.tasks import dispatch


def of(engine: Engine, questions: Sequence[str]) -> dict[str, Any]:
    """The prototype of some questions, as JSON values for a header.

    ``mean`` is (hidden,) in float16 and base64, ``n`` the number of questions, ``depth`` where in
    the model it was read. Raises T2Error without any.
    """
    if not questions:
        raise T2Error("a prototype needs at least one question")
    read = states.cached(engine, list(questions[:QUESTIONS]))
    if not len(read):
        raise T2Error(
            "every question is too long for the model: it cannot be told by its questions"
        )
    mean = read.mean(0)
    packed = base64.b64encode(mean.numpy().astype("<f2").tobytes()).decode()
    return {
        "mean": packed,
        "n": len(read),
        "size": mean.numel(),
        "depth": states.DEPTH,
    }


def choose(engine: Engine, question: str) -> Adaptation:
    """Probabilities from likeness; the base alone where no expert is likely enough.

    ``why`` names experts that have neither example questions nor a prototype.
    """
    known = _known(engine)
    if known.judge is None:
        probabilities, label = {dispatch.OTHER: 1.0}, dispatch.OTHER
        why = "there are no experts to choose from"
    else:
        shares = known.judge.probabilities(states.of(engine, [question]))
        label = known.names[int(known.judge.chosen(shares))]
        probabilities = dict(zip(known.names, shares[0].tolist(), strict=True))
        why = _why(known, probabilities, label)
    if known.missing:
        why += f"; without example questions, so left out: {', '.join(known.missing)}"
    weights = {name: p for name, p in probabilities.items() if name != dispatch.OTHER}
    if label == dispatch.OTHER:
        weights = dict.fromkeys(weights, 0.0)
    return Adaptation("prototype", label, probabilities, weights, why)


def missing(engine: Engine) -> tuple[str, ...]:
    """Experts that have neither a prototype nor example questions to make one of."""
    return _known(engine).missing


def is_ready(engine: Engine) -> bool:
    """Whether a question would be answered without reading those of the experts first."""
    return _current(engine) is not None


def left_out(engine: Engine) -> list[tuple[str, str]]:
    """For each question that makes a class the pair (its class, the chosen one).

    Chosen as if the question had not been there: a measurement that costs nothing.
    """
    known = _known(engine)
    if known.judge is None:
        return []
    chosen = known.judge.chosen(known.judge.left_out).tolist()
    pairs = zip(known.own.tolist(), chosen, strict=True)
    return [(known.names[own], known.names[said]) for own, said in pairs]


@dataclass(frozen=True)
class _Known:
    """The classes by name, ``other`` last, the class of each question, and what judges.

    ``judge`` is None where *other* is the only class.
    """

    names: tuple[str, ...]
    own: Tensor
    judge: Discriminant | None
    missing: tuple[str, ...]


# For each engine: the experts that were there, and what was made of them.
_cache: WeakKeyDictionary[Engine, tuple[list[Expert], _Known]] = WeakKeyDictionary()


# Reading the questions of experts takes a while: whoever else wants the same waits for it.
_lock = threading.Lock()


def _known(engine: Engine) -> _Known:
    """The classes of the experts that are there now."""
    found = _current(engine)
    if found is None:
        with _lock:
            found = _current(engine)
            if found is None:
                experts = _experts(engine)
                found = _make(engine, experts)
                _cache[engine] = (list(experts.values()), found)
    return found


def _current(engine: Engine) -> _Known | None:
    """What was made of exactly the experts that are there now."""
    before, now = _cache.get(engine), list(_experts(engine).values())
    same = before and len(before[0]) == len(now) and all(map(operator.is_, before[0], now))
    return before[1] if same else None


def _experts(engine: Engine) -> dict[str, Expert]:
    return {n: e for n, e in engine.library.experts().items() if labels.takes_part(e)}


def _make(engine: Engine, experts: Mapping[str, Expert]) -> _Known:
    size = engine.model.get_input_embeddings().weight.shape[1]
    rows: dict[str, Tensor] = {}
    means: dict[str, tuple[Tensor, int]] = {}
    for name, expert in experts.items():
        asked = kept.examples(expert)
        found = states.cached(engine, asked) if asked else torch.empty(0)
        if len(found):
            rows[name], means[name] = found, (found.mean(0), len(found))
        elif (mean := _of_header(expert, size)) is not None:
            means[name] = mean
    missing = tuple(name for name in experts if name not in means)
    if not means:
        return _Known((dispatch.OTHER,), torch.empty(0, dtype=torch.long), None, missing)
    other = states.cached(engine, kept.of_no_expert(engine))
    rows[dispatch.OTHER], means[dispatch.OTHER] = other, (other.mean(0), len(other))
    names = tuple(means)
    own = torch.tensor([names.index(name) for name, found in rows.items() for _ in found])
    classes = Classes(
        torch.cat(list(rows.values())),
        own,
        torch.stack([mean for mean, _ in means.values()]),
        torch.tensor([n for _, n in means.values()]),
    )
    return _Known(names, own, discriminant.fit(classes), missing)


def _of_header(expert: Expert, size: int) -> tuple[Tensor, int] | None:
    """Mean state and number of questions in a header; None if it is damaged or of another kind."""
    prototype = expert.header.get("prototype")
    try:
        values = np.frombuffer(base64.b64decode(prototype["mean"], validate=True), "<f2")
        mean, n = torch.from_numpy(values.astype("float32")), int(prototype["n"])
        same_depth = abs(float(prototype["depth"]) - states.DEPTH) < 0.001
    except (TypeError, KeyError, ValueError):
        return None
    fits = same_depth and n > 0 and mean.numel() == size and bool(mean.isfinite().all())
    return (mean, n) if fits else None


def _why(known: _Known, probabilities: Mapping[str, float], label: str) -> str:
    likeliest = max(probabilities, key=probabilities.__getitem__)
    sure = f"{probabilities[likeliest]:.0%}"
    if label == likeliest == dispatch.OTHER:
        return f"the question is most like general ones ({sure}), so the base model answers"
    if label == likeliest:
        return f"the question is most like those of {label!r} ({sure})"
    needed = float(known.judge.thresholds[known.names.index(likeliest)])
    return f"only {sure} sure of {likeliest!r} (below {needed:.0%}), so the base model answers"
