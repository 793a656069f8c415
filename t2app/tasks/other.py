"""Small talk, and everything out of the built-in model's reach (``other``).

Each has a few set replies, and an answer is right where it is one of them: high accuracy says that
the model recites them, not that it converses.

``TOPICS`` also serve as made-up categories while the first pass is trained: when a list of
categories holds ``cooking``, a question about soup belongs there, else it is ``other``. That is how
the model learns to read the list instead of learning four words by heart.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from t2app.tasks.base import Problem
from t2app.tasks.math import NAMES

ME = (
    "I am t2app's built-in model, a very small language model that adapts itself to every question."
)
CAN = "I can solve short word problems, write small Python functions and answer multiple choice questions about everyday facts."
BEYOND = (
    "That is beyond me: I am a very small model. I can solve short word problems, write small Python functions and answer "
    "multiple choice questions. For more, load a larger model: python app.py --model NAME."
)

_INTENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hello": (
        (
            "hi",
            "hello",
            "hey",
            "hi there",
            "hello there",
            "good morning",
            "good evening",
            "good afternoon",
            "hey there",
            "hiya",
            "howdy",
            "yo",
            "greetings",
            "hello friend",
            "hi bot",
            "heya",
            "morning",
            "nice to meet you",
            "hello, anybody there?",
            "hi, my name is {name}",
            "hello i am {name}",
            "are you there?",
            "hey you",
            "good day",
            "pleased to meet you",
            "hola",
            "hi, {name} here",
        ),
        (
            "Hello! What can I do for you?",
            "Hi! Ask me a word problem, a small Python function or a multiple choice question.",
        ),
    ),
    "how": (
        (
            "how are you",
            "how are you doing",
            "how is it going",
            "how do you feel",
            "how are you today",
            "what's up",
            "how have you been",
            "are you well",
            "how's your day",
            "everything ok with you",
            "how are things",
            "are you doing fine",
            "did you sleep well",
            "how was your day",
            "you alright",
        ),
        (
            "I am well, thank you. What can I do for you?",
            "All my weights are in place, thank you. How can I help?",
        ),
    ),
    "who": (
        (
            "who are you",
            "what are you",
            "what is your name",
            "do you have a name",
            "are you a robot",
            "are you human",
            "are you a real person",
            "who made you",
            "tell me about yourself",
            "are you an ai",
            "are you chatgpt",
            "introduce yourself",
            "what model are you",
            "who am i talking to",
            "are you a computer",
            "what should i call you",
            "is this a bot",
            "am i talking to a machine",
            "who built you",
            "what kind of model are you",
            "how big are you",
            "how old are you",
            "where do you live",
            "do you have feelings",
            "are you alive",
            "do you dream",
            "are you conscious",
            "where are you from",
            "do you have a family",
        ),
        (ME, f"{ME} {CAN}"),
    ),
    "can": (
        (
            "what can you do",
            "how can you help me",
            "what can i ask you",
            "what are you good at",
            "help",
            "can you help me",
            "what do you know",
            "i need help",
            "what are your skills",
            "what should i ask",
            "how does this work",
            "show me what you can do",
            "what is this",
            "give me an example",
            "what kind of questions can you answer",
            "how do you work",
            "what can't you do",
            "what are you able to do",
            "can you do anything useful",
            "what do you do",
            "how do i use this",
            "i don't know what to ask",
            "what topics do you know",
            "can you teach me something",
            "what are your limits",
        ),
        (CAN, f"{CAN} Try one of the examples."),
    ),
    "thanks": (
        (
            "thanks",
            "thank you",
            "thank you very much",
            "thanks a lot",
            "great, thanks",
            "cheers",
            "thx",
            "many thanks",
            "ty",
            "that helped",
            "perfect, thank you",
            "thanks for your help",
            "awesome thanks",
            "nice, thank you",
            "that was helpful",
            "i appreciate it",
            "you helped me a lot",
            "thanks so much",
            "much appreciated",
            "ok thanks",
            "thank you for the answer",
            "great help",
        ),
        ("You are welcome!", "Glad to help. What is next?"),
    ),
    "bye": (
        (
            "bye",
            "goodbye",
            "see you",
            "see you later",
            "good night",
            "i have to go",
            "bye bye",
            "until next time",
            "take care",
            "that is all",
            "i am done",
            "talk to you later",
            "see you tomorrow",
            "cya",
            "farewell",
            "have a nice day",
            "gotta go",
            "i'm off",
            "so long",
            "that's all for today",
            "we are finished",
        ),
        ("Goodbye! Come back with a question any time.", "See you! Have a good day."),
    ),
    "praise": (
        (
            "you are great",
            "good job",
            "well done",
            "nice work",
            "you are smart",
            "wow",
            "that is cool",
            "i like you",
            "you are funny",
            "amazing",
            "very good",
            "impressive",
            "i love you",
            "you're the best",
            "cool",
            "nice",
            "that was quick",
            "you rock",
            "clever",
            "good answer",
            "great",
            "excellent",
            "you are so kind",
            "correct",
            "right",
            "yes",
            "ok",
            "okay",
            "sure",
            "sounds good",
            "haha",
            "lol",
        ),
        ("Thank you! What is your next question?", "That is kind of you. What shall we try next?"),
    ),
    "blame": (
        (
            "you are wrong",
            "that is wrong",
            "no",
            "you are stupid",
            "that makes no sense",
            "bad answer",
            "i don't believe you",
            "are you sure",
            "that's not right",
            "you are useless",
            "wrong",
            "you made a mistake",
            "this is bad",
            "i hate you",
            "nonsense",
            "you are slow",
            "try again",
            "that is not what i asked",
            "you don't understand me",
            "i am angry",
            "that's incorrect",
            "this doesn't work",
        ),
        (
            "I am sorry. I am a small model and make mistakes. Try to ask in other words.",
            "Sorry about that. Please ask once more in other words.",
        ),
    ),
    "joke": (
        (
            "tell me a joke",
            "make me laugh",
            "do you know a joke",
            "say something funny",
            "another joke",
            "i want to hear a joke",
            "be funny",
            "joke please",
            "can you tell a joke",
            "got any jokes",
            "cheer me up",
            "i am bored",
            "entertain me",
            "tell me something funny",
            "know any good jokes",
        ),
        (
            "Why was the matrix so calm? It knew its values.",
            "What do you call a small model? A light read.",
        ),
    ),
}


@dataclass(frozen=True)
class Topic:
    """Something that people ask about and that the built-in model knows nothing of."""

    description: str
    questions: tuple[str, ...]


_W = {
    "dish": "pasta soup pizza pancakes curry bread salad lasagna rice stew cake sushi tacos risotto ramen pie cookies sauce chili".split(),
    "place": "Paris London Tokyo Rome Berlin Madrid Oslo Cairo Sydney Boston Lisbon Vienna Chicago India Brazil Canada Norway Egypt Iceland Peru Denver".split(),
    "person": "Einstein Napoleon Shakespeare Mozart Cleopatra Newton Picasso Gandhi Beethoven Darwin Lincoln Caesar Obama Messi Ronaldo Madonna Tesla Aristotle Beyonce".split(),
    "lang": "French Spanish German Italian Japanese Chinese Russian Latin Arabic Portuguese Greek Korean Dutch Polish Swedish Turkish Hindi".split(),
    "phrase": [
        "good morning",
        "I love you",
        "where is the station",
        "thank you",
        "how are you",
        "the cat sleeps",
        "my house is big",
        "see you tomorrow",
        "happy birthday",
        "I am hungry",
        "the weather is nice",
        "hello",
        "cheese",
        "good night",
        "bread and water",
    ],
    "theme": "love autumn the sea the moon winter friendship a cat summer rain hope my dog home dragons space the city spring loneliness a river time".split(
        " "
    ),
    "event": [
        "the French revolution",
        "World War II",
        "the fall of Rome",
        "the moon landing",
        "the Berlin wall",
        "the cold war",
        "the Roman empire",
        "the industrial revolution",
        "the first world war",
        "the American civil war",
        "the Titanic",
        "the printing press",
        "the Black Death",
    ],
    "sport": "football tennis basketball cricket golf hockey rugby baseball chess boxing swimming volleyball cycling".split(),
    "ill": [
        "a headache",
        "a cold",
        "a fever",
        "back pain",
        "a cough",
        "a sore throat",
        "an allergy",
        "a rash",
        "stomach ache",
        "insomnia",
        "diabetes",
        "the flu",
    ],
    "thing": "laptop phone car bike printer dishwasher guitar camera sofa washing-machine tablet watch router headphones bicycle fridge".split(),
    "band": [
        "the Beatles",
        "Queen",
        "Abba",
        "Mozart",
        "Taylor Swift",
        "Bach",
        "Radiohead",
        "Elvis",
        "Adele",
        "Drake",
        "jazz",
        "rock music",
        "opera",
    ],
    "film": [
        "Titanic",
        "Star Wars",
        "the Godfather",
        "Frozen",
        "Jaws",
        "Matrix",
        "Harry Potter",
        "Batman",
        "Avatar",
        "Inception",
        "Hamlet",
        "Dune",
    ],
    "day": "today tomorrow tonight this-weekend next-week on-Monday on-Sunday right-now next-month this-summer".replace(
        "-", "~"
    ).split(),
    "feel": "sad lonely happy tired stressed angry nervous anxious excited confused jealous depressed homesick".split(),
    "company": "Google Apple Amazon Microsoft Netflix Tesla Toyota Nike Samsung Sony Intel IKEA".split(),
    "field": "physics philosophy biology chemistry economics psychology law medicine religion politics history art geology astronomy".split(),
    "idea": [
        "quantum physics",
        "black holes",
        "gravity",
        "democracy",
        "evolution",
        "the blockchain",
        "photosynthesis",
        "inflation",
        "relativity",
        "dna",
        "the meaning of life",
        "consciousness",
        "free will",
        "climate change",
        "vaccines",
        "the stock market",
        "artificial intelligence",
        "electricity",
        "machine learning",
        "nuclear power",
        "the internet",
        "karma",
        "capitalism",
    ],
}

TOPICS: dict[str, Topic] = {
    "cooking": Topic(
        "recipes and food",
        (
            "how do i cook {dish}",
            "give me a recipe for {dish}",
            "what can i cook {day}",
            "how long must {dish} bake",
            "is {dish} healthy",
            "what goes well with {dish}",
            "how do i make {dish} from scratch",
            "what should i eat {day}",
            "best {dish} in {place}",
            "what spices go into {dish}",
        ),
    ),
    "weather": Topic(
        "weather and climate",
        (
            "what is the weather {day}",
            "will it rain {day}",
            "how warm is it in {place}",
            "is it going to snow {day} in {place}",
            "do i need an umbrella {day}",
            "what's the forecast for {place}",
            "is it cold in {place} {day}",
            "what will the weather be like {day}",
        ),
    ),
    "travel": Topic(
        "trips, hotels and sights",
        (
            "what should i see in {place}",
            "plan a trip to {place}",
            "how do i get from {place} to {place}",
            "find me a hotel in {place}",
            "when is the best time to visit {place}",
            "how expensive is {place}",
            "book a flight to {place}",
            "is {place} safe",
            "recommend a restaurant in {place}",
            "how do I get to {place} by train",
        ),
    ),
    "translation": Topic(
        "translating between languages",
        (
            "translate {phrase} into {lang}",
            "how do you say {phrase} in {lang}",
            "what does {phrase} mean in {lang}",
            "can you speak {lang}",
            "translate this to {lang}: {phrase}",
            "please put {phrase} into {lang}",
            "teach me some {lang}",
            "say {phrase} in {lang}",
        ),
    ),
    "poetry": Topic(
        "poems, stories and essays",
        (
            "write a poem about {theme}",
            "write a story about {theme}",
            "make a rhyme about {theme}",
            "tell me a story",
            "write an essay about {event}",
            "write me a song about {theme}",
            "give me a haiku on {theme}",
            "compose a love letter",
            "write a long essay on {idea}",
            "write an email to my boss",
            "make up a fairy tale about {theme}",
            "write a cover letter for {company}",
            "summarize {film} for me",
            "continue this story about {theme}",
        ),
    ),
    "history": Topic(
        "people and events of the past",
        (
            "when was {event}",
            "why did {event} happen",
            "who was {person}",
            "when was {person} born",
            "tell me about {person}",
            "what caused {event}",
            "what did {person} do",
            "who won {event}",
            "who discovered {place}",
            "who was the first president of {place}",
            "when did {person} die",
            "what happened in {place} in 1815",
            "who invented the telephone",
            "who was king of {place}",
        ),
    ),
    "sports": Topic(
        "games, teams and results",
        (
            "who won the {sport} match",
            "who is the best {sport} player",
            "what are the rules of {sport}",
            "who won the world cup",
            "when is the next {sport} game",
            "how do i get better at {sport}",
            "which team won {sport} {day}",
            "did {place} win {day}",
            "who holds the record in {sport}",
            "is {person} a good player",
        ),
    ),
    "health": Topic(
        "medicine and the body",
        (
            "i have {ill}, what should i do",
            "what helps against {ill}",
            "is {ill} dangerous",
            "how can i sleep better",
            "how do i lose weight",
            "should i see a doctor about {ill}",
            "can i take aspirin for {ill}",
            "what causes {ill}",
            "is coffee bad for me",
            "how can i live longer",
        ),
    ),
    "shopping": Topic(
        "buying and repairing things",
        (
            "which {thing} should i buy",
            "my {thing} is broken",
            "how do i fix my {thing}",
            "what does a {thing} cost",
            "where can i buy a {thing}",
            "is a new {thing} worth it",
            "my {thing} does not turn on",
            "how do i clean a {thing}",
            "recommend a good {thing}",
            "compare the new {thing} with the old one",
        ),
    ),
    "music": Topic(
        "songs, bands and instruments",
        (
            "who sings this song",
            "what do you think of {band}",
            "what is the best song of {band}",
            "how do i learn the guitar",
            "recommend some music",
            "play {band}",
            "when did {band} start",
            "do you like {band}",
            "sing me a song",
        ),
    ),
    "movies": Topic(
        "films, books and shows",
        (
            "is {film} a good movie",
            "who directed {film}",
            "recommend a book",
            "what should i watch {day}",
            "how does {film} end",
            "who plays in {film}",
            "what is {film} about",
            "did you see {film}",
            "who wrote {film}",
            "best movies of 2020",
        ),
    ),
    "feelings": Topic(
        "worries, love and advice",
        (
            "i feel {feel}",
            "i am {feel} {day}",
            "my girlfriend left me",
            "how do i make friends",
            "give me advice",
            "should i quit my job",
            "does she love me",
            "my friend is {feel}",
            "what should i do with my life",
            "how can i be less {feel}",
            "i am so {feel}",
            "i had a bad day",
            "should i marry him",
            "how do i ask for a raise",
            "i feel {feel} and don't know why",
        ),
    ),
    "news": Topic(
        "politics and current events",
        (
            "what is in the news",
            "who is the president of {place}",
            "who will win the election",
            "what happened {day}",
            "what do you think about politics",
            "who is the prime minister of {place}",
            "is there a war in {place}",
            "what is the latest on {company}",
            "what time is it",
            "what day is it {day}",
            "who runs {company}",
            "what is the date {day}",
            "will there be an election in {place}",
        ),
    ),
    "finance": Topic(
        "money, law and business",
        (
            "should i buy {company} stock",
            "how do i save taxes",
            "is {company} a good company",
            "how do i start a business",
            "what is a mortgage",
            "can my landlord throw me out",
            "is it legal in {place}",
            "how much is {company} worth",
            "what is the price of gold",
            "should i invest in bitcoin",
            "how do i write a contract",
            "can i sue {company}",
        ),
    ),
    "ideas": Topic(
        "explanations of hard ideas",
        (
            "explain {idea}",
            "what is {idea}",
            "how does {idea} work",
            "what is the meaning of life",
            "is there a god",
            "tell me about {field}",
            "can you explain {idea} to a child",
            "why do we need {field}",
            "what do you think about {idea}",
            "i want to learn {field}",
            "who is right about {idea}",
            "is {idea} real",
            "why is the sky blue",
            "summarize {idea}",
            "what is the difference between {idea} and {idea}",
            "do you believe in {idea}",
        ),
    ),
    "garden": Topic(
        "plants and pets",
        (
            "how do i grow tomatoes",
            "my dog does not eat",
            "how often should i water my plants",
            "what should i feed my cat",
            "when do i plant potatoes",
            "how do i train a puppy",
            "my cat is ill",
            "which flowers like shade",
            "can dogs eat chocolate",
            "how do i get rid of ants",
            "what is the best pet for a child",
        ),
    ),
}

# Categories that pretraining never lists: with them the dispatch expert learns to read a list.
NEW_TOPICS = ("garden", "news", "music", "finance")
KNOWN_TOPICS = tuple(topic for topic in TOPICS if topic not in NEW_TOPICS)


def _slots(r: random.Random, text: str) -> str:
    while "{" in text:
        start, end = text.index("{"), text.index("}")
        text = (
            text[:start] + r.choice(_W[text[start + 1 : end]]).replace("~", " ") + text[end + 1 :]
        )
    return text


def punctuate(r: random.Random, text: str, mark: str) -> str:
    """As people write: sometimes a capital, sometimes a full stop, sometimes neither."""
    if r.random() < 0.6:
        text = text[0].upper() + text[1:]
    return text + (mark if r.random() < 0.65 else "")


def topic_question(r: random.Random, topic: str) -> str:
    """Something that people ask about the topic."""
    text = _slots(r, r.choice(TOPICS[topic].questions))
    asks = text.split()[0].lower() in {
        "how",
        "what",
        "who",
        "when",
        "why",
        "which",
        "is",
        "are",
        "can",
        "should",
        "do",
        "does",
        "did",
        "will",
        "where",
    }
    return punctuate(r, text, "?" if asks else ".")


def draw(r: random.Random) -> Problem:
    """Small talk (60 %) or a question out of reach (40 %)."""
    if r.random() < 0.4:
        question = topic_question(r, r.choice(list(TOPICS)))
        return Problem("other", question, BEYOND, BEYOND, BEYOND)
    return _small_talk(r)


def anything(r: random.Random, topics: Sequence[str]) -> str:
    """Small talk or a question about one of the topics, in equal parts."""
    return topic_question(r, r.choice(topics)) if r.random() < 0.5 else _small_talk(r).question


def _small_talk(r: random.Random) -> Problem:
    intent = r.choice(list(_INTENTS))
    said, replies = _INTENTS[intent]
    text = r.choice(said)
    if "{name}" in text:
        text = text.format(name=r.choice(NAMES))
    asks = text.split()[0] in {
        "how",
        "what",
        "who",
        "are",
        "can",
        "do",
        "did",
        "am",
        "is",
        "what's",
        "where",
        "how's",
        "everything",
        "you",
        "got",
        "know",
    }
    mark = "?" if asks else r.choice((".", "!", "!"))
    return Problem(
        "other", punctuate(r, text, mark), replies[0], replies[0], replies[1], also=replies[1:]
    )
