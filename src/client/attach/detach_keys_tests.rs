use super::*;

const CTRL_A: [&[u8]; 4] = [b"\x01", b"\x1b[97;5u", b"\x1b[27;5;97~", b"\x1b[97;133u"];

fn decoder(keys: &str) -> ChordDecoder {
    ChordDecoder::new(DetachKeys::parse(keys).expect("keys"))
}

/// All actions for these bytes, forwarded bytes joined.
fn actions(decoder: &mut ChordDecoder, chunks: &[&[u8]], paste: bool) -> Vec<Action> {
    let mut joined: Vec<Action> = Vec::new();
    let mut all: Vec<Action> = chunks
        .iter()
        .flat_map(|chunk| decoder.feed(chunk, paste))
        .collect();
    all.extend(decoder.flush());
    for action in all {
        match (joined.last_mut(), action) {
            (Some(Action::Forward(last)), Action::Forward(more)) => last.extend(more),
            (_, action) => joined.push(action),
        }
    }
    joined
}

/// The actions, which must be the same however the bytes are cut in two.
fn at_every_split(keys: &str, bytes: &[u8], paste: bool) -> Vec<Action> {
    let whole = actions(&mut decoder(keys), &[bytes], paste);
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        let cut = actions(&mut decoder(keys), &[left, right], paste);
        assert_eq!(
            cut,
            whole,
            "{:?} cut at {at}",
            String::from_utf8_lossy(bytes)
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(actions(&mut decoder(keys), &single, paste), whole);
    whole
}

fn forward(bytes: &[u8]) -> Action {
    Action::Forward(bytes.to_vec())
}

#[test]
fn the_chord_leaves_in_every_encoding() {
    for prefix in CTRL_A {
        for key in [&b"d"[..], b"\x1b[100u", b"\x1b[100;129u", b"\x1b[27;1;100~"] {
            let typed = [b"ls\r", prefix, key].concat();
            let found = at_every_split("ctrl-a,d", &typed, false);
            assert_eq!(found, [forward(b"ls\r"), Action::Detach]);
        }
    }
}

#[test]
fn releases_and_bare_modifiers_in_between_do_not_disturb() {
    let typed = b"\x1b[57442;5u\x1b[97;5u\x1b[97;5:3u\x1b[57442;1:3u\x1b[100;1:1u";
    let found = at_every_split("ctrl-a,d", typed, false);
    assert_eq!(found, [forward(b"\x1b[57442;5u"), Action::Detach]);
}

#[test]
fn reports_pass_by() {
    let typed = b"\x01\x1b[<35;10;10M\x1b[Id";
    let found = at_every_split("ctrl-a,d", typed, false);
    assert_eq!(found, [forward(b"\x1b[<35;10;10M\x1b[I"), Action::Detach]);
}

#[test]
fn the_prefix_twice_or_with_its_letter_is_literal() {
    for prefix in CTRL_A {
        let twice = [prefix, prefix].concat();
        assert_eq!(at_every_split("ctrl-a,d", &twice, false), [forward(prefix)]);
        let letter = [prefix, b"a"].concat();
        assert_eq!(
            at_every_split("ctrl-a,d", &letter, false),
            [forward(prefix)]
        );
    }
}

#[test]
fn an_unknown_key_sends_both_as_they_came() {
    for typed in [
        &b"\x01x"[..],
        b"\x01\x1b[A",
        b"\x1b[97;5ux",
        b"\x01\r",
        b"\x01\x1b[1;5C",
    ] {
        assert_eq!(at_every_split("ctrl-a,d", typed, false), [forward(typed)]);
    }
}

#[test]
fn the_commands_of_the_prefix() {
    let cases = [
        (&b"\x01?"[..], Action::Help),
        (b"\x01\x1b[47:63;2u", Action::Help),
        (b"\x01\x1b[63;2u", Action::Help),
        (b"\x01[", Action::History),
        (b"\x1b[97;5u\x1b[91u", Action::History),
        (b"\x01n", Action::Next),
        (b"\x01p", Action::Previous),
        (b"\x01\x1a", Action::Suspend),
        (b"\x1b[97;5u\x1b[122;5u", Action::Suspend),
    ];
    for (typed, action) in cases {
        assert_eq!(at_every_split("ctrl-a,d", typed, false), [action]);
    }
}

#[test]
fn never_inside_a_paste_when_the_process_asked_for_brackets() {
    let typed = b"\x1b[200~\x01d\x1b[97;5ud\x1b[201~";
    assert_eq!(at_every_split("ctrl-a,d", typed, true), [forward(typed)]);
    let after = [&typed[..], b"\x01d"].concat();
    let found = at_every_split("ctrl-a,d", &after, true);
    assert_eq!(found, [forward(typed), Action::Detach]);
    // Brackets count only in that mode.
    let found = at_every_split("ctrl-a,d", b"\x1b[200~\x01d", false);
    assert_eq!(found, [forward(b"\x1b[200~"), Action::Detach]);
}

#[test]
fn a_paste_that_never_ends_does_not_lock_in() {
    let mut decoder = decoder("ctrl-a,d");
    assert_eq!(decoder.feed(b"\x1b[200~x", true), [forward(b"\x1b[200~x")]);
    // The process left the mode.
    assert_eq!(decoder.feed(b"\x01d", false), [Action::Detach]);
}

#[test]
fn a_paste_ends_when_nothing_comes_for_a_while() {
    let mut decoder = decoder("ctrl-a,d");
    let begun = b"\x1b[200~\x01dx\x1b[20";
    let mut typed = decoder.feed(begun, true);
    assert_eq!(decoder.waits(), Some(Duration::from_millis(500)));
    typed.extend(decoder.no_more());
    assert_eq!(typed, [forward(b"\x1b[200~\x01dx"), forward(b"\x1b[20")]);
    assert_eq!(decoder.waits(), Some(Duration::from_secs(1)));
    assert_eq!(decoder.feed(b"\x01d", true), [forward(b"\x01d")]);
    assert_eq!(decoder.no_more(), []);
    assert_eq!(decoder.waits(), None);
    assert_eq!(decoder.feed(b"\x01d", true), [Action::Detach]);
}

#[test]
fn inside_screen_its_escape_is_typed_before() {
    let keys = |text| DetachKeys::parse(text).expect("keys").inside_screen();
    assert_eq!(keys("ctrl-a,d").shown(), "ctrl-a a d");
    assert_eq!(keys("ctrl-a,d").prefix().as_deref(), Some("ctrl-a a"));
    assert_eq!(keys("ctrl-p,ctrl-q").shown(), "ctrl-p ctrl-q");
}

#[test]
fn docker_keys_and_none() {
    let found = at_every_split("ctrl-p,ctrl-q", b"a\x10\x11", false);
    assert_eq!(found, [forward(b"a"), Action::Detach]);
    // Twice the prefix is one, then the chord can still follow.
    let found = at_every_split("ctrl-p,ctrl-q", b"\x10\x10\x10\x11", false);
    assert_eq!(found, [forward(b"\x10"), Action::Detach]);
    assert_eq!(at_every_split("none", b"\x01d", false), [forward(b"\x01d")]);
    assert_eq!(
        at_every_split("ctrl-\\", b"x\x1c", false),
        [forward(b"x"), Action::Detach]
    );
    let found = at_every_split("ctrl-\\", b"\x1b[92;133u", false);
    assert_eq!(found, [Action::Detach]);
    let found = at_every_split("x,y,z", b"xyxyz", false);
    assert_eq!(found, [forward(b"xy"), Action::Detach]);
}

#[test]
fn keys_that_are_none_are_refused() {
    for bad in ["ctrl-", "ctrl-1", "ab", "ctrl-a,,d", "é", "strg-a"] {
        assert!(DetachKeys::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(DetachKeys::parse("ctrl-a,d"), Ok(DetachKeys::standard()));
    assert_eq!(DetachKeys::parse(" "), Ok(DetachKeys::standard()));
    assert_eq!(DetachKeys::standard().shown(), "ctrl-a d");
    assert_eq!(
        DetachKeys::parse("none").map(|keys| keys.shown()),
        Ok(String::new())
    );
}

#[test]
fn keys_may_be_spelled_as_elsewhere() {
    for spelled in [
        "C-a",
        "c-A",
        "^a",
        "^A",
        "Ctrl-a",
        "CTRL-A",
        "Ctrl+A",
        "Control-a",
    ] {
        let keys = DetachKeys::parse(&format!("{spelled}, d"));
        assert_eq!(keys, Ok(DetachKeys::standard()), "{spelled}");
    }
    for (text, shown) in [
        ("^", "^"),
        ("^^", "ctrl-^"),
        ("^[,C-\\", "ctrl-[ ctrl-\\"),
        ("C,-", "C -"),
        ("D,del", "D DEL"),
    ] {
        let keys = DetachKeys::parse(text).map(|keys| keys.shown());
        assert_eq!(keys.as_deref(), Ok(shown));
    }
}

#[test]
fn an_incomplete_sequence_is_held_and_then_sent() {
    let mut decoder = decoder("ctrl-a,d");
    assert_eq!(decoder.feed(b"\x1b", false), []);
    assert!(decoder.is_waiting());
    assert_eq!(decoder.flush(), [forward(b"\x1b")]);
    assert!(!decoder.is_waiting());
    let long = [b"\x1b[".to_vec(), vec![b'1'; 200]].concat();
    let found = actions(&mut decoder, &[&long], false);
    assert_eq!(found, [forward(&long)]);
}

#[test]
fn non_latin_layouts_use_the_base_key() {
    // Cyrillic ф is on the key of Latin a.
    let found = at_every_split("ctrl-a,d", b"\x1b[1092::97;5u\x1b[1074::100u", false);
    assert_eq!(found, [Action::Detach]);
}

/// The actions when nothing more comes for a while between the two parts, wherever that is.
fn with_a_pause(keys: &str, bytes: &[u8], at: usize, paste: bool) -> Vec<Action> {
    let mut decoder = decoder(keys);
    let mut all = decoder.feed(&bytes[..at], paste);
    all.extend(decoder.flush());
    all.extend(actions(&mut decoder, &[&bytes[at..]], paste));
    all
}

#[test]
fn brackets_are_known_however_slowly_they_come() {
    let pasted = b"\x1b[200~\x01d\x1b[97;5ud\x01[\x1b[201~";
    let typed = [&pasted[..], b"\x01d"].concat();
    for at in 0..=pasted.len() {
        let found = with_a_pause("ctrl-a,d", &typed, at, true);
        let (last, before) = found.split_last().expect("something was typed");
        assert_eq!(last, &Action::Detach, "cut at {at}");
        let forwarded: Vec<u8> = before
            .iter()
            .flat_map(|action| match action {
                Action::Forward(bytes) => bytes.clone(),
                other => panic!("{other:?} in a paste, cut at {at}"),
            })
            .collect();
        assert_eq!(forwarded, pasted, "cut at {at}");
    }
}

#[test]
fn every_bracket_may_be_cut_in_many() {
    let typed = b"a\x1b[200~x\x01dy\x1b[201~b";
    for first in 0..=typed.len() {
        for second in first..=typed.len() {
            let parts = [&typed[..first], &typed[first..second], &typed[second..]];
            let found = actions(&mut decoder("ctrl-a,d"), &parts, true);
            assert_eq!(found, [forward(typed)], "cut at {first} and {second}");
        }
    }
}

/// Input that terminals send by themselves.
const REPORTS: [&[u8]; 17] = [
    b"\x1b[?62;22c",
    b"\x1b[>1;10;0c",
    b"\x1b[0n",
    b"\x1b[?997;1n",
    b"\x1b[24;80R",
    b"\x1b[1;1R",
    b"\x1b[?2026;2$y",
    b"\x1b[?1u",
    b"\x1b[4;600;800t",
    b"\x1b[48;24;80;0;0t",
    b"\x1b[I",
    b"\x1b[<0;10;10m",
    b"\x1b[M !!",
    b"\x1b[32;10;10M",
    b"\x1b]11;rgb:0000/dddd/ffff\x07",
    b"\x1b]52;c;ZGRk\x1b\\",
    b"\x1bP>|xterm(379)\x1b\\",
];

#[test]
fn reports_never_disturb_a_chord() {
    for report in REPORTS {
        let typed = [b"\x01", report, b"d"].concat();
        let found = at_every_split("ctrl-a,d", &typed, false);
        assert_eq!(found, [forward(report), Action::Detach], "{report:?}");
    }
}

#[test]
fn who_watches_sends_keys_alone() {
    let mut watcher = decoder("ctrl-a,d");
    watcher.set_watching(true);
    for report in REPORTS {
        for at in 0..report.len() {
            let parts = [&report[..at], &report[at..]];
            assert_eq!(actions(&mut watcher, &parts, false), [], "{report:?}");
        }
    }
    for keys in [
        &b"x"[..],
        b"\x1b[A",
        b"\x1b[1;5R",
        b"\x1bOP",
        b"\x1b[[A",
        b"\x1b]",
        b"\x1bP",
        b"\x1bPx",
        b"\x1b[15~",
        b"\x1b[98;5:1u",
    ] {
        assert_eq!(actions(&mut watcher, &[keys], false), [forward(keys)]);
    }
    // Pasted text is forwarded, whatever it contains.
    let pasted = b"\x1b[200~\x1b[0n\x1b[201~";
    assert_eq!(actions(&mut watcher, &[pasted], true), [forward(pasted)]);
    let mut without_keys = decoder("none");
    without_keys.set_watching(true);
    let typed = [b"a", REPORTS[0], b"b"].concat();
    assert_eq!(
        actions(&mut without_keys, &[&typed], false),
        [forward(b"ab")]
    );
}

#[test]
fn a_string_that_never_ends_does_not_lock_in() {
    for begun in [&b"\x1b]11;what"[..], b"\x1bP1$r", b"\x1b_Gi=1"] {
        for chord in [&b"\x01d"[..], b"\x1b[97;5ud"] {
            let typed = [begun, chord].concat();
            let found = at_every_split("ctrl-a,d", &typed, false);
            assert_eq!(found, [forward(begun), Action::Detach]);
        }
    }
}

#[test]
fn what_may_be_a_key_waits_less_than_what_cannot_be() {
    let mut decoder = decoder("ctrl-a,d");
    let mut patience = |bytes: &[u8]| {
        decoder.feed(bytes, false);
        let patience = decoder.patience();
        decoder.flush();
        patience
    };
    let escape = patience(b"\x1b");
    assert!(escape <= Duration::from_millis(25));
    assert_eq!(patience(b"\x1b["), escape);
    assert!(patience(b"\x1b[97;") > escape);
    assert!(patience(b"\x1b]11;rgb") > escape);
}
