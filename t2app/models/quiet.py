"""No reports and bars from transformers: what matters becomes one line of a ``T2Error``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers says errors only, and draws no bars."""
    logs = transformers.utils.logging
    level = logs.get_verbosity()
    bar = logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if bar:
            logs.enable_progress_bar()
