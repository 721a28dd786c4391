"""Every slider, menu and switch goes through its range, and no callback raises.

Papermill passes a cell whose callback raised, and nothing else moves a slider: see conftest.py.
"""

from tests.repo import per_notebook


@per_notebook()
def test_no_callback_raises(notebook, run):
    assert not run.error, run.error
    assert not run.swallowed


@per_notebook("lectures")
def test_a_lecture_has_a_slider(notebook, run):
    sliders = {name: set(at) for name, at in run.moved.items() if name.startswith("slider")}
    assert any(len(at) >= 2 for at in sliders.values()), f"moved: {run.moved}"
