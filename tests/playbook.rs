//! Playbooks from text to checked data: what is accepted, what is said about what is not, and the
//! JSON Schema held against both.

use std::collections::BTreeMap;

use migrate::playbook::{Decoded, decode};

mod broken;
mod health;
mod schema;
mod shipped;
mod survival;
mod value;

const NO_VARIABLES: &dyn Fn(&str) -> Option<String> = &|_| None;

/// A playbook without a finding; tests break parts of it.
const SOUND: &str = "\
version: 1
name: web
service: { cluster: prod, name: web }
green:
  network: { subnets: [subnet-0a1, subnet-0b2] }
shift: { listener_weights: {} }
stages:
  - { green: 1%, bake: 15m }
  - { green: 100%, bake: 1h }
";

fn read(text: &str) -> Decoded {
    decode(text.as_bytes(), NO_VARIABLES)
}

/// `SOUND` with one part replaced.
fn but(old: &str, new: &str) -> String {
    assert!(SOUND.contains(old), "SOUND has no {old:?}");
    SOUND.replacen(old, new, 1)
}

/// `SOUND` with more at the end.
fn and(more: &str) -> String {
    format!("{SOUND}{more}")
}

fn rules(text: &str) -> Vec<String> {
    read(text).findings.into_iter().map(|finding| finding.rule).collect()
}

/// What a user sees of `text`, saved as `playbook.yaml`.
fn shown(text: &str) -> String {
    let decoded = read(text);
    migrate::report::diagnostic::render(&decoded.findings, "playbook.yaml", text, false)
}

/// The files in `playbooks/`, by name.
fn shipped_playbooks() -> BTreeMap<String, String> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let entries = std::fs::read_dir(&directory).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}
