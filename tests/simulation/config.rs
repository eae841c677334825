//! Random configs, and the edits people make to them.

use super::random::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use taskmaster::supervisor::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Every key of a launch.
const KEYS: usize = 12;

pub fn programs(random: &mut Random) -> Vec<Program> {
    let mut programs = Vec::new();
    for _ in 0..=random.below(3) {
        add(&mut programs, random);
    }
    programs
}

/// Returns the changes of one reload, sometimes none.
pub fn edit(programs: &mut Vec<Program>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let at = random.below(programs.len());
        match random.below(10) {
            0 => add(programs, random),
            1 if !programs.is_empty() => drop(programs.remove(at)),
            2 if !programs.is_empty() => programs.rotate_left(at),
            kind => {
                if let Some(program) = programs.get_mut(at) {
                    edit_one(program, kind, random);
                }
            }
        }
    }
}

fn edit_one(program: &mut Program, kind: usize, random: &mut Random) {
    match kind {
        3 => program.numprocs = random.below(4) as u32,
        4 => edit_launch(&mut program.launch, random),
        5 => edit_log(&mut program.launch, random),
        6 if random.percent(50) => program.policy.restart = policy(random).restart,
        6 => program.autostart = random.pick(&[Autostart::Yes, Autostart::No]),
        7 => program.policy.stoptime = random.pick(&[0, 200, 2000].map(Duration::from_millis)),
        8 => program.vars = vars(random),
        _ => program.policy = policy(random),
    }
}

fn add(programs: &mut Vec<Program>, random: &mut Random) {
    let name = random.pick(&NAMES);
    if programs.iter().any(|program| program.name == name) {
        return;
    }
    let mut launch = Launch {
        argv: command(random),
        stdout: Sink::File(log(random)),
        ..Launch::default()
    };
    for _ in 0..random.below(3) {
        edit_launch(&mut launch, random);
    }
    let program = Program {
        name: name.to_string(),
        numprocs: random.below(4) as u32,
        autostart: random.pick(&[Autostart::Yes, Autostart::Yes, Autostart::No]),
        policy: policy(random),
        launch,
        vars: vars(random),
    };
    programs.insert(random.below(programs.len() + 1), program);
}

fn vars(random: &mut Random) -> BTreeMap<String, String> {
    let value = random.pick(&["x", "y"]).to_string();
    BTreeMap::from([("color".to_string(), value)])
}

fn command(random: &mut Random) -> Vec<String> {
    let word = random.pick(&[
        "one",
        "two",
        "of-{numprocs}",
        "no-{instance}",
        "{vars.color}",
    ]);
    vec![word.to_string()]
}

/// Changes one key, perhaps to the same value.
fn edit_launch(launch: &mut Launch, random: &mut Random) {
    let word = random
        .pick(&["/one", "/two/{instance}", "/{vars.color}"])
        .to_string();
    match random.below(KEYS) {
        0 => launch.env = Arc::new(BTreeMap::from([("A".to_string(), word.into())])),
        1 => launch.inherit_env = random.percent(50),
        2 => launch.workingdir = word,
        3 => launch.umask = random.pick(&[0o022, 0o077]),
        4 => launch.tty = random.pick(&[None, terminal(24), terminal(50)]),
        5 => launch.stdin = random.pick(&[Stdin::Null, Stdin::Pipe, Stdin::File(word)]),
        6 => launch.stdout = sink(random),
        7 => {
            launch.stderr = if random.percent(50) {
                Sink::Stdout
            } else {
                sink(random)
            }
        }
        8 => launch.identity = random.pick(&[None, user(1000), user(1001)]),
        9 => launch.pidfile = random.pick(&[None, Some(word)]),
        10 => launch.buffer = random.pick(&[4096, 256 * 1024]),
        _ => launch.argv = command(random),
    }
}

/// Changes a key, mostly one that a living process can apply.
fn edit_log(launch: &mut Launch, random: &mut Random) {
    let new = log(random);
    for sink in [&mut launch.stdout, &mut launch.stderr] {
        if let Sink::File(file) = sink {
            let path = std::mem::take(&mut file.path);
            let direct = file.direct;
            *file = FileSink {
                path,
                direct,
                ..new.clone()
            };
        }
    }
}

fn terminal(rows: u16) -> Option<Tty> {
    Some(Tty {
        rows,
        cols: 80,
        size: SizePolicy::Latest,
    })
}

fn user(uid: u32) -> Option<Identity> {
    Some(Identity {
        user: uid.to_string(),
        uid,
        gid: uid,
        groups: Vec::new(),
        home: "/".to_string(),
        shell: "/bin/sh".to_string(),
    })
}

fn sink(random: &mut Random) -> Sink {
    let file = Sink::File(log(random));
    random.pick(&[Sink::Ring, Sink::Discard, file.clone(), file])
}

fn log(random: &mut Random) -> FileSink {
    FileSink {
        path: random
            .pick(&["/log/{program}", "/log/{instance}"])
            .to_string(),
        direct: random.percent(10),
        max_size: random.pick(&[0, 4096]),
        keep: random.below(3) as u32,
        mode: None,
        compress: random.percent(30),
        timestamps: random.percent(30),
        strip_ansi: random.percent(30),
        stall: random.pick(&[Stall::Never, Stall::After(Duration::from_secs(1))]),
    }
}

fn policy(random: &mut Random) -> Policy {
    use Autorestart::{Always, Never, Unexpected};
    let mut millis = |choices: &[u64]| Duration::from_millis(random.pick(choices));
    let restart = RestartDelays {
        initial: millis(&[0, 0, 300, 3000]),
        max: millis(&[250, 60_000]),
        ..RestartDelays::default()
    };
    let starttime = millis(&[0, 100, 1000, 1000, 30_000]);
    let stoptime = millis(&[0, 200, 2000]);
    Policy {
        autorestart: random.pick(&[Always, Never, Unexpected]),
        exitcodes: random.pick(&[vec![0], vec![0, 2], vec![]]),
        startretries: random.pick(&[0, 1, 2, 3, 8]),
        starttime,
        stopsignal: random.pick(&[15, 10]),
        hangup: random.percent(20),
        stoptime,
        killmode: random.pick(&[
            KillMode::Group,
            KillMode::Group,
            KillMode::Mixed,
            KillMode::Process,
        ]),
        restart: RestartDelays {
            burst: random.pick(&[0, 1, 3, 3]),
            factor: random.pick(&[1.0, 2.0, 2.0, 3.0, f64::NAN]),
            jitter: random.pick(&[0.0, 0.1, 1.0, f64::NAN]),
            ..restart
        },
    }
}
