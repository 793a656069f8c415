"""Questions of every shape, used only to teach the first pass what belongs where.

The model cannot answer most of these; it should still see that ``is 91 prime?`` in Python is code.
"""

from __future__ import annotations

import random

from t2app.tasks import other
from t2app.tasks.base import a_or_an
from t2app.tasks.facts import RELATIONS
from t2app.tasks.math import BOXES, ITEMS, NAMES
from t2app.tasks.reasoning import layout

_CODE_GOALS = (
    "checks whether a number is prime",
    "reverses a string",
    "counts the words in a text",
    "computes the factorial of n",
    "returns the nth Fibonacci number",
    "checks if a word is a palindrome",
    "sorts a list of names by length",
    "merges two lists",
    "removes duplicates from a list",
    "finds the second largest number",
    "converts Celsius to Fahrenheit",
    "returns the average of a list",
    "tells if a year is a leap year",
    "counts how often each letter occurs",
    "flattens a nested list",
    "finds the longest word",
    "returns all divisors of n",
    "adds two numbers",
    "squares every element",
    "checks if two words are anagrams",
    "returns the greatest common divisor",
    "splits a sentence into words",
    "swaps two values",
    "turns a list of tuples into a dict",
    "rounds a number to two digits",
    "prints a triangle of stars",
    "reads a csv file",
    "returns True if the list is sorted",
    "sums the digits of a number",
    "multiplies all numbers in a list",
    "returns the last element",
    "capitalizes the first letter",
    "finds the index of an item",
    "converts a number to binary",
    "rotates a list by k",
    "counts the vowels in a string",
    "removes all negative numbers",
    "returns the product of two numbers",
    "zips two lists together",
    "checks whether all numbers are positive",
    "replaces spaces with underscores",
    "returns the middle character",
    "joins a list of strings with commas",
    "validates an email address",
    "computes the area of a circle",
    "finds the minimum without using min",
    "returns every second element",
    "computes the distance of two points",
)
_CODE_ASKS = (
    "write a python function that {g}",
    "write a function that {g}",
    "how would i write a function that {g}?",
    "I need a function that {g}",
    "python code that {g}",
    "give me a script that {g}",
    "implement a method that {g}",
    "Can you code something that {g}?",
    "create a small program that {g}",
    "show me a def that {g}",
    "a python one-liner that {g}",
    "Please write code: it {g}.",
    "make a function which {g}",
    "in python, write something that {g}",
    "Write a short Python program that {g}.",
    "need a lambda that {g}",
    "def: {g}",
    "write me a helper that {g}, with a docstring",
    "Could you write a piece of Python which {g}?",
    "function in python: {g}",
    "I'm looking for a Python snippet that {g}",
    'Complete this function:\ndef {f}(x):\n    """{g}"""',
    'def {f}(a, b):\n    """{g}."""\n',
    "from typing import List\n\ndef {f}(xs: List[int]) -> int:\n"
    '    """{g}\n    >>> {f}([1, 2])\n    3\n    """',
    "finish the code:\n\ndef {f}(s):\n    # {g}\n",
    "what's wrong with this code: def {f}(x) return x",
    "fix my function: def {f}(n): retrun n",
    "How do I write a loop in Python that {g}",
)
_MATH = (
    "what is {a} + {b}",
    "what's {a} times {b}?",
    "{a} - {b} = ?",
    "how much is {a} divided by {k}",
    "{a}*{b}",
    "calculate {a}% of {b}",
    "what is half of {a}",
    "Compute {a} + {b} - {c}",
    "whats {a} plus {b} minus {c}",
    "{n} is {a} years old and {m} is {k} times as old. How old is {m}?",
    "a {t} costs {a} dollars and i pay with {c}, how much do i get back",
    "If {k} {i} cost {a} euros, what do {b} {i} cost?",
    "{n} runs {a} meters a day. How many meters in {k} weeks?",
    "there are {a} kids in a class, {b} are girls. how many boys",
    "I have {k} {x} of {b} {i} and eat {c}. how many {i} do i have left?",
    "A train leaves at {k} and drives {a} km per hour. How far after {b} hours?",
    "{n} cuts a {a} cm rope into {k} pieces. How long is each piece?",
    "My rent is {a}, food is {b} and I earn {c}. What remains?",
    "the sum of two numbers is {a} and one of them is {b}. what's the other",
    "solve x + {a} = {b}",
    "{a}x = {b}, find x",
    "{n} bakes {a} {i}, {m} bakes twice as many. How many do they bake in all?",
    "a recipe needs {k} {i} per person. how many {i} for {b} people",
    "A movie starts at {k} and lasts {a} minutes, how long is it in total with {b} minutes of ads?",
    "how many {i} does {n} have if {m} has {a} and {n} has {b} fewer?",
    "{n} drinks {k} cups of water a day. How many cups in {b} days?",
    "a box holds {b} {i}. how many boxes for {a} {i}?",
    "a parking lot has {a} cars on {k} floors each. {b} leave. how many cars stay?",
    "Tickets are {a} for adults and {b} for kids. What do {k} adults and {c} kids pay?",
    "{n} reads {a} pages on monday, {b} on tuesday and twice that on wednesday. total?",
    "The temperature was {a} degrees, dropped by {b} and rose by {c}. What is it now?",
    "in a jar there are {a} red and {b} blue {i}. {n} takes out {c}. How many stay in the jar?",
    "A rectangle is {a} cm by {b} cm. What is its area?",
    "if i save {a} a month how much do i have after {k} years",
    "what is {a}% of {b}?",
    "the price rose from {a} to {b}. by how much",
    "{n} and {m} share {a} {i} equally. How many each?",
    "My grandpa has {a} sheep. {k} are born and {b} are sold. How many sheep has he got?",
    "{n} scored {a}, {b} and {c} points. How many points is that altogether?",
)
_STEMS = (
    "Which of these is {v}?",
    "Which one is {v}?",
    "What is the main {k} of {n}?",
    "Which {k} do most people need for {n}?",
    "The best example of {v} is",
    "Which would a student use to study {n}?",
    "What causes {n}?",
    "Which of the following is true about {n}?",
    "Choose the right answer: {n} is",
    "What happens when {n} gets warm?",
    "Which does not belong?",
    "Why do we have {n}?",
    "What is {n} mostly made of?",
    "Which {k} gives us {n}?",
    "{n} are used for",
    "Where would you find {n}?",
    "Which of these is NOT {v}?",
    "What do you call a person who makes {n}?",
    "Which statement about {n} is correct?",
    "How does {n} help living things?",
    "Which part of {n} is the largest?",
    "{n} belongs to which group?",
    "What comes after {n}?",
    "Which answer fits? {n} is",
    "Who would need {n} at work?",
    "What is {n}?",
    "Where does {n} come from?",
)


def _words() -> list[str]:
    words = {w for relation in RELATIONS.values() for pair in relation.facts.items() for w in pair}
    words |= set(ITEMS) | {
        "water",
        "energy",
        "sunlight",
        "metal",
        "plastic",
        "a magnet",
        "sound",
        "heat",
        "friction",
        "gravity",
        "rocks",
        "soil",
        "rivers",
        "the moon",
        "a rainbow",
        "an earthquake",
        "a volcano",
        "electricity",
        "a mirror",
        "salt",
        "sugar",
        "paper",
        "trees",
        "rust",
        "fossils",
        "clouds",
        "a battery",
        "a computer",
        "a firefighter",
        "a nurse",
        "the desert",
        "the ocean",
        "oxygen",
        "carbon",
        "bacteria",
        "a virus",
        "vitamins",
        "roots",
        "a shadow",
        "a lens",
        "a pulley",
        "light",
        "cotton",
        "silver",
        "gold",
        "evaporation",
        "melting",
        "freezing",
        "condensation",
        "predator",
        "prey",
        "photosynthesis",
        "erosion",
        "habitat",
        "pollution",
    }
    return sorted(words)


_WORDS = _words()


def _code(r: random.Random) -> str:
    return other.punctuate(
        r,
        r.choice(_CODE_ASKS)
        .replace("{g}", r.choice(_CODE_GOALS))
        .replace("{f}", r.choice(("f", "solve", "count", "check", "add", "first"))),
        ".",
    )


def _math(r: random.Random) -> str:
    n, m = r.sample(NAMES, 2)
    text = r.choice(_MATH).format(
        a=r.randint(10, 200),
        b=r.randint(2, 90),
        c=r.randint(2, 60),
        k=r.randint(2, 12),
        n=n,
        m=m,
        i=r.choice(ITEMS),
        x=r.choice(BOXES),
        t=r.choice(ITEMS)[:-1],
    )
    return other.punctuate(r, text, "?" if r.random() < 0.5 else "")


def _reasoning(r: random.Random) -> str:
    words = r.sample(_WORDS, r.randint(3, 5))
    stem = r.choice(_STEMS).format(
        v=a_or_an(r.choice(_WORDS)),
        k=r.choice(("part", "thing", "tool", "animal", "material", "place")),
        n=r.choice(_WORDS),
    )
    return layout(r, other.punctuate(r, stem, ""), words)


_DRAW = {"math": _math, "code": _code, "reasoning": _reasoning}


def question(r: random.Random, label: str) -> str:
    """A question of a kind other than ``other``, in a shape that the task itself never draws."""
    return _DRAW[label](r)
