"""Sources of the ES modules that draw the explorer's pictures, for the page and for notebooks."""

from importlib.resources import files


def module_source(name: str) -> str:
    """One ES module, whole: nothing else is fetched by it.

    Args:
        name: Name of the picture, which is the folder and the file, such as `diagram`.
    """
    own = files("manticore.views").joinpath(name, f"{name}.js").read_text(encoding="utf-8")
    return drawing_source() + own


def drawing_source() -> str:
    """What all modules share; it stands before each."""
    return files("manticore.views").joinpath("drawing.js").read_text(encoding="utf-8")
