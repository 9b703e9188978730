"""The demo's report as one self-contained HTML page: styles, figures and tables are inside it."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("demo_style.css").read_text()


class Page:
    """An HTML page that is written from top to bottom."""

    def __init__(self, title: str, lead: str) -> None:
        self.title = title
        self.parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{lead}</p>']
        self.n_sections = 0

    def numbers(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add a band of large numbers, each with what it counts."""
        cells = "".join(
            f'<div class="number"><b>{html.escape(n)}</b><span>{html.escape(t)}</span></div>' for n, t in rows
        )
        self.parts.append(f'<div class="numbers">{cells}</div>')

    def section(self, title: str, text: str) -> None:
        """Start a numbered section; the text may hold HTML."""
        self.n_sections += 1
        self.parts.append(f'<h2><span class="count">{self.n_sections}</span>{html.escape(title)}</h2><p>{text}</p>')

    def text(self, text: str) -> None:
        self.parts.append(f"<p>{text}</p>")

    def notice(self, text: str) -> None:
        self.parts.append(f'<p class="notice">{text}</p>')

    def command(self, *lines: str) -> None:
        """Show the commands that were run."""
        self.parts.append(f"<pre>{html.escape(chr(10).join(lines))}</pre>")

    def figure(self, figure: Figure, caption: str, *, label: str) -> None:
        """Add a figure as inline SVG with its caption; the label is what a screen reader says."""
        self.parts.append(
            f"<figure>{svg_of(figure, label, len(self.parts))}<figcaption>{caption}</figcaption></figure>"
        )

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; columns of numbers are aligned to the right."""
        numeric = [all(isinstance(row[k], int | float) for row in rows) for k in range(len(head))]
        mark = [' class="n"' if is_number else "" for is_number in numeric]
        top = "".join(f"<th{m}>{html.escape(title)}</th>" for m, title in zip(mark, head, strict=True))
        lines = [
            "".join(f"<td{m}>{html.escape(cell_text(cell))}</td>" for m, cell in zip(mark, row, strict=True))
            for row in rows
        ]
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self.parts.append(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")

    def stamp(self, text: str) -> None:
        self.parts.append(f'<p class="stamp">{text}</p>')

    def html(self) -> str:
        head = [
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(self.title)}</title>",
            f"<style>{STYLE}</style>",
        ]
        lines = ['<!doctype html><html lang="en"><head>', *head, "</head><body>", *self.parts, "</body></html>"]
        return "\n".join(lines) + "\n"


def cell_text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def svg_of(figure: Figure, label: str, number: int) -> str:
    """Return a figure as an inline SVG element whose ids cannot meet those of another figure."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>f{number}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label, quote=True)}" ', 1)
