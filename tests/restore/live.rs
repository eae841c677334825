//! Makes the recordings: programs on a terminal, with a typing user.

use super::recorded::{SIZE, path};
use super::support::{self, Terminal, command};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::io::Write as _;

/// Settings of a view that shows only the processes started here.
const ALONE: &str = "(sleep 60 & sleep 61 & sleep 62 & exec ";

#[test]
#[ignore = "renews the recordings; .ci/run recordings runs it"]
fn recordings_are_made_on_demand() {
    record("vim", "vim -u NONE -N text", vim);
    record("less", "less -M text", |terminal| {
        terminal.expect("line 10 ");
        terminal.send("G");
        terminal.expect("line 400 ");
        terminal.send("g/line 77\r");
        terminal.expect("line 80 ");
        terminal.send("   bbb&line 3\r");
        terminal.expect("line 300 ");
        terminal.send("q");
    });
    record("top", &format!("{ALONE}top -d 0.1 -n 12)"), |terminal| {
        terminal.expect("PID");
        terminal.send("z1");
    });
    record("htop", &format!("{ALONE}htop -d 1)"), |terminal| {
        terminal.expect("sleep 62");
        terminal.send("t/sleep\x1b[B");
        terminal.expect("Search");
        terminal.send("\rS");
        terminal.expect("Setup");
        terminal.send("\x1b[B\x1b[B\x1b[21~");
        terminal.expect("sleep 61");
        terminal.send("q");
    });
    record("python", "python3 -q", |terminal| {
        terminal.expect(">>>");
        terminal.send("for i in range(300): print(i, '\\x1b[3%dmx\\x1b[m' % (i % 8))\n\r\n\r");
        terminal.expect("299");
        terminal.send("print('ab\x1b[D\x1b[DX\x1b[F日本')\r");
        terminal.expect("\nXab日本");
        terminal.send("exit()\r");
    });
    record("bash", "bash --norc -i", bash);
    let menu = "dialog --title Install --menu 'Which one' 15 50 5 1 one 2 two 3 three; \
                for n in $(seq 0 4 100); do echo $n; done | dialog --gauge Copying 8 50; \
                dialog --colors --yesno '\\Z1Restart\\Zn now' 8 40";
    record("dialog", menu, |terminal| {
        terminal.expect("three");
        terminal.send("\x1b[B\x1b[B\x1b[A\r");
        terminal.expect("Restart");
        terminal.send("\t\r");
    });
    let progress = "for i in $(seq 300); do printf '\\r\\033[K[%-60s] %3d' \
                    $(printf '#%.0s' $(seq $((i / 5 + 1)))) $i; done; echo; \
                    for i in $(seq 60); do printf 'layer one %d\\nlayer two %d\\n\\033[2A' $i $i; \
                    done; printf '\\n\\n'";
    record("progress", progress, |_| {});
    let lines = "seq -f 'line %g of a log, which is longer than the terminal is wide on some \
                 lines but not on all of them' 1500; printf 'no end'";
    record("lines", lines, |_| {});
}

fn vim(terminal: &mut Terminal) {
    terminal.expect("line 10 ");
    terminal.send(":syntax on\r:set number ruler hlsearch title\r");
    terminal.send("G");
    terminal.expect("line 400 ");
    terminal.send(":split\r:vsplit\rgg");
    terminal.expect("line 3 ");
    terminal.send("/line 77\rihello wörld ✓\x1b");
    terminal.expect("wörld ✓");
    terminal.send("ggVGd");
    terminal.expect("No lines in buffer");
    terminal.send("u");
    terminal.expect("more lines");
    for page in 0..40 {
        terminal.send(if page % 2 == 0 { "\x06" } else { "\x15" });
    }
    terminal.send(":echo \"do\".\"ne\"\r");
    terminal.expect("done");
    terminal.send(":qa!\r");
}

fn bash(terminal: &mut Terminal) {
    terminal.send("PS1='\\[\\e[1;32m\\]me\\[\\e[m\\]:\\[\\e[44m\\]here\\[\\e[m\\]\\$ '\r");
    terminal.expect("me:here");
    terminal.send("for n in $(seq 900); do printf '\\e[3%dm%s\\e[0m\\t' $((n % 8)) dir$n; done\r");
    terminal.send("echo en''d\r");
    terminal.expect("end");
    terminal.send(
        "abc\x02\x02X\x05 long line that wraps around the edge of the screen, \
         since it has more characters than there are columns\x01\x0b",
    );
    terminal.send("clear; printf '日本語 🎉 e\u{301}'; echo las''t\r");
    terminal.expect("last");
    terminal.send("exit\r");
}

fn record(name: &str, script: &str, work: impl FnOnce(&mut Terminal)) {
    let folder = support::folder();
    let mut text = String::new();
    for line in 1..=400 {
        let words = "word ".repeat(line % 40);
        let _ = writeln!(text, "line {line} of this text: {words}");
    }
    std::fs::write(folder.path().join("text"), text).expect("a text to look at");
    let program = script.trim_start_matches(ALONE);
    let program = program.split_whitespace().next().unwrap_or_default();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&paths).any(|path| path.join(program).exists());
    if !installed && ["vim", "less", "top", "htop", "dialog", "python3"].contains(&program) {
        eprintln!("{program} is not installed: its recording stays");
        return;
    }
    let mut inner = command("unshare", folder.path());
    inner.args([
        "--fork",
        "--pid",
        "--kill-child",
        "--mount-proc",
        "bash",
        "-c",
        script,
    ]);
    inner
        .env("TERM", "xterm-256color")
        .env("HOME", folder.path());
    inner.env("LC_ALL", "C.UTF-8");
    let mut terminal = Terminal::spawn_command(&inner, SIZE.0, SIZE.1);
    work(&mut terminal);
    terminal.wait_end();
    let file = std::fs::File::create(path(name)).expect("its folder is there");
    let mut encoder = GzEncoder::new(file, Compression::best());
    encoder.write_all(terminal.raw()).expect("there is room");
    encoder.finish().expect("there is room");
    eprintln!("{name}: {} bytes", terminal.raw().len());
}
