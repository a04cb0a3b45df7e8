//! The rules of the house, checked on the text of the source.
//!
//! `src/lib.rs` says what the rooms are for and why they stand in this order; these tests keep it
//! true. They read text, not syntax trees, because the rules are about names, and a reader must be
//! able to see in one screen why a line offends. Each rule says where, and what to do instead.

mod manual;
mod rooms;
mod source;

use source::{Source, tree};

/// The rooms that decide and never look: the same values in, the same values out.
const PURE: [&str; 9] = [
    "src/finding",
    "src/inventory",
    "src/traffic",
    "src/gate",
    "src/playbook",
    "src/assess",
    "src/plan",
    "src/execute/decide",
    "src/execute/owed",
];

/// What a pure room may not name, and what to do instead.
const IMPURE: [(&str, &str); 13] = [
    ("std::env", "take the value as an argument"),
    ("std::fs", "take the text as an argument"),
    ("std::{", "import one by one: a group hides what is used"),
    ("TcpStream", "ask a port outside; only an address is data"),
    ("TcpListener", "ask a port outside; only an address is data"),
    ("UdpSocket", "ask a port outside; only an address is data"),
    ("std::process", "ask a port outside"),
    ("SystemTime", "take `now` as a value"),
    ("Instant", "take `now` as a value"),
    ("Utc::now", "take `now` as a value"),
    ("rand::", "take the number as an argument"),
    ("HashMap", "use a BTreeMap: its order is the same in every process"),
    ("HashSet", "use a BTreeSet: its order is the same in every process"),
];

const FUNCTION_LINES_MAX: usize = 90;

/// Fails with every offence at once.
fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "{} offences:\n  {}", offences.len(), offences.join("\n  "));
}

/// Every line outside of tests in which one of `words` stands, in the files that `of` picks.
fn named(words: &[&str], of: impl Fn(&str) -> bool) -> Vec<String> {
    let files = tree();
    let lines = files.iter().filter(|file| of(&file.path)).flat_map(Source::lines);
    lines
        .filter_map(|(place, line)| {
            let word = words.iter().find(|word| mentions(line, word))?;
            Some(format!("{place}: `{word}` in `{}`", line.trim()))
        })
        .collect()
}

/// Whether `word` stands in `line`, not as the end of a longer word.
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let inside = word.starts_with(|c: char| c.is_alphanumeric());
        !inside || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn only_report_prints() {
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!", "io::stdout()"];
    none(named(&words, |path| !path.starts_with("src/report")));
}

#[test]
fn the_sdk_stays_in_its_adapter() {
    let words = ["aws_sdk_", "aws_config", "aws_smithy_", "aws_types", "aws_credential_types", "tokio", "hyper_util"];
    none(named(&words, |path| !path.starts_with("src/cloud/aws")));
}

#[test]
fn nothing_panics_on_purpose() {
    none(named(&[".unwrap()", ".expect(", "todo!", "unimplemented!"], |_| true));
}

#[test]
fn the_pure_floors_are_pure() {
    let words: Vec<&str> = IMPURE.iter().map(|(word, _)| *word).collect();
    let pure =
        |path: &str| PURE.iter().any(|room| path == format!("{room}.rs") || path.starts_with(&format!("{room}/")));
    let advised = named(&words, pure).into_iter().map(|offence| {
        let advice = IMPURE.iter().find(|(word, _)| offence.contains(&format!("`{word}` in")));
        format!("{offence}: {}", advice.map_or("", |(_, advice)| advice))
    });
    none(advised.collect());
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = |file: &&Source| !file.text.starts_with("//! ");
    none(tree().iter().filter(silent).map(|file| format!("{} does not begin with `//! `", file.path)).collect());
}

/// A name that says nothing collects everything.
#[test]
fn files_have_names_that_mean_something() {
    let empty = ["mod", "util", "utils", "common", "types", "error", "manager", "helper", "helpers", "misc"];
    let offends = |file: &&Source| file.path.split('/').any(|part| empty.contains(&part.trim_end_matches(".rs")));
    none(tree().iter().filter(offends).map(|file| format!("{}: name it after its concept", file.path)).collect());
}

#[test]
fn functions_fit_on_a_screen() {
    let files = tree();
    let long = files.iter().flat_map(Source::functions).filter(|f| f.lines > FUNCTION_LINES_MAX);
    none(long.map(|f| format!("{}: {} has {} lines, split what is one concept", f.place, f.name, f.lines)).collect());
}

/// `lib.rs` is the architecture document: words and the list of rooms, no code.
#[test]
fn lib_holds_no_code_and_names_every_room() {
    let files = tree();
    let lib = files.iter().find(|file| file.path == "src/lib.rs").expect("there is a lib.rs");
    let code = lib.lines().filter(|(_, line)| !line.trim().is_empty() && !line.trim().starts_with("pub mod "));
    let mut offences: Vec<String> = code.map(|(place, line)| format!("{place}: code: {line}")).collect();
    for room in rooms::ORDER.iter().filter(|room| **room != "main") {
        if !lib.text.contains(&format!("//! | [`{room}`]")) {
            offences.push(format!("src/lib.rs: no row for the room `{room}`"));
        }
    }
    none(offences);
}
