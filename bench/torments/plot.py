"""Draws samples over time as an SVG, without a library."""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 900, 130, 70, 20, 50, 46
POINTS = 240
PANELS = [
    ("anon_kib", "memory of the daemon (private), MiB", 1 / 1024, "#1b6ca8"),
    ("fds", "open descriptors", 1, "#2d7d46"),
    ("alive", "living processes", 1, "#8a6d1a"),
    ("zombies", "zombies", 1, "#a8321b"),
    ("status_ms", "status, slowest of 20 per second, ms", 1, "#6a3d9a"),
    ("idle_ms", "the same for an idle daemon, ms", 1, "#777777"),
]


def draw(samples, minutes, path):
    height = TOP + len(PANELS) * (HEIGHT + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        '  font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{minutes:g} minutes of everything at once, '
        f"{len(samples)} samples</text>",
    ]
    for number, panel in enumerate(PANELS):
        out += draw_panel(samples, panel, TOP + number * (HEIGHT + GAP))
    out.append("</svg>\n")
    path.write_text("\n".join(out))


def draw_panel(samples, panel, top):
    key, title, scale, colour = panel
    values = [sample[key] * scale for sample in thinned(samples, key)]
    times = [sample["at_s"] for sample in thinned(samples, key)]
    end = max(times[-1], 1)
    ceiling = max(max(values) * 1.15, 1)
    across = WIDTH - LEFT - RIGHT

    def place(at, value):
        x, y = LEFT + across * at / end, top + HEIGHT * (1 - value / ceiling)
        return f"{x:.1f},{y:.1f}"

    lines = [f'<text x="{LEFT}" y="{top - 6}">{title}</text>']
    for part in (0, 0.5, 1):
        y = top + HEIGHT * (1 - part)
        lines.append(
            f'<path d="M{LEFT} {y:.1f}h{across}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{ceiling * part:.3g}</text>'
        )
    for part in range(7):
        x = LEFT + across * part / 6
        lines.append(
            f'<text x="{x:.1f}" y="{top + HEIGHT + 16}" text-anchor="middle" fill="#777">'
            f"{end * part / 360:.3g} min</text>"
        )
    points = [place(*pair) for pair in zip(times, values)]
    lines.append(f'<polyline fill="none" stroke="{colour}" points="')
    lines += [" ".join(points[at : at + 7]) for at in range(0, len(points), 7)]
    lines.append('"/>')
    return lines


def thinned(samples, key):
    """Returns at most POINTS samples: the highest of each stretch, so that peaks stay visible."""
    stretch = max(1, -(-len(samples) // POINTS))
    starts = range(0, len(samples), stretch)
    return [max(samples[at : at + stretch], key=lambda s: s[key]) for at in starts]
