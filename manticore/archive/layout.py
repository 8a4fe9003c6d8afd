"""What an exported run consists of: the files that are read again, and those for people.

A zip file has one folder, named by the id of the run, with

    README.md             what is in here
    run.json              the configuration
    events.jsonl          everything that happened
    metrics.json          what was measured in the end
    label.json            a name and a note, if it has any
    hybrid/               the finished hybrid, as Transformers saves it, with a model card
    start/                the hybrid before the run, where later stages continue from it
    *.csv, figures.html, figures/*.png, again.ipynb
"""

import re

README_FILE = "README.md"
CONFIG_NAME = "run.json"
HYBRID_PART, START_PART = "hybrid", "start"
FIGURES_FILE = "figures.html"
FIGURES_FOLDER = "figures"
NOTEBOOK_FILE = "again.ipynb"

_MODEL_FILE = re.compile(
    r"config\.json|generation_config\.json|model\.safetensors|model\.safetensors\.index\.json|"
    r"model-\d{5}-of-\d{5}\.safetensors|tokenizer\.json|tokenizer_config\.json|"
    r"special_tokens_map\.json|added_tokens\.json|vocab\.json|vocab\.txt|merges\.txt|"
    r"chat_template\.jinja",
    re.ASCII,
)
_FOR_PEOPLE = re.compile(
    rf"({HYBRID_PART}/)?README\.md|[a-z_]+\.csv|figures\.html|figures/[a-z0-9-]+\.png|again\.ipynb",
    re.ASCII,
)


def is_model_file(name: str) -> bool:
    """Whether a file belongs to a saved hybrid: weights, configuration or tokenizer.

    Args:
        name: Name of the file, without a folder.
    """
    return _MODEL_FILE.fullmatch(name) is not None


def is_for_people(name: str) -> bool:
    """Whether a file of an export is only looked at, so that an import passes over it.

    Args:
        name: Path within the export.
    """
    return _FOR_PEOPLE.fullmatch(name) is not None
