"""python -m advcourse: run the lectures, make the labs, train the victims, check the machine."""

import argparse
import ast
import sys
from pathlib import Path


def main(argv=None) -> int:
    """Parse the command line and hand over; heavy imports wait until a command needs them."""
    args = _parser().parse_args(argv)
    try:
        return args.command(args) or 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m advcourse", description=__doc__.split(": ")[1])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="execute the lectures and build their pages in build/site",
        description="Execute the lectures and build pages that open without a network. "
        "Finished lectures are kept: after Ctrl-C, run the same command again.",
    )
    run.add_argument("names", nargs="*", metavar="NAME", help="04 or 04_fgsm (default: all)")
    run.add_argument(
        "--out", type=_folder, default=Path("build/site"), metavar="DIR", help="folder of the pages"
    )
    run.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter of the notebooks, for example -p n_images 50 (repeatable)",
    )
    run.add_argument("--force", action="store_true", help="execute even what is up to date")
    run.add_argument(
        "--in-place",
        action="store_true",
        help="for authors: execute on MNIST and write the outputs back to lectures/",
    )
    run.set_defaults(command=_run)

    labs = commands.add_parser("labs", help="make labs/ from solutions/")
    labs.add_argument("--check", action="store_true", help="write nothing, fail if one is stale")
    labs.set_defaults(command=_labs)

    train = commands.add_parser("train", help="train the checkpoints in data/checkpoints again")
    train.add_argument("names", nargs="*", metavar="NAME", help="recipes (default: all)")
    train.add_argument(
        "--dataset",
        action="append",
        dest="datasets",
        choices=["mnist", "digits", "fashion", "signs"],
        help="only for this data set (repeatable)",
    )
    train.add_argument("--variant", help="standard, pgd, ... (default: all)")
    train.add_argument("--force", action="store_true", help="train even what is there")
    train.add_argument("--list", action="store_true", dest="listing", help="list the recipes")
    train.add_argument(
        "--literature",
        action="store_true",
        help="measure the published figures of lecture 18, and train what they need",
    )
    train.set_defaults(command=_train)

    arena = commands.add_parser(
        "arena",
        help="play every attack against every defense, one matrix (lecture 17)",
        description="Play the matrix of lecture 17 on all cores, or on a Dask cluster. Cells that "
        "were played are kept: after Ctrl-C, run the same command again.",
    )
    arena.add_argument("--dataset", default="auto", choices=["auto", "mnist", "digits", "fashion"])
    arena.add_argument("--images", type=int, default=100, metavar="N", help="per cell, at most")
    arena.add_argument("--eps", type=float, help="radius of the linf ball (default: the course's)")
    arena.add_argument("--scheduler", metavar="tcp://...", help="a Dask cluster that is there")
    arena.add_argument("--workers", type=int, help="processes here (default: one for each core)")
    arena.add_argument("--rows", nargs="+", metavar="NAME", help="attacks (default: all)")
    arena.add_argument("--columns", nargs="+", metavar="NAME", help="defenses (default: all)")
    arena.add_argument("--force", action="store_true", help="play even what was played")
    arena.add_argument(
        "--folder", type=_folder, metavar="DIR", help="of the cells (default: build/arena)"
    )
    arena.add_argument(
        "--gather", type=_folder, metavar="DIR", help="for authors: write one file, data/arena"
    )
    arena.set_defaults(command=_arena)

    doctor = commands.add_parser("doctor", help="check this machine and say what to mend")
    doctor.set_defaults(command=_doctor)
    return parser


def _folder(text: str) -> Path:
    """Read a folder as every command line does: from where the reader stands."""
    return Path(text).resolve()


def _value(text: str):
    """Read a parameter as a Python literal, else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _run(args) -> int:
    from advcourse import notebooks, site

    parameters = {name: _value(value) for name, value in args.parameters}
    try:
        return site.run(args.names, args.out, parameters, args.force, args.in_place)
    except notebooks.CourseError as error:
        return _complain(error)


def _labs(args) -> int:
    from advcourse import notebooks

    try:
        changed = notebooks.labs(check=args.check)
    except notebooks.CourseError as error:
        return _complain(error)
    for path in changed:
        done = "written" if path.exists() else "removed"
        print(f"{path.parent.name}/{path.name}: {'stale' if args.check else done}")
    if args.check and changed:
        return _complain("labs differ from their solutions; run: python -m advcourse labs")
    return 0


def _train(args) -> int:
    from advcourse import checkpoints

    if args.literature:
        return _literature(args)
    return checkpoints.main(args.names, args.datasets, args.force, args.listing, args.variant)


def _arena(args) -> int:
    from advcourse.arena import command

    whom = (args.rows, args.columns, args.scheduler, args.workers, args.force, args.folder)
    return command.main(args.dataset, args.images, args.eps, *whom, args.gather)


def _literature(args) -> int:
    from advcourse.literature import work

    try:
        return work.main(args.datasets or (), args.force)
    except ValueError as error:  # a data set without networks, a damaged file of results
        return _complain(error)


def _doctor(_args) -> int:
    from advcourse import doctor

    return doctor.main()


def _complain(message) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
