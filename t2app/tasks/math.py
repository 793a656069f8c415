"""Arithmetic word problems of two to four steps (``math``) and their harder sister (``math-hard``).

A story is a list of sentences and the list of sums it needs. Not covered: fractions, negative
results, geometry. The sister holds unknowns, percentages and two-person problems, as MATH is to
GSM8K; no expert is ever trained on it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from t2app.tasks.base import Problem

NAMES = (
    "Anna Ben Carla David Emma Farid Grace Hiro Ivan Julia Kofi Lena Maria Noah Olga Pedro Quinn "
    "Rosa Sam Tara Uma Victor Wei Xavier Yara Zoe Tom Lucy Ali Mia Jack Priya Omar Sofia Liam Nina "
    "Marco Aisha Paul Ella Jamal Kate Luis Mei Raj Sara Leo Amir Chloe Diego"
).split()
ITEMS = (
    "apples oranges pencils books marbles stickers coins cookies eggs cards toys balloons flowers "
    "cupcakes stamps shells beads candies muffins bottles bananas pens cups tickets sweets pears "
    "peaches lemons buttons plates photos stones carrots tomatoes potatoes magazines badges "
    "crayons sandwiches chocolates dollars keys shirts socks bricks postcards"
).split()
BOXES = "boxes bags packs baskets crates jars trays shelves drawers bundles".split()
CURRENCIES = ("${}", "{} dollars", "{} euros", "£{}", "{} coins", "€{}", "{} pounds")


class _Sums:
    """Collect the sums of a solution; every result feeds the next."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def do(self, a: int, op: str, b: int) -> int:
        result = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[op]
        self.lines.append(f"{a} {op} {b} = {result}")
        return result


Story = tuple[str, int]


def _chain(r: random.Random, s: _Sums) -> Story:
    name, friend = r.sample(NAMES, 2)
    item = r.choice(ITEMS)
    have = r.randint(5, 60)
    if r.random() < 0.35:
        text = [
            f"I have {have} {item}.",
            f"I had {have} {item}.",
            f"There are {have} {item} on the table.",
        ]
        me = "I"
    else:
        text = [
            f"{name} has {have} {item}.",
            f"{name} starts with {have} {item}.",
            f"{name} had {have} {item}.",
        ]
        me = r.choice([name, "He", "She", "They"])
    inside = me.lower() if me in ("He", "She", "They") else me
    whom = {"I": "me", "He": "him", "She": "her", "They": "them"}.get(me, me)
    sentences = [r.choice(text)]
    for _ in range(r.choice((2, 2, 3, 3, 4))):
        kind = r.choice("plus plus minus minus times half groups".split())
        if (kind == "times" and have > 40) or (kind == "half" and (have % 2 or have < 4)):
            kind = "plus"
        if kind == "minus" and have < 4:
            kind = "plus"
        if kind == "plus":
            n = r.randint(2, 40)
            have = s.do(have, "+", n)
            sentences.append(
                r.choice(
                    [
                        f"{me} bought {n} more.",
                        f"{me} got {n} more from {friend}.",
                        f"Then {inside} found {n} more.",
                        f"{friend} brings {n} more.",
                        f"{n} more are added.",
                        f"{me} bought another {n}.",
                        f"Then {friend} gives {whom} {n} {item}.",
                    ]
                )
            )
        elif kind == "minus":
            n = r.randint(1, have - 1)
            have = s.do(have, "-", n)
            sentences.append(
                r.choice(
                    [
                        f"{me} gave {n} to {friend}.",
                        f"{me} lost {n}.",
                        f"{n} of them break.",
                        f"Then {n} are sold.",
                        f"{me} gave {n} away.",
                        f"{friend} takes {n}.",
                        f"{me} used {n} of them.",
                        f"{me} ate {n}.",
                    ]
                )
            )
        elif kind == "times":
            n = r.randint(2, 4)
            have = s.do(have, "*", n)
            word = {2: "doubled", 3: "tripled"}.get(n)
            sentences.append(
                r.choice(
                    [
                        f"Then the number is {word}."
                        if word
                        else f"Then the number grows to {n} times as many.",
                        f"Later there are {n} times as many.",
                        f"Then {inside} got {n} times as many as that.",
                    ]
                )
            )
        elif kind == "half":
            have = s.do(have, "/", 2)
            sentences.append(
                r.choice(
                    [
                        "Half of them are given away.",
                        f"{me} gave half of them to {friend}.",
                        f"{me} sold half of what was left.",
                    ]
                )
            )
        else:
            k, m = r.randint(2, 9), r.randint(2, 12)
            extra = s.do(k, "*", m)
            have = s.do(have, "+", extra)
            sentences.append(
                r.choice(
                    [
                        f"{me} bought {k} {r.choice(BOXES)} with {m} {item} each.",
                        f"{friend} brings {k} {r.choice(BOXES)} of {m} {item} each.",
                    ]
                )
            )
    ask = r.choice(
        [
            f"How many {item} are there now?",
            f"How many {item} are left?",
            "How many now?",
            f"How many {item} in the end?",
            f"How many {item} does {name} have now?"
            if me != "I"
            else f"How many {item} do I have now?",
        ]
    )
    return " ".join([*sentences, ask]), have


def _boxes(r: random.Random, s: _Sums) -> Story:
    item, box = r.choice(ITEMS), r.choice(BOXES)
    k, m = r.randint(3, 12), r.randint(3, 12)
    total = s.do(k, "*", m)
    who = r.choice(
        [
            *NAMES,
            "A shop",
            "A farmer",
            "A school",
            "The baker",
            "A teacher",
            "My grandmother",
            "Our class",
        ]
    )
    text = [
        r.choice(
            [
                f"{who} has {k} {box} with {m} {item} each.",
                f"{who} packs {m} {item} into each of {k} {box}.",
                f"There are {k} {box}. Each holds {m} {item}.",
            ]
        )
    ]
    n = r.randint(1, total - 2)
    total = s.do(total, "-", n)
    text.append(
        r.choice(
            [
                f"{n} {item} are sold.",
                f"{n} of them are broken.",
                f"{n} go bad.",
                f"{n} were given away.",
            ]
        )
    )
    if r.random() < 0.5:
        p = r.randint(2, 5)
        money = r.choice(CURRENCIES).format(p)
        total = s.do(total, "*", p)
        text.append(
            r.choice(
                [
                    f"The rest are sold for {money} each. How much money is that?",
                    f"The others cost {money} each. What do they cost together?",
                ]
            )
        )
    else:
        text.append(
            r.choice(
                [
                    f"How many {item} are left?",
                    "How many remain?",
                    f"How many {item} are still there?",
                ]
            )
        )
    return " ".join(text), total


def _shopping(r: random.Random, s: _Sums) -> Story:
    name = r.choice(NAMES)
    (a, b), money = r.sample(ITEMS, 2), r.choice(CURRENCIES)
    k1, p1, k2, p2 = (r.randint(2, 9) for _ in range(4))
    cost = s.do(s.do(k1, "*", p1), "+", s.do(k2, "*", p2))
    text = r.choice(
        [
            f"{name} buys {k1} {a} for {money.format(p1)} each "
            f"and {k2} {b} for {money.format(p2)} each.",
            f"One of the {a} costs {money.format(p1)} and one of the {b} costs {money.format(p2)}. "
            f"{name} buys {k1} {a} and {k2} {b}.",
            f"I bought {k1} {a} at {money.format(p1)} and {k2} {b} at {money.format(p2)}.",
        ]
    )
    if r.random() < 0.5:
        paid = r.choice([n for n in (50, 100, 200) if n > cost])
        rest = s.do(paid, "-", cost)
        return f"{text} " + r.choice(
            [
                f"How much is left of {money.format(paid)}?",
                f"{name} pays with {money.format(paid)}. How much change is there?",
            ]
        ), rest
    return f"{text} " + r.choice(
        ["How much is that in total?", "What is the total cost?", "How much does it cost?"]
    ), cost


def _work(r: random.Random, s: _Sums) -> Story:
    name, money = r.choice(NAMES), r.choice(CURRENCIES)
    p, h, d = r.randint(4, 12), r.randint(2, 6), r.randint(2, 5)
    total = s.do(s.do(p, "*", h), "*", d)
    text = r.choice(
        [
            f"{name} earns {money.format(p)} an hour and works {h} hours a day for {d} days.",
            f"{name} gets {money.format(p)} per hour. "
            f"{name} works {h} hours each day, {d} days a week.",
        ]
    )
    if r.random() < 0.5:
        n = r.randint(1, total - 1)
        total = s.do(total, "-", n)
        return f"{text} Then {name} spends {money.format(n)}. How much is left?", total
    return f"{text} " + r.choice(["How much does that make?", "How much is earned in all?"]), total


def _pages(r: random.Random, s: _Sums) -> Story:
    name = r.choice(NAMES)
    p, d = r.randint(5, 20), r.randint(2, 9)
    read = s.do(p, "*", d)
    total = read + r.randint(5, 90)
    left = s.do(total, "-", read)
    return r.choice(
        [
            f"A book has {total} pages. {name} reads {p} pages a day for {d} days. "
            "How many pages are left?",
            f"{name} must paint {total} tiles and paints {p} each day. "
            f"How many are left after {d} days?",
            f"A trip is {total} km long. {name} rides {p} km an hour for {d} hours. "
            "How many km remain?",
            f"{name} wants to save {total} dollars and saves {p} a week. "
            f"How much is missing after {d} weeks?",
        ]
    ), left


def _travel(r: random.Random, s: _Sums) -> Story:
    v, t, extra = r.randint(5, 60), r.randint(2, 6), r.randint(3, 90)
    unit = r.choice(["km", "miles", "kilometers"])
    far = s.do(s.do(v, "*", t), "+", extra)
    who = r.choice(["A car", "A train", "A cyclist", "A bus", "A boat", *NAMES])
    return (
        f"{who} travels {v} {unit} an hour for {t} hours and then {extra} {unit} more. "
        + r.choice(
            ["How far is that?", f"How many {unit} is that in total?", "What is the distance?"]
        ),
        far,
    )


def _bus(r: random.Random, s: _Sums) -> Story:
    n = r.randint(10, 50)
    thing = r.choice(["bus", "train", "tram", "plane", "ferry"])
    text = [f"There are {n} people on a {thing}."]
    for _ in range(r.randint(1, 2)):
        off, on = r.randint(1, n - 1), r.randint(1, 20)
        n = s.do(s.do(n, "-", off), "+", on)
        text.append(
            r.choice(
                [
                    f"At a stop {off} get off and {on} get on.",
                    f"{off} people leave and {on} come in.",
                ]
            )
        )
    return " ".join(
        [*text, r.choice(["How many are on it now?", f"How many people are on the {thing} now?"])]
    ), n


def _share(r: random.Random, s: _Sums) -> Story:
    item, name = r.choice(ITEMS), r.choice(NAMES)
    k, each = r.randint(2, 9), r.randint(3, 15)
    total = k * each
    a = r.randint(1, total - 1)
    text = [
        r.choice(
            [
                f"{name} has {a} {item} and gets {total - a} more.",
                f"{name} picked {a} {item} and {total - a} more later.",
            ]
        )
    ]
    s.do(a, "+", total - a)
    got = s.do(total, "/", k)
    text.append(
        r.choice(
            [
                f"They are shared equally among {k} friends.",
                f"{name} splits them evenly between {k} children.",
                f"They go into {k} equal {r.choice(BOXES)}.",
            ]
        )
    )
    if r.random() < 0.4 and got > 2:
        n = r.randint(1, got - 1)
        got = s.do(got, "-", n)
        text.append(f"Each then loses {n}.")
    text.append(
        r.choice(
            [
                "How many for each?",
                f"How many {item} does each one have?",
                "How many does each get?",
            ]
        )
    )
    return " ".join(text), got


def _rows(r: random.Random, s: _Sums) -> Story:
    thing = r.choice("trees plants chairs seats desks flowers cabbages".split())
    a, b = r.randint(3, 12), r.randint(3, 12)
    n = s.do(a, "*", b)
    text = [
        r.choice(
            [f"There are {a} rows of {b} {thing}.", f"A field has {a} rows with {b} {thing} each."]
        )
    ]
    if r.random() < 0.5:
        k = r.randint(2, 30)
        n = s.do(n, "+", k)
        text.append(f"{k} more {thing} are added.")
    else:
        k = r.randint(1, n - 1)
        n = s.do(n, "-", k)
        text.append(f"{k} {thing} are removed.")
    return " ".join([*text, f"How many {thing} are there now?"]), n


_ANIMALS = {"cows": 4, "chickens": 2, "dogs": 4, "ducks": 2, "spiders": 8, "ants": 6}
_VEHICLES = {"bicycles": 2, "cars": 4, "tricycles": 3}


def _legs(r: random.Random, s: _Sums) -> Story:
    part, things = r.choice((("legs", _ANIMALS), ("legs", _ANIMALS), ("wheels", _VEHICLES)))
    (a, la), (b, lb) = r.sample(list(things.items()), 2)
    x, y = r.randint(2, 12), r.randint(2, 12)
    n = s.do(s.do(x, "*", la), "+", s.do(y, "*", lb))
    return (
        f"There are {x} {a} with {la} {part} each and {y} {b} with {lb} {part} each. "
        f"How many {part} in all?",
        n,
    )


def _teams(r: random.Random, s: _Sums) -> Story:
    a, b = r.sample(NAMES, 2)
    item = r.choice(ITEMS)
    n, k = r.randint(3, 30), r.randint(2, 4)
    if r.random() < 0.5:
        other = s.do(n, "*", k)
        text = r.choice([f"{b} has {k} times as many as {a}.", f"{b} has {k} times that."])
    else:
        k = r.randint(2, 30)
        other = s.do(n, "+", k)
        text = f"{b} has {k} more than {a}."
    total = s.do(n, "+", other)
    return f"{a} has {n} {item}. {text} How many {item} do they have together?", total


def _plain(r: random.Random, s: _Sums) -> Story:
    a, b, c = r.randint(2, 60), r.randint(2, 12), r.randint(2, 40)
    if r.random() < 0.5:
        n = s.do(s.do(a, "+", c), "*", b) if a + c < 80 else s.do(s.do(a, "+", c), "+", b)
        first, last = f"{a} plus {c}", (f"times {b}" if a + c < 80 else f"plus {b}")
        return r.choice(
            [
                f"What is {first}, {last}?",
                f"Start with {a}, add {c}, then {'multiply by' if a + c < 80 else 'add'} {b}. "
                "What do you get?",
                f"Calculate ({a} + {c}) {'*' if a + c < 80 else '+'} {b}.",
            ]
        ), n
    m = s.do(a if a < 25 else 25, "*", b)
    d = r.randint(1, m)
    n = s.do(m, "-", d)
    a = a if a < 25 else 25
    return r.choice(
        [
            f"What is {a} * {b} - {d}?",
            f"Take {a}, multiply it by {b} and subtract {d}. What is the result?",
            f"Compute {a} times {b} minus {d}.",
        ]
    ), n


def _small(r: random.Random, s: _Sums) -> Story:
    """Two steps with numbers up to twenty."""
    (name, friend), item = r.sample(NAMES, 2), r.choice(ITEMS)
    a, b = r.randint(2, 10), r.randint(1, 6)
    if r.random() < 0.5:
        have = s.do(a, "+", b)
        c = r.randint(1, have - 1)
        have = s.do(have, "-", c)
        text = r.choice(
            [
                f"I had {a} {item}, bought {b} more and gave {c} away. How many now?",
                f"{name} has {a} {item}, gets {b} and loses {c}. How many are left?",
                f"{name} found {a} {item} and then {b} more, but {c} broke. How many remain?",
                f"There are {a} {item}. {b} are added and {c} are taken. How many are there now?",
            ]
        )
        return text, have
    b = r.randint(1, a - 1)
    have = s.do(a, "-", b)
    k = r.randint(2, 3)
    have = s.do(have, "*", k)
    times = {2: "twice", 3: "three times"}[k]
    text = r.choice(
        [
            f"I had {a} {item} and ate {b}. Now I have {times} what was left. How many is that?",
            f"{name} had {a} {item} and lost {b}. {friend} has {times} as many as {name} has now. "
            f"How many does {friend} have?",
        ]
    )
    return text, have


_STORIES: tuple[Callable[[random.Random, _Sums], Story], ...] = (
    _chain,
    _chain,
    _chain,
    _boxes,
    _shopping,
    _work,
    _pages,
    _travel,
    _bus,
    _share,
    _rows,
    _legs,
    _teams,
    _plain,
)


def _unknown(r: random.Random, s: _Sums) -> Story:
    x, k, b = r.randint(3, 30), r.randint(2, 6), r.randint(2, 40)
    total = x * k + b
    n = s.do(s.do(total, "-", b), "/", k)
    return r.choice(
        [
            f"I think of a number, multiply it by {k} and add {b}. I get {total}. "
            "What is my number?",
            f"{k} times a number plus {b} is {total}. What is the number?",
            f"Solve {k}x + {b} = {total} for x.",
        ]
    ), n


def _percent(r: random.Random, s: _Sums) -> Story:
    p, base = r.choice((10, 20, 25, 50)), r.randint(1, 10) * 20
    part = s.do(base, "/", 100 // p)
    item = r.choice(ITEMS)
    if r.random() < 0.5:
        n = s.do(base, "-", part)
        return r.choice(
            [
                f"A coat costs {base} dollars. It gets {p}% cheaper. What does it cost now?",
                f"{r.choice(NAMES)} has {base} {item} and gives away {p} percent. "
                "How many are left?",
            ]
        ), n
    n = s.do(base, "+", part)
    return r.choice(
        [
            f"A town has {base} houses and grows by {p}%. How many houses are there now?",
            f"{r.choice(NAMES)} earns {base} euros and gets {p}% more. How much is that?",
        ]
    ), n


def _two_people(r: random.Random, s: _Sums) -> Story:
    a, b = r.sample(NAMES, 2)
    young, d = r.randint(3, 30), r.randint(2, 20)
    total = 2 * young + d
    n = s.do(s.do(total, "-", d), "/", 2)
    thing = r.choice(ITEMS)
    return r.choice(
        [
            f"{a} is {d} years older than {b}. Together they are {total} years old. "
            f"How old is {b}?",
            f"{a} has {d} more {thing} than {b}. Together they have {total}. "
            f"How many does {b} have?",
        ]
    ), n


_HARD = (_unknown, _percent, _two_people)


def _draw(
    r: random.Random, stories: Sequence[Callable[[random.Random, _Sums], Story]], task: str
) -> Problem:
    while True:
        sums = _Sums()
        question, answer = r.choice(stories)(r, sums)
        if 0 <= answer <= 999:
            break
    last = f"The answer is {answer}."
    steps = "Let me work it out. " + ". ".join(sums.lines) + f". {last}"
    return Problem(task, question, str(answer), last, steps)


def draw(r: random.Random) -> Problem:
    """A word problem of one to six sums, most of them two to four; three in ten are small."""
    return _draw(r, (_small,) if r.random() < 0.3 else _STORIES, "math")


def draw_hard(r: random.Random) -> Problem:
    """A problem with an unknown, a percentage or two persons."""
    return _draw(r, _HARD, "math-hard")
