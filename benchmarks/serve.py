"""A mixed load on one engine: people who chat, a search, a training run.

Run with ``python benchmarks/serve.py``; works on a CPU and on a GPU. For each number of users,
every one asks one question after the other, streamed, with a mix of their own, for some seconds.
The load is chat alone (``chat``), or chat beside a search that answers in large batches and beside
training in the background (``all``). Prints a table; the last line is JSON: tokens a second,
seconds to the first token and for each further one (p50, p95), of the chats alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from t2app.engine import Engine
from t2app.evaluation.bench import shapes

QUESTIONS = (
    "Tom has 12 apples and buys 3 boxes with 4 apples each. How many apples does he have now?",
    "Write a function double that returns a number times two.",
    "What is a baby chicken called?",
    "hello",
)
MIXES = 64
LOADS = ("chat", "all")


class Load:
    """Everything that goes on at once until ``stop`` is set, and what the chats have seen."""

    def __init__(self, engine: Engine, tokens: int) -> None:
        self.engine, self.tokens = engine, tokens
        self.stop = threading.Event()
        self.first: list[float] = []
        self.each: list[float] = []
        self.prompts = [
            engine.prompt_ids([{"role": "user", "content": question}]) for question in QUESTIONS
        ]
        generator = torch.Generator().manual_seed(0)
        mixes = 0.1 * torch.randn(MIXES, engine.svf.layout.total, generator=generator)
        self.mixes: Tensor = mixes.to(engine.base.device)

    def chat(self, user: int) -> None:
        """One user: a question, its answer, the next question."""
        number = user
        while not self.stop.is_set():
            began = last = time.perf_counter()
            steps = self.engine.decode(
                [self.prompts[number % len(self.prompts)]],
                self.mixes[user % MIXES],
                max_new_tokens=self.tokens,
            )
            for count, _ in enumerate(steps):
                now = time.perf_counter()
                (self.each if count else self.first).append(now - (last if count else began))
                last = now
                if self.stop.is_set():
                    break
            steps.close()
            number += 1

    def search(self) -> None:
        """What few-shot search hands in: many answers at once, each with a mix of its own."""
        while not self.stop.is_set():
            rows = self.prompts * (MIXES // len(self.prompts))
            self.engine.generate(rows, self.mixes, max_new_tokens=self.tokens)

    def train(self) -> None:
        """Micro-batches forward and backward, behind everybody else."""
        delta = torch.zeros_like(self.mixes[0]).requires_grad_()
        answers = [[5] * self.tokens] * len(self.prompts)
        with self.engine.turns.background():
            while not self.stop.is_set():
                with self.engine.turns.turn():
                    self.engine.score(self.prompts, answers, delta).logprobs.sum().backward()


def measure(engine: Engine, load: str, users: int, seconds: float, tokens: int) -> dict[str, Any]:
    """One line of the table."""
    at_work = Load(engine, tokens)
    jobs: list[Callable[[], None]] = [lambda i=i: at_work.chat(i) for i in range(users)]
    if load == "all":
        jobs += [at_work.search, at_work.train]
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    at_work.stop.set()
    spent = time.perf_counter() - began
    said = len(at_work.first) + len(at_work.each)
    for thread in threads:
        thread.join()
    return {
        "load": load,
        "users": users,
        "tokens_per_second": round(said / spent, 1),
        "first_token": _summary(at_work.first),
        "each_token": _summary(at_work.each),
    }


def _summary(values: list[float]) -> dict[str, float | int | None]:
    """Median and slow end, in seconds."""
    if not values:
        return {"p50": None, "p95": None, "n": 0}
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 5),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 5),
        "n": len(ordered),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="tiny", help=f"tiny, {', '.join(shapes.SHAPES)}")
    parser.add_argument("--quant", default="auto")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--load", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--seconds", type=float, default=6.0, help="of each line")
    parser.add_argument("--tokens", type=int, default=64, help="length of an answer")
    args = parser.parse_args()
    tiny = args.shape == "tiny"
    engine = Engine.load() if tiny else shapes.engine(args.shape, quant=args.quant)
    engine.ends = set()
    lines = []
    measure(engine, "chat", 1, min(2.0, args.seconds), args.tokens)  # warm
    print(
        f"{'load':5}{'users':>6}{'tokens/s':>10}"
        f"{'first p50':>10}{'p95':>10}{'each p50':>10}{'p95':>10}"
    )
    for load in args.load:
        for users in args.users:
            line = measure(engine, load, users, args.seconds, args.tokens)
            lines.append(line)
            first, each = line["first_token"], line["each_token"]
            shown = [first["p50"], first["p95"], each["p50"], each["p95"]]
            cells = "".join(f"{'-' if v is None else f'{1000 * v:.1f}':>10}" for v in shown)
            print(f"{load:5}{users:6}{line['tokens_per_second']:10.1f}{cells} ms", flush=True)
    about = {"model": engine.base.base, "device": engine.status()["device"]}
    print(json.dumps({**about, "tokens": args.tokens, "lines": lines}))


if __name__ == "__main__":
    main()
