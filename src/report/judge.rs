//! What the judge saw, for a person and for a program.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::gate::account::odds;
use crate::gate::course::Course;
use crate::gate::ledger::Ledger;
use crate::gate::what_if::Change;

/// Characters of a sparkline; longer runs show the highest of several minutes in each.
const WIDTH: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The verdict, its reason, the evidence over time and what would change it.
pub fn text(ledger: &Ledger, course: &Course, changes: &[Change]) -> String {
    let mut text = format!("{}: {}\n", course.verdict.words(), course.reason);
    // Writing to a string cannot fail.
    if let Some(minute) = course.condemned {
        let _ = writeln!(text, "  it would have been rolled back in minute {} of {}", minute + 1, ledger.minutes.len());
    }
    let threshold = -ledger.false_rollback.ln();
    let width = ledger.metrics.iter().map(|metric| metric.name.chars().count()).max().unwrap_or(0).max(3);
    let mut line = |name: &str, logs: &[f64]| {
        if let Some(last) = logs.last() {
            let now = odds(*last);
            let _ = writeln!(text, "  {name:width$}  {}  {now} of {}", sparkline(logs, threshold), odds(threshold));
        }
    };
    for (metric, track) in ledger.metrics.iter().zip(&course.tracks) {
        line(&metric.name, &track.evidence.iter().map(|e| e.slow).collect::<Vec<_>>());
    }
    if ledger.metrics.len() > 1 {
        line("all", &course.evidence.iter().map(|e| e.slow).collect::<Vec<_>>());
    }
    let impossible = impossible(ledger);
    if impossible > 0 {
        let _ = writeln!(text, "  {impossible} minutes with impossible numbers were left out");
    }
    for change in changes {
        let _ = writeln!(text, "  what would change it: {}", change.sentence());
    }
    text
}

fn impossible(ledger: &Ledger) -> usize {
    ledger.minutes.iter().filter(|row| row.impossible()).count()
}

/// Evidence by minute, from even odds at the bottom to what condemns at the top.
fn sparkline(logs: &[f64], threshold: f64) -> String {
    let each = logs.len().div_ceil(WIDTH).max(1);
    let bars = logs.chunks(each).map(|minutes| {
        let highest = minutes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bars")]
        let bar = (highest / threshold * 7.0).clamp(0.0, 7.0) as usize;
        BARS[bar]
    });
    bars.collect()
}

/// The object of `--json`.
pub fn object(ledger: &Ledger, course: &Course, changes: &[Change]) -> Value {
    let metrics = ledger.metrics.iter().zip(&course.tracks).map(|(metric, track)| {
        json!({
            "name": metric.name,
            "test": metric.test,
            "weight": metric.weight,
            "phi": metric.phi,
            "minutes": track.minutes,
            "green": track.seen.green,
            "blue": track.seen.blue,
            "counts": track.counts,
            "log_e_slow": track.evidence.iter().map(|e| e.slow).collect::<Vec<_>>(),
            "log_e_fast": track.evidence.iter().map(|e| e.fast).collect::<Vec<_>>(),
        })
    });
    let changes = changes.iter().map(|change| json!({ "change": change, "sentence": change.sentence() }));
    json!({
        "outcome": "ok",
        "verdict": course.verdict,
        "reason": course.reason,
        "rollback_minute": course.condemned.map(|minute| minute + 1),
        "log_e_slow": course.evidence.iter().map(|e| e.slow).collect::<Vec<_>>(),
        "log_e_fast": course.evidence.iter().map(|e| e.fast).collect::<Vec<_>>(),
        "phi": ledger.metrics.first().map(|metric| metric.phi),
        "false_rollback": ledger.false_rollback,
        "planned_minutes": ledger.starts.planned_minutes,
        "stage_starts": ledger.starts.begun,
        "driver": course.driver.and_then(|index| ledger.metrics.get(index)).map(|metric| &metric.name),
        "metrics": metrics.collect::<Vec<_>>(),
        "impossible_minutes": impossible(ledger),
        "would_change": changes.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn sparklines_by_hand() {
        assert_eq!(sparkline(&[-5.0, 0.0, 1.0, 2.0, 3.9, 4.0, 99.0], 4.0), "▁▁▂▄▇██");
        assert_eq!(sparkline(&[], 4.0), "");
        assert_eq!(sparkline(&vec![0.0; 1440], 4.0).chars().count(), 60);
        let mut spike = vec![0.0; 600];
        spike[305] = 4.0;
        assert_eq!(sparkline(&spike, 4.0).chars().filter(|c| *c == '█').count(), 1, "no minute is lost");
    }
}
