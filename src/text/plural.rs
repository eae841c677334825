//! A number and its noun.

/// `1 process`, `2 processes`.
pub(crate) fn plural(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let count = |count| plural(count, "retry", "retries");
        assert_eq!(count(0), "0 retries");
        assert_eq!(count(1), "1 retry");
        assert_eq!(count(2), "2 retries");
    }
}
