"""A mix of experts as a LoRA adapter in PEFT's format, beside the base that everybody has.

One rank for all matrices and a scaling of 1, so that every engine that reads such adapters reads
this one alike. Vectors and biases that an expert does not touch stay those of the base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from t2app import models
from t2app.adapt.kept import examples, general
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation.measure import accuracy
from t2app.export.folder import check_disk, check_folder, megabytes, whole
from t2app.models import BaseModel, Report
from t2app.svd.modules import adapted_modules
from t2app.svf.low_rank import cut, pair, rank_for, share_kept
from t2app.svf.mixing import Weights
from t2app.tasks import BUILT_IN

KEEP = 0.99
# What vLLM serves; its highest setting of --max-lora-rank.
MOST_IN_VLLM = 512
# Questions on which the cut mix is compared with the whole one.
QUESTIONS = 16
ANSWER_TOKENS = 64

CARD = """---
{base_model}library_name: peft
tags: [t2app, transformer-squared, svf, lora]
---

# A mix of experts for {name}, as a LoRA

For `{base}`: {mix}. Rank {rank}, made in closed form from Transformer² experts (arXiv 2501.06252)
by `python -m t2app export --as lora`.

- Of the change of the weights, {kept:.2%} is here (the share of its squared norm; the best that
  this rank can keep).
- {agreement}
{measured}\
- It adapts the weight matrices of the blocks. The mix was made for the original weights; on a
  quantised base the answers differ a little more.
"""


@dataclass(frozen=True)
class Agreement:
    """How the cut mix answers compared with the whole one, on ``n`` questions.

    ``same`` are answered word for word alike; ``kl`` is the mean over tokens, in nats.
    """

    n: int
    same: int
    kl: float

    @property
    def line(self) -> str:
        """For people."""
        if not self.n:
            return "How it answers was not compared: no question fits the model's context."
        return (
            f"Of {self.n} questions that the experts keep, {self.same} are answered word for word "
            f"as by the whole mix; the KL to it is {self.kl:.4f} nats a token."
        )


def write(
    model: str,
    weights: Weights,
    folder: Path,
    *,
    rank: int | None = None,
    keep: float | None = None,
    problems: int = 0,
    report: Report = lambda *_: None,
) -> dict[str, Any]:
    """Write the mix ``weights`` of ``model``'s experts as an adapter; what was written, for people.

    ``rank`` is that of every matrix, or ``keep`` the share of the change to keep (0.99). So many
    test ``problems`` measure base, mix and adapter on each expert's task that is built in. Raises
    T2Error for an empty mix, an impossible rank or share, and as ``merged.write`` does.
    """
    check_folder(folder)
    if rank is not None and keep is not None:
        raise T2Error("--rank says how large the adapter is and --keep what it keeps: give one")
    if not any(share > 0 for share in weights.values()):
        raise T2Error("the base alone is no adapter: say what to mix with --weights")
    base = models.load(model, "none", "cpu", report)
    engine = Engine(base, models.factors(base, report), storage="dense")
    delta = engine.delta(weights)
    chosen = _rank(engine, delta, rank, KEEP if keep is None else keep)
    part = cut(engine.svf.layout, engine.sigma, delta, chosen)
    agreement = agree(engine, delta, part, questions(engine, weights))
    kept = {name: share for name, share in weights.items() if share > 0}
    found = {
        "base": base.base,
        "weights": kept,
        "rank": chosen,
        "kept": round(share_kept(engine.svf.layout, engine.sigma, delta, part), 6),
        "agreement": {"n": agreement.n, "same": agreement.same, "kl": round(agreement.kl, 6)},
        "accuracy": measured(engine, kept, delta, part, problems),
    }
    save(engine, part, chosen, folder, _card(base, found, agreement))
    return {"path": str(folder), **found, "megabytes": megabytes(folder)}


def _rank(engine: Engine, delta: Tensor, rank: int | None, keep: float) -> int:
    most = max(engine.svf.layout.sizes.values())
    if rank is None:
        if not 0 < keep <= 1:
            raise T2Error(f"--keep is {keep:g}: give a share between 0 and 1, such as 0.99")
        return rank_for(engine.svf.layout, engine.sigma, delta, keep)
    if not 1 <= rank <= most:
        raise T2Error(f"--rank is {rank}: this model's matrices have ranks from 1 to {most}")
    return rank


def save(engine: Engine, delta: Tensor, rank: int, folder: Path, card: str) -> None:
    """Write the best adapter of ``rank`` for ``delta`` (R,) to ``folder``, with a README.md."""
    layers, parts = engine.svf.layers, engine.svf.layout.split(delta)
    size = 4 * rank * sum(sum(layer.module.weight.shape) for layer in layers.values())
    check_disk(size, folder, "adapter")
    tensors = {}
    for name, layer in layers.items():
        a, b = pair(layer, engine.sigma[name], parts[name], rank)
        tensors[f"base_model.model.{name}.lora_A.weight"] = a.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = b.contiguous()
    with whole(folder, size, "adapter") as work:
        save_file(tensors, work / "adapter_model.safetensors", metadata={"format": "pt"})
        settings = json.dumps(config(engine.base, rank), indent=2)
        (work / "adapter_config.json").write_text(settings + "\n", encoding="utf-8")
        (work / "README.md").write_text(card, encoding="utf-8")


def config(base: BaseModel, rank: int) -> dict[str, Any]:
    """``adapter_config.json``, as PEFT reads it."""
    modules = adapted_modules(base.model)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name if "/" in base.name else str(base.folder),
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(isinstance(module, Conv1D) for module in modules.values()),
        "inference_mode": True,
        "init_lora_weights": True,
        "target_modules": _targets(base.model, modules),
    }


def _targets(model: nn.Module, modules: Mapping[str, nn.Module]) -> list[str]:
    """The last parts of the names where these mean the adapted modules alone, else whole names."""
    leaves = {name.rpartition(".")[2] for name in modules}
    meant = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in leaves}
    return sorted(leaves) if meant == set(modules) else list(modules)


def questions(engine: Engine, weights: Weights) -> list[str]:
    """Questions that the experts of the mix keep, as many of each; general ones where none are.

    Those that leave room for an answer.
    """
    experts = engine.library.experts()
    kept = [examples(experts[name]) for name, share in weights.items() if share > 0]
    asked = [question for row in zip(*filter(None, kept), strict=False) for question in row]
    room = engine.base.context - ANSWER_TOKENS
    fitting = (q for q in asked or general() if engine.count_tokens(_turn(q)) <= room)
    return list(islice(fitting, QUESTIONS))


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What ``measured`` found, for people."""
    return [
        f"{task} (n = {of['mix']['n']}): "
        + ", ".join(f"{name} {value['accuracy']:.1%}" for name, value in of.items())
        for task, of in found.items()
    ]


@torch.no_grad()
def agree(engine: Engine, whole_mix: Tensor, part: Tensor, asked: Sequence[str]) -> Agreement:
    """Answer ``asked`` with both mixes, greedily."""
    if not asked:
        return Agreement(0, 0, 0.0)
    prompts = [engine.prompt_ids(_turn(question)) for question in asked]
    first, second = (
        engine.generate(prompts, delta, max_new_tokens=ANSWER_TOKENS) for delta in (whole_mix, part)
    )
    said = [completion.token_ids for completion in first]
    kl = engine.divergence(prompts, said, part, whole_mix)
    same = sum(a.token_ids == b.token_ids for a, b in zip(first, second, strict=True))
    return Agreement(len(prompts), same, kl.mean().item())


def _turn(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def measured(
    engine: Engine, weights: Weights, delta: Tensor, part: Tensor, problems: int
) -> dict[str, dict[str, Any]]:
    """Greedy accuracy of base, whole mix and adapter, by task; nothing without ``problems``."""
    experts = engine.library.experts()
    tasks = dict.fromkeys(experts[name].task for name in weights)
    found = {}
    for task in (BUILT_IN[name] for name in tasks if problems and name in BUILT_IN):
        asked = task.problems("test", problems, "export")
        found[task.name] = {
            name: accuracy(engine, task, asked, mix).to_dict()
            for name, mix in (("base", None), ("mix", delta), ("adapter", part))
        }
    return found


def _card(base: BaseModel, found: Mapping[str, Any], agreement: Agreement) -> str:
    mix = ", ".join(f"{name} {share:g}" for name, share in found["weights"].items())
    known = f"base_model: {base.name}\n" if "/" in base.name else ""
    return CARD.format(
        base_model=known,
        name=base.name,
        base=base.base,
        mix=mix,
        rank=found["rank"],
        kept=found["kept"],
        agreement=agreement.line,
        measured="".join(f"- {line}\n" for line in lines(found["accuracy"])),
    )
