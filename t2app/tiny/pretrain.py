"""Pretraining of the built-in model from a seed: ``python -m t2app pretrain``.

A small Llama on packed conversations (``corpus``), bf16 autocast, AdamW with linear decay to
zero. Every batch is a function of (seed, step), so a run that was
killed continues from its last checkpoint and sees exactly the text it would have seen.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from t2app.errors import T2Error
from t2app.files import share
from t2app.models.quiet import quiet
from t2app.tiny import corpus
from t2app.tiny import tokenizer as tiny_tokenizer


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights (on one kind of machine)."""

    seed: int = 1
    steps: int = 3600
    rows: int = 16
    length: int = tiny_tokenizer.CONTEXT
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    ffn: int = 704
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.1
    question_weight: float = 0.1

    def __post_init__(self) -> None:
        for name in ("steps", "rows", "length", "hidden", "layers", "heads", "ffn"):
            if getattr(self, name) < 1:
                raise T2Error(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.hidden % (2 * self.heads):
            raise T2Error(
                f"hidden is {self.hidden} with {self.heads} heads: it must be a multiple of twice "
                "the heads"
            )
        if not 0 < self.learning_rate < math.inf:
            raise T2Error(f"learning_rate is {self.learning_rate}: it must be above 0")


def config(recipe: Recipe, tok: PreTrainedTokenizerFast) -> LlamaConfig:
    """The architecture: a Llama like any other, only small."""
    return LlamaConfig(
        vocab_size=tiny_tokenizer.VOCABULARY,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.ffn,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.length,
        tie_word_embeddings=True,
        rope_theta=10_000.0,
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
        pad_token_id=tok.pad_token_id,
    )


def batch(
    tok: PreTrainedTokenizerFast, recipe: Recipe, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Packed rows and the weight of each token's loss: ids and weights, both (rows, length + 1).

    Answers count fully, questions a little, lists of categories not at all.
    """
    need = recipe.rows * (recipe.length + 1)
    drawn = corpus.conversations(recipe.seed, step)
    ids: list[int] = []
    weights: list[float] = []
    weight_of = {"system": 0.0, "user": recipe.question_weight, "assistant": 1.0}
    while len(ids) < need:
        some = [next(drawn) for _ in range(32)]
        pieces = [(f"<|{m['role']}|>\n", m["content"], m["role"]) for c in some for m in c]
        heads = tok([p[0] for p in pieces], add_special_tokens=False).input_ids
        bodies = tok([p[1] for p in pieces], add_special_tokens=False).input_ids
        newline = tok("\n", add_special_tokens=False).input_ids
        at = 0
        for talk in some:
            ids.append(tok.bos_token_id)
            weights.append(0.0)
            for _ in talk:
                body = [*bodies[at], tok.eos_token_id]
                ids += [*heads[at], *body, *newline]
                weights += (
                    [0.0] * len(heads[at])
                    + [weight_of[pieces[at][2]]] * len(body)
                    + [0.0] * len(newline)
                )
                at += 1
    shape = (recipe.rows, recipe.length + 1)
    return torch.tensor(ids[:need]).view(shape), torch.tensor(weights[:need]).view(shape)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; norms are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    norms = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95))


def _rate(recipe: Recipe, step: int) -> float:
    """Learning rate: warm up, then fall in a straight line to zero."""
    rising = (step + 1) / max(1, recipe.warmup)
    falling = (recipe.steps - step) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * min(rising, falling, 1.0)


def _loss(model: nn.Module, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids[:, :-1]).logits.float()
    each = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    w = weights[:, 1:].flatten()
    return (each * w).sum() / w.sum().clamp_min(1e-8)


def run(
    out: Path,
    recipe: Recipe,
    *,
    device: str = "cpu",
    checkpoint_every: int = 200,
    compile_model: bool = False,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> Path:
    """Train (or continue) and write a Hugging Face checkpoint into ``out``.

    Raises T2Error where ``out`` holds an unfinished run of another recipe, or a damaged one, or
    cannot be made, and where ``device`` is a GPU that is not there.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise T2Error(f"device {device!r} was asked for but no CUDA GPU is usable: choose cpu")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise T2Error(f"cannot make the folder {out}: {error.strerror or error}") from error
    state_file = out / "pretraining.pt"
    torch.manual_seed(recipe.seed)
    tok = tiny_tokenizer.train(recipe.seed)
    model = LlamaForCausalLM(config(recipe, tok)).to(device)
    optimizer = _optimizer(model, recipe)
    start, seconds = 0, 0.0
    if state_file.exists():
        state = _load_state(state_file, recipe, device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start, seconds = state["step"], state["seconds"]
    forward = torch.compile(model) if compile_model else model
    began = time.perf_counter() - seconds
    for step in range(start, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, step)
        ids, weights = (t.to(device) for t in batch(tok, recipe, step))
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            loss = _loss(forward, ids, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        elapsed = time.perf_counter() - began
        if not math.isfinite(loss.item()):
            raise T2Error(
                f"the loss is {loss.item()} at step {step}; a lower --learning-rate may help"
            )
        if step % 10 == 9 or step + 1 == recipe.steps:
            tokens = (step + 1) * recipe.rows * recipe.length
            report(
                {
                    "step": step + 1,
                    "steps": recipe.steps,
                    "loss": loss.item(),
                    "tokens": tokens,
                    "seconds": elapsed,
                    "left": elapsed / (step + 1) * (recipe.steps - step - 1),
                }
            )
        if (step + 1) % checkpoint_every == 0 and step + 1 < recipe.steps:
            _save_state(
                state_file,
                {
                    "recipe": asdict(recipe),
                    "model": model.state_dict(),
                    "step": step + 1,
                    "seconds": elapsed,
                    "optimizer": optimizer.state_dict(),
                },
            )
    with quiet():
        model.to(torch.bfloat16).save_pretrained(out)
    tok.save_pretrained(out)
    for path in out.glob("*.safetensors"):
        share(path)
    (out / "recipe.json").write_text(
        json.dumps(
            {
                **asdict(recipe),
                "seconds": round(time.perf_counter() - began),
                "torch": torch.__version__,
            },
            indent=2,
        )
        + "\n"
    )
    state_file.unlink(missing_ok=True)
    return out


def _load_state(path: Path, recipe: Recipe, device: str) -> dict[str, Any]:
    try:
        state = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:  # torch raises nearly anything for a file that is not whole
        raise T2Error(f"{path} is damaged: delete it to begin anew") from error
    if state["recipe"] != asdict(recipe):
        raise T2Error(f"{path} belongs to another recipe; delete it or choose another folder")
    return state


def _save_state(path: Path, state: dict) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)
