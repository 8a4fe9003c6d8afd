"""Manticore: pretrained hybrid language models, searched and explored.

Axes in shape comments: B batch, T time, D width, N blocks (the paper's B), K components, V vocabulary.
"""
