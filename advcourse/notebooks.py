"""Notebooks as files: make labs of solutions, tidy what was executed, run and fail loudly."""

import copy
import logging
import re
from pathlib import Path

import nbformat

TODO = "# TODO: your code here\nraise NotImplementedError"
STUBS = {"code": TODO, "markdown": "YOUR ANSWER HERE"}
KERNEL = {"name": "python3", "language": "python", "display_name": "Python 3 (ipykernel)"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
_MARKER = re.compile(r"\b(BEGIN|END) (SOLUTION|HIDDEN TESTS)")
_ALT = re.compile(r"""\balt=(?:"([^"]+)"|'([^']+)')""")


class CourseError(Exception):
    """A mistake that a person can mend; the message says where and how."""


def find_root() -> Path:
    """Find the course's folder from the current one upward, else beside the package."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "lectures").is_dir() and (folder / "advcourse").is_dir():
            return folder
    raise CourseError(f"no lectures/ and advcourse/ at or above {here}: cd to the course first")


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing, with the same line ends on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def make_lab(path) -> str:
    """Turn one solution into the text of its lab, as nbgrader's own release step would."""
    notebook = nbformat.read(path, as_version=4)
    kept = []
    for number, cell in enumerate(notebook.cells, start=1):
        if "solution-only" in cell.metadata.get("tags", ()):
            continue
        try:
            cell.source = _strip(cell)
        except ValueError as error:
            raise CourseError(f"{path}, cell {number} ({cell.get('id')}): {error}") from None
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        kept.append(cell)
    notebook.cells = kept
    for node in (notebook, *kept):
        _forget_run(node)
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def labs(check: bool = False) -> list[Path]:
    """Write every lab and drop those without a solution; with check, only list what is stale."""
    root = find_root()
    wanted = {p.name: make_lab(p) for p in sorted((root / "solutions").glob("*.ipynb"))}
    present = {p.name: p.read_text("utf-8") for p in sorted((root / "labs").glob("*.ipynb"))}
    stale = [root / "labs" / name for name in wanted if present.get(name) != wanted[name]]
    orphans = [root / "labs" / name for name in present if name not in wanted]
    for path in [] if check else stale:
        write_text(path, wanted[path.name])
    for path in [] if check else orphans:
        path.unlink()
    return stale + orphans


def _strip(cell) -> str:
    """Replace solutions by the stub and leave hidden tests out."""
    stub, kept, region = STUBS.get(cell.cell_type, ""), [], None
    for line in cell.source.split("\n"):
        marker = _MARKER.search(line)
        if marker is None:
            kept += [] if region else [line]
        elif marker[1] == "BEGIN":
            if region:
                raise ValueError(f"BEGIN {marker[2]} inside {region}: add the missing END {region}")
            region = marker[2]
            if region == "SOLUTION":
                indent = line[: len(line) - len(line.lstrip())]
                kept += [indent + text for text in stub.split("\n")]
        elif region != marker[2]:
            raise ValueError(f"END {marker[2]} without its BEGIN")
        else:
            region = None
    if region:
        raise ValueError(f"BEGIN {region} is never closed: add ### END {region}")
    # nbgrader empties a solution cell that has no markers, so a free answer never leaks.
    if cell.metadata.get("nbgrader", {}).get("solution") and "BEGIN SOLUTION" not in cell.source:
        return stub
    return "\n".join(kept)


def _forget_run(node) -> None:
    """Drop what a run leaves in the metadata of a notebook or a cell."""
    for key in ("widgets", "papermill", "execution"):
        node.metadata.pop(key, None)
    if node.metadata.get("tags") == []:
        del node.metadata["tags"]  # papermill adds an empty list to every cell


def tidy(notebook):
    """Return a copy of an executed notebook that is fit to commit: no widget state, no noise."""
    notebook = copy.deepcopy(notebook)
    kept = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", ())]
    notebook.cells = kept
    notebook.metadata.get("language_info", {}).pop("version", None)
    for node in (notebook, *kept):
        _forget_run(node)
    code = [cell for cell in kept if cell.cell_type == "code" and cell.source.strip()]
    for count, cell in enumerate(code, start=1):
        cell.execution_count, cell.outputs = count, quiet(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


def quiet(outputs) -> list:
    """Leave out the outputs that mean nothing without a kernel."""
    kept = []
    for output in outputs:
        data = output.get("data", {})
        if WIDGET_VIEW in data or "TCP without encryption" in output.get("text", ""):
            continue
        alts = [a or b for a, b in _ALT.findall(data.get("text/html", ""))]
        if alts and data.get("text/plain", "").startswith("<IPython.core.display.HTML"):
            data["text/plain"] = "; ".join(alts)
        kept.append(output)
    return kept


def check_parameters(path, parameters) -> None:
    """Refuse names that the notebook does not have; papermill itself would only warn."""
    import papermill

    known = papermill.inspect_notebook(_read(path)) if parameters else {}
    if unknown := [name for name in parameters or {} if name not in known]:
        raise CourseError(
            f"{path}: no parameter {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )


def execute(path, out, parameters=None, *, timeout=3600, cwd=None, on_cell=None):
    """Run a notebook into `out`; raise CourseError naming the cell where one fails.

    `timeout` is in seconds for one cell; `on_cell()` is called after every executed cell.
    Whatever was reached before a failure stays in `out`.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for chatty in ("papermill", "asyncio"):  # what they say of a failure, the error below says
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    check_parameters(path, parameters)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    try:
        done = papermill.execute_notebook(
            _read(path),
            str(out),
            parameters=parameters or {},
            progress_bar=False,
            execution_timeout=timeout,
            cwd=str(cwd or Path(out).parent),
            extra_arguments=["--IPKernelApp.log_level=50"],
            on_cell_executed=lambda **_: on_cell() if on_cell else None,
        )
    except PapermillExecutionError as error:
        cell = f"cell In [{error.exec_count}] `{error.source.strip().splitlines()[0]}`"
        reason = f"{error.ename}: {error.evalue}"
        raise CourseError(f"{path}, {cell}: {reason}\n  (as far as it got: {out})") from error
    except (CellTimeoutError, DeadKernelError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CourseError(f"{path}: {reason}\n  (as far as it got: {out})") from error
    if errors := swallowed(done):
        raise CourseError(f"{path}: a widget's callback raised {errors[0]}")
    return done


def swallowed(notebook) -> list[str]:
    """List the exceptions that ipywidgets caught: a red box on the page, a green run elsewhere."""
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    outputs = (o for model in state.values() for o in model.get("state", {}).get("outputs") or ())
    return [f"{o.ename}: {o.evalue}" for o in outputs if o.get("output_type") == "error"]


def _read(path):
    """Read a notebook and name its kernel, without which papermill cannot inspect it."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.kernelspec = nbformat.from_dict(KERNEL)
    return notebook
