//! Random configs, and the edits people make to them.

use super::random::Random;
use std::collections::BTreeMap;
use std::time::Duration;
use taskmaster::supervisor::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

pub fn programs(random: &mut Random) -> Vec<Program> {
    let mut programs = Vec::new();
    for _ in 0..=random.below(3) {
        add(&mut programs, random);
    }
    programs
}

/// One reload's worth of changes; sometimes none.
pub fn edit(programs: &mut Vec<Program>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let at = random.below(programs.len());
        match random.below(9) {
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
        4 => program.launch.argv = command(random),
        5 => program.launch.stdout = log(random),
        6 => program.autostart = random.pick(&[Autostart::Yes, Autostart::No]),
        7 => program.policy.stoptime = random.pick(&[0, 200, 2000].map(Duration::from_millis)),
        _ => program.policy = policy(random),
    }
}

fn add(programs: &mut Vec<Program>, random: &mut Random) {
    let name = random.pick(&NAMES);
    if programs.iter().any(|program| program.name == name) {
        return;
    }
    let program = Program {
        name: name.to_string(),
        numprocs: random.below(4) as u32,
        autostart: random.pick(&[Autostart::Yes, Autostart::Yes, Autostart::No]),
        policy: policy(random),
        launch: Launch {
            argv: command(random),
            stdout: log(random),
            ..Launch::default()
        },
        vars: BTreeMap::new(),
    };
    programs.insert(random.below(programs.len() + 1), program);
}

fn command(random: &mut Random) -> Vec<String> {
    let word = random.pick(&["one", "two", "of-{numprocs}", "no-{instance}"]);
    vec![word.to_string()]
}

fn log(random: &mut Random) -> Sink {
    Sink::File(FileSink {
        path: "/log/{program}".to_string(),
        direct: false,
        max_size: 0,
        keep: random.below(3) as u32,
        compress: false,
        timestamps: false,
        strip_ansi: false,
        stall: Stall::Never,
    })
}

fn policy(random: &mut Random) -> Policy {
    use Autorestart::{Always, Never, Unexpected};
    let mut millis = |choices: &[u64]| Duration::from_millis(random.pick(choices));
    let restart = RestartDelays {
        first: millis(&[0, 100, 1000]),
        max: millis(&[250, 60_000]),
        after_exit: millis(&[0, 0, 300]),
        factor: 0.0,
    };
    let (starttime, stoptime) = (millis(&[0, 100, 1000]), millis(&[0, 200, 2000]));
    Policy {
        autorestart: random.pick(&[Always, Never, Unexpected]),
        exitcodes: random.pick(&[vec![0], vec![0, 2], vec![]]),
        startretries: random.below(4) as u32,
        starttime,
        stopsignal: random.pick(&[15, 10]),
        stoptime,
        killmode: random.pick(&[KillMode::Group, KillMode::Group, KillMode::Process]),
        restart: RestartDelays {
            factor: random.pick(&[1.0, 2.0, 3.0, f64::NAN]),
            ..restart
        },
    }
}
