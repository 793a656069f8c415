"""The pages Experts and Few-shot in a real browser, with the built-in model.

The app of this file has a folder of experts of its own, so that nothing here touches those that
come with the program.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect

from t2app.config import ROOT
from t2app.svf import expert as expert_file
from tests.browser.conftest import running

ANSWER_MS = 60_000
SUMS = "question,answer\nWhat is 2 + 3?,5\nWhat is 4 * 2?,8\nWhat is 9 - 2?,7\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of experts for the app of this file."""
    experts = tmp_path_factory.mktemp("experts")
    shutil.copytree(ROOT / "experts" / "tiny", experts / "tiny")
    return experts / "tiny"


@pytest.fixture(scope="module")
def url(
    chromium: str, folder: Path, shared_cache: Path, pytestconfig: pytest.Config
) -> Iterator[str]:
    """Address of an app with that folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2APP_EXPERTS", str(folder.parent))
        log = folder.parent / "app.log"
        with running(["app.py"], log, shared_cache, pytestconfig) as address:
            yield address


@pytest.fixture
def experts(page: Page, url: str) -> Page:
    """The page, open at the experts."""
    page.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    page.goto(url)
    page.get_by_role("tab", name="Experts").click()
    expect(row(page, "math")).to_be_visible(timeout=60_000)
    return page


def row(page: Page, name: str) -> Any:
    return page.locator(f"#t2-experts-table [data-expert={name}]")


def opened(page: Page, name: str) -> None:
    """Wait until the card of an expert is whole."""
    expect(page.locator("#t2-expert-title h2")).to_have_text(name)
    expect(row(page, name)).to_have_class("t2-chosen")
    expect(page.locator("#t2-expert-vector .scatterlayer .point").first).to_be_visible()


def other_expert(folder: Path, name: str, target: Path) -> Path:
    """The math expert under another name, in a file outside the folder."""
    expert = expert_file.load(folder / "math.safetensors")
    path = target / f"{name}.safetensors"
    expert_file.save(replace(expert, name=name), path)
    return path


def test_an_expert_is_opened_and_looked_into(experts: Page) -> None:
    row(experts, "math").click()
    opened(experts, "math")
    heat = experts.locator("#t2-expert-strength")
    expect(heat.locator(".heatmaplayer image")).to_be_visible()
    expect(heat.locator(".ytick text")).to_have_count(4)  # layers
    expect(heat.locator(".xtick text")).to_have_count(7)  # modules
    expect(experts.locator("#t2-expert-vector .scatterlayer .point")).to_have_count(256)
    expect(experts.locator("#t2-expert-facts")).to_contain_text("reinforcement learning")
    experts.locator("#t2-expert-matrix input").click()
    experts.get_by_role("option", name="layer 0: self_attn.q_proj").click()
    expect(experts.locator("#t2-expert")).to_contain_text("In layer 0, self_attn.q_proj")


def test_experts_are_compared(experts: Page) -> None:
    alike = experts.locator("#t2-alike")
    expect(alike.locator(".ytick", has_text="math")).to_be_visible()
    expect(experts.locator("#t2-pair-one-figure .heatmaplayer image")).to_be_visible()
    expect(experts.locator("#t2-pair-agreement-figure .heatmaplayer image")).to_be_visible()


def test_a_question_of_an_expert_is_asked_and_its_mix_is_charted(experts: Page) -> None:
    row(experts, "math").click()
    opened(experts, "math")
    question = experts.locator("#t2-expert-examples button").first
    text = question.inner_text()
    question.click()
    box = experts.get_by_label("Your question")
    expect(box).to_have_value(text)
    box.press("Enter")
    expect(experts.locator("#t2-status")).to_contain_text("tokens/s", timeout=ANSWER_MS)
    experts.get_by_role("tab", name="Experts").click()
    experts.get_by_role("tab", name="In this conversation").click()
    chart = experts.locator("#t2-contributions")
    expect(chart.locator(".legendtext", has_text="math")).to_be_visible()
    expect(experts.locator("#t2-experts-all")).to_contain_text("Question 1 was answered by")


def test_import_rename_delete_and_bring_back(experts: Page, folder: Path, tmp_path: Path) -> None:
    notice = experts.locator("#t2-experts-notice")
    experts.get_by_role("button", name="Import an expert").click()
    path = other_expert(folder, "sums", tmp_path)
    experts.locator("#t2-experts-file input[type=file]").set_input_files(path)
    expect(experts.locator("#t2-experts-file")).to_contain_text("sums.safetensors")
    experts.locator("#t2-experts-import").click()
    expect(notice).to_contain_text("sums is here")
    opened(experts, "sums")

    experts.get_by_role("button", name="Rename or describe").click()
    experts.locator("#t2-expert-name textarea, #t2-expert-name input").fill("totals")
    experts.locator("#t2-expert-description textarea").fill("adds {{value}} things <b>up</b>")
    experts.locator("#t2-expert-save").click()
    expect(notice).to_contain_text("totals")
    opened(experts, "totals")
    expect(row(experts, "sums")).to_have_count(0)
    expect(row(experts, "totals")).to_contain_text("adds {{value}} things <b>up</b>")

    experts.locator("#t2-expert-delete").click()
    sure = experts.locator("#t2-expert-sure")
    expect(sure).to_contain_text("Delete totals?")
    assert (folder / "totals.safetensors").exists()
    sure.get_by_role("button", name="Delete", exact=True).click()
    expect(notice).to_contain_text("totals is deleted")
    expect(row(experts, "totals")).to_have_count(0)
    experts.get_by_role("button", name="Bring totals back").click()
    opened(experts, "totals")
    (folder / "totals.safetensors").unlink()
    expect(row(experts, "totals")).to_have_count(0)
    expect(notice).to_contain_text("Totals is gone")


def test_what_changes_elsewhere_is_seen_without_a_click(
    experts: Page, folder: Path, tmp_path: Path
) -> None:
    shutil.copy(other_expert(folder, "elsewhere", tmp_path), folder)
    expect(row(experts, "elsewhere")).to_be_visible()
    broken = folder / "half.safetensors"
    broken.write_bytes(b"half a file")
    expect(experts.locator("#t2-experts-problems")).to_contain_text("half.safetensors")
    broken.unlink()
    (folder / "elsewhere.safetensors").unlink()
    expect(row(experts, "elsewhere")).to_have_count(0)
    expect(experts.locator("#t2-experts-problems")).to_be_empty()


@pytest.fixture
def few_shot(page: Page, url: str) -> Page:
    """The page, open at few-shot, with a search that takes seconds."""
    page.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    page.goto(url)
    page.get_by_role("tab", name="Few-shot").click()
    page.get_by_role("button", name="Advanced").click()
    page.get_by_label("Likelihood of the given answers").check()
    for label, value in (("Mixes a generation", "8"), ("Generations at most", "3")):
        page.get_by_label(label).fill(value)
        page.get_by_label(label).press("Tab")
    return page


def test_examples_are_searched_and_the_mix_is_saved_and_used_in_chat(
    few_shot: Page, folder: Path
) -> None:
    page = few_shot
    page.get_by_role("tab", name="Paste").click()
    page.locator("#t2-shots-text textarea").fill(SUMS)
    page.locator("#t2-shots-start").click()
    state = page.locator("#t2-search-state")
    expect(state).to_contain_text(re.compile("Generation|Done"), timeout=ANSWER_MS)
    expect(state).to_contain_text("Done after", timeout=ANSWER_MS)
    found = page.locator("#t2-found")
    expect(found.locator("#t2-found-scores")).to_contain_text("of 3", timeout=ANSWER_MS)
    expect(found.locator("#t2-found-bars .ytick", has_text="base")).to_be_visible()
    # One mark for each generation: the chart lives.
    generations = page.locator("#t2-search-fitness .scatterlayer .trace").first.locator(".point")
    assert 1 <= generations.count() <= 3
    page.locator("#t2-found-name textarea, #t2-found-name input").fill("my-sums")
    expect(page.locator("#t2-found-save")).to_be_enabled()
    page.locator("#t2-found-save").click()
    expect(page.locator("#t2-found-notice")).to_contain_text("my-sums is among the experts")
    assert (folder / "my-sums.safetensors").exists()

    page.locator("#t2-found-use").click()
    expect(page.get_by_label("By hand")).to_be_checked()
    box = page.get_by_label("Your question")
    expect(box).to_have_value(re.compile("What is"))
    box.press("Enter")
    mix = page.locator("#t2-mix-words")
    expect(mix).to_contain_text("Latest answer: my-sums 100", timeout=ANSWER_MS)
    (folder / "my-sums.safetensors").unlink()


def test_stop_and_reload_keep_the_best_mix_so_far(page: Page, url: str) -> None:
    page.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    page.goto(url)
    page.get_by_role("tab", name="Few-shot").click()
    # Sums that no mix solves reliably, and twice as many mixes: a generation takes seconds.
    page.get_by_role("button", name="Advanced").click()
    for label, value in (("Mixes a generation", "64"), ("Patience", "50")):
        page.get_by_label(label).fill(value)
        page.get_by_label(label).press("Tab")
    page.get_by_role("tab", name="Paste").click()
    sums = "".join(
        f"What is {n}7 * {n + 2}3?,{(10 * n + 7) * (10 * n + 23)}\n" for n in range(1, 5)
    )
    page.locator("#t2-shots-text textarea").fill("question,answer\n" + sums)
    start, state = page.locator("#t2-shots-start"), page.locator("#t2-search-state")
    start.click()
    expect(state).to_contain_text("Generation", timeout=ANSWER_MS)
    page.locator("#t2-shots-stop").click()
    expect(state).to_contain_text("Stopped after", timeout=ANSWER_MS)
    expect(page.locator("#t2-found-bars .ytick", has_text="base")).to_be_visible()
    expect(page.locator("#t2-found-use")).to_be_enabled()
    expect(page.locator("#t2-shots-stop")).to_be_hidden()
    expect(start).to_be_enabled()

    start.click()
    expect(state).to_contain_text("Generation 1", timeout=ANSWER_MS)
    page.reload()
    page.get_by_role("tab", name="Few-shot").click()
    expect(state).to_contain_text(re.compile("Stopped after [1-9]"))
    expect(page.locator("#t2-found-bars .ytick", has_text="base")).to_be_visible()
    expect(page.locator("#t2-found-use")).to_be_enabled()
    expect(start).to_be_visible()


def test_examples_that_cannot_be_used_are_told(few_shot: Page) -> None:
    few_shot.locator("#t2-shots-start").click()
    expect(few_shot.locator("#t2-shots-notice")).to_contain_text("Typed examples is empty")
    few_shot.get_by_role("tab", name="Paste").click()
    few_shot.locator("#t2-shots-text textarea").fill("question,answer\nWhat is 2 + 3?,5\n")
    few_shot.locator("#t2-shots-start").click()
    expect(few_shot.locator("#t2-shots-notice")).to_contain_text("one example only")


@pytest.mark.parametrize("tab", ["Experts", "Few-shot"])
def test_nothing_is_wider_than_a_phone(page: Page, url: str, tab: str) -> None:
    page.set_default_timeout(20_000)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(url)
    page.get_by_role("tab", name=tab).click()
    shown = {"Experts": "#t2-expert-vector .point", "Few-shot": "#t2-shots-start"}[tab]
    expect(page.locator(shown).first).to_be_visible(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
