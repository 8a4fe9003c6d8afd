"""Bundled data, installed as the package `manticore_assets`: components and recipes."""
