"""Checks of lab 03: noise, negatives, and an accuracy that can be trusted."""

import torch
from torch import nn

from .core import (
    Mistake,
    ask,
    check_left_alone,
    close,
    dropout_victim,
    exercise,
    generator,
    tensor,
)


@exercise("Blind, weak, and the yardstick for everything that follows.")
def gaussian_noise(answer):
    """Check gaussian_noise(x, std, generator) -> x + noise, inside [0, 1]."""
    x = torch.full((8, 1, 40, 40), 0.5)
    state = torch.get_rng_state()
    got = tensor(ask(answer, x, 0.1, generator(0), unchanged=[x]), x.shape)
    if not torch.equal(state, torch.get_rng_state()):
        raise Mistake("it draws from the global random state; pass generator=generator to the draw")
    again = ask(answer, x, 0.1, generator(0))
    if not torch.equal(got, again):
        raise Mistake("the same generator seed gives another result; draw only from `generator`")
    noise = got - x
    if close(got, x):
        raise Mistake("nothing was added")
    if noise.min() >= 0:
        raise Mistake("the noise only brightens: rand is uniform on [0, 1); use randn")
    if abs(noise.std().item() - 0.01) < 0.002:
        raise Mistake("the noise has standard deviation std squared; multiply randn by std itself")
    if noise.abs().max() < 0.2 or abs(noise.std().item() - 0.1) > 0.01:
        raise Mistake(
            f"the noise has standard deviation {noise.std():.3f}; asked for 0.1, Gaussian"
        )
    if close(noise[0], noise[1]):
        raise Mistake("every image gets the same noise; draw it in the shape of x")
    edge = ask(answer, torch.zeros(4, 1, 8, 8), 0.5, generator(1))
    if edge.min() < 0 or edge.max() > 1:
        raise Mistake("some pixels leave [0, 1]; clamp the result: it must still be a picture")


@exercise("Same object, opposite pixels: far away in every norm.")
def negative(answer):
    """Check negative(x) -> 1 - x."""
    x = torch.rand(3, 1, 4, 4, generator=generator(3))
    got = tensor(ask(answer, x, unchanged=[x]), x.shape)
    if close(got, 1 - x):
        return
    if close(got, -x):
        raise Mistake("-x is the negative for pixels in [-1, 1]; in [0, 1] it is 1 - x")
    if close(got, 255 - x):
        raise Mistake("255 - x is for pixels from 0 to 255; here they are in [0, 1]")
    if close(got, x):
        raise Mistake("it returns the picture as it was")
    raise Mistake("a pixel p should become 1 - p")


@exercise("Right mode, no graph, one number: an accuracy you can quote.")
def accuracy(answer):
    """Check accuracy(model, x, y) -> float, in eval mode, the model left as it was."""
    model, x, _ = dropout_victim(4)
    x = torch.rand(64, 1, 2, 3, generator=generator(5))
    model.eval()
    with torch.no_grad():
        z = model(x)
    y = z.argmax(1)
    y[::4] = (y[::4] + 1) % 4  # a quarter is wrong: accuracy 0.75
    model.train()
    got = check_left_alone(lambda: ask(answer, model, x, y, unchanged=[x, y]), model)
    if isinstance(got, torch.Tensor) and got.requires_grad:
        raise Mistake("the number still carries its graph; measure under torch.no_grad()")
    if got is None:
        raise Mistake("it returns None; end the function with a return")
    if isinstance(got, torch.Tensor) and got.ndim:
        raise Mistake("one number for all images: take the mean")
    got = float(got)
    if abs(got - 0.75) < 1e-6:
        return
    if abs(got - 48) < 1e-3:
        raise Mistake("that is how many are right, not their share; divide by the number of images")
    if abs(got - 75) < 1e-3:
        raise Mistake("a share between 0 and 1, please, not per cent")
    if abs(got - 0.25) < 1e-6:
        raise Mistake("that is the error rate, 1 - accuracy")
    confidence = z.softmax(1).amax(1).mean().item()
    if abs(got - confidence) < 1e-4:
        raise Mistake("that is the mean confidence; compare the predicted class with y")
    modes = {float(ask(answer, model, x, y)) for _ in range(6)}
    model.train()
    if len(modes) > 1:
        raise Mistake(
            "the number changes from call to call: dropout is on; call model.eval() first"
        )
    raise Mistake(f"expected 0.75, got {got:.4f}")


@exercise("Now noise and attack can be compared at the same length.")
def noise_of_length(answer):
    """Check noise_of_length(x, l2, generator) -> noise [N, ...], each image's l2 norm = l2."""
    x = torch.rand(5, 1, 6, 6, generator=generator(6))
    got = tensor(ask(answer, x, 1.5, generator(0), unchanged=[x]), x.shape)
    length = got.flatten(1).norm(dim=1)
    if close(length, torch.full((5,), 1.5), 1e-4):
        if close(got[0], got[1]):
            raise Mistake("every image gets the same noise; draw it in the shape of x")
        if not torch.equal(got, ask(answer, x, 1.5, generator(0))):
            raise Mistake(
                "the same generator seed gives another result; draw only from `generator`"
            )
        return
    if close(length, torch.full((5,), 1.0), 1e-4):
        raise Mistake("each image's noise has length 1; multiply by l2")
    if abs(got.norm().item() - 1.5) < 1e-3:
        raise Mistake("the whole batch has that length; every image should have it by itself")
    if close((got - x).flatten(1).norm(dim=1), torch.full((5,), 1.5), 1e-4):
        raise Mistake("that is the noisy image; return the noise alone")
    if close(got.abs().amax((1, 2, 3)), torch.full((5,), 1.5), 1e-4):
        raise Mistake("wrong norm: the largest entry is 1.5; the square root of the sum should be")
    raise Mistake(f"the l2 norms are {[round(v, 3) for v in length.tolist()]}, asked for 1.5 each")


@exercise("The damage of one cause alone.")
def accuracy_drop(answer):
    """Check accuracy_drop(accuracy, model, x, x_changed, y) -> before - after."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
        model[1].bias.zero_()
    x = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]).view(4, 1, 2, 2)
    y = torch.tensor([0, 1, 0, 0])
    changed = x[:, :, :, [1, 0]]

    def share(model, x, y):
        return (model(x).argmax(1) == y).float().mean().item()

    got = ask(answer, share, model, x, changed, y, unchanged=[x, changed])
    if got is None:
        raise Mistake("it returns None; end the function with a return")
    if abs(float(got) - 0.5) < 1e-6:
        return
    if abs(float(got) + 0.5) < 1e-6:
        raise Mistake("wrong sign: a drop is before minus after")
    if abs(float(got) - 0.25) < 1e-6:
        raise Mistake("that is the accuracy after the change; subtract it from the one before")
    raise Mistake(f"accuracy 0.75 before and 0.25 after is a drop of 0.5, not {float(got):.3f}")
