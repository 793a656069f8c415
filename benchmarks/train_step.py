"""What a training step costs: forward and backward with an expert against the plain base.

Run with ``python benchmarks/train_step.py --model tiny``. Both read the same tokens and send a
gradient back to their first layer; the expert in both of its forms, with the scoring that training
adds, and with the KL to the base. The last line is JSON: median seconds of each, and ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from t2app.engine import Engine
from t2app.engine.scoring import BASE


def seconds(step: Callable[[], None], device: torch.device, rounds: int) -> float:
    """Median of some rounds, after one that warms up."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def measure(engine: Engine, rows: int, prompt: int, answer: int, rounds: int) -> dict[str, float]:
    """Seconds of a forward and backward pass in each form."""
    torch.manual_seed(0)
    device, words = engine.base.device, engine.scorer.vocabulary
    prompts = torch.randint(words, (rows, prompt)).tolist()
    answers = torch.randint(words, (rows, answer)).tolist()
    ids = torch.tensor([p + a for p, a in zip(prompts, answers, strict=True)], device=device)
    delta = torch.zeros(engine.svf.layout.total, device=device, requires_grad=True)
    decoder, embedding = engine.model.get_decoder(), engine.model.get_input_embeddings()

    def base() -> None:
        inputs = embedding(ids).detach().requires_grad_()
        decoder(inputs_embeds=inputs, use_cache=False).last_hidden_state.float().sum().backward()

    def expert() -> None:
        with engine.svf.using(delta):
            hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
        hidden.float().sum().backward()

    def scored(**options: object) -> None:
        found = engine.score(prompts, answers, delta, **options)
        loss = found.logprobs.sum()
        (loss if found.kl is None else loss + found.kl.sum()).backward()

    found = {
        "base": seconds(base, device, rounds),
        "three products": seconds(expert, device, rounds),
    }
    with engine.training_form():
        found["two products"] = seconds(expert, device, rounds)
        found["scored"] = seconds(scored, device, rounds)
        found["scored, with KL"] = seconds(lambda: scored(reference=BASE), device, rounds)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--quant", default="none")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=80, help="tokens of a prompt")
    parser.add_argument("--answer", type=int, default=16, help="tokens of an answer")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    engine = Engine.load(args.model, args.quant)
    found = measure(engine, args.rows, args.prompt, args.answer, args.rounds)
    for name, value in found.items():
        print(f"{name:16} {value:8.4f} s   {value / found['base']:.2f} x the base")
    ratios = {name: round(value / found["base"], 3) for name, value in found.items()}
    where = {"model": engine.base.name, "precision": engine.base.precision}
    print(json.dumps({**where, "device": engine.status()["device"], "ratios": ratios}))


if __name__ == "__main__":
    main()
