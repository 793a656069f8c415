"""Write a mix as a plain Hugging Face checkpoint, which needs nothing of this project to run.

The mix is written into the original weights, at 16 bits (32 for the built-in model), whatever
precision its experts were trained in. docs/serving.md shows how to serve the result.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from t2app.cli.common import MODEL_HELP, add_json, chosen, loading, note, print_json
from t2app.config import AUTO
from t2app.svf.mixing import parse_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    parser.add_argument("folder", metavar="DIR", help="a folder that is not there yet, or empty")
    parser.add_argument("--weights", help="the mix: math=0.7,code=0.3 (default: the base model)")
    parser.add_argument("--model", default=AUTO, help=MODEL_HELP)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint, and say what is in it."""
    from t2app import export

    weights = parse_weights(args.weights) if args.weights is not None else {}
    folder = Path(args.folder)
    export.check_folder(folder)
    began = time.perf_counter()
    found = export.write(chosen(args.model), weights, folder, loading())
    found["seconds"] = round(time.perf_counter() - began, 1)
    if args.json:
        print_json(found)
        return 0
    mixed = ", ".join(f"{name} {share:g}" for name, share in found["weights"].items())
    note(f"mix: {mixed or 'the base model'}")
    print(f"written to {found['path']}: {found['megabytes']:,.0f} MB in {found['precision']}")
    return 0
