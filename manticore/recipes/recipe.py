"""A recipe: a hybrid, its text, and the stages that it goes through, in one frozen object."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from manticore.config.options import refuse_unknown
from manticore.config.programming import ProgramConfig
from manticore.config.run import HybridConfig, option_field, option_name
from manticore.config.search import SearchConfig
from manticore.config.training import (
    EvaluateConfig,
    FinetuneConfig,
    PretrainConfig,
    TrackerName,
)
from manticore.paths import absolute, bundled, expanded
from manticore.recipes.yaml import MOST_CHARACTERS, read_yaml

STAGE_ORDER = ("pretrain-projectors", "program", "search", "finetune", "evaluate")


class Text(BaseModel):
    """A text: the arguments of `load_text`. A plain string is its source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    seq_len: int = Field(256, ge=2)
    valid_fraction: float = Field(0.05, gt=0, lt=1)
    text_column: str = "text"
    config_name: str | None = None
    streaming: bool = False
    max_tokens: int | None = None
    seed: int = Field(0, ge=0)
    """Of generated stories, or of which documents are held out: one text for every recipe's seed,
    so that seeds can be compared."""
    document_separator: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_string_is_the_source(cls, values: Any) -> Any:
        values = {"source": values} if isinstance(values, str | Path) else values
        refuse_unknown(values, cls.model_fields, "text option")
        if isinstance(values, dict) and isinstance(values.get("source"), Path):
            values = {**values, "source": str(values["source"])}
        return values


class _OfRecipe(BaseModel):
    """What a stage of a recipe may say beside the stage's own options."""

    data: Text | None = Field(None, description="another text than the recipe's")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_all_defaults(cls, values: Any) -> Any:
        return {} if values is None else values

    @model_validator(mode="wrap")
    @classmethod
    def _only_what_was_given_is_set(cls, values: Any, handler: Any) -> Self:
        # A default that depends on another option must not stay when that option is varied.
        stage = handler(values)
        if isinstance(values, dict):
            stage.model_fields_set.intersection_update(values)
        return stage


class PretrainStage(_OfRecipe, PretrainConfig):
    """`pretrain-projectors` in a recipe."""


class SearchStage(_OfRecipe, SearchConfig):
    """`search` in a recipe."""


class ProgramStage(_OfRecipe, ProgramConfig):
    """`program` in a recipe."""

    @field_validator("data")
    @classmethod
    def _no_text(cls, data: Text | None) -> None:
        if data is not None:
            raise ValueError("programming needs no text, its tasks are made: leave data out")


class FinetuneStage(_OfRecipe, FinetuneConfig):
    """`finetune` in a recipe."""


class EvaluateStage(_OfRecipe, EvaluateConfig):
    """`evaluate` in a recipe."""


class Stages(BaseModel):
    """The stages of a recipe, in their order, each with its options; those not given are left out.

    A stage with nothing behind its name is done with its defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretrain_projectors: PretrainStage | None = None
    program: ProgramStage | None = None
    search: SearchStage | None = None
    finetune: FinetuneStage | None = None
    evaluate: EvaluateStage | None = None

    @model_validator(mode="before")
    @classmethod
    def _stages_are_named_and_in_order(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = {str(name).replace("_", "-"): options for name, options in values.items()}
        refuse_unknown(named, dict.fromkeys(STAGE_ORDER), "stage")
        if not named:
            raise ValueError(f"a recipe needs at least one stage of {', '.join(STAGE_ORDER)}")
        if list(named) != sorted(named, key=STAGE_ORDER.index):
            raise ValueError(
                f"the stages {', '.join(named)} are out of order: it is {', '.join(STAGE_ORDER)}, "
                "from which any may be left out"
            )
        return {option_field(name): options or {} for name, options in named.items()}


class Recipe(HybridConfig):
    """Everything from components to a measured hybrid.

    What a run says of hybrid, seed, device and dtype, and then the text and the stages.
    """

    data: Text = Field(description="the text of every stage that names none of its own")
    stages: Stages
    name: str | None = Field(None, max_length=80, description="a name for people")
    trackers: tuple[TrackerName, ...] = Field((), description="as a run has them")

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> "Recipe":
        """Read a recipe; texts and components may be given by paths from the file's own folder.

        Args:
            path: A YAML file, or the name of a bundled recipe, such as `bilingual`.

        Raises:
            FileNotFoundError: There is neither such a file nor a bundled recipe of that name.
            ValueError: It is not YAML, a key comes twice or is unknown, a value cannot be, or it
                would turn on `trust_remote_code`, which only who starts it may.
        """
        path = _recipe_file(path)
        try:
            with path.open(encoding="utf-8") as file:
                values = read_yaml(file.read(MOST_CHARACTERS + 1))
        except ValueError as error:
            raise ValueError(f"{path} is not readable as YAML: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(
                f"{path} is no recipe: it needs keys, among them components, data and stages"
            )
        recipe = cls(**{"name": path.stem, **values}).with_paths_from(path.parent)
        if recipe.trust_remote_code:
            raise ValueError(
                f"{path} would run code from hub repositories, which no file may decide: take "
                "trust_remote_code out of it and, if you trust them, give --set "
                "trust_remote_code=true, or with_options in Python"
            )
        return recipe

    @property
    def stage_names(self) -> list[str]:
        """The stages that there are, in their order."""
        return [
            name for name in STAGE_ORDER if getattr(self.stages, option_field(name)) is not None
        ]

    def options(self, stage: str) -> BaseModel:
        """The stage's own options, as a run has them."""
        options = getattr(self.stages, option_field(stage))
        plain = type(options).__bases__[-1]
        return plain(**options.model_dump(exclude={"data"}, exclude_unset=True))

    def text(self, stage: str) -> Text | None:
        """The stage's text; one of its own has the recipe's sequence length if it names none.

        None for programming, which has none.
        """
        if stage == "program":
            return None
        own = getattr(self.stages, option_field(stage)).data
        if own is None:
            return self.data
        if "seq_len" not in own.model_fields_set:
            own = own.model_copy(update={"seq_len": self.data.seq_len})
        return own

    def with_options(self, options: Mapping[str, Any]) -> "Recipe":
        """The recipe with other values, by names such as `search.component_lr` or `data.seq_len`.

        Raises:
            ValueError: A name or a value that cannot be; a stage that the recipe does not have.
        """
        values = self.model_dump(exclude_unset=True)
        for name, value in options.items():
            self._put(values, name, value)
        return type(self)(**values)

    def _put(self, values: dict[str, Any], name: str, value: Any) -> None:
        first, *rest = option_name(name).split(".")
        stages = [option_field(stage) for stage in STAGE_ORDER]
        if first in stages:
            if not rest or getattr(self.stages, first) is None:
                raise ValueError(
                    f"{name!r} names no option of a stage of this recipe "
                    f"({', '.join(self.stage_names)}): write it like search.component_lr"
                )
            where = values["stages"][first]
        elif first == "data" and rest:
            where = values["data"]
        else:
            known = dict.fromkeys([*type(self).model_fields, *stages])
            refuse_unknown({first: value}, known, "option")
            where, rest = values, [first, *rest]
        for key in rest[:-1]:
            inner = where.setdefault(key, {})
            where[key] = where = dict(inner) if isinstance(inner, dict) else {}
        where[rest[-1]] = value

    def with_paths_from(self, folder: Path) -> "Recipe":
        """The recipe with components and texts that lie in `folder` made absolute."""
        values = self.model_dump(exclude_unset=True)
        values["components"] = [absolute(component, folder) for component in self.components]
        texts = [values["data"], *(stage.get("data") for stage in values["stages"].values())]
        for text in filter(None, texts):
            text["source"] = absolute(text["source"], folder)
        return type(self)(**values)


def parse_value(text: str) -> Any:
    """A value as YAML writes it: `1e-4`, `darts`, `[0.5, 0.5]`.

    Raises:
        ValueError: It cannot be read so.
    """
    try:
        return read_yaml(text)
    except ValueError as error:
        shown = text if len(text) <= 100 else f"{text[:100]}..."
        raise ValueError(f"{shown!r} cannot be read as YAML writes a value: {error}") from error


def parse_values(text: str) -> list[Any]:
    """Values with commas between, as YAML writes them: `1e-4,1e-3`, `darts,gaea`, `[1,0],[0,1]`.

    Raises:
        ValueError: It cannot be read so.
    """
    try:
        return list(parse_value(f"[{text}]"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{text!r} is no list of values, such as 1e-4,1e-3") from error


def bundled_recipes() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    return sorted(file.stem for file in bundled("recipes").glob("*.yaml"))


def _recipe_file(path: str | os.PathLike[str]) -> Path:
    """The file of a recipe, given as a path or as the name of a bundled recipe."""
    file = expanded(path).resolve()
    if file.is_file():
        return file
    name, known = os.fspath(path), bundled_recipes()
    if name in known:
        return bundled("recipes") / f"{name}.yaml"
    raise FileNotFoundError(
        f"There is no recipe {file}: give the path of a YAML file, or the name of a bundled "
        f"recipe ({', '.join(known)})."
    )
