"""A guess that is left to the user, in the words of the command line and in those of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.data.table import Table

About = Literal["encoding", "header", "columns", "rows"]


class Unclear(T2Error):
    """Two readings of a file are possible, and the wrong one would be trained on without a word.

    ``fact`` says what is not clear, ``command`` how to settle it by an option, ``page`` how to
    settle it on the page. ``table`` holds the rows in the more likely reading, where there is one.
    """

    def __init__(
        self, about: About, fact: str, command: str, page: str, table: Table | None = None
    ) -> None:
        super().__init__(f"{fact}; {command}")
        self.about, self.fact, self.command, self.page = about, fact, command, page
        self.table = table

    def on_page(self) -> str:
        """The line for somebody who has no options to write but a form to fill."""
        return f"{self.fact}. {self.page}"
