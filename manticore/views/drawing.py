"""Sources of the ES modules that draw the explorer's pictures, for the page and for notebooks."""

from importlib.resources import files


def module_source(name: str) -> str:
    """One ES module, whole: nothing else is fetched by it.

    Args:
        name: Name of the picture, which is the folder and the file, such as `diagram`.
    """
    views = files("manticore.views")
    parts = (views.joinpath("drawing.js"), views.joinpath(name, f"{name}.js"))
    return "".join(part.read_text(encoding="utf-8") for part in parts)
