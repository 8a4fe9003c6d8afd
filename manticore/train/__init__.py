"""Training a hybrid on accelerate: the stages that train, the loop, checkpoints and reports."""
