"""Processes that die by SIGKILL, for tests of what is left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def killed(action: Callable[[], object]) -> None:
    """Run ``action`` in a process of its own that must die by SIGKILL before the end."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the run ended before it was killed"
    assert os.WTERMSIG(status) == signal.SIGKILL


def die(*_: object) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)
