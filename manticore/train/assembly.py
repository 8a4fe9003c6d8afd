"""What a stage puts into a hybrid before it trains, and takes out again at the end."""

from typing import TYPE_CHECKING, Any

from manticore.extras import require
from manticore.hybrid.lora import lora_targets
from manticore.names import STRATEGIES
from manticore.train.sharding import whole_state

if TYPE_CHECKING:
    from peft import LoraModel

    from manticore.config.run import RunConfig
    from manticore.config.training import LoraConfig as LoraOptions
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.search.strategy import Strategy

_ADAPTER = "default"


class Assembly:
    """A hybrid with the strategy's parameterization of the mixture, and with adapters if asked for.

    Args:
        hybrid: Hybrid to train; it is changed in place.
        config: Configuration of the run.

    Attributes:
        entry: What is known of the strategy without making one.
        strategy: The strategy, begun on the hybrid.
        adapters: The adapters; None without any.
    """

    def __init__(self, hybrid: "ManticoreForCausalLM", config: "RunConfig") -> None:
        self.hybrid = hybrid
        name = getattr(config.options, "strategy", "fixed")
        self.entry = STRATEGIES.find(name)
        self.strategy: Strategy = self.entry.load()(config.options, config.seed)
        self.strategy.begin(hybrid)
        self.adapters: LoraModel | None = None
        lora = getattr(config.options, "lora", None)
        if lora is not None:
            self.adapters = _adapted(hybrid, lora)

    def finish(self) -> dict[str, Any]:
        """Settle on the mixture weights and merge the adapters: an ordinary hybrid is left.

        Returns:
            What the strategy found besides the mixture weights.
        """
        found = self.strategy.finish()
        self._merge()
        return found

    def finish_on(self, whole: "Assembly") -> dict[str, Any]:
        """Finish a sharded hybrid: the ordinary hybrid is that of another assembly.

        Args:
            whole: Assembly of the same start and the same configuration, without shards.

        Returns:
            What the strategy found besides the mixture weights.
        """
        found = self.strategy.finish()
        if not whole.hybrid.is_routed:
            whole.hybrid.set_mixture_weights(self.hybrid.mixture_weights)
        whole.hybrid.load_state_dict(whole_state(self.hybrid))
        whole._merge()
        return found

    def dissolve(self) -> None:
        """Finish in the middle of training: the mixture weights are fixed as they are now."""
        self.strategy.fix()
        self._merge()

    def _merge(self) -> None:
        if self.adapters is not None:
            self.adapters.merge_and_unload()


def _adapted(hybrid: "ManticoreForCausalLM", lora: "LoraOptions") -> "LoraModel":
    """The hybrid with a trainable adapter on each of its linear layers."""
    require("Fine-tuning with LoRA", "peft")
    from peft import LoraConfig, LoraModel

    adapters = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]  (any number will do)
        lora_dropout=lora.dropout,
        target_modules=lora_targets(hybrid),
    )
    return LoraModel(hybrid, {_ADAPTER: adapters}, _ADAPTER)
