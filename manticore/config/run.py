"""What a run is to do: everything its worker needs, in one frozen JSON-able object."""

import difflib
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from manticore.config.programming import ProgramConfig
from manticore.config.search import SearchConfig
from manticore.config.training import (
    MIXED_PRECISION,
    EvaluateConfig,
    FinetuneConfig,
    PretrainConfig,
    TrackerName,
    TrainConfig,
)
from manticore.paths import absolute

MAX_COMPONENTS = 4
StageName = Literal["search", "pretrain-projectors", "program", "finetune", "evaluate"]
ProjectorInit = Literal["aligned", "identity", "random"]


def option_field(stage: str) -> str:
    """The field of `RunConfig` that holds a stage's own options."""
    return stage.replace("-", "_")


def option_name(path: str) -> str:
    """An option as it is called in Python: `search.mixture-lr` is `search.mixture_lr`.

    What follows an option's own name, such as a task, keeps its hyphens.
    """
    stage, *inner = path.split(".", 2)
    return ".".join([option_field(stage), *map(option_field, inner[:1]), *inner[1:]])


class HybridConfig(BaseModel):
    """What a hybrid is made of and where it is computed: what a run and a recipe both say.

    Values that are wrong on their own are refused here; values that are wrong for the components,
    such as more blocks than the shallowest has layers, when the hybrid is built.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str | None = Field(None, max_length=120, description="a name for people")
    components: tuple[str, ...] = Field(
        min_length=1,
        max_length=MAX_COMPONENTS,
        description="hub ids, folders or zoo:NAME",
    )
    n_blocks: int | None = Field(
        None, ge=1, description="blocks of the hybrid; None: the depth of the shallowest component"
    )
    projector: Literal["linear", "identity", "mlp"] = "linear"
    projector_init: ProjectorInit = "aligned"
    head: Literal["mixed", "new"] = "mixed"
    mixture_weights: tuple[tuple[float, ...], ...] | None = Field(
        None, description="the first alpha, n_blocks rows of one weight per component; None: even"
    )
    seed: int = Field(0, ge=0, lt=2**32)
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$", description="auto, cpu, cuda or cuda:N"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the arithmetic in training; the weights stay in float32"
    )
    trust_remote_code: bool = Field(False, description="run code from hub repositories")

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values.keys() - cls.model_fields.keys():
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                valid = ", ".join(cls.model_fields)
                raise ValueError(f"unknown key {key!r}{hint}; the keys are {valid}")
        return values

    @field_validator("components")
    @classmethod
    def _components_are_named(cls, components: tuple[str, ...]) -> tuple[str, ...]:
        for component in components:
            if not component.strip() or "\0" in component:
                raise ValueError(
                    f"{component!r} is no component: give a hub id, folder or zoo:NAME"
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
            raise ValueError(f"mixture_weights has {shape}: give {N} rows of {K}")
        for block, row in enumerate(rows):
            if min(row) < 0 or abs(sum(row) - 1) > 1e-6:
                raise ValueError(
                    f"mixture_weights row {block} is {list(row)}: weights must be at least 0 and "
                    f"sum to 1 (it sums to {sum(row):.6g}); divide the row by its sum"
                )
        return self


class Build(BaseModel):
    """Options of `build_hybrid` that made a hybrid, beside those that `HybridConfig` has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    projector_init: ProjectorInit
    tokenizer_from: int
    dtype: Literal["float64", "float32", "bfloat16", "float16"] = Field(
        description="of the weights"
    )
    trust_remote_code: bool
    seed: int


class Parent(BaseModel):
    """A run that a hybrid was taken from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(description="its id")
    original: bool = Field(
        description="taken as it was before the run, but for the mixture weights that it found"
    )
    config: "RunConfig" = Field(description="with which the run can be done again")


class Start(BaseModel):
    """The hybrid that a run starts from, and how to make it again.

    The mixture weights at the start are the run's own `mixture_weights`. Where there is neither
    `built` nor `parent`, the hybrid came from elsewhere and is only in the run's `start/`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(description="of its weights, by `manticore.runs.hybrids.weights_digest`")
    built: Build | None = None
    parent: Parent | None = None


class RunConfig(HybridConfig):
    """The configuration of a run, saved as `config.json` in its folder.

    The worker builds the hybrid from `components` and the fields after it, unless the run was
    started with a hybrid at hand: then that one is saved under `start/`, and `start` says where it
    came from.
    """

    stage: StageName = Field("search", description="what the run does")
    n_blocks: int = Field(ge=1, description="blocks of the hybrid, at most the shallowest depth")
    data: dict[str, Any] = Field(
        description="the text, as TextData.spec describes it; of programming, nothing"
    )
    search: SearchConfig = Field(default_factory=SearchConfig)
    pretrain_projectors: PretrainConfig = Field(default_factory=PretrainConfig)
    program: ProgramConfig = Field(default_factory=ProgramConfig)
    finetune: FinetuneConfig = Field(default_factory=FinetuneConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    trackers: tuple[TrackerName, ...] = Field(
        (), description="where events go too: tensorboard, trackio, wandb"
    )
    start: Start | None = Field(None, description="the given hybrid; None: the worker builds it")
    recipe: str | None = Field(
        None,
        description="which stage of which recipe it does, or which run again for one that is "
        "reproduced, as a digest that finds it",
    )

    @property
    def options(self) -> TrainConfig | ProgramConfig | EvaluateConfig:
        """Those of the run's own stage."""
        return getattr(self, option_field(self.stage))

    @model_validator(mode="after")
    def _options_are_of_the_stage(self) -> Self:
        for stage in StageName.__args__:
            field = option_field(stage)
            given = getattr(self, field) != type(getattr(self, field))()
            if given and stage != self.stage:
                raise ValueError(
                    f"the options '{field}' mean nothing to the stage {self.stage!r}: leave them "
                    f"out, or set stage to {stage!r}"
                )
        return self

    @model_validator(mode="after")
    def _one_factor_a_component(self) -> Self:
        factors = getattr(self.options, "component_lr_factors", None)
        if factors is not None and len(factors) != len(self.components):
            raise ValueError(
                f"component_lr_factors has {len(factors)} factors for {len(self.components)} "
                f"components: give one each, in the order of {', '.join(self.components)}"
            )
        return self

    @model_validator(mode="after")
    def _programming_needs_a_mixture(self) -> Self:
        if self.stage == "program" and len(self.components) == 1:
            raise ValueError(
                "one component is no mixture, whatever the tasks say: choose another to go with it"
            )
        return self

    @property
    def mixed_precision(self) -> Literal["no", "bf16", "fp16"]:
        """`dtype` as accelerate calls it."""
        return MIXED_PRECISION[self.dtype]

    def with_absolute_paths(self) -> "RunConfig":
        """The same configuration with components and text that are on this disk made absolute.

        A run may be resumed from another working directory, where a relative path would lead to
        something else or nothing.
        """
        components = tuple(absolute(component) for component in self.components)
        data = self.data
        if isinstance(data.get("source"), str):
            data = {**data, "source": absolute(data["source"])}
        return self.model_copy(update={"components": components, "data": data})
