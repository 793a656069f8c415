"""The texts of the page: introduction, examples, and one line for each strategy.

Not covered: messages that depend on what the user did, which stand where they arise.
"""

from __future__ import annotations

TITLE = "t2app"
INTRO = "The model looks at your question, mixes its experts, then answers."

# Names that events select a tab by.
TAB_CHAT, TAB_EXPERTS, TAB_TRAIN, TAB_FEW_SHOT = "chat", "experts", "train", "few-shot"
TAB_MODEL = "model"

# One click asks one of these; the first of each kind is on show while the chat is empty.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "Math": (
        "There are 7 boxes with 9 pens each. 15 pens are broken. The rest are sold for $2 each. "
        "How much money is that?",
        "Maria earns 9 dollars an hour and works 5 hours a day for 4 days. "
        "How much does that make?",
        "There are 8 rows of 12 chairs. 17 chairs are removed. How many chairs are there now?",
    ),
    "Code": (
        "Write a Python function convert that takes a number n, adds 25 to n, then triples the "
        "result, then takes 28 away from it, then returns the result.",
        "Write a Python function f(x) that adds 17 to x, multiplies the result by 6, "
        "subtracts 23 from it and returns the result.",
        "Write a function score that takes a list of numbers nums, adds 14 to each number, keeps "
        "those greater than 33, multiplies each of them by 7 and returns the sum.",
    ),
    "Reasoning": (
        "What do we call a young horse? A) calf B) lamb C) foal D) kid",
        "Which part of the body do we use to think? A) heart B) lungs C) brain D) skin",
        "What does a barometer measure? A) temperature B) speed C) time D) air pressure",
    ),
    "Small talk": (
        "Hello! Who are you?",
        "What can you do?",
        "Tell me a joke.",
    ),
}

# strategy: (name on the page, what it does, in one line); others speak for themselves
STRATEGIES: dict[str, tuple[str, str]] = {
    "auto": (
        "Automatic",
        "What measured best: likeness to the experts' example questions, and the built-in model "
        "is asked. Where no expert is likely enough, the base model answers.",
    ),
    "classifier": (
        "Classify",
        "An expert that was trained to sort questions reads yours; its probabilities are the mix.",
    ),
    "prompt": (
        "Ask the model",
        "The plain model is asked what kind of question this is; its probabilities are the mix.",
    ),
    "prototype": (
        "Prototype",
        "Your question is compared with the example questions of every expert; likeness is the "
        "mix. An expert that keeps none is never chosen.",
    ),
    "few-shot": (
        "Few-shot",
        "Every question is answered with a mix that was found on solved examples (tab Few-shot).",
    ),
    "manual": (
        "By hand",
        "No first pass: every question is answered with the weights you set below.",
    ),
    "off": (
        "Off",
        "No experts: the plain base model answers.",
    ),
}

HOW_IT_WORKS = (
    (
        "It looks",
        "A first pass reads your question and gives a probability to each kind of task.",
    ),
    (
        "It mixes",
        "An expert is a small vector that turns parts of the model up or down. The probabilities "
        "decide how much of each expert is used; the rest stays the plain base model.",
    ),
    (
        "It answers",
        "The same model, with this mix in effect, writes the answer. The next question gets a "
        "mix of its own.",
    ),
)
REACH = (
    "The built-in model is very small. It knows word problems, short Python functions, multiple "
    "choice about everyday facts, and small talk. For more, get a real model on the tab Model, or "
    "start the app with one: <code>python app.py --model NAME</code>."
)

MEASURING = "How well this sorts questions on this model is being measured."

ASK = "Ask"
STOP = "Stop"
PLACEHOLDER = "Write your question…"
EMPTY_CHAT = "### What would you like to ask?\nPick an example or write your own question below."
NO_EXPERTS = "No experts fit this model yet, so the base model answers everything."
EMPTY_MIX = "Nothing is mixed in yet. Each question gets a mix of its own, and it shows up here."
