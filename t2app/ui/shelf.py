"""What somebody's work has come to, kept while their page is away: a reload loses nothing.

Only for what nobody would miss after the app has ended; what is to last is saved to files.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 32


class Shelf(Generic[T]):
    """The latest thing of each of the last ``MOST`` browsers. Safe to use from any thread."""

    def __init__(self) -> None:
        self._things: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    @staticmethod
    def new_key() -> str:
        """A key that nobody can guess, for a browser that has none."""
        return secrets.token_urlsafe(16)

    def put(self, key: str, thing: T) -> None:
        """Keep ``thing`` in place of what was there, and forget the oldest beyond ``MOST``."""
        with self._lock:
            self._things[key] = thing
            self._things.move_to_end(key)
            while len(self._things) > MOST:
                self._things.popitem(last=False)

    def get(self, key: object) -> T | None:
        """What is kept under ``key``, which came from a browser and may be anything."""
        with self._lock:
            return self._things.get(key) if isinstance(key, str) else None
