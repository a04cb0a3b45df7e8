//! The order of the rooms: a module names only modules above it, and nobody but `cli` names a cloud.

use super::none;
use super::source::{Source, tree};

/// The rooms from the ground up. `cloud` is the port; the two behind it implement it.
pub const ORDER: [&str; 19] = [
    "finding",
    "inventory",
    "traffic",
    "gate",
    "playbook",
    "clock",
    "errand",
    "cloud",
    "discover",
    "assess",
    "operation",
    "plan",
    "journal",
    "execute",
    "cloud::aws",
    "cloud::sim",
    "report",
    "cli",
    "main",
];

/// The module that a file is, such as `["cloud", "sim", "elb"]`.
fn module(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// The room that a path of modules leads to.
fn room(path: &[String]) -> Option<&'static str> {
    let first = path.first()?;
    let behind = path.get(1).map(|second| format!("{first}::{second}"));
    let known = |name: &str| ORDER.iter().copied().find(|room| *room == name);
    behind.and_then(|name| known(&name)).or_else(|| known(first))
}

/// Every path in a file that begins with `crate::` or `super::`, resolved from the root, with its line.
fn uses(file: &Source) -> Vec<(usize, Vec<String>)> {
    let own = module(&file.path);
    let mut found = Vec::new();
    for root in ["crate::", "migrate::", "super::"] {
        for (at, _) in file.code.match_indices(root) {
            let before = file.code[..at].chars().next_back();
            let inside = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if inside {
                continue;
            }
            let mut from = if root == "super::" { own[..own.len().saturating_sub(1)].to_vec() } else { Vec::new() };
            let mut rest = &file.code[at + root.len()..];
            while let Some(up) = rest.strip_prefix("super::") {
                from.pop();
                rest = up;
            }
            let line = file.code[..at].matches('\n').count() + 1;
            found.extend(leaves(rest).into_iter().map(|path| (line, [from.clone(), path].concat())));
        }
    }
    found
}

/// The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn leaves(text: &str) -> Vec<Vec<String>> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let rest = &text[name.len()..];
    if let Some(group) = text.strip_prefix('{') {
        return members(group).iter().flat_map(|member| leaves(member)).collect();
    }
    match rest.strip_prefix("::") {
        Some(rest) => {
            let behind = leaves(rest).into_iter();
            behind.map(|path| [vec![name.clone()], path].concat()).collect()
        }
        None => vec![vec![name]],
    }
}

/// The members of a group behind its opening brace.
fn members(group: &str) -> Vec<String> {
    let mut members = vec![String::new()];
    let mut depth = 0;
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => {
                members.push(String::new());
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        // Space between names means nothing here.
        if !c.is_whitespace() {
            members.last_mut().unwrap().push(c);
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

#[test]
fn a_room_knows_only_the_rooms_above_it() {
    let place = |room: &str| ORDER.iter().position(|r| *r == room).unwrap();
    let mut offences = Vec::new();
    for file in tree().iter().filter(|file| file.path != "src/lib.rs") {
        let Some(own) = room(&module(&file.path)) else {
            offences.push(format!("{}: a room that has no place in the order", file.path));
            continue;
        };
        for (line, path) in uses(file) {
            let Some(other) = room(&path) else { continue };
            let behind_the_port = other.starts_with("cloud::") && own != "cli" && own != other;
            if place(other) > place(own) || behind_the_port {
                offences.push(format!("{}:{line}: {own} names {}", file.path, path.join("::")));
            }
        }
    }
    none(offences);
}

#[test]
fn use_trees_are_read_whole() {
    let file = Source {
        path: "src/cloud/sim/elb.rs".to_owned(),
        text: String::new(),
        code: "use crate::{gate::{self, Judgement}, report::out};\nuse super::super::aws::Aws;\nlet x = crate::cli::main();\n".to_owned(),
    };
    let found: Vec<String> =
        uses(&file).into_iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    assert_eq!(found, ["1 gate::self", "1 gate::Judgement", "1 report::out", "3 cli::main", "2 cloud::aws::Aws"]);
}
