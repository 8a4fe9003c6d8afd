"""Can one hybrid of three components read English, Spanish and Python, with no step of training?

Passages of real text of 48 to 160 tokens follow each other in any order: fairy tales, Spanish prose
and the Python standard library. Nothing learns but the router, which is fitted to the losses of the
components alone on such text, without being told what is what. It is compared with each component,
with even mixture weights, with the same router over the components' outputs, and with the right
component at every passage, which no one can know at its first words. Everything is measured on
passages of held-out books and modules; seeds draw the training passages and the router's weights.

    python -m benchmarks.domains --folder FOLDER

FOLDER has tales_en and novels_es, each as .train.txt and .valid.txt.
"""

import argparse
from collections.abc import Iterator
from math import exp
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy, one_hot

import manticore as mc
from benchmarks.harness import save_results
from manticore.config.search import RouterConfig
from manticore.hybrid import ManticoreForCausalLM
from manticore.hybrid.routing import RoutedMixture, RouterSettings
from manticore.search.router_fit import component_losses, fit_router
from tools.zoo.blend import encode_documents, python_modules
from tools.zoo.tokenizer import read_text, spanish_prose

COMPONENTS = ("zoo:tales-neox", "zoo:novelas-mamba", "zoo:stdlib-llama")
DOMAINS = ("English", "Spanish", "Python")
N_BLOCKS, SEQ_LEN, TRAIN_SEQUENCES, TEST_SEQUENCES, SEEDS = 6, 256, 240, 120, (0, 1, 2)
PASSAGE = (48, 160)
TEST_SEED, MOST_CHARACTERS, TRAIN_MODULES = 100, 600_000, 40
THRESHOLDS = (0.0, 0.3)


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder of the texts")
    folder = parser.parse_args().folder
    hybrid = mc.build_hybrid(list(COMPONENTS), N_BLOCKS)
    test, domains = _passages(hybrid, folder, "valid", TEST_SEQUENCES, TEST_SEED)
    found: dict[str, list[list[float]]] = {}
    own = component_losses(hybrid, test)[:, 1:]
    for k, name in enumerate(hybrid.component_names):
        found[name] = [_by_domain(own[..., k], domains)]
    found["hybrid, even"] = [_by_domain(_losses(hybrid, test), domains)]
    right = own.gather(-1, domains[:, 1:, None])[..., 0]
    found["right component, outputs alone"] = [_by_domain(right, domains)]
    found["hybrid, right component"] = [_by_domain(_losses(hybrid, test, domains), domains)]
    for seed in SEEDS:
        train, _ = _passages(hybrid, folder, "train", TRAIN_SEQUENCES, seed)
        for name, losses in _routed(hybrid, train, test, own, seed):
            found.setdefault(name, []).append(_by_domain(losses, domains))
    rows = [_row(name, values) for name, values in found.items()]
    table = Table("model", "all", "spread", *DOMAINS)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    setup = {
        "components": COMPONENTS,
        "n_blocks": N_BLOCKS,
        "seq_len": SEQ_LEN,
        "passage_tokens": PASSAGE,
        "router": RouterConfig().model_dump(),
        "train_sequences": TRAIN_SEQUENCES,
        "test_sequences": TEST_SEQUENCES,
        "seeds": SEEDS,
    }
    print(save_results("domains", {"setup": setup, "rows": rows}))


def _routed(
    hybrid: ManticoreForCausalLM,
    train: torch.Tensor,
    test: torch.Tensor,
    own: torch.Tensor,
    seed: int,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Losses on the test text of all that a router fitted to this training text does."""
    options = RouterConfig()
    hybrid.set_mixture_weights([1 / len(COMPONENTS)] * len(COMPONENTS))
    mixture = hybrid.add_router(RouterSettings(options.width))
    fit_router(hybrid, train, options, seed)
    weights = mixture.weights_of(test)[:, :-1, 0]
    log_weights = weights.clamp_min(torch.finfo(torch.float32).tiny).log()
    yield "router over the outputs", -(log_weights - own).logsumexp(dim=-1)
    state = mixture.state_dict()
    for threshold in THRESHOLDS:
        sparse: RoutedMixture = hybrid.add_router(RouterSettings(options.width, False, threshold))
        sparse.load_state_dict(state)
        for head in ("mixed", "mixture"):
            hybrid.config.head = head
            yield f"routed hybrid, threshold {threshold:g}, head {head}", _losses(hybrid, test)
    hybrid.config.head = "mixed"


def _passages(
    hybrid: ManticoreForCausalLM, folder: Path, part: str, n: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, T) token ids, and the index of the domain of each."""
    generator = np.random.default_rng(seed)
    english = read_text(folder / f"tales_en.{part}.txt")[:MOST_CHARACTERS]
    spanish = spanish_prose(read_text(folder / f"novels_es.{part}.txt"))[:MOST_CHARACTERS]
    modules = list(python_modules(part))
    np.random.default_rng(0).shuffle(modules)
    texts = ([english], [spanish], modules[:TRAIN_MODULES])
    streams = [encode_documents(text, hybrid.tokenizer) for text in texts]
    rows, domains = [], []
    for _ in range(n):
        row: list[int] = []
        domain: list[int] = []
        while len(row) < SEQ_LEN:
            others = [d for d in range(len(DOMAINS)) if not domain or d != domain[-1]]
            chosen, length = int(generator.choice(others)), int(generator.integers(*PASSAGE))
            start = int(generator.integers(len(streams[chosen]) - length))
            row += streams[chosen][start : start + length].tolist()
            domain += [chosen] * length
        rows.append(row[:SEQ_LEN])
        domains.append(domain[:SEQ_LEN])
    return torch.tensor(rows), torch.tensor(domains)


@torch.no_grad()
def _losses(
    hybrid: ManticoreForCausalLM, ids: torch.Tensor, domains: torch.Tensor | None = None
) -> torch.Tensor:
    """Loss of every predicted token, (n, T - 1); with domains, of the component of each alone."""
    rows = []
    for first in range(0, len(ids), 8):
        chosen, alpha = ids[first : first + 8], None
        if domains is not None:
            own = domains[first : first + 8].roll(-1, dims=1)
            alpha = one_hot(own, len(COMPONENTS)).float()[:, :, None].expand(-1, -1, N_BLOCKS, -1)
        logits = hybrid(chosen, use_cache=False, mixture_weights=alpha).logits[:, :-1]
        losses = cross_entropy(
            logits.flatten(0, 1).float(), chosen[:, 1:].flatten(), reduction="none"
        )
        rows.append(losses.view(len(chosen), -1))
    return torch.cat(rows)


def _by_domain(losses: torch.Tensor, domains: torch.Tensor) -> list[float]:
    """Perplexity on all tokens and on those of each domain."""
    of = domains[:, 1:]
    means = [losses.mean(), *(losses[of == d].mean() for d in range(len(DOMAINS)))]
    return [exp(float(loss)) for loss in means]


def _row(name: str, values: list[list[float]]) -> dict[str, Any]:
    """Means over seeds, and the spread of the first column."""
    whole, *parts = zip(*values, strict=True)
    spread = round(stdev(whole), 3) if len(values) > 1 else None
    means = {domain: round(mean(part), 2) for domain, part in zip(DOMAINS, parts, strict=True)}
    return {"name": name, "perplexity": round(mean(whole), 2), "spread": spread, **means}


if __name__ == "__main__":
    main()
