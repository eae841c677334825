//! `${…}` and `{…}` in any string: the result is a text or an error. The value of a variable is not
//! expanded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;
use taskmaster::config::{Environment, SystemUsers, load};

/// In a private directory, so that no pattern of an `include` matches foreign files.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!(
        "taskmaster-fuzz-interpolation-{}",
        std::process::id()
    ));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    folder.join("taskmaster.yaml")
});

fuzz_target!(|input: (&str, &str)| {
    let (text, value) = input;
    // A JSON string is valid YAML.
    let quoted = serde_json::Value::from(text).to_string();
    let config = format!("programs:\n  a:\n    cmd: [x, {quoted}]\n    env: {{A: {quoted}}}\n");
    std::fs::write(&*FILE, config).expect("the temporary folder is writable");
    let environment = Environment {
        variables: BTreeMap::from([("V".to_string(), value.to_string())]),
        uid: 1000,
        gid: 1000,
        users: Rc::new(SystemUsers),
        checks_paths: false,
        open_as: |_, _, _, path| std::fs::File::open(path),
    };
    let Ok(config) = load(&FILE, &environment) else {
        return;
    };
    let launch = &config.programs[0].launch;
    assert_eq!(
        launch.argv.get(1).map(String::as_str),
        launch.env.get("A").map(|value| &**value),
        "the same text differs in cmd and env"
    );
    if !text.contains(['$', '{', '}']) {
        assert_eq!(launch.env.get("A").map(|value| &**value), Some(text));
    }
});
