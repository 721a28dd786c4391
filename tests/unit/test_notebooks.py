"""Labs made of solutions, executed notebooks made fit to commit, and runs that fail loudly."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from advcourse import notebooks
from advcourse.notebooks import CourseError

SOLUTION = """def fgsm(x, grad, eps):
    ### BEGIN SOLUTION
    secret = grad.sign()
    return x + eps * secret
    ### END SOLUTION"""
HIDDEN = """assert fgsm
### BEGIN HIDDEN TESTS
assert fgsm(1, 2, 3) == "hidden"
### END HIDDEN TESTS"""


def save(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


@pytest.fixture
def course(tmp_path, monkeypatch):
    for name in ("lectures", "advcourse", "labs", "solutions"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lab_of(path):
    return nbformat.reads(notebooks.make_lab(path), as_version=4)


def test_a_lab_keeps_the_stub_and_drops_the_answers(tmp_path):
    output = new_output("stream", text="the answer")
    solution = save(
        tmp_path / "04.ipynb",
        new_code_cell(SOLUTION, outputs=[output], execution_count=3, metadata={"papermill": {}}),
        new_code_cell(HIDDEN),
        new_markdown_cell("Why?\n\n### BEGIN SOLUTION\nBecause.\n### END SOLUTION"),
        new_markdown_cell("for instructors", metadata={"tags": ["solution-only"]}),
    )
    method, check, answer = lab_of(solution).cells
    assert method.source == (
        "def fgsm(x, grad, eps):\n    # TODO: your code here\n    raise NotImplementedError"
    )
    assert check.source == "assert fgsm"
    assert answer.source == "Why?\n\nYOUR ANSWER HERE"
    assert (method.outputs, method.execution_count) == ([], None)
    assert "papermill" not in method.metadata


def test_a_lab_keeps_cell_ids_and_nbgrader_metadata(tmp_path):
    grading = {"nbgrader": {"grade_id": "fgsm", "solution": True, "schema_version": 3}}
    solution = save(tmp_path / "04.ipynb", new_code_cell(SOLUTION, id="fgsm", metadata=grading))
    (cell,) = lab_of(solution).cells
    assert cell.id == "fgsm"
    assert cell.metadata == grading
    assert notebooks.make_lab(solution) == notebooks.make_lab(solution)


def test_a_free_answer_without_markers_never_leaks(tmp_path):
    cell = new_markdown_cell("The answer is 42.", metadata={"nbgrader": {"solution": True}})
    assert lab_of(save(tmp_path / "04.ipynb", cell)).cells[0].source == "YOUR ANSWER HERE"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("### BEGIN SOLUTION\nx = 1", "never closed"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION", "BEGIN SOLUTION inside SOLUTION"),
        ("### BEGIN SOLUTION\n### BEGIN HIDDEN TESTS", "BEGIN HIDDEN TESTS inside SOLUTION"),
        ("x = 1\n### END SOLUTION", "without its BEGIN"),
        ("### BEGIN HIDDEN TESTS\n### END SOLUTION", "without its BEGIN"),
    ],
)
def test_wrong_markers_name_the_file_and_the_cell(tmp_path, source, complaint):
    path = save(tmp_path / "04.ipynb", new_markdown_cell("# Lab"), new_code_cell(source, id="bad"))
    with pytest.raises(CourseError, match=rf"04\.ipynb, cell 2 \(bad\): .*{complaint}"):
        notebooks.make_lab(path)


def test_labs_are_written_and_stale_ones_are_listed(course):
    save(course / "solutions" / "02.ipynb", new_code_cell(SOLUTION))
    orphan = save(course / "labs" / "01.ipynb", new_code_cell("x = 1"))
    assert [path.name for path in notebooks.labs(check=True)] == ["02.ipynb", "01.ipynb"]
    assert orphan.exists()
    notebooks.labs()
    assert "secret" not in (course / "labs" / "02.ipynb").read_text("utf-8")
    assert not orphan.exists()
    assert notebooks.labs(check=True) == []


def test_tidy_leaves_what_a_reader_sees_and_nothing_else():
    picture = {"text/html": '<img alt="a seven" src="data:,">', "text/plain": "<IPython.core.d"}
    picture["text/plain"] = "<IPython.core.display.HTML object>"
    notebook = new_notebook(
        metadata={
            "widgets": {"state": 1},
            "papermill": {"duration": 2},
            "language_info": {"name": "python", "version": "3.11.7"},
        },
        cells=[
            new_code_cell("n = 1", metadata={"tags": ["parameters"]}, execution_count=1),
            new_code_cell("n = 9", metadata={"tags": ["injected-parameters"]}, execution_count=2),
            new_code_cell(""),
            new_code_cell(
                "slider",
                execution_count=7,
                metadata={"papermill": {}, "execution": {}, "tags": []},
                outputs=[
                    new_output("display_data", {notebooks.WIDGET_VIEW: {}, "text/plain": "slider"}),
                    new_output("stream", name="stderr", text="running over TCP without encryption"),
                    new_output("stream", name="stderr", text="a warning that matters"),
                    new_output("display_data", picture),
                    new_output("execute_result", {"text/plain": "3"}, execution_count=7),
                ],
            ),
        ],
    )
    tidied = notebooks.tidy(notebook)
    assert tidied.metadata == {"language_info": {"name": "python"}}
    assert [cell.execution_count for cell in tidied.cells] == [1, None, 2]
    warning, image, result = tidied.cells[2].outputs
    assert tidied.cells[2].metadata == {}
    assert warning.text == "a warning that matters"
    assert image.data["text/plain"] == "a seven"
    assert result.execution_count == 2
    assert "widgets" in notebook.metadata, "the original is left alone"


def test_an_unknown_parameter_stops_before_anything_runs(tmp_path):
    cell = new_code_cell("steps: int = 10  # iterations", metadata={"tags": ["parameters"]})
    path = save(tmp_path / "04.ipynb", cell)
    with pytest.raises(CourseError, match=r"no parameter 'stpes'; it has steps"):
        notebooks.execute(path, tmp_path / "out.ipynb", {"stpes": 3})
    assert not (tmp_path / "out.ipynb").exists()


def test_a_run_takes_parameters_and_reports_every_cell(tmp_path):
    cells = [
        new_code_cell("steps = 10", metadata={"tags": ["parameters"]}),
        new_markdown_cell("text"),
        new_code_cell("print(steps)"),
    ]
    ticks = []
    done = notebooks.execute(
        save(tmp_path / "04.ipynb", *cells),
        tmp_path / "out.ipynb",
        {"steps": 3},
        on_cell=lambda: ticks.append(1),
    )
    assert done.cells[-1].outputs[0].text == "3\n"
    assert len(ticks) == 3  # with the cell that papermill injects


def test_a_failing_cell_is_named_and_the_partial_output_stays(tmp_path):
    path = save(
        tmp_path / "04.ipynb",
        new_code_cell("print('reached')"),
        new_code_cell("raise ValueError('eps is -1, must be >= 0')"),
    )
    out = tmp_path / "out.ipynb"
    with pytest.raises(CourseError, match=r"04\.ipynb, cell In \[2\] .*ValueError: eps is -1"):
        notebooks.execute(path, out)
    assert "reached" in out.read_text("utf-8")


def test_an_exception_that_a_widget_swallowed_is_a_failure(tmp_path):
    source = "import ipywidgets as w\nw.interactive_output(lambda n: 1 / n, {'n': w.IntSlider()})"
    path = save(tmp_path / "04.ipynb", new_code_cell(source))
    with pytest.raises(CourseError, match="widget's callback raised ZeroDivisionError"):
        notebooks.execute(path, tmp_path / "out.ipynb")


def test_outside_the_course_the_package_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notebooks, "__file__", str(tmp_path / "site-packages" / "a" / "b.py"))
    with pytest.raises(CourseError, match="cd to the course"):
        notebooks.find_root()
