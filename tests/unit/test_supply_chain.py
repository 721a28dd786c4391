"""Weights carry bytes and give them back; a pickle runs code where it is allowed to."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from advcourse import poisoning
from advcourse.poisoning import supply_chain


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


WEIGHTS = 7 * 5 + 5 + 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize("bits", [1, 3, 8, 13, 16, 23])
def test_every_byte_comes_back(bits):
    model, room = network(), WEIGHTS * bits // 8
    payload = np.random.default_rng(bits).bytes(room)
    assert poisoning.capacity(model, bits) == room
    before = [p.clone() for p in model.parameters()]
    carrier = poisoning.hide(model, payload, bits)
    assert poisoning.reveal(carrier, room, bits) == payload
    assert poisoning.reveal(carrier, 2, bits) == payload[:2]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    again = poisoning.hide(carrier, b"\0" * room, bits)  # the second payload replaces the first
    assert poisoning.reveal(again, room, bits) == b"\0" * room


def test_a_weight_moves_by_less_than_a_hundredth_of_itself():
    model = network()
    carrier = poisoning.hide(model, b"\xff" * poisoning.capacity(model))
    for a, b in zip(model.parameters(), carrier.parameters(), strict=True):
        assert ((b - a).abs() <= a.abs() * 2**-7 + 1e-37).all()
        assert a.eq(0).all() or not torch.equal(a, b)


def test_the_upper_bits_stay():
    model = network()
    carrier = poisoning.hide(model, b"\xa5" * 30)
    for a, b in zip(model.parameters(), carrier.parameters(), strict=True):
        upper = [t.detach().numpy().view(np.uint32) >> 16 for t in (a, b)]
        assert (upper[0] == upper[1]).all()
    # 30 bytes fill the first 15 weights; the sixteenth is as it was.
    first = [m[0].weight.detach().flatten() for m in (model, carrier)]
    assert torch.equal(first[0][15:], first[1][15:])
    words = first[1].numpy().view(np.uint32)[:15] & 0xFFFF
    assert (words == 0xA5A5).all()


def test_the_carrier_is_an_ordinary_model(tmp_path):
    model = network().train()
    model[0].weight.requires_grad_(False)
    carrier = poisoning.hide(model, b"a secret")
    assert carrier.training and not carrier[0].weight.requires_grad
    save_file(carrier.state_dict(), tmp_path / "carrier.safetensors")  # a safe format hides as well
    torch.save(carrier.state_dict(), tmp_path / "carrier.pt")
    loaded = network(1)
    loaded.load_state_dict(torch.load(tmp_path / "carrier.pt", weights_only=True))
    assert poisoning.reveal(loaded, 8) == b"a secret"


def test_other_weights_carry_nothing():
    assert poisoning.capacity(nn.Linear(3, 3).double()) == 0
    assert poisoning.capacity(nn.Flatten()) == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: poisoning.hide(m, "text"), "payload: a str"),
        (lambda m: poisoning.hide(m, b"1" * 999), "payload: 999 bytes; the weights hold 136"),
        (lambda m: poisoning.hide(m, b"1", bits=24), "bits: 24"),
        (lambda m: poisoning.hide(m, b"1", bits=0), "bits: 0"),
        (lambda m: poisoning.reveal(m, -1), "n: -1"),
        (lambda m: poisoning.reveal(m, 137), "n: 137 is not between 0 and 136"),
        (lambda m: poisoning.reveal(m, 1.5), "n: 1.5"),
        (lambda m: poisoning.capacity(m, 8.0), "bits: 8.0"),
    ],
)
def test_what_cannot_be_hidden_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(network())


@pytest.fixture
def ran():
    supply_chain.ran.clear()
    yield supply_chain.ran
    supply_chain.ran.clear()


def test_a_pickle_runs_code_where_it_may(tmp_path, ran):
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(2), "note": poisoning.Surprise("hello")}, path)
    assert ran == []  # writing runs nothing
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert ran == []
    loaded = torch.load(path, weights_only=False)
    assert ran == ["hello"] and loaded["note"] == "hello"
    pickle.loads(pickle.dumps(poisoning.Surprise("again")))
    assert ran == ["hello", "again"]


def test_safetensors_hold_tensors_and_nothing_else(tmp_path, ran):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        save_file({"note": poisoning.Surprise()}, tmp_path / "weights.safetensors")
    assert ran == []
