"""The MAD protocol: stacks of blocks trained from scratch on every task, over a grid."""
