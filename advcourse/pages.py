"""Executed notebooks to HTML pages that open from disk; formulas are MathML, nothing is fetched."""

import copy
import html
import posixpath
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jinja2
import mistune
from latex2mathml.converter import convert
from mistune.plugins.table import table_in_quote
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer

from advcourse.notebooks import CourseError, quiet

COURSE = "Adversarial machine learning"
TEMPLATES = Path(__file__).parent / "templates"

# Formulas leave the text before Markdown sees it, as in JupyterLab, so that `_` and `|` survive.
_FORMULA = re.compile(
    r"""(?P<verbatim>
          ^[ ]{0,3}(?P<fence>`{3,}|~{3,}).*?(?:^[ ]{0,3}(?P=fence)[`~]*[ ]*$|\Z)
        | (?P<ticks>`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)(?P=ticks)(?!`)
        | <(?P<tag>code|pre|script|style)\b.*?</(?P=tag)>
        | \\[\\$`] )
      | \$\$(?P<display>.+?)\$\$
      | (?P<environment>\\begin\{(?P<name>[a-z]+\*?)\}.*?\\end\{(?P=name)\})
      | \$(?P<inline>(?:\\.|[^$`\\\n]|\n(?!\s*\n))+)\$""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_PLACE = "\ue000{}\ue001"
_PLACES = re.compile("\ue000(\\d+)\ue001")
# What latex2mathml does not know or sets wrongly, in words that it knows.
_TEX = [
    (r"\\(begin|end)\{aligned\}", r"\\\1{split}"),
    (r"\\operatorname\*?\{([^{}]*?)\\,([^{}]*?)\}", r"\\operatorname{\1 \2}"),
    (r"\\operatorname\*", r"\\operatorname"),
    (r"\\arg(?![A-Za-z])", r"\\operatorname{arg}"),
    (r"\\(max|min|sup|inf)(?=\s*_)", r"\\\1\\limits"),
]


class Lecture(NamedTuple):
    """What the pages say about one lecture; `seconds` is None until it has been run."""

    name: str
    title: str
    minutes: str = ""
    seconds: float | None = None
    dataset: str = ""
    lab: str = ""


def describe(notebook, name: str, seconds: float | None = None, lab: str = "") -> Lecture:
    """Read a lecture's claim, the minutes that it states and the data set that it reports."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    heading = re.search(r"^# +(.+)", "\n".join(prose), re.MULTILINE)
    title = _plain(heading[1]) if heading else name
    minutes = re.search(r"(\d+(?: ?(?:to|-|–) ?\d+)?) ?min", "\n".join(prose[:4]))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = "\n".join(output.get("text", "") for output in outputs)
    data = re.search(r"^(Fashion-MNIST|MNIST|UCI digits)\b.*:", said, re.MULTILINE)  # data.load
    stated, used = (match[1] if match else "" for match in (minutes, data))
    return Lecture(name, title, stated, seconds, used, lab)


def _plain(heading: str) -> str:
    """Read a heading as text: its formulas in Unicode, without its marks and its own number."""
    with suppress(CourseError):  # the page itself reports a formula that cannot be set
        heading = html.unescape(re.sub(r"<[^>]*>", "", to_html(heading)))
    return re.sub(r"^\d+\s*[.:–-]\s*", "", heading.strip())


def page(notebook, lecture=None, previous=None, following=None, up="../..", built=None) -> str:
    """Render an executed notebook; `up` is the way from the page's folder to the course's.

    Links go to the pages of the lectures named in `built` (None: all), else to the notebooks.
    """
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if not _skipped(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = quiet(cell.outputs)
    lecture = lecture or describe(notebook, "lecture")
    frame = {"course": COURSE, "lecture": lecture, "previous": previous, "following": following}
    exporter = _exporter()
    exporter.register_filter("relink", lambda text: relink(text, up, built))
    return exporter.from_notebook_node(notebook, resources={"frame": frame})[0]


def index(lectures, up="../..") -> str:
    """Render the table of contents of all the lectures."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    template = environment.get_template("advcourse/contents.html.j2")
    return template.render(course=COURSE, lectures=lectures, up=up)


def relink(text: str, up: str, built=None) -> str:
    """Point links between lectures at their pages, and all other relative ones into the course."""

    def move(match):
        target = posixpath.normpath(posixpath.join("lectures", match["path"]))
        lecture = re.fullmatch(r"lectures/([^/]+)\.ipynb", target)
        to_page = lecture and (built is None or lecture[1] in built)
        return match["start"] + (f"{lecture[1]}.html" if to_page else f"{up}/{target}")

    return re.sub(
        r"""(?P<start><a\b[^>]*?\bhref=["'])(?!/)(?P<path>[^"'#?:]+)(?=["'#?])""", move, text
    )


def to_html(source: str, attachments=None) -> str:
    """Render Markdown with formulas as MathML; a formula that cannot be set is an error."""
    formulas = []

    def take(match):
        if match["verbatim"]:
            return match[0]
        display = match["inline"] is None
        tex = next(t for t in (match["inline"], match["display"], match["environment"]) if t)
        formulas.append(mathml(tex.strip(), "block" if display else "inline"))
        return _PLACE.format(len(formulas) - 1)

    renderer = _Renderer(escape=False, attachments=attachments)
    plugins = ["strikethrough", "table", table_in_quote, "url", "task_lists", "def_list"]
    markdown = mistune.create_markdown(renderer=renderer, hard_wrap=False, plugins=plugins)
    text = markdown(_FORMULA.sub(take, source))
    return _PLACES.sub(lambda match: formulas[int(match[1])], text)


@cache
def mathml(tex: str, display: str = "inline") -> str:
    """Convert one formula; latex2mathml passes over what it does not know, this does not."""
    known = tex
    for pattern, replacement in _TEX:
        known = re.sub(pattern, replacement, known)
    bare = re.sub(r"\\.", "", known)
    try:
        result = convert(known, display=display)
    except Exception as error:  # latex2mathml has no common base class for its errors
        raise CourseError(f"cannot set the formula ${tex}$: {type(error).__name__}") from error
    left = re.findall(r"\\[A-Za-z]+|&(?!#)", result)
    if left or bare.count("{") != bare.count("}"):
        raise CourseError(
            f"cannot set the formula ${tex}$: {left[0] if left else 'unmatched brace'}"
        )
    return result.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")  # \sim is not a tilde


class _Renderer(IPythonRenderer):
    """Headings with anchors that hold no formula, and tables that scroll on their own."""

    def heading(self, text, level, **attrs):
        anchor = _PLACES.sub("", re.sub(r"<[^>]*>", "", text)).strip().replace(" ", "-")
        anchor = html.escape(html.unescape(anchor))
        link = f'<a class="anchor" href="#{quote(anchor)}" aria-label="Link to this section">#</a>'
        return f'<h{level} id="{anchor}">{text} {link}</h{level}>\n'

    def table(self, text):
        return f'<div class="scroll" tabindex="0"><table>\n{text}</table></div>\n'


class _Exporter(HTMLExporter):
    """nbconvert with the course's template and Markdown."""

    @jinja2.pass_context
    def markdown2html(self, context, source):
        return to_html(source, context.get("cell", {}).get("attachments"))


@cache
def _exporter() -> HTMLExporter:
    # The folder counts twice: for the template itself, and for the files that it includes.
    folders = [str(TEMPLATES)]
    return _Exporter(
        template_name="advcourse", extra_template_basedirs=folders, extra_template_paths=folders
    )


def _skipped(cell) -> bool:
    notes = cell.metadata.get("slideshow", {}).get("slide_type") == "notes"
    return notes or "remove-cell" in cell.metadata.get("tags", ())
