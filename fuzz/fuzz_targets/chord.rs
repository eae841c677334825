//! Any detach keys and any typed bytes: no byte is lost, splitting the input changes nothing, a
//! paste is never a command, and the chord always detaches.

#![no_main]

use libfuzzer_sys::fuzz_target;

use taskmaster::client::attach::detach_keys::{Action, ChordDecoder, DetachKeys};

/// The standard keys, docker's, and awkward ones.
const KEYS: [&str; 8] = [
    "ctrl-a,d",
    "ctrl-p,ctrl-q",
    "ctrl-a,ctrl-a",
    "ctrl-[,x",
    "x",
    "a,a,b",
    "ctrl-a,b,ctrl-a,c",
    "none",
];

/// A byte that cannot be part of a detach key.
const NEUTRAL: &[u8] = b"\xff";

fuzz_target!(|input: (u8, u8, bool, &str, &[u8])| {
    let (choice, cut, paste, text, bytes) = input;
    let chosen = KEYS.get(usize::from(choice)).copied().unwrap_or(text);
    let Ok(keys) = DetachKeys::parse(chosen) else {
        return;
    };
    let written = match keys.shown() {
        none if none.is_empty() => "none".to_string(),
        shown => shown.replace(' ', ","),
    };
    let again = DetachKeys::parse(&written);
    assert_eq!(
        again.as_ref(),
        Ok(&keys),
        "the shown keys parse to the same keys"
    );
    // Empty means the standard keys.
    let chosen = match chosen.trim() {
        "" => KEYS[0],
        _ => chosen,
    };

    let whole = typed(&keys, bytes, bytes.len().max(1), paste);
    assert_eq!(typed(&keys, bytes, usize::from(cut) + 1, paste), whole);
    check_kept(&keys, bytes, &whole);
    if !bytes.contains(&0x1b) {
        assert_eq!(
            whole,
            plainly(chosen, bytes),
            "differs from the simple model"
        );
    }
    check_paste(&keys, bytes);
    check_leaves(&keys, chosen, bytes);
});

/// Returns all actions for these bytes, followed by a neutral byte.
fn typed(keys: &DetachKeys, bytes: &[u8], cut: usize, paste: bool) -> Vec<Action> {
    let mut decoder = ChordDecoder::new(keys.clone());
    let mut all = Vec::new();
    for chunk in bytes.chunks(cut) {
        all.extend(decoder.feed(chunk, paste));
    }
    all.extend(decoder.flush());
    assert!(!decoder.is_waiting());
    all.extend(decoder.feed(NEUTRAL, paste));
    joined(all)
}

fn joined(all: Vec<Action>) -> Vec<Action> {
    let mut joined: Vec<Action> = Vec::new();
    for action in all {
        match (joined.last_mut(), action) {
            (Some(Action::Forward(last)), Action::Forward(more)) => last.extend(more),
            (_, Action::Forward(none)) if none.is_empty() => {}
            (_, action) => joined.push(action),
        }
    }
    joined
}

fn forwarded(actions: &[Action]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for action in actions {
        if let Action::Forward(more) = action {
            bytes.extend(more);
        }
    }
    bytes
}

/// Checks that no byte is invented, and that none is lost without a command. A report (of the
/// mouse, for example) may overtake a waiting prefix, so only input without sequences checks the
/// order.
fn check_kept(keys: &DetachKeys, bytes: &[u8], actions: &[Action]) {
    let sent = counted(&forwarded(actions));
    let came = counted(&[bytes, NEUTRAL].concat());
    let made_up = (0..256).find(|byte| sent[*byte] > came[*byte]);
    assert_eq!(made_up, None, "a byte that was not typed");
    let commands = actions
        .iter()
        .any(|action| !matches!(action, Action::Forward(_)));
    // Behind a prefix with commands, typing it twice sends it once.
    if !commands && keys.prefix().is_none() {
        assert_eq!(sent, came, "typed bytes are lost");
    }
}

fn counted(bytes: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    counts
}

/// A simple model for input without escape sequences.
fn plainly(chosen: &str, bytes: &[u8]) -> Vec<Action> {
    let keys: Vec<u8> = match chosen.trim() {
        "none" => Vec::new(),
        some => some.split(',').map(|item| byte_of(item.trim())).collect(),
    };
    let commands = keys.len() == 2 && keys[0] < 0x20;
    let mut held = Vec::new();
    let mut all = Vec::new();
    for &byte in bytes.iter().chain(NEUTRAL) {
        if keys.get(held.len()) == Some(&byte) {
            held.push(byte);
            if held == keys {
                held.clear();
                all.push(Action::Detach);
            }
            continue;
        }
        let command = match byte {
            _ if held.is_empty() || !commands => None,
            _ if is_literal(keys[0], byte) => Some(Action::Forward(vec![keys[0]])),
            b'?' => Some(Action::Help),
            b'[' => Some(Action::History),
            b'n' => Some(Action::Next),
            b'p' => Some(Action::Previous),
            0x1a => Some(Action::Suspend),
            _ => None,
        };
        if let Some(command) = command {
            held.clear();
            all.push(command);
            continue;
        }
        all.push(Action::Forward(std::mem::take(&mut held)));
        if keys.first() == Some(&byte) {
            held.push(byte);
        } else {
            all.push(Action::Forward(vec![byte]));
        }
    }
    joined(all)
}

/// Whether the byte is the control byte itself, or the key that produces it with Ctrl.
fn is_literal(control: u8, byte: u8) -> bool {
    let key = match control {
        1..=26 => control | 0x60,
        _ => control | 0x40,
    };
    byte == control || byte == key
}

/// The byte of a key in one of its spellings: `DEL`, `^a`, `ctrl-a`, `C-a`, `Control+A`, `a`.
fn byte_of(item: &str) -> u8 {
    let lower = item.to_ascii_lowercase();
    if lower == "del" {
        return 0x7f;
    }
    let name = ["^", "ctrl-", "ctrl+", "control-", "control+", "c-", "c+"];
    let key = name.iter().find_map(|name| lower.strip_prefix(name));
    match key.and_then(|key| key.bytes().next()) {
        Some(key) => key & 0x1f,
        None => item.as_bytes()[0],
    }
}

/// Inside a bracketed paste everything is text.
fn check_paste(keys: &DetachKeys, bytes: &[u8]) {
    if bytes.contains(&0x1b) {
        return;
    }
    let pasted = [b"\x1b[200~", bytes, b"\x1b[201~"].concat();
    let mut decoder = ChordDecoder::new(keys.clone());
    let actions = joined(decoder.feed(&pasted, true));
    assert_eq!(actions, [Action::Forward(pasted)]);
}

/// The chord detaches after any other input.
fn check_leaves(keys: &DetachKeys, chosen: &str, bytes: &[u8]) {
    if keys.shown().is_empty() {
        return;
    }
    let chord: Vec<u8> = chosen.split(',').map(|item| byte_of(item.trim())).collect();
    let mut decoder = ChordDecoder::new(keys.clone());
    decoder.feed(bytes, true);
    decoder.flush();
    // Ends an unfinished sequence. The process has switched off bracketed paste by now.
    decoder.feed(NEUTRAL, false);
    let mut actions = Vec::new();
    for byte in chord {
        // A person types slower than the 25 ms that distinguish a sequence from an escape key.
        actions.extend(decoder.feed(&[byte], false));
        actions.extend(decoder.flush());
    }
    assert_eq!(actions, [Action::Detach], "the chord does not detach");
}
