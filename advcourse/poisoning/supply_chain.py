"""The supply chain: what a file of weights can hide, and what a pickle can do (lecture 11)."""

import copy

import numpy as np
import torch

from ..attacks.inputs import check_number, is_a

# What `Surprise` has said in this session. A real attacker's line would not stop at a list.
ran = []


def hide(model, payload, bits=16):
    """Return a copy of the model whose float32 weights carry `payload` in their lowest `bits` bits.

    A float32 has 23 bits of mantissa: with 16 of them overwritten each weight moves by less than
    1 % of itself. bits: 1 to 23. Raises ValueError where the payload is longer than `capacity`.
    Source: Wang, Liu and Cui 2021, "EvilModel"; lecture 11.
    """
    if not isinstance(payload, bytes | bytearray):
        raise ValueError(f"payload: a {type(payload).__name__}; pass bytes, as in text.encode()")
    if len(payload) > capacity(model, bits):
        room = capacity(model, bits)
        raise ValueError(f"payload: {len(payload)} bytes; the weights hold {room} at {bits} bits")
    model = copy.deepcopy(model)
    ones = np.unpackbits(np.frombuffer(bytes(payload), np.uint8), bitorder="little")
    ones = np.concatenate([ones, np.zeros(-len(ones) % bits, np.uint8)]).reshape(-1, bits)
    values = (ones.astype(np.uint32) << np.arange(bits, dtype=np.uint32)).sum(1, dtype=np.uint32)
    begun = 0
    for weights in _carriers(model):
        part = values[begun : begun + weights.numel()]
        begun += len(part)
        words = _words(weights)
        words[: len(part)] = words[: len(part)] >> bits << bits | part
        with torch.no_grad():
            weights.copy_(torch.from_numpy(words.view(np.float32)).view_as(weights))
    return model


def reveal(model, n, bits=16):
    """Return the first n bytes that `hide` wrote into the model's weights, with the same `bits`.

    Raises ValueError for an n beyond `capacity`. Source: as `hide`; lecture 11.
    """
    room = capacity(model, bits)
    check_number("n", n, lambda v: is_a(int, v) and 0 <= v <= room, f"is not between 0 and {room}")
    words = np.concatenate([_words(weights) for weights in _carriers(model)])
    words = words[: -(-8 * n // bits)]
    ones = (words[:, None] >> np.arange(bits, dtype=np.uint32) & 1).astype(np.uint8)
    return np.packbits(ones.ravel(), bitorder="little").tobytes()[:n]


def capacity(model, bits=16):
    """Return how many bytes the model's float32 weights can carry in their lowest `bits` bits."""
    check_number("bits", bits, lambda v: is_a(int, v) and 1 <= v <= 23, "is not between 1 and 23")
    return sum(weights.numel() for weights in _carriers(model)) * bits // 8


def _carriers(model):
    return [weights for weights in model.parameters() if weights.dtype == torch.float32]


def _words(weights):
    """Return a copy of the weights as whole numbers of 32 bits [D]."""
    return weights.detach().cpu().flatten().numpy().view(np.uint32).copy()


class Surprise:
    """An object whose pickle asks the reader's Python to run a function: here, a harmless note.

    A pickle is a program. `__reduce__` says which function rebuilds the object, any function that
    can be imported, and `pickle.load` calls it. Loading this one appends `text` to `ran`, no more.
    Source: Python's documentation of pickle ("Never unpickle data from an untrusted source");
    lecture 11.
    """

    def __init__(self, text="this line was run by loading a file"):
        self.text = text

    def __reduce__(self):
        return note, (self.text,)


def note(text):
    """Append the text to `ran`, and return it: all that the payload of `Surprise` does."""
    ran.append(text)
    return text
