//! Findings as a compiler shows its errors: the place, the text, what to write instead.
//!
//! Adds no facts and prints nothing: it makes a string of findings. Only the line that a finding is
//! about goes to the renderer, so that a diagnostic costs the same in a long file as in a short one;
//! and what comes from the file is rendered without its control characters, so that a playbook cannot
//! drive the terminal.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

use crate::finding::{Finding, Place, Severity};

/// All findings, with an empty line between them. `text` is that of the file `file_name`, as the
/// places in the findings count it.
pub fn render(findings: &[Finding], file_name: &str, text: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let path = normalize_untrusted_str(file_name);
    let rendered: Vec<String> = findings.iter().map(|finding| one(&renderer, finding, &path, text)).collect();
    let mut out = rendered.join("\n\n");
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// How many findings of which severity there are, as a phrase such as `2 errors, 1 warning`.
pub fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let phrase = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let parts = [(Severity::Block, "error"), (Severity::Warn, "warning"), (Severity::Info, "note")];
    let phrases: Vec<String> = parts.into_iter().filter_map(|(severity, word)| phrase(count(severity), word)).collect();
    if phrases.is_empty() { "no findings".to_owned() } else { phrases.join(", ") }
}

fn one(renderer: &Renderer, finding: &Finding, file_name: &str, text: &str) -> String {
    let level = match finding.severity {
        Severity::Block => Level::ERROR,
        Severity::Warn => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.rule.as_str());
    let mut group = match finding.place.as_ref().and_then(|place| underlined(place, text)) {
        Some((line, span)) => {
            let first = finding.place.map_or(1, |place| place.line);
            let snippet =
                Snippet::source(line).line_start(first).path(file_name).annotation(AnnotationKind::Primary.span(span));
            Group::with_title(title).element(snippet)
        }
        None => {
            let origin = Origin::path(file_name);
            let origin = match finding.place {
                Some(place) => origin.line(place.line).char_column(place.column),
                None => origin,
            };
            Group::with_title(title).element(origin)
        }
    };
    for seen in &finding.evidence {
        group = group.element(Level::NOTE.message(normalize_untrusted_str(seen)));
    }
    if !finding.remedy.is_empty() {
        group = group.element(Level::HELP.message(normalize_untrusted_str(&finding.remedy)));
    }
    renderer.render(&[group])
}

/// Nobody wrote a longer line by hand, and laying it out takes seconds.
const MAX_LINE: usize = 4096;

/// The line of `place`, and the span within it, never beyond its end. `None` where `text` has no such
/// place, or where the line is too long to be shown.
fn underlined<'t>(place: &Place, text: &'t str) -> Option<(&'t str, std::ops::Range<usize>)> {
    let before = text.get(..place.start)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(line_start..)?.split(['\n', '\r']).next().filter(|line| line.len() <= MAX_LINE)?;
    let start = (place.start - line_start).min(line.len());
    let end = place.end.checked_sub(line_start)?.clamp(start, line.len());
    line.is_char_boundary(end).then_some((line, start..end))
}
