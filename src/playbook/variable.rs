//! `${VAR}` in the values of a playbook.
//!
//! Variables are put into scalars of the parsed tree, not into the text: a value can never change the
//! structure of the playbook, and every place stays the one in the file. A variable that is not set
//! is a finding, never an empty text.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::reader::is_null;
use super::source::Span;
use super::spelling::closest;
use super::tree::{Entry, Kind, Node};
use crate::finding::Finding;

/// The variables of one playbook.
struct Variables<'l> {
    lookup: &'l dyn Fn(&str) -> Option<String>,
    /// What the playbook's own section says, for what `lookup` does not know.
    defaults: BTreeMap<String, String>,
    used: BTreeSet<String>,
    /// Names that a finding proposes already, of which it need not be said that they are not used.
    proposed: BTreeSet<String>,
}

/// Takes the `variables` section out of the root and fills in all variables. Answers the names of
/// those that the playbook declares or uses.
pub(super) fn fill_in(
    root: &mut Node,
    lookup: &dyn Fn(&str) -> Option<String>,
    findings: &mut Findings<'_>,
) -> BTreeSet<String> {
    let mut variables =
        Variables { lookup, defaults: BTreeMap::new(), used: BTreeSet::new(), proposed: BTreeSet::new() };
    let declared = match take_section(root) {
        Some(section) => variables.read_defaults(&section, findings),
        None => BTreeMap::new(),
    };
    variables.visit(root, findings);
    for (name, span) in &declared {
        if !variables.used.contains(name) && !variables.proposed.contains(name) {
            let finding = Finding::warn("unused-variable", format!("the variable `{name}` is not used"))
                .remedy(format!("write `${{{name}}}` where its value belongs, or remove it"));
            findings.at(span, finding);
        }
    }
    variables.used.into_iter().chain(declared.into_keys()).collect()
}

fn take_section(root: &mut Node) -> Option<Entry> {
    let Kind::Map(entries) = &mut root.kind else { return None };
    let at = entries.iter().position(|entry| entry.key == "variables")?;
    Some(entries.remove(at))
}

impl Variables<'_> {
    fn read_defaults(&mut self, section: &Entry, findings: &mut Findings<'_>) -> BTreeMap<String, Span> {
        let mut declared = BTreeMap::new();
        let Kind::Map(entries) = &section.value.kind else {
            let finding = Finding::block("wrong-type", "`variables` must be a map of names and default values")
                .remedy("write `variables: { NAME: value }`");
            findings.at(&findings.source.first_line(&section.value.span), finding);
            return declared;
        };
        for entry in entries {
            if !is_name(&entry.key) {
                let finding =
                    Finding::block("bad-variable", format!("`{}` cannot be the name of a variable", entry.key))
                        .remedy("use letters, digits and `_`, beginning with a letter, such as `GREEN_SUBNET`");
                findings.at(&entry.key_span, finding);
                continue;
            }
            declared.insert(entry.key.clone(), entry.key_span.clone());
            match default_of(entry) {
                Ok(text) => {
                    self.defaults.insert(entry.key.clone(), text);
                }
                Err(finding) => {
                    // Known, so that its uses are not reported as well.
                    self.defaults.insert(entry.key.clone(), String::new());
                    findings.at(&findings.source.first_line(&entry.value.span), *finding);
                }
            }
        }
        declared
    }

    fn visit(&mut self, node: &mut Node, findings: &mut Findings<'_>) {
        match &mut node.kind {
            Kind::Broken => {}
            Kind::List(items) => items.iter_mut().for_each(|item| self.visit(item, findings)),
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| self.visit(&mut entry.value, findings)),
            Kind::Scalar(scalar) if scalar.text.contains("${") => match self.expand(&scalar.text, &node.span, findings)
            {
                Some(text) => {
                    scalar.text = text;
                    scalar.substituted = true;
                }
                None => node.kind = Kind::Broken,
            },
            Kind::Scalar(_) => {}
        }
    }

    /// `text` with its variables filled in; `None` when one of them cannot be.
    fn expand(&mut self, text: &str, span: &Span, findings: &mut Findings<'_>) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut complete = true;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                let finding = Finding::block("bad-variable", "a `${` is not closed")
                    .remedy("write `${NAME}`, or `$${` for the characters themselves");
                findings.at(&findings.source.first_line(span), finding);
                return None;
            };
            match self.value(name) {
                Ok(value) => out.push_str(&value),
                Err(finding) => {
                    findings.at(&within(findings, span, name), *finding);
                    complete = false;
                }
            }
            rest = after;
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    fn value(&mut self, name: &str) -> Result<String, Box<Finding>> {
        if !is_name(name) {
            return Err(Box::new(bad_reference(name)));
        }
        self.used.insert(name.to_owned());
        if let Some(value) = (self.lookup)(name).or_else(|| self.defaults.get(name).cloned()) {
            return Ok(value);
        }
        let mut remedy =
            format!("pass `--var {name}=...`, export {name}, or give it a default: `variables: {{ {name}: ... }}`");
        if let Some(other) = closest(name, self.defaults.keys().map(String::as_str)) {
            self.proposed.insert(other.to_owned());
            remedy = format!("did you mean `${{{other}}}`? Otherwise {remedy}");
        }
        Err(Box::new(Finding::block("unset-variable", format!("the variable `{name}` is not set")).remedy(remedy)))
    }
}

fn default_of(entry: &Entry) -> Result<String, Box<Finding>> {
    let name = &entry.key;
    let finding = match &entry.value.kind {
        Kind::Scalar(scalar) if scalar.plain && is_null(&scalar.text) => {
            Finding::block("empty-value", format!("the variable `{name}` has no default value"))
                .remedy("write a value, `\"\"` for an empty text, or remove the line and set the variable from outside")
        }
        Kind::Scalar(scalar) => {
            let literal = scalar.text.replace("$${", "");
            if !literal.contains("${") {
                return Ok(scalar.text.replace("$${", "${"));
            }
            Finding::block("bad-variable", "a default value cannot refer to another variable")
                .remedy("write the value out, or `$${` for the characters themselves")
        }
        Kind::Broken => return Ok(String::new()),
        Kind::List(_) | Kind::Map(_) => {
            Finding::block("wrong-type", format!("the variable `{name}` must be one value"))
                .remedy("use one variable for each item")
        }
    };
    Err(Box::new(finding))
}

fn bad_reference(reference: &str) -> Finding {
    let finding = Finding::block("bad-variable", format!("`${{{reference}}}` does not name a variable"));
    match reference.split_once([':', '-', '?', '=']) {
        Some((name, _)) if is_name(name) => finding
            .remedy(format!("write `${{{name}}}`, and give the default in the section `variables: {{ {name}: ... }}`")),
        _ => finding
            .remedy("use letters, digits and `_` between the braces, or write `$${` for the characters themselves"),
    }
}

/// The span of `${name}` inside the scalar's, where the file shows it as such.
fn within(findings: &Findings<'_>, scalar: &Span, name: &str) -> Span {
    let reference = format!("${{{name}}}");
    match findings.source.slice(scalar).find(&reference) {
        Some(at) => scalar.start + at..scalar.start + at + reference.len(),
        None => findings.source.first_line(scalar),
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
