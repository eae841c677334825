//! Did-you-mean: the nearest of a set of words.

/// What users of other supervisors write, and what it is called here.
const FOREIGN: [(&str, &str); 33] = [
    ("command", "cmd"),
    ("exec", "cmd"),
    ("execstart", "cmd"),
    ("args", "cmd"),
    ("directory", "workingdir"),
    ("cwd", "workingdir"),
    ("working_dir", "workingdir"),
    ("workingdirectory", "workingdir"),
    ("environment", "env"),
    ("environmentfile", "env_file"),
    ("startsecs", "starttime"),
    ("start_time", "starttime"),
    ("stopwaitsecs", "stoptime"),
    ("stop_time", "stoptime"),
    ("stop_grace_period", "stoptime"),
    ("timeoutstopsec", "stoptime"),
    ("stop_signal", "stopsignal"),
    ("killsignal", "stopsignal"),
    ("stdout_logfile", "stdout"),
    ("stderr_logfile", "stderr"),
    ("standardoutput", "stdout"),
    ("standarderror", "stderr"),
    ("standardinput", "stdin"),
    ("stdin_open", "stdin"),
    ("redirect_stderr", "stderr"),
    ("stopasgroup", "killmode"),
    ("killasgroup", "killmode"),
    ("replicas", "numprocs"),
    ("instances", "numprocs"),
    ("exit_codes", "exitcodes"),
    ("services", "programs"),
    ("pid_file", "pidfile"),
    ("logfile", "log"),
];

/// The candidate nearest to `word`, when it is near enough to be a slip.
pub(super) fn nearest<'a, I>(word: &str, candidates: I) -> Option<&'a str>
where
    I: IntoIterator<Item = &'a str>,
{
    let lower = word.to_lowercase();
    let foreign = FOREIGN.iter().find(|(theirs, _)| *theirs == lower);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if foreign.is_some_and(|(_, ours)| *ours == candidate) {
            return Some(candidate);
        }
        let tolerated = (lower.chars().count().max(candidate.chars().count()) / 3).clamp(1, 3);
        if lower.len().abs_diff(candidate.len()) > 4 * tolerated {
            continue;
        }
        let distance = distance(&lower, &candidate.to_lowercase());
        if distance <= tolerated && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `did you mean …?` for the nearest candidate.
pub(super) fn did_you_mean<'a, I>(word: &str, candidates: I) -> Option<String>
where
    I: IntoIterator<Item = &'a str>,
{
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. Words
/// too long to be a slip of anything are infinitely far.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(101).collect();
    let b: Vec<char> = b.chars().take(101).collect();
    if a.len() > 100 || b.len() > 100 {
        return usize::MAX;
    }
    let width = b.len() + 1;
    let mut table = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let cell = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let above = table[(i - 1) * width + j] + 1;
                let left = table[i * width + j - 1] + 1;
                let mut least = above.min(left).min(table[(i - 1) * width + j - 1] + same);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(table[(i - 2) * width + j - 2] + 1);
                }
                least
            };
            table[i * width + j] = cell;
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_none() {
        let keys = [
            "autostart",
            "autorestart",
            "cmd",
            "env",
            "stoptime",
            "numprocs",
        ];
        assert_eq!(nearest("autostrat", keys), Some("autostart"));
        assert_eq!(nearest("AutoRestart", keys), Some("autorestart"));
        assert_eq!(nearest("numproc", keys), Some("numprocs"));
        assert_eq!(nearest("stopwaitsecs", keys), Some("stoptime"));
        assert_eq!(nearest("command", keys), Some("cmd"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("emv", "env"), 1);
        assert_eq!(distance("nev", "env"), 1);
        assert_eq!(distance("abc", ""), 3);
    }
}
