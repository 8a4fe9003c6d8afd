"""The mixture weights of a hybrid, as its owner sees and sets them."""

from collections.abc import Sequence

import torch

from manticore.hybrid.mixture import FixedMixture, check_mixture_weights
from manticore.hybrid.pretrained import PretrainedHybrid
from manticore.hybrid.routing import RoutedMixture, RouterSettings


class MixingHybrid(PretrainedHybrid):
    """What a hybrid says of its mixture weights, and how they are set or routed."""

    def __repr__(self) -> str:
        """One line; `hybrid.components`, `.projectors` and `.mixture` tell of their modules."""
        names, n_blocks = " + ".join(self.config.component_names), self.config.n_blocks
        blocks = f"{n_blocks} block{'' if n_blocks == 1 else 's'}"
        return (
            f"{type(self).__name__}({names}, {blocks}, {self.config.projector} projectors, "
            f"{'routed' if self.config.router else 'static'} mixture weights)"
        )

    @property
    def mixture_weights(self) -> torch.Tensor:
        """Alpha, (N, K): one row per block, rows sum to one.

        Where they are routed, their mean over the tokens that were routed last; `mixture_of` gives
        those of every token.
        """
        return self.mixture.expected().detach().clone()

    @property
    def is_routed(self) -> bool:
        """Whether every token has mixture weights of its own."""
        return isinstance(self.mixture, RoutedMixture)

    def set_mixture_weights(self, alpha: torch.Tensor | Sequence) -> None:
        """Fix the mixture weights; a router is given up.

        Args:
            alpha: (N, K), or (K,) for every block alike.

        Raises:
            ValueError: Wrong shape, or a row off the simplex.
        """
        n_blocks, n_components = self.config.n_blocks, len(self.components)
        alpha = check_mixture_weights(alpha, n_blocks, n_components)
        mixture = self.mixture
        if not isinstance(mixture, FixedMixture):
            device = mixture.expected().device
            self.mixture = mixture = FixedMixture(n_blocks, n_components).to(device)
            self.config.router = None
        mixture.assign(alpha)

    def add_router(self, settings: RouterSettings) -> RoutedMixture:
        """Let a new router decide the mixture weights, at first as they are now.

        Args:
            settings: Shape of the router.

        Returns:
            The new mixture, whose router is random and has no influence yet.
        """
        alpha = self.mixture_weights
        routed = self.new_router(settings).to(alpha.device)
        routed.start_from(alpha)
        routed.train(self.training)
        self.mixture = routed
        self.config.router = settings.to_dict()
        return routed

    def new_router(self, settings: RouterSettings) -> RoutedMixture:
        """A router of the hybrid's shape, which is not part of it yet.

        Args:
            settings: Shape of the router.
        """
        n_components = len(self.components)
        return RoutedMixture(self.config.n_blocks, n_components, self.config.vocab_size, settings)

    def take_mixture(self, other: "MixingHybrid") -> None:
        """Take the mixture weights of another hybrid of the same shape, or its router.

        Args:
            other: The other hybrid, which stays as it is.
        """
        self.set_mixture_weights(other.mixture_weights)
        if isinstance(other.mixture, RoutedMixture):
            self.add_router(other.mixture.settings).load_state_dict(other.mixture.state_dict())
            self.mixture.requires_grad_(False)

    @torch.no_grad()
    def mixture_of(self, text: str | torch.Tensor) -> torch.Tensor:
        """The mixture weights of every token of a text, (T, N, K), on the CPU.

        Args:
            text: Text, or its token ids, (T,).

        Raises:
            ValueError: The hybrid has no tokenizer, or the text has no token.
        """
        if isinstance(text, str):
            if self.tokenizer is None:
                raise ValueError("The hybrid has no tokenizer: pass token ids, or set one.")
            text = torch.tensor(self.tokenizer(text, verbose=False)["input_ids"], dtype=torch.long)
        if text.ndim != 1 or len(text) == 0:
            raise ValueError(f"Token ids of shape {tuple(text.shape)} are not one text of tokens.")
        mixture = self.mixture
        if not isinstance(mixture, RoutedMixture):
            return self.mixture_weights.cpu().expand(len(text), -1, -1)
        return mixture.weights_of(text[None].to(mixture.average.device))[0].cpu()
