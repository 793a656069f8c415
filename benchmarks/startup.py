"""How long a person waits: from the command to a page that answers, and to a first answer.

Run with ``python benchmarks/startup.py``; prints one JSON object with the seconds of each run.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTION = (
    "Tom has 12 apples and buys 3 boxes with 4 apples each. How many apples does he have now?"
)
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}


def page_seconds(limit: float = 120.0) -> float:
    """From ``python app.py`` to the first answered request."""
    port = _free_port()
    command = [sys.executable, "app.py", "--no-browser", "--port", str(port)]
    began = time.perf_counter()
    app = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while time.perf_counter() - began < limit:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
                return time.perf_counter() - began
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"no page within {limit:.0f} s")
    finally:
        app.terminate()
        app.wait()


def answer_seconds() -> tuple[float, float]:
    """A cold ``python -m t2app ask``, and the two passes within it."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "t2app", "ask", QUESTION, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    timings = json.loads(done.stdout)["timings"]
    return time.perf_counter() - began, sum(timings.values())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    pages = [page_seconds() for _ in range(runs)]
    cold, passes = zip(*(answer_seconds() for _ in range(runs)), strict=True)
    figures = {"page": pages, "cold_answer": cold, "both_passes": passes}
    summary = {
        name: {
            "median": round(statistics.median(x), 3),
            "min": round(min(x), 3),
            "max": round(max(x), 3),
        }
        for name, x in figures.items()
    }
    print(json.dumps({"runs": runs, "seconds": summary}))


if __name__ == "__main__":
    main()
