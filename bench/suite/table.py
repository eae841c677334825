"""Measurements and their targets."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on our figure, or on its ratio to the figure of another contender."""

    text: str
    bound: float
    to: str = ""
    at_least: bool = False

    def reached(self, ours, other):
        value = ours if not self.to else ours / other
        return value >= self.bound if self.at_least else value <= self.bound


def at_most(bound, unit=""):
    return Target(f"≤ {bound:g} {unit}".strip(), bound)


def ratio(bound, to, at_least=False):
    return Target(f"{'≥' if at_least else '≤'} {bound:g} × {to}", bound, to, at_least)


@dataclasses.dataclass
class Row:
    """Figures by contender: a number, or a text if there is none."""

    group: str
    what: str
    unit: str
    figures: dict
    target: Target | None = None
    note: str = ""

    @property
    def ours(self):
        return self.figures.get("tmd")

    @property
    def other(self):
        return self.figures.get(self.target.to) if self.target and self.target.to else None

    def ratio(self):
        if isinstance(self.ours, float) and isinstance(self.other, float) and self.other:
            return self.ours / self.other
        return None

    def verdict(self):
        if not self.target or not isinstance(self.ours, float):
            return ""
        if self.target.to and self.ratio() is None:
            return "not comparable"
        return "reached" if self.target.reached(self.ours, self.other) else "**missed**"


class Table:
    def __init__(self):
        self.rows = []
        # Errors of parts that did not finish.
        self.incomplete = []

    def add(self, group, what, unit, figures, target=None, note=""):
        """Adds a row. A figure is a list of samples (shown as the median), a number or a text."""
        single = {name: one_figure(value) for name, value in figures.items()}
        row = Row(group, what, unit, single, target, note)
        self.rows.append(row)
        shown = ", ".join(f"{name} {show(value)}" for name, value in single.items())
        extra = f" ({row.verdict()}, target {target.text})" if target else ""
        print(f"{what} [{unit}]: {shown}{extra}", flush=True)
        return row


def one_figure(value):
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return float(statistics.median(value)) if value else "not measured"
    return float(value)


def show(value):
    """Formats with three significant digits and no exponent."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"
