//! The playbook's bytes as text, and the way from byte offsets to places.
//!
//! What cannot be text is refused here, before any parser sees it: too large, binary, not UTF-8.
//! Such findings have no [`Place`], because a place points into a text and there is none; they name
//! the line in words. Spans stay byte ranges until a finding is made of one, because columns are
//! counted in characters and counting them for every node of a long line would be quadratic.

use std::ops::Range;

use crate::finding::{Finding, Place};

/// Byte range in the playbook's text.
pub(super) type Span = Range<usize>;

/// More than any playbook needs; a larger file is a mistaken argument.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Text of a playbook together with the offsets at which its lines begin.
pub(super) struct Source<'t> {
    pub text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Source<'t> {
    /// The bytes as text, or why they are none.
    pub fn new(bytes: &'t [u8]) -> Result<Self, Box<Finding>> {
        if bytes.len() > MAX_BYTES {
            return Err(Box::new(too_large(bytes.len())));
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            let finding = Finding::block("not-utf8", "the file is UTF-16, not UTF-8")
                .remedy("save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`");
            return Err(Box::new(finding));
        }
        if let Some(at) = bytes.iter().position(|b| *b == 0) {
            let finding = Finding::block("binary-file", "this is a binary file, not a playbook")
                .evidence(format!("a NUL byte on line {}", line_of(bytes, at)))
                .remedy("give the path of a YAML file; `playbooks/quickstart.yaml` is one to start from");
            return Err(Box::new(finding));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| Box::new(not_utf8(bytes, e.valid_up_to())))?;
        Ok(Self::of(text))
    }

    fn of(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Source { text, line_starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The place of `span`, moved inside the text and onto character boundaries where it is not.
    pub fn place(&self, span: &Span) -> Place {
        let start = self.floor(span.start);
        let end = self.floor(span.end.max(start)).max(start);
        let line = self.line(start);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(line_start..start).map_or(0, |before| before.chars().count()) + 1;
        Place { line, column, start, end }
    }

    /// 1-based number of the line that holds the byte at `offset`.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    /// The text of `span`; empty where the span is not one of this text.
    pub fn slice(&self, span: &Span) -> &'t str {
        self.text.get(span.clone()).unwrap_or("")
    }

    /// `span` cut at the end of its first line, without the white space and the comment behind it.
    pub fn first_line(&self, span: &Span) -> Span {
        let text = self.slice(span);
        let line = text.split(['\n', '\r']).next().unwrap_or("");
        let code = line.find(" #").map_or(line, |comment| line.get(..comment).unwrap_or(line));
        span.start..span.start + code.trim_end().len()
    }

    /// The word at `offset`, for an error that has a position but no extent. At the end of a line
    /// it is the last word before, so that there is always something to underline.
    pub fn word_at(&self, offset: usize) -> Span {
        let at = self.floor(offset);
        let rest = self.text.get(at..).unwrap_or("");
        let word: usize = rest.chars().take_while(|c| !c.is_whitespace()).map(char::len_utf8).sum();
        if word > 0 {
            return at..at + word;
        }
        let before = self.text.get(..at).unwrap_or("").trim_end();
        let word: usize = before.chars().rev().take_while(|c| !c.is_whitespace()).map(char::len_utf8).sum();
        before.len() - word..before.len()
    }

    fn floor(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        (0..=offset).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    bytes.iter().take(at).filter(|b| **b == b'\n').count() + 1
}

fn too_large(bytes: usize) -> Finding {
    Finding::block("file-too-large", "the file is larger than a playbook may be")
        .evidence(format!("{bytes} bytes; the limit is {MAX_BYTES}"))
        .remedy("check the path: a playbook is a few kilobytes of YAML")
}

fn not_utf8(bytes: &[u8], at: usize) -> Finding {
    let byte = bytes.get(at).copied().unwrap_or_default();
    Finding::block("not-utf8", format!("line {} is not UTF-8 text", line_of(bytes, at)))
        .evidence(format!("byte 0x{byte:02x} at offset {at}"))
        .remedy("save the file as UTF-8, or check that it is a playbook at all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines() {
        let source = Source::of("a: é\nbc: d\n");
        assert_eq!(source.place(&(3..5)), Place { line: 1, column: 4, start: 3, end: 5 });
        assert_eq!(source.place(&(10..11)), Place { line: 2, column: 5, start: 10, end: 11 });
        assert_eq!(source.place(&(4..99)), Place { line: 1, column: 4, start: 3, end: 12 });
    }

    #[test]
    fn a_position_at_the_end_of_a_line_underlines_the_word_before() {
        let source = Source::of("name: web  \n");
        assert_eq!(source.slice(&source.word_at(11)), "web");
        assert_eq!(source.slice(&source.word_at(6)), "web");
        assert_eq!(Source::of("").word_at(7), 0..0);
    }

    #[test]
    fn the_first_line_has_no_comment() {
        let source = Source::of("green: 1% # small\nbake: 1m");
        assert_eq!(source.slice(&source.first_line(&(0..source.text.len()))), "green: 1%");
    }
}
