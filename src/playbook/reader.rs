//! Reads sections and single values off the tree, and reports what is wrong with each.
//!
//! A method answers `None` only after it has reported why (or found [`Kind::Broken`], which somebody
//! else has reported), so callers go on with the next field and nothing is said twice. Types are read
//! strictly: text that YAML readers would take for a boolean or a number must be in quotes, because
//! an editor, a template engine and this tool would otherwise read the same line differently.

use std::collections::{BTreeMap, BTreeSet};

use super::field::Section;
use super::findings::Findings;
use super::source::Span;
use super::tree::{Entry, Kind, Node, Scalar};
use super::unknown;
use crate::finding::Finding;

pub(super) struct Reader<'f, 't> {
    pub findings: &'f mut Findings<'t>,
}

/// The fields of one section, as the playbook gives them.
pub(super) struct Fields<'n> {
    pub section: &'static Section,
    /// The section in words, such as `stage 2`.
    pub words: String,
    span: Span,
    entries: &'n [Entry],
    /// Fields that are there under another name, or that may be behind a merge key: reported already.
    excused: BTreeSet<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value of an optional field.
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }
}

/// A value whose text is not to be spread over a diagnostic.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl<'t> Reader<'_, 't> {
    pub fn block(&mut self, span: &Span, finding: Finding) {
        let span = self.findings.source.first_line(span);
        self.findings.at(&span, finding);
    }

    /// The fields of the map `node`; unknown ones are reported.
    pub fn section<'n>(&mut self, node: &'n Node, section: &'static Section, words: &str) -> Option<Fields<'n>> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Broken => return None,
            _ => {
                let names = section.fields.iter().map(|f| format!("`{}`", f.name)).collect::<Vec<_>>().join(", ");
                let remedy = match (section.path, names.as_str()) {
                    ("", _) => "begin with `version: 1`; `playbooks/quickstart.yaml` shows a whole one".to_owned(),
                    (_, "") => "write `{}`".to_owned(),
                    (_, names) => format!("give it fields of its own, indented below it: {names}"),
                };
                self.wrong_type(node, &format!("{words} must be a map"), remedy);
                return None;
            }
        };
        let mut excused = BTreeSet::new();
        for entry in entries {
            if section.field(&entry.key).is_none() {
                let finding = unknown::field(section, words, &entry.key);
                self.findings.at(&entry.key_span, finding);
                excused.extend(unknown::meant(section, &entry.key));
            }
        }
        Some(Fields { section, words: words.to_owned(), span: node.span.clone(), entries, excused })
    }

    /// The value of a field that must be there.
    pub fn required<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<&'n Node> {
        let value = fields.get(name);
        if value.is_none() && !fields.excused.contains(name) {
            let example = fields.section.field(name).map_or(name, |field| field.example);
            let finding = Finding::block("missing-field", format!("{} has no `{name}`", fields.words))
                .remedy(format!("add, for example, `{example}`"));
            if fields.section.path.is_empty() {
                self.findings.whole(finding);
            } else {
                self.block(&fields.span, finding);
            }
        }
        value
    }

    /// The single value in `node`; `example` shows one.
    pub fn scalar<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> Option<&'n Scalar> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.plain && !scalar.substituted && is_null(&scalar.text) => {
                let finding = Finding::block("empty-value", format!("`{what}` has no value"))
                    .remedy(format!("write, for example, `{example}`, or remove the line"));
                self.block(&node.span, finding);
                None
            }
            Kind::Scalar(scalar) => Some(scalar),
            Kind::Broken => None,
            Kind::List(_) | Kind::Map(_) => {
                self.wrong_type(
                    node,
                    &format!("`{what}` must be a single value"),
                    format!("write, for example, `{example}`"),
                );
                None
            }
        }
    }

    /// Text that is not empty.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> Option<&'n str> {
        let text = self.any_text(node, what, example)?;
        if text.trim().is_empty() {
            let finding = Finding::block("empty-value", format!("`{what}` is empty"))
                .remedy(format!("write, for example, `{example}`, or remove the line"));
            self.block(&node.span, finding);
            return None;
        }
        Some(text)
    }

    /// Text, which may be empty.
    pub fn any_text<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> Option<&'n str> {
        let scalar = self.scalar(node, what, example)?;
        let text = scalar.text.as_str();
        if scalar.plain && !scalar.substituted {
            let kind = match () {
                () if is_boolean(text) => Some("a boolean"),
                () if is_number(text) => Some("a number"),
                () => None,
            };
            if let Some(kind) = kind {
                let rule = if kind == "a boolean" { "yaml-boolean" } else { "wrong-type" };
                let finding = Finding::block(rule, format!("`{what}` must be text, but YAML reads `{text}` as {kind}"))
                    .remedy(format!("put it in quotes: `\"{text}\"`"));
                self.block(&node.span, finding);
                return None;
            }
        }
        Some(text)
    }

    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let scalar = self.scalar(node, what, &format!("{what}: true"))?;
        let unquoted = scalar.plain || scalar.substituted;
        match scalar.text.as_str() {
            "true" | "True" | "TRUE" if unquoted => return Some(true),
            "false" | "False" | "FALSE" if unquoted => return Some(false),
            _ => {}
        }
        let lower = scalar.text.to_lowercase();
        let remedy = match lower.as_str() {
            "true" | "yes" | "on" | "y" | "1" => "write `true`",
            "false" | "no" | "off" | "n" | "0" => "write `false`",
            _ => "write `true` or `false`",
        };
        let finding = Finding::block("wrong-type", format!("`{what}` must be true or false")).remedy(remedy);
        self.block_scalar(node, scalar, finding);
        None
    }

    /// A whole number between `least` and `most`.
    pub fn integer(&mut self, node: &Node, what: &str, least: u64, most: u64, example: &str) -> Option<u64> {
        let scalar = self.scalar(node, what, example)?;
        let text = scalar.text.trim();
        let unquoted = scalar.plain || scalar.substituted;
        if unquoted && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            match text.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => return Some(number),
                _ => {
                    let bounds = if most == u64::MAX {
                        format!("at least {least}")
                    } else {
                        format!("between {least} and {most}")
                    };
                    let finding = Finding::block("out-of-range", format!("`{what}` must be {bounds}"))
                        .remedy(format!("write, for example, `{example}`"));
                    self.block_scalar(node, scalar, finding);
                    return None;
                }
            }
        }
        let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
        let whole = digits.trim_end_matches('0').strip_suffix('.').unwrap_or(&digits);
        let remedy = match whole.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => format!("write `{number}`, without quotes"),
            _ => format!("write, for example, `{example}`"),
        };
        let finding = Finding::block("wrong-type", format!("`{what}` must be a whole number")).remedy(remedy);
        self.block_scalar(node, scalar, finding);
        None
    }

    /// A factor: a finite number of at least 1.
    pub fn ratio(&mut self, node: &Node, what: &str) -> Option<f64> {
        let scalar = self.scalar(node, what, &format!("{what}: 3"))?;
        let text = scalar.text.trim();
        let digits = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E'));
        let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && digits);
        let finding = match number {
            Some(number) if number >= 1.0 && (scalar.plain || scalar.substituted) => return Some(number),
            Some(number) if number >= 1.0 => {
                Finding::block("wrong-type", format!("`{what}` must be a number, not text"))
                    .remedy(format!("write `{text}` without quotes"))
            }
            Some(_) => Finding::block("out-of-range", format!("`{what}` must be at least 1"))
                .evidence("green is compared with blue: below 1 it would be degraded while it is better")
                .remedy("write, for example, `3` for three times blue's value"),
            None => {
                Finding::block("wrong-type", format!("`{what}` must be a finite number")).remedy(ratio_remedy(text))
            }
        };
        self.block_scalar(node, scalar, finding);
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let words = choices.iter().map(|(word, _)| *word);
        let listed = words.clone().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let scalar = match &node.kind {
            Kind::Scalar(scalar) => scalar,
            Kind::Broken => return None,
            _ => {
                self.wrong_type(node, &format!("`{what}` must be a single word"), format!("write {listed}"));
                return None;
            }
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == scalar.text) {
            return Some(*value);
        }
        let remedy = match super::spelling::closest(&scalar.text, words) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write {listed}"),
        };
        let finding = Finding::block("unknown-value", format!("`{what}` must be {listed}")).remedy(remedy);
        self.block_scalar(node, scalar, finding);
        None
    }

    /// A list; `item` reads each of its values.
    pub fn list<T>(
        &mut self,
        node: &Node,
        what: &str,
        example: &str,
        mut item: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        match &node.kind {
            Kind::List(items) => Some(items.iter().filter_map(|node| item(self, node)).collect()),
            Kind::Broken => None,
            _ => {
                self.wrong_type(node, &format!("`{what}` must be a list"), format!("write, for example, `{example}`"));
                None
            }
        }
    }

    /// Reports the items of a list of texts that are given twice.
    pub fn duplicates(&mut self, node: &Node, rule: &str, what: &str) {
        let Kind::List(items) = &node.kind else { return };
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for item in items {
            let Kind::Scalar(scalar) = &item.kind else { continue };
            let line = self.findings.source.line(item.span.start);
            if let Some(first) = seen.insert(&scalar.text, line) {
                let finding = Finding::block(rule, format!("`{}` is given twice in `{what}`", shortened(&scalar.text)))
                    .evidence(format!("first given on line {first}"))
                    .remedy("remove one of the two");
                self.block(&item.span, finding);
            }
        }
    }

    /// A map of free names to texts.
    pub fn text_map(
        &mut self,
        node: &Node,
        what: &str,
        example: &str,
        key: impl Fn(&str) -> Option<Finding>,
    ) -> BTreeMap<String, String> {
        let Kind::Map(entries) = &node.kind else {
            if !matches!(node.kind, Kind::Broken) {
                self.wrong_type(node, &format!("`{what}` must be a map"), format!("write, for example, `{example}`"));
            }
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for entry in entries {
            if let Some(finding) = key(&entry.key) {
                self.findings.at(&entry.key_span, finding);
            }
            let words = format!("{what}.{}", shortened(&entry.key));
            if let Some(text) = self.any_text(&entry.value, &words, example) {
                map.insert(entry.key.clone(), text.to_owned());
            }
        }
        map
    }

    /// Reports a value together with what a variable made of it, which the file does not show.
    pub fn block_scalar(&mut self, node: &Node, scalar: &Scalar, mut finding: Finding) {
        if scalar.substituted {
            finding = finding.evidence(format!("with its variables filled in it is `{}`", shortened(&scalar.text)));
        }
        self.block(&node.span, finding);
    }

    pub fn wrong_type(&mut self, node: &Node, message: &str, remedy: String) {
        let found = match &node.kind {
            Kind::Scalar(scalar) if scalar.plain && is_null(&scalar.text) => "nothing is given",
            Kind::Scalar(_) | Kind::Broken => "a single value is given",
            Kind::List(_) => "a list is given",
            Kind::Map(_) => "a map is given",
        };
        let finding = Finding::block("wrong-type", format!("{message}, but {found}")).remedy(remedy);
        self.block(&node.span, finding);
    }
}

fn ratio_remedy(text: &str) -> String {
    let number = text.trim_end_matches(['x', 'X', '%', ' ']);
    match number.parse::<f64>() {
        Ok(n) if text.ends_with('%') && n.is_finite() && n >= 100.0 => format!("write `{}`", n / 100.0),
        Ok(n) if n.is_finite() && n >= 1.0 => format!("write `{number}`"),
        _ => "write, for example, `3` for three times blue's value".to_owned(),
    }
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// What YAML 1.1 readers take for a boolean.
fn is_boolean(text: &str) -> bool {
    let words: BTreeSet<&str> = ["true", "false", "yes", "no", "on", "off"].into();
    let lower = text.to_lowercase();
    let capital = text.chars().next().is_some_and(char::is_uppercase);
    let one_case = text == lower || text == text.to_uppercase() || (capital && text.get(1..) == lower.get(1..));
    one_case && words.contains(lower.as_str())
}

/// What YAML readers take for a number.
pub(super) fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let special = matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    let hex = unsigned.strip_prefix("0x").is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_hexdigit()));
    let octal =
        unsigned.strip_prefix("0o").is_some_and(|d| !d.is_empty() && d.bytes().all(|b| matches!(b, b'0'..=b'7')));
    let starts = unsigned.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    let decimal = starts && unsigned.parse::<f64>().is_ok();
    special || hex || octal || decimal
}
