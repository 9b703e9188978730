"""The command line: help, exit codes, one message for every mistake, data on stdout and the rest on stderr."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tertia import cli
from tests.structures import pdb_text, polymer


def verbs(app: typer.Typer = cli.app, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command, also of those in groups."""
    found = [(*before, command.name or command.callback.__name__) for command in app.registered_commands]
    for group in app.registered_groups:
        found += [(*before, group.name), *verbs(group.typer_instance, (*before, group.name))]
    return found


def run(*words: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tertia.cli", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=100)


@pytest.fixture
def structure(tmp_path: Path) -> Path:
    path = tmp_path / "made.pdb"
    path.write_text(pdb_text([polymer(40, seed=1)]))
    return path


@pytest.mark.parametrize("words", [(), *verbs()], ids=" ".join)
def test_help_ends_with_two_examples(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*words, "--help"], prog_name="tertia")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.rstrip().splitlines()]
    assert lines[-3] == "Examples:"
    for line in lines[-2:]:
        assert line.startswith("tertia " + " ".join(words))
        check_command(line)


def check_command(line: str) -> None:
    """Fail unless a written command names a verb, and only options, that exist."""
    words = line.split("#")[0].split()[1:]
    verb = max((known for known in [(), *verbs()] if tuple(words[: len(known)]) == known), key=len)
    text = CliRunner().invoke(cli.app, [*verb, "--help"], prog_name="tertia").stdout
    options = [word.split("=")[0] for word in words if word.startswith("-") and word != "-"]
    missing = [option for option in options if not re.search(rf"(^|[\s,]){re.escape(option)}\b", text)]
    assert not missing, f"{line}: no option {missing}"


def test_a_usage_error_is_2() -> None:
    for words in (("nonsense",), ("ls", "--nonsense"), ("prepare", "made.pdb")):
        done = run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Error" in done.stderr and "Traceback" not in done.stderr


def test_a_mistake_is_one_message_and_1() -> None:
    done = run("ls", "models-and-more")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: tertia ls: 'models-and-more' cannot be listed; allowed: families, tasks, recipes, models, heads\n"
    )


def test_good_inputs_beside_a_bad_one_are_still_shown(structure: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pdb"
    junk.write_bytes(bytes(range(256)))
    done = run("inspect", junk, structure, "--json")
    assert done.returncode == 1
    assert [json.loads(line)["entry"] for line in done.stdout.splitlines()] == ["made"]
    assert "junk.pdb" in done.stderr and "Traceback" not in done.stderr


def test_a_missing_file_is_1(tmp_path: Path) -> None:
    done = run("inspect", tmp_path / "absent.pdb")
    assert done.returncode == 1
    assert "absent.pdb" in done.stderr and "Traceback" not in done.stderr


def test_inspect_prints_one_object_a_chain(structure: Path) -> None:
    done = run("inspect", structure, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (chain,) = map(json.loads, done.stdout.splitlines())
    wanted = {"file", "entry", "chain", "sequence", "n_residues", "n_with_coordinates", "gaps", "changes"}
    assert wanted <= set(chain)
    assert (chain["n_residues"], chain["n_with_coordinates"], len(chain["sequence"])) == (40, 40, 40)


def test_prepare_lists_what_it_refuses(structure: Path, tmp_path: Path) -> None:
    done = run("prepare", structure, "-o", tmp_path / "store", "--min-length", "41")
    assert done.returncode == 1
    assert "refused, min_length: 40 residues" in done.stderr
    done = run("prepare", structure, "-o", tmp_path / "other")
    assert done.returncode == 0, done.stderr


def test_prepare_names_the_true_defaults() -> None:
    from tertia.data.filters import Filters
    from tertia.data.split import FRACTIONS

    text = " ".join(CliRunner().invoke(cli.app, ["prepare", "--help"]).stdout.split())
    for name, value in {**vars(Filters()), "fractions": FRACTIONS}.items():
        written = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if written:
            option = re.search(rf"--{name.replace('_', '-')} .*?\(default ([^)]*)\)", text)
            assert option is not None, name
            assert option.group(1) == written


def test_ls_and_doctor_speak_json() -> None:
    listed = json.loads(run("ls", "--json").stdout)
    assert set(listed) == {"families", "tasks", "recipes", "models", "heads"}
    assert "distmap" in listed["families"]
    findings = json.loads(run("doctor", "--json").stdout)
    assert {"versions", "devices", "extras", "tools", "weights"} == {finding["section"] for finding in findings}


def test_a_reader_that_leaves_is_no_error(structure: Path) -> None:
    copies = [str(structure)] * 3000  # more than a pipe holds
    command = [sys.executable, "-m", "tertia.cli", "inspect", *copies, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode != 0


def _processor_seconds(pid: int) -> float:
    """Return what a process has used so far; a fixed time where the system does not tell."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        time.sleep(5.0)
        return 0.0
    user, system = path.read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / 100.0


def test_control_c_is_130(tmp_path: Path) -> None:
    """Waits on standard input for a list of files, as a user would who then thinks better of it."""
    command = [sys.executable, "-m", "tertia.cli", "inspect", "-"]
    # A shell's background job ignores the signal, and so would its children.
    default = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    with subprocess.Popen(command, preexec_fn=default, **pipes) as process:
        before, used = -1.0, 0.0
        while used > before:  # busy with its imports; then it waits for the list
            time.sleep(1.0)
            before, used = used, _processor_seconds(process.pid)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in message
