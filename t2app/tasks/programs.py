"""The program in an answer, and what its question already gives of it."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from functools import lru_cache

_FENCED = re.compile(r"```[\w+-]*[^\S\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(
    r"^(?:from\s+[\w.]+\s+import\b|import\s+\w|(?:async\s+)?def\s+\w|class\s+\w|@\w)"
)
# What may stand above the first of these: constants, comments, nothing.
_CONSTANT = re.compile(r"^(?:\w+\s*(?::[^=]+)?=[^=]|#|\s*$)")
MOST_LINES_CUT = 60


def program(answer: str, function: str | None = None) -> str:
    """The code of an answer: a fenced block, or everything from the first line of code on.

    Of several blocks the first that defines ``function`` counts. Text behind a program without a
    fence is left out.
    """
    blocks = _FENCED.findall(answer)
    if blocks:
        return next((b for b in blocks if function and defines(b, function)), blocks[0])
    lines = answer.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if _CODE_LINE.match(line)), None)
    if start is not None:
        while start and _CONSTANT.match(lines[start - 1]):
            start -= 1
        return _that_parses(lines[start:])
    at = answer.find("def ")
    return _that_parses(answer[at:].splitlines(keepends=True)) if at >= 0 else ""


def defines(source: str, function: str) -> bool:
    """Whether a program defines the function, or sets its name, at its top level."""
    return bool(
        re.search(rf"^(?:async\s+)?def\s+{re.escape(function)}\s*\(", source, re.MULTILINE)
        or re.search(rf"^{re.escape(function)}\s*(?::[^=\n]+)?=[^=]", source, re.MULTILINE)
    )


def complete(question: str, answer: str, function: str) -> str:
    """The whole program: what the question gives, then the answer.

    The answer may be a program, the completed function, or only its body where the question ends
    with the head of the function.
    """
    source = program(answer, function)
    head = _head(question)
    if head and not defines(source, function) and defines(head, function):
        body = source if "```" in answer else answer
        continued = f"{head.rstrip()}\n{_indented(body)}"
        if _parses(continued):
            return continued
    given = given_code(question, function)
    return f"{given}\n\n{source}" if given else source


@lru_cache(maxsize=10_000)
def given_code(question: str, function: str) -> str:
    """Imports and whole functions that a question gives, but for the one to be written."""
    tree = _tree(_head(question))
    if tree is None:
        return ""
    kept = [node for node in tree.body if _is_given(node, function)]
    return "\n".join(ast.unparse(node) for node in kept)


def _is_given(node: ast.stmt, function: str) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        empty = all(_says_nothing(statement) for statement in node.body)
        return node.name != function and not empty
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)


def _says_nothing(statement: ast.stmt) -> bool:
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def _head(question: str) -> str:
    """The code that a question holds: from its first line of code to the last one that parses."""
    for block in _FENCED.findall(question):
        if any(_CODE_LINE.match(line) for line in block.splitlines()):
            return block
    lines = question.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if _CODE_LINE.match(line)), None)
    if start is None:
        return ""
    found = _that_parses(lines[start:])
    return found if _parses(found) else ""


def _indented(body: str) -> str:
    lines = [line for line in body.splitlines() if line.strip()]
    if lines and not lines[0].startswith((" ", "\t")):
        return "\n".join(f"    {line}" for line in body.splitlines())
    return body


def _that_parses(lines: Sequence[str]) -> str:
    """The lines without those at the end that are no Python; all where none would be left."""
    for cut in range(min(len(lines), MOST_LINES_CUT)):
        kept = lines[: len(lines) - cut]
        if _parses("".join(kept)):
            return "".join(kept)
    return "".join(lines)


def _parses(source: str) -> bool:
    return bool(source.strip()) and _tree(source) is not None


def _tree(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in a model's program
            return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
