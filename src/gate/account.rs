//! Why the judge says what it says: the metric that drives the verdict, its counts and rates, the
//! evidence against what is needed, in sentences that can be read at night.
//!
//! It computes nothing that the verdict rests on.

use super::count::{Count, Pair};
use super::course::Course;
use super::ledger::{Direction, Ledger, Metric, Row, Test};
use super::trial::{BETTORS, FAST_FALSE_ROLLBACK, WARNING};

pub(super) fn condemned(ledger: &Ledger, course: &Course, minute: usize) -> String {
    let numbers = with_the_worst(ledger, course, minute + 1);
    let evidence = course.evidence.get(minute).copied().unwrap_or_default();
    let needed = -ledger.false_rollback.ln();
    if evidence.slow >= needed {
        let (found, needed, chance) = (odds(evidence.slow), odds(needed), declared(ledger.false_rollback));
        format!("{numbers}; evidence against green {found}, a rollback at a declared chance of {chance} needs {needed}")
    } else {
        let (found, needed) = (odds(evidence.fast), odds(-FAST_FALSE_ROLLBACK.ln()));
        format!("{numbers}; evidence of few minutes against green {found}, a rollback by few minutes needs {needed}")
    }
}

pub(super) fn suspicious(ledger: &Ledger, course: &Course) -> String {
    format!(
        "{}; evidence against green {}: too much to go on (from {WARNING}), too little to roll back (from {})",
        with_the_worst(ledger, course, course.evidence.len()),
        now(course),
        odds(-ledger.false_rollback.ln())
    )
}

pub(super) fn shared(ledger: &Ledger, course: &Course, metric: usize) -> String {
    let broken = ledger.metrics.get(metric).map(described).unwrap_or_default();
    let (numbers, now) = (numbers(ledger, course, metric), now(course));
    format!("{numbers}; both break the {broken}: not green's fault; evidence against green {now}")
}

pub(super) fn healthy(ledger: &Ledger, course: &Course) -> String {
    let numbers = course.driver.map(|index| numbers(ledger, course, index)).unwrap_or_default();
    let needed = odds(-ledger.false_rollback.ln());
    format!("{numbers}; evidence against green {} of {needed}", now(course))
}

pub(super) fn nothing_compared(ledger: &Ledger) -> String {
    let requests = |side: fn(&Pair) -> f64| -> f64 {
        let sides = ledger.minutes.iter().filter_map(Row::sides_or_nothing);
        sides.map(|pair| side(&pair)).sum()
    };
    let (green, blue) = (requests(|p| p.green.requests), requests(|p| p.blue.requests));
    let impossible = ledger.minutes.iter().any(Row::impossible);
    let noun = ledger.counted.noun();
    match (green > 0.0, blue > 0.0) {
        _ if ledger.minutes.is_empty() => "no minute has been seen".to_owned(),
        (true, false) => format!("green had {} {noun} and blue none: there is nothing to compare", number(green)),
        (false, true) => format!("green had no {noun} while blue had {}", number(blue)),
        (true, true) => format!("green and blue never had {noun} in the same minute"),
        (false, false) if impossible => "only impossible numbers were reported".to_owned(),
        (false, false) => format!("no {noun} were seen"),
    }
}

/// What a metric has seen, in words.
pub fn numbers(ledger: &Ledger, course: &Course, index: usize) -> String {
    let (Some(metric), Some(track)) = (ledger.metrics.get(index), course.tracks.get(index)) else {
        return String::new();
    };
    let minutes = track.minutes;
    match metric.test {
        Test::Beside(_) | Test::Against(_) => {
            format!("{}: {} in {minutes} min, phi {:.1}", described(metric), rates(&track.seen), metric.phi)
        }
        Test::LevelBeside { ratio, worse } => {
            let than = match worse {
                Direction::Higher => format!("above {ratio} x blue"),
                Direction::Lower => format!("below blue / {ratio}"),
            };
            format!("{}: green {than} in {} of {minutes} min", metric.name, track.against)
        }
    }
}

/// The driver's numbers, with those of its last minutes where these alone say it: good hours before a
/// fault make its rate look harmless.
fn with_the_worst(ledger: &Ledger, course: &Course, end: usize) -> String {
    let Some(index) = course.driver else { return String::new() };
    let numbers = numbers(ledger, course, index);
    match ledger.metrics.get(index).and_then(|metric| worst_stretch(ledger, metric, end)) {
        Some((minutes, seen)) => format!("{numbers}; in the last {minutes} min {}", rates(&seen)),
        None => numbers,
    }
}

/// The last minutes before `end` that one bettor would have chosen to bet on, where they are not all.
fn worst_stretch(ledger: &Ledger, metric: &Metric, end: usize) -> Option<(u32, Pair)> {
    let mut sums = [0.0; BETTORS];
    let (mut seen, mut minutes) = (Pair::default(), 0);
    let mut best = (0.0, 0, Pair::default());
    for row in ledger.minutes.iter().take(end).rev() {
        let (green, blue) = row.sides(metric.series);
        // A limit needs no blue.
        let alone = matches!(metric.test, Test::Against(_));
        let Some((green, blue)) = green.zip(blue.or(alone.then(Count::default))) else { continue };
        let pair = Pair { green, blue };
        let bets = match metric.test {
            Test::Beside(margin) => margin.bets(&pair, metric.phi),
            Test::Against(limit) => limit.bets(&pair.green, metric.phi),
            Test::LevelBeside { .. } => None,
        };
        let Some(bets) = bets else { continue };
        seen.green += pair.green;
        seen.blue += pair.blue;
        minutes += 1;
        sums.iter_mut().zip(bets).for_each(|(sum, bet)| *sum += bet);
        let highest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if highest > best.0 {
            best = (highest, minutes, seen);
        }
    }
    (best.1 > 0 && best.1 < minutes).then_some((best.1, best.2))
}

fn now(course: &Course) -> String {
    odds(course.evidence.last().map_or(0.0, |evidence| evidence.slow))
}

fn described(metric: &Metric) -> String {
    match metric.test {
        Test::Against(limit) => format!("{} of {}", metric.name, percent(limit.rate)),
        _ => metric.name.clone(),
    }
}

fn rates(seen: &Pair) -> String {
    let (green, blue) = (&seen.green, &seen.blue);
    format!(
        "green {} ({} of {}), blue {} ({} of {})",
        percent(green.rate()),
        number(green.bad),
        number(green.requests),
        percent(blue.rate()),
        number(blue.bad),
        number(blue.requests),
    )
}

fn percent(fraction: f64) -> String {
    format!("{:.2}%", fraction * 100.0)
}

/// A chance in per cent, with at most two digits behind the point.
pub(super) fn declared(chance: f64) -> String {
    if chance < 1e-4 {
        return format!("1 in {}", odds(-chance.ln()));
    }
    let text = format!("{:.2}", chance * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A count as people write it: a fraction only where there is one.
fn number(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count:.0}") } else { format!("{count:.1}") }
}

/// Evidence as odds, such as `12.3`, or `10^8` where nobody reads the digits.
pub fn odds(log: f64) -> String {
    match log {
        _ if log >= 1e5f64.ln() => format!("10^{:.0}", (log / std::f64::consts::LN_10 + 1e-9).floor()),
        _ if log >= 100f64.ln() - 1e-9 => format!("{:.0}", log.exp()),
        _ if log >= 0.1f64.ln() => format!("{:.1}", log.exp()),
        _ => "under 0.1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_by_table() {
        for (evidence, text) in
            [(0.01f64, "under 0.1"), (1.0, "1.0"), (12.34, "12.3"), (100.0, "100"), (4321.0, "4321"), (2.5e6, "10^6")]
        {
            assert_eq!(odds(evidence.ln()), text);
        }
        assert_eq!(odds(1e6f64.ln()), "10^6");
    }
}
