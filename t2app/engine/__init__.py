"""The only thing that runs the model; see ``engine.Engine``.

Requests (``requests``) are decoded in batches in which every row has its own mix (``batch``); one
thread for answers and one for background work step them (``scheduler``), in turns with whatever
scores tokens (``turns``, ``scoring``). Keys and values lie in slots, or in the cache of
``transformers`` where a model needs more than those (``slots``, ``growing``).
"""

from t2app.engine.engine import ROOM_FOR_ANSWER, TOKENS_AT_ONCE, Engine, Message
from t2app.engine.requests import Completion, Prompt

__all__ = ["ROOM_FOR_ANSWER", "TOKENS_AT_ONCE", "Completion", "Engine", "Message", "Prompt"]
