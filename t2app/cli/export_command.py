"""Write a mix in a form that needs nothing of this project to run.

merged     a plain Hugging Face checkpoint, at 16 bits (32 for the built-in model), whatever
           precision the experts were trained in
lora       an adapter in PEFT's format beside the base: the best one of its rank, in closed form
gguf       the merged checkpoint for llama.cpp, Ollama and others, by llama.cpp's converter
gguf-lora  the adapter for llama.cpp, by its converter

docs/serving.md shows how to serve the result, and what each way loses.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

from t2app.cli.common import MODEL_HELP, add_json, chosen, loading, note, print_json
from t2app.config import AUTO
from t2app.errors import T2Error
from t2app.svf.mixing import parse_weights

WAYS = ("merged", "lora", "gguf", "gguf-lora")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    parser.add_argument(
        "folder", metavar="DIR", help="a folder that is not there yet, or empty; FILE.gguf for GGUF"
    )
    parser.add_argument("--as", dest="way", choices=WAYS, default="merged", help="default: merged")
    parser.add_argument("--weights", help="the mix: math=0.7,code=0.3 (default: the base model)")
    parser.add_argument("--rank", type=int, help="lora: the rank of every matrix")
    parser.add_argument(
        "--keep", type=float, help="lora: the smallest rank that keeps this share (default 0.99)"
    )
    parser.add_argument(
        "--measure",
        type=int,
        default=0,
        metavar="N",
        help="lora: measure base, mix and adapter on N problems of each expert's built-in task",
    )
    parser.add_argument("--model", default=AUTO, help=MODEL_HELP)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write it, and say what is in it."""
    if "lora" not in args.way and (args.rank is not None or args.keep is not None):
        raise T2Error(f"--rank and --keep are for --as lora, not for {args.way}: leave them out")
    weights = parse_weights(args.weights) if args.weights is not None else {}
    began = time.perf_counter()
    args.model = chosen(args.model)
    found = _write(args, weights, Path(args.folder))
    found["seconds"] = round(time.perf_counter() - began, 1)
    if args.json:
        print_json(found)
    else:
        _show(found)
    return 0


def _write(args: argparse.Namespace, weights: dict[str, float], place: Path) -> dict[str, Any]:
    from t2app.export import gguf, lora, merged

    if args.way in gguf.SCRIPTS:
        # What is missing is said before a model takes its time.
        gguf.converter(args.way)
        gguf.check_file(place)
    make = (
        partial(
            lora.write,
            args.model,
            weights,
            rank=args.rank,
            keep=args.keep,
            problems=args.measure,
            report=loading(),
        )
        if "lora" in args.way
        else partial(merged.write, args.model, weights, report=loading())
    )
    if args.way in gguf.SCRIPTS:
        base = gguf.folder_of(args.model) if args.way == "gguf-lora" else None
        return gguf.write(args.way, place, make, base)
    return make(place)


def _show(found: dict[str, Any]) -> None:
    mixed = ", ".join(f"{name} {share:g}" for name, share in found["weights"].items())
    note(f"mix: {mixed or 'the base model'}")
    if "rank" in found:
        print(f"rank {found['rank']}: {found['kept']:.2%} of the change of the weights is kept")
        same, n = found["agreement"]["same"], found["agreement"]["n"]
        print(f"{same} of {n} questions are answered word for word as by the whole mix")
        from t2app.export.lora import MOST_IN_VLLM, lines

        for line in lines(found["accuracy"]):
            print(line)
        if found["rank"] > MOST_IN_VLLM:
            note(f"vLLM serves ranks up to {MOST_IN_VLLM}: a smaller --keep or --rank fits it")
    form = f" in {found['precision']}" if "precision" in found else ""
    print(f"written to {found['path']}: {found['megabytes']:,.1f} MB{form}")
