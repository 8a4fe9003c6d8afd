"""What a run will take, before it is started: memory, and time.

All follows from the components' sizes and the number of tokens, by formulas with few constants. The
constants are for float32 on one core of a server and were measured once
(`benchmarks/estimates.py`); a machine that has done runs is known better (`manticore.runs.speed`).

Memory, in bytes, is what is there at the same time in a step:

    the program itself                                          PROGRAM
    weights                     4 * (all parameters)
    training state             12 * (parameters that learn)     gradient, two moments of AdamW
    activations                 4 * tokens * (sum over layers of LAYER_VALUES * width
                                              + sum over projectors of PROJECTOR_VALUES * D
                                              + (LOGIT_VALUES * K + MIXED_VALUES) * vocabulary)

Time, in seconds, follows from multiplications: 2 per parameter and token forward, as many again for
gradients that pass through, and as many again for the parameters that learn:

    a step                      tokens * 2 * (2 * parameters + learning) * passes / RATE
                                + layers * LAYER_S + STEP_S + learning * OPTIMIZER_S
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb

from manticore.components.facts import Facts
from manticore.config.programming import ProgramConfig
from manticore.config.run import LOW_RANK, RunConfig
from manticore.config.search import SearchConfig
from manticore.names import STRATEGIES

PROGRAM = 0.6e9
"""Bytes of Python with all that a worker imports."""
LAYER_VALUES = 26
"""Values of a layer's width that its backward pass needs, per token."""
PROJECTOR_VALUES = 4
"""Values of the hybrid's width that a pair of projectors needs, per token."""
LOGIT_VALUES, MIXED_VALUES = 2, 3
"""Copies of the logits: of each component, and of the mixture with its loss and its gradient."""
RATE = 4e10
"""Multiplications and additions per second of one core."""
LAYER_S, STEP_S = 5e-3, 0.03
"""Seconds of a layer in a step, however small it is, and of a step besides."""
OPTIMIZER_S = 5e-9
"""Seconds of the optimizer per parameter that learns."""
START_S = 20.0
"""Seconds until the components are loaded."""
FIT_S = 1e-5
"""Seconds of a router's fit per token and step."""
SAMPLE_LAYER_S = 1e-3
"""Seconds of a layer for a token that is written."""
DISK = 2e8
"""Bytes per second of checkpoints."""
_ALIGNMENT_TOKENS = 4096
_FIT_BATCH = 16


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a run, by what they hold."""

    program: float
    weights: float
    training: float
    activations: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.program + self.weights + self.training + self.activations


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        memory: Bytes at its peak.
        step_s: Seconds of a step; of programming, of the longest one.
        run_s: Seconds from the start of the run to its end.
        parameters: Number of parameters of the hybrid.
        learning: Number of parameters that learn.
    """

    memory: Memory
    step_s: float
    run_s: float
    parameters: int
    learning: int


@dataclass(frozen=True)
class _Hybrid:
    """Sizes of a hybrid over one vocabulary."""

    parameters: int
    learning: int
    multiplied: int
    layers: int
    layer_width: int
    """Sum of the widths of all layers."""
    boundaries: int
    """Sum of the widths at all projectors."""
    n_components: int
    vocabulary: int


def estimate(config: RunConfig, facts: Sequence[Facts], slowness: float = 1.0) -> Estimate:
    """What a search or a programming run will take.

    Args:
        config: Configuration of the run.
        facts: Facts of its components, in their order.
        slowness: How many times longer a step takes on this machine than the constants say.

    Raises:
        TypeError: The run is not a search, and not programming.
    """
    options = config.options
    if not isinstance(options, SearchConfig):
        raise TypeError(
            f"There is no estimate of the stage {config.stage!r}: give a search or programming."
        )
    if isinstance(options, ProgramConfig):
        settings = [search.setting for search in options.searches()]
        trainings = [(setting.length, setting.vocabulary) for setting in settings]
    else:
        # Components with another vocabulary are given that of the first.
        trainings = [(config.data.get("seq_len", 256), facts[0].vocabulary)]
    searches = [_search(config, facts, *training) for training in trainings]
    largest = max(searches, key=lambda search: search.memory.total)
    built = _hybrid(config, facts, facts[0].vocabulary)
    run_s = sum(search.run_s for search in searches) + _aligning_s(config, built)
    return Estimate(
        largest.memory,
        max(search.step_s for search in searches) * slowness,
        run_s * slowness + START_S,
        built.parameters,
        largest.learning,
    )


def _search(config: RunConfig, facts: Sequence[Facts], seq_len: int, vocabulary: int) -> Estimate:
    """What one search takes, without the start of the run."""
    options: SearchConfig = config.options
    hybrid = _hybrid(config, facts, vocabulary)
    tokens = options.batch_size * seq_len
    step_s = _step_s(options, hybrid, tokens)
    forward_s = 2 * tokens * hybrid.multiplied / RATE + hybrid.layers * LAYER_S / 3
    # Before the first step, every so many steps, and once for the result.
    looks = ceil(options.steps / options.eval_every) + 2
    look_s = options.eval_batches * forward_s
    if options.sample_prompt:
        look_s += options.sample_tokens * hybrid.layers * SAMPLE_LAYER_S
    saved = 4 * hybrid.parameters + 8 * hybrid.learning
    saves = ceil(options.steps / options.checkpoint_every) + 1
    run_s = options.steps * step_s + looks * look_s + saves * saved / DISK
    # Every component alone, on as much text as the hybrid.
    run_s += options.eval_batches * forward_s
    run_s += _deciding_s(config, hybrid, forward_s, seq_len)
    memory = _memory(options, hybrid, tokens // options.accumulate, seq_len)
    return Estimate(memory, step_s, run_s, hybrid.parameters, hybrid.learning)


def _hybrid(config: RunConfig, facts: Sequence[Facts], vocabulary: int) -> _Hybrid:
    options: SearchConfig = config.options
    width = max(own.width for own in facts)
    factors = options.component_lr_factors or (1.0,) * len(facts)
    parameters = learning = multiplied = 0
    for own, factor in zip(facts, factors, strict=True):
        rows = (vocabulary - own.vocabulary) * own.width
        size = own.parameters + rows * (1 if own.tied else 2)
        parameters += size
        multiplied += own.multiplied + rows
        learning += size if options.component_lr * factor > 0 else 0
    joints = sum(_projectors(config.projector, width, own.width) for own in facts)
    joints *= config.n_blocks if len(facts) > 1 else 0
    joints += width * vocabulary if config.head == "new" else 0
    return _Hybrid(
        parameters + joints,
        learning + (joints if options.projector_lr > 0 else 0),
        multiplied + joints,
        sum(own.depth for own in facts),
        sum(own.depth * own.width for own in facts),
        config.n_blocks * len(facts) * width if len(facts) > 1 else 0,
        len(facts),
        vocabulary,
    )


def _projectors(kind: str, width: int, own: int) -> int:
    """Parameters of the projectors into and out of a block; 0 for a kind that is not known."""
    linear = 2 * width * own + width + own
    inner = 2 * max(width, own)
    two_layers = 2 * inner * (width + own + 1) + width + own
    rank = min(LOW_RANK, width, own)
    low_rank = 2 * (rank * (width + own) + 1) + width + own
    known = {"linear": linear, "mlp": linear + two_layers, "low-rank": low_rank}
    return known.get(kind, 0)


def _memory(options: SearchConfig, hybrid: _Hybrid, tokens: int, seq_len: int) -> Memory:
    logits = LOGIT_VALUES * hybrid.n_components + MIXED_VALUES
    values = LAYER_VALUES * hybrid.layer_width + PROJECTOR_VALUES * hybrid.boundaries
    activations = 4 * tokens * (values + logits * hybrid.vocabulary)
    if "router" in STRATEGIES[options.strategy].options and options.router.fit_steps:
        # The fit has larger batches, but no gradients: of each component in turn, the logits.
        fitting = 4 * _FIT_BATCH * seq_len * MIXED_VALUES * hybrid.vocabulary
        activations = max(activations, fitting)
    return Memory(PROGRAM, 4.0 * hybrid.parameters, 12.0 * hybrid.learning, float(activations))


def _step_s(options: SearchConfig, hybrid: _Hybrid, tokens: int) -> float:
    """Seconds of a step, with what the strategy does in it."""
    passes = 1
    if options.strategy == "darts-bilevel":
        passes = 5 if options.second_order else 2
    flops = 2 * tokens * (2 * hybrid.multiplied + min(hybrid.learning, hybrid.multiplied))
    computed = flops / RATE + hybrid.layers * LAYER_S
    return passes * computed + STEP_S + hybrid.learning * OPTIMIZER_S


def _deciding_s(config: RunConfig, hybrid: _Hybrid, forward_s: float, seq_len: int) -> float:
    """Seconds that a strategy spends on held-out text, or on its router, outside of its steps."""
    options: SearchConfig = config.options
    K, measured = hybrid.n_components, options.probe_batches
    if options.strategy == "probe":
        rounds = ceil(options.steps / options.probe_every)
        return rounds * ((config.n_blocks + 1) * K + 1) * measured * forward_s
    if options.strategy == "random":
        return options.candidates * measured * forward_s
    if options.strategy == "sweep":
        return comb(options.grid + K - 2, K - 1) * measured * forward_s
    router = options.router
    if "router" in STRATEGIES[options.strategy].options and router.fit_steps:
        scored = router.fit_sequences * seq_len * 2 * hybrid.multiplied / RATE
        return scored + router.fit_steps * _FIT_BATCH * seq_len * FIT_S
    return 0.0


def _aligning_s(config: RunConfig, hybrid: _Hybrid) -> float:
    """Seconds of the ridge regressions that fit the projectors, in double precision."""
    if config.projector_init != "aligned" or hybrid.n_components == 1:
        return 0.0
    passed = 3 * 2 * _ALIGNMENT_TOKENS * hybrid.multiplied
    joints = 2 * config.n_blocks * hybrid.n_components
    width = hybrid.boundaries // (config.n_blocks * hybrid.n_components)
    solved = joints * width**2 * (4 * _ALIGNMENT_TOKENS + width) * 2
    return (passed + solved) / RATE
