"""The table of everyday and school-science facts behind the reasoning task.

Each relation says how to state a fact, how to ask for the value of a key, and how to ask which key
has a value. ``{k}`` is the key, ``{v}`` the value, ``{ak}``/``{av}`` the same with an article.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One kind of fact, e.g. the young of an animal."""

    facts: dict[str, str]
    state: str
    ask_value: tuple[str, ...]
    ask_key: tuple[str, ...]


def _table(text: str) -> dict[str, str]:
    return dict(part.strip().split(": ") for part in text.split(","))


RELATIONS: dict[str, Relation] = {
    "class": Relation(
        _table(
            "frog: amphibian, toad: amphibian, newt: amphibian, salamander: amphibian, snake: reptile, lizard: reptile, turtle: reptile, "
            "crocodile: reptile, eagle: bird, penguin: bird, owl: bird, duck: bird, chicken: bird, salmon: fish, shark: fish, tuna: fish, "
            "trout: fish, bee: insect, ant: insect, butterfly: insect, beetle: insect, dog: mammal, cat: mammal, whale: mammal, "
            "bat: mammal, horse: mammal, cow: mammal, sheep: mammal, bear: mammal, rabbit: mammal, pig: mammal, kangaroo: mammal, dolphin: mammal"
        ),
        "{ak} is {av}",
        (
            "What kind of animal is {ak}?",
            "{ak} is a kind of what?",
            "To which group does {ak} belong?",
            "Which class of animal is the {k}?",
            "{ak} is an example of",
            "How do scientists classify the {k}?",
        ),
        (
            "Which of these is {av}?",
            "Which animal is {av}?",
            "Which one belongs to the {v}s?",
            "Pick the {v}.",
        ),
    ),
    "young": Relation(
        _table(
            "dog: puppy, cat: kitten, cow: calf, horse: foal, sheep: lamb, goat: kid, pig: piglet, duck: duckling, frog: tadpole, "
            "butterfly: caterpillar, bear: cub, deer: fawn, swan: cygnet, chicken: chick, kangaroo: joey, goose: gosling, owl: owlet"
        ),
        "a young {k} is called {av}",
        (
            "What is a baby {k} called?",
            "What do we call a young {k}?",
            "The young of {ak} is called",
            "What is the name for a young {k}?",
        ),
        (
            "Which animal's young is called {av}?",
            "{av} is the young of which animal?",
            "{av} grows up to be what?",
        ),
    ),
    "home": Relation(
        _table(
            "bee: hive, eagle: nest, dog: kennel, horse: stable, spider: web, rabbit: burrow, bear: den, pig: sty, ant: anthill, "
            "cow: barn, chicken: coop, beaver: lodge, bat: cave"
        ),
        "{ak} lives in {av}",
        (
            "Where does {ak} live?",
            "What is the home of {ak} called?",
            "In which place does {ak} live?",
            "{ak} usually lives in",
        ),
        (
            "Which animal lives in {av}?",
            "Which of these has its home in {av}?",
            "What lives in {av}?",
        ),
    ),
    "product": Relation(
        _table(
            "cow: milk, chicken: eggs, bee: honey, sheep: wool, silkworm: silk, pig: bacon, goose: down"
        ),
        "the {k} gives us {v}",
        (
            "What do we get from the {k}?",
            "What does {ak} give us?",
            "Which product comes from the {k}?",
        ),
        ("Which animal gives us {v}?", "Where does {v} come from?", "{v} comes from which animal?"),
    ),
    "organ": Relation(
        _table(
            "heart: pump blood, lungs: breathe, stomach: digest food, brain: think, kidneys: clean the blood, eyes: see, ears: hear, "
            "nose: smell, tongue: taste, skin: feel touch, bones: hold the body up, muscles: move, teeth: chew"
        ),
        "we use the {k} to {v}",
        (
            "What do the {k} do in the body?",
            "What is the job of the {k}?",
            "What do we use the {k} for?",
            "The main function of the {k} is to",
        ),
        (
            "Which part of the body do we use to {v}?",
            "What do we need to {v}?",
            "Which organ helps us to {v}?",
        ),
    ),
    "measure": Relation(
        _table(
            "thermometer: temperature, ruler: length, clock: time, scale: weight, barometer: air pressure, speedometer: speed, "
            "compass: direction, rain gauge: rainfall, protractor: angles, anemometer: wind speed, voltmeter: voltage, odometer: distance"
        ),
        "a {k} measures {v}",
        (
            "What does a {k} measure?",
            "A {k} is used to measure",
            "What can you measure with a {k}?",
            "What do people use a {k} for?",
        ),
        (
            "Which tool measures {v}?",
            "What is used to measure {v}?",
            "Which instrument shows {v}?",
            "The thing that measures {v} is the",
        ),
    ),
    "work": Relation(
        _table(
            "teacher: school, doctor: hospital, farmer: farm, baker: bakery, pilot: airplane, sailor: ship, judge: court, chef: kitchen, "
            "librarian: library, cashier: shop, waiter: restaurant, mechanic: garage, actor: theater, scientist: laboratory, miner: mine"
        ),
        "a {k} works in a {v}",
        (
            "Where does a {k} work?",
            "In which place does a {k} work?",
            "A {k} works in a",
            "What is the workplace of a {k}?",
        ),
        ("Who works in a {v}?", "Which person works in a {v}?", "Which job is done in a {v}?"),
    ),
    "capital": Relation(
        _table(
            "France: Paris, Japan: Tokyo, Italy: Rome, Spain: Madrid, Germany: Berlin, Egypt: Cairo, Greece: Athens, Russia: Moscow, "
            "China: Beijing, England: London, Kenya: Nairobi, Peru: Lima, Cuba: Havana, Norway: Oslo, Austria: Vienna, Portugal: Lisbon"
        ),
        "the capital of {k} is {v}",
        (
            "What is the capital of {k}?",
            "Which city is the capital of {k}?",
            "The capital of {k} is",
        ),
        ("{v} is the capital of which country?", "In which country is {v}?"),
    ),
    "opposite": Relation(
        _table(
            "hot: cold, big: small, fast: slow, wet: dry, light: dark, full: empty, young: old, hard: soft, early: late, loud: quiet, "
            "rich: poor, sweet: sour, open: closed, near: far, high: low, heavy: weightless"
        ),
        "the opposite of {k} is {v}",
        (
            "What is the opposite of {k}?",
            "Which word means the opposite of {k}?",
            "The opposite of {k} is",
        ),
        ("{v} is the opposite of which word?", "Which word is the opposite of {v}?"),
    ),
    "color": Relation(
        _table(
            "banana: yellow, lemon: yellow, grass: green, leaf: green, sky: blue, snow: white, milk: white, coal: black, night: black, carrot: orange, "
            "strawberry: red, blood: red, ruby: red, chocolate: brown, emerald: green, sapphire: blue, sun: yellow"
        ),
        "the color of {k} is {v}",
        ("What color is {k}?", "Which color does {k} have?", "The color of {k} is"),
        ("Which of these is {v}?", "Which thing has the color {v}?"),
    ),
    "state": Relation(
        _table(
            "iron: solid, wood: solid, stone: solid, ice: solid, glass: solid, water: liquid, milk: liquid, oil: liquid, juice: liquid, "
            "oxygen: gas, helium: gas, steam: gas, air: gas, nitrogen: gas"
        ),
        "{k} is a {v}",
        (
            "What state of matter is {k}?",
            "At room temperature, {k} is a",
            "Is {k} a solid, a liquid, a gas or a plasma?",
        ),
        ("Which of these is a {v}?", "Which substance is a {v}?"),
    ),
    "planet": Relation(
        _table(
            "Mercury: closest to the sun, Venus: the hottest planet, Earth: our home, Mars: the red planet, Jupiter: the biggest planet, "
            "Saturn: famous for its rings, Neptune: farthest from the sun, Moon: going around the Earth"
        ),
        "{k} is {v}",
        ("What is true of {k}?", "What is {k} known for?", "Which of these describes {k}?"),
        ("Which body in space is {v}?", "Which one is {v}?", "What is {v}?"),
    ),
    "made": Relation(
        _table(
            "bread: wheat, cheese: milk, wine: grapes, paper: wood, chips: potatoes, chocolate: cocoa, ketchup: tomatoes, glass: sand, "
            "butter: cream, omelette: eggs, tofu: soybeans, candle: wax, tire: rubber, coin: metal, sweater: wool, brick: clay"
        ),
        "{k} is made from {v}",
        (
            "What is {k} made from?",
            "What is {k} made of?",
            "What do you need to make {k}?",
            "{k} comes from",
        ),
        ("What is made from {v}?", "Which of these is made of {v}?", "What can be made from {v}?"),
    ),
    "plant": Relation(
        _table(
            "root: takes in water, leaf: makes food from light, flower: makes seeds, stem: holds the plant up, bark: protects the tree, seed: grows into a new plant"
        ),
        "the {k} {v}",
        (
            "What does the {k} of a plant do?",
            "What is the job of the {k}?",
            "Which is true of the {k} of a plant?",
        ),
        ("Which part of a plant {v}?", "What part {v}?"),
    ),
    "season": Relation(
        _table("winter: snow, summer: hot days, spring: new flowers, autumn: falling leaves"),
        "in {k} there are {v}",
        ("What do we see in {k}?", "What is typical for {k}?", "{k} is the season of"),
        ("Which season is known for {v}?", "In which season do we see {v}?"),
    ),
    "count": Relation(
        _table(
            "spider: eight legs, insect: six legs, dog: four legs, bird: two legs, triangle: three sides, square: four sides, pentagon: five sides, "
            "hexagon: six sides, octopus: eight arms, week: seven days, year: twelve months, minute: sixty seconds, hand: five fingers, day: twenty-four hours"
        ),
        "{ak} has {v}",
        ("What does {ak} have?", "Which is true: {ak} has", "{ak} has how many of these?"),
        ("Which of these has {v}?", "What has {v}?"),
    ),
    "food": Relation(
        _table(
            "lion: meat, panda: bamboo, koala: eucalyptus leaves, squirrel: nuts, giraffe: tree leaves, anteater: ants, monkey: bananas, seal: fish, mosquito: blood"
        ),
        "{ak} eats {v}",
        ("What does {ak} eat?", "What is the food of {ak}?", "{ak} mostly eats"),
        ("Which animal eats {v}?", "Which of these lives on {v}?"),
    ),
    "machine": Relation(
        _table(
            "ramp: inclined plane, seesaw: lever, axe: wedge, doorknob: wheel and axle, flagpole rope: pulley, jar lid: screw"
        ),
        "a {k} is a kind of {v}",
        (
            "Which simple machine is a {k}?",
            "A {k} is an example of which simple machine?",
            "What kind of machine is a {k}?",
        ),
        ("Which of these is a kind of {v}?", "Which is an example of a {v}?"),
    ),
    "action": Relation(
        _table(
            "knife: cut, pen: write, hammer: hit nails, broom: sweep, needle: sew, key: open a lock, spoon: eat soup, telescope: look at stars, "
            "microscope: look at tiny things, umbrella: stay dry, fridge: keep food cold, oven: bake, bed: sleep, phone: call, camera: take pictures"
        ),
        "we use a {k} to {v}",
        (
            "What do you do with a {k}?",
            "What is a {k} used for?",
            "People use a {k} to",
            "Why would you need a {k}?",
        ),
        (
            "What do you need to {v}?",
            "Which object is used to {v}?",
            "Which tool helps you to {v}?",
        ),
    ),
}

# Chains of two relations over animals: from a value of the first, by its key, to a value of the second.
ANIMAL_RELATIONS = ("class", "young", "home", "product", "food")
DESCRIBE = {
    "young": "the animal whose young is called {av}",
    "home": "the animal that lives in {av}",
    "product": "the animal that gives us {v}",
    "food": "the animal that eats {v}",
}
ASK_OF = {
    "class": ("What kind of animal is {x}?", "To which group belongs {x}?"),
    "young": ("What is the young of {x} called?", "What do we call a baby of {x}?"),
    "home": ("Where does {x} live?", "What is the home of {x}?"),
    "product": ("What do we get from {x}?", "Which product comes from {x}?"),
}
