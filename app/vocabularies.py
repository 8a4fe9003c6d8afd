"""What the components' tokenizers mean for the hybrid, in one or two sentences."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from manticore.views.plots import short_names

from .known import Known

if TYPE_CHECKING:
    from manticore.components.tokenizers import TransplantReport

_ALL = {2: "Both components", 3: "All three components", 4: "All four components"}


def vocabularies_html(components: Sequence[str], known: Known) -> str:
    """Whose tokenizer the hybrid has, and what becomes of the others' embeddings.

    Args:
        components: The chosen components, in their order: the hybrid has the first one's tokenizer.
        known: What is known of them.
    """
    if not components or any(known.of(name, wait=False).problem for name in components):
        return ""
    first, *others = components
    name, *names = [html.escape(name) for name in short_names(components)]
    facts = known.facts(first)
    if facts is None:
        return _line(f"The hybrid will have the tokenizer of {name}.") if others else ""
    size = f"{facts.vocabulary:,} tokens"
    if not others:
        return _line(f"The hybrid has the component's own tokenizer, of {size}.")
    transplanted, unknown = [], []
    for own, called in zip(others, names, strict=True):
        try:
            report = known.transplant(own, first)
        except LookupError:
            unknown.append(called)
            continue
        if report is not None:
            transplanted.append(_told(called, report))
    if not transplanted and not unknown:
        every = _ALL.get(len(components), "All components")
        return _line(
            f"{every} have the same tokenizer, of {size}: embeddings and heads stay as they are."
        )
    told = f"The hybrid has the tokenizer of {name}, which is chosen first ({size})."
    if unknown:
        told += f" Whether {' and '.join(unknown)} can share it is known when the run starts."
    if transplanted:
        told += f" Other embeddings and heads are transplanted: {'; '.join(transplanted)}."
    return _line(told)


def _told(name: str, report: "TransplantReport") -> str:
    """What becomes of the rows of a component."""
    total = report.copied + report.averaged + report.empty
    told = f"of {name}, {report.copied_share:.0%} of the rows are copied exactly"
    told += f", {report.averaged / total:.0%} averaged from pieces"
    if report.empty == 1:
        told += ", and one starts from the mean of all"
    elif report.empty:
        told += f", and {report.empty:,} start from the mean of all"
    return told


def _line(told: str) -> str:
    return f'<p class="faint vocabularies">{told}</p>'
