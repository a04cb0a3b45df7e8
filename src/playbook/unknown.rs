//! What to say about a field that a section does not know.

use super::field::{SECTIONS, Section};
use super::reader::shortened;
use super::spelling::closest;
use crate::finding::Finding;

/// What other tools call things, and what they are called here.
const SYNONYMS: &[(&str, &str)] = &[
    ("source", "service"),
    ("blue", "service"),
    ("target", "green"),
    ("steps", "stages"),
    ("weight", "green"),
    ("percent", "green"),
    ("percentage", "green"),
    ("share", "green"),
    ("duration", "bake"),
    ("wait", "bake"),
    ("pause", "bake"),
    ("approval", "approve"),
    ("manual", "approve"),
    ("env", "environment"),
    ("vars", "variables"),
    ("checks", "health"),
    ("gate", "health"),
    ("replicas", "desired_count"),
    ("count", "desired_count"),
];

/// The finding about the field `key` in the section `words`.
pub(super) fn field(section: &Section, words: &str, key: &str) -> Finding {
    if let Some((name, remedy)) = section.unsupported.iter().find(|(name, _)| *name == key) {
        return Finding::block("not-supported", format!("`{name}` is not supported by this version")).remedy(*remedy);
    }
    if key == "<<" {
        return Finding::block("not-supported", "merge keys (`<<`) are not supported")
            .remedy("write the fields out, or refer to a whole value with `*alias`");
    }
    let message = match section.path {
        "" => format!("unknown field `{}`", shortened(key)),
        _ => format!("unknown field `{}` in {words}", shortened(key)),
    };
    let (rule, message) = match section.name {
        "Shift" => ("unknown-shift", format!("unknown way to shift traffic: `{}`", shortened(key))),
        _ => ("unknown-field", message),
    };
    Finding::block(rule, message).remedy(remedy(section, key))
}

fn remedy(section: &Section, key: &str) -> String {
    let known = || section.fields.iter().map(|field| field.name);
    let synonym = SYNONYMS.iter().filter(|(other, _)| *other == key.to_lowercase()).map(|(_, ours)| *ours).find(|ours| known().any(|name| name == *ours));
    if let Some(name) = closest(key, known()).or(synonym) {
        return format!("did you mean `{name}`?");
    }
    let homes: Vec<&str> = SECTIONS.iter().filter(|s| s.field(key).is_some() || s.unsupported.iter().any(|(name, _)| *name == key)).map(|s| s.path).collect();
    match homes.as_slice() {
        [""] => return format!("`{key}` belongs at the top level: remove its indentation"),
        [path] => return format!("`{key}` belongs in `{path}`"),
        _ => {}
    }
    match known().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ").as_str() {
        "" => "remove it; there are no settings here: write `{}`".to_owned(),
        fields => format!("remove it, or use one of {fields}"),
    }
}
