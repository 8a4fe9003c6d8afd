"""Damage: noise in some layers of a bundled component, so that it is known which are whole.

`zoo:NAME?damaged=LAYERS&noise=SHARE&seed=N` names a damaged copy, with the options of `Damage`; the
same name gives the same weights. Of two copies, each damaged where the other is whole, it is known
what a search should find.

Reading a name imports neither torch nor Transformers.
"""

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import Field, NonNegativeInt, PositiveFloat, ValidationError, field_validator

from manticore.config.options import Options

if TYPE_CHECKING:
    from manticore.components.runner import BlockRunner


class Damage(Options, frozen=True):
    """Which layers of a component are damaged, and how badly."""

    kind: ClassVar[str] = "option of damage"

    damaged: tuple[NonNegativeInt, ...]
    """Indices of the layers, from 0."""
    noise: PositiveFloat = 1.0
    """What is added to every matrix, as a share of its own standard deviation."""
    seed: int = Field(default=0, ge=0)
    """Random seed of the noise."""

    @field_validator("damaged", mode="before")
    @classmethod
    def _numbers_with_commas(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    @classmethod
    def of(cls, source: str) -> "Damage | None":
        """The damage that the name of a bundled component asks for; None if it asks for none.

        Args:
            source: `zoo:NAME`, or `zoo:NAME?damaged=LAYERS` with more options.

        Raises:
            ValueError: An unknown option, or a value out of range.
        """
        name, asks, query = source.partition("?")
        if not asks:
            return None
        try:
            given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
            return cls.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")
        except ValueError as error:
            why = str(error)
        raise ValueError(
            f"Its options are not understood ({why}): write {name}?damaged=0,2 for a copy whose "
            "layers 0 and 2 are damaged, and add &noise=1 or &seed=1 where you want others."
        )

    def inflict(self, runner: "BlockRunner") -> None:
        """Add the noise to a component, in place.

        Args:
            runner: Runs the component's layers.

        Raises:
            ValueError: The component has no such layer.
        """
        import torch

        if max(self.damaged) >= runner.depth:
            raise ValueError(
                f"There is no layer {max(self.damaged)}: the component has {runner.depth} layers, "
                f"0 to {runner.depth - 1}."
            )
        generator = torch.Generator().manual_seed(self.seed)
        layers = getattr(runner.backbone, runner.spec.layers)
        with torch.no_grad():
            for index in self.damaged:
                for weight in layers[index].parameters():
                    if weight.ndim >= 2:
                        drawn = torch.randn(weight.shape, generator=generator)
                        weight.add_(drawn * weight.std() * self.noise)
