//! What the YAML parser says, in words that tell what to write.
//!
//! The parser reports where it gave up, which is often behind the mistake; each explanation therefore
//! names the mistake that people make, and the parser's own words go along as evidence.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::findings::Findings;
use super::source::Span;
use crate::finding::Finding;

/// Adds the finding for a text that is no YAML.
pub(super) fn explain(findings: &mut Findings<'_>, error: &ScanError) {
    let offset = error.marker().byte_offset().unwrap_or(findings.source.text.len());
    if let Some(tab) = indenting_tab(findings.source.text, offset) {
        let finding = Finding::block("tab", "this line is indented with a tab")
            .remedy("indent with spaces: YAML allows no tabs there");
        return findings.at(&tab, finding);
    }
    let span = findings.source.word_at(offset);
    if let Some(reference) = bare_variable(findings.source.text, offset) {
        let finding =
            Finding::block("yaml-syntax", "inside `{ }` and `[ ]`, YAML takes the braces of a variable for its own")
                .remedy("put the value in double quotes: `\"${NAME}\"`");
        return findings.at(&reference, finding);
    }
    let (message, remedy) = words(error.kind());
    let finding = Finding::block("yaml-syntax", message)
        .evidence(format!("the YAML parser says: {}", error.info()))
        .remedy(remedy);
    findings.at(&span, finding);
}

/// The tabs with which the last line before the error's is indented, if one is.
fn indenting_tab(text: &str, offset: usize) -> Option<Span> {
    let mut found = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if start > offset {
            break;
        }
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let white = line.get(..indent).unwrap_or("");
        if let Some(tab) = white.find('\t')
            && !line.trim().is_empty()
        {
            found = Some(start + tab..start + indent);
        }
        start += line.len();
    }
    found
}

/// The last `${NAME}` before the error, on its line, that is not in quotes but in brackets.
fn bare_variable(text: &str, offset: usize) -> Option<Span> {
    let line_start = text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(line_start..)?.lines().next()?;
    let (before, rest) = line.split_once("${").filter(|(before, _)| before.contains(['{', '[']))?;
    let quoted = before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1;
    let start = line_start + before.len();
    let length = rest.find('}').map_or(2, |at| at + 3);
    (!quoted && start <= offset).then_some(start..start + length)
}

fn words(kind: &ErrorKind) -> (String, &'static str) {
    let (message, remedy) = match kind {
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("this `{open}` is never closed"), closing(*open));
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{open}` is closed by `{close}`"), closing(*open));
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (
                format!("a value cannot begin with `{}`", character.escape_default()),
                "put the text in double quotes",
            );
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a list in `[ ]` does not go on or end here", "separate its items with `,` and close it with `]`")
        }
        ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator => {
            ("a map in `{ }` does not go on or end here", "separate its fields with `,` and close it with `}`")
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("a bracket is closed that was not opened", "remove it, or open it before")
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent => {
            ("a quoted text is not closed", "close it with the quote that opened it")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            "something follows a quoted text",
            "close the quotes at the end of the value, and write `\\\"` for a quote inside",
        ),
        ErrorKind::UnknownQuotedScalarEscape | ErrorKind::InvalidQuotedScalarHexEscape => {
            ("an escape sequence is unknown", "write `\\\\` for a backslash, or use single quotes")
        }
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidMappingValueWhitespace => (
            "a `:` is not expected here",
            "put a value that contains `: ` in double quotes, and begin every field on a line of its own",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("this line is neither a field nor part of one", "write `name: value`, with a space behind the colon")
        }
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::InvalidFlowScalarIndent => {
            ("the indentation does not fit", "indent the fields of one section by the same number of spaces")
        }
        ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::BlockEntryInFlowCollection => (
            "a list is not expected to go on like this",
            "begin every item with `- `, and indent all of them by the same number of spaces",
        ),
        ErrorKind::UnknownAnchor => (
            "this alias refers to an anchor that does not exist",
            "put text that begins with `*` in quotes, or write the value out",
        ),
        ErrorKind::MissingAnchorOrAliasName => {
            ("`&` and `*` need a name", "put text that begins with `&` or `*` in quotes")
        }
        ErrorKind::RecursionLimitExceeded => {
            ("values are nested too deeply", "check the brackets: no part of a playbook is that deep")
        }
        _ => ("this is not YAML", "check quotes, brackets and indentation of this line and of the one before"),
    };
    (message.to_owned(), remedy)
}

fn closing(open: char) -> &'static str {
    if open == '[' { "close it with `]`" } else { "close it with `}`" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tabs_that_indent_something_count() {
        assert_eq!(indenting_tab("a:\n\tb: 1\n", 4), Some(3..4));
        assert_eq!(indenting_tab("a:\n  \tb: 1\n", 9), Some(5..6));
        assert_eq!(indenting_tab("a: \tb\n\t\nc: d\n", 12), None);
        assert_eq!(indenting_tab("a: [\n\n", 2), None);
    }
}
