"""Runs and hybrids in a terminal."""
