"""The explorer of lecture 08: pixels light up, two at a time, under the iteration slider."""

import functools
from dataclasses import dataclass
from itertools import pairwise

import torch

from .. import attacks, panels, twins
from ..attacks.contract import frozen, logits
from ..attacks.jsma import saliency
from .attack import one_thread
from .explorer import Explorer, menu, slider


@dataclass(frozen=True)
class Steps:
    """One run: images [S, C, H, W], their maps [S, D] and probabilities [S, K], pairs, target."""

    images: torch.Tensor
    maps: torch.Tensor
    shares: torch.Tensor
    pairs: list
    target: int


class SaliencyExplorer(Explorer):
    """JSMA on any of the given images, for any target, pair by pair.

    model: the victim; x [N, C, H, W] and y [N]: images to choose from; classes: their names.
    theta, gamma: those of `attacks.jsma`. One run keeps all its iterates and their maps, so moving
    the iteration slider runs nothing. The map is the one that chose the pair of the iteration.
    """

    def __init__(self, model, x, y, classes, theta=1.0, gamma=0.2):
        self.model, self.x, self.y, self.classes = model, x, y, tuple(classes)
        self.theta, self.gamma = theta, gamma
        self.most = int(gamma * x[0].numel()) // 2
        self.panel = panels.saliency_panel(self.classes, x[0].cpu())
        self.run = functools.lru_cache(maxsize=200)(self._run)
        shown = [(f"{i}: {self.classes[c]}", i) for i, c in enumerate(y.tolist())]
        aims = [("likeliest other", -1), *((c, i) for i, c in enumerate(self.classes))]
        end = len(self.run(0, -1).pairs)
        controls = {
            "image": menu(shown, "image"),
            "target": menu(aims, "target"),
            "step": slider(end, 0, end, 1, "iterations"),
        }
        super().__init__(self.frame, controls, "Saliency map attack")

    def _moved(self, change):
        step = self.controls["step"]
        if change["owner"] is not step:
            now = self.values()
            try:
                end = len(self.run(now["image"], now["target"]).pairs)
            except Exception:  # it is said where the picture is drawn
                end = step.max
            with step.hold_trait_notifications():
                step.max, step.value = end, end
        super()._moved(change)

    def _run(self, image, target):
        """Run JSMA once, and compute every iterate's map."""
        x, y = self.x[image : image + 1], self.y[image : image + 1]
        path = [x]
        with one_thread(), frozen(self.model):
            if target < 0:
                with torch.no_grad():
                    z = logits(self.model, x)
                target = int(z.scatter(1, y[:, None], -torch.inf).argmax())
            aim = torch.full_like(y, target)
            attacks.jsma(
                self.model,
                x,
                y,
                theta=self.theta,
                gamma=self.gamma,
                target=aim,
                on_step=lambda _, x_adv: path.append(x_adv),
            )
            moves = [(b - a).flatten().nonzero()[:, 0].tolist() for a, b in pairwise(path)]
            pairs = [move for move in moves if move]  # the last may have found no pair
            images = torch.cat(path[: len(pairs) + 1])
            with torch.enable_grad():
                rise, fall = saliency(self.model, images, aim.expand(len(images)))
            with torch.no_grad():
                shares = logits(self.model, images).softmax(1)
        up = self.theta > 0
        movable = (images < 1 if up else images > 0).flatten(1)
        rise, fall = (rise, fall) if up else (-rise, -fall)
        maps = torch.where((rise > 0) & (fall > 0) & movable, rise * fall, 0.0)
        return Steps(images.cpu(), maps.cpu(), shares.cpu(), pairs, target)

    def frame(self, image, target, step, draw=None):
        """Return (image bytes, caption) of one setting; `draw` is the panel's, PNG by default."""
        run = self.run(image, target)
        step = min(step, len(run.pairs))
        return (draw or self.panel.draw)(
            x=run.images[0],
            x_adv=run.images[step],
            pair=run.pairs[step - 1] if step else None,
            map=run.maps[max(step - 1, 0)],
            probabilities=run.shares[step],
            target=run.target,
            step=step,
            note=self._note(run, step),
        )

    def _note(self, run, step):
        if int(run.shares[step].argmax()) == run.target:
            return "The target is reached."
        if step < len(run.pairs):
            return f"{len(run.pairs) - step} more pairs follow."
        return "The budget is spent." if step == self.most else "No pair is left that helps."

    def twin(self, label, **axes):
        """Return the kernel-free twin: axes among image, target and step."""
        fixed = {k: v for k, v in self.values().items() if k not in axes}

        def render(**values):
            return self.frame(**fixed, **values, draw=self.panel.frame)

        return twins.Twin(render, label, axes)
