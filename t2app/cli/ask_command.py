"""Answer a question in two passes: classify it, mix the experts, answer.

With - as the question, questions come from standard input, one a line (a line that is a JSON string
is decoded, so a question may hold line breaks).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error
from t2app.svf.mixing import parse_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``ask``."""
    parser.add_argument("question", help="the question, or - for standard input")
    parser.add_argument(
        "--strategy",
        help="auto (default), prompt, classifier, prototype, few-shot, manual or off",
    )
    parser.add_argument("--mix", help="the mix that few-shot answers with (default: the newest)")
    parser.add_argument("--weights", help="weights set by hand: math=0.7,code=0.3")
    parser.add_argument(
        "--generate-label", action="store_true", help="say the label aloud, as in the paper"
    )
    parser.add_argument("--compare", action="store_true", help="show the plain model's answer too")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--seed", type=int)
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Answer, and print what was asked for; 2 if a question from standard input could not be."""
    options = _options(args)
    engine = load_engine(args)
    from t2app.adapt import two_pass

    if args.question != "-":
        _show(args, args.question, two_pass.ask(engine, args.question, **options), engine.base.name)
        _warn(engine, options["strategy"])
        return 0
    failed = 0
    for number, question in _lines():
        try:
            _show(args, question, two_pass.ask(engine, question, **options), engine.base.name)
        except T2Error as error:
            failed = 2
            note(f"t2app: line {number}: {error}")
            if args.json:
                print_json({"question": question, "error": str(error)})
    _warn(engine, options["strategy"])
    return failed


def _options(args: argparse.Namespace) -> dict[str, Any]:
    weights = parse_weights(args.weights) if args.weights is not None else None
    if weights is not None and args.strategy not in (None, "manual"):
        raise T2Error(
            f"--weights sets the mix by hand, --strategy {args.strategy} chooses it: give one"
        )
    if args.mix is not None and args.strategy not in (None, "few-shot"):
        raise T2Error(f"--mix is for --strategy few-shot, not for {args.strategy}")
    if args.mix is not None and weights is not None:
        raise T2Error("--weights sets the mix by hand, --mix takes a saved one: give one")
    if args.max_new_tokens < 1:
        raise T2Error(f"--max-new-tokens is {args.max_new_tokens}: it must be at least 1")
    if not 0 <= args.temperature < float("inf"):
        raise T2Error(f"--temperature is {args.temperature}: it must be 0 or more")
    return {
        "strategy": _strategy(args),
        "weights": weights,
        "mix": args.mix,
        "generate_label": args.generate_label,
        "compare": args.compare,
        "temperature": args.temperature,
        "max_new_tokens": args.max_new_tokens,
        "seed": args.seed,
    }


def _strategy(args: argparse.Namespace) -> str:
    """What was asked for, or what the other arguments imply."""
    from t2app import adapt

    if args.weights is not None:
        return "manual"
    return args.strategy or ("few-shot" if args.mix is not None else adapt.DEFAULT)


def _lines() -> Iterator[tuple[int, str]]:
    """Number and question of every line that is not blank."""
    for number, line in enumerate(sys.stdin, 1):
        text = line.rstrip("\n")
        if not text.strip():
            continue
        if text.startswith('"'):
            with suppress(ValueError):  # a question may well begin with a quotation mark
                text = str(json.loads(text))
        yield number, text


def _warn(engine, strategy: str) -> None:
    """Say so where the strategy does badly on the questions that this model's experts keep."""
    from t2app.adapt import trust

    found = trust.known(engine, strategy)
    if found is not None and not found.trusted:
        note(found.line)


def _show(args: argparse.Namespace, question: str, answer, model: str) -> None:
    if args.json:
        print_json(_as_dict(question, answer, model))
        return
    adaptation = answer.adaptation
    if adaptation.probabilities:
        note(
            "first pass: " + ", ".join(f"{k} {p:.0%}" for k, p in adaptation.probabilities.items())
        )
    mixed = ", ".join(f"{k} {w:.2f}" for k, w in adaptation.weights.items() if w >= 0.005)
    note(f"mix: {mixed or 'the base model'}{_reason(adaptation)}")
    if adaptation.told:
        note(f"told, as in training: {adaptation.told}")
    print(answer.text)
    if answer.base_text is not None:
        print(f"\n-- without experts --\n{answer.base_text}")


def _reason(adaptation) -> str:
    """Why the base answers alone although an expert was the likeliest."""
    shares = adaptation.probabilities
    unsure = adaptation.label in shares and adaptation.label != max(shares, key=shares.get)
    return f" ({adaptation.why})" if unsure else ""


def _as_dict(question: str, answer, model: str) -> dict[str, Any]:
    adaptation = answer.adaptation
    found = {
        "question": question,
        "label": adaptation.label,
        "probabilities": adaptation.probabilities,
        "weights": adaptation.weights,
        "told": adaptation.told,
        "answer": answer.text,
        "timings": answer.timings,
        "tokens": answer.tokens,
        "model": model,
        "strategy": adaptation.strategy,
    }
    if answer.base_text is not None:
        found["base_answer"] = answer.base_text
    return found
