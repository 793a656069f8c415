"""The page: frame, theme and style around the tabs, and the options to serve it with.

Nothing on it is fetched from another machine: fonts are those of the visitor's system.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2app.adapt import two_pass
from t2app.config import ASSETS
from t2app.engine import Engine
from t2app.ui import asking, chat, words

SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")
ICON = ASSETS / "icon.png"


def build(engine: Engine, stream: asking.Stream = two_pass.stream) -> gr.Blocks:
    """The whole page, ready to launch with ``launch_options()``.

    ``stream`` asks the model (``two_pass.stream``'s signature); tests put a double in its place.
    """
    with gr.Blocks(title=words.TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(_header(), elem_id="t2-header")
        chat.build(page, engine, stream)
    return page


def launch_options() -> dict[str, Any]:
    """What ``launch`` needs for the page to look and behave as meant."""
    return {
        "theme": theme(),
        "css_paths": [ASSETS / "style.css"],
        "head": _head(),
        "favicon_path": str(ICON),
        "pwa": True,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
        "mcp_server": False,
        "quiet": True,
        "show_error": False,
        "max_file_size": "50mb",
    }


def theme() -> gr.themes.Base:
    """Colours and shapes, in light and dark, without a font that would have to be fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=SANS,
        font_mono=MONO,
    )


def _head() -> str:
    """For the installed app: colours of the window's frame."""
    return (
        '<meta name="theme-color" media="(prefers-color-scheme: light)" content="#f8fafc">'
        '<meta name="theme-color" media="(prefers-color-scheme: dark)" content="#0b1120">'
    )


def _header() -> str:
    steps = "".join(f"<li><b>{name}.</b> {text}</li>" for name, text in words.HOW_IT_WORKS)
    logo = (ASSETS / "icon.svg").read_text(encoding="utf-8")
    return (
        f'<div class="t2-brand">{logo}<div><h1>{words.TITLE}</h1><p>{words.INTRO}</p></div></div>'
        f'<details class="t2-how"><summary>How it works</summary>'
        f'<div class="t2-panel"><ol>{steps}</ol><p>{words.REACH}</p></div></details>'
    )
