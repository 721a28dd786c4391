"""Pages that open from disk, formulas as MathML, and runs that go on where they stopped."""

import json
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from advcourse import __main__ as command
from advcourse import pages, site
from advcourse.notebooks import WIDGET_VIEW, CourseError
from advcourse.pages import Lecture, mathml, to_html

LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Tags(HTMLParser):
    """Collect the tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def named(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def rendered(*cells):
    return site.page(new_notebook(cells=list(cells)))


def code(source="x", *outputs, **metadata):
    return new_code_cell(source, outputs=list(outputs), metadata=metadata)


# Formulas


@pytest.mark.parametrize(
    ("source", "expected", "count"),
    [
        ("within $\\epsilon$ of x", "&#x003F5;", 1),
        ("$$a_1$$ and $b$", 'display="block"', 2),
        ("\\begin{align*}a&=b\\end{align*}", "<mtable", 1),
        ("| a |\n|---|\n| $|x|$ |", "<td><math", 1),
        ("> | a |\n> |---|\n> | $x$ |", "<td><math", 1),
        ("## The $\\ell_2$ ball", 'id="The--ball"', 1),
        ("<details><summary>Is $x<1$?</summary>\n\n$y$\n\n</details>", "<summary>Is <math", 2),
        ("it costs \\$5 and \\$6", "it costs $5 and $6", 0),
        ("say `$x$` or ``a ` $x$``", "<code>$x$</code>", 0),
        ("```sh\necho $HOME $PATH\n```", "HOME", 0),
        ("~~~\n$a$\n~~~\n$b$", "<pre><code>$a$", 1),
        ("$5 only\n\nand $6 there", "$5 only", 0),
        ("`a` costs $5 `b$`", "<code>b$</code>", 0),
    ],
)
def test_formulas_become_mathml_and_code_stays_code(source, expected, count):
    text = to_html(source)
    assert expected in text
    assert text.count("<math") == count


@pytest.mark.parametrize("tex", [r"\foo{x}", r"x_{", r"\frac{1}{2", r"a & b", r"\left(x"])
def test_a_formula_that_cannot_be_set_is_named(tex):
    with pytest.raises(CourseError, match="cannot set the formula") as caught:
        to_html(f"text ${tex}$")
    assert tex in str(caught.value)


@pytest.mark.parametrize(
    "tex",
    [
        r"\arg\max_{\|\delta\|_\infty \le \epsilon} J(\theta, x + \delta, y)",
        r"\operatorname*{arg\,max}_x f(x)",
        r"\begin{aligned}\min_x & \; f(x) \\ \text{s.t.} & \; x \in [0,1]^n\end{aligned}",
        r"\Pi_{\mathcal{B}}\left(x + \alpha \operatorname{sign}(\nabla_x J)\right)",
        r"\{x \sim \mathcal{N}(0, \sigma^2 I)\}",
    ],
)
def test_the_formulas_of_the_field_can_be_set(tex):
    assert "\\" not in mathml(tex, "block")


# Pages


def test_a_page_loads_nothing_from_elsewhere():
    state = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    notebook = new_notebook(
        metadata={"widgets": state},
        cells=[
            new_markdown_cell("# A claim\n\n$x$ [paper](https://example.org/paper)"),
            code("slider", new_output("display_data", {WIDGET_VIEW: {"model_id": "1"}})),
            code("f", new_output("display_data", {"image/png": "aGk="})),
            code("m", new_output("display_data", {"text/markdown": "about $\\epsilon$"})),
        ],
    )
    text = site.page(notebook)
    for tag, attrs in Tags(text).found:
        assert not attrs.get(LOADING.get(tag), "").startswith(("http", "//")), (tag, attrs)
        assert "integrity" not in attrs
    assert "@import" not in text and "url(http" not in text
    assert "widget-view" not in text and "require" not in text
    assert text.count("<math") == 2


def test_a_page_has_one_title_a_language_and_a_skip_link():
    text = rendered(new_markdown_cell("# 04. Why $\\ell_\\infty$ & *signs*"))
    tags = Tags(text)
    assert "<title>Why ℓ∞ &amp; signs · Adversarial machine learning</title>" in text
    assert tags.named("html") == [{"lang": "en"}]
    assert len(tags.named("main")) == len(tags.named("title")) == 1
    assert tags.named("a")[0] == {"class": "skip", "href": "#main"}


def test_notes_and_removed_cells_stay_out_and_hidden_code_is_folded():
    text = rendered(
        new_markdown_cell("ask the class", metadata={"slideshow": {"slide_type": "notes"}}),
        code("removed = 1", tags=["remove-cell"]),
        code("folded = 1", tags=["hide-input"]),
        code("", new_output("stream", name="stderr", text="over TCP without encryption")),
    )
    assert "ask the class" not in text and "removed" not in text and "encryption" not in text
    before, after = text.split("<summary>Show code</summary>")
    assert "folded" not in before and "folded" in after


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("02_norms.ipynb", "02_norms.html"),
        ("./02_norms.ipynb#Balls", "02_norms.html#Balls"),
        ("../lectures/02_norms.ipynb", "02_norms.html"),
        ("../labs/02_norms.ipynb", "../../labs/02_norms.ipynb"),
        ("../README.md", "../../README.md"),
        ("#Balls", "#Balls"),
        ("https://example.org/x.ipynb", "https://example.org/x.ipynb"),
    ],
)
def test_links_lead_somewhere_from_the_page(link, expected):
    output = new_output("display_data", {"text/html": f"<a class='x' href='{link}'>b</a>"})
    tags = Tags(rendered(new_markdown_cell(f"[a]({link})"), code("x", output)))
    links = [attrs["href"] for attrs in tags.named("a")]
    assert links.count(expected) >= 2


def test_a_link_to_a_lecture_without_a_page_leads_to_its_notebook():
    notebook = new_notebook(cells=[new_markdown_cell("[a](01_a.ipynb) [b](02_b.ipynb)")])
    tags = Tags(site.page(notebook, built={"02_b"}))
    links = [attrs["href"] for attrs in tags.named("a")]
    assert "../../lectures/01_a.ipynb" in links and "02_b.html" in links


def test_pages_lead_to_their_neighbors():
    before, after = Lecture("01_models", "One"), Lecture("03_noise", "Three")
    text = site.page(new_notebook(), Lecture("02_norms", "Two"), before, after)
    rel = {a["rel"]: a["href"] for a in Tags(text).named("a") if "rel" in a}
    assert rel == {"prev": "01_models.html", "next": "03_noise.html"}


def test_the_contents_tell_claim_minutes_time_data_and_lab():
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# One step\n\n45 minutes"),
            code("x", new_output("stream", text="MNIST: 60 000")),
        ]
    )
    ran = pages.describe(notebook, "04_fgsm", 12.3, "04_fgsm.ipynb")
    assert ran == Lecture("04_fgsm", "One step", "45", 12.3, "MNIST", "04_fgsm.ipynb")
    text = site.index([ran, Lecture("05_pgd", "Many <steps>")])
    links = [attrs["href"] for attrs in Tags(text).named("a")]
    assert "04_fgsm.html" in links and "../../labs/04_fgsm.ipynb" in links
    assert "05_pgd.html" not in links
    assert "Many &lt;steps&gt; <small>(not run yet)" in text


# Runs


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Make a course of two lectures that note in a file outside that they ran."""
    for name in ("lectures", "advcourse", "labs"):
        (tmp_path / name).mkdir()
    for name in ("01_one", "02_two"):
        write(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVCOURSE_DATASET", "digits")
    return tmp_path


def write(root, name, line="pass"):
    cells = [new_markdown_cell(f"# {name}", id="h"), new_code_cell(line, id="c")]
    nbformat.write(new_notebook(cells=cells), root / "lectures" / f"{name}.ipynb")


@pytest.fixture
def runs(monkeypatch):
    """Count what is executed, without a kernel."""
    seen = []

    def pretend(path, out, parameters=None, **_):
        seen.append(path.stem)
        notebook = nbformat.read(path, as_version=4)
        if "fail" in notebook.cells[1].source:
            raise CourseError("cell In [1]: it failed")
        if "stop" in notebook.cells[1].source:
            raise KeyboardInterrupt
        out.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, out)

    monkeypatch.setattr(site, "execute", pretend)
    return seen


def test_only_what_changed_runs_again(course, runs, monkeypatch):
    assert site.run() == 0
    assert site.run() == 0
    assert runs == ["01_one", "02_two"]
    write(course, "02_two", "x = 1")
    site.run()
    assert runs[2:] == ["02_two"]
    monkeypatch.setenv("ADVCOURSE_DATASET", "mnist")
    site.run(["01"])
    assert runs[3:] == ["01_one"]
    site.run(["1"], force=True)
    assert runs[4:] == ["01_one"]


def test_a_failure_hides_no_other_lecture(course, runs, capsys):
    write(course, "01_one", "fail")
    assert site.run() == 1
    assert "FAILED 01_one\n  cell In [1]: it failed" in capsys.readouterr().err
    assert (course / "build" / "site" / "02_two.html").exists()
    assert not (course / "build" / "site" / "01_one.html").exists()


def test_an_interrupted_run_keeps_what_is_finished(course, runs, capsys):
    write(course, "02_two", "stop")
    assert site.run() == 130
    assert "1 of 2 finished: run the same command again" in capsys.readouterr().err
    write(course, "02_two")
    assert site.run() == 0
    assert runs == ["01_one", "02_two", "02_two"]


def test_a_formula_that_cannot_be_set_fails_its_own_page_only(course, runs, capsys):
    cells = [new_markdown_cell("# One $\\foo$", id="h"), new_code_cell("x", id="c")]
    nbformat.write(new_notebook(cells=cells), course / "lectures" / "01_one.ipynb")
    assert site.run() == 1
    assert "FAILED 01_one\n  no page: cannot set the formula $\\foo$" in capsys.readouterr().err


def test_an_unknown_lecture_lists_those_there_are(course, capsys):
    assert command.main(["run", "09"]) == 1
    assert "no lecture '09'" in (said := capsys.readouterr().err)
    assert "01_one, 02_two" in said


def test_the_author_writes_lectures_back_on_mnist(course, runs):
    with pytest.raises(CourseError, match="no parameters"):
        site.run(parameters={"steps": 1}, in_place=True)
    assert site.run(["02"], in_place=True) == 0
    assert site.os.environ["ADVCOURSE_DATASET"] == "mnist"
    lecture = nbformat.read(course / "lectures" / "02_two.ipynb", as_version=4)
    assert lecture.cells[1].execution_count == 1


def test_a_real_run_writes_only_under_build(course):
    write(course, "02_two", "open('left_behind.txt', 'w').close(); 6 * 7")
    before = sorted(path for path in course.rglob("*") if path.is_file())
    assert command.main(["run", "02", "--out", "pages"]) == 0
    page = (course / "pages" / "02_two.html").read_text("utf-8")
    assert ">42</pre>" in page
    known = json.loads((course / "build" / "executed" / "02_two.json").read_text("utf-8"))
    assert known["seconds"] > 0
    ours = [p for p in course.rglob("*") if p.is_file() and "build" not in p.parts]
    assert sorted(p for p in ours if "pages" not in p.parts) == before


def test_parameters_are_read_as_python_literals():
    words = ["run", "-p", "steps", "3", "-p", "dataset", "mnist", "-p", "fast", "True"]
    args = command._parser().parse_args(words)
    values = {name: command._value(text) for name, text in args.parameters}
    assert values == {"steps": 3, "dataset": "mnist", "fast": True}
