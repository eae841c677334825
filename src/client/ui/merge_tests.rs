//! Tests of the merger.

use super::*;
use crate::client::ui::gap_filter::LINE_MAX;
use crate::client::ui::style::Style;
use crate::wire::LogLine;

fn options(names: &[&str]) -> MergeOptions {
    MergeOptions {
        style: Style::plain(),
        names: names.iter().map(ToString::to_string).collect(),
        full_screen: Vec::new(),
        always_prefix: false,
        timestamps: false,
        strip: true,
        columns: None,
        json: false,
        whole_lines: false,
        selection: String::new(),
    }
}

fn merger(names: &[&str]) -> Merger {
    Merger::new(options(names))
}

fn source(process: &str) -> SourceInfo {
    SourceInfo {
        process: process.to_string(),
        stream: "stdout".to_string(),
        time_ns: 0,
    }
}

#[test]
fn lines_stay_whole_whatever_comes_between() {
    let mut merger = merger(&["a:0", "long:0"]);
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(b"one\ntw", &mut out);
    merger.source(&source("long:0"), &mut out);
    merger.data(b"other\n", &mut out);
    merger.source(&source("a:0"), &mut out);
    merger.data(b"o\n", &mut out);
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text, "a:0    | one\nlong:0 | other\na:0    | two\n");
}

#[test]
fn lines_get_a_prefix_when_a_second_process_comes() {
    for whole_lines in [true, false] {
        let mut merger = Merger::new(MergeOptions {
            strip: !whole_lines,
            whole_lines,
            ..options(&["a:0"])
        });
        let mut out = Vec::new();
        merger.source(&source("a:0"), &mut out);
        merger.data(b"one\ntw", &mut out);
        merger.source(&source("a:1"), &mut out);
        merger.data(b"other\n", &mut out);
        merger.source(&source("a:0"), &mut out);
        merger.data(b"o\n", &mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "one\na:1 | other\na:0 | two\n");
    }
}

#[test]
fn a_prompt_is_shown_and_continued() {
    let mut merger = merger(&["a:0", "b:0"]);
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(b"$ ", &mut out);
    assert!(out.is_empty() && merger.has_partial());
    merger.flush(&mut out);
    merger.data(b"ls\n$ ", &mut out);
    merger.flush(&mut out);
    merger.source(&source("b:0"), &mut out);
    merger.data(b"x\n", &mut out);
    merger.finish(&mut out);
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text, "a:0 | $ ls\na:0 | $ \nb:0 | x\n");
}

#[test]
fn one_process_has_no_prefix_and_progress_bars_their_last_version() {
    let mut merger = merger(&["a:0"]);
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(b"10%\r20%\r\nx\x1b[2J\r\n", &mut out);
    merger.skipped(12345, &mut out);
    merger.data(b"last", &mut out);
    merger.finish(&mut out);
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text, "20%\nx\n[12345 bytes skipped]\nlast\n");
}

/// The lines of a terminal that was sent these bytes.
fn on_screen(bytes: &[u8]) -> String {
    let size = |cells| std::num::NonZero::new(cells).expect("not zero");
    let mut screen = vt100::Parser::new(size(24), size(80), 0);
    screen.process(
        &String::from_utf8_lossy(bytes)
            .replace('\n', "\r\n")
            .into_bytes(),
    );
    screen.screen().contents()
}

#[test]
fn a_line_that_is_renewed_by_carriage_returns_shows_its_latest_state() {
    for (pieces, last) in [
        (&["\r 5%", "\r100%", "\r 7%", "\r"][..], " 7%"),
        (&["10%\r", "9%\r", "8%\r"], "8%"),
        (&["left ", "10%", "\r9%", " x", "\r8%", "\n"], "8%"),
        (&["text\r", "\n"], "text"),
    ] {
        for pauses in [true, false] {
            let mut merger = merger(&["a:0", "b:0"]);
            let mut out = Vec::new();
            merger.source(&source("a:0"), &mut out);
            for piece in pieces {
                merger.data(piece.as_bytes(), &mut out);
                if pauses {
                    merger.flush(&mut out);
                }
            }
            merger.flush(&mut out);
            assert_eq!(on_screen(&out), format!("a:0 | {last}"), "{pieces:?}");
        }
    }
}

#[test]
fn a_line_that_never_pauses_is_shown_unless_others_print() {
    let mut merger = merger(&["a:0", "b:0"]);
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(b"\r1%", &mut out);
    merger.data(b"\r2%", &mut out);
    assert_eq!(on_screen(&out), "a:0 | 2%");
    for n in 3..9 {
        merger.source(&source("b:0"), &mut out);
        merger.data(b"line\n", &mut out);
        merger.source(&source("a:0"), &mut out);
        merger.data(format!("\r{n}%").as_bytes(), &mut out);
    }
    merger.finish(&mut out);
    let expected = format!("a:0 | 2%\n{}a:0 | 8%", "b:0 | line\n".repeat(6));
    assert_eq!(on_screen(&out), expected);
}

#[test]
fn the_latest_state_of_a_renewed_line_stays_below_the_lines_of_others() {
    let on_terminal = MergeOptions {
        columns: Some(80),
        ..options(&["a:0", "b:0"])
    };
    let mut merger = Merger::new(on_terminal);
    let mut out = Vec::new();
    let line = |merger: &mut Merger, text: &str, out: &mut Vec<u8>| {
        merger.source(&source("b:0"), out);
        merger.data(text.as_bytes(), out);
    };
    line(&mut merger, "first\n", &mut out);
    for n in 1..4 {
        merger.source(&source("a:0"), &mut out);
        merger.data(format!("\r{n}%").as_bytes(), &mut out);
        assert!(on_screen(&out).ends_with(&format!("\na:0 | {n}%")));
        line(&mut merger, &format!("line {n}\n"), &mut out);
    }
    merger.notice("b:0", "[EXITED]", &mut out);
    let lines = "b:0 | first\nb:0 | line 1\nb:0 | line 2\nb:0 | line 3\nb:0 | [EXITED]\n";
    assert_eq!(on_screen(&out), format!("{lines}a:0 | 3%"));
    // A second line that renews itself waits for the first one.
    line(&mut merger, "\r50%", &mut out);
    assert_eq!(on_screen(&out), format!("{lines}a:0 | 3%"));
    merger.source(&source("a:0"), &mut out);
    merger.data(b"\rdone\n", &mut out);
    merger.flush(&mut out);
    assert_eq!(on_screen(&out), format!("{lines}a:0 | done\nb:0 | 50%"));
    // A prompt stays at the bottom, too.
    line(&mut merger, "\n", &mut out);
    merger.source(&source("a:0"), &mut out);
    merger.data(b"Name? ", &mut out);
    merger.flush(&mut out);
    line(&mut merger, "next\n", &mut out);
    let shown = on_screen(&out).trim_end().to_string();
    assert!(
        shown.ends_with("b:0 | 50%\nb:0 | next\na:0 | Name?"),
        "{shown}"
    );
}

#[test]
fn full_screen_output_is_left_out_with_a_notice() {
    let mut merger = Merger::new(MergeOptions {
        full_screen: vec!["b:0".to_string()],
        selection: "-c x.yaml".to_string(),
        ..options(&["a:0", "b:0"])
    });
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(b"one\n\x1b[?1049h\x1b[3;4Hgarbage\n", &mut out);
    merger.data(b"more\n\x1b[?1049ltwo\n", &mut out);
    merger.source(&source("b:0"), &mut out);
    merger.data(b"drawn\n", &mut out);
    let text = String::from_utf8(out).expect("text");
    let notice = |name| {
        format!("{name} | [full-screen output is left out; see it: tm -c x.yaml peek {name}]")
    };
    let expected = format!(
        "a:0 | one\n{}\na:0 | two\n{}\n",
        notice("a:0"),
        notice("b:0")
    );
    assert_eq!(text, expected);
}

#[test]
fn json_lines_are_objects() {
    let mut merger = Merger::new(MergeOptions {
        json: true,
        ..options(&["a:0"])
    });
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(b"x\ny", &mut out);
    merger.flush(&mut out);
    merger.finish(&mut out);
    let lines: Vec<LogLine> = String::from_utf8(out)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!((lines[0].text.as_str(), lines[1].text.as_str()), ("x", "y"));
}

#[test]
fn raw_output_of_one_process_is_untouched() {
    let mut merger = Merger::new(MergeOptions {
        strip: false,
        ..options(&["a:0"])
    });
    let mut out = Vec::new();
    merger.data(b"\x1b[2Jpart", &mut out);
    merger.finish(&mut out);
    assert_eq!(out, b"\x1b[2Jpart");
}

#[test]
fn in_a_pipe_no_line_is_torn_by_another() {
    for end in ["gress\n", ""] {
        let mut merger = Merger::new(MergeOptions {
            whole_lines: true,
            ..options(&["p1:0", "p2:0"])
        });
        let mut out = Vec::new();
        merger.source(&source("p1:0"), &mut out);
        merger.data(b"pro", &mut out);
        merger.flush(&mut out);
        assert!(out.is_empty() && !merger.has_partial());
        merger.source(&source("p2:0"), &mut out);
        merger.data(b"tick\n", &mut out);
        merger.source(&source("p1:0"), &mut out);
        merger.data(end.as_bytes(), &mut out);
        merger.finish(&mut out);
        let text = String::from_utf8(out).expect("text");
        let whole = format!("p2:0 | tick\np1:0 | pro{}\n", end.trim_end());
        assert_eq!(text, whole);
    }
}

#[test]
fn two_streams_of_one_process_do_not_tear_each_other_and_stay_as_they_are() {
    let mut merger = Merger::new(MergeOptions {
        whole_lines: true,
        strip: false,
        ..options(&["a:0"])
    });
    let mut out = Vec::new();
    let stderr = SourceInfo {
        stream: "stderr".to_string(),
        ..source("a:0")
    };
    merger.source(&source("a:0"), &mut out);
    merger.data(b"pro", &mut out);
    merger.source(&stderr, &mut out);
    merger.data(b"\x1b[2Jtick\r\n", &mut out);
    merger.source(&source("a:0"), &mut out);
    merger.data(b"gress\nlast", &mut out);
    merger.finish(&mut out);
    assert_eq!(out, b"\x1b[2Jtick\r\nprogress\nlast");
}

#[test]
fn a_very_long_line_does_not_wait_for_its_end() {
    let mut merger = Merger::new(MergeOptions {
        whole_lines: true,
        ..options(&["a:0", "b:0"])
    });
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(&[b'x'; LINE_MAX + 1], &mut out);
    assert!(out.len() > LINE_MAX);
}

#[test]
fn the_end_of_a_run_ends_its_line_once() {
    let mut merger = Merger::new(MergeOptions {
        whole_lines: true,
        ..options(&["a:0", "b:0"])
    });
    let mut out = Vec::new();
    merger.source(&source("a:0"), &mut out);
    merger.data(b"half", &mut out);
    merger.ended("a:0", &mut out);
    merger.notice("a:0", "[EXITED]", &mut out);
    // The daemon ends the line as well.
    merger.data(b"\n", &mut out);
    merger.data(b"\nnext\n", &mut out);
    let text = String::from_utf8(out).expect("text");
    let shown = "a:0 | half\na:0 | [EXITED]\na:0 | \na:0 | next\n";
    assert_eq!(text, shown);
}

/// A process of which 100 bytes are lost amid a line.
fn after_gap(json: bool, more: &[&[u8]]) -> String {
    let mut merger = Merger::new(MergeOptions {
        json,
        ..options(&["y:0"])
    });
    let mut out = Vec::new();
    merger.source(&source("y:0"), &mut out);
    merger.data(b"whole\nbegun", &mut out);
    merger.source(
        &SourceInfo {
            process: "y:0".to_string(),
            ..SourceInfo::default()
        },
        &mut out,
    );
    merger.skipped(100, &mut out);
    merger.source(&source("y:0"), &mut out);
    for bytes in more {
        merger.data(bytes, &mut out);
    }
    merger.finish(&mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn behind_a_gap_the_first_line_shown_is_whole() {
    let begin = "whole\nbegun\n";
    assert_eq!(
        after_gap(false, &[b"56 x", b"xx\nnext\n"]),
        format!("{begin}[107 bytes skipped]\nnext\n")
    );
    let torn = "no line end";
    assert_eq!(
        after_gap(false, &[torn.as_bytes()]),
        format!("{begin}[100 bytes skipped]\n{torn}\n")
    );
    let long = "x".repeat(LINE_MAX);
    assert_eq!(
        after_gap(false, &[long.as_bytes(), b"\nnext\n"]),
        format!("{begin}[100 bytes skipped]\n{long}\nnext\n")
    );
}

#[test]
fn a_gap_is_an_object_in_json() {
    let text = after_gap(true, &[b"56 x", b"xx\nnext\n"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[2], r#"{"process":"y:0","skipped":107}"#);
    assert!(lines[3].contains("next"), "{text}");
}

#[test]
fn a_prompt_behind_a_gap_is_shown() {
    let mut merger = merger(&["y:0"]);
    let mut out = Vec::new();
    merger.source(&source("y:0"), &mut out);
    merger.skipped(5, &mut out);
    assert!(!merger.has_partial(), "nothing has come yet");
    merger.data(b"$ ", &mut out);
    assert!(out.is_empty() && merger.has_partial());
    merger.flush(&mut out);
    assert_eq!(out, b"[5 bytes skipped]\n$ ");
}

#[test]
fn sources_and_lines_without_end_are_bounded() {
    for (json, whole_lines) in [(false, false), (false, true), (true, false)] {
        let mut merger = Merger::new(MergeOptions {
            json,
            whole_lines,
            ..options(&[])
        });
        let mut out = Vec::new();
        let mut printed = 0;
        for number in 0..700 {
            let name = format!("{}{number}", "x".repeat(60_000));
            merger.source(&source(&name), &mut out);
            if number % 3 == 0 {
                merger.skipped(1, &mut out);
            }
            merger.data(&[b'y'; 60_000], &mut out);
            printed += out.len();
            out.clear();
            assert!(merger.names <= NAMES_MAX + 64 * 1024);
            let held = merger.writer.held() + merger.gaps.held();
            assert!(held <= 2 * HELD_MAX + 64 * 1024, "{held}");
        }
        assert!(printed > 60_000 * 300, "{printed}");
    }
}

#[test]
fn more_sources_than_a_daemon_has_are_forgotten() {
    let mut merger = merger(&[]);
    let mut out = Vec::new();
    for number in 0..=SOURCES_MAX {
        merger.source(&source(&number.to_string()), &mut out);
    }
    assert_eq!(merger.sources.len(), 1);
    merger.data(b"last\n", &mut out);
    assert_eq!(out, format!("{SOURCES_MAX} | last\n").as_bytes());
}

#[test]
fn a_notice_is_broken_at_words() {
    let mut merger = Merger::new(MergeOptions {
        always_prefix: true,
        columns: Some(40),
        ..options(&["web:0"])
    });
    let mut out = Vec::new();
    let notice = "[STOPPED, killed after stoptime (20s), by request]";
    merger.notice("web:0", notice, &mut out);
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.lines()
            .all(|line| line.starts_with("web:0") && line.chars().count() <= 40)
    );
    let words = text
        .replace("web:0", "")
        .replace(['|', '\n', '[', ']'], " ");
    let wanted = notice.replace(['[', ']'], " ");
    assert!(
        words.split_whitespace().eq(wanted.split_whitespace()),
        "{text}"
    );
}
