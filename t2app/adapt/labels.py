"""Asking the model itself what kind of question it has: the first pass of two strategies.

Labels and descriptions come from the experts that are there; ``other`` is the base model. A model
that was never trained on such a list favours some labels whatever is asked. So the scores are
calibrated: on a sample of the questions that experts keep, and of general ones, it is learned which
scores go with which label (a linear discriminant on the log-probabilities). Where an expert keeps
no questions, what each label gets on general ones is taken out instead (Zhao et al., 2021). The
built-in model was trained on such lists and is taken at its word.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from t2app.adapt import discriminant, kept
from t2app.adapt.discriminant import Classes, Discriminant
from t2app.adapt.result import Adaptation
from t2app.config import TINY, cache_dir
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.files import replace_with
from t2app.svf.expert import Expert
from t2app.tasks import dispatch

# Enough for the longest name of an expert, even letter by letter.
LABEL_TOKENS = 48
# Questions of the sample: of all experts together, of one at least and at most, and general ones.
SAMPLE, FEWEST, MOST, GENERAL = 64, 4, 16, 32
# No log-probability counts as less: a label that is out of the question is so by a finite amount.
LOWEST = -60.0
VERSION = 1


def takes_part(expert: Expert) -> bool:
    """Whether a first pass may choose the expert: not one that classifies, not a saved mix."""
    return expert.task != "dispatch" and "mix" not in expert.header


def from_experts(experts: Mapping[str, Expert]) -> dict[str, str]:
    """Label -> description, by name, for every expert that takes part; ``other`` comes last."""
    found = {
        name: " ".join(e.description.split()) or name
        for name, e in experts.items()
        if takes_part(e)
    }
    return dispatch.listed(found)


def classify(
    engine: Engine, question: str, strategy: str, delta: Tensor | None, generate: bool
) -> Adaptation:
    """Probability of each label, by scoring it (default) or by generating one as in the paper.

    The probabilities are the mixing weights; that of ``other`` stays with the base, and where it is
    the likeliest the base answers alone.
    """
    labels = from_experts(engine.library.experts())
    if generate:
        messages = dispatch.messages(labels, question)
        said = engine.generate([engine.prompt_ids(messages)], delta, max_new_tokens=LABEL_TOKENS)
        label = dispatch.parse_label(said[0].text, list(labels))
        probabilities = {name: float(name == label) for name in labels}
        why = f"the model said {said[0].text.strip()!r}"
    elif len(labels) == 1:
        label, probabilities = dispatch.OTHER, {dispatch.OTHER: 1.0}
        why = "there are no experts to choose from"
    else:
        shares = _calibrated(engine, delta, scores(engine, labels, question, delta))
        probabilities = dict(zip(labels, shares.tolist(), strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        why = f"the model finds {label!r} most likely ({probabilities[label]:.0%})"
    weights = {name: p for name, p in probabilities.items() if name != dispatch.OTHER}
    if label == dispatch.OTHER:
        weights = dict.fromkeys(weights, 0.0)
    return Adaptation(strategy, label, probabilities, weights, why)


def _calibrated(engine: Engine, delta: Tensor | None, values: Tensor) -> Tensor:
    if engine.base.name == TINY:
        return values.softmax(-1)
    return calibration(engine, delta).probabilities(values)


def scores(
    engine: Engine, labels: Mapping[str, str], question: str, delta: Tensor | None
) -> Tensor:
    """Log-probability (K,) of each label as the model gives it, given that it is one of them."""
    messages = dispatch.messages(labels, question)
    found = engine.label_probabilities(messages, list(labels), delta)
    values = torch.tensor([found[name] for name in labels], dtype=torch.float64)
    return values.log().clamp(min=LOWEST)


@dataclass(frozen=True)
class Calibration:
    """What scores (K,) of labels mean; ``other`` is the last one.

    ``judge`` is a discriminant; without one ``usual`` (K,), what each label gets in any case, is
    taken out. ``own`` (N,) are the right labels of the sample, ``said`` (N,) those that are found,
    each by a judge that has not seen it.
    """

    judge: Discriminant | None
    usual: Tensor
    own: Tensor
    said: Tensor

    def probabilities(self, values: Tensor) -> Tensor:
        """(K,) to (K,)."""
        if self.judge is None:
            return (values - self.usual).softmax(-1)
        return self.judge.probabilities(values[None])[0]


_lock = threading.Lock()
_known: WeakKeyDictionary[Engine, dict[Path, Calibration]] = WeakKeyDictionary()


def calibration(
    engine: Engine, delta: Tensor | None, stop: Callable[[], bool] = lambda: False
) -> Calibration:
    """The calibration for the experts there are; scores the sample where nobody did so before.

    That takes a short pass for each of some hundred questions, once for these experts. ``stop`` is
    asked between them; T2Error where it says so.
    """
    experts = engine.library.experts()
    labels = from_experts(experts)
    rows, own = _sample(engine, experts, labels)
    path = _path(engine, labels, rows, delta)
    with _lock:
        found = _known.setdefault(engine, {})
        if path not in found:
            values = _scored(engine, labels, rows, delta, path, stop)
            found[path] = _fit(values, own, len(labels), engine.base.name == TINY)
    return found[path]


def is_calibrated(engine: Engine, delta: Tensor | None) -> bool:
    """Whether ``calibration`` would return at once."""
    experts = engine.library.experts()
    labels = from_experts(experts)
    path = _path(engine, labels, _sample(engine, experts, labels)[0], delta)
    return path in _known.get(engine, {}) or path.is_file()


def _sample(
    engine: Engine, experts: Mapping[str, Expert], labels: Mapping[str, str]
) -> tuple[list[str], list[int]]:
    """Questions to score, and the number of the label of each."""
    most = min(MOST, max(FEWEST, SAMPLE // max(1, len(labels) - 1)))
    questions, own = [], []
    for number, name in enumerate(labels):
        if name == dispatch.OTHER:
            chosen = _spread(kept.of_no_expert(engine), GENERAL)
        else:
            chosen = _spread(kept.examples(experts[name]), most)
        questions += chosen
        own += [number] * len(chosen)
    return questions, own


def _spread(questions: Sequence[str], most: int) -> list[str]:
    """At most so many, evenly spaced."""
    count = min(most, len(questions))
    return [questions[i * len(questions) // count] for i in range(count)]


def _scored(
    engine: Engine,
    labels: Mapping[str, str],
    rows: Sequence[str],
    delta: Tensor | None,
    path: Path,
    stop: Callable[[], bool],
) -> Tensor:
    """Scores (N, K) of the sample, from disk if they are there."""
    with suppress(OSError, SafetensorError, KeyError):
        return load(path.read_bytes())["scores"]
    found = []
    for question in rows:
        if stop():
            raise T2Error("stopped before all questions were scored")
        found.append(scores(engine, labels, question, delta))
    values = torch.stack(found)
    with suppress(OSError):
        replace_with(path, save({"scores": values}))
    return values


def _fit(values: Tensor, own: Sequence[int], labels: int, trained: bool) -> Calibration:
    """From scores (N, K) of a sample; ``trained`` is a model that knows such lists."""
    classes = torch.tensor(own)
    counts = classes.bincount(minlength=labels)
    if trained or int(counts.min()) < 2:
        general = values[classes == labels - 1].mean(0)
        usual = torch.zeros_like(general) if trained else general
        return Calibration(None, usual, classes, (values - usual).argmax(1))
    means = torch.stack([values[classes == k].mean(0) for k in range(labels)])
    # No threshold: where the scores say little, it would leave everything to the base.
    judge = discriminant.fit(Classes(values, classes, means, counts), left_alone=0.0)
    return Calibration(judge, torch.zeros(labels), classes, judge.left_out.argmax(1))


def _path(
    engine: Engine, labels: Mapping[str, str], rows: Sequence[str], delta: Tensor | None
) -> Path:
    """A file for exactly this question to the model, this sample and this mix."""
    mix = None if delta is None else hashlib.sha256(delta.cpu().numpy().tobytes()).hexdigest()
    base = engine.base
    decides = [VERSION, base.base, base.precision, dispatch.system_prompt(labels), list(rows), mix]
    digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:32]
    return cache_dir() / "label-scores" / f"{digest}.safetensors"
