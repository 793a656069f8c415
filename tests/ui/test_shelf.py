"""What is kept is the latest of each browser, and of the last ones only."""

from __future__ import annotations

import threading

from t2app.ui.shelf import MOST, Shelf


def test_the_latest_thing_under_each_key() -> None:
    shelf: Shelf[int] = Shelf()
    one, two = shelf.new_key(), shelf.new_key()
    assert one != two
    for number, key in enumerate([one, two, one]):
        shelf.put(key, number)
    assert (shelf.get(one), shelf.get(two), shelf.get("no such key")) == (2, 1, None)
    assert shelf.get(None) is None
    assert shelf.get(["unhashable"]) is None


def test_what_was_not_touched_for_longest_is_forgotten() -> None:
    shelf: Shelf[int] = Shelf()
    for number in range(MOST):
        shelf.put(str(number), number)
    shelf.put("0", 0)
    shelf.put("new", 1)
    assert shelf.get("0") == 0
    assert shelf.get("1") is None


def test_many_threads() -> None:
    shelf: Shelf[int] = Shelf()

    def work(name: str) -> None:
        for number in range(200):
            shelf.put(f"{name}{number}", number)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(shelf.get(f"{n}{i}") is not None for n in "abcd" for i in range(200)) == MOST
