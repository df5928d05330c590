"""How tables are printed: as Markdown, and in a terminal as wide as that is."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markdown import Markdown


def show(text: str) -> None:
    """Prints Markdown: as it is into a file or pipe, laid out in a terminal."""
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        print(text)
