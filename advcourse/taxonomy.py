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
    "gray box": "a part of it: once but no longer, or some of the pieces",
    "black box": "sees answers at most",
}
VICTIMS = ("SVM", "naive Bayes", "MLP", "CNN", "GCN", "RNN")


@dataclass(frozen=True)
class Place:
    """Where an attack stands in the taxonomy, and which lecture runs it.

    call: the name that the code of that lecture calls; a test looks for it there.
    """

    name: str
    lecture: int
    phase: str
    aims: tuple[str, ...]
    knowledge: tuple[str, ...]
    victims: tuple[str, ...]
    budget: str
    source: str
    call: str


# One attack a line; "any" stands for both aims. What `call` names, the lecture's code calls.
TABLE = """
name | lecture | phase | aim | knowledge | victims | budget | source | call
noise | 3 | evasion | untargeted | black | SVM, MLP, CNN | linf or std | folklore | uniform_noise
negative image | 3 | evasion | untargeted | black | MLP, CNN | none | Hosseini 2017 | negative
FGSM | 4 | evasion | any | white | SVM, MLP, CNN | linf | Goodfellow 2015 | fgsm
gradient ascent | 4 | evasion | any | white | MLP, CNN | none | folklore | gradient_ascent
BIM | 5 | evasion | any | white | MLP, CNN | linf | Kurakin 2017 | bim
PGD | 5 | evasion | any | white | MLP, CNN | linf, l2, l1 | Madry 2018 | pgd
DeepFool | 6 | evasion | untargeted | white | SVM, MLP, CNN | least l2 | Moosavi 2016 | deepfool
Carlini-Wagner | 7 | evasion | any | white | MLP, CNN | least l2 | Carlini 2017 | carlini_wagner
DDN | 7 | evasion | any | white | MLP, CNN | least l2 | Rony 2019 | ddn
generation from noise | 7 | evasion | targeted | white | MLP, CNN | none | Singh 2020 | generate
JSMA | 8 | evasion | targeted | white | MLP, CNN | l0 | Papernot 2016 | jsma
transfer | 9 | evasion | any | black | SVM, naive Bayes, MLP, CNN | linf | Szegedy 2014 | transfer
substitute | 9 | evasion | any | black | MLP, CNN | linf, queries | Papernot 2017 | train_substitute
Square | 9 | evasion | any | black | MLP, CNN | linf or l2, queries | Andriushchenko 2020 | square
HopSkipJump | 9 | evasion | any | black | MLP, CNN | least l2, queries | Chen 2020 | hop_skip_jump
AdvGAN | 9 | evasion | any | gray | MLP, CNN | linf | Xiao 2018 | Generator
universal | 10 | evasion | any | white | MLP, CNN | linf, one for all | Moosavi 2017 | universal
patch | 10 | evasion | any | white | CNN | a place, in any color | Brown 2017 | patch
printed picture | 10 | evasion | any | white | CNN | linf | Athalye 2018 | eot_pgd
stickers on a sign | 10 | evasion | any | white | CNN | a mask | Eykholt 2018 | eot_pgd
label flips | 11 | poisoning | untargeted | black | SVM, MLP, CNN | share | Biggio 2011 | flip_labels
inserted points | 11 | poisoning | untargeted | black | SVM, MLP, CNN | share | Barreno 2006 | insert
modified points | 11 | poisoning | untargeted | white | MLP, CNN | share | Barreno 2006 | modify
points by the gradient | 11 | poisoning | any | white | SVM | share | Biggio 2012 | bilevel
backdoor | 11 | poisoning | targeted | black | MLP, CNN | share, trigger | Gu 2017 | backdoor
clean labels | 11 | poisoning | targeted | gray | MLP, CNN | share, trigger | Turner 2019 | clean_label
good words | 12 | evasion | untargeted | white | naive Bayes, SVM | words | Dalvi 2004 | greedy
common words | 12 | evasion | untargeted | black | naive Bayes, SVM | words | Lowd 2005 | frequent_words
SVM evasion | 12 | evasion | untargeted | white | SVM | l2 | Biggio 2013 | svm
word swaps | 12 | evasion | untargeted | white | RNN | words | Ebrahimi 2018 | swap_words
misspelling | 12 | evasion | untargeted | black | RNN | words, queries | Gao 2018 | misspell
edges | 12 | evasion | untargeted | gray | GCN | edges | Zügner 2018 | nettack
edges, then trained | 12 | poisoning | untargeted | gray | GCN | edges | Zügner 2018 | nettack
"""


def _place(line):
    """Return the `Place` that a line of the table describes."""
    name, lecture, phase, aim, box, victims, *rest = (field.strip() for field in line.split("|"))
    aims = AIMS if aim == "any" else (aim,)
    return Place(
        name, int(lecture), phase, aims, (f"{box} box",), tuple(victims.split(", ")), *rest
    )


PLACES = tuple(map(_place, TABLE.strip().splitlines()[1:]))


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
