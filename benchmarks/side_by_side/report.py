"""A run as Markdown: benchmarks/RESULTS.md, and the part of it that README.md quotes."""

from __future__ import annotations

from collections.abc import Iterator
from operator import truediv
from pathlib import Path
from statistics import median

from benchmarks.side_by_side.results import GATEWAY, WITHOUT, YARDSTICK, Result, Run, spread

BEGIN, END = "<!-- quoted from benchmarks/RESULTS.md -->", "<!-- end of the quotation -->"

INTRODUCTION = """\
# Results

Written by `{command}`. Do not edit.

{facts}

`gateway` has everything on: JWT, rules, prices, records, a log line of JSON in a file; one worker, uvicorn with uvloop
and httptools. `yardstick` is a gateway written for speed alone, without any of the safety
([what it is](README.md#side_by_side)); what the prototype cost, to which the goals are ratios, is known from a run of
both. All take turns in one run and on one core; model server and clients have the other. Figures are medians over
rounds; beside them, how far the median may be off (95 of 100 times, by the quartiles and the number of rounds). A row
is void where that is more than 10 % for a ratio, 15 % for an absolute figure, or, for what a part adds, 5 % of the
call: the machine was busy.
"""


def write(run: Run, results: Path, readme: Path | None) -> None:
    """Write the results, and what README.md quotes of them."""
    results.write_text(markdown(run), "utf-8")
    if readme is not None:
        readme.write_text(with_quotation(readme.read_text("utf-8"), quotation(run)), "utf-8")


def markdown(run: Run) -> str:
    facts = "\n".join(f"- {name}: {value}" for name, value in run.facts.items())
    parts = [
        INTRODUCTION.format(command=run.command, facts=facts),
        "## In short\n\n" + BEGIN + "\n" + quotation(run) + END + "\n",
        "## Goals\n\n" + "\n".join(_goals(run)) + "\n",
        "## Where we lose\n\n" + "\n".join(_lost(run)) + "\n",
        "## All figures\n\n" + "\n".join(_all(run)) + "\n",
    ]
    if run.skipped:
        parts.append("## Not measured\n\n" + "\n".join(f"- {reason}" for reason in run.skipped) + "\n")
    return "\n".join(parts)


def quotation(run: Run) -> str:
    """A table of what costs how much, for README.md."""
    found = [each for each in run.results if each.row.prototype and each.counts and "CPU" in each.row.unit]
    if not found:
        return "The machine of the last run was busy with something else, so none of its figures counts here.\n"
    others = [name for name in _servers(run) if name not in (GATEWAY, YARDSTICK, "null") and name in PEERS]
    lines = ["| processor time | this gateway | " + " | ".join(["do-nothing app", *others]) + " |"]
    lines.append("|---" * (3 + len(others)) + "|")
    for each in found:
        figures = [_figure(each, name) for name in (GATEWAY, "null", *others)]
        lines.append(f"| {each.row.name}, µs | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


PEERS = ("LiteLLM", "claude-code-router", "Anthropic's gateway", "agentgateway")


def with_quotation(text: str, quotation: str) -> str:
    """The text, with what is between the two marks replaced.  Raises ValueError where a mark is missing."""
    before, after = text.index(BEGIN) + len(BEGIN) + 1, text.index(END)
    return text[:before] + quotation + text[after:]


def quoted(text: str) -> str:
    """What is between the two marks."""
    return text.partition(BEGIN + "\n")[2].partition(END)[0]


def _goals(run: Run) -> Iterator[str]:
    yield "| | unit | yardstick | gateway | x yardstick | x prototype | off by | goal | |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for each in run.results:
        row = each.row
        cells = [row.name, row.unit, _figure(each, YARDSTICK), _figure(each, GATEWAY), "", ""]
        if row.prototype:
            cells[-2:] = f"{median(each.measured) * row.prototype:.2f}", f"{median(each.measured):.2f}"
        goal = f"{row.goal:g}" + (" x" if row.prototype else "")
        yield "| " + " | ".join([*cells, _certainty(each), goal, _judged(each)]) + " |"


def show(each: Result) -> str:
    """For the terminal: a row with all its servers."""
    lines = [f"\n{each.row.name:52} {each.row.unit}, x {YARDSTICK}   {_certainty(each)}"]
    for name, figures in each.figures.items():
        ratio = ""
        if min(each.figures.get(YARDSTICK, [0])) > 0:
            ratio = f"{median(map(truediv, figures, each.figures[YARDSTICK])):9.2f}"
        lines.append(f"  {name:50} {median(figures):9,.{each.row.digits}f} {ratio}")
    return "\n".join(lines)


def _certainty(each: Result) -> str:
    return "once" if each.once else f"±{each.uncertainty:.0%}"


def _judged(each: Result) -> str:
    if not each.counts:
        return "void"
    return "met" if each.met else "**not met**"


def _lost(run: Run) -> Iterator[str]:
    lost = [each for each in run.results if each.met is False]
    for each in lost:
        wanted = (
            f"{each.row.goal:g} times the prototype" if each.row.prototype else f"{each.row.goal:g} {each.row.unit}"
        )
        digits = 2 if each.row.prototype else each.row.digits
        yield f"- {each.row.name}: the goal is {wanted}; measured {median(each.measured):,.{digits}f}."
    for each in run.results:
        ours = median(each.figures[GATEWAY])
        for name in PEERS:
            if name in each.figures and median(each.figures[name]) < ours:
                yield f"- {each.row.name}: {name} needs {_figure(each, name)}, this gateway {_figure(each, GATEWAY)}."
    if not lost:
        yield "No goal is missed."


def _servers(run: Run) -> list[str]:
    return list(dict.fromkeys(name for each in run.results for name in each.figures))


def _all(run: Run) -> Iterator[str]:
    servers = _servers(run)
    yield "| | unit | " + " | ".join(servers) + " |"
    yield "|---" * (2 + len(servers)) + "|"
    for each in run.results:
        cells = []
        for name in servers:
            if name not in each.figures:
                cells.append("")
                continue
            low, _, high = spread(each.figures[name])
            digits = each.row.digits
            cells.append(f"{_figure(each, name)} ({low:.{digits}f} to {high:.{digits}f})")
        yield f"| {each.row.name} | {each.row.unit} | " + " | ".join(cells) + " |"


def _figure(each: Result, name: str) -> str:
    if name not in each.figures:
        return ""
    figure = median(each.figures[name])
    share = f" (+{figure / median(each.figures[WITHOUT]):.0%})" if WITHOUT in each.figures and name == GATEWAY else ""
    return f"{figure:,.{each.row.digits}f}{share}"
