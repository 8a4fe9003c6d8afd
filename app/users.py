"""Who may log in to the page, and what each of them may do with a run."""

import hmac
import os
import re
from collections.abc import Mapping
from pathlib import Path

from manticore.runs import Run

VARIABLE = "MANTICORE_AUTH"
"""Environment variable that may hold NAME:PASSWORD pairs in place of a file."""
SHORTEST = 8
"""Characters of the shortest password."""
_NAME = re.compile(r"[\w][\w .@-]{0,39}")
COLORS = ("#2a8ccc", "#c2453d", "#17a07c", "#b7791f", "#8457c9", "#d0578b", "#4d7c0f", "#64748b")


class Users:
    """The people who may log in, each with a password and a color.

    Args:
        passwords: Password of each name.

    Raises:
        ValueError: There are none, or a name or a password is not usable.
    """

    def __init__(self, passwords: Mapping[str, str]) -> None:
        if not passwords:
            raise ValueError("There are no users: give a line NAME:PASSWORD for each person.")
        for name, password in passwords.items():
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r:.60} cannot be a user's name: use at most 40 letters, digits, "
                    "spaces, dots, hyphens and underscores."
                )
            if len(password) < SHORTEST:
                raise ValueError(
                    f"The password of {name} is too short: use at least {SHORTEST} characters."
                )
        self._passwords = {name: password.encode() for name, password in passwords.items()}

    @classmethod
    def read(cls, file: str | None) -> "Users | None":
        """The users of a file, or of the environment variable; None if there is neither.

        Args:
            file: Path of a file with a line NAME:PASSWORD for each person; empty lines and lines
                that begin with # do not count.

        Raises:
            ValueError: A line is not a pair, or a name or a password is not usable.
            OSError: The file cannot be read.
        """
        if file is None:
            pairs = os.environ.get(VARIABLE)
            return None if not pairs else cls(_pairs(re.split(r"[\n,]", pairs), f"${VARIABLE}"))
        path = Path(file).expanduser()
        if ":" in file and not path.exists():
            raise ValueError(
                "A password on the command line can be seen by everybody on this machine: write "
                f"NAME:PASSWORD to a file and give --auth FILE, or set ${VARIABLE}."
            )
        return cls(_pairs(path.read_text(encoding="utf-8").splitlines(), str(path)))

    def may_enter(self, name: str, password: str) -> bool:
        """Whether a password is that of a name; takes as long for a name that nobody has.

        Args:
            name: Name that a visitor gives.
            password: Password that a visitor gives.
        """
        # As long as any password is compared with one, the time tells nothing.
        expected = self._passwords.get(name, next(iter(self._passwords.values())))
        return hmac.compare_digest(password.encode(), expected) and name in self._passwords

    def color(self, name: str) -> str:
        """The color of a user.

        Args:
            name: Name of the user; gray for one who is not in the list any more.
        """
        names = list(self._passwords)
        return COLORS[names.index(name) % len(COLORS)] if name in names else "#64748b"


def _pairs(lines: list[str], source: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not colon:
            # Not quoted: it may be a password.
            raise ValueError(f"Line {number} of {source} is not of the form NAME:PASSWORD.")
        if name.strip() in found:
            raise ValueError(f"{source} has two users named {name.strip()!r}: rename one.")
        found[name.strip()] = password.strip()
    return found


def not_theirs(run: Run, user: str | None) -> str:
    """Why a user may only look at a run; "" for a run that they may stop, resume and delete.

    Args:
        run: The run.
        user: Name of the user; None on a page without logins.
    """
    owner = run.config.owner
    if user is None or owner == user:
        return ""
    if owner is None:
        return (
            "This run was not started by a user of this page. You can look at it; whoever runs the "
            "page can stop, resume and delete it from a terminal."
        )
    return f"This run belongs to {owner}. You can look at it; only {owner} can change it."
