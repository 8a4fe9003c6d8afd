"""Everything that a run's worker needs, in one frozen object that JSON can hold."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from manticore.config.options import FlagNames, Options
from manticore.config.training import MIXED_PRECISION, TrackerName
from manticore.names import PROJECTORS, STAGES, NameIn
from manticore.paths import absolute

MAX_COMPONENTS = 4
"""Largest number of components of a hybrid."""
LOW_RANK = 32
"""Channels of the correction that a projector of low rank makes."""
ProjectorInit = Literal["aligned", "identity", "random"]


def option_field(stage: str) -> str:
    """A stage's name as an identifier: `pretrain-projectors` is `pretrain_projectors`."""
    return stage.replace("-", "_")


def option_name(path: str) -> str:
    """An option as Python writes it: `search.mixture-lr` is `search.mixture_lr`.

    What follows an option's own name, such as a task, keeps its hyphens.
    """
    stage, *inner = path.split(".", 2)
    return ".".join([option_field(stage), *map(option_field, inner[:1]), *inner[1:]])


class RunSettings(Options, frozen=True):
    """What every run is told, whatever its stage: how it is called and where it computes."""

    panel: ClassVar[str] = "Run"
    kind: ClassVar[str] = "key"

    name: str | None = Field(default=None, max_length=120)
    """Name of the run."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Random seed."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda or cuda:N."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of training, where the weights stay in float32."""
    trackers: Annotated[tuple[TrackerName, ...], FlagNames("--track")] = ()
    """Experiment tracker that also logs the events."""

    @field_validator("device")
    @classmethod
    def _device_is_one(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", device, re.ASCII):
            raise ValueError(f"{device!r} is not a device: choose auto, cpu, cuda or cuda:N.")
        return device

    @property
    def mixed_precision(self) -> Literal["no", "bf16", "fp16"]:
        """The name that accelerate has for `dtype`."""
        return MIXED_PRECISION[self.dtype]


class HybridConfig(RunSettings, frozen=True):
    """What a hybrid is made of and where it computes: what runs and recipes have in common.

    Values that are wrong on their own are refused here; values that are wrong for the components,
    such as more blocks than the shallowest has layers, when the hybrid is built.
    """

    panel: ClassVar[str] = "Hybrid"

    components: tuple[str, ...]
    """Hub ids, folders or zoo:NAME."""
    n_blocks: Annotated[int | None, FlagNames("--blocks")] = Field(default=None, ge=1)
    """Number of blocks; by default the depth of the shallowest component."""
    projector: Annotated[str, NameIn(PROJECTORS)] = "linear"
    """Kind of the projectors."""
    projector_init: ProjectorInit = "aligned"
    """Initialization of the projectors."""
    head: Literal["mixed", "mixture", "new"] = "mixed"
    """Output head: the components' own heads, with their logits mixed (`mixed`) or their
    probabilities (`mixture`), or a new one in their place."""
    gate: Literal["paper", "flat"] = "paper"
    """How far a projector is passed by: by the mixture weight, as in the paper, or by a high power
    of it, which moves only near the corners."""
    mixture_weights: tuple[tuple[float, ...], ...] | None = None
    """Initial mixture weights: one row per block, one weight per component; uniform by default."""
    trust_remote_code: bool = False
    """Run code from hub repositories."""

    @field_validator("components")
    @classmethod
    def _components_are_few_and_named(cls, components: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(components) <= MAX_COMPONENTS:
            raise ValueError(
                f"There are {len(components)} components. A hybrid has at least 1 and at most "
                f"{MAX_COMPONENTS}."
            )
        for component in components:
            if not component.strip() or "\0" in component:
                raise ValueError(
                    f"{component!r} is not a component: give a hub id, a folder or zoo:NAME."
                )
        return components

    @model_validator(mode="after")
    def _mixture_weights_fit(self) -> Self:
        rows = self.mixture_weights
        if rows is None:
            return self
        N = len(rows) if self.n_blocks is None else self.n_blocks
        K = len(self.components)
        if len(rows) != N or any(len(row) != K for row in rows):
            shape = f"{len(rows)} rows of {sorted({len(row) for row in rows})} weights"
            raise ValueError(f"mixture_weights has {shape}: give {N} rows of {K}.")
        for block, row in enumerate(rows):
            if min(row) < 0 or abs(sum(row) - 1) > 1e-6:
                raise ValueError(
                    f"Row {block} of mixture_weights is {list(row)}: weights must be at least 0 "
                    f"and sum to 1 (it sums to {sum(row):.6g}); divide the row by its sum."
                )
        return self


class Build(Options, frozen=True):
    """Options of `build_hybrid` that made a hybrid, in addition to those of `HybridConfig`."""

    projector_init: ProjectorInit
    """Initialization of the projectors."""
    tokenizer_from: int
    """Number of the component whose tokenizer the hybrid has, from 0."""
    dtype: Literal["float64", "float32", "bfloat16", "float16"]
    """Type of the weights."""
    trust_remote_code: bool
    """Whether code from hub repositories was run."""
    seed: int
    """Random seed."""


class Parent(Options, frozen=True):
    """A run that a hybrid was taken from."""

    run: str
    """Id of the run."""
    original: bool
    """Whether the hybrid is as it was before the run, except for the mixture weights."""
    config: "RunConfig"
    """The configuration that reproduces the run."""


class Start(Options, frozen=True):
    """The hybrid that a run starts from, and how to reproduce it.

    The mixture weights at the start are the run's own `mixture_weights`. Without `built` and
    `parent` the hybrid came from elsewhere, and only the run's `start/` has it.
    """

    digest: str
    """Digest of its weights, by `weights_digest`."""
    built: Build | None = None
    """How it was built."""
    parent: Parent | None = None
    """The run that it was taken from."""


_ALL_SAVED = {"pretrain_projectors", "program", "search", "finetune", "evaluate"}
"""Runs once saved the options of all of these stages, whichever was theirs."""


class RunConfig(HybridConfig, frozen=True):
    """The configuration of a run, saved as `config.json` in its folder.

    The worker builds the hybrid from `components` and the fields after it, unless the run was
    started with a hybrid at hand: then that one is saved under `start/`, and `start` says where it
    came from.
    """

    stage: Annotated[str, NameIn(STAGES)] = "search"
    """What the run does."""
    n_blocks: int = Field(ge=1)
    """Number of blocks, at most the depth of the shallowest component."""
    data: dict[str, Any]
    """The text, as `TextData.spec` describes it; empty for a stage without one."""
    options: Any = Field(default_factory=dict, validate_default=True)
    """Options of the stage, as the model of the stage's entry has validated them."""
    start: Start | None = None
    """The hybrid that was given; without one the worker builds it."""
    recipe: str | None = None
    """Digest by which a recipe or a reproduction finds the run again."""
    owner: str | None = None
    """Name of the user who started the run on a page with logins; others may only look at it."""

    @model_validator(mode="before")
    @classmethod
    def _options_may_be_named_by_their_stage(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        stage = values.get("stage", "search")
        named = {name: option_field(name) for name in STAGES if option_field(name) in values}
        if stage in named and len(named) == len(_ALL_SAVED):
            named, others = {stage: named[stage]}, _ALL_SAVED - {named[stage]}
            values = {name: value for name, value in values.items() if name not in others}
        for name, field in named.items():
            if name != stage:
                raise ValueError(
                    f"The options {field!r} belong to another stage than {stage!r}: leave them "
                    f"out, or set stage to {name!r}."
                )
            values = {**values, "options": values[field]}
            del values[field]
        return values

    @field_validator("options", mode="before")
    @classmethod
    def _options_of_the_stage(cls, options: Any, info: ValidationInfo) -> Any:
        if "stage" not in info.data:  # The stage is wrong, and that is the error.
            return Options()
        return STAGES[info.data["stage"]].load_options().model_validate(options)

    @model_validator(mode="after")
    def _one_factor_a_component(self) -> Self:
        factors = getattr(self.options, "component_lr_factors", None)
        if factors is not None and len(factors) != len(self.components):
            raise ValueError(
                f"component_lr_factors has {len(factors)} factors for {len(self.components)} "
                f"components: give one each, in the order of {', '.join(self.components)}."
            )
        return self

    @model_validator(mode="after")
    def _programming_needs_a_mixture(self) -> Self:
        if self.stage == "program" and len(self.components) == 1:
            raise ValueError(
                "Programming needs at least two components to mix: choose another one to go with "
                f"{self.components[0]}."
            )
        return self

    def with_absolute_paths(self) -> "RunConfig":
        """The same configuration with absolute paths of components and text on this disk.

        A run may be resumed from another working directory, where a relative path would lead
        somewhere else.
        """
        components = tuple(absolute(component) for component in self.components)
        data = self.data
        if isinstance(data.get("source"), str):
            data = {**data, "source": absolute(data["source"])}
        return self.model_copy(update={"components": components, "data": data})
