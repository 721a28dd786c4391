"""Every notebook runs with other parameters than the committed ones, as an instructor would."""

from tests.repo import per_notebook


@per_notebook()
def test_runs(notebook, run):
    assert not run.error, run.error
