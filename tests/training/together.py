"""One of several processes that train the toy expert: ``python together.py OBJECTIVE FILE``.

What the main process comes to is saved as FILE.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from t2app.engine import Engine
from t2app.models import BaseModel
from t2app.models.chat import ChatFormat
from t2app.svd.factor import factor
from t2app.svd.modules import adapted_modules
from t2app.training import experts, loop
from t2app.training.parallel import World
from t2app.training.runs import Run
from tests.conftest import build_model, build_tokenizer
from tests.training.toy import SMALL, TASK, TEST


def small_engine() -> Engine:
    """The engine of the fixture ``learner``."""
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    model = build_model(max_position_embeddings=1024, tie_word_embeddings=False)
    base = BaseModel(
        model=model,
        tokenizer=tokenizer,
        chat=ChatFormat(tokenizer, eos=[0]),
        name="small",
        base="small@0123456789ab",
        device=torch.device("cpu"),
        precision="float32",
        context=1024,
        folder=Path("small"),
    )
    engine = Engine(base, {n: factor(m.weight) for n, m in adapted_modules(model).items()})
    engine.ends = set(range(0, 300, 4))
    return engine


def main(objective: str, file: str) -> None:
    """Train in this process and those beside it."""
    engine = small_engine()
    world = World.join(engine.base.device)
    settings = replace(SMALL, objective=objective, steps=6, prompts=5)
    spec = world.agree(experts.spec_for(engine, TASK, "toy", settings, size=TEST))
    run = Run.create(spec, TASK) if world.main else None
    status = experts.train_expert(engine, TASK, spec, run, world=world)
    delta = loop.settle(engine, TASK, settings, run, world)
    if run is not None:
        saved = {"delta": run.load()["delta"], "kept": delta}
        torch.save({**saved, "curve": run.curve(), "after": status.report["after"]}, file)
    world.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
