"""What the README and the docs tell people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tertia
from tests.test_cli import check_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(text: str, language: str = "") -> list[str]:
    """Return the fenced blocks of one language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_written_command_exists(page: Path) -> None:
    for block in blocks(page.read_text()):
        for line in block.splitlines():
            if line.startswith("tertia "):
                check_command(line)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_public_name_in_an_example_exists(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        compile(block, str(page), "exec")
        for name in re.findall(r"\btertia\.(\w+)\(", block):
            assert name in tertia.__all__, name


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_make_target_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)|^make (\w+)", page.read_text(), flags=re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, flags=re.MULTILINE), target


def test_set_up_is_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    set_up = re.search(r"^## Set up\n(.*?)^## ", text, flags=re.MULTILINE | re.DOTALL).group(1)
    assert [len(block.splitlines()) for block in blocks(set_up)] == [2]


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make test" in script
    lines = [line for block in blocks((ROOT / "README.md").read_text()) for line in block.splitlines()]
    assert any(line.startswith("make test ") for line in lines)


def test_every_page_of_results_is_listed() -> None:
    folder = ROOT / "docs" / "results"
    listed = re.findall(r"\]\((\w+\.md)\)", (folder / "README.md").read_text())
    assert sorted(listed) == sorted(page.name for page in folder.glob("*.md") if page.name != "README.md")
