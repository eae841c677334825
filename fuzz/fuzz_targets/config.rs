//! Any text as a config: an error or a config, never a panic, a hang or a mountain of memory;
//! every error has a message, and the same text always means the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;
use taskmaster::config::{Environment, SystemUsers, load, render};

/// In a folder of its own, so that no pattern of an `include` meets other people's files.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder =
        std::env::temp_dir().join(format!("taskmaster-fuzz-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    folder.join("taskmaster.yaml")
});

fuzz_target!(|text: &[u8]| {
    std::fs::write(&*FILE, text).expect("the temporary folder is writable");
    let environment = Environment {
        variables: BTreeMap::from([("SET".to_string(), "value".to_string())]),
        uid: 1000,
        gid: 1000,
        users: Rc::new(SystemUsers),
    };
    match (load(&FILE, &environment), load(&FILE, &environment)) {
        (Ok(one), Ok(two)) => assert!(one == two),
        (Err(one), Err(two)) => {
            assert!(!one.diagnostics.is_empty());
            assert_eq!(render(&one.diagnostics), render(&two.diagnostics));
        }
        (one, two) => panic!("the same text was judged twice: {one:?} {two:?}"),
    }
});
