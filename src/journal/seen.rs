//! What a run has seen of the traffic: the minutes that the journal holds, and the stages they fall in.
//!
//! The counts outlive the process, because the chance of a false rollback is spent over the whole run.
//! A minute is read from two minutes after its end, when load balancer metrics have mostly arrived;
//! until it is five minutes old it may still be revised and is read again, and then it is final.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::gate::Minute;
use crate::gate::ledger::Ledger;
use crate::gate::protocol::{Begun, Observed};
use crate::plan::Plan;
use crate::traffic::Share;

/// CloudWatch minutes younger than this are incomplete (load balancer metrics arrive for about two minutes).
pub const SETTLE_SECONDS: i64 = 120;
/// Minutes older than this are final.
const FINAL_SECONDS: i64 = 300;
/// The longest time that is read at once: after a long hold, what was days ago says nothing any more.
pub const WINDOW_MINUTES: i64 = 24 * 60;

/// What a look at CloudWatch brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// The end of the last minute that was asked for.
    pub until: DateTime<Utc>,
    /// Minutes that were not known, or are known otherwise now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub minutes: Vec<Minute>,
}

/// The minutes of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    minutes: BTreeMap<DateTime<Utc>, Minute>,
    begun: Vec<Begun>,
    /// Minutes that begin before this are final.
    settled: Option<DateTime<Utc>>,
}

impl Seen {
    /// A stage's shift is about to be made.
    pub(super) fn begin(&mut self, share: Share, at: DateTime<Utc>) {
        self.begun.push(Begun { intended: at, followed: None, share: share.fraction() });
    }

    /// The shift of the last stage that was begun is in effect, and followed from then on.
    pub(super) fn follow(&mut self, from: DateTime<Utc>) {
        if let Some(last) = self.begun.last_mut() {
            last.followed = Some(from);
        }
    }

    pub(super) fn take(&mut self, read: &Read, at: DateTime<Utc>) {
        self.minutes.extend(read.minutes.iter().map(|minute| (minute.start, minute.clone())));
        let settled = floor(at - TimeDelta::seconds(FINAL_SECONDS)).min(read.until);
        self.settled = self.settled.max(Some(settled));
    }

    /// What is new in these minutes, oldest first, without numbers that are none.
    pub fn news(&self, until: DateTime<Utc>, minutes: Vec<Minute>) -> Read {
        let plausible = minutes.into_iter().map(Minute::plausible);
        let open = |minute: &Minute| self.settled.is_none_or(|settled| minute.start >= settled);
        let new = |minute: &Minute| self.minutes.get(&minute.start) != Some(minute);
        Read { until, minutes: plausible.filter(|minute| open(minute) && new(minute)).collect() }
    }

    /// The same with what a look brings.
    #[must_use]
    pub fn with(&self, read: &Read, at: DateTime<Utc>) -> Seen {
        let mut seen = self.clone();
        seen.take(read, at);
        seen
    }

    /// The minutes that are to be read now: those that are not final, or, where none is known, the last
    /// `preview`.
    pub fn window(&self, now: DateTime<Utc>, preview: i64) -> (DateTime<Utc>, DateTime<Utc>) {
        let to = floor(now - TimeDelta::seconds(SETTLE_SECONDS));
        let earliest = to - TimeDelta::minutes(if self.begun.is_empty() { preview } else { WINDOW_MINUTES });
        let from = self.settled.map_or(to - TimeDelta::minutes(preview), |settled| settled.max(earliest));
        (from.min(to), to)
    }

    /// Minutes that are wholly the present stage's.
    pub fn stage(&self) -> Vec<Minute> {
        let followed = self.begun.last().and_then(|stage| stage.followed);
        followed.map_or_else(Vec::new, |from| self.minutes.range(from..).map(|(_, minute)| minute.clone()).collect())
    }

    /// The last `count` minutes before the present stage's shift, or before now where nothing has moved.
    pub fn before(&self, count: usize) -> Vec<Minute> {
        let end = self.begun.last().map_or(DateTime::<Utc>::MAX_UTC, |stage| floor(stage.intended));
        let mut before: Vec<Minute> = self.minutes.range(..end).rev().take(count).map(|(_, m)| m.clone()).collect();
        before.reverse();
        before
    }

    /// The start of the first minute that is judged; `None` before green had any traffic.
    pub fn origin(&self, plan: &Plan) -> Option<DateTime<Utc>> {
        plan.protocol().origin(&self.begun)
    }

    /// What is judged.
    pub fn ledger(&self, plan: &Plan) -> Ledger {
        plan.protocol().ledger(Observed { minutes: &self.minutes, begun: &self.begun, open: self.settled })
    }
}

fn floor(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Counts;

    fn at(minute: i64, second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::minutes(minute) + TimeDelta::seconds(second)
    }

    fn minute(nth: i64, requests: f64) -> Minute {
        let green = Counts { requests: Some(requests), ..Counts::default() };
        Minute { start: at(nth, 0), green, ..Minute::default() }
    }

    /// A look at this time that finds so many requests in every minute that it asks for.
    fn look(seen: &Seen, now: DateTime<Utc>, requests: f64) -> (Read, Seen) {
        let (from, to) = seen.window(now, 5);
        let asked = (0..(to - from).num_minutes())
            .map(|n| Minute { start: from + TimeDelta::minutes(n), ..minute(0, requests) });
        let read = seen.news(to, asked.collect());
        let seen = seen.with(&read, now);
        (read, seen)
    }

    fn starts(read: &Read) -> Vec<i64> {
        read.minutes.iter().map(|m| (m.start - at(0, 0)).num_minutes()).collect()
    }

    #[test]
    fn a_minute_is_read_until_it_is_five_minutes_old() {
        let (read, seen) = look(&Seen::default(), at(10, 30), 7.0);
        assert_eq!((starts(&read), read.until), (vec![3, 4, 5, 6, 7], at(8, 0)));
        let (read, seen) = look(&seen, at(11, 30), 7.0);
        assert_eq!(starts(&read), [8], "what is known is not kept twice");
        let (read, seen) = look(&seen, at(12, 30), 9.0);
        assert_eq!(starts(&read), [6, 7, 8, 9], "the others are final");
        let stored = |n: i64| seen.minutes[&at(n, 0)].green.requests;
        assert_eq!([5, 6, 9].map(stored), [Some(7.0), Some(9.0), Some(9.0)]);
        let late = seen.news(at(10, 0), vec![minute(5, 1.0), minute(8, f64::NAN)]);
        assert_eq!((starts(&late), late.minutes[0].green.requests), (vec![8], None), "none is no number");
    }

    #[test]
    fn an_outage_is_read_back_and_a_long_hold_is_not() {
        let (_, mut seen) = look(&Seen::default(), at(10, 0), 7.0);
        seen.begin(Share::from_permille(100), at(10, 5));
        let (read, back) = look(&seen, at(50, 0), 7.0);
        assert_eq!(starts(&read).first().zip(starts(&read).last()), Some((&8, &47)));
        assert_eq!(back.window(at(50, 0), 5), (at(45, 0), at(48, 0)));
        let (from, to) = seen.window(at(3 * WINDOW_MINUTES, 0), 5);
        assert_eq!((to - from).num_minutes(), WINDOW_MINUTES);
    }

    #[test]
    fn a_stage_is_what_follows_its_shift_wholly() {
        let (_, mut seen) = look(&Seen::default(), at(10, 0), 7.0);
        seen.begin(Share::from_permille(100), at(8, 5));
        assert_eq!(seen.stage(), [], "nobody follows yet");
        seen.follow(at(10, 0));
        let (_, seen) = look(&seen, at(15, 0), 7.0);
        let minutes = |of: Vec<Minute>| of.iter().map(|m| (m.start - at(0, 0)).num_minutes()).collect::<Vec<_>>();
        assert_eq!(minutes(seen.stage()), [10, 11, 12]);
        assert_eq!(minutes(seen.before(3)), [5, 6, 7]);
    }
}
