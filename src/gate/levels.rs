//! Metrics of the user's own, judged as levels: a ceiling, a floor, or both.
//!
//! The rule, exactly: green is degraded when each of the last [`IN_A_ROW`] settled minutes since the
//! shift is reported and beyond a bound, and the last [`IN_A_ROW`] before the shift were not all beyond
//! it too. A level that was beyond it before says nothing about green, so it is not enough evidence. Silence
//! is never health: a level with a floor that is not reported in [`IN_A_ROW`] minutes cannot be seen,
//! one with a ceiling alone is not enough evidence, unless absence is said to mean zero, as counters
//! of errors have it. What is counted or compared in the ledger is a level without bounds here: it only
//! has to be reported, or its silence would pass for health.

use std::collections::BTreeMap;

use super::minute::Minute;
use super::{Evidence, IN_A_ROW, Objection, Verdict, worst};

/// Bounds of one metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Level {
    /// Its name in [`Minute::levels`].
    pub name: String,
    /// Beyond it green is degraded.
    pub ceiling: Option<f64>,
    /// Below it green is degraded.
    pub floor: Option<f64>,
    /// Whether a minute that is not reported is one of zero.
    pub absent_is_zero: bool,
    /// Whether each side has its own, and green's is judged.
    pub of_each_side: bool,
}

/// One metric or expression, read minute by minute into [`Minute::levels`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelQuery {
    pub name: String,
    /// The name by which expressions refer to it.
    pub id: Option<String>,
    pub source: LevelSource,
    pub whose: Whose,
}

/// Whose a metric is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Of no side: in [`Minute::levels`].
    #[default]
    Everybody,
    /// In green's [`super::Counts::own`].
    Green,
    /// In blue's [`super::Counts::own`].
    Blue,
}

/// Where the values of a level come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LevelSource {
    Metric {
        namespace: String,
        metric: String,
        dimensions: BTreeMap<String, String>,
        /// CloudWatch statistic, such as `Sum` or `p99`.
        statistic: String,
    },
    /// CloudWatch metric math over the ids of other levels, with one time series as its result.
    Expression(String),
}

/// The worst objection of all levels.
pub(super) fn objection(levels: &[Level], evidence: &Evidence) -> Option<Objection> {
    worst(levels.iter().filter_map(|level| judge(level, evidence.exposed, &evidence.stage, &evidence.before)))
}

fn judge(level: &Level, exposed: bool, since: &[Minute], before: &[Minute]) -> Option<Objection> {
    let was = level.beyond(before);
    if !exposed {
        // A floor under what green does cannot be kept before green does anything.
        let text = was.filter(|_| level.beyond_ceiling(before))?;
        return Objection::against(Verdict::NotEnoughEvidence, format!("{text}, before green has any traffic"));
    }
    match (level.beyond(since), was) {
        (Some(text), None) if level.blue_is_beyond(since) => {
            let text = format!("{text}, and blue is too: not green's fault");
            return Objection::against(Verdict::NotEnoughEvidence, text);
        }
        (Some(text), None) => return Objection::against(Verdict::Degraded, text),
        (Some(text), Some(_)) => {
            let text = format!("{text}, and it was before the shift: not green's fault");
            return Objection::against(Verdict::NotEnoughEvidence, text);
        }
        (None, _) => {}
    }
    let recent = last(since);
    if recent.len() == IN_A_ROW && recent.iter().all(|m| level.value(m).is_none()) {
        let text = format!("{} is not reported in the last {IN_A_ROW} min", level.name);
        let blind = level.floor.is_some();
        return Objection::unknown(if blind { Verdict::CannotSee } else { Verdict::NotEnoughEvidence }, text);
    }
    let seen = since.iter().filter(|m| level.value(m).is_some()).count();
    if seen >= IN_A_ROW {
        return None;
    }
    let text = format!("{} is reported for {seen} of the {IN_A_ROW} min that it takes", level.name);
    Objection::unknown(Verdict::NotEnoughEvidence, text)
}

/// The last minutes that decide.
fn last(minutes: &[Minute]) -> &[Minute] {
    &minutes[minutes.len().saturating_sub(IN_A_ROW)..]
}

impl Level {
    fn value(&self, minute: &Minute) -> Option<f64> {
        let levels = if self.of_each_side { &minute.green.own } else { &minute.levels };
        levels.get(&self.name).copied().or(self.absent_is_zero.then_some(0.0))
    }

    /// Whether blue's own is beyond the same bound in the same minutes.
    fn blue_is_beyond(&self, minutes: &[Minute]) -> bool {
        let all = |beyond: &dyn Fn(f64) -> bool| {
            last(minutes).iter().all(|m| m.blue.own.get(&self.name).copied().is_some_and(beyond))
        };
        let above = self.beyond_ceiling(minutes) && self.ceiling.is_some_and(|c| all(&|v| v > c));
        let below = !self.beyond_ceiling(minutes) && self.floor.is_some_and(|f| all(&|v| v < f));
        self.of_each_side && (above || below)
    }

    fn all(&self, minutes: &[Minute], beyond: impl Fn(f64) -> bool) -> bool {
        let recent = last(minutes);
        recent.len() == IN_A_ROW && recent.iter().all(|m| self.value(m).is_some_and(&beyond))
    }

    fn beyond_ceiling(&self, minutes: &[Minute]) -> bool {
        self.ceiling.is_some_and(|c| self.all(minutes, |v| v > c))
    }

    /// The numbers of the last minutes, where all of them are beyond the same bound.
    fn beyond(&self, minutes: &[Minute]) -> Option<String> {
        let bound = if self.beyond_ceiling(minutes) {
            format!("above its ceiling of {}", self.ceiling?)
        } else if self.floor.is_some_and(|f| self.all(minutes, |v| v < f)) {
            format!("below its floor of {}", self.floor?)
        } else {
            return None;
        };
        let numbers: Vec<String> = last(minutes).iter().filter_map(|m| self.value(m)).map(short).collect();
        Some(format!("{} is {bound} ({} in the last {IN_A_ROW} min)", self.name, numbers.join(", ")))
    }
}

/// What the levels were last, for a healthy verdict.
pub(super) fn shown(levels: &[Level], since: &[Minute]) -> String {
    let value = |level: &Level| since.iter().rev().find_map(|m| level.value(m)).map(|v| (level.name.clone(), v));
    levels.iter().filter_map(value).map(|(name, value)| format!(", {name} {}", short(value))).collect()
}

/// A number with as many digits as people want to read.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::gate::Counts;

    fn minutes(values: &[Option<f64>]) -> Vec<Minute> {
        let minute = |(nth, value): (usize, &Option<f64>)| Minute {
            start: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::minutes(i64::try_from(nth).unwrap()),
            green: Counts::default(),
            blue: Counts::default(),
            levels: value.iter().map(|v| ("m".to_owned(), *v)).collect::<BTreeMap<_, _>>(),
        };
        values.iter().enumerate().map(minute).collect()
    }

    fn level(ceiling: Option<f64>, floor: Option<f64>, absent_is_zero: bool) -> Level {
        Level { name: "m".to_owned(), ceiling, floor, absent_is_zero, of_each_side: false }
    }

    fn verdict(level: &Level, before: &[Option<f64>], since: &[Option<f64>]) -> Option<Verdict> {
        judge(level, true, &minutes(since), &minutes(before)).map(|objection| objection.verdict)
    }

    #[test]
    fn a_level_is_judged_by_its_last_minutes_and_its_own_past() {
        use Verdict::{CannotSee, Degraded, NotEnoughEvidence};
        let (high, low, ok, none) = (Some(9.0), Some(1.0), Some(5.0), None);
        let ceiling = level(Some(8.0), None, false);
        let floor = level(None, Some(2.0), false);
        let both = level(Some(8.0), Some(2.0), false);
        let counter = level(Some(8.0), None, true);
        let quiet = [ok; 5];
        for (level, before, since, expected) in [
            (&ceiling, &quiet[..], &[ok, high, high, high][..], Some(Degraded)),
            (&ceiling, &quiet, &[high, high, high, ok], None),
            (&ceiling, &quiet, &[ok, ok, high, high], None),
            (&ceiling, &quiet, &[high, high, none, high], None),
            (&ceiling, &[high, high, high], &[high, high, high], Some(NotEnoughEvidence)),
            (&ceiling, &[high, high, ok], &[high, high, high], Some(Degraded)),
            (&ceiling, &[], &[high, high, high], Some(Degraded)),
            (&ceiling, &quiet, &[ok, ok], Some(NotEnoughEvidence)),
            (&ceiling, &quiet, &[ok, ok, ok, none, none, none], Some(NotEnoughEvidence)),
            (&floor, &quiet, &[low, low, low], Some(Degraded)),
            (&floor, &quiet, &[ok, ok, ok, none, none, none], Some(CannotSee)),
            (&both, &quiet, &[low, low, low], Some(Degraded)),
            (&both, &quiet, &[low, high, low], None),
            (&counter, &[none; 5], &[none; 4], None),
            (&counter, &[none; 5], &[none, high, high, high], Some(Degraded)),
            (&counter, &[none; 5], &[high, none, high, high], None),
        ] {
            assert_eq!(verdict(level, before, since), expected, "{level:?} {before:?} {since:?}");
        }
    }

    #[test]
    fn before_any_traffic_only_a_ceiling_speaks() {
        let unexposed = |level: &Level, before: &[Option<f64>]| judge(level, false, &[], &minutes(before));
        let objection = unexposed(&level(Some(8.0), None, false), &[Some(9.0); 3]).unwrap();
        assert_eq!(objection.verdict, Verdict::NotEnoughEvidence);
        assert_eq!(
            objection.reason,
            "m is above its ceiling of 8 (9, 9, 9 in the last 3 min), before green has any traffic"
        );
        assert_eq!(unexposed(&level(None, Some(2.0), false), &[Some(0.0); 3]), None);
        assert_eq!(unexposed(&level(Some(8.0), None, false), &[None; 3]), None);
    }

    #[test]
    fn values_are_short() {
        assert_eq!([0.4216, 3.0, 1200.0, 0.0].map(short), ["0.422", "3", "1200", "0"]);
    }
}
