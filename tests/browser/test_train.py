"""The train page in a real browser, with the built-in model: from a file to an expert in the chat.

Training is long and its steps are small, so that a test can wait for what it needs to see and stop
it then, however fast or slow the machine is.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect

from t2app import config
from tests.browser.conftest import running
from tests.browser.test_chat import QUESTIONS, asked, blocks, box, open_page, settled

STEP_MS = 120_000
RUN = "#t2-run"


@pytest.fixture(scope="module")
def trainer(
    chromium: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[str]:
    """Address of an app with experts and runs of its own."""
    folder = tmp_path_factory.mktemp("trainer")
    shutil.copytree(config.experts_dir("tiny"), folder / "experts" / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2APP_EXPERTS", str(folder / "experts"))
        with running(["app.py"], folder / "app.log", folder / "cache", pytestconfig) as url:
            yield url


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """Expectations wait long enough for a busy machine."""
    expect.set_options(timeout=STEP_MS)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def train(page: Page, trainer: str) -> Page:
    open_page(page, trainer)
    to_tab(page, "Train")
    return page


@pytest.fixture
def odd_file(tmp_path: Path) -> Path:
    """Semicolons, cp1252, names that say nothing, HTML and a formula in cells, two bad rows.

    Most right answers are the same, so that training soon has something to keep.
    """
    rows = [
        f"{n * n};Welche Farbe hat Größe {n}?;Steht im Regal {n} ganz oben;oben im Regal {n};"
        + ("red" if n % 4 == 0 else "blue")
        for n in range(40)
    ]
    rows[3] = "=1+1;<b>fett</b>;Steht im Regal 3 ganz oben;oben im Regal 3;blue"
    rows += ["40;ohne Antwort?;;;", "41;zu kurz"]
    path = tmp_path / "größen.csv"
    path.write_bytes("\r\n".join(["nr;links;mitte;oben;rechts", *rows]).encode("cp1252"))
    return path


def to_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def upload(page: Page, path: Path) -> None:
    page.locator("#t2-drop input[type=file]").set_input_files(path)


def choose(page: Page, element: str, option: str) -> None:
    page.locator(f"{element} input").click()
    page.get_by_role("option", name=option).first.click()


def step(page: Page) -> int:
    """The step that the page says training is at; 0 before the first."""
    found = re.search(r"step (\d+)/", page.locator("#t2-progress").inner_text())
    return int(found[1]) if found else 0


def until_step(page: Page, number: int) -> None:
    page.wait_for_function(
        """number => {
            const said = document.querySelector('#t2-progress')?.innerText.match(/step (\\d+)\\//);
            return said && Number(said[1]) >= number;
        }""",
        arg=number,
        timeout=STEP_MS,
    )


def points(page: Page) -> Any:
    """The line of the chart of the loss, as drawn."""
    return page.locator("#t2-curve-loss .js-line")


def test_from_a_file_to_an_expert_in_the_chat(train: Page, odd_file: Path) -> None:
    upload(train, odd_file)
    expect(train.get_by_role("alert")).to_contain_text("which column is the question")
    expect(train.locator("#t2-file-facts")).to_contain_text("separated by semicolons")
    expect(train.locator("#t2-preview")).to_contain_text("Größe 0")
    choose(train, "#t2-role-question", "links")
    choose(train, "#t2-role-answer", "rechts")
    expect(train.locator("#t2-check")).to_contain_text("40 of 42 rows can be used")
    train.locator("#t2-preview tr[data-row='5']").click()
    expect(train.locator("#t2-reading pre").first).to_contain_text("<b>fett</b>")
    expect(train.locator("#t2-preview")).to_contain_text("=1+1")

    train.get_by_role("button", name="Advanced").click()
    choose(train, "#t2-set-objective", "sft: ")
    for name, value in {"steps": 5000, "prompts": 4}.items():
        field = train.locator(f"#t2-set-{name} input")
        field.fill(str(value))
        field.press("Tab")
    train.locator("#t2-set-harm-check input").uncheck()
    expect(train.locator("#t2-name textarea, #t2-name input")).to_have_value("grossen")
    train.locator("#t2-name textarea, #t2-name input").fill("sums")
    train.get_by_role("button", name="Train", exact=True).click()

    until_step(train, 2)
    expect(points(train)).to_have_count(1)
    drawn = points(train).get_attribute("d")
    until_step(train, step(train) + 2)
    expect(points(train)).not_to_have_attribute("d", drawn)

    before = step(train)
    train.reload()
    to_tab(train, "Train")
    expect(train.locator(RUN)).to_contain_text("sums")
    until_step(train, before)

    to_tab(train, "Chat")
    answer = asked(train, QUESTIONS["other"])  # while it trains
    expect(blocks(answer).nth(1)).not_to_be_empty()
    to_tab(train, "Train")
    expect(train.locator("#t2-progress")).to_contain_text(re.compile(r"Best so far.*, base"))

    train.get_by_role("button", name="Stop and keep the best").click()
    verdict = train.locator("#t2-result .t2-verdict").first
    expect(verdict).to_contain_text(re.compile("It (helps|makes|hurts)"), timeout=STEP_MS)
    expect(train.locator("#t2-result")).to_contain_text("95 % interval")
    expect(train.locator("#t2-held-out tbody tr")).to_have_count(10)

    train.get_by_role("button", name="Use it in chat").click()
    expect(train.get_by_role("alert")).to_contain_text("Now sums alone answers")
    expect(box(train)).to_have_value(re.compile("Größe|fett"))
    box(train).press("Enter")
    settled(train, 2)
    title = train.locator("#t2-chat .bot-row").last.locator(".title")
    expect(title).to_contain_text("sums 100")


def test_what_cannot_be_read_says_why(train: Page, tmp_path: Path, odd_file: Path) -> None:
    book = tmp_path / "book.xlsx"
    book.write_bytes(b"PK\x03\x04")
    upload(train, book)
    expect(train.get_by_role("alert")).to_contain_text("save it as CSV")
    upload(train, odd_file)  # the place for a file is free again
    expect(train.get_by_role("alert")).to_contain_text("which column")
    expect(train.get_by_role("button", name="Train", exact=True)).to_be_disabled()


def test_what_is_unclear_is_settled_on_the_page(train: Page, tmp_path: Path) -> None:
    start = train.get_by_role("button", name="Train", exact=True)
    few = tmp_path / "few.csv"
    rows = (f"what is {n} plus 1?,{n + 1 if n < 12 else ''}\n" for n in range(40))
    few.write_text("question,answer\n" + "".join(rows))
    upload(train, few)
    expect(train.get_by_role("alert")).to_contain_text("12 rows that can be used of 40")
    expect(start).to_be_disabled()
    train.get_by_role("button", name="These columns are right").click()
    expect(start).to_be_enabled()
    expect(train.get_by_role("alert")).to_have_count(0)
    train.get_by_role("button", name="Other rows").click()
    names = tmp_path / "names.csv"
    names.write_text("hello,hi\n" + "".join(f"word {c},reply {c}\n" for c in "abcdefghijklm"))
    upload(train, names)
    expect(train.get_by_role("alert")).to_contain_text("first row may name the columns")
    choose(train, "#t2-header-row", "No")
    expect(train.locator("#t2-check")).to_contain_text("14 rows can be used")
    expect(start).to_be_enabled()


def test_rows_pasted_from_a_spreadsheet(train: Page) -> None:
    train.get_by_role("button", name="Type or paste rows").click()
    train.locator("#t2-grid [role=gridcell]").first.click()
    text = "\n".join(f"what is {n} plus 1?\t{n + 1}" for n in range(12))
    train.evaluate(
        """text => {
            const clipboardData = new DataTransfer();
            clipboardData.setData('text/plain', text);
            const paste = {clipboardData, bubbles: true, cancelable: true};
            document.activeElement.dispatchEvent(new ClipboardEvent('paste', paste));
        }""",
        text,
    )
    expect(train.locator("#t2-grid")).to_contain_text("what is 1 plus 1?")
    train.get_by_role("button", name="Use these rows").click()
    expect(train.locator("#t2-check")).to_contain_text("12 rows can be used")
    expect(train.get_by_role("button", name="Train", exact=True)).to_be_enabled()
