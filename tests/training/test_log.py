"""The log is cut back to where a run goes on; the curves are drawn from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tertia.training import curves
from tertia.training.log import Display, Log, read_lines


def test_lines_after_the_state_are_forgotten(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write("train", 1, {"loss": 0.123456789, "groups": {"10": 1.0}})
    n_bytes = log.sync()
    log.write("train", 2, {"loss": 0.2})
    log.close()
    with open(tmp_path / "log.jsonl", "ab") as handle:
        handle.write(b'{"kind": "tr')  # killed while writing
    assert [line["step"] for line in read_lines(tmp_path)] == [1, 2]
    log = Log(tmp_path, n_bytes=n_bytes, step=1)
    log.write("train", 2, {"loss": 0.25})
    log.close()
    assert [line["loss"] for line in read_lines(tmp_path)] == [0.123457, 0.25]


def test_curves_are_drawn_and_the_same_run_gives_the_same_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert curves.draw(tmp_path) == ""  # nothing logged yet, nothing drawn
    assert not (tmp_path / "loss.png").exists()
    log = Log(tmp_path)
    for step in (1, 2, 3):
        log.write("train", step, {"loss": 1.0 / step, "groups": {"10": 0.5, "1": 0.9}})
    log.write("valid", 3, {"loss": 0.4, "groups": {"10": 0.3, "1": 0.8}})
    log.close()
    assert curves.draw(tmp_path) == ""
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "loss.svg").read_bytes()
    assert b"</svg>" in first
    curves.draw(tmp_path)
    assert (tmp_path / "loss.svg").read_bytes() == first


def test_without_matplotlib_there_is_one_notice(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'tertia[plot]'" in curves.draw(tmp_path)


def test_without_a_terminal_there_are_plain_lines_on_stderr(capsys) -> None:
    with Display(shown=True, step=0, steps=10, batch=4) as display:
        display._spoken -= 60.0
        display.step(5, 0.75)
        display.step(6, 0.5)  # too soon after the last
        display.say("best so far")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 2
    assert "step 5/10  loss 0.7500" in err
    assert "best so far" in err


def test_quiet_is_quiet(capsys) -> None:
    with Display(shown=False, step=0, steps=10, batch=4) as display:
        display.step(5, 0.75)
        display.say("nothing")
    assert capsys.readouterr() == ("", "")
