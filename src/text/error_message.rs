//! Messages of system errors.

/// The message without the trailing `(os error N)`.
pub(crate) fn without_number(message: &str) -> &str {
    message
        .split_once(" (os error")
        .map_or(message, |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::without_number;

    #[test]
    fn only_the_number_goes() {
        assert_eq!(without_number("File exists (os error 17)"), "File exists");
        assert_eq!(without_number("not a directory"), "not a directory");
    }
}
