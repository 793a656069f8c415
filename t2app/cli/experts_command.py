"""The experts of a model: list, look at, compare, import, export, rename, describe, delete,
push and pull.

list                      what there is, and which files do not fit
show NAME                 everything about one expert
check NAME                what it does to questions that are not its own; kept in its file
compare                   cosine similarity of all experts
import FILE [--name NAME] a file of t2app, or a .pt of SakanaAI/self-adaptive-llms
export NAME FILE          a copy to pass on
rename NAME NEW           call it something else
describe NAME "TEXT"      what it is for: people and the first pass read this
delete NAME               put it away
restore NAME              bring the last deleted expert of that name back
push NAME PLACE           to a repository of the hub (OWNER/NAME), a folder or an address such as
                          s3://bucket/experts, with a card; its file holds up to 64 of the
                          questions it was trained on
pull PLACE [NAME]         take one over from there
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error
from t2app.svf import compare
from t2app.svf.expert import Expert
from t2app.svf.library import Library

if TYPE_CHECKING:
    from t2app.engine import Engine

# How many arguments each action takes.
ARGUMENTS = {
    "list": (0,),
    "show": (1,),
    "check": (1,),
    "compare": (0,),
    "import": (1,),
    "export": (2,),
    "rename": (2,),
    "describe": (2,),
    "delete": (1,),
    "restore": (1,),
    "push": (2,),
    "pull": (1, 2),
}

LONGEST = 240  # characters of a value, for people


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``experts``."""
    parser.add_argument("action", nargs="?", default="list", choices=list(ARGUMENTS))
    parser.add_argument("names", nargs="*", metavar="NAME|FILE|PLACE")
    parser.add_argument("--name", help="import or pull under this name")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an expert or file of that name"
    )
    parser.add_argument(
        "--public", action="store_true", help="push: a new repository is for everybody to see"
    )
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Do what was asked and print it."""
    wanted = ARGUMENTS[args.action]
    if len(args.names) not in wanted:
        number = " or ".join(map(str, wanted))
        raise T2Error(
            f"experts {args.action} takes {number} argument{'s' * (number != '1')}, "
            f"not {len(args.names)}"
        )
    engine = load_engine(args)
    found = _do(engine, args)
    return _list(engine.library, args.json) if found is None else _print(found, args.json)


def _do(engine: Engine, args: argparse.Namespace) -> dict[str, Any] | None:
    """What the action gives to print; None for the list, which looks different to people."""
    library: Library = engine.library
    match args.action, args.names:
        case "show", [name]:
            expert = library.get(name)
            return {**_details(expert), **_noted(library, expert)}
        case "check", [name]:
            return _check(engine, library.get(name))
        case "compare", _:
            return _alike(library)
        case "import", [file]:
            expert = library.import_file(Path(file), engine.sigma, args.name, args.overwrite)
            path = str(library.path(expert.name))
            return {"expert": expert.name, "path": path, **_noted(library, expert)}
        case "export", [name, file]:
            library.export(name, Path(file), args.overwrite)
            return {"expert": name, "path": file}
        case "rename", [name, new]:
            return {"expert": new, "was": name, "path": str(library.rename(name, new))}
        case "describe", [name, text]:
            library.describe(name, text)
            return {"expert": name, "description": library.get(name).description}
        case "delete", [name]:
            library.delete(name)
            return {"deleted": name}
        case "restore", [name]:
            return {"expert": name, "path": str(library.restore(name))}
        case "push", [name, place]:
            return _push(library, name, place, args.public)
        case "pull", [place, *chosen]:
            return _pull(library, place, chosen, args)
    return None


def _push(library: Library, name: str, text: str, public: bool) -> dict[str, Any]:
    from t2app import exchange

    place = exchange.Place.named(text)
    note(f"pushing to {place.words}")
    return exchange.push(library, name, place, public)


def _pull(
    library: Library, text: str, chosen: list[str], args: argparse.Namespace
) -> dict[str, Any]:
    from t2app import exchange

    place = exchange.Place.named(text)
    note(f"pulling from {place.words}")
    name = chosen[0] if chosen else None
    expert = exchange.pull(library, place, name, rename=args.name, overwrite=args.overwrite)
    return {"expert": expert.name, "path": str(library.path(expert.name))}


def _noted(library: Library, expert: Expert) -> dict[str, str]:
    """What is to be known of an expert of another quantisation."""
    note = library.note(expert)
    return {} if note is None else {"note": note}


def _check(engine: Engine, expert: Expert) -> dict[str, Any]:
    """Put the expert to other questions and keep what came of it."""
    from t2app.evaluation import harm

    def watch(done: int, total: int) -> None:
        note(f"checking other questions, {done}/{total}")

    found = harm.check(engine, expert, watch=watch)
    changed = replace(expert, header={**expert.header, "harm": found})
    engine.library.add(changed, overwrite=True)
    return {"expert": expert.name, "harm": found}


def _alike(library: Library) -> dict[str, Any]:
    """Cosine similarity of all experts, by name and name."""
    experts = library.experts()
    if len(experts) < 2:
        raise T2Error(f"comparing needs two experts, this model has {len(experts)}: add another")
    rows = compare.similarity(experts, list(library.shapes)).tolist()
    return {
        name: {other: round(value, 4) for other, value in zip(experts, row, strict=True)}
        for name, row in zip(experts, rows, strict=True)
    }


def _list(library: Library, as_json: bool) -> int:
    experts, problems = library.experts(), library.problems()
    if as_json:
        rows = [{**_summary(e), **_noted(library, e)} for e in experts.values()]
        print_json({"experts": rows, "problems": problems})
    else:
        for e in map(_summary, experts.values()):
            gain = f"{_percent(e['before'])} -> {_percent(e['after'])}"
            print(f"{e['name']:16} {gain}  {e['description']}")
        for e in experts.values():
            if text := library.note(e):
                note(f"t2app: {e.name} was {text}")
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
    distance = {name: round(value, 5) for name, value in compare.strength(e).items()}
    return {
        "name": e.name,
        **e.header,
        "numbers": compare.numbers(e),
        "mean_abs_delta": distance,
    }


def _print(values: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(values)
    else:
        for key, value in values.items():
            print(f"{key}: {_brief(value)}")
    return 0


def _brief(value: Any) -> str:
    """A value of the header on one line that can be read; ``--json`` gives all of it."""
    if isinstance(value, dict) and isinstance(value.get("words"), str):
        return value["words"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= LONGEST:
        return text
    if isinstance(value, list):
        return f"{len(value)} of them, the first {_brief(value[0])}"
    if isinstance(value, dict):
        return f"{len(value)} of them: {', '.join(map(str, value))}"[:LONGEST] + " …"
    return text[:LONGEST] + " …"
