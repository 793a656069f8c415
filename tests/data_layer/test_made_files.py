"""Files in many languages, formats and encodings: none is misread without a word."""

from __future__ import annotations

from itertools import groupby

import pytest

from t2app.data import check, read_table
from t2app.errors import T2Error
from tests.data_layer.making import Made, made

BY_LANGUAGE = {
    code: list(files) for code, files in groupby(made(), lambda file: file.name.split("/")[0])
}
# Files of a language that may end in a question; of all 1,104 two do, both without a header.
MOST_ASKED = 1


def pairs_in(file: Made, folder) -> list[tuple[str, str]] | None:
    """Questions and answers as they are read, sorted; None where the reader asks or refuses."""
    path = folder / file.name.rsplit("/", 1)[1]
    path.write_bytes(file.content)
    try:
        report = check(read_table(path))
    except T2Error:
        return None
    if report.doubt or report.problem:
        return None
    return sorted((row.question, row.answer) for rows in report.splits.values() for row in rows)


def test_there_are_many_languages_and_formats():
    assert len(BY_LANGUAGE) >= 12
    assert all(len(files) >= 20 for files in BY_LANGUAGE.values())


@pytest.mark.parametrize("language", BY_LANGUAGE)
def test_what_is_read_is_what_is_in_the_file(language, tmp_path):
    found = {
        file.name: (pairs_in(file, tmp_path), sorted(file.pairs)) for file in BY_LANGUAGE[language]
    }
    misread = [name for name, (read, there) in found.items() if read not in (None, there)]
    assert not misread
    asked = [name for name, (read, _) in found.items() if read is None]
    assert len(asked) <= MOST_ASKED, asked
