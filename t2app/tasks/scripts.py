"""Tests that are a script, run without ever meeting the program that they test.

The script runs in a process of the sandbox, the program in another. First the script tells which
calls it makes; the program makes them; then the script runs again with the values. So a program
cannot pass by changing what equality means, and scripts may still compute, loop and compare as
they like. Not covered: tests that pass objects or functions to the program.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from t2app.tasks import sandbox
from t2app.tasks.asserts import Tests
from t2app.tasks.programs import complete, given_code
from t2app.tasks.sandbox import Failed, Limits, Outcome

HARNESS = Path(__file__).with_name("_script_harness.py").read_text("utf-8")
# Rounds in which values decide what is called next.
ROUNDS = 4
# Answers that one process of the tests judges.
AT_ONCE = 16
MOST_KNOWN = 5_000
LIMITS = Limits(cpu_seconds=4.0, wall_seconds=20.0)

_CALL = """

def _t2app_call(name, arguments, named):
    return globals()[name](*arguments, **named)
"""

Call = tuple[str, str, list[Any], dict[str, Any]]  # key, name, arguments, named ones
Known = dict[str, list[Any]]  # key: whether there is a value, and it or the error


class _Trial:
    """One program on its way through the tests."""

    def __init__(self, program: str, calls: Sequence[Call]) -> None:
        self.program, self.known, self.calls = program, Known(), list(calls)
        self.passed: bool | None = None

    def job(self) -> sandbox.Job:
        """The calls that are to be made now."""
        inputs = [[name, arguments, named] for _, name, arguments, named in self.calls]
        return self.program + _CALL, "_t2app_call", inputs

    def learn(self, outcome: Outcome) -> None:
        """What the calls gave."""
        for (key, *_), value in zip(self.calls, outcome.values, strict=True):
            failed = isinstance(value, Failed)
            self.known[key] = [not failed, value.message if failed else value]

    def hear(self, verdict: Any) -> None:
        """What the tests say; anything but a verdict counts as failed."""
        match verdict:
            case ["passed", _]:
                self.passed = True
            case ["more", list(calls)] if calls:
                self.calls = [tuple(call) for call in calls]
            case _:
                self.passed = False


def passed(tests: Tests, questions: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """Whether the program in each answer passes the script.

    ``questions`` hold what the program may build on. Nothing passes a script that cannot be run
    (``unusable``).
    """
    found: list[bool] = [False] * len(answers)
    given = [given_code(question, tests.function) for question in questions]
    for code in dict.fromkeys(given):
        rows = [i for i, other in enumerate(given) if other == code]
        calls = _first_calls([(tests, code)])[0]
        if isinstance(calls, str):
            continue
        trials = [_Trial(complete(questions[i], answers[i], tests.function), calls) for i in rows]
        _settle(tests, code, trials)
        for i, trial in zip(rows, trials, strict=True):
            found[i] = trial.passed is True
    return found


def _settle(tests: Tests, given: str, trials: Sequence[_Trial]) -> None:
    """Make calls and judge until every program has passed or failed."""
    for _ in range(ROUNDS):
        open_ = [trial for trial in trials if trial.passed is None]
        if not open_:
            return
        for trial, outcome in zip(open_, sandbox.run_many([t.job() for t in open_]), strict=True):
            trial.learn(outcome)
        for part in _parts(open_, AT_ONCE):
            outcome = sandbox.run(*_script(tests, given, "judge", part), limits=LIMITS)
            if outcome.status == "ok" or len(part) == 1:
                verdicts = outcome.values
            else:  # the values of one program may have cost all others their time
                alone = [_script(tests, given, "judge", [trial]) for trial in part]
                verdicts = [o.values[0] for o in sandbox.run_many(alone, LIMITS)]
            for trial, verdict in zip(part, verdicts, strict=True):
                trial.hear(verdict)


def _parts(trials: Sequence[_Trial], size: int) -> Iterator[Sequence[_Trial]]:
    return (trials[i : i + size] for i in range(0, len(trials), size))


def unusable(tests: Sequence[Tests]) -> list[str | None]:
    """For each script why it cannot be run, or None where it can."""
    found = _first_calls([(one, "") for one in tests])
    return [calls if isinstance(calls, str) else None for calls in found]


_KNOWN_CALLS: dict[tuple[Tests, str], tuple[Call, ...] | str] = {}


def _first_calls(scripts: Sequence[tuple[Tests, str]]) -> list[tuple[Call, ...] | str]:
    """The calls of the first round, the same for every program; or why there are none."""
    new = [one for one in dict.fromkeys(scripts) if one not in _KNOWN_CALLS]
    if len(_KNOWN_CALLS) + len(new) > MOST_KNOWN:
        _KNOWN_CALLS.clear()
        new = list(dict.fromkeys(scripts))
    jobs = [(_source(tests, given), "calls", [[{}]]) for tests, given in new]
    for one, outcome in zip(new, sandbox.run_many(jobs, LIMITS), strict=True):
        _KNOWN_CALLS[one] = _listed(one[0], outcome)
    return [_KNOWN_CALLS[one] for one in scripts]


def _listed(tests: Tests, outcome: Outcome) -> tuple[Call, ...] | str:
    found = outcome.values[0]
    if isinstance(found, Failed):
        return f"the tests of {tests.function} cannot be run: {found.message or outcome.message}"
    return tuple(map(tuple, found)) or f"the tests never call {tests.function}"


def _script(tests: Tests, given: str, function: str, trials: Sequence[_Trial]) -> sandbox.Job:
    return _source(tests, given), function, [[trial.known] for trial in trials]


@lru_cache(maxsize=2_000)
def _source(tests: Tests, given: str) -> str:
    """The harness with the script as text, once as it is and once with every statement guarded."""
    names = tuple(name for name in tests.functions if name not in _defined(given))
    plain = f"{given}\n\n{tests.script}"
    tree = ast.fix_missing_locations(_Guard().visit(ast.parse(plain)))
    imports = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    # Never called: the sandbox imports beforehand what a program mentions, not what a text does.
    mentions = "\n".join(f"    {line}" for line in imports if not line.endswith("*")) or "    pass"
    return (
        f"{HARNESS}\nNAMES = {names!r}\nPLAIN = {plain!r}\nWRAPPED = {ast.unparse(tree)!r}\n"
        f"def _mentions():\n{mentions}\n"
    )


def _defined(source: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(source).body if isinstance(node, kinds)}


class _Guard(ast.NodeTransformer):
    """Lets a script go on behind a statement that needs a value that is not there yet."""

    def _guarded(self, node: ast.stmt) -> ast.stmt:
        caught = ast.Tuple([ast.Name(n, ast.Load()) for n in ("Exception", "_NotMade")], ast.Load())
        skip = ast.Expr(ast.Call(ast.Name("_skip", ast.Load()), [], []))
        return ast.Try([node], [ast.ExceptHandler(caught, None, [skip])], [], [])

    visit_Assign = visit_AugAssign = visit_AnnAssign = visit_Expr = visit_Assert = _guarded
