"""Sizes that several tasks have in common."""

VOCABULARIES = (32, 64, 128)
"""Published difficulties of the vocabulary."""
TRAIN_EXAMPLES = (6400, 3200, 1600, 800)
"""Published difficulties of the number of training examples."""
RECALL_AXES = {"length": (256, 512, 1024), "train_examples": TRAIN_EXAMPLES}
"""Published difficulties of the recall tasks, in addition to the vocabulary."""
QUICK = {"length": 32, "train_examples": 3_200, "test_examples": 320}
"""Sizes that train in minutes on two cores."""
