"""The configuration of a hybrid, which holds the configurations of its components."""

from dataclasses import field
from typing import Any, Literal, get_args

from transformers import AutoConfig, PreTrainedConfig

from manticore.components.runner import cut_points
from manticore.config.run import MAX_COMPONENTS
from manticore.names import PROJECTORS, choose

HeadKind = Literal["mixed", "mixture", "new", "reconstruction"]
GateKind = Literal["paper", "flat"]
GATE_POWERS: dict[str, int] = {"paper": 1, "flat": 8}
"""A gate is the mixture weight to this power."""


class ManticoreConfig(PreTrainedConfig):
    """Everything that decides a hybrid's architecture (paper section 3).

    Args:
        components: The K components' own configurations, as dictionaries with a `model_type`.
        component_names: A label for each component; the families if not given.
        component_sources: What each component was loaded from; the names if not given.
        n_blocks: Number of blocks B that every component is cut into.
        projector: Kind of projector between hybrid and component width.
        head: "mixed" mixes the logits of the components' own heads, "mixture" their probabilities;
            "new" trains one norm and head (the paper's); "reconstruction" decodes the whole
            sequence from the last position (MAD's compression).
        gate: How far a projector is passed by. "paper": by the mixture weight; "flat": by a high
            power of it, so that the projectors stay right while mixture weights move.
        router: Settings of the router (`hybrid.routing.RouterSettings`) where every token has
            mixture weights of its own; None where all tokens share them.
        scales: (N + 1, K) sizes of the components' hidden states at the block boundaries, powers of
            two; the hybrid works with hidden states divided by them. All 1 if not given.
        vocab_size: Size of the hybrid's one vocabulary.
        pooling: What of a sequence a classifier looks at: its "last" token, or the "mean" of all.
        pairs: Whether a classifier takes pairs of sequences.

    Raises:
        ValueError: Not 1 to 4 components, a wrong number of names, an unknown projector or head.
    """

    model_type = "manticore"

    components: list[dict[str, Any]] = field(default_factory=list)
    component_names: list[str] = field(default_factory=list)
    component_sources: list[str] = field(default_factory=list)
    n_blocks: int = 1
    projector: str = "linear"
    head: str = "mixed"
    gate: str = "paper"
    router: dict[str, Any] | None = None
    scales: list[list[float]] = field(default_factory=list)
    vocab_size: int = 0
    pooling: str = "last"
    pairs: bool = False
    initializer_range: float = 0.02
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    use_cache: bool = True
    # Each component ties its own embedding and head, or not.
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        if not self.component_names:
            self.component_names = [c.get("model_type", "?") for c in self.components]
        if not self.component_sources:
            self.component_sources = list(self.component_names)
        super().__post_init__(**kwargs)
        if not self.components:
            return
        if len(self.components) > MAX_COMPONENTS:
            raise ValueError(
                f"A hybrid takes 1 to {MAX_COMPONENTS} components, not {len(self.components)}."
            )
        if not self.scales:
            self.scales = [[1.0] * len(self.components) for _ in range(self.n_blocks + 1)]
        if len(self.component_names) != len(self.components):
            raise ValueError(
                f"{len(self.component_names)} component names for {len(self.components)} "
                "components: give one name each."
            )
        PROJECTORS.find(self.projector)
        choose(self.head, get_args(HeadKind), "head")
        choose(self.gate, get_args(GateKind), "gate")

    @property
    def component_configs(self) -> list[PreTrainedConfig]:
        """The K components' configurations as objects."""
        return [AutoConfig.for_model(**component) for component in self.components]

    @property
    def widths(self) -> list[int]:
        """d_k, the hidden width of each component."""
        return [config.hidden_size for config in self.component_configs]

    @property
    def hidden_size(self) -> int:
        """D = max_k d_k, the hybrid's hidden width."""
        return max(self.widths, default=0)

    @property
    def num_hidden_layers(self) -> int:
        """The number of blocks, which are the layers of a hybrid."""
        return self.n_blocks

    @property
    def max_position_embeddings(self) -> int:
        """The shortest context that a component declares.

        Raises:
            AttributeError: None does, as where all are state-space models.
        """
        limits = [
            config.max_position_embeddings
            for config in self.component_configs
            if getattr(config, "max_position_embeddings", None) is not None
        ]
        if not limits:
            raise AttributeError("No component of this hybrid limits its context.")
        return min(limits)

    def cut_points(self, component: int, depth: int) -> list[int]:
        """Layer indices at which a component of the given depth is cut into blocks."""
        return cut_points(depth, self.n_blocks, f"'{self.component_names[component]}'")
