"""The experts of a model: list, show NAME, import FILE, export NAME FILE, delete NAME."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error
from t2app.svf import expert as expert_file
from t2app.svf.expert import Expert

ARGUMENTS = {"list": 0, "show": 1, "import": 1, "export": 2, "delete": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``experts``."""
    parser.add_argument("action", nargs="?", default="list", choices=list(ARGUMENTS))
    parser.add_argument("names", nargs="*", metavar="NAME|FILE")
    parser.add_argument(
        "--overwrite", action="store_true", help="import in place of an expert of that name"
    )
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Do what was asked and print it."""
    wanted = ARGUMENTS[args.action]
    if len(args.names) != wanted:
        raise T2Error(
            f"experts {args.action} takes {wanted} argument{'s' * (wanted != 1)}, "
            f"not {len(args.names)}"
        )
    library = load_engine(args).library
    if args.action == "list":
        return _list(library, args.json)
    if args.action == "show":
        return _print(_details(library.get(args.names[0])), args.json)
    if args.action == "import":
        expert = expert_file.load(Path(args.names[0]))
        path = library.add(expert, overwrite=args.overwrite)
        return _print({"expert": expert.name, "path": str(path)}, args.json)
    if args.action == "export":
        target = Path(args.names[1])
        if target.exists() and not args.overwrite:
            raise T2Error(f"{target} exists already: choose another file, or --overwrite")
        expert_file.save(library.get(args.names[0]), target)
        return _print({"expert": args.names[0], "path": str(target)}, args.json)
    library.delete(args.names[0])
    return _print({"deleted": args.names[0]}, args.json)


def _list(library, as_json: bool) -> int:
    experts, problems = library.experts(), library.problems()
    if as_json:
        print_json({"experts": [_summary(e) for e in experts.values()], "problems": problems})
    else:
        for e in map(_summary, experts.values()):
            gain = f"{_percent(e['before'])} -> {_percent(e['after'])}"
            print(f"{e['name']:16} {gain}  {e['description']}")
        for file, reason in problems.items():
            note(f"t2app: {file}: {reason}")
    return 0


def _percent(figure: Any) -> str:
    """An accuracy of the header, which in an imported file may be anything."""
    value = figure.get("accuracy") if isinstance(figure, dict) else None
    return f"{100 * value:5.1f} %" if isinstance(value, int | float) else "      –"


def _summary(e: Expert) -> dict[str, Any]:
    keys = ("description", "base", "task", "objective", "reward", "before", "after", "created")
    return {"name": e.name, **{k: e.header.get(k) for k in keys}}


def _details(e: Expert) -> dict[str, Any]:
    """The header, and how far ``z`` is from 1 in each matrix."""
    distance = {name: round((z - 1).abs().mean().item(), 5) for name, z in e.z.items()}
    return {
        "name": e.name,
        **e.header,
        "numbers": sum(z.numel() for z in e.z.values()),
        "mean_abs_delta": distance,
    }


def _print(values: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(values)
    else:
        for key, value in values.items():
            print(f"{key}: {value}")
    return 0
