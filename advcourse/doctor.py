"""Look over the machine: what the course needs, and how to mend what is broken."""

import importlib.util
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PAIR = "pip install --upgrade torch torchvision"
ENOUGH_MEMORY, ENOUGH_DISK = 2.0, 0.5  # GB free: MNIST as floats and a kernel; its download


def report() -> list[tuple[str, bool | None, str]]:
    """Return (label, ok, text) per check; ok is None for a note on what the course can spare."""
    lines = []
    for label, check in CHECKS.items():
        try:
            ok, text = check()
        except Exception as error:  # a broken installation can raise anything, and is reported
            first = (str(error) or type(error).__name__).splitlines()[0]
            ok, text = False, f"{first} -> {MENDS.get(label, 'pip install -e .')}"
        lines.append((label, ok, text))
    return lines


def main() -> int:
    """Print the report; return 1 if something that the course needs is broken."""
    lines = report()
    for label, ok, text in lines:
        mark = {True: "ok", False: "BROKEN", None: "note"}[ok]
        print(f"{mark:<7}{label:<12}{text}")
    return int(any(ok is False for _, ok, _ in lines))


def _python():
    text = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return ok, text if ok else f"{text} is too old -> install Python 3.11 or newer"


def _torch():
    import torch

    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    ok = (major, minor) >= (2, 6)
    return ok, torch.__version__ + ("" if ok else f" is too old -> {PAIR}")


def _torchvision():
    from advcourse.data import import_torchvision

    return True, f"{import_torchvision().__version__}, fits its torch"


def _jupyter():
    found, missing = [], []
    for name in ("jupyterlab", "ipywidgets", "ipykernel"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return False, f"missing: {', '.join(missing)} -> pip install {' '.join(missing)}"
    return True, ", ".join(found)


def _device():
    import torch

    text = f"CPU, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        text = f"CUDA, {torch.cuda.get_device_name()}; {text}"
    elif torch.backends.mps.is_available():
        text = f"Apple MPS; {text}"
    return True, text


def _memory():
    try:
        import psutil  # comes with ipykernel
    except ImportError:
        return None, "not measured -> pip install psutil"
    free = psutil.virtual_memory().available / 1e9
    ok = free >= ENOUGH_MEMORY
    return ok or None, f"{free:.1f} GB free" + ("" if ok else " -> close other notebooks' kernels")


def _disk():
    from advcourse.data import where

    folder = where()[0].absolute()
    folder = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(folder).free / 1e9
    ok = free >= ENOUGH_DISK
    return ok or None, f"{free:.1f} GB free" + (
        "" if ok else " -> make room, or set ADVCOURSE_DATA"
    )


def _data():
    from advcourse.data import available, where

    folder, shown = where()
    place = f"{shown} ({folder})" if shown == "ADVCOURSE_DATA" else shown
    if available("mnist"):
        return True, f"MNIST, in {place}"
    return True, f"the embedded digits (MNIST is not in {place}; load('mnist') downloads it)"


def _checkpoints():
    from advcourse.models import check_checkpoints

    if problems := check_checkpoints():
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return False, f"{problems[0]}{more} -> {MENDS['checkpoints']}"
    return True, "sound"


def _browser():
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    mends = []
    if browser is None:
        mends.append("install Chromium or Chrome")
    if importlib.util.find_spec("playwright") is None:
        mends.append("pip install playwright")
    if mends:
        return None, f"the browser tests are skipped -> {' and '.join(mends)}"
    return True, f"{Path(browser).name}, driven by playwright"


def _build():
    folder = ROOT / "build"
    nearest = folder if folder.exists() else ROOT
    ok = nearest.is_dir() and os.access(nearest, os.W_OK)
    return ok, "can be written" if ok else f"cannot be written -> chmod u+w {nearest}"


CHECKS = {
    "python": _python,
    "torch": _torch,
    "torchvision": _torchvision,
    "jupyter": _jupyter,
    "device": _device,
    "memory": _memory,
    "disk": _disk,
    "data": _data,
    "checkpoints": _checkpoints,
    "browser": _browser,
    "build/": _build,
}
MENDS = {
    "torch": PAIR,
    "torchvision": PAIR,
    "device": PAIR,
    "checkpoints": "git checkout data/checkpoints, or python -m advcourse train",
}
