"""Pretrained components: loading them, and running them in blocks."""
