"""What the parts of a run folder are called that a stage reads and writes."""

START_FOLDER = "start"
"""The hybrid that the run starts from."""
CHECKPOINTS_FOLDER = "checkpoints"
RESULT_FOLDER = "result"
HYBRID_FOLDER = "hybrid"
"""Inside the result: the finished hybrid."""
