//! A config as a tree of nodes that know their location.

use std::rc::Rc;

/// A location in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    /// Index of the file among those that were read.
    pub file: usize,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// A value and its location. An alias is the node that it refers to.
#[derive(Debug)]
pub(super) struct Node {
    pub at: Location,
    pub kind: NodeKind,
    /// The number of nodes in it, aliases expanded.
    pub weight: u64,
    /// The number of levels in it, itself included.
    pub height: usize,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    /// In the order of the file, merge keys resolved, without duplicates.
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub text: String,
    /// Neither quoted nor a block scalar nor tagged as text.
    pub plain: bool,
}

impl Scalar {
    /// Whether YAML reads it as null.
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_at: Location,
    pub value: Rc<Node>,
}

/// An error in the YAML text.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub at: Location,
    /// The path of the key; may be empty.
    pub key: String,
    pub message: String,
    pub help: Option<String>,
}
