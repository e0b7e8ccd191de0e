"""What a run found: rows with their bars, as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to reach, or may not pass where `at_most`."""

    value: float
    at_most: bool = False

    def shortfall(self, figure: float) -> float:
        """How much is missing, as a share of the bar; 0 where it is met."""
        missing = (figure - self.value) if self.at_most else (self.value - figure)
        return max(0.0, missing / self.value)

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {_short(self.value)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit; a ratio has none and names in `what` what it is a ratio to."""

    value: float
    unit: str = ""
    bar: Bar | None = None
    what: str = ""

    @property
    def ratio(self) -> bool:
        return self.unit == ""

    def __str__(self) -> str:
        return " ".join(filter(None, (_short(self.value), self.unit, self.what)))


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. Without figures `why` says what went wrong: no figure is better than one of
    a run that lost something."""

    what: str
    figures: Sequence[Figure] = ()
    why: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if not self.figures:
            return f"no figure: {self.why}"
        barred = [figure for figure in self.figures if figure.bar]
        short = [_verdict(figure) for figure in barred if figure.bar.shortfall(figure.value)]  # type: ignore[union-attr]
        return "; ".join(short) or ("met" if barred else "")

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "verdict": self.verdict,
            "figures": [asdict(figure) for figure in self.figures],
            "details": self.details,
        }


def table(rows: Sequence[Row]) -> str:
    """`what | ratios | figures | bars | how far`, one row each, and below it what stands behind."""
    lines = [("what", "ratio", "figure", "bar", "how far"), *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    ratios = ", ".join(str(figure) for figure in row.figures if figure.ratio)
    figures = ", ".join(str(figure) for figure in row.figures if not figure.ratio)
    bars = ", ".join(f"{figure.bar} {figure.what}".strip() for figure in row.figures if figure.bar)
    return row.what, ratios, figures, bars, row.verdict


def _verdict(figure: Figure) -> str:
    assert figure.bar is not None
    share = 100 * figure.bar.shortfall(figure.value)
    name = figure.what or figure.unit
    return f"{name}: {share:.0f} % {'over' if figure.bar.at_most else 'short'}"


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
