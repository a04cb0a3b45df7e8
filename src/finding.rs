//! What a user can mend: one fact about the playbook or the estate, with evidence and remedy.
//!
//! A finding is data. The rules that make findings print nothing, and the renderer adds no facts.
//! All findings of a check are collected before any of them is shown, so that nobody mends a file
//! one mistake at a time.

use serde::{Deserialize, Serialize};

/// One thing that is wrong, or worth knowing, about the playbook or about the estate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name of the rule in kebab case, such as `load-balancer-not-dualstack`.
    pub rule: String,
    pub severity: Severity,
    /// What is wrong, as a sentence without the remedy.
    pub message: String,
    /// What was seen: values, ARNs, the words of AWS. Empty where the message says it all.
    pub evidence: Vec<String>,
    /// What to do about it. Empty only for [`Severity::Info`].
    pub remedy: String,
    /// The place in the playbook, where there is one.
    pub place: Option<Place>,
}

/// How much a finding matters. The order is from harmless to blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// The run may go on, but somebody should look.
    Warn,
    /// The run must not begin.
    Block,
}

/// A span of the playbook's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// 1-based line of the first character.
    pub line: usize,
    /// 1-based column of the first character, in characters.
    pub column: usize,
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset behind the last character; never before `start`.
    pub end: usize,
}

impl Finding {
    pub fn new(rule: &str, severity: Severity, message: impl Into<String>) -> Self {
        Finding {
            rule: rule.to_owned(),
            severity,
            message: message.into(),
            evidence: Vec::new(),
            remedy: String::new(),
            place: None,
        }
    }

    pub fn block(rule: &str, message: impl Into<String>) -> Self {
        Finding::new(rule, Severity::Block, message)
    }

    pub fn warn(rule: &str, message: impl Into<String>) -> Self {
        Finding::new(rule, Severity::Warn, message)
    }

    pub fn info(rule: &str, message: impl Into<String>) -> Self {
        Finding::new(rule, Severity::Info, message)
    }

    #[must_use]
    pub fn evidence(mut self, seen: impl Into<String>) -> Self {
        self.evidence.push(seen.into());
        self
    }

    #[must_use]
    pub fn remedy(mut self, what_to_do: impl Into<String>) -> Self {
        self.remedy = what_to_do.into();
        self
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// Whether any of the findings forbids the run to begin.
pub fn blocks(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.severity == Severity::Block)
}
