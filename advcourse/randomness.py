"""Where random numbers come from: the caller's generator, never the global state."""

import torch


def source_of(generator, device="cpu"):
    """Return the generator, or a fresh one on `device`: the global state is the caller's, not ours."""
    if generator is None:
        generator = torch.Generator(device)
        generator.seed()
    return generator
