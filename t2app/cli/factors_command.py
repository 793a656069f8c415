"""Compute the SVD factors of a model's original weights and keep them in the cache."""

from __future__ import annotations

import argparse
import time

from t2app.cli.common import add_json, factored, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``factors``."""
    parser.add_argument("model", help="tiny, a folder, or a Hugging Face id")
    parser.add_argument("--quant", default="auto", help="auto, nf4, int8 or none")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Factor, and print how much that was."""
    from t2app import models

    began = time.perf_counter()
    base = models.load(args.model, args.quant, args.device)
    found = models.factors(base, factored)
    report = {
        "model": base.name,
        "base": base.base,
        "matrices": len(found),
        "numbers": sum(f.sigma.numel() for f in found.values()),
        "megabytes": round(
            sum(f.basis.numel() * f.basis.element_size() for f in found.values()) / 2**20, 1
        ),
        "seconds": round(time.perf_counter() - began, 2),
    }
    if args.json:
        print_json(report)
    else:
        print(
            f"{report['model']}: {report['matrices']} matrices, "
            f"{report['numbers']} singular values, {report['megabytes']} MB, {report['seconds']} s"
        )
    return 0
