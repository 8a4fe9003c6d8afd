"""`python -m manticore.cli`: the command where it is not installed as a script."""

from manticore.cli import app

app()
