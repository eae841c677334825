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

/// Checks what undoes `on`, and that a client which attaches gets `set`.
fn check(on: &str, undone: &str, set: &str) {
    assert_eq!(reset(on), format!("{undone}\x1b[m"), "{on:?}");
    assert_eq!(restored(on), set, "{on:?}");
    let undo = reset(on);
    assert_eq!(reset(&format!("{on}{undo}")), "\x1b[m", "{on:?}");
    assert_eq!(restored(&format!("{on}{undo}")), "", "{on:?}");
    assert!(fed(on).is_left_on(), "{on:?}");
}

#[test]
fn every_private_mode_that_terminals_document_is_undone() {
    let off = "4 5 20 40 41 42 44 45 1004 1014 1037 1039 1042 1043 1045 1050 1051 1052 1053 1060 \
               1061 1337 2001 2002 2003 2004 2005 2006 2017 2027 2029 2030 2031 2048 2500 2521 \
               5522 7700 7727 7728 7765 7767 7769 7783 7787 8452 9001 19997 77000 77009 77031 \
               77096";
    for mode in off.split_whitespace() {
        let [set, undo] = ["h", "l"].map(|last| format!("\x1b[?{mode}{last}"));
        check(&set, &undo, &set);
    }
    for mode in [7, 8, 25, 35, 1035, 1046, 2028, 7723, 7786, 737_769] {
        let [set, undo] = ["l", "h"].map(|last| format!("\x1b[?{mode}{last}"));
        check(&set, &undo, &set);
    }
    for [set, undo] in [["\x1b[3h", "\x1b[3l"], ["\x1b[8l", "\x1b[8h"]] {
        check(set, undo, set);
    }
    // The last set of function keys replaces the others.
    check("\x1b[?1051h\x1b[?1052h", "\x1b[?1052l", "\x1b[?1052h");
    assert_eq!(reset("\x1b[?77032;66535h\x1b[?99999999999h"), "\x1b[m");
}

#[test]
fn a_terminal_that_reads_no_control_sequences_is_brought_back_first() {
    check("\x1b[?2l", "\x1b<", "\x1b[?2l");
    assert_eq!(
        reset("\x1b[?2004h\x1b[?2lx\x1b]2;half"),
        "\x18\x1b\\\x1b<\x1b[?2004l\x1b[m"
    );
    assert_eq!(
        restored("\x1b[?2l\x1b[?1h\x1b[5 q\x1b]2;t\x07\x1b(0"),
        "\x1b[?1h\x1b[5 q\x1b]2;t\x07\x1b(0\x1b[?2l"
    );
    assert_eq!(reset("\x1b[?2l\x1b<"), "\x1b[m");
    assert!(!fed("\x1b[?2l").is_plain());
    // Neither the drawing terminal of xterm nor its columns are restored: the first would hide
    // the screen, the second clear it.
    check("\x1b[?38h", "\x1b\x03\x1b[?38l", "");
    check("\x1b[?40h\x1b[?3h", "\x1b[?3l\x1b[?40l", "\x1b[?40h");
    assert_eq!(
        reset("\x1b[?1049h\x1b[?3h"),
        "\x1b[?3l\x1b[?1049l\x1b[m",
        "the main screen is not cleared"
    );
    check("\x1b[?46h", "\x1b[?46l", "");
}

#[test]
fn settings_that_are_no_modes_are_undone() {
    for key in [0, 1, 2, 3, 4, 6, 7] {
        for last in ["m", "f"] {
            let set = format!("\x1b[>{key};2{last}");
            check(&set, &format!("\x1b[>{key}{last}"), &set);
            assert_eq!(reset(&format!("{set}\x1b[>{key}{last}")), "\x1b[m");
            assert_eq!(reset(&format!("{set}\x1b[>{last}")), "\x1b[m");
        }
    }
    check("\x1b[>1;0m", "\x1b[>1m", "\x1b[>1;0m");
    check("\x1b[>1n", "\x1b[>1m", "\x1b[>1n");
    check("\x1b[>6n", "\x1b[>6m", "");
    check("\x1b[>n", "\x1b[>2m", "\x1b[>2n");
    // The largest value is a value.
    check("\x1b[>4;230016m", "\x1b[>4m", "\x1b[>4;65535m");
    check("\x1b[>5;65535f", "\x1b[>5f", "\x1b[>5;65535f");
    for [set, undo, restored] in [
        ["\x1b[>3p", "\x1b[>1p", "\x1b[>3p"],
        ["\x1b[>0;2t", "\x1b[>0T\x1b[>2T", "\x1b[>0t\x1b[>2t"],
        ["\x1b[1\"q", "\x1b[0\"q", "\x1b[1\"q"],
        ["\x1b[62\"p", "\x1b[64;1\"p", ""],
        ["\x1b[2$~\x1b[1$}", "\x1b[0$}\x1b[0$~", "\x1b[2$~\x1b[1$}"],
        ["\x1b[1;2'z", "\x1b[0'z", "\x1b[1'z"],
        ["\x1b[<1t", "\x1b[<0t", "\x1b[<1t"],
        ["\x1b[2 k", "\x1b[0 k", "\x1b[2 k"],
        ["\x1b G", "\x1b F", "\x1b G"],
        ["\x1b%@", "\x1b%G", "\x1b%@"],
        ["\x1bV", "\x1bW", "\x1bV"],
        ["\x1b*0\x1bn", "\x1b*B\x0f", "\x1b*0\x1bn"],
        ["\x1b+0\x1bo", "\x1b+B\x0f", "\x1b+0\x1bo"],
    ] {
        check(set, undo, restored);
    }
    // None of these changes anything.
    let nothing = "\x1b[>4;0m\x1b[>4n\x1b[>1p\x1b[0\"q\x1b[2\"q\x1b[64;1\"p\x1b[65;1\"p\x1b[0$~\
                   \x1b[0'z\x1b F\x1b%G\x1b%@\x1b%8\x1bV\x1bW\x1b[>9;1m\x1b[22;0t\x1b[23;0t";
    assert_eq!(reset(nothing), "\x1b[m");
    // Leaving the alternate screen restores the cursor, and with it the protection.
    assert_eq!(
        reset("\x1b[1\"q\x1b[?1049h\x1b[0\"q"),
        "\x1b[?1049l\x1b[0\"q\x1b[m"
    );
}

#[test]
fn all_colours_are_undone() {
    for (set, undo) in [(13, 113), (14, 114), (17, 117), (19, 119)] {
        let set = format!("\x1b]{set};#112233\x07");
        check(&set, &format!("\x1b]{undo}\x07"), &set);
        assert_eq!(reset(&format!("{set}\x1b]{undo}\x07")), "\x1b[m");
    }
    check(
        "\x1b]5;0;red;1;?\x07\x1b]4;258;blue\x07",
        "\x1b]105;0\x07\x1b]105;2\x07",
        "\x1b]5;0;red\x07\x1b]5;2;blue\x07",
    );
    check(
        "\x1b]21;cursor=red;9=#123456;selection_background=;foreground=?\x1b\\",
        "\x1b]21;9\x07\x1b]21;cursor\x07\x1b]21;selection_background\x07",
        "\x1b]21;9=#123456\x07\x1b]21;cursor=red\x07\x1b]21;selection_background=\x07",
    );
    let over = "\x1b]5;0;red\x07\x1b]105;0\x07\x1b]5;1;red\x07\x1b]105\x07";
    assert_eq!(reset(over), "\x1b[m");
    let over = "\x1b]21;cursor=red\x07\x1b]21;cursor\x07\x1b]21;\u{1f600}=red;=red\x07";
    assert_eq!(reset(over), "\x1b[m");
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
    assert_eq!(reset("\x1b]0;half a title"), "\x18\x1b\\\x1b[m");
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
