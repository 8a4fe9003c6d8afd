"""A recipe: a hybrid, its text, and the stages that it goes through, in one frozen object."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    Field,
    SerializationInfo,
    SerializeAsAny,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from manticore.config.options import Options, refuse_unknown
from manticore.config.run import HybridConfig, option_field, option_name
from manticore.config.text import TextConfig
from manticore.names import STAGES, NameIn
from manticore.paths import absolute, bundled, expanded
from manticore.recipes.yaml import MOST_CHARACTERS, read_yaml


class RecipeStage(Options, frozen=True):
    """One stage of a recipe: its options, and its text if that is not the recipe's.

    A YAML file writes `data` among the options.
    """

    kind: ClassVar[str] = "key"

    stage: Annotated[str, NameIn(STAGES)]
    """Name of the stage."""
    data: TextConfig | None = None
    """Text of the stage; by default that of the recipe."""
    options: SerializeAsAny[Options]
    """Options of the stage."""

    @field_validator("data")
    @classmethod
    def _only_where_text_is_needed(
        cls, data: TextConfig | None, info: ValidationInfo
    ) -> TextConfig | None:
        stage = info.data.get("stage")
        if data is not None and stage is not None and not STAGES[stage].needs_text:
            raise ValueError(f"The stage {stage!r} needs no text: leave data out.")
        return data

    @field_validator("options", mode="before")
    @classmethod
    def _options_of_the_stage(cls, given: Any, info: ValidationInfo) -> Any:
        if "stage" not in info.data:  # The stage is wrong, and that is the error.
            return Options()
        options = STAGES[info.data["stage"]].load_options().model_validate(given)
        # A default that depends on another option must not stay when that option is varied.
        options.model_fields_set.intersection_update(given)
        return options

    def given(self, mode: str = "python") -> dict[str, Any]:
        """What was given, as a recipe writes it."""
        options = self.options.model_dump(mode=mode, exclude_unset=True)
        if self.data is None:
            return options
        return {"data": self.data.model_dump(mode=mode, exclude_unset=True), **options}


class Recipe(HybridConfig, frozen=True):
    """Everything from components to a measured hybrid.

    It has the settings of a run and of its hybrid, then the text and the stages.
    """

    name: str | None = Field(default=None, max_length=80)
    """Name of the recipe, with which the names of its runs begin."""
    data: TextConfig
    """Text of every stage that has none of its own."""
    stages: dict[str, RecipeStage]
    """The stages in their order; a stage without options has its defaults."""

    @field_validator("stages", mode="before")
    @classmethod
    def _stages_are_named_and_in_order(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = {str(name).replace("_", "-"): given for name, given in values.items()}
        refuse_unknown(named, STAGES, STAGES.kind)
        order = list(STAGES)
        if not named:
            raise ValueError(f"A recipe needs at least one stage: {STAGES.described()}.")
        if list(named) != sorted(named, key=order.index):
            raise ValueError(
                f"The stages {', '.join(named)} are out of order. The order is "
                f"{', '.join(order)}, from which any may be left out."
            )
        return {name: _stage_of(name, given) for name, given in named.items()}

    @field_serializer("stages")
    def _as_given(self, stages: dict[str, RecipeStage], info: SerializationInfo) -> Any:
        return {name: stage.given(info.mode) for name, stage in stages.items()}

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> "Recipe":
        """Read a recipe; texts and components may be given by paths from the file's own folder.

        Args:
            path: A YAML file, or the name of a bundled recipe, such as `bilingual`.

        Raises:
            FileNotFoundError: There is neither such a file nor a bundled recipe of that name.
            ValueError: It is not YAML, a key comes twice or is unknown, a value is impossible, or
                it would turn on `trust_remote_code`, which only its user may.
        """
        path = _recipe_file(path)
        try:
            with path.open(encoding="utf-8") as file:
                values = read_yaml(file.read(MOST_CHARACTERS + 1))
        except ValueError as error:  # which a file that is not text raises too
            raise ValueError(f"{path} is not a recipe. {error}") from error
        if not isinstance(values, dict):
            raise ValueError(
                f"{path} is not a recipe: it needs keys, among them components, data and stages."
            )
        recipe = cls(**{"name": path.stem, **values}).with_paths_from(path.parent)
        if recipe.trust_remote_code:
            raise ValueError(
                f"{path} would run code from hub repositories, which no file may decide: take "
                "trust_remote_code out of it and, if you trust them, give --set "
                "trust_remote_code=true, or use with_options in Python."
            )
        return recipe

    def __repr__(self) -> str:
        parts = " + ".join(self.components)
        return f"Recipe({self.name!r}, {parts}, stages: {', '.join(self.stages)})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from manticore.views.objects_html import recipe_html  # views stand on the engine

        return recipe_html(self)

    @property
    def stage_names(self) -> list[str]:
        """Names of the stages, in their order."""
        return list(self.stages)

    def options(self, stage: str) -> Options:
        """Options of a stage, as a run has them."""
        return self.stages[stage].options

    def text(self, stage: str) -> TextConfig | None:
        """Text of a stage; None for a stage that needs none.

        A text of the stage's own has the recipe's sequence length unless it gives one.
        """
        if not STAGES[stage].needs_text:
            return None
        own = self.stages[stage].data
        if own is None:
            return self.data
        if "seq_len" not in own.model_fields_set:
            own = own.model_copy(update={"seq_len": self.data.seq_len})
        return own

    def with_options(self, options: Mapping[str, Any]) -> "Recipe":
        """The recipe with other values, by names such as `search.component_lr` or `data.seq_len`.

        Args:
            options: The values by name.

        Raises:
            ValueError: A name is unknown, a value is impossible, or the recipe has no such stage.
        """
        values = self.model_dump(exclude_unset=True)
        for name, value in options.items():
            self._put(values, name, value)
        return type(self)(**values)

    def _put(self, values: dict[str, Any], name: str, value: Any) -> None:
        first, *rest = option_name(name).split(".")
        stage = first.replace("_", "-")
        if stage in STAGES:
            if not rest or stage not in self.stages:
                raise ValueError(
                    f"{name!r} is not an option of a stage of this recipe "
                    f"({', '.join(self.stages)}). Write it like search.component_lr."
                )
            where = values["stages"][stage]
        elif first == "data" and rest:
            where = values["data"]
        else:
            known = dict.fromkeys([*type(self).model_fields, *map(option_field, STAGES)])
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


def _stage_of(name: str, given: Any) -> Any:
    """A stage as `RecipeStage` has it, from what a recipe writes."""
    if isinstance(given, RecipeStage):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"The stage {name} has {given!r:.80}: give its options, or nothing.")
    options = dict(given or {})
    return {"stage": name, "data": options.pop("data", None), "options": options}


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
