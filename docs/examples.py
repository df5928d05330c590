"""Shows the examples of docstrings as code: to Markdown they are quotations and links."""

from __future__ import annotations

import re

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n *\S.*)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Fences every example of every docstring, which griffe itself does below `Examples:` only."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrites the docstring of a module, class, function or attribute, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(fenced, obj.docstring.value)


def fenced(example: re.Match[str]) -> str:
    """Puts an example into a block of code."""
    indent = example[1]
    return f"{indent}```pycon\n{example[0]}\n{indent}```"
