//! Percentages and durations, as people write them and as they get them wrong.
//!
//! A number without its unit is refused rather than guessed: `green: 0.5` could be half a percent or
//! half of the traffic, and the two differ by an outage.

use std::time::Duration;

use super::reader::{Reader, is_number, shortened};
use super::tree::Node;
use super::{Period, Rate};
use crate::finding::Finding;
use crate::traffic::{Share, ShareError};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Which durations a field takes.
pub(super) struct Bounds {
    least: Duration,
    most: Duration,
    /// Why there is an upper bound.
    because: &'static str,
}

impl Bounds {
    /// CloudWatch keeps metrics of one minute for 15 days.
    pub const BAKE: Bounds = Bounds {
        least: Duration::from_secs(1),
        most: Duration::from_secs(15 * DAY),
        because: "CloudWatch keeps metrics of single minutes for 15 days",
    };
    pub const START: Bounds = Bounds {
        least: Duration::from_secs(MINUTE),
        most: Duration::from_secs(DAY),
        because: "tasks that are not healthy after a day will not be",
    };
    pub const LATENCY: Bounds = Bounds {
        least: Duration::from_millis(1),
        most: Duration::from_secs(HOUR),
        because: "no load balancer waits longer for an answer",
    };
    /// While a hook runs nobody judges green.
    pub const HOOK: Bounds = Bounds {
        least: Duration::from_secs(1),
        most: Duration::from_secs(10 * MINUTE),
        because: "nobody judges green while a hook is waited for",
    };
    pub const SMOKE: Bounds = Bounds {
        least: Duration::from_secs(1),
        most: Duration::from_secs(MINUTE),
        because: "the load balancer itself gives up on a target after a minute",
    };
    /// `DurationSeconds` of a target group stickiness (ELBv2 API reference).
    pub const STICKINESS: Bounds = Bounds {
        least: Duration::from_secs(1),
        most: Duration::from_secs(7 * DAY),
        because: "a load balancer keeps a client on its side for 7 days at most",
    };
    pub const KEEP: Bounds = Bounds {
        least: Duration::ZERO,
        most: Duration::from_secs(365 * DAY),
        because: "a run is not kept open for longer than a year",
    };
}

impl Reader<'_, '_> {
    /// A percentage.
    pub fn share(&mut self, node: &Node, what: &str) -> Option<Share> {
        let example = format!("{what}: 10%");
        let scalar = self.scalar(node, what, &example)?;
        let error = match scalar.text.parse::<Share>() {
            Ok(share) => return Some(share),
            Err(error) => error,
        };
        let shown = shortened(&scalar.text);
        let finding = match error {
            ShareError::Range => Finding::block("bad-percentage", format!("`{shown}` is not between 0% and 100%"))
                .remedy("write a percentage from `0%` to `100%`"),
            ShareError::Step => {
                Finding::block("bad-percentage", format!("`{shown}` is finer than the load balancer's weights"))
                    .remedy("write at most one digit behind the point, such as `0.5%`")
            }
            ShareError::Form => {
                Finding::block("bad-percentage", not_a(&shown, "percentage")).remedy(percent_remedy(&scalar.text))
            }
        };
        self.block_scalar(node, scalar, finding);
        None
    }

    /// A rate above 0 % and up to `most`, with as many digits as it takes.
    pub fn rate(&mut self, node: &Node, what: &str, example: &str, most: f64) -> Option<Rate> {
        let scalar = self.scalar(node, what, &format!("{what}: {example}"))?;
        let shown = shortened(&scalar.text);
        let finding = match scalar.text.parse::<Rate>() {
            Ok(rate) if rate.fraction() > 0.0 && rate.fraction() <= most => return Some(rate),
            Ok(_) => {
                let most = Rate::new(most).map_or_else(String::new, |most| format!(" and up to {most}"));
                Finding::block("bad-percentage", format!("`{shown}` is not above 0%{most}"))
                    .remedy(format!("write, for example, `{example}`"))
            }
            Err(()) => {
                Finding::block("bad-percentage", not_a(&shown, "percentage")).remedy(percent_remedy(&scalar.text))
            }
        };
        self.block_scalar(node, scalar, finding);
        None
    }

    /// A duration within `bounds`.
    pub fn period(&mut self, node: &Node, what: &str, example: &str, bounds: &Bounds) -> Option<Period> {
        let scalar = self.scalar(node, what, &format!("{what}: {example}"))?;
        let text = scalar.text.trim();
        let Ok(period) = text.parse::<Period>() else {
            let finding = Finding::block("bad-duration", not_a(&shortened(text), "duration"))
                .remedy(duration_remedy(text, example));
            self.block_scalar(node, scalar, finding);
            return None;
        };
        let finding = if let Some(minutes) = months(text) {
            Finding::block("bad-duration", format!("`{text}` is a number of months"))
                .remedy(format!("minutes have a small m: write `{minutes}m`"))
        } else if period.0 < bounds.least {
            Finding::block("out-of-range", format!("`{what}` must be at least {}", Period(bounds.least)))
                .remedy(format!("write, for example, `{example}`"))
        } else if period.0 > bounds.most {
            Finding::block("out-of-range", format!("`{what}` must be at most {}", hours(bounds.most)))
                .evidence(bounds.because)
                .remedy(format!("write a shorter time, for example `{example}`"))
        } else {
            return Some(period);
        };
        self.block_scalar(node, scalar, finding);
        None
    }
}

fn not_a(shown: &str, quantity: &str) -> String {
    if is_number(shown) {
        format!("`{shown}` is a number without a unit, not a {quantity}")
    } else {
        format!("`{shown}` is not a {quantity}")
    }
}

fn percent_remedy(text: &str) -> String {
    let text = text.trim();
    let number = text.trim_end_matches(|c: char| c.is_alphabetic() || c.is_whitespace() || c == '%');
    let comma = number.replace(',', ".");
    let Some(value) = comma.parse::<f64>().ok().filter(|v| is_number(&comma) && (0.0..=100.0).contains(v)) else {
        return "write a percentage such as `10%` or `0.5%`".to_owned();
    };
    let share = Share::from_permille(permille(value));
    if value < 1.0 && value > 0.0 && text == number {
        let fraction = Share::from_permille(permille(value * 100.0));
        return match format!("{value}%") == share.to_string() {
            true => format!("write `{share}`, or `{fraction}` if a fraction of all traffic is meant"),
            false => format!("write `{fraction}` if a fraction of all traffic is meant"),
        };
    }
    format!("write `{share}`")
}

/// `percent` in steps of 0.1 %, never beyond the whole.
fn permille(percent: f64) -> u16 {
    (0..=1000u16).min_by(|a, b| off(*a, percent).total_cmp(&off(*b, percent))).unwrap_or(0)
}

fn off(permille: u16, percent: f64) -> f64 {
    (f64::from(permille) / 10.0 - percent).abs()
}

fn duration_remedy(text: &str, example: &str) -> String {
    match text.parse::<u64>() {
        Ok(0) => "write the unit as well: `0s`".to_owned(),
        Ok(n) if example.ends_with("ms") => format!("write the unit as well: `{n}ms`"),
        Ok(n) if n > 120 && n < 100_000 => format!("write the unit as well: `{n}s` for seconds, or `{n}m` for minutes"),
        Ok(n) if n < 100_000 => format!("write the unit as well: `{n}m` for minutes, or `{n}s` for seconds"),
        _ if example.ends_with("ms") => "write a duration such as `800ms` or `1s`".to_owned(),
        _ => "write a duration such as `90s`, `15m` or `1h30m`".to_owned(),
    }
}

/// The number in a duration of months, written `15M`.
fn months(text: &str) -> Option<u64> {
    text.strip_suffix('M')?.trim().parse().ok()
}

/// A bound as people say it: `15 days` rather than `2weeks 1day`.
fn hours(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        seconds if seconds < HOUR => {
            format!("{} minute{}", seconds / MINUTE, if seconds / MINUTE == 1 { "" } else { "s" })
        }
        seconds => format!("{} hour{}", seconds / HOUR, if seconds / HOUR == 1 { "" } else { "s" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_proposed_with_their_unit() {
        assert_eq!(percent_remedy("10"), "write `10%`");
        assert_eq!(percent_remedy("0,5%"), "write `0.5%`");
        assert_eq!(percent_remedy("25 percent"), "write `25%`");
        assert_eq!(percent_remedy("0.5"), "write `0.5%`, or `50%` if a fraction of all traffic is meant");
        assert_eq!(percent_remedy("ten"), "write a percentage such as `10%` or `0.5%`");
        assert_eq!(percent_remedy("1e400"), "write a percentage such as `10%` or `0.5%`");
    }

    #[test]
    fn durations_are_proposed_with_their_unit() {
        assert_eq!(duration_remedy("15", "15m"), "write the unit as well: `15m` for minutes, or `15s` for seconds");
        assert_eq!(duration_remedy("900", "15m"), "write the unit as well: `900s` for seconds, or `900m` for minutes");
        assert_eq!(duration_remedy("800", "800ms"), "write the unit as well: `800ms`");
    }
}
