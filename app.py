"""Start the page: ``python app.py``, then chat in the browser.

``t2app app`` where the package is installed. Whatever a user can get wrong ends with one line on
standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from t2app.cli import app_command
from t2app.errors import T2Error


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise T2Error(f"{message} (python app.py --help lists the options)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; the exit code."""
    parser = _Parser(prog="app.py", description="Chat with a model that adapts to each question.")
    app_command.add_arguments(parser)
    try:
        return app_command.run(parser.parse_args(arguments))
    except T2Error as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
