//! Reads scalars: text, numbers, durations, words of a set.

use super::diagnostics::shown;
use super::interpolate::interpolate;
use super::lowering_context::{Lowering, Value, found};
use super::node::{NodeKind, Scalar};
use super::quantity;
use crate::text::suggest::did_you_mean;
use std::time::Duration;

/// Longest duration in a config: a year of 366 days.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

impl Lowering<'_> {
    /// The scalar of a value; reports null and collections.
    pub(super) fn scalar<'n>(&mut self, value: &Value<'n>, expected: &str) -> Option<&'n Scalar> {
        match &value.node.kind {
            NodeKind::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            NodeKind::Scalar(_) => {
                let message = format!("expected {expected}, found nothing");
                self.refuse(
                    value,
                    message,
                    Some("write \"\" for empty text, or remove the key"),
                )
            }
            NodeKind::List(_) | NodeKind::Map(_) => {
                let message = format!("expected {expected}, found {}", found(value.node));
                self.refuse(
                    value,
                    message,
                    Some("write a single value, in quotes if needed"),
                )
            }
        }
    }

    /// The text of a scalar of any type, variables expanded.
    pub(super) fn text(&mut self, value: &Value, expected: &str) -> Option<String> {
        let scalar = self.scalar(value, expected)?;
        self.interpolated(value, &scalar.text)
    }

    /// Text that belongs to `value`, variables expanded.
    pub(super) fn interpolated(&mut self, value: &Value, text: &str) -> Option<String> {
        let expanded = match interpolate(text, &self.environment.variables) {
            Ok(expanded) => expanded,
            Err((message, help)) => return self.refuse(value, message, help.as_deref()),
        };
        if expanded.contains('\0') {
            return self.refuse(value, "the text contains a NUL character", None);
        }
        self.has_room(value, expanded.len()).then_some(expanded)
    }

    /// Text that is not empty.
    pub(super) fn nonempty(&mut self, value: &Value, expected: &str) -> Option<String> {
        let text = self.text(value, expected)?;
        if text.is_empty() {
            return self.refuse(
                value,
                format!("expected {expected}, found empty text"),
                None,
            );
        }
        Some(text)
    }

    /// Text of a scalar that must not be quoted, unless it contains a variable.
    fn unquoted(&mut self, value: &Value, expected: &str) -> Option<String> {
        let scalar = self.scalar(value, expected)?;
        let text = self.interpolated(value, &scalar.text)?;
        if !scalar.plain && !scalar.text.contains("${") {
            let message = format!("expected {expected}, found the text {}", shown(&text));
            return self.refuse(value, message, Some("remove the quotes"));
        }
        Some(text)
    }

    pub(super) fn boolean(&mut self, value: &Value) -> Option<bool> {
        let text = self.unquoted(value, "true or false")?;
        if let Some(boolean) = boolean_of(&text) {
            return Some(boolean);
        }
        let help = boolean_help(&text);
        let message = format!("expected true or false, found {}", shown(&text));
        self.refuse(value, message, help)
    }

    /// A whole number within bounds, both included.
    pub(super) fn integer(&mut self, value: &Value, least: u32, most: u32) -> Option<u32> {
        let text = self.unquoted(value, "a whole number")?;
        match quantity::parse_integer(&text) {
            Ok(number) if (i128::from(least)..=i128::from(most)).contains(&number) => {
                u32::try_from(number).ok()
            }
            Ok(_) => {
                let message = format!("{} is out of range ({least} to {most})", shown(&text));
                self.refuse(value, message, None)
            }
            Err(reason) => self.refuse(value, format!("{}: {reason}", shown(&text)), None),
        }
    }

    pub(super) fn duration(&mut self, value: &Value) -> Option<Duration> {
        let text = self.text(value, "a duration")?;
        match quantity::parse_duration(&text) {
            Ok(duration) if duration <= DURATION_MAX => Some(duration),
            Ok(_) => self.refuse(value, format!("{}: longer than a year", shown(&text)), None),
            Err(reason) => self.refuse(value, format!("{}: {reason}", shown(&text)), None),
        }
    }

    /// A size in bytes within bounds, both included.
    pub(super) fn size(&mut self, value: &Value, least: u64, most: u64) -> Option<u64> {
        let text = self.text(value, "a size")?;
        match quantity::parse_size(&text) {
            Ok(bytes) if (least..=most).contains(&bytes) => Some(bytes),
            Ok(_) => {
                let range = format!("({least} to {most} bytes)");
                self.refuse(
                    value,
                    format!("{} is out of range {range}", shown(&text)),
                    None,
                )
            }
            Err(reason) => self.refuse(value, format!("{}: {reason}", shown(&text)), None),
        }
    }

    pub(super) fn octal(&mut self, value: &Value) -> Option<u32> {
        let text = self.text(value, "an octal number")?;
        match quantity::parse_octal(&text) {
            Ok(mode) => Some(mode),
            Err(reason) => self.refuse(value, format!("{}: {reason}", shown(&text)), None),
        }
    }

    /// One of a set of words.
    pub(super) fn choice<T: Copy>(&mut self, value: &Value, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", names.join(", "));
        let text = self.text(value, &expected)?;
        if let Some((_, chosen)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*chosen);
        }
        let help = did_you_mean(&text, names);
        let message = format!("expected {expected}, found {}", shown(&text));
        self.refuse(value, message, help.as_deref())
    }
}

pub(super) fn boolean_of(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The correction for YAML 1.1's other booleans.
pub(super) fn boolean_help(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "1" => Some("write true"),
        "no" | "off" | "n" | "0" => Some("write false"),
        _ => None,
    }
}
