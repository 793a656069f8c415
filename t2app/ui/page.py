"""The page: frame, theme and style around the tabs, and the options to serve it with.

Nothing on it is fetched from another machine: fonts are those of the visitor's system.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2app.adapt import two_pass
from t2app.config import ASSETS
from t2app.engine import Engine
from t2app.ui import asking, chat, experts, few_shot, models, train_runs, train_tab, words
from t2app.ui.resident import Load, Resident

SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")
ICON = ASSETS / "icon.png"
# Seconds between two looks at uploads and downloads, and the age at which they are deleted.
SWEEP = (3600, 24 * 3600)


def build(
    engine: Engine | Resident, stream: asking.Stream = two_pass.stream, load: Load = Engine.load
) -> gr.Blocks:
    """The whole page, ready to launch with ``launch_options()``.

    Whoever asks the model beside the page gives the ``Resident`` that both share. ``stream`` asks
    the model (``two_pass.stream``'s signature), ``load`` loads another (``Engine.load``'s
    signature); tests put doubles in their place.
    """
    resident = engine if isinstance(engine, Resident) else Resident(engine, load)
    queues = train_runs.Queues()
    with gr.Blocks(
        title=words.TITLE, analytics_enabled=False, fill_width=True, delete_cache=SWEEP
    ) as page:
        gr.HTML(_header(), elem_id="t2-header")
        run, search, clock = train_tab.remembered(), few_shot.remembered(), models.watch()
        # In this order. Each tab is one function of its own file.
        with gr.Tabs(selected=words.TAB_CHAT, elem_id="t2-tabs") as tabs:
            with gr.Tab("Chat", id=words.TAB_CHAT):
                talk = chat.build(page, resident, stream)
            with gr.Tab("Experts", id=words.TAB_EXPERTS) as tab:
                experts.build(resident, tabs, tab, talk, queues)
            with gr.Tab("Train", id=words.TAB_TRAIN) as tab:
                train_tab.build(page, resident, tabs, tab, talk, queues, run)
            with gr.Tab("Few-shot", id=words.TAB_FEW_SHOT):
                few_shot.build(page, resident, tabs, talk, search)
            with gr.Tab("Model", id=words.TAB_MODEL):
                models.build(page, resident, talk, clock)
    return page


def launch_options() -> dict[str, Any]:
    """What ``launch`` needs for the page to look and behave as meant."""
    return {
        "theme": theme(),
        "css_paths": [
            ASSETS / f"{name}.css" for name in ("style", "experts", "train", "look", "models")
        ],
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
