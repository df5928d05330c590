"""Small vessel segmenters for 3-D microscopy, distilled from vessel patterns.

What stands in `__all__` is public; all else may change.

>>> from vpbsd import import_volumes, list_volumes, load_model, segment

`import_volumes` and `list_volumes` make and read a data set, `load_model` and `segment` use a
trained student, on an array and on a volume of any size. Importing this package loads nothing
else: torch comes with the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpbsd.data.intake.importing import import_volumes
    from vpbsd.data.volumes import list_volumes
    from vpbsd.inference.model import load_model
    from vpbsd.inference.segment import segment
else:
    _MODULES = {
        "import_volumes": "vpbsd.data.intake.importing",
        "list_volumes": "vpbsd.data.volumes",
        "load_model": "vpbsd.inference.model",
        "segment": "vpbsd.inference.segment",
    }

    def __getattr__(name: str) -> object:
        """Imports a public name when it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module 'vpbsd' has no attribute '{name}'")
        return getattr(import_module(_MODULES[name]), name)


__all__ = ["import_volumes", "list_volumes", "load_model", "segment"]
