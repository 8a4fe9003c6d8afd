"""The strategies by name: one class each."""

from manticore.search.candidates import RandomSearch, Sweep
from manticore.search.darts import BilevelDarts, Darts
from manticore.search.dash import Dash
from manticore.search.fixed import Fixed
from manticore.search.gaea import Gaea
from manticore.search.probe import Probe
from manticore.search.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "darts": Darts,
    "darts-bilevel": BilevelDarts,
    "gaea": Gaea,
    "dash": Dash,
    "probe": Probe,
    "random": RandomSearch,
    "sweep": Sweep,
    "fixed": Fixed,
}
