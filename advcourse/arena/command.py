"""What `python -m advcourse arena` does."""

import sys

from .. import data
from . import files, tournament


def main(dataset, n_images, eps, rows, columns, scheduler, workers, force, folder, kept):
    """Play the matrix, say how it went; `kept`: the folder that it is gathered into, or None."""
    dataset = data.load(dataset).name
    try:
        made = tournament.play(
            dataset,
            n_images,
            eps,
            rows or None,
            columns or None,
            scheduler,
            folder,
            workers=workers,
            force=force,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the cells that were played are kept: run the same command again")
        return 130
    print(summary(made))
    if kept:
        print(f"gathered into {files.gather(made, kept)}")
    return 0


def summary(made):
    """Return, in a few lines, the means of the rows and of the columns, and what it all took."""
    held = made.held
    lines = [f"{made.dataset}, eps {made.eps:g}: {len(made.cells)} cells, share held in per cent"]
    for kind, names, means in (
        ("attack", made.rows, held.nanmean(1)),
        ("defense", made.columns, held.nanmean(0)),
    ):
        lines += [
            f"  {kind:8} {100 * m:5.1f}  {name}" for name, m in zip(names, means, strict=True)
        ]
    lines.append(f"{made.seconds.nansum():.0f} s of CPU time when they were played")
    return "\n".join(lines)
