"""What mkdocs adds to the pages in this folder: texts of the root, and the API room by room."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"index.md": "README.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
PAGES |= {"CHANGELOG.md": "CHANGELOG.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages of the API to the navigation."""
    assert config.nav is not None
    config.nav.append({"API": [{room: page} for room, page in api_pages().items()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds pages that are made, not written here."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=moved((ROOT / source).read_text())))
    for room, page in api_pages().items():
        files.append(File.generated(config, page, content=api_page(room)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Points links to the root's texts at their pages here."""
    return markdown.replace("](../README.md", "](index.md").replace("](../", "](")


def moved(text: str) -> str:
    """Rewrites the links of a text of the root for this folder."""
    return re.sub(r"(\]\(|src=\")docs/", r"\1", text).replace("](README.md", "](index.md")


def api_pages() -> dict[str, str]:
    """Room -> its page; a room is a package with modules of its own."""
    rooms = sorted(
        folder.relative_to(ROOT).as_posix()
        for top in ("vpbsd", "vpbsd_sweeps")
        for folder in (ROOT / top, *(ROOT / top).iterdir())
        if (folder / "__init__.py").exists()
    )
    return {room.replace("/", "."): f"api/{room.replace('/', '.')}.md" for room in rooms}


def api_page(room: str) -> str:
    """Lists the modules of a room for mkdocstrings, below what the room says of itself."""
    folder = ROOT / room.replace(".", "/")
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    itself = f"::: {room}\n    options: {{members: false, show_root_heading: false}}"
    about = [itself] if (folder / "__init__.py").read_text().startswith('"') else []
    return "\n\n".join([f"# {room}", *about, *(f"::: {room}.{name}" for name in names)])
