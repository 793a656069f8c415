"""An engine without a model: it plays a queue of scripted answers word by word.

``stream`` has the signature of ``two_pass.stream``; ``Engine`` has what the page asks of an engine.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from t2app.adapt import Adaptation
from t2app.adapt.two_pass import Answer
from t2app.errors import T2Error


@dataclass(frozen=True)
class Script:
    """One answer to play: its words, the first pass that comes before, or the error instead."""

    text: str = "An answer."
    base_text: str = "The base model's answer."
    label: str | None = "math"
    probabilities: dict[str, float] = field(
        default_factory=lambda: {"math": 0.92, "code": 0.02, "reasoning": 0.03, "other": 0.03}
    )
    weights: dict[str, float] = field(
        default_factory=lambda: {"code": 0.02, "math": 0.92, "reasoning": 0.03}
    )
    error: str | None = None
    seconds: float = 0.0


class Double:
    """Stands for an ``Engine`` and for ``two_pass.stream``; records what it was asked."""

    def __init__(self, *scripts: Script, names: tuple[str, ...] = ("code", "math", "reasoning")):
        self.scripts = deque(scripts)
        self.names = list(names)
        self.asked: list[tuple[list[dict[str, str]], dict[str, Any]]] = []
        self.closed = 0
        self.library = SimpleNamespace(experts=self._experts)
        self.base = SimpleNamespace(
            name="tiny",
            device=torch.device("cpu"),
            place=None,
            skipped=(),
            notes=(),
            quantisation=None,
        )
        self.svf = SimpleNamespace(storage="auto")

    def _experts(self) -> dict[str, Any]:
        tasks = {name: SimpleNamespace(task=name) for name in self.names}
        return {**tasks, "dispatch": SimpleNamespace(task="dispatch")}

    def status(self) -> dict[str, Any]:
        return {
            "model": "tiny",
            "device": "cpu",
            "precision": "float32",
            "memory_mb": 212.4,
            "execution": "auto",
            "context": 512,
        }

    def stream(
        self,
        engine: Double,
        messages: list[dict[str, str]],
        *,
        strategy: str,
        weights: dict[str, float] | None,
        compare: bool,
        **settings: Any,
    ) -> Iterator[Answer]:
        asked = {"strategy": strategy, "weights": weights, "compare": compare, **settings}
        self.asked.append((messages, asked))
        script = self.scripts.popleft() if self.scripts else Script()
        try:
            yield from self._play(script, strategy, weights, compare)
        finally:
            self.closed += 1

    def _play(
        self, script: Script, strategy: str, weights: dict[str, float] | None, compare: bool
    ) -> Iterator[Answer]:
        if script.error:
            raise T2Error(script.error)
        passed = strategy not in ("manual", "off")
        adaptation = Adaptation(
            strategy=strategy,
            label=script.label if passed else None,
            probabilities=script.probabilities if passed else {},
            weights=script.weights if passed else dict(weights or {}),
            why="The first pass reads it as a word problem." if passed else "",
            seconds=0.012,
        )
        words = script.text.split(" ")
        for count in range(len(words) + 1):
            time.sleep(script.seconds)
            base = script.base_text.split(" ")[:count]
            yield Answer(
                text=" ".join(words[:count]),
                base_text=" ".join(base) if compare else None,
                adaptation=adaptation,
                timings={"first_pass": 0.012, "switch": 0.0003, "second_pass": 0.01 * count},
                tokens=count,
                done=count == len(words),
            )
