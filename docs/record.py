#!/usr/bin/env python3
"""Record docs/look.svg, a picture of a real terminal session.

Runs `tm` with configs/demo.yaml in a private tmux, captures the terminal with its colours, and
draws it. Needs tmux and a built `tm`:

    cargo build --release && docs/record.py target/release/tm
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 104, 47
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 8.43, 18, 14
BACKGROUND, FOREGROUND = "#16181d", "#d8dae0"
PALETTE = [
    "#3b3f4a", "#f0716b", "#7fcf7a", "#e5c162", "#6ea8fe", "#c792ea", "#5fd0d0", "#d8dae0",
    "#7d8494", "#ff8f8a", "#9be895", "#ffdc85", "#93c0ff", "#ddb0ff", "#86e8e8", "#ffffff",
]

# Typed text, the text to wait for, and whether to draw the screen.
SCENE = [
    ("tm up -d", "12 up, 1 done, 1 failed", False),
    ("clear", "$", False),
    ("tm status", "not started", False),
    ("tm why broken", "cannot work like this", True),
    ("clear", "$", False),
    ("tm attach repl", ">>>", False),
    ("2 ** 64", "18446744073709551616", False),
    ("\x01d", "detached", True),
]


class Terminal:
    """A private tmux server with one pane."""

    def __init__(self, folder, environment):
        self.base = ["tmux", "-L", f"look-{os.getpid()}", "-f", "/dev/null"]
        size = ["-x", str(COLUMNS), "-y", str(ROWS)]
        shell = ["env", "PS1=$ ", "bash", "--norc", "--noprofile"]
        command = [*self.base, "new-session", "-d", *size, "-c", folder, *shell]
        subprocess.run(command, env=environment, check=True)
        self.run("set", "-g", "status", "off")

    def run(self, *arguments):
        done = subprocess.run([*self.base, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def type(self, text):
        self.run("send-keys", "-l", text)
        if not text.startswith("\x01"):
            self.run("send-keys", "Enter")

    def wait_for(self, text):
        """Waits until the last lines contain the text and the screen no longer changes."""
        before, deadline = None, time.monotonic() + 20
        while True:
            screen = self.run("capture-pane", "-e", "-p")
            plain = re.sub(r"\x1b\[[0-9;]*m", "", screen)
            tail = "\n".join(plain.rstrip("\n").splitlines()[-12:])
            if text in tail and screen == before:
                return screen
            if time.monotonic() > deadline:
                sys.exit(f"{text!r} did not appear on:\n{plain}")
            before = screen
            time.sleep(0.3)


def colour_of(parameters, at):
    """Returns the colour of a 38 or 48 sequence, and the index after it."""
    if parameters[at + 1] == 5:
        index = parameters[at + 2]
        if index < 16:
            return PALETTE[index], at + 3
        if index >= 232:
            level = 8 + (index - 232) * 10
            return f"#{level:02x}{level:02x}{level:02x}", at + 3
        index -= 16
        steps = [0, 95, 135, 175, 215, 255]
        red, green, blue = steps[index // 36], steps[index // 6 % 6], steps[index % 6]
        return f"#{red:02x}{green:02x}{blue:02x}", at + 3
    red, green, blue = parameters[at + 2 : at + 5]
    return f"#{red:02x}{green:02x}{blue:02x}", at + 5


def apply(style, parameters):
    """Applies a sequence of graphic parameters to a style."""
    at = 0
    while at < len(parameters):
        code = parameters[at]
        at += 1
        if code == 0:
            style.clear()
        elif code in (1, 2, 3, 4, 7):
            style[{1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse"}[code]] = True
        elif code == 22:
            style.pop("bold", None), style.pop("dim", None)
        elif 30 <= code <= 37:
            style["colour"] = PALETTE[code - 30]
        elif 90 <= code <= 97:
            style["colour"] = PALETTE[code - 82]
        elif code == 38:
            style["colour"], at = colour_of(parameters, at - 1)
        elif code == 48:
            _, at = colour_of(parameters, at - 1)
        elif code == 39:
            style.pop("colour", None)


def spans(screen):
    """Yields each piece of text with its row, column and style. Styles continue across lines."""
    style = {}
    for row, line in enumerate(screen.rstrip("\n").split("\n")):
        column = 0
        for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
            if piece.startswith("\x1b["):
                apply(style, [int(number or 0) for number in piece[2:-1].split(";")])
            elif piece:
                yield row, column, piece, dict(style)
                column += len(piece)


def draw(screens):
    """Draws captured screens, one below the other."""
    width = COLUMNS * CELL_WIDTH + 32
    top, parts = 0, []
    for screen in screens:
        rows = screen.rstrip("\n").count("\n") + 1
        height = rows * CELL_HEIGHT + 56
        parts += window(screen, top, width, height)
        top += height + 12
    height = top - 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-size="{FONT_SIZE}" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def window(screen, top, width, height):
    """Draws one window with its screen."""
    rectangle = f'<rect y="{top}" width="{width:.0f}" height="{height}" rx="8"'
    parts = [f'{rectangle} fill="{BACKGROUND}"/>']
    for index, colour in enumerate(["#f0716b", "#e5c162", "#7fcf7a"]):
        parts.append(f'<circle cx="{22 + index * 20}" cy="{top + 20}" r="6" fill="{colour}"/>')
    for row, column, text, style in spans(screen):
        if not text.strip():
            continue
        blanks = len(text) - len(text.lstrip())
        text, column = text.strip(), column + blanks
        look = [f'fill="{style.get("colour", FOREGROUND)}"']
        if style.get("bold"):
            look.append('font-weight="bold"')
        if style.get("dim"):
            look.append('opacity="0.6"')
        x, y = 16 + column * CELL_WIDTH, top + 52 + row * CELL_HEIGHT
        look.append(f'x="{x:.2f}" y="{y}" textLength="{len(text) * CELL_WIDTH:.2f}"')
        parts.append(f'<text xml:space="preserve" {" ".join(look)}>{escape(text)}</text>')
    return parts


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tm = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "configs/demo.yaml", pathlib.Path(folder) / "taskmaster.yaml")
        environment = dict(os.environ, PATH=f"{tm.parent}:{os.environ['PATH']}", LANG="C.UTF-8")
        for name in ("TMUX", "TM_SOCKET", "NO_COLOR"):
            environment.pop(name, None)
        terminal = Terminal(folder, environment)
        try:
            screens = []
            for typed, wanted, shown in SCENE:
                terminal.type(typed)
                screen = terminal.wait_for(wanted)
                screens += [screen] if shown else []
            (ROOT / "docs/look.svg").write_text(draw(screens))
        finally:
            config = f"{folder}/taskmaster.yaml"
            subprocess.run([tm, "-c", config, "-q", "down"], env=environment, check=False)
            terminal.run("kill-server")


if __name__ == "__main__":
    main()
