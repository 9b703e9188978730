"""The demo's report as one self-contained HTML page: styles, figures and tables are inside it."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

STYLE = """
:root { --ink: #1d2433; --quiet: #5f687a; --line: #e3e6ec; --paper: #fbfaf7; --accent: #2b5c9e; }
* { box-sizing: border-box; }
html { background: var(--paper); }
body { margin: 0 auto; max-width: 52rem; padding: 3.5rem 1.5rem 5rem; color: var(--ink);
       font: 17px/1.6 Charter, "Iowan Old Style", Georgia, "Liberation Serif", serif; }
h1, h2, .number, nav, figcaption, table, code, .stamp { font-family: Inter, "Helvetica Neue", Arial, "Liberation Sans", sans-serif; }
h1 { font-size: 2.3rem; line-height: 1.15; letter-spacing: -0.02em; margin: 0 0 0.6rem; }
h2 { font-size: 1.25rem; letter-spacing: -0.01em; margin: 3.2rem 0 0.6rem; }
h2 .count { color: var(--accent); margin-right: 0.5em; font-variant-numeric: tabular-nums; }
p { margin: 0.6rem 0; }
.lead { font-size: 1.15rem; color: var(--quiet); }
.numbers { display: flex; flex-wrap: wrap; gap: 0.8rem 2.6rem; margin: 2rem 0 0; padding: 1.3rem 0; border: solid var(--line);
           border-width: 1px 0; }
.number b { display: block; font-size: 1.6rem; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.number span { font-size: 0.78rem; color: var(--quiet); }
figure { margin: 1.4rem 0 0; padding: 1rem 1rem 0.9rem; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-size: 0.84rem; line-height: 1.5; color: var(--quiet); margin-top: 0.7rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.82rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--quiet); border-bottom: 1px solid var(--ink); padding: 0.3rem 0.8rem 0.3rem 0; }
td { border-bottom: 1px solid var(--line); padding: 0.32rem 0.8rem 0.32rem 0; vertical-align: top; }
td.n, th.n { text-align: right; }
pre { font: 0.84rem/1.55 "JetBrains Mono", Menlo, Consolas, "Liberation Mono", monospace; background: #f1f0eb; padding: 0.7rem 1rem;
      border-radius: 6px; overflow-x: auto; margin: 0.8rem 0; }
code { font-family: "JetBrains Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.86em; }
.notice { border-left: 3px solid #c2552d; padding: 0.1rem 0 0.1rem 1rem; color: var(--quiet); }
.stamp { margin-top: 3.5rem; font-size: 0.78rem; color: var(--quiet); }
@media print { body { max-width: none; padding: 0; } figure, table { break-inside: avoid; } }
"""


class Page:
    """An HTML page that is written from top to bottom."""

    def __init__(self, title: str, lead: str) -> None:
        self.title = title
        self.parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{lead}</p>']
        self.n_sections = 0

    def numbers(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add a band of large numbers, each with what it counts."""
        cells = "".join(f'<div class="number"><b>{html.escape(n)}</b><span>{html.escape(t)}</span></div>' for n, t in rows)
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
        self.parts.append(f"<figure>{svg_of(figure, label, len(self.parts))}<figcaption>{caption}</figcaption></figure>")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; columns of numbers are aligned to the right."""
        numeric = [all(isinstance(row[k], int | float) for row in rows) for k in range(len(head))]
        mark = [' class="n"' if is_number else "" for is_number in numeric]
        top = "".join(f"<th{m}>{html.escape(title)}</th>" for m, title in zip(mark, head, strict=True))
        lines = [
            "".join(f"<td{m}>{html.escape(cell_text(cell))}</td>" for m, cell in zip(mark, row, strict=True)) for row in rows
        ]
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self.parts.append(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")

    def stamp(self, text: str) -> None:
        self.parts.append(f'<p class="stamp">{text}</p>')

    def html(self) -> str:
        body = "\n".join(self.parts)
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        title = html.escape(self.title)
        return f'<!doctype html><html lang="en"><head>{head}<title>{title}</title><style>{STYLE}</style></head><body>{body}</body></html>\n'


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
