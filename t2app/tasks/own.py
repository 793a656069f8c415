"""Rewards that users write: a Python function of the answer and its row, run in the sandbox.

    def reward(answer, row):
        return 1.0 if row["colour"] in answer else 0.0

``row`` holds the cells of the row by column. The function returns a number from 0 to 1; anything
else, an exception or a loop stops with one line that names the file, the row and what happened.
``find`` also mixes rewards: ``numeric=0.8,brief.py=0.2``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from t2app.errors import T2Error
from t2app.tasks import sandbox
from t2app.tasks.base import Problem
from t2app.tasks.rewards import REWARDS, Reward
from t2app.tasks.sandbox import Failed, Limits
from t2app.tasks.text import short

FUNCTION = "reward"
SUFFIX = ".py"
MOST_BYTES = 100_000
# Answers that one process judges, and what it may take for each.
AT_ONCE = 64
SECONDS, SECONDS_EACH = 1.0, 0.05

TEMPLATE = '''\
def reward(answer, row):
    """From 0 (wrong) to 1 (right); row holds the cells of the row by column."""
    return 1.0 if row["answer"].lower() in answer.lower() else 0.0
'''
_CALL = """

def _t2app_reward(answer, row):
    import contextlib, io
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        value = reward(answer, row)
    kind = type(value).__name__
    if not isinstance(value, (int, float, str, type(None))):
        value = repr(value)[:80]
    return [kind, value, printed.getvalue()[:80]]
"""


@dataclass(frozen=True)
class Given:
    """What a function gave for one answer: a score or what is wrong; and what it printed."""

    score: float | None
    problem: str = ""
    printed: str = ""


# -- by name -------------------------------------------------------------------------------------


def load(spec: str) -> Reward:
    """The reward of a command line: names, and paths of files, perhaps with weights.

    Raises T2Error that says what is wrong with it.
    """
    parts, sources = [], {}
    for name, weight in _parsed(spec):
        if name not in REWARDS:
            path = Path(name).expanduser()
            if path.name in sources:
                raise T2Error(f"the reward names {path.name} twice: give the files different names")
            sources[path.name] = _read(path)
            name = path.name
        parts.append((name, weight))
    return find(_written(parts), sources)


def find(spec: str, sources: Mapping[str, str] | None = None) -> Reward:
    """The reward of a name, or of several with weights; ``sources`` holds the user's own programs.

    Raises T2Error for an unknown name, weights that do not add up, and a program that is none.
    """
    parts = _parsed(spec)
    programs = {name: text for name, text in (sources or {}).items() if name in dict(parts)}
    for name, text in programs.items():
        check_source(name, text)
    found = [(_single(name, programs), weight) for name, weight in parts]
    return found[0][0] if len(found) == 1 else _mixed(found)


def _parsed(spec: str) -> list[tuple[str, float]]:
    """``numeric=0.8,my.py=0.2`` as names with weights."""
    parts = [part.strip() for part in spec.split(",")]
    if len(parts) == 1 and "=" not in parts[0]:
        return [(parts[0], 1.0)]
    found = []
    for part in parts:
        name, equals, weight = part.rpartition("=")
        if not (equals and name.strip()):
            raise T2Error(f"reward {spec}: {part!r} has no weight; write NAME=WEIGHT,NAME=WEIGHT")
        found.append((name.strip(), _weight(weight, spec)))
    names = [name for name, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise T2Error(f"reward {spec}: {twice} is named twice")
    total = sum(weight for _, weight in found)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise T2Error(f"reward {spec}: the weights add up to {total:g}, and they must to 1")
    return found


def _weight(text: str, spec: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        raise T2Error(f"reward {spec}: the weight {text.strip()!r} is no number") from None
    if not 0 < weight <= 1:
        raise T2Error(f"reward {spec}: the weight {weight:g} must be above 0 and at most 1")
    return weight


def _written(parts: Sequence[tuple[str, float]]) -> str:
    if len(parts) == 1:
        return parts[0][0]
    return ",".join(f"{name}={weight:g}" for name, weight in parts)


def _single(name: str, programs: Mapping[str, str]) -> Reward:
    if name in REWARDS:
        return REWARDS[name]
    if name not in programs:
        raise T2Error(
            f"unknown reward {name!r}: choose from auto, {', '.join(REWARDS)}, or name a Python "
            f"file of your own ({SUFFIX})"
        )
    source = programs[name]
    return Reward(
        name,
        "your own function says so, 0 to 1",
        lambda problems, answers: scores(name, source, problems, answers),
        lambda gold: None,
        ((name, 1.0),),
        ((name, source),),
    )


def _mixed(found: Sequence[tuple[Reward, float]]) -> Reward:
    """Several rewards with weights that add up to 1."""
    tested = any(one.name == "code" for one, _ in found)

    def score(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
        total = [0.0] * len(problems)
        for one, weight in found:
            # Tests are the gold answer of a program; the other rewards compare with the cell.
            asked = _of_answers(problems) if tested and one.name != "code" else problems
            for i, part in enumerate(one.score(asked, answers)):
                total[i] += weight * part
        return [min(1.0, value) for value in total]

    def unreadable(gold: str) -> str | None:
        judges = [one for one, _ in found if not tested or one.name == "code"]
        return next((reason for one in judges if (reason := one.unreadable(gold))), None)

    return Reward(
        _written([(one.name, weight) for one, weight in found]),
        "; ".join(f"{weight:.0%} {one.name} ({one.summary})" for one, weight in found),
        score,
        unreadable,
        tuple((one.name, weight) for one, weight in found),
        tuple(source for one, _ in found for source in one.sources),
    )


def _of_answers(problems: Sequence[Problem]) -> list[Problem]:
    return [replace(problem, gold=problem.fast) for problem in problems]


# -- the program ---------------------------------------------------------------------------------


def _read(path: Path) -> str:
    if path.suffix != SUFFIX:
        raise T2Error(
            f"unknown reward {str(path)!r}: choose from auto, {', '.join(REWARDS)}, or name a "
            f"Python file of your own ({SUFFIX})"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise T2Error(f"cannot read the reward {path}: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise T2Error(f"the reward {path} has more than {MOST_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise T2Error(f"the reward {path} is not UTF-8 text") from None


def check_source(name: str, source: str) -> None:
    """Raises T2Error where a program does not parse, or defines no ``reward(answer, row)``."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        what = getattr(error, "msg", None) or error
        raise T2Error(f"{name}{where}: this is not Python: {what}") from None
    defined = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == FUNCTION
    ]
    if not defined:
        raise T2Error(f"{name} defines no function {FUNCTION}: write def {FUNCTION}(answer, row):")
    if isinstance(defined[-1], ast.AsyncFunctionDef) or not _takes_two(defined[-1].args):
        raise T2Error(
            f"{name}, line {defined[-1].lineno}: {FUNCTION} must take the answer and its row: "
            f"write def {FUNCTION}(answer, row):"
        )


def _takes_two(args: ast.arguments) -> bool:
    places = len(args.posonlyargs) + len(args.args)
    needed = places - len(args.defaults)
    keywords = any(default is None for default in args.kw_defaults)
    return not keywords and needed <= 2 and (places >= 2 or args.vararg is not None)


# -- what it gives -------------------------------------------------------------------------------


def scores(
    name: str, source: str, problems: Sequence[Problem], answers: Sequence[str]
) -> list[float]:
    """What the function gives for each answer. Raises T2Error at the first that it gives none."""
    found = given(name, source, problems, answers, size=AT_ONCE)
    for one in found:
        if one.score is None:
            raise T2Error(one.problem)
    return [float(one.score or 0.0) for one in found]


def given(
    name: str,
    source: str,
    problems: Sequence[Problem],
    answers: Sequence[str],
    size: int = 1,
) -> list[Given]:
    """What the function gives for each answer, ``size`` of them in one process.

    A loop ends its process: with ``size`` 1 all others are judged all the same.
    """
    inputs = [[answer, dict(p.row)] for p, answer in zip(problems, answers, strict=True)]
    parts = [inputs[i : i + size] for i in range(0, len(inputs), size)]
    limits = Limits(cpu_seconds=SECONDS + SECONDS_EACH * size, wall_seconds=20.0)
    outcomes = sandbox.run_many([(source + _CALL, "_t2app_reward", p) for p in parts], limits)
    values = [value for outcome in outcomes for value in outcome.values]
    return [
        _judged(name, problem, answer, value)
        for problem, answer, value in zip(problems, answers, values, strict=True)
    ]


def _judged(name: str, problem: Problem, answer: str, value: Any) -> Given:
    row = f", row {problem.number}" if problem.number else ""
    where = f"{name}{row}, answer {short(answer)}"
    match value:
        case Failed(message=message):
            return Given(None, f"{where}: {_failure(message, problem)}")
        case [str(), int() | float() as score, str(printed)] if 0 <= score <= 1:
            return Given(float(score), "", printed)
        case [kind, got, printed]:
            return Given(None, f"{where}: {_not_a_score(kind, got, printed)}", str(printed))
    return Given(None, f"{where}: the function gave no result of its own")


def _failure(message: str, problem: Problem) -> str:
    if message.startswith("KeyError"):
        columns = ", ".join(repr(column) for column, _ in problem.row)
        return f"the function fails: {message}; the row has the columns {columns}"
    if message.startswith("used more memory"):
        return f"the function {message}"
    if message.startswith(("used more", "took more")):
        return f"the function does not end, or is too slow ({message})"
    if message.startswith(("ImportError", "ModuleNotFoundError")):
        return f"{message}; only standard modules that compute can be imported"
    return f"the function fails: {message}"


def _not_a_score(kind: str, got: Any, printed: str) -> str:
    if kind == "NoneType":
        said = f", it prints {short(printed.strip())}" if printed.strip() else ""
        return f"the function returns nothing{said}; it must return a number from 0 to 1"
    if kind == "str":
        return f"the function returns the text {short(str(got))}, and it must return a number"
    if isinstance(got, int | float):
        return f"the function returns {got}, and it must be from 0 to 1"
    return f"the function returns a {kind}, and it must return a number from 0 to 1"
