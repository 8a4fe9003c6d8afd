"""What our widgets in notebooks have in common: where their scripts are, and what stays of them."""

from importlib.resources import files
from typing import Any

import anywidget


class Widget(anywidget.AnyWidget):
    """A widget that says what it is where no widgets are shown, such as in a saved notebook."""

    def describe(self) -> str:
        """The widget in a line."""
        raise NotImplementedError

    def still(self) -> str:
        """The widget as it is now, as HTML that moves no more; "" if there is none."""
        return ""

    def __repr__(self) -> str:
        return self.describe()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return None
        data, metadata = made
        still = self.still()
        return data | ({"text/html": still} if still else {}), metadata


def own_source(script: str) -> str:
    """The source of a script in this folder.

    Args:
        script: Name of its file.
    """
    return files("manticore.views.notebook").joinpath(script).read_text(encoding="utf-8")
