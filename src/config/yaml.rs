//! Parses YAML text into a tree of nodes that know their location.
//!
//! No other module knows the YAML crate. It is used as an event parser for good error messages:
//! they need the raw text of each scalar (`022`), whether it was quoted, the locations of keys and
//! of values, both locations of a duplicate, and several errors from one file. Size, depth and
//! alias expansion are bounded here.

use super::node::{Entry, Location, Node, NodeKind, Scalar, SyntaxError};
use super::yaml_help::explain;
use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, Tag};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Largest file to read, in bytes.
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Deepest nesting, aliases expanded.
const DEPTH_MAX: usize = 64;
/// Maximum number of nodes, aliases expanded; 64 bytes of text count as one more.
pub(super) const NODES_MAX: u64 = 1_000_000;

/// The tree, if any, and all errors found.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub root: Option<Rc<Node>>,
    pub problems: Vec<SyntaxError>,
}

/// Reads one document. Only a syntax error ends the reading.
pub(super) fn parse(file: usize, text: &str) -> Parsed {
    let mut builder = Builder::new(file);
    let mut options = Options::default();
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    options.set_emit_comments(false);
    for event in Parser::new_from_str_with_options(text, options) {
        let outcome = match event {
            Ok((event, span)) => builder.handle(event, span),
            Err(error) => Err(syntax(file, text, &error)),
        };
        if let Err(fatal) = outcome {
            builder.problems.push(fatal);
            return Parsed {
                root: None,
                problems: builder.problems,
            };
        }
    }
    Parsed {
        root: builder.root,
        problems: builder.problems,
    }
}

fn syntax(file: usize, text: &str, error: &ScanError) -> SyntaxError {
    let marker = error.marker();
    let info = match error.kind() {
        ErrorKind::UnclosedQuotedScalar => "unclosed quote".to_string(),
        ErrorKind::MappingValueNotAllowed => "mapping values are not allowed".to_string(),
        _ => error.info(),
    };
    if let Some(found) = explain(text, &info, (marker.line(), marker.col())) {
        return SyntaxError {
            at: location(file, found.line, found.column),
            key: String::new(),
            message: format!("not valid YAML: {}", found.message),
            help: Some(found.help.to_string()),
        };
    }
    let (message, help) = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => (
            "a tab in the indentation".to_string(),
            Some("indent with spaces"),
        ),
        ErrorKind::RecursionLimitExceeded => (too_deep(), None),
        ErrorKind::UnknownAnchor => ("no earlier anchor has this name".to_string(), None),
        ErrorKind::MappingValueNotAllowed => {
            let message = "a second `: ` in one line";
            (
                message.to_string(),
                Some("quote the text if the colon is part of it"),
            )
        }
        ErrorKind::UnexpectedCharacter { .. } => (
            error.info(),
            Some("quote the text if the character belongs to it"),
        ),
        _ => (error.info(), None),
    };
    SyntaxError {
        at: location(file, marker.line(), marker.col()),
        key: String::new(),
        message: format!("not valid YAML: {message}"),
        help: help.map(str::to_string),
    }
}

fn too_deep() -> String {
    format!("nested too deeply (at most {DEPTH_MAX} levels)")
}

fn location(file: usize, line: usize, column: usize) -> Location {
    let bounded = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Location {
        file,
        line: bounded(line.max(1)),
        column: bounded(column.saturating_add(1)),
    }
}

/// The tree under construction.
struct Builder {
    file: usize,
    /// Open collections, outermost first.
    open: Vec<OpenCollection>,
    /// Complete nodes with an anchor.
    anchors: BTreeMap<usize, Rc<Node>>,
    nodes: u64,
    documents: usize,
    root: Option<Rc<Node>>,
    problems: Vec<SyntaxError>,
}

struct OpenCollection {
    at: Location,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Rc<Node>>),
    Map(MapItems),
}

#[derive(Default)]
struct MapItems {
    entries: Vec<Entry>,
    seen: BTreeMap<String, Location>,
    /// The key whose value comes next.
    key: Option<MapKey>,
    /// Maps under `<<`, in order of precedence.
    merges: Vec<Rc<Node>>,
    merge_at: Option<Location>,
}

enum MapKey {
    Name(String, Location),
    Merge,
    /// A key that was reported; its value is dropped.
    Bad,
}

impl Builder {
    fn new(file: usize) -> Builder {
        Builder {
            file,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
            problems: Vec::new(),
        }
    }

    /// Handles one event. Errors get the path of the key at which they were found.
    fn handle(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let known = self.problems.len();
        let outcome = self.event(event, span);
        if self.problems.len() == known && outcome.is_ok() {
            return outcome;
        }
        let path = self.path();
        let located = |key: &str| match (path.as_str(), key) {
            (path, "") => path.to_string(),
            ("", key) => key.to_string(),
            (path, key) => format!("{path}.{key}"),
        };
        for problem in self.problems.iter_mut().skip(known) {
            problem.key = located(&problem.key);
        }
        outcome.map_err(|fatal| SyntaxError {
            key: located(&fatal.key),
            ..fatal
        })
    }

    /// The path of the current key.
    fn path(&self) -> String {
        let mut path = String::new();
        for collection in &self.open {
            match &collection.items {
                Items::List(items) => path.push_str(&format!("[{}]", items.len())),
                Items::Map(map) => {
                    let name = match &map.key {
                        Some(MapKey::Name(name, _)) => name.as_str(),
                        Some(MapKey::Merge) => "<<",
                        Some(MapKey::Bad) | None => continue,
                    };
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(name);
                }
            }
        }
        path
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let at = location(self.file, span.start.line(), span.start.col());
        let tag_at = span
            .tag_start
            .map_or(at, |tag| location(self.file, tag.line(), tag.col()));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag =
                    self.check_tag(tag_at, tag.as_deref(), &["int", "bool", "float", "null"]);
                let plain = style == ScalarStyle::Plain && !text_tag;
                // The parser returns `~` for an absent value.
                let text = if plain && span.is_empty() {
                    "".into()
                } else {
                    text
                };
                let weight = 1 + text.len() as u64 / 64;
                let kind = NodeKind::Scalar(Scalar {
                    text: text.into_owned(),
                    plain,
                });
                self.complete(
                    Node {
                        at,
                        kind,
                        weight,
                        height: 1,
                    },
                    anchor,
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag_at, tag.as_deref(), &["seq"]);
                self.begin(OpenCollection {
                    at,
                    anchor,
                    items: Items::List(Vec::new()),
                })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag_at, tag.as_deref(), &["map"]);
                self.begin(OpenCollection {
                    at,
                    anchor,
                    items: Items::Map(MapItems::default()),
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(at, anchor),
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document starts here; a file holds only one";
                    return Err(problem(at, message, Some("remove the `---` line")));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Rejects unsupported tags; returns whether the tag is that of text.
    fn check_tag(&mut self, at: Location, tag: Option<&Tag>, allowed: &[&str]) -> bool {
        let Some(tag) = tag else { return false };
        let known = ["str"].iter().chain(allowed);
        if !known
            .into_iter()
            .any(|suffix| tag.is_yaml_core_schema_tag(suffix))
        {
            let message = format!("the tag `{}` is not supported here", tag.original());
            self.problems.push(problem(at, message, Some("remove it")));
        }
        tag.is_yaml_core_schema_tag("str")
    }

    fn begin(&mut self, collection: OpenCollection) -> Result<(), SyntaxError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(problem(collection.at, too_deep(), None));
        }
        self.open.push(collection);
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        let Some(collection) = self.open.pop() else {
            return Ok(());
        };
        let kind = match collection.items {
            Items::List(items) => NodeKind::List(items),
            Items::Map(map) => NodeKind::Map(map.merged(&mut self.problems)),
        };
        let (mut weight, mut height) = (1, 0);
        let children: Vec<&Rc<Node>> = match &kind {
            NodeKind::Scalar(_) => Vec::new(),
            NodeKind::List(items) => items.iter().collect(),
            NodeKind::Map(entries) => entries.iter().map(|entry| &entry.value).collect(),
        };
        for child in children {
            weight += child.weight;
            height = height.max(child.height);
        }
        self.complete(
            Node {
                at: collection.at,
                kind,
                weight,
                height: height + 1,
            },
            collection.anchor,
        )
    }

    fn alias(&mut self, at: Location, anchor: usize) -> Result<(), SyntaxError> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(problem(
                at,
                "the alias refers to a value that contains it",
                None,
            ));
        };
        self.count(at, node.weight)?;
        if self.open.len() + node.height > DEPTH_MAX {
            return Err(problem(at, too_deep(), None));
        }
        self.add_node(node, at);
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        let own = match node.kind {
            NodeKind::Scalar(_) => node.weight,
            NodeKind::List(_) | NodeKind::Map(_) => 1,
        };
        self.count(node.at, own)?;
        let at = node.at;
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add_node(node, at);
        Ok(())
    }

    fn count(&mut self, at: Location, more: u64) -> Result<(), SyntaxError> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > NODES_MAX {
            let message = format!("too large: more than {NODES_MAX} values, aliases expanded");
            return Err(problem(at, message, None));
        }
        Ok(())
    }

    /// Adds a complete node to its collection; `at` is the location of the node or its alias.
    fn add_node(&mut self, node: Rc<Node>, at: Location) {
        match self.open.last_mut().map(|collection| &mut collection.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map(map)) => match map.key.take() {
                None => map.key = Some(map.read_key(&node, at, &mut self.problems)),
                Some(key) => map.add(key, node, at, &mut self.problems),
            },
        }
    }
}

impl MapItems {
    fn read_key(&mut self, node: &Node, at: Location, problems: &mut Vec<SyntaxError>) -> MapKey {
        let NodeKind::Scalar(scalar) = &node.kind else {
            problems.push(problem(
                at,
                "a key must be plain text, not a list or a map",
                None,
            ));
            return MapKey::Bad;
        };
        if scalar.plain && scalar.text == "<<" {
            return match self.merge_at.replace(at) {
                Some(first) => duplicate(&scalar.text, at, first, problems),
                None => MapKey::Merge,
            };
        }
        if scalar.text.is_empty() {
            problems.push(problem(at, "a key must not be empty", None));
            return MapKey::Bad;
        }
        if let Some(first) = self.seen.get(&scalar.text) {
            return duplicate(&scalar.text, at, *first, problems);
        }
        self.seen.insert(scalar.text.clone(), at);
        MapKey::Name(scalar.text.clone(), at)
    }

    fn add(&mut self, key: MapKey, value: Rc<Node>, at: Location, problems: &mut Vec<SyntaxError>) {
        match key {
            MapKey::Bad => {}
            MapKey::Name(key, key_at) => {
                let value = located(value, key_at);
                self.entries.push(Entry { key, key_at, value });
            }
            MapKey::Merge => match &value.kind {
                NodeKind::Map(_) => self.merges.push(value),
                NodeKind::List(items)
                    if items.iter().all(|i| matches!(i.kind, NodeKind::Map(_))) =>
                {
                    self.merges.extend(items.iter().cloned());
                }
                NodeKind::List(_) | NodeKind::Scalar(_) => {
                    let message = "`<<` merges a map, or a list of maps";
                    let key = "<<".to_string();
                    let help = Some("write `<<: *anchor`");
                    problems.push(SyntaxError {
                        key,
                        ..problem(at, message, help)
                    });
                }
            },
        }
    }

    /// Merges maps: own keys take precedence over merged ones, earlier maps over later ones.
    fn merged(mut self, problems: &mut Vec<SyntaxError>) -> Vec<Entry> {
        if self.merges.len() > DEPTH_MAX {
            if let Some(first) = self.merges.first() {
                problems.push(problem(first.at, "too many maps are merged", None));
            }
            self.merges.truncate(DEPTH_MAX);
        }
        for map in self.merges {
            let NodeKind::Map(entries) = &map.kind else {
                continue;
            };
            for entry in entries {
                if !self.seen.contains_key(&entry.key) {
                    self.seen.insert(entry.key.clone(), entry.key_at);
                    self.entries.push(entry.clone());
                }
            }
        }
        self.entries
    }
}

fn duplicate(name: &str, at: Location, first: Location, problems: &mut Vec<SyntaxError>) -> MapKey {
    let message = format!("duplicate key `{name}`");
    let help = format!("first defined at {}:{}", first.line, first.column);
    problems.push(SyntaxError {
        key: name.to_string(),
        ..problem(at, message, Some(&help))
    });
    MapKey::Bad
}

/// Gives an absent value the location of its key.
fn located(value: Rc<Node>, key_at: Location) -> Rc<Node> {
    match &value.kind {
        NodeKind::Scalar(scalar) if scalar.plain && scalar.text.is_empty() => {
            let kind = NodeKind::Scalar(Scalar {
                text: String::new(),
                plain: true,
            });
            Rc::new(Node {
                at: key_at,
                kind,
                ..*value
            })
        }
        NodeKind::Scalar(_) | NodeKind::List(_) | NodeKind::Map(_) => value,
    }
}

fn problem(at: Location, message: impl Into<String>, help: Option<&str>) -> SyntaxError {
    SyntaxError {
        at,
        key: String::new(),
        message: message.into(),
        help: help.map(str::to_string),
    }
}
