"""Hidden states of questions, read by the base model in its chat format; kept on disk.

A question's state is the mean of two, each of unit length: that of the last token, which has seen
everything but sits behind the template's end of the turn, and the mean over the question's own
tokens. They are read after 60 % of the layers: on three models classes were told apart better there
than by the last layer, which is busy with the next token (docs/LOG.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import normalize

from t2app.config import cache_dir
from t2app.engine import Engine, Prompt
from t2app.files import replace_with

DEPTH = 0.6
# Tokens of one batch: all layers' states of them are in memory at once.
TOKENS = 2048
VERSION = 1


def of(engine: Engine, questions: Sequence[str]) -> Tensor:
    """States (n, hidden) of unit length, in float32 on the CPU.

    Raises T2Error for a question that is too long for the model.
    """
    asked = [[{"role": "user", "content": q}] for q in questions]
    prompts = [engine.prompt_ids(messages) for messages in asked]
    behind = [engine.shared_prefix(*pair) for pair in zip(asked, prompts, strict=True)]
    found: dict[int, Tensor] = {}
    for part in _parts(prompts):
        rows = [prompts[i] for i in part]
        read = engine.read(rows, depth=DEPTH, behind=[behind[i] for i in part]).cpu()
        found.update(zip(part, normalize(normalize(read, dim=-1).mean(1)), strict=True))
    return torch.stack([found[i] for i in range(len(prompts))])


def cached(engine: Engine, questions: Sequence[str]) -> Tensor:
    """As ``of``, from disk if they were computed before; questions too long for it are left out.

    A cache that cannot be read or written is only slower. (0, hidden) where nothing is left.
    """
    path = _path(engine, questions)
    with suppress(OSError, SafetensorError, KeyError):
        return load(path.read_bytes())["states"]
    short = [q for q in questions if _short_enough(engine, q)]
    if not short:
        return torch.empty(0, engine.model.get_input_embeddings().weight.shape[1])
    states = of(engine, short)
    with suppress(OSError):
        replace_with(path, save({"states": states}))
    return states


def _short_enough(engine: Engine, question: str) -> bool:
    return engine.count_tokens([{"role": "user", "content": question}]) <= engine.longest_prompt


def _parts(prompts: Sequence[Prompt]) -> Iterator[list[int]]:
    """Prompts of like length together, as many as ``TOKENS`` allows."""
    part: list[int] = []
    for i in sorted(range(len(prompts)), key=lambda i: len(prompts[i])):
        if part and (len(part) + 1) * len(prompts[i]) > TOKENS:
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def _path(engine: Engine, questions: Sequence[str]) -> Path:
    """A file for exactly these questions and this model."""
    base = engine.base
    decides = json.dumps([VERSION, DEPTH, base.base, base.precision, list(questions)])
    digest = hashlib.sha256(decides.encode()).hexdigest()[:32]
    return cache_dir() / "states" / f"{digest}.safetensors"
