"""The chat page in a real browser, with the built-in model.

``T2APP_SCREENSHOTS=1`` also writes the README's pictures to ``assets/screenshots``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import running

PICTURES = Path(__file__).parents[2] / "assets" / "screenshots"
MATH = "There are 8 rows of 12 chairs. 17 chairs are removed. How many chairs are there now?"
QUESTIONS = {
    "math": MATH,
    "code": "Write a Python function f(x) that doubles x, adds 13 to it and returns the result.",
    "reasoning": "What do we call a young horse? A) calf B) lamb C) foal D) kid",
    "other": "Hello! Who are you?",
}
ANSWER_MS = 30_000
HELD_WORDS = 8  # as in held_app.py: no more tokens than these come while an answer is held


def open_page(page: Page, url: str) -> Page:
    page.set_default_timeout(15_000)
    page.goto(url)
    expect(box(page)).to_be_visible(timeout=30_000)
    expect(page.locator("#t2-chat")).to_be_visible()
    return page


def box(page: Page) -> Any:
    return page.get_by_label("Your question")


def ask(page: Page, question: str) -> None:
    box(page).fill(question)
    box(page).press("Enter")


def settled(page: Page, turns: int) -> None:
    """Wait until the last of ``turns`` answers is whole."""
    expect(page.locator("#t2-chat .bot-row")).to_have_count(turns, timeout=ANSWER_MS)
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible(timeout=ANSWER_MS)
    expect(page.locator("#t2-chat .bot-row").last).not_to_contain_text("…")


def asked(page: Page, question: str, turns: int = 1) -> Any:
    """Ask, wait, and give the row of the answer."""
    ask(page, question)
    settled(page, turns)
    return page.locator("#t2-chat .bot-row").last


def blocks(row: Any) -> Any:
    """What the row holds: first pass, answer, and the base model's answer if compared."""
    return row.locator(".bot > .message")


@pytest.fixture
def chat(page: Page, app_url: str) -> Page:
    return open_page(page, app_url)


@pytest.mark.parametrize("kind", QUESTIONS)
def test_one_question_of_each_kind(chat: Page, kind: str) -> None:
    row = asked(chat, QUESTIONS[kind])
    label = "Base model" if kind == "other" else kind
    expect(row.locator(".thought-group .title")).to_contain_text(label)
    expect(blocks(row).nth(1)).not_to_be_empty()
    row.locator(".thought-group .title").click()
    expect(row.locator(".thought-group li code").first).to_be_visible()
    expect(row.locator(".thought-group")).to_contain_text("Experts used for the answer")
    expect(chat.locator("#t2-chart .ytick", has_text="base")).to_be_visible()
    assert chat.locator("#t2-chart .bars .point").count() >= 2
    expect(chat.locator("#t2-mix-words")).to_contain_text("Latest answer:")
    expect(chat.locator("#t2-status")).to_contain_text(re.compile(r"\d+ tokens/s"))


def test_code_is_shown_as_code(chat: Page) -> None:
    row = asked(chat, QUESTIONS["code"])
    expect(row.locator("pre code")).to_contain_text("def f(")


@pytest.fixture(scope="module")
def held(
    chromium: str,
    shared_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[tuple[str, Path]]:
    """Address of an app whose answers pause while a file exists, and that file."""
    folder = tmp_path_factory.mktemp("held")
    command = ["tests/browser/held_app.py", str(folder / "hold")]
    with running(command, folder / "app.log", shared_cache, pytestconfig) as url:
        yield url, folder / "hold"


def test_an_answer_streams(page: Page, held: tuple[str, Path]) -> None:
    url, hold = held
    hold.touch()
    open_page(page, url)
    ask(page, QUESTIONS["other"])
    answer = blocks(page.locator("#t2-chat .bot-row").last).nth(1)
    expect(answer).to_have_text(re.compile(r"\w+ \w+"), timeout=ANSWER_MS)
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    part = answer.inner_text().strip()
    hold.unlink()
    settled(page, 1)
    whole = answer.inner_text().strip()
    assert whole.startswith(part)
    assert len(whole) > len(part)


def test_stop_ends_an_answer_and_the_next_one_works(page: Page, held: tuple[str, Path]) -> None:
    url, hold = held
    hold.touch()
    open_page(page, url)
    ask(page, QUESTIONS["other"])
    answer = blocks(page.locator("#t2-chat .bot-row").last).nth(1)
    expect(answer).to_have_text(re.compile(r"\w+ \w+"), timeout=ANSWER_MS)
    part = answer.inner_text().strip()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible(timeout=ANSWER_MS)
    hold.unlink()
    asked(page, QUESTIONS["math"], turns=2)
    first = blocks(page.locator("#t2-chat .bot-row").first).nth(1)
    # Between the look and the click a few more words may come, but never past the hold.
    expect(first).to_have_text(re.compile(rf"^\s*{re.escape(part)}.*\bStopped\.\s*$", re.DOTALL))
    stopped = first.inner_text()
    assert len(stopped.removesuffix("Stopped.").split()) <= HELD_WORDS
    page.reload()
    expect(first).to_have_text(stopped, use_inner_text=True)


def test_compare_shows_both_answers_side_by_side(chat: Page) -> None:
    chat.get_by_label("Compare with the base model").check()
    row = asked(chat, QUESTIONS["math"])
    expect(blocks(row)).to_have_count(3)
    mixed, base = blocks(row).nth(1).bounding_box(), blocks(row).nth(2).bounding_box()
    assert abs(mixed["y"] - base["y"]) < 2
    assert base["x"] > mixed["x"] + mixed["width"]
    chat.set_viewport_size({"width": 390, "height": 844})
    mixed, base = blocks(row).nth(1).bounding_box(), blocks(row).nth(2).bounding_box()
    assert base["y"] >= mixed["y"] + mixed["height"]


def test_edit_asks_in_new_words(chat: Page) -> None:
    asked(chat, "first * question")
    asked(chat, QUESTIONS["other"], turns=2)
    chat.get_by_role("button", name="Edit").first.click()
    field = chat.locator("#t2-chat .user textarea")
    assert field.input_value().replace("\ufeff", "") == "first * question"
    field.fill(QUESTIONS["math"])
    chat.get_by_role("button", name="Submit", exact=True).click()
    settled(chat, 1)
    expect(chat.locator("#t2-chat .user-row")).to_have_count(1)
    expect(chat.locator("#t2-chat .user-row")).to_contain_text("8 rows")


def test_retry_undo_and_clear(chat: Page) -> None:
    asked(chat, QUESTIONS["math"])
    chat.get_by_role("button", name="Retry").click()
    # At once: the retry is taken back whether it is waiting, being answered or done.
    chat.get_by_role("button", name="Undo").click()
    expect(box(chat)).to_have_value(MATH)
    expect(chat.locator("#t2-chat .bot-row")).to_have_count(0)
    asked(chat, QUESTIONS["other"])
    chat.get_by_role("button", name="Clear").click()
    expect(chat.get_by_role("heading", name="What would you like to ask?")).to_be_visible()
    chat.reload()
    expect(chat.get_by_role("heading", name="What would you like to ask?")).to_be_visible()


def test_reload_finds_the_conversation_with_its_first_pass(chat: Page) -> None:
    row = asked(chat, QUESTIONS["math"])
    answer, title = blocks(row).nth(1).inner_text(), row.locator(".title").inner_text()
    chat.reload()
    row = chat.locator("#t2-chat .bot-row")
    expect(blocks(row).nth(1)).to_have_text(answer)
    assert row.locator(".title").inner_text() == title
    expect(chat.locator("#t2-mix-words")).to_contain_text("Latest answer:")
    asked(chat, QUESTIONS["other"], turns=2)


def test_a_damaged_conversation_is_dropped_with_a_notice(chat: Page) -> None:
    asked(chat, QUESTIONS["other"])
    chat.evaluate("localStorage.setItem('t2app.conversation', 'AAAA:BBBB')")
    chat.reload()
    expect(chat.get_by_role("heading", name="What would you like to ask?")).to_be_visible()
    asked(chat, QUESTIONS["other"])


def test_an_empty_question_is_refused(chat: Page) -> None:
    ask(chat, "  ")
    expect(chat.get_by_role("alert")).to_have_text("Write a question first.")
    asked(chat, QUESTIONS["other"])
    expect(chat.get_by_role("alert")).to_have_count(0)


def test_a_question_that_is_too_long_comes_back(chat: Page) -> None:
    asked(chat, QUESTIONS["other"])
    question = "x😀\u0007" * 33_334
    ask(chat, question)
    expect(chat.get_by_role("alert")).to_contain_text(
        re.compile("too long", re.IGNORECASE), timeout=ANSWER_MS
    )
    expect(box(chat)).to_have_value(question.replace("\u0007", ""))
    expect(chat.locator("#t2-chat .bot-row")).to_have_count(1)


def test_weights_by_hand(chat: Page) -> None:
    asked(chat, QUESTIONS["math"])
    chat.get_by_role("button", name="Set the weights by hand").click()
    sliders = chat.locator("#t2-hand .t2-slider input[type=number]")
    expect(sliders.first).to_be_visible()
    for i in range(sliders.count()):
        sliders.nth(i).fill("0")
        sliders.nth(i).press("Tab")
    expect(chat.locator("#t2-hand")).to_contain_text("gets the rest: 100 %")
    chat.get_by_role("button", name="Ask again with these weights").click()
    settled(chat, 2)
    title = chat.locator("#t2-chat .bot-row").last.locator(".title")
    expect(title).to_contain_text("Weights set by hand")
    expect(title).to_contain_text("base 100 %")


def test_examples_are_one_click_away(chat: Page) -> None:
    chat.get_by_role("button", name=re.compile("Select example 1")).click()
    settled(chat, 1)
    chat.locator("#t2-kinds").get_by_role("button", name="Code").click()
    settled(chat, 2)


def test_copy_takes_the_answer_without_the_first_pass(chat: Page, app_url: str) -> None:
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=app_url)
    row = asked(chat, "what about a*b*c?")
    answer = blocks(row).nth(1).inner_text()
    chat.get_by_role("button", name="Copy message").last.click()
    chat.wait_for_function("navigator.clipboard.readText().then(text => !!text)")
    assert chat.evaluate("navigator.clipboard.readText()") == answer.strip()
    chat.get_by_role("button", name="Copy message").first.click()
    chat.wait_for_function("navigator.clipboard.readText().then(t => t === 'what about a*b*c?')")


def test_two_people_never_meet(browser: Browser, app_url: str) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    first, second = (open_page(context.new_page(), app_url) for context in contexts)
    ask(first, QUESTIONS["math"])
    ask(second, QUESTIONS["code"])
    settled(first, 1)
    settled(second, 1)
    expect(first.locator("#t2-chat .title")).to_contain_text("math")
    expect(second.locator("#t2-chat .title")).to_contain_text("code")
    for page, other in ((first, "Python"), (second, "baker")):
        expect(page.locator("#t2-chat")).not_to_contain_text(other)
        page.reload()
        expect(page.locator("#t2-chat .bot-row")).to_have_count(1)
        expect(page.locator("#t2-chat")).not_to_contain_text(other)
    for context in contexts:
        context.close()


def test_nothing_is_asked_of_other_machines(page: Page, app_url: str) -> None:
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_page(page, app_url)
    asked(page, QUESTIONS["math"])
    outside = [u for u in requests if not u.startswith((app_url, "data:", "blob:"))]
    assert outside == []
    assert errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(page: Page, app_url: str, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    open_page(page, f"{app_url}?__theme={theme}")
    asked(page, QUESTIONS["math"] + " " + "x" * 200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.skipif(not os.environ.get("T2APP_SCREENSHOTS"), reason="T2APP_SCREENSHOTS is not set")
@pytest.mark.parametrize(
    ("name", "theme", "width", "height"),
    [
        ("chat-light", "light", 1280, 800),
        ("chat-dark", "dark", 1280, 800),
        ("phone", "light", 390, 844),
    ],
)
def test_pictures_for_the_readme(
    page: Page, app_url: str, name: str, theme: str, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, f"{app_url}?__theme={theme}")
    if name != "phone":
        asked(page, QUESTIONS["reasoning"])
        page.get_by_label("Compare with the base model").check()
    turns = page.locator("#t2-chat .bot-row").count() + 1
    row = asked(page, QUESTIONS["math"], turns)
    if name == "phone":
        row.locator(".thought-group .title").click()
    page.wait_for_timeout(800)
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size < 300_000
