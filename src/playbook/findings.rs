//! Where decoding puts what it finds.
//!
//! Every mistake is kept, but not endlessly many: a file of ten thousand unknown fields is one
//! mistake, and nobody reads the rest.

use super::source::{Source, Span};
use crate::finding::Finding;

const MAX_FINDINGS: usize = 100;

pub(super) struct Findings<'t> {
    pub source: &'t Source<'t>,
    list: Vec<Finding>,
    left_out: usize,
}

impl<'t> Findings<'t> {
    pub fn new(source: &'t Source<'t>) -> Self {
        Findings { source, list: Vec::new(), left_out: 0 }
    }

    /// A finding about a part of the text.
    pub fn at(&mut self, span: &Span, finding: Finding) {
        let place = (self.list.len() < MAX_FINDINGS).then(|| self.source.place(span));
        self.keep(Finding { place, ..finding });
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A finding about the text as a whole.
    pub fn whole(&mut self, finding: Finding) {
        self.keep(finding);
    }

    fn keep(&mut self, finding: Finding) {
        if self.list.len() < MAX_FINDINGS {
            self.list.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// All findings in the order of the text, those about the whole of it last.
    pub fn finish(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| finding.place.map_or(usize::MAX, |place| place.start));
        if self.left_out > 0 {
            let message = format!("{} more mistakes are not shown", self.left_out);
            self.list.push(Finding::block("more-mistakes", message).remedy("mend these first, then validate again"));
        }
        self.list
    }
}
