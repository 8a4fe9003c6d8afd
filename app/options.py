"""The command line of the page, and what is refused because it would let in too many."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from manticore.runs import runs_root
from manticore.views.wording import REACH

from .guard import is_loopback
from .hub import Hub
from .roots import Roots
from .users import VARIABLE, Users


@dataclass(frozen=True)
class Options:
    """How the page is served.

    Attributes:
        host: Address to listen on.
        port: Port to listen on.
        share: Whether there is a public link too.
        names: Names under which the page answers, in addition to its own.
        users: Who may log in; None for a page without logins.
        root: Folder of all runs.
        roots: Folders whose texts and components visitors may use.
        hub: What visitors may take from the hub.
        at_once: How many runs of the page may work at the same time; others wait.
    """

    host: str
    port: int
    share: bool
    names: list[str]
    users: Users | None
    root: Path
    roots: Roots
    hub: Hub
    at_once: int = 1

    @property
    def takes_runs(self) -> bool:
        """Whether visitors may import runs: not where strangers fill the disk and nobody knows."""
        return self.users is not None or (is_loopback(self.host) and not self.share)


def read_options(arguments: list[str] | None = None) -> Options:
    """Read the command line; a mistake ends the program with a sentence and a remedy.

    Args:
        arguments: Command line without the program; that of this process if None.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        users = None if given.no_auth else Users.read(given.auth)
        root = runs_root(given.runs_root)
        folders = _folders(given.data_root)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if given.auth and given.no_auth:
        parser.error("--auth and --no-auth exclude each other: give one of them.")
    reachable = given.share or not is_loopback(given.host)
    if reachable and users is None and not given.no_auth:
        reason = "--share" if given.share else f"--host {given.host}"
        parser.error(
            f"{reason} lets others in: {REACH}. Give --auth FILE, a file with a line NAME:PASSWORD "
            "for each person, or --no-auth if everyone who can reach the page may use it."
        )
    several = reachable or users is not None
    if folders is None and several:
        # Several people: what they may read is named, and not where the page happens to be started.
        folders = []
    for folder in folders or []:
        if several and root.is_relative_to(folder):
            parser.error(
                f"The folder of all runs lies in --data-root {folder}, where visitors could read "
                "each other's uploaded texts: name another folder, or give another --runs-root."
            )
    names = given.allowed_host or []
    roots, hub = Roots(folders), Hub(not given.no_hub)
    at_once = given.runs_at_once
    if at_once < 1:
        parser.error(f"--runs-at-once {at_once} lets no run work: give 1 or more.")
    return Options(given.host, given.port, given.share, names, users, root, roots, hub, at_once)


def _folders(given: list[str] | None) -> list[Path] | None:
    folders = None if given is None else [Path(name).expanduser().resolve() for name in given]
    for folder in folders or []:
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}: give an existing one with --data-root.")
    return folders


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manticore app", description="The page: manticore app, then http://127.0.0.1:7860."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in")
    add("--port", type=int, default=7860)
    add("--share", action="store_true", help="a public link through gradio.live")
    add("--auth", metavar="FILE", help=f"file of lines NAME:PASSWORD; ${VARIABLE} may hold them")
    add("--no-auth", action="store_true", help=f"no logins on a page that others reach; {REACH}")
    add(
        "--allowed-host",
        action="append",
        metavar="NAME",
        help="another name under which the page is reached; may be repeated",
    )
    add("--runs-root", help="folder of all runs; $MANTICORE_RUNS, else ./runs")
    add(
        *("--data-root", "--texts"),
        action="append",
        metavar="FOLDER",
        help="folder whose texts and components visitors may use; may be repeated. By default the "
        "working folder for a page of your own, and none for one with logins or that others reach",
    )
    half = max(1, (os.cpu_count() or 1) // 2)
    add(
        "--runs-at-once",
        type=int,
        default=half,
        metavar="N",
        help=f"runs of the page that may work at the same time; others wait (here {half})",
    )
    add("--no-hub", action="store_true", help="visitors take nothing from the hub")
    return parser
