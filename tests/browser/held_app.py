"""The app, with answers that pause after a few words for as long as a file exists.

``python tests/browser/held_app.py FILE [arguments of app.py]``. So a test can look at an answer
while it grows, or stop it, however fast or slow the machine is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import app
from t2app.adapt import two_pass
from t2app.adapt.two_pass import Answer
from t2app.ui import page

WORDS = 8
HOLD = Path(sys.argv[1])


def stream(*args: Any, **options: Any) -> Iterator[Answer]:
    """``two_pass.stream``; says the same again and again while it is held."""
    for count, answer in enumerate(two_pass.stream(*args, **options)):
        yield answer
        while count == WORDS and HOLD.exists():
            time.sleep(0.1)
            yield answer


if __name__ == "__main__":
    page.build = partial(page.build, stream=stream)
    sys.exit(app.main(sys.argv[2:]))
