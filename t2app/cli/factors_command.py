"""Compute the SVD factors of a model's original weights and keep them in the cache."""

from __future__ import annotations

import argparse
import time

from t2app.cli.common import MODEL_HELP, add_json, loading, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``factors``."""
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("--quant", default="auto", help="auto, nf4, int8 or none")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Factor, and print how much that was."""
    from t2app import models
    from t2app.models.kept import kept_as

    began = time.perf_counter()
    report = loading()
    base = models.load(args.model, args.quant, args.device, report)
    found = models.factors(base, report)
    summary = {
        "model": base.name,
        "base": base.base,
        "matrices": len(found),
        "numbers": sum(f.sigma.numel() for f in found.values()),
        "megabytes": round(
            sum(f.basis.numel() * f.basis.element_size() for f in found.values()) / 2**20, 1
        ),
        "seconds": round(time.perf_counter() - began, 2),
        "kept_as": kept_as(found, base.model.dtype),
    }
    if args.json:
        print_json(summary)
    else:
        print(
            f"{summary['model']}: {summary['matrices']} matrices, "
            f"{summary['numbers']} singular values, {summary['megabytes']} MB, "
            f"{summary['seconds']} s"
        )
        for storage, cost in summary["kept_as"].items():
            print(f"  --factors {storage}: {cost['megabytes']} MB, error {cost['error']:.1%}")
    return 0
