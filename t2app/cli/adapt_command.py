"""Find the mix of experts that does best on a few solved examples, and keep it under a name.

SHOTS is a file of questions and answers as for training; three to ten are enough. Where it has more
rows than are searched on, others (--test) measure what was found. With --name the mix is kept as an
expert: answer with it by ask --strategy few-shot --mix NAME.

Ctrl-C ends the search, or the measuring, and keeps the best mix so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from t2app.cli import rows
from t2app.cli.common import Line, add_model, load_engine, note, print_json
from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.adapt.few_shot import Found, Generation
    from t2app.adapt.shots import Shots
    from t2app.engine import Engine

SETTINGS = {
    "population": "mixes a generation",
    "elite": "share of them that makes the next one",
    "generations": "the most there are",
    "patience": "generations without a better mix that end the search",
    "prior": "solved examples that a first pass over the questions counts for; 0 as in the paper",
    "seed": "of the mixes that are tried, and of the rows that are searched on",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``adapt``."""
    from t2app.adapt.few_shot import FITNESS, Settings
    from t2app.adapt.shots import MOST_SHOTS, TEST
    from t2app.tasks.rewards import REWARDS

    parser.add_argument("file", metavar="SHOTS", help="questions with their answers")
    parser.add_argument("--name", help="keep the mix as an expert of this name")
    parser.add_argument("--overwrite", action="store_true", help="replace an expert of that name")
    parser.add_argument(
        "--shots",
        type=int,
        default=MOST_SHOTS,
        help=f"rows to search on (default: {MOST_SHOTS})",
    )
    parser.add_argument(
        "--test",
        type=int,
        default=TEST,
        help=f"rows that measure the result, at most (default: {TEST})",
    )
    parser.add_argument("--experts", metavar="NAME,...", help="experts to mix (default: all)")
    parser.add_argument("--reward", choices=("auto", *REWARDS), default="auto")
    rows.add_reading(parser)
    parser.add_argument(
        "--fitness",
        choices=tuple(FITNESS),
        default="accuracy",
        help="; ".join(f"{name}: {what}" for name, what in FITNESS.items()),
    )
    parser.add_argument("--free", action="store_true", help="weights may sum to more than 1")
    parser.add_argument("--per-layer", action="store_true", help="weights for each layer")
    for name, what in SETTINGS.items():
        default = getattr(Settings(), name)
        parser.add_argument(
            f"--{name}", type=type(default), default=default, help=f"{what} (default: {default})"
        )
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Search, measure, keep, print."""
    from t2app.adapt import few_shot, mixes, shots
    from t2app.svf.library import check_name

    settings = few_shot.Settings(
        **{name: getattr(args, name) for name in SETTINGS},
        fitness=args.fitness,
        normalised=not args.free,
        per_layer=args.per_layer,
    )
    if args.name is not None:
        check_name(args.name)
    table, columns = rows.read(args)
    options = {
        "columns": columns,
        "reward": args.reward,
        "shots": args.shots,
        "test": args.test,
        "seed": args.seed,
    }
    shots.read(table, **options)  # what is wrong is told before a model is loaded
    engine = load_engine(args)
    if args.name and engine.library.has_file(args.name) and not args.overwrite:
        raise T2Error(f"expert {args.name!r} exists already: choose another --name, or --overwrite")
    examples = shots.read(table, **options, engine=engine)
    names = args.experts.split(",") if args.experts else None
    shown = examples.preview()
    for line in (*examples.notes, *shown.lines(), *few_shot.notes(engine, settings, names)):
        note(line)
    generations = list(_shown(few_shot.search(engine, examples, settings, names)))
    if not generations:
        raise T2Error("stopped in the first generation: there is nothing to keep yet")
    last = generations[-1]
    measured = _measured(engine, examples, last.found)
    path = None
    if args.name is not None:
        path = mixes.save(
            engine,
            args.name,
            examples,
            last.found,
            settings,
            report=measured,
            overwrite=args.overwrite,
        )
    found = _report(generations, measured, None if path is None else str(path))
    found["preview"] = shown.to_dict()
    if args.json:
        print_json(found)
    else:
        _print(found, last.found.parts)
    return 0


def _shown(search: Iterator[Generation]) -> Iterator[Generation]:
    """Every generation in a line on standard error; Ctrl-C ends the search."""
    try:
        for g in search:
            note(
                f"generation {g.number}: best {g.best_fitness:.3g}, elite {g.elite_fitness:.3g}, "
                f"{g.found.parts}, {g.seconds:.0f} s" + (f"; {g.why}" if g.why else "")
            )
            yield g
    except KeyboardInterrupt:
        note("stopped: the best mix so far is kept")


def _measured(engine: Engine, examples: Shots, found: Found) -> dict[str, Any]:
    """Figures of the mix, with progress on standard error; Ctrl-C keeps those so far."""
    from t2app.evaluation.few_shot import measuring

    report: dict[str, Any] = {"examples": None, "rest": None}
    line = Line()
    try:
        for measured in measuring(engine, examples, found):
            report = measured.report
            line.show(f"measuring base and mix: {measured.done:,} of {measured.total:,} rows")
        line.end()
    except KeyboardInterrupt:
        line.end()
        note("stopped: the mix is kept, with the figures so far")
    return report


def _report(
    generations: list[Generation], measured: dict[str, Any], path: str | None
) -> dict[str, Any]:
    last = generations[-1]
    return {
        "weights": {name: round(w, 4) for name, w in last.found.weights.items()},
        "alpha": [[round(a, 4) for a in row] for row in last.found.alpha],
        "before": (measured["examples"] or {}).get("before"),
        "after": (measured["examples"] or {}).get("after"),
        "rest": measured["rest"],
        "generations": [g.to_dict() for g in generations],
        "why": last.why or "stopped",
        "seconds": round(last.seconds, 1),
        "path": path,
    }


def _print(found: dict[str, Any], parts: str) -> None:
    print(f"mix: {parts}")
    for name, figure in (("examples", found), ("other rows", found["rest"])):
        if not figure or not figure["after"]:
            continue
        before, after = figure["before"], figure["after"]
        print(f"{name}: {before['accuracy']:.1%} -> {after['accuracy']:.1%} of {after['n']} right")
    if found["path"]:
        print(f"written to {found['path']}")
