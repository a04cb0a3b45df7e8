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

/// The fields that `key` stands for, so that they are not reported as missing as well.
pub(super) fn meant(section: &Section, key: &str) -> Vec<&'static str> {
    match key {
        "<<" => section.fields.iter().map(|field| field.name).collect(),
        "create" if section.name == "Network" => vec!["subnets"],
        _ => suggestion(section, key).into_iter().collect(),
    }
}

fn suggestion(section: &Section, key: &str) -> Option<&'static str> {
    let known = || section.fields.iter().map(|field| field.name);
    let lower = key.to_lowercase();
    let synonyms = || SYNONYMS.iter().filter(|(other, _)| *other == lower).map(|(_, ours)| *ours);
    closest(key, known()).or_else(|| synonyms().find(|ours| known().any(|name| name == *ours)))
}

fn remedy(section: &Section, key: &str) -> String {
    if let Some(name) = suggestion(section, key) {
        return format!("did you mean `{name}`?");
    }
    let knows = |s: &&&Section| s.field(key).is_some() || s.unsupported.iter().any(|(name, _)| *name == key);
    let homes: Vec<&str> = SECTIONS.iter().filter(knows).map(|s| s.path).collect();
    match homes.as_slice() {
        [""] => return format!("`{key}` belongs at the top level: remove its indentation"),
        [path] => return format!("`{key}` belongs in `{path}`"),
        _ => {}
    }
    match section.fields {
        [] => "remove it; there are no settings here: write `{}`".to_owned(),
        [only] => format!("write `{}`", only.example),
        fields => {
            let names = fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
            format!("remove it, or use one of {names}")
        }
    }
}
