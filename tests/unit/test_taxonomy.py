"""The map of lecture 01: every attack stands where a lecture runs it, and no cell is a promise."""

import ast

import pytest

from advcourse import taxonomy
from tests.repo import ROOT, cells, read

FILES = taxonomy.lectures()


@pytest.mark.parametrize("place", taxonomy.PLACES, ids=lambda place: place.name)
def test_a_place_is_run_by_its_lecture(place):
    assert place.phase in taxonomy.PHASES and set(place.aims) <= set(taxonomy.AIMS)
    assert set(place.knowledge) <= set(taxonomy.KNOWLEDGE)
    assert set(place.victims) <= set(taxonomy.VICTIMS)
    code = cells(read(ROOT / "lectures" / FILES[place.lecture]), "code")
    nodes = [node for cell in code for node in ast.walk(ast.parse(cell.source))]
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    named |= {node.id for node in nodes if isinstance(node, ast.Name)}
    assert place.call in named, f"lecture {place.lecture:02d} never calls {place.call}"


@pytest.mark.parametrize("phase", taxonomy.PHASES)
def test_every_cell_links_to_a_lecture(phase):
    for aim in taxonomy.AIMS:
        for knowledge in taxonomy.KNOWLEDGE:
            assert taxonomy.cell(phase, aim, knowledge), (phase, aim, knowledge)
    for victim in (None, *taxonomy.VICTIMS):
        table = taxonomy.grid(phase, victim)
        places = [p for p in taxonomy.PLACES if p.phase == phase]
        places = [p for p in places if victim is None or victim in p.victims]
        assert table.count("<a href=") == sum(len(p.aims) * len(p.knowledge) for p in places)


def test_every_victim_is_attacked():
    for victim in taxonomy.VICTIMS:
        assert any(victim in place.victims for place in taxonomy.PLACES if place.phase == "evasion")


def test_a_missing_lecture_is_no_link(monkeypatch):
    monkeypatch.setattr(taxonomy, "lectures", dict)
    assert "<a href" not in taxonomy.grid("evasion") and "FGSM (04)" in taxonomy.grid("evasion")
