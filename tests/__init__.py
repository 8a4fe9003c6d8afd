"""The tests. Where there is no GPU, Triton is told to interpret, before anything imports it."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
