"""`python -m benchmarks [NAME]`: run one benchmark or all, and print their tables.

What follows the name are the benchmark's own options, as in `python -m benchmarks attacks --quick`.
"""

import importlib
import sys

NAMES = ("latency", "attacks", "defenses", "shared_changes", "beyond", "black_box", "evaluation")

if __name__ == "__main__":
    chosen = NAMES
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        chosen = (sys.argv.pop(1),)
    for name in chosen:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; there are {', '.join(NAMES)}")
        # Each imports what only it needs: a browser, or the peers.
        importlib.import_module(f"benchmarks.{name}").main()
