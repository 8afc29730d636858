"""The figures in short, for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.latency.figures import ENGINE
from benchmarks.report.figures import EngineFigures, Findings
from benchmarks.report.scores import NOT_RUN, SCORE_COLUMNS, score_rows
from benchmarks.report.summary import summarise
from benchmarks.report.verdict import Verdict


def markdown(findings: Findings, verdicts: Sequence[Verdict]) -> str:
    """Summary, verdicts, scores, and peers where they were given; GitHub's table syntax."""
    parts = [" ".join(summarise(verdicts)), _verdicts(verdicts), _scores(findings.engines)]
    if findings.peers is not None:
        rows = [
            (p["name"], p["scope"], f"{p['median_s'] * 1e3:,.4g}", f"{p['faster']:.2f}")
            for p in findings.peers["figures"]
        ]
        parts.append(_table(("peer", "scope", "p50, ms", "× PyTorch eager"), rows))
    if findings.not_measured:
        parts.append("Not measured: " + "; ".join(what for what, _ in findings.not_measured) + ".")
    return "\n\n".join(parts) + "\n"


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (
            f"`{each.engine.name}`",
            f"**{each.word}**",
            each.reason,
            _milliseconds(each.engine),
            f"{each.engine.size / 1e6:.1f}",
        )
        for each in verdicts
    ]
    return _table(("engine", "verdict", "why", "p50, ms", "MB"), rows)


def _scores(engines: Sequence[EngineFigures]) -> str:
    rows = [
        (
            f"`{row.name}`",
            *(f"{c.text} ({c.difference})" if c.difference else c.text for c in row.cells),
        )
        for row in score_rows(engines)
    ]
    return _table(("engine", *SCORE_COLUMNS), rows)


def _milliseconds(engine: EngineFigures) -> str:
    found = engine.latency.get(ENGINE)
    return NOT_RUN if found is None else f"{found.p50 * 1e3:.1f}"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A bar would end the cell."""
    return text.replace("|", "\\|")
