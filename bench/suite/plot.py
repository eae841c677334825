"""Bar charts as SVG, without a library, for light and dark pages."""

import html

from .table import show

WIDTH, LABEL, BAR, GAP, TOP = 720, 190, 18, 6, 44
COLOURS = {"tmd": "#2f6fdb", "bare C": "#8a8f98", "raw pty": "#8a8f98"}
OTHERS = "#c9a227"


def bars(path, title, unit, figures):
    """Draws one bar per number, or text if there is none. The longest bar fills the width."""
    numbers = [value for value in figures.values() if isinstance(value, float)]
    longest = max(numbers, default=0) or 1
    room = WIDTH - LABEL - 110
    height = TOP + len(figures) * (BAR + GAP) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="15" font-weight="bold" fill="#1b1f24">'
        f"{html.escape(title)}{f' [{unit}]' if unit else ''}</text>",
    ]
    for number, (name, value) in enumerate(figures.items()):
        top = TOP + number * (BAR + GAP)
        base = top + BAR - 5
        lines.append(
            f'<text x="{LABEL - 8}" y="{base}" text-anchor="end" fill="#1b1f24">'
            f"{html.escape(name)}</text>"
        )
        length = value / longest * room if isinstance(value, float) else 0
        if isinstance(value, float):
            colour = COLOURS.get(name, OTHERS)
            lines.append(
                f'<rect x="{LABEL}" y="{top}" width="{max(length, 1):.1f}" height="{BAR}" '
                f'rx="2" fill="{colour}"/>'
            )
        lines.append(
            f'<text x="{LABEL + length + 6:.1f}" y="{base}" fill="#57606a">'
            f"{html.escape(show(value))}</text>"
        )
    lines.append("</svg>")
    path.write_text("\n".join(lines) + "\n")
