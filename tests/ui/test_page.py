"""The page is built and served, and asks nothing of other machines."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gradio as gr
import httpx
import pytest

from t2app.ui import page
from tests.ui.double import Double


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    double = Double()
    blocks = page.build(double, double.stream)
    _, address, _ = blocks.launch(prevent_thread_lock=True, **page.launch_options())
    yield address
    blocks.close()


def get(address: str) -> httpx.Response:
    return httpx.get(address, trust_env=False).raise_for_status()


def test_the_page_can_be_installed_as_an_app(url: str) -> None:
    manifest = get(f"{url}manifest.json").json()
    assert manifest["name"] == "t2app"
    assert {icon["sizes"] for icon in manifest["icons"]} == {"192x192", "512x512"}
    for icon in manifest["icons"]:
        assert get(url.rstrip("/") + icon["src"]).headers["content-type"] == "image/png"


def test_fonts_and_styles_come_from_this_machine(url: str) -> None:
    assert page.theme()._stylesheets == []
    css = get(f"{url}theme.css").text
    assert not re.search(r"url\(['\"]?https?:", css)
    config = get(f"{url}config").json()
    assert config["analytics_enabled"] is False
    assert config["stylesheets"] == []
    assert "#t2-chat" in config["css"]


def test_no_handler_is_offered_as_an_api() -> None:
    blocks = page.build(Double(), Double().stream)
    named = [f for f in blocks.fns.values() if f.api_visibility == "public" and f.fn is not None]
    assert named == []


def test_building_twice_shares_nothing() -> None:
    first, second = (page.build(Double(), Double().stream) for _ in range(2))
    assert not set(first.blocks.values()) & set(second.blocks.values())
    assert isinstance(first, gr.Blocks)
