//! The parameters of a control sequence.

use crate::terminal::cell::number;

/// Numeric parameters: 0 if absent or not a number, the maximum if too large.
pub(crate) struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// Splits a control sequence into its private prefix, its parameters and its intermediates.
    pub(crate) fn parse(body: &'a [u8]) -> (Option<u8>, Params<'a>, &'a [u8]) {
        let prefix = body.first().filter(|first| (b'<'..=b'?').contains(first));
        let body = &body[usize::from(prefix.is_some())..];
        let end = body.iter().position(|byte| *byte < 0x30);
        let (params, intermediates) = body.split_at(end.unwrap_or(body.len()));
        (prefix.copied(), Params(params), intermediates)
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.split(|byte| *byte == b';').map(number)
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, index: usize) -> u16 {
        self.iter().nth(index).unwrap_or(0)
    }

    pub(crate) fn first(&self) -> u16 {
        self.get(0)
    }
}
