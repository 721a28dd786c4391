"""The map of the course: every attack placed by phase, aim, knowledge and victim (lecture 01)."""

import html
from dataclasses import dataclass
from itertools import product
from pathlib import Path

PHASES = {
    "evasion": "evasion (exploratory): at test time, the model stays as it is",
    "poisoning": "poisoning (causative): at training time, the data change",
}
AIMS = ("untargeted", "targeted")
KNOWLEDGE = {
    "white box": "weights and gradients",
    "gray box": "trains on the model once, then attacks without it",
    "black box": "sees answers at most",
}
VICTIMS = ("SVM", "naive Bayes", "MLP", "CNN", "GCN", "RNN")


@dataclass(frozen=True)
class Place:
    """Where an attack stands in the taxonomy, and which lecture runs it."""

    name: str
    lecture: int
    phase: str
    aims: tuple[str, ...]
    knowledge: tuple[str, ...]
    victims: tuple[str, ...]
    budget: str
    source: str


ANY, NETS, IMAGES = AIMS, ("MLP", "CNN"), ("SVM", "MLP", "CNN")
WHITE, BLACK = ("white box",), ("black box",)
PLACES = (
    Place("noise", 3, "evasion", AIMS[:1], BLACK, IMAGES, "linf or std", "folklore"),
    Place("negative image", 3, "evasion", AIMS[:1], BLACK, NETS, "none", "Hosseini 2017"),
    Place("FGSM", 4, "evasion", ANY, WHITE, IMAGES, "linf", "Goodfellow 2015"),
    Place("gradient ascent", 4, "evasion", ANY, WHITE, NETS, "none", "folklore"),
    Place("BIM", 5, "evasion", ANY, WHITE, NETS, "linf", "Kurakin 2017"),
    Place("PGD", 5, "evasion", ANY, WHITE, NETS, "linf, l2, l1", "Madry 2018"),
    Place("DeepFool", 6, "evasion", AIMS[:1], WHITE, IMAGES, "least l2", "Moosavi-Dezfooli 2016"),
    Place("Carlini-Wagner", 7, "evasion", ANY, WHITE, NETS, "least l2", "Carlini 2017"),
    Place("DDN", 7, "evasion", ANY, WHITE, NETS, "least l2", "Rony 2019"),
    Place("generation from noise", 7, "evasion", AIMS[1:], WHITE, NETS, "none", "Singh 2020"),
    Place("JSMA", 8, "evasion", AIMS[1:], WHITE, NETS, "l0", "Papernot 2016"),
    Place("transfer", 9, "evasion", ANY, BLACK, IMAGES, "linf", "Papernot 2017"),
    Place("Square", 9, "evasion", ANY, BLACK, NETS, "linf, queries", "Andriushchenko 2020"),
    Place("HopSkipJump", 9, "evasion", ANY, BLACK, NETS, "least l2, queries", "Chen 2020"),
    Place("AdvGAN", 9, "evasion", ANY, ("gray box",), NETS, "linf", "Xiao 2018"),
    Place("universal", 10, "evasion", AIMS[:1], WHITE, NETS, "linf", "Moosavi-Dezfooli 2017"),
    Place("patch", 10, "evasion", AIMS[1:], WHITE, ("CNN",), "l0, in one place", "Brown 2017"),
    Place("inserted points", 11, "poisoning", ANY, WHITE, IMAGES, "share", "Biggio 2012"),
    Place("label flips", 11, "poisoning", ANY, BLACK, IMAGES, "share", "Barreno 2006"),
    Place("backdoor", 11, "poisoning", AIMS[1:], BLACK, NETS, "share", "Gu 2017"),
    Place(
        "good words", 12, "evasion", AIMS[:1], BLACK, ("naive Bayes", "SVM"), "words", "Lowd 2005"
    ),
    Place("word swaps", 12, "evasion", AIMS[:1], WHITE, ("RNN",), "words", "Papernot 2016"),
    Place("neighbors", 12, "evasion", AIMS[:1], WHITE, ("GCN",), "edges", "Zugner 2018"),
)


def lectures():
    """Return {number: file name} of the lectures that can be opened today."""
    folder = Path(__file__).resolve().parent.parent / "lectures"
    return {int(p.name[:2]): p.name for p in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def cell(phase, aim, knowledge, victim=None):
    """Return the places in one cell of the taxonomy; `victim` None means all of them."""
    return [
        p
        for p in PLACES
        if p.phase == phase
        and aim in p.aims
        and knowledge in p.knowledge
        and (victim is None or victim in p.victims)
    ]


def grid(phase, victim=None):
    """Return the taxonomy of one phase as an HTML table: knowledge down, aim across."""
    files = lectures()
    head = "".join(f'<th scope="col" style="text-align:left">{aim}</th>' for aim in AIMS)
    rows = []
    for knowledge, meaning in KNOWLEDGE.items():
        fields = "".join(
            f'<td style="text-align:left;vertical-align:top">'
            f"{_links(cell(phase, aim, knowledge, victim), files)}</td>"
            for aim in AIMS
        )
        rows.append(
            f'<tr><th scope="row" style="text-align:left;vertical-align:top">{knowledge}<br>'
            f'<span style="font-weight:normal">{meaning}</span></th>{fields}</tr>'
        )
    who = victim or "any victim"
    return (
        f'<table style="width:100%;border-spacing:8px"><caption style="text-align:left">'
        f"<b>{html.escape(PHASES[phase])}</b>; against {who}</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _links(places, files):
    if not places:
        return "nothing in this course"
    texts = []
    for p in places:
        label = f"{p.name} ({p.lecture:02d})"
        about = html.escape(f"budget: {p.budget}; {p.source}", quote=True)
        if p.lecture in files:
            texts.append(f'<a href="{files[p.lecture]}" title="{about}">{label}</a>')
        else:
            texts.append(f'<span title="{about}">{label}</span>')
    return "<br>".join(texts)


class Map:
    """The taxonomy for a page without a kernel: two menus over tables drawn beforehand."""

    def __repr__(self):
        return "[the taxonomy: phase, aim, knowledge and victim of every attack of the course]"

    def _repr_html_(self):
        show = (
            "const f=this.closest('figure'),[p,v]=f.querySelectorAll('select');"
            "f.querySelectorAll('div[data-key]').forEach(d=>"
            "d.hidden=d.dataset.key!==p.value+'|'+v.value)"
        )
        choices = {"phase": list(PHASES), "victim": ["any", *VICTIMS]}
        menus = "".join(
            f'<label style="margin-right:1.5em">{name} <select aria-label="{name}" '
            f'onchange="{show}">{"".join(f"<option>{o}</option>" for o in options)}</select></label>'
            for name, options in choices.items()
        )
        tables = "".join(
            f'<div data-key="{phase}|{victim}"{" hidden" * (i > 0)}>'
            f"{grid(phase, None if victim == 'any' else victim)}</div>"
            for i, (phase, victim) in enumerate(product(PHASES, choices["victim"]))
        )
        return f'<figure role="group" aria-label="taxonomy of attacks">{menus}{tables}</figure>'
