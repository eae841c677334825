use super::*;

fn fed(text: &str) -> Tracker {
    let mut tracker = Tracker::new(0);
    tracker.feed(text.as_bytes());
    tracker
}

fn restored(text: &str) -> String {
    String::from_utf8(fed(text).restore_sequence()).expect("text")
}

fn reset(text: &str) -> String {
    String::from_utf8(fed(text).reset_sequence()).expect("text")
}

#[test]
fn a_fresh_terminal_needs_nothing() {
    assert_eq!(restored("plain \x1b[1;31mtext\x1b[m\r\n\x1b[2J\x1b[H"), "");
    assert_eq!(reset("plain text\r\n"), "\x1b[m");
    assert_eq!(
        restored("\x1b[?1000h\x1b[?1000l\x1b[?25l\x1b[?25h\x1b[?7l\x1b[?7h"),
        ""
    );
}

#[test]
fn modes_are_remembered_and_undone() {
    let on = "\x1b[?1049h\x1b[?1;2004;1002;1006h\x1b[?25l\x1b=\x1b[5 q\x1b[>4;2m\x1b[2;9r";
    assert_eq!(
        restored(on),
        "\x1b[?1049h\x1b[2;9r\x1b[?1002h\x1b[?1006h\
         \x1b[?2004h\x1b[?1h\x1b[?25l\x1b=\x1b[>4;2m\x1b[5 q"
    );
    assert_eq!(
        reset(on),
        "\x1b[?1002l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[>4m\x1b[?1049l\
         \x1b7\x1b[r\x1b8\x1b[0 q\x1b[?25h\x1b[m"
    );
    let off = "\x1b[?1049l\x1b[?1;2004;1002;1006l\x1b[?25h\x1b>\x1b[0 q\x1b[>4m\x1b[r";
    assert_eq!(restored(&format!("{on}{off}")), "");
}

#[test]
fn what_was_restored_gives_the_same_tracker() {
    let on = "\x1b[>1u\x1b[?1049h\x1b[>5u\x1b[>3u\x1b[=2;2u\x1b[?1000;1003;1006;1016;1004;2048h\
              \x1b[?69h\x1b[3;20r\x1b[5;40s\x1b[4h\x1b[20h\x1b(0\x0e\x1b]2;títle\x07\
              \x1b]11;#112233\x07\x1b]8;id=1;http://x/\x07\x1b[?6h\x1b[?7;12;25l\x1b[?45h";
    let first = fed(on);
    let mut second = Tracker::new(0);
    second.feed(&first.restore_sequence());
    assert_eq!(second.restore_sequence(), first.restore_sequence());
    assert_eq!(second.reset_sequence(), first.reset_sequence());
    let mut third = first.clone();
    third.feed(&first.reset_sequence());
    assert_eq!(
        String::from_utf8_lossy(&third.restore_sequence()),
        "\x1b]2;títle\x07"
    );
    assert_eq!(third.reset_sequence(), b"\x1b[m");
    assert!(first.is_left_on() && !third.is_left_on());
    assert!(fed("\x1b[31mred").is_left_on() && !fed("\x1b[31mred\x1b[0m.").is_left_on());
}

#[test]
fn what_few_terminals_know_is_undone_too() {
    let on = "\x1b[?67;1042h\x1b[?8l\x1b[2h\x1b[12l\x1b]9;4;1;40\x07\x1b]22;text\x1b\\";
    assert_eq!(
        reset(on),
        "\x1b[?1042l\x1b[?8h\x1b[?67l\x1b[2l\x1b[12h\x1b]9;4;0\x07\x1b]22;\x07\x1b[m"
    );
    assert_eq!(reset(&format!("{on}{}", reset(on))), "\x1b[m");
    // A locked keyboard is never restored: the user could not detach.
    assert_eq!(
        restored(on),
        "\x1b[?1042h\x1b[?8l\x1b[?67h\x1b[12l\x1b]9;4;1;40\x07\x1b]22;text\x07"
    );
    let nothing = "\x1b]9;a word\x07\x1b]9;4;0;0\x07\x1b]22;?text\x07\x1b]22;\x07\x1b]22;>text\x07";
    assert_eq!(reset(nothing), "\x1b[m");
    // The rest of these sequences would be a query.
    let nothing = "\x1b]22;\u{fffd}?text\x07\x1b]9;4;1;\u{fffd}?\x07";
    assert_eq!(reset(nothing), "\x1b[m");
}

#[test]
fn of_several_mouse_modes_the_last_one_counts() {
    assert_eq!(
        restored("\x1b[?1003h\x1b[?1000h"),
        "\x1b[?1000h\x1b[?1003h\x1b[?1000h"
    );
    let in_order = "\x1b[?1000h\x1b[?1003h";
    assert_eq!(restored(in_order), in_order);
    // The last mode is off again, so it is unknown which of the others takes effect.
    let off_again = format!("{in_order}\x1b[?1002h\x1b[?1002l");
    assert_eq!(restored(&off_again), in_order);
    assert_eq!(restored(&restored(&off_again)), in_order);
}

#[test]
fn leaving_the_alternate_screen_brings_back_no_other_letters() {
    // 1049 restores the cursor, and with it the character sets that it was saved with.
    for saved in ["\x0e", "\x1b)0\x0e", "\x1b(0"] {
        let mut tracker = fed(&format!("{saved}\x1b[?1049h\x0f\x1b(B\x1b)B"));
        tracker.feed(&tracker.clone().reset_sequence());
        assert_eq!(tracker.restore_sequence(), b"", "{saved:?}");
    }
}

#[test]
fn keyboard_stacks_belong_to_their_screens() {
    let text = "\x1b[>1u\x1b[?1049h\x1b[>7u\x1b[>15u\x1b[<1u";
    assert_eq!(restored(text), "\x1b[>1u\x1b[?1049h\x1b[>7u");
    assert_eq!(reset(text), "\x1b[<1u\x1b[?1049l\x1b[<1u\x1b[m");
    assert_eq!(restored("\x1b[>1u\x1b[<u\x1b[<9u"), "");
    assert_eq!(restored("\x1b[=5u"), "\x1b[=5;1u");
    let deep = "\x1b[>1u".repeat(1000);
    assert!(restored(&deep).len() < 200);
}

#[test]
fn resets_reset() {
    assert_eq!(restored("\x1b[?1049;1000;2004h\x1b[>1u\x1b[?25l\x1bc"), "");
    assert_eq!(
        restored("\x1b[?25l\x1b[?1h\x1b[4h\x1b(0\x1b[2;5r\x1b[!p"),
        ""
    );
    assert!(!fed("\x1b[?1049h\x1bc").alternate());
}

#[test]
fn titles_are_bounded_and_printable() {
    assert_eq!(fed("\x1b]0;a\x01b\x07").title(), Some("ab"));
    assert_eq!(fed("\x1b]2;a\x1b\\\x1b]1;icon\x07").title(), Some("a"));
    assert_eq!(fed("\x1b]2;\x07").title(), None);
    let long = format!("\x1b]2;{}\x07", "é".repeat(5000));
    assert!(fed(&long).title().is_some_and(|title| title.len() <= 512));
}

#[test]
fn a_terminal_in_the_midst_of_something_is_freed_from_it() {
    assert_eq!(reset("\x1b]0;half a title"), "\x18\x1b[m");
    assert_eq!(reset("\x1b[?2026h"), "\x1b[?2026l\x1b[m");
    assert_eq!(restored("\x1b[?2026h"), "");
}

#[test]
fn queries_are_reported_once_in_order() {
    let text = "\x1b[c\x1b[0c\x1b[>c\x1b[5n\x1b[6n\x1b[?6n\x1b[?2026$p\x1b[4$p\x1b[>q\x1b[>0q\
                \x1b[?1;2c\x1b[0n\x1b[3;4R\x1b]11;?\x07\x1b[ q";
    let mut tracker = fed(text);
    let queries = tracker.take_queries();
    use Query::*;
    let mode = |private, mode| Mode { private, mode };
    assert_eq!(
        queries,
        [
            PrimaryAttributes,
            PrimaryAttributes,
            SecondaryAttributes,
            Status,
            CursorPosition { private: false },
            CursorPosition { private: true },
            mode(true, 2026),
            mode(false, 4),
            Version,
            Version
        ]
    );
    assert_eq!(tracker.take_queries(), []);
    assert_eq!(tracker.restore_sequence(), b"");
    assert_eq!(
        CursorPosition { private: false }.answer((2, 7)),
        b"\x1b[3;8R"
    );
    assert_eq!(mode(true, 2026).answer((0, 0)), b"\x1b[?2026;0$y");
    let mut flooded = fed(&"\x1b[c".repeat(1000));
    assert_eq!(flooded.take_queries().len(), 64);
}

#[test]
fn checkpoints_start_lines_of_a_settled_terminal() {
    let lines = "\x1b[31ma line of text\x1b[m\r\n".repeat(500);
    let tracker = fed(&lines);
    let found = checkpoints(&tracker);
    assert!(found.len() > 3);
    let starts_line = |at: &u64| lines[..*at as usize].ends_with("\r\n");
    assert!(found.iter().all(starts_line));
    for unusual in [
        "\x1b[?1049h",
        "\x1b[2;9r",
        "\x1b[?7l",
        "\x1b[4h",
        "\x1b(0",
        "\x1b[1m",
    ] {
        let text = format!("{unusual}{}", "line\r\n".repeat(3000));
        assert!(checkpoints(&fed(&text)).is_empty(), "{unusual:?}");
    }
    assert!(checkpoints(&fed(&"no return\n".repeat(3000))).is_empty());
    let positioned = |text| fed(text).state.checkpoints.last_positioned();
    assert_eq!(positioned("text\x1b[3;3Hmore"), 10);
    assert_eq!(positioned("text\x1b[31m\x1b[K\x1b[?2004h\r\n"), 0);
}

fn checkpoints(tracker: &Tracker) -> Vec<u64> {
    let all = &tracker.state.checkpoints;
    let next = |at: &u64| all.first_from(at + 1);
    std::iter::successors(all.first_from(0), next).collect()
}

#[test]
fn checkpoints_do_not_depend_on_how_the_stream_is_cut() {
    let lines = "fourteen bytes\r\n".repeat(500);
    let whole = fed(&lines);
    for cut in [1, 7, 15, 16, 2048, 4096] {
        let mut tracker = Tracker::new(0);
        lines
            .as_bytes()
            .chunks(cut)
            .for_each(|part| tracker.feed(part));
        assert_eq!(checkpoints(&tracker), checkpoints(&whole), "{cut}");
    }
}

#[test]
fn titles_that_were_put_aside_come_back() {
    let text = "\x1b]2;mine\x07\x1b[22;0;0t\x1b]2;theirs\x07";
    assert_eq!(restored(text), "\x1b]2;mine\x07\x1b[22;2t\x1b]2;theirs\x07");
    assert_eq!(reset(text), "\x1b[23;2t\x1b[m");
    assert_eq!(fed(&format!("{text}\x1b[23;0;0t")).title(), Some("mine"));
}

#[test]
fn colours_of_the_palette_are_remembered_and_undone() {
    let text = "\x1b]4;1;#112233;200;rgb:1/2/3\x07\x1b]4;7;?\x07";
    assert_eq!(
        restored(text),
        "\x1b]4;1;#112233\x07\x1b]4;200;rgb:1/2/3\x07"
    );
    assert_eq!(reset(text), "\x1b]104;1\x07\x1b]104;200\x07\x1b[m");
    assert_eq!(restored(&format!("{text}\x1b]104;1\x07\x1b]104\x07")), "");
}

#[test]
fn cuts_anywhere_change_nothing() {
    for seed in 1..40u64 {
        let mut state = seed;
        let mut next = move |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(31);
            (state >> 33) as usize % n
        };
        const PIECES: [&str; 30] = [
            "plain text\r\n",
            "é✓🎉",
            "\x1b[1;31m",
            "\x1b[?1049h",
            "\x1b[?1049l",
            "\x1b[?25l",
            "\x1b[?1000;1006h",
            "\x1b[>1u",
            "\x1b[<u",
            "\x1b]0;tïtle\x07",
            "\x1b]8;;http://x\x1b\\",
            "\x1b]8;;\x07",
            "\x1b(0",
            "\x1b(B",
            "\x0e",
            "\x0f",
            "\x1b[2J",
            "\x1b[3;9r",
            "\x1b7",
            "\x1b8",
            "\x1b=",
            "\x1b[6n",
            "\x1bPq#1\x1b\\",
            "\x1b[4",
            "\x1b[!p",
            "\x18",
            "\x1b]2;cut",
            "\x1b[>4;2m",
            "\x1b[?2026h",
            "\x1b",
        ];
        let stream: String = (0..60).map(|_| PIECES[next(PIECES.len())]).collect();
        let bytes = stream.as_bytes();
        let mut whole = Tracker::new(9);
        whole.feed(bytes);
        for cut in 0..=bytes.len() {
            let mut tracker = Tracker::new(9);
            tracker.feed(&bytes[..cut]);
            tracker.feed(&bytes[cut..]);
            assert_eq!(tracker, whole, "seed {seed} cut at {cut}");
        }
        let mut tracker = Tracker::new(9);
        bytes.iter().for_each(|byte| tracker.feed(&[*byte]));
        assert_eq!(tracker, whole, "seed {seed}");
    }
}

#[test]
fn a_link_whose_target_cannot_be_kept_is_closed_and_not_restored() {
    let [long, longer] = [600, 2000].map(|len| format!("\x1b]8;;{}\x07", "x".repeat(len)));
    for on in [
        "\x1b]8;;\u{80}\x07",
        "\x1b]8;id=1;\u{80}\x07",
        &long,
        &longer,
    ] {
        assert_eq!(reset(on), "\x1b]8;;\x07\x1b[m", "{on:?}");
        assert_eq!(restored(on), "", "{on:?}");
    }
    assert_eq!(restored("\x1b]8;;a;\x07"), "\x1b]8;;a;\x07");
}

#[test]
fn noise_is_survived_and_bounded() {
    let mut state = 1u64;
    let mut tracker = Tracker::new(0);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..4096)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(17);
                let byte = (state >> 40) as u8;
                if byte.is_multiple_of(7) {
                    0x1b
                } else {
                    byte & 0x7f
                }
            })
            .collect();
        tracker.feed(&noise);
    }
    assert!(tracker.restore_sequence().len() < 4096);
    assert!(tracker.reset_sequence().len() < 1024);
}

#[test]
fn a_link_that_leaving_the_alternate_screen_brings_back_is_closed() {
    let mut tracker = fed("\x1b]8;;http://a\x07x\x1b[?1049h\x1b]8;;\x07y");
    let reset = tracker.reset_sequence();
    tracker.feed(&reset);
    assert_eq!(tracker.restore_sequence(), b"");
}
