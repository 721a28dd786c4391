"""Panel of lecture 17: what is left of a defense as one attack after the other is tried."""

from matplotlib.ticker import MultipleLocator, PercentFormatter

from .. import plots
from ..metrics import wilson
from .panel import Panel

# MadryLab/mnist_challenge, README: white box, linf .3, all 10,000 test images, one network.
CHALLENGE = (
    ("FGSM", 0.9636),
    ("PGD, 100 steps", 0.9252),
    ("PGD, 50 restarts", 0.8962),
    ("logit difference", 0.8885),
    ("interval attack", 0.8842),
    ("Square, no gradient", 0.8825),
    ("ODI", 0.8813),
    ("best of 2021", 0.8800),
)
# The same network and size, attacked without its weights.
CHALLENGE_BLACK = (
    ("PGD on its own copy", 0.9779),
    ("PGD on a natural net", 0.9681),
    ("PGD on three copies", 0.9354),
    ("AdvGAN", 0.9276),
)


@plots.styled
def stairs_panel(clean, attempts, title):
    """Build: the published stairs of the MNIST challenge beside our own, one row for each attack.

    clean: a mask [N], which images are right before any attack; attempts: [(name, mask [N]), ...],
    which are left after it and all before it; title: of our side. `update` takes tried, how many
    attacks of each list have been tried, from 0 on.
    """
    made = plots.figure(9.4, 4.6)
    axes = made.subplots(1, 2)
    ours = [("nobody attacks", clean), *attempts]
    masks, shares = [mask for _, mask in ours], [mask.float().mean().item() for _, mask in ours]
    least = min(wilson(int(m.sum()), len(m))[0] for m in masks)
    low = 0.868 if least > 0.868 else max(0.0, least - 0.03)
    told = ["published: one network, 10,000 images", title]
    known = [share for _, share in CHALLENGE]
    labels = [[name for name, _ in (*CHALLENGE, *CHALLENGE_BLACK)], [name for name, _ in ours]]
    parts, changing = [], []
    for ax, start, names, heights, color, words in zip(
        axes,
        (0.868, low),
        labels,
        (known, shares),
        (plots.INK, plots.ADVERSARIAL),
        told,
        strict=True,
    ):
        ax.set(xlim=(start, 1.004), ylim=(len(names) - 0.4, -0.7), xlabel="accuracy left")
        ax.set_title(words)
        ax.set_yticks(range(len(names)), names, fontsize=9)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.xaxis.set_major_locator(MultipleLocator(0.04 if start > 0.8 else 0.2))
        ax.grid(alpha=0.25, axis="x")
        rows = range(len(heights))
        bars = ax.barh(rows, [0] * len(heights), height=0.62, color=color, alpha=0.3)
        (line,) = ax.plot([], [], color=color, linewidth=2.2)
        notes = [
            ax.text(1.01, row, "", transform=ax.get_yaxis_transform(), va="center", fontsize=9)
            for row in rows
        ]
        parts.append((bars, line, notes, heights))
        changing += [*bars, line, *notes]
    for row, (_, share) in enumerate(CHALLENGE_BLACK, len(known)):
        axes[0].plot(share, row, "D", mfc="white", color=plots.INK, ms=6)
        beside = axes[0].get_yaxis_transform()
        axes[0].text(1.01, row, f"{share:.2%}", transform=beside, va="center", fontsize=9)
    axes[0].axhline(len(known) - 0.5, color=plots.LIGHT)
    axes[0].text(0.87, len(known) - 0.02, "black box", va="center", fontsize=9)
    spans = []
    for row, mask in enumerate(masks):
        spans.append(
            axes[1].plot(wilson(int(mask.sum()), len(mask)), [row, row], color=plots.INK)[0]
        )
    changing += spans

    def update(tried):
        for (bars, line, notes, heights), here in zip(parts, (tried, tried + 1), strict=True):
            heights = heights[:here]
            for row, (bar, note) in enumerate(zip(bars, notes, strict=True)):
                seen = row < here
                bar.set_width(heights[row] if seen else 0)
                note.set_text(f"{heights[row]:.2%}" if seen else "")
            rows = [row + side for row in range(len(heights)) for side in (-0.5, 0.5)]
            line.set_data([share for share in heights for _ in range(2)], rows)
        for row, span in enumerate(spans):
            span.set_visible(row <= tried)
        last = min(tried, len(ours) - 1)
        here = f"ours after {last} attacks ({ours[last][0]}): {plots.share(masks[last])} left"
        if not tried:
            return f"Nothing has been tried. Ours without an attack: {plots.share(clean)} right."
        name, share = CHALLENGE[min(tried, len(CHALLENGE)) - 1]
        return f"Published, {name}: {share:.2%} left; {here}."

    return Panel(made, changing, update)
