//! Any text as a config: the result is a config or an error, never a panic, a hang or excessive
//! memory. Every error has a message. The same text always gives the same result.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;
use taskmaster::config::{Environment, SystemUsers, load, render};

/// In a private directory, so that no pattern of an `include` matches foreign files.
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
        checks_paths: false,
        open_as: |_, _, _, path| std::fs::File::open(path),
    };
    match (load(&FILE, &environment), load(&FILE, &environment)) {
        (Ok(one), Ok(two)) => assert!(one == two),
        (Err(one), Err(two)) => {
            assert!(!one.diagnostics.is_empty());
            assert_eq!(render(&one.diagnostics), render(&two.diagnostics));
        }
        (one, two) => panic!("two results for the same text: {one:?} {two:?}"),
    }
});
