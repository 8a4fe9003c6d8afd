"""The stages of a run, on accelerate; events; checkpoints."""
