"""The model tab in a real browser: another model from a folder, back again, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect

from tests.browser.conftest import running

LOAD_MS = 90_000


@pytest.fixture
def own_app(
    chromium: str, shared_cache: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[str]:
    """An app of its own: a model is changed for everybody who uses the same one."""
    with running(["app.py"], tmp_path / "app.log", shared_cache, pytestconfig) as url:
        yield url


def choose(page: Page, name: str) -> None:
    page.get_by_role("tab", name="Model").click()
    field = page.locator("#t2-model-name input")
    field.fill(name)
    field.press("Enter")
    expect(page.locator("#t2-model-needs")).to_contain_text(re.compile("checked|takes"))


def test_another_model_and_back(page: Page, own_app: str, checkpoint: Path) -> None:
    page.set_default_timeout(15_000)
    page.goto(own_app)
    status = page.locator("#t2-status")
    expect(status).to_contain_text("tiny", timeout=30_000)

    # No network: one clear line, and the built-in model stays.
    choose(page, "Qwen/Qwen3-0.6B")
    expect(page.locator("#t2-model-needs")).to_contain_text("1.5 GB to download")
    page.locator("#t2-model-load").click()
    failed = page.locator("#t2-model-progress [role=alert]")
    expect(failed).to_contain_text("unset HF_HUB_OFFLINE, or give a folder. tiny stays.")
    expect(page.locator("#t2-model-now")).to_contain_text("tiny")

    # A folder: the page is drawn anew once it is there.
    choose(page, str(checkpoint))
    page.locator("#t2-model-load").click()
    expect(status).to_contain_text("small", timeout=LOAD_MS)
    expect(page.locator("#t2-strategy input:checked")).to_have_value("auto")
    page.get_by_role("tab", name="Model").click()
    expect(page.locator("#t2-model-now")).to_contain_text("128 tokens")

    page.locator("#t2-model-unload").click()
    expect(status).to_contain_text("tiny", timeout=LOAD_MS)
    page.get_by_role("tab", name="Chat").click()
    page.get_by_label("Your question").fill("Hello! Who are you?")
    page.get_by_label("Your question").press("Enter")
    expect(status).to_contain_text("tokens/s", timeout=30_000)
