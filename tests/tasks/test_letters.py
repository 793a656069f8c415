"""Which option an answer settles on."""

from __future__ import annotations

import pytest

from t2app.tasks.letters import choice, chosen_letter

OPTIONS = (("A", "dog"), ("B", "Paris"), ("C", "hot dog"))


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b)", "B"),
        ("(b)", "B"),
        ("**B**", "B"),
        ("B) Paris", "B"),
        ("B: I know it", "B"),
        ("The answer is B.", "B"),
        ("The answer is (b).", "B"),
        ("The correct answer is option B.", "B"),
        ("Answer: B", "B"),
        ("**Answer:** B) Paris", "B"),
        ("So \\boxed{B}, although A is near", "B"),
        ("\\boxed{\\text{B}}", "B"),
        ("It was A.\n#### B", "B"),
        ("The answer is A. No, the answer is B.", "B"),
        ("I remember: A) dog: Rome. B) Paris: France. The answer is B.", "B"),
        ("A dog and a hot dog are no cities. The answer is Paris.", "B"),
        ("The answer is Paris, not a dog.", "B"),
        ("The answer is hot dog", "C"),
        ("I remember: a dog barks. The answer is barking.", None),
        ("The answer is obvious. It must be B", "B"),
        ("B. The answer is in the text.", "B"),
        ("Paris", "B"),
        ("It is paris.", "B"),
        ("Hot dog", "C"),
        ("A dog, I think", "A"),
        ("The answer is a dog", "A"),
        ("either dog or Paris", None),
        ("I can answer a question", None),
        ("e.g. nothing", None),
        ("", None),
    ],
)
def test_chosen_letter(answer: str, letter: str | None) -> None:
    assert chosen_letter(answer, OPTIONS) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("the answer is d", "D"),
        ("The answer is b) a dog", "B"),
        ("It is (D).", "D"),
        ("The answer is a bird.", None),
        ("The answer is a bird, so C", "C"),
        ("A bird is not a fish. B", "B"),
        ("A's and B's", None),
        ("Because", None),
        ("So it is vitamin C", "C"),
        ("A cat", None),
    ],
)
def test_letters_without_options(answer: str, letter: str | None) -> None:
    assert chosen_letter(answer) == letter


def test_choice() -> None:
    assert choice("It is Paris", "b", OPTIONS) == 1
    assert choice("It is Paris", "b") == 0, "no options to tell by"
