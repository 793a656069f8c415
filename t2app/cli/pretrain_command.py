"""Make the built-in model again, from a seed. Continues where a run that was killed left off."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from t2app.cli.common import Line, add_json, print_json
from t2app.config import TINY_DIR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pretrain``; one option for each number of the recipe."""
    from t2app.tiny.pretrain import Recipe

    parser.add_argument("--out", type=Path, default=TINY_DIR, help="folder of the checkpoint")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile; needs a C++ compiler"
    )
    parser.add_argument(
        "--checkpoint-every", type=int, default=200, help="steps between checkpoints"
    )
    for field in fields(Recipe):
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=type(field.default), default=field.default)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Pretrain with progress."""
    from t2app.tiny import pretrain

    recipe = pretrain.Recipe(**{f.name: getattr(args, f.name) for f in fields(pretrain.Recipe)})
    line = Line()
    out = pretrain.run(
        args.out,
        recipe,
        device=args.device,
        checkpoint_every=args.checkpoint_every,
        compile_model=args.compile,
        report=lambda p: line.show(_words(p)),
    )
    line.end()
    if args.json:
        print_json({"path": str(out), "steps": recipe.steps, "seed": recipe.seed})
    else:
        print(f"written to {out}")
    return 0


def _words(p: dict[str, float]) -> str:
    """How far it is."""
    return (
        f"step {p['step']}/{p['steps']}  loss {p['loss']:.3f}  "
        f"{p['tokens'] / p['seconds']:.0f} tokens/s  {p['left'] / 60:.0f} min left"
    )
