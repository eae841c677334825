//! The keys of a program above those of `defaults`.

use super::lowering_context::{Lowering, Table, Value};
use super::node::NodeKind;
use std::collections::BTreeMap;

/// The keys of a program, with those of `defaults` as fallback.
pub(super) struct Layers<'a> {
    pub own: &'a Table<'a>,
    pub defaults: Option<&'a Table<'a>>,
}

impl<'a> Layers<'a> {
    /// The value of a key.
    pub(super) fn find(&self, name: &str) -> Option<Value<'a>> {
        let beneath = || self.defaults.and_then(|defaults| defaults.find(name));
        self.own.find(name).or_else(beneath)
    }
}

/// A map of names to texts, with the defaults' entries as fallback.
pub(super) fn text_map(cx: &mut Lowering, layers: &Layers, name: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for value in layer_values(layers, name) {
        map.extend(
            texts(cx, &value)
                .into_iter()
                .map(|(name, _, text)| (name, text)),
        );
    }
    map
}

/// A key's values: of the defaults, then the program's own.
pub(super) fn layer_values<'a>(layers: &Layers<'a>, name: &str) -> impl Iterator<Item = Value<'a>> {
    let defaults = layers.defaults.and_then(|defaults| defaults.find(name));
    defaults.into_iter().chain(layers.own.find(name))
}

/// Names and texts of a map, scalars of any type as they are written.
pub(super) fn texts<'a>(cx: &mut Lowering, value: &Value<'a>) -> Vec<(String, Value<'a>, String)> {
    if matches!(value.node.kind, NodeKind::List(_)) {
        let help = Some("write `NAME: value`, without the dash");
        cx.refuse::<()>(
            value,
            "expected a map of names and values, found a list",
            help,
        );
        return Vec::new();
    }
    let Some(table) = cx.open_table(
        value,
        "a map of names and values",
        Some("write `NAME: value`"),
    ) else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    for (entry, field) in table.iter() {
        // A faulty one has its error. Its name is known, so that no other error refers to it.
        let text = cx.text(&field, "text").unwrap_or_default();
        texts.push((entry.key.clone(), field, text));
    }
    texts
}
