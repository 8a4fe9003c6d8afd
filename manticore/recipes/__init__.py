"""Recipes of several stages, sweeps over them, and doing runs again."""
