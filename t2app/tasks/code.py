"""Small Python functions (``code``) and their harder sister (``code-hard``).

A problem is a pipeline of operations. Two correct styles: a clever one-liner with the constants
folded together (which has to be computed in the head) and plain code, one line for each operation.
Answers are judged by running them on inputs that the question does not show. The sister asks for a
completion of a signature with a docstring and composes more operations, as HumanEval is to MBPP.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from t2app.tasks.base import Problem
from t2app.tasks.programs import program

FUNCTIONS = (
    "f g foo solve compute convert process transform work result change calc helper run score "
    "apply adjust update pick make find handle step task total count scale shift clean filter add "
    "double select combine reduce answer check measure format parse build test grade rank price "
    "points level rate sum_up best main go square_all normalize fix extract shorten"
).split()
_VERBS = "get make find count scale shift clean keep compute my do calc sum new pick add".split()
_NOUNS = "value total list numbers items text result score sum words data number price all".split()
_LIST_ARGS = ("xs", "numbers", "nums", "values", "items", "data", "lst", "arr", "a", "scores")
_NUMBER_ARGS = ("x", "n", "number", "value", "num", "k", "a", "v")
_STRING_ARGS = ("s", "text", "word", "string", "t", "name", "line", "sentence")


@dataclass(frozen=True)
class _Size:
    """How large the constants are and how many operations a pipeline has."""

    factor: int
    addend: int
    number_steps: tuple[int, ...]
    list_maps: tuple[int, ...]
    families: tuple[int, int, int]  # how often a number, a list, a string


# Two constants can be folded in the head, three hardly: pipelines of NORMAL are long enough that a
# clever one-liner is often wrong. VARIED has shorter ones too, for pretraining. HARD is the sister.
NORMAL = _Size(9, 30, (3, 3, 4), (1, 2, 2, 2), (5, 5, 1))
VARIED = _Size(9, 30, (2, 3, 3, 4), (1, 2, 2, 2), (4, 5, 1))
HARD = _Size(6, 12, (3, 4, 5), (2, 3), (3, 5, 2))


@dataclass
class _Pipeline:
    """The two programs while they grow: ``lines`` are plain, ``a * x + b`` is folded."""

    arg: str
    phrases: list[str]
    lines: list[str]
    a: int = 1
    b: int = 0

    def folded(self, x: str) -> str:
        scaled = x if self.a == 1 else f"{self.a} * {x}"
        if self.b == 0:
            return scaled
        return f"{scaled} {'+' if self.b > 0 else '-'} {abs(self.b)}"


def _affine(r: random.Random, p: _Pipeline, kind: str, each: bool, size: _Size) -> None:
    """Add one of +k, -k, *k to the pipeline, on a number or on every element of a list."""
    k = r.randint(2, size.factor) if kind == "*" else r.randint(1, size.addend)
    if kind == "*":
        p.a, p.b = p.a * k, p.b * k
    else:
        p.b += k if kind == "+" else -k
    thing = (
        r.choice(["each number", "every element", "each of them", "all of them"]) if each else p.arg
    )
    it = r.choice([thing, thing, "the result"]) if not each and p.lines else thing
    phrase = {
        "+": [f"adds {k} to {it}", f"increases {it} by {k}"],
        "-": [f"subtracts {k} from {it}", f"takes {k} away from {it}", f"decreases {it} by {k}"],
        "*": [f"multiplies {it} by {k}", f"scales {it} by {k}"]
        + ([f"doubles {it}"] if k == 2 else [f"triples {it}"] if k == 3 else []),
    }[kind]
    p.phrases.append(r.choice(phrase))
    p.lines.append(
        f"{p.arg} = [x {kind} {k} for x in {p.arg}]" if each else f"{p.arg} = {p.arg} {kind} {k}"
    )


def _join(r: random.Random, phrases: list[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    style = r.random()
    if style < 0.4:
        return ", ".join(phrases[:-1]) + r.choice([" and then ", " and ", ", then "]) + phrases[-1]
    return ", then ".join(phrases)


def _kinds(r: random.Random, n: int) -> list[str]:
    return (
        [r.choice("+-*") for _ in range(n)]
        if n != 2
        else r.choice([["+", "*"], ["*", "+"], ["-", "*"], ["*", "-"]])
    )


def _number(r: random.Random, size: _Size) -> tuple[_Pipeline, str, str, list[Any], str]:
    arg = r.choice(_NUMBER_ARGS)
    p = _Pipeline(arg, [], [])
    for kind in _kinds(r, r.choice(size.number_steps)):
        _affine(r, p, kind, False, size)
    inputs = [r.randint(-20, 50) for _ in range(6)]
    return (
        p,
        f"return {p.folded(arg)}",
        f"return {arg}",
        inputs,
        r.choice([f"a number {arg}", f"an integer {arg}", f"a number called {arg}"]),
    )


_REDUCE = {
    "sum": (
        "sum({})",
        ["returns the sum", "gives back the total", "sums them up", "returns their sum"],
    ),
    "max": (
        "max({})",
        ["returns the largest one", "returns the maximum", "gives back the biggest one"],
    ),
    "min": ("min({})", ["returns the smallest one", "returns the minimum"]),
    "len": ("len({})", ["returns how many are left", "counts them", "returns the count"]),
    "sort": (
        "sorted({})",
        ["returns them sorted", "sorts them", "returns them in ascending order"],
    ),
    "list": ("{}", ["returns the list", "returns the new list", "returns the result"]),
}


def _list(r: random.Random, size: _Size) -> tuple[_Pipeline, str, str, list[Any], str]:
    arg = r.choice(_LIST_ARGS)
    p = _Pipeline(arg, [], [])
    condition = ""
    maps = r.choice(size.list_maps)
    filter_at = r.randint(0, maps) if maps == 0 or size is HARD or r.random() < 0.6 else -1
    kinds = _kinds(r, maps)
    for i in range(maps + 1):
        if i == filter_at:
            test, bound = (
                r.choice(("greater", "less", "even", "odd", "greater", "less")),
                r.randint(3, 40),
            )
            op = {
                "greater": f"x > {bound}",
                "less": f"x < {bound}",
                "even": "x % 2 == 0",
                "odd": "x % 2 == 1",
            }[test]
            p.phrases.append(
                r.choice(
                    {
                        "greater": [
                            f"keeps those greater than {bound}",
                            f"keeps only numbers above {bound}",
                            f"drops everything up to {bound}",
                        ],
                        "less": [
                            f"keeps those less than {bound}",
                            f"keeps only numbers below {bound}",
                        ],
                        "even": [
                            "keeps the even ones",
                            "keeps only the even numbers",
                            "removes the odd ones",
                        ],
                        "odd": [
                            "keeps the odd ones",
                            "keeps only the odd numbers",
                            "removes the even ones",
                        ],
                    }[test]
                )
            )
            p.lines.append(f"{arg} = [x for x in {arg} if {op}]")
            condition = " if " + _folded_test(p, test, bound)
        if i < maps:
            _affine(r, p, kinds[i], True, size)
    kind = r.choice(
        ("sum", "sum", "len", "sort", "list")
        if filter_at >= 0
        else ("sum", "max", "min", "sort", "list")
    )
    template, phrases = _REDUCE[kind]
    p.phrases.append(r.choice(phrases))
    body = f"{p.folded('x')} for x in {arg}{condition}"
    trivial = p.folded("x") == "x" and not condition
    inner = arg if trivial else f"[{body}]"
    inputs = [[r.randint(-10, 60) for _ in range(r.randint(1, 7))] for _ in range(6)]
    what = r.choice(
        [
            f"a list of numbers {arg}",
            f"a list {arg}",
            f"a list of integers called {arg}",
            f"a list of numbers {arg}",
        ]
    )
    return p, "return " + template.format(inner), "return " + template.format(arg), inputs, what


def _folded_test(p: _Pipeline, test: str, bound: int) -> str:
    """The filter on the value before the maps: a x + b > t is x > floor((t - b) / a)."""
    if test == "greater":
        return f"x > {(bound - p.b) // p.a}"
    if test == "less":
        return f"x < {-((p.b - bound) // p.a)}"
    parity = 0 if test == "even" else 1
    if p.a % 2 == 0:
        return "True" if p.b % 2 == parity else "False"
    return f"x % 2 == {(parity - p.b) % 2}"


_STRING_OPS = {
    "upper": (
        ".upper()",
        ["turns it into upper case", "makes it upper case", "capitalises every letter"],
    ),
    "lower": (".lower()", ["turns it into lower case", "makes it lower case"]),
    "reverse": ("[::-1]", ["reverses it", "turns it around", "writes it backwards"]),
    "strip": (".strip()", ["strips the spaces at both ends", "removes white space at the ends"]),
    "nospace": ('.replace(" ", "")', ["removes all spaces", "deletes the spaces"]),
    "swap": (".swapcase()", ["swaps upper and lower case"]),
}
_STRING_ENDS = {
    "self": ("{}", ["returns it", "returns the result"]),
    "len": ("len({})", ["returns its length", "returns how long it is", "counts the characters"]),
    "first": ("{}[:1]", ["returns the first letter", "gives back the first character"]),
    "last": ("{}[-1:]", ["returns the last letter", "gives back the last character"]),
    "words": ("{}.split()", ["returns the list of words", "splits it into words"]),
    "vowels": (
        'sum(c in "aeiou" for c in {})',
        ["counts the vowels", "returns the number of vowels"],
    ),
}
_TEXTS = (
    "Hello World",
    "banana",
    "  spaced out ",
    "Python",
    "a b c",
    "The quick brown fox",
    "LEVEL",
    "x",
    "Green Tea",
    "ocean ",
)


def _string(r: random.Random, size: _Size) -> tuple[_Pipeline, str, str, list[Any], str]:
    arg = r.choice(_STRING_ARGS)
    p = _Pipeline(arg, [], [])
    nested = arg
    count = r.choice((2, 3)) if size is HARD else r.choice((0, 1, 1, 2))
    for op in r.sample(sorted(_STRING_OPS), count):
        suffix, phrases = _STRING_OPS[op]
        nested += suffix
        p.lines.append(f"{arg} = {arg}{suffix}")
        p.phrases.append(r.choice(phrases))
    template, phrases = _STRING_ENDS[r.choice([e for e in _STRING_ENDS if e != "self" or p.lines])]
    p.phrases.append(r.choice(phrases))
    inputs = r.sample(_TEXTS, 6)
    what = r.choice([f"a string {arg}", f"a text {arg}", f"a string called {arg}", f"a word {arg}"])
    return (
        p,
        "return " + template.format(nested),
        "return " + template.format(arg),
        list(inputs),
        what,
    )


_ASK = (
    "Write a Python function {name} that takes {what} and {does}.",
    "Write a function {name} that takes {what} and {does}.",
    "Write a python function called {name}. It takes {what} and {does}.",
    "Define a function {name}({arg}) that {does}.",
    "I need a Python function {name} which gets {what} and {does}.",
    "Can you write a function {name} that takes {what}, {does}?",
    "Create a function named {name} that {does}. It takes {what}.",
    "Implement {name}({arg}): it takes {what} and {does}.",
    "Please code a function `{name}` that {does}, given {what}.",
    "def {name}({arg}) should take {what} and {does}. Write it.",
)


def _draw(r: random.Random, size: _Size) -> Problem:
    hard = size is HARD
    family = r.choices((_number, _list, _string), size.families)[0]
    p, fast, last, inputs, what = family(r, size)
    name = r.choice(FUNCTIONS) if r.random() < 0.6 else f"{r.choice(_VERBS)}_{r.choice(_NOUNS)}"
    does = _join(
        r,
        p.phrases
        if family is not _number
        else [*p.phrases, r.choice(["returns it", "returns the result"])],
    )
    head = f"def {name}({p.arg}):"
    if hard:
        question = r.choice(
            ["Complete this function:\n", "Complete the function.\n", "Fill in the body:\n", ""]
        )
        question += f'{head}\n    """{does[0].upper() + does[1:]}."""'
    else:
        question = r.choice(_ASK).format(name=name, what=what, does=does, arg=p.arg)
    plain = f"```python\n{head}\n    " + "\n    ".join([*p.lines, last]) + "\n```"
    clever = f"```python\n{head}\n    {fast}\n```"
    tests = "\n".join(
        f"{name}({value!r}) -> {_reference(plain, name, value)!r}" for value in inputs
    )
    return Problem("code-hard" if hard else "code", question, tests, clever, plain)


def _reference(answer: str, name: str, value: Any) -> Any:
    """What our own generated program gives; it is trusted, so it runs here."""
    scope: dict[str, Any] = {}
    exec(program(answer), scope)
    return scope[name](value)


def draw(r: random.Random) -> Problem:
    """A function of one to four operations."""
    return _draw(r, NORMAL)


def draw_varied(r: random.Random) -> Problem:
    """Like ``draw``, with shorter ones among them."""
    return _draw(r, VARIED)


def draw_hard(r: random.Random) -> Problem:
    """A signature with a docstring that composes three to six operations."""
    return _draw(r, HARD)
