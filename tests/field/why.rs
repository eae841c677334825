//! `why` is an answer, not a dump of the screen.

use super::support::Daemon;

#[test]
fn why_leaves_out_a_full_screen_and_cuts_long_lines() {
    let daemon = Daemon::start(
        r#"programs:
  edit:
    cmd:
      - sh
      - -c
      - |
        echo before; printf "\033[?1049h\033[2;2Hdrawn"; read x
        printf "\033[?1049lafter"; sleep 1000
    tty: true
    starttime: 0
  long: {cmd: [sh, -c, 'printf "%03000d\n" 0; exec sleep 1000'], starttime: 0}
"#,
    );
    let mut console = daemon.terminal(&["tm", "attach", "edit"], 24, 80);
    console.expect("drawn");
    let why = daemon.tm(&["why", "edit"]).stdout;
    let notice = "output   [full-screen output is left out; see it: tm peek edit:0]\n";
    assert!(why.ends_with(notice), "{why}");
    let socket = daemon.socket().display().to_string();
    let why = daemon.tm(&["--socket", &socket, "why", "edit"]).stdout;
    let command = format!("see it: tm --socket {socket} peek edit:0]\n");
    assert!(why.ends_with(&command), "{why}");
    console.send("\r");
    console.expect("after");
    let why = daemon.tm(&["why", "edit"]).stdout;
    assert!(why.contains("before") && why.contains("after"), "{why}");
    assert!(!why.contains("drawn"), "{why}");
    console.send("\x01d");
    assert_eq!(console.wait_end(), 0);
    daemon.tm(&["logs", "long"]);
    let why = daemon.tm(&["why", "long"]).stdout;
    assert!(why.lines().all(|line| line.chars().count() < 300), "{why}");
}
