//! YAML text as a tree that remembers where everything stands.
//!
//! The tree is built from the parser's events rather than through serde, because serde shows neither
//! the style of a scalar (`no` and `"no"` differ) nor a key that is given twice, and stops at the
//! first mistake. Invariant: building takes time and memory in proportion to the text, whatever it
//! holds: depth and the number of nodes, aliases expanded, are bounded.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span as YamlSpan, Tag};

use super::findings::Findings;
use super::source::Span;
use super::syntax;
use crate::finding::Finding;

/// A playbook of more values is not one that somebody wrote.
const MAX_NODES: usize = 10_000;
/// The parser counts its own levels; a playbook has five.
const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that has been reported already, and is not to be reported again.
    Broken,
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    /// The value, without quotes and escapes.
    pub text: String,
    /// Written without quotes, so that YAML guesses a type.
    pub plain: bool,
    /// Whether a variable was put into `text`, which is then not what the file says.
    pub substituted: bool,
}

/// A field of a map.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar(_) | Kind::Broken => 1,
            Kind::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Kind::Map(entries) => 1 + entries.iter().map(|e| 1 + e.value.size()).sum::<usize>(),
        }
    }
}

/// Root of the first document. `None`, with a finding, where the text is no YAML or too much of it;
/// `None` without one where there is no document.
pub(super) fn parse(findings: &mut Findings<'_>) -> Option<Node> {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(findings.source.text, options) {
        match event {
            Ok((event, span)) => builder.take(findings, event, &span),
            Err(error) => {
                syntax::explain(findings, &error);
                return None;
            }
        }
        if builder.nodes > MAX_NODES {
            too_many_nodes(findings, builder.last_alias.as_ref());
            return None;
        }
        if builder.documents > 1 {
            break;
        }
    }
    builder.root
}

fn too_many_nodes(findings: &mut Findings<'_>, alias: Option<&Span>) {
    let message = format!("the playbook holds more than {MAX_NODES} values");
    let finding = Finding::block("too-many-values", message);
    match alias {
        Some(span) => findings.at(
            &span.clone(),
            finding
                .evidence("aliases such as this one multiply what they refer to")
                .remedy("write the values out instead of repeating them with `*aliases`"),
        ),
        None => findings.whole(finding.remedy("check that the file is a playbook")),
    }
}

/// A list or a map of which the end has not been seen.
struct Open {
    start: usize,
    anchor: usize,
    shape: Shape,
}

enum Shape {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, first_of_key: BTreeMap<String, Span>, key: Key },
}

/// The key for which a map waits for the value.
enum Key {
    Awaited,
    Given(String, Span),
    /// The key is a list or a map; its value is skipped.
    Unusable,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    last_alias: Option<Span>,
}

impl Builder {
    fn take(&mut self, findings: &mut Findings<'_>, event: Event<'_>, at: &YamlSpan) {
        let span = at.byte_range().unwrap_or_default();
        match event {
            Event::DocumentStart(..) => self.document(findings, &span),
            Event::Scalar(text, style, anchor, tag) => {
                let mut plain = style == ScalarStyle::Plain;
                if let Some(tag) = &tag {
                    plain &= !check_tag(findings, tag, at);
                }
                let kind = Kind::Scalar(Scalar { text: text.into_owned(), plain, substituted: false });
                self.remember(anchor, Node { span, kind }, findings);
            }
            Event::SequenceStart(_, anchor, tag) => {
                if let Some(tag) = &tag {
                    check_tag(findings, tag, at);
                }
                self.open.push(Open { start: span.start, anchor, shape: Shape::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, tag) => {
                if let Some(tag) = &tag {
                    check_tag(findings, tag, at);
                }
                let shape = Shape::Map { entries: Vec::new(), first_of_key: BTreeMap::new(), key: Key::Awaited };
                self.open.push(Open { start: span.start, anchor, shape });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(findings, &span),
            Event::Alias(id) => self.alias(findings, id, &span),
            _ => {}
        }
    }

    fn document(&mut self, findings: &mut Findings<'_>, span: &Span) {
        self.documents += 1;
        if self.documents == 2 {
            let finding = Finding::block("several-documents", "a second YAML document begins here")
                .remedy("remove this `---` and what follows, or put it into a playbook of its own");
            findings.at(span, finding);
        }
    }

    fn alias(&mut self, findings: &mut Findings<'_>, id: usize, span: &Span) {
        self.last_alias = Some(span.clone());
        let node = match self.anchors.get(&id) {
            Some(node) => Node { span: span.clone(), kind: node.kind.clone() },
            None => {
                let finding = Finding::block(
                    "recursive-alias",
                    format!("`{}` refers to the value that it is part of", findings.source.slice(span)),
                )
                .remedy("write the value out");
                findings.at(span, finding);
                Node { span: span.clone(), kind: Kind::Broken }
            }
        };
        self.nodes += node.size();
        self.place(node, findings);
    }

    fn remember(&mut self, anchor: usize, node: Node, findings: &mut Findings<'_>) {
        self.nodes += 1;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node, findings);
    }

    fn close(&mut self, findings: &mut Findings<'_>, end: &Span) {
        let Some(open) = self.open.pop() else { return };
        let kind = match open.shape {
            Shape::List(items) => Kind::List(items),
            Shape::Map { entries, .. } => Kind::Map(entries),
        };
        // A block collection ends where the next thing begins; the white space between is not its own.
        let whole = open.start..end.end.max(open.start);
        let text = findings.source.slice(&whole).trim_end();
        let span = open.start..open.start + text.len();
        self.remember(open.anchor, Node { span, kind }, findings);
    }

    /// Puts a finished node where it belongs: the key or the value of a map, an item, the root.
    fn place(&mut self, node: Node, findings: &mut Findings<'_>) {
        match self.open.last_mut().map(|open| &mut open.shape) {
            None => self.root = self.root.take().or(Some(node)),
            Some(Shape::List(items)) => items.push(node),
            Some(Shape::Map { entries, first_of_key, key }) => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => *key = take_key(node, first_of_key, findings),
                Key::Given(name, key_span) => {
                    entries.push(Entry { key: name, value: with_place(node, &key_span), key_span })
                }
                Key::Unusable => {}
            },
        }
    }
}

/// A value that was left out stands nowhere; its key stands for it.
fn with_place(node: Node, key: &Span) -> Node {
    if node.span.is_empty() { Node { span: key.clone(), ..node } } else { node }
}

fn take_key(node: Node, first_of_key: &mut BTreeMap<String, Span>, findings: &mut Findings<'_>) -> Key {
    let Kind::Scalar(scalar) = node.kind else {
        let finding = Finding::block("bad-key", "the name of a field cannot be a list or a map")
            .remedy("write `name: value`; put text that contains `{`, `[` or `: ` in quotes");
        findings.at(&findings.source.first_line(&node.span), finding);
        return Key::Unusable;
    };
    if let Some(first) = first_of_key.get(&scalar.text) {
        let finding = Finding::block("duplicate-key", format!("`{}` is given twice", scalar.text))
            .evidence(format!("first given on line {}", findings.source.line(first.start)))
            .remedy("keep one of the two; YAML readers disagree on which of them counts");
        findings.at(&node.span, finding);
        return Key::Unusable;
    }
    first_of_key.insert(scalar.text.clone(), node.span.clone());
    Key::Given(scalar.text, node.span)
}

/// Whether the tag makes a scalar text. Tags that this format does not know are reported.
fn check_tag(findings: &mut Findings<'_>, tag: &Tag, at: &YamlSpan) -> bool {
    let core = ["str", "int", "float", "bool", "null", "map", "seq"];
    if tag.core_suffix().is_some_and(|suffix| core.contains(&suffix)) {
        return tag.core_suffix() == Some("str");
    }
    if tag.original() == "!" {
        return true;
    }
    let span = at.tag_span().and_then(|span| span.byte_range()).or(at.byte_range()).unwrap_or_default();
    let finding = Finding::block("yaml-tag", format!("a playbook has no use for the YAML tag `{}`", tag.original()))
        .remedy("remove the tag; put text that begins with `!` in quotes");
    findings.at(&span, finding);
    true
}
