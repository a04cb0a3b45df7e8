//! What the judge will see, before the run: minutes to detect, requests that fail meanwhile.
//!
//! In a minute with `n_green` and `n_blue` expected requests, the expected logarithm of the bet on factor
//! g is `n_green p ln g - (n_green p + n_blue (p_blue + floor)) D_g`, with the bracket D_g of
//! [`super::trial`]; the best bettor has to make up for the threshold, for being one of eight, for the
//! part of the stake that was laid at the stage's start and for the metric's weight:
//!
//! ```text
//! t = phi (ln 1/alpha + ln 8 + ln 1/w) / max_g [..]
//! ```
//!
//! A mean field: half of all runs take longer. The cap on a minute and the fast evidence are included,
//! because for an outage they decide. The hard limit has an outlook of its own, with its own weight; the
//! sooner of the two is taken, as if the other knew nothing.

use serde::{Deserialize, Serialize};

use super::count::{Count, Pair};
use super::course::BLUE_IS_SMALL;
use super::exposure::LAG_MINUTES;
use super::ledger::{Metric, Test};
use super::limit::Limit;
use super::trial::{BETTORS, CAP, FAST_FALSE_ROLLBACK, Margin};

/// A stage as it is expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Of both sides together.
    pub requests_per_minute: f64,
    /// Green's share of them, 0 to 1.
    pub share: f64,
    /// Blue's rate of bad requests.
    pub blue_rate: f64,
    pub margin: Margin,
    pub phi: f64,
    pub false_rollback: f64,
    /// The part of the stake that is laid when the stage begins.
    pub laid: f64,
    /// The weight in the combination of the comparison with blue.
    pub weight: f64,
    /// The hard limit, with its weight; it needs no blue.
    pub limit: Option<(Limit, f64)>,
}

/// What to expect of one rate of bad requests on green.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prospect {
    pub green_rate: f64,
    /// From the first bad minute to the verdict, CloudWatch's lag included; `None` where the judge never
    /// sees it, because it is within the margin or nothing can be compared.
    pub minutes: Option<f64>,
    /// Requests expected to fail on green until then.
    pub failed_requests: Option<f64>,
}

/// A stage's outlook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// For 2, 5 and 10 times blue's rate (of at least the margin's floor), and for a total outage.
    pub prospects: [Prospect; 4],
}

/// Times blue's rate, as [`Outlook::prospects`] has them before the outage.
pub const TIMES: [f64; 3] = [2.0, 5.0, 10.0];

impl Traffic {
    /// 6,000 requests a minute, 5 % on green, one failure in a thousand on blue; one stage of an hour.
    pub fn example() -> Traffic {
        Traffic {
            requests_per_minute: 6000.0,
            share: 0.05,
            blue_rate: 0.001,
            margin: Margin::ERRORS,
            phi: 1.0,
            false_rollback: 0.01,
            laid: 0.5 + 0.5 / 60.0,
            weight: 1.0,
            limit: None,
        }
    }

    /// Failed requests as these metrics judge them: beside blue, and against the hard limit; no traffic is
    /// known yet. `None` where no count of green is compared with blue's.
    pub fn judged(metrics: &[Metric], false_rollback: f64, laid: f64) -> Option<Traffic> {
        let (errors, margin) = metrics.iter().find_map(|metric| match metric.test {
            Test::Beside(margin) => Some((metric, margin)),
            _ => None,
        })?;
        let limit = metrics.iter().find_map(|metric| match metric.test {
            Test::Against(limit) if metric.series == errors.series => Some((limit, metric.weight)),
            _ => None,
        });
        let (phi, weight) = (errors.phi, errors.weight);
        let nothing = Traffic { requests_per_minute: 0.0, share: 0.0, blue_rate: 0.0, ..Traffic::example() };
        Some(Traffic { margin, phi, false_rollback, laid, weight, limit, ..nothing })
    }

    /// Requests a minute on green.
    pub fn green_requests(&self) -> f64 {
        self.requests_per_minute * self.share
    }

    /// Requests a minute on blue.
    pub fn blue_requests(&self) -> f64 {
        self.requests_per_minute * (1.0 - self.share)
    }

    /// Minutes from the first bad one until the evidence suffices, the bad minutes themselves, without
    /// CloudWatch's lag; `None` where it never does.
    pub fn minutes_to_detect(&self, green_rate: f64) -> Option<f64> {
        let green_rate = green_rate.clamp(0.0, 1.0);
        let (green, blue) = (self.green_requests(), self.blue_requests());
        let minute =
            Pair { green: Count::new(green, green * green_rate), blue: Count::new(blue, blue * self.blue_rate) };
        let beside = self.margin.bets(&minute, self.phi).and_then(|bets| self.minutes(&bets, self.weight));
        // As in the course: a limit counts for nothing where blue breaks it as well, or where a blue that is
        // large enough speaks for green.
        let vouched = beside.is_none() && self.share <= BLUE_IS_SMALL;
        let against = self.limit.filter(|(limit, _)| self.blue_rate <= limit.rate && !vouched);
        let against = against.and_then(|(limit, weight)| {
            limit.bets(&minute.green, self.phi).and_then(|bets| self.minutes(&bets, weight))
        });
        [beside, against].into_iter().flatten().reduce(f64::min)
    }

    /// How long bettors who win so much in a minute take, with this weight in the combination.
    fn minutes(&self, bets: &[f64; BETTORS], weight: f64) -> Option<f64> {
        let best = bets.iter().copied().fold(0.0, f64::max);
        if best <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "eight")]
        let handicap = (BETTORS as f64).ln() - self.laid.ln() - weight.ln();
        let needed = |chance: f64| -chance.ln() + handicap;
        // The capped evidence of all bettors together grows by at most e^CAP a minute.
        let whole = -self.false_rollback.ln() - self.laid.ln() - weight.ln();
        let slow = (needed(self.false_rollback) / best).max((whole / CAP).ceil());
        let fast = needed(FAST_FALSE_ROLLBACK) / best;
        Some(slow.min(fast).max(1.0))
    }

    /// What to expect of this rate of bad requests on green, 0 to 1.
    pub fn prospect(&self, green_rate: f64) -> Prospect {
        let minutes = self.minutes_to_detect(green_rate).map(|minutes| minutes + LAG_MINUTES);
        let failed_requests = minutes.map(|minutes| minutes * self.green_requests() * green_rate);
        Prospect { green_rate, minutes, failed_requests }
    }

    pub fn outlook(&self) -> Outlook {
        let base = self.blue_rate.max(self.margin.floor);
        let [two, five, ten] = TIMES.map(|times| self.prospect((times * base).min(1.0)));
        Outlook { prospects: [two, five, ten, self.prospect(1.0)] }
    }

    /// The lowest rate on green that is expected to be seen within the bake, CloudWatch's lag included;
    /// `None` where not even an outage is. A plan that asks a smaller question than this says so.
    pub fn smallest_seen(&self, bake_minutes: f64) -> Option<f64> {
        let seen = |rate: f64| self.prospect(rate).minutes.is_some_and(|minutes| minutes <= bake_minutes);
        if !seen(1.0) {
            return None;
        }
        let (mut unseen, mut found) = (0.0_f64, 1.0_f64);
        // Minutes fall as the rate grows, so bisection finds the border.
        for _ in 0..60 {
            let middle = f64::midpoint(unseen, found);
            if seen(middle) { found = middle } else { unseen = middle }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 100 requests a second, 5 % on green, 0.5 % of them bad: the closed form gives 9.9 minutes.
    #[test]
    fn the_example_by_hand() {
        let minutes = Traffic::example().minutes_to_detect(0.005).unwrap();
        assert!((minutes - 9.9).abs() < 0.1, "{minutes}");
    }

    #[test]
    fn an_outage_needs_a_minute_and_what_is_within_the_margin_is_never_seen() {
        let traffic = Traffic::example();
        assert_eq!(traffic.minutes_to_detect(1.0), Some(1.0));
        assert_eq!(traffic.minutes_to_detect(0.0013), None);
        assert_eq!(Traffic { share: 1.0, ..traffic }.minutes_to_detect(1.0), None, "nothing to compare with");
        assert_eq!(Traffic { requests_per_minute: 0.0, ..traffic }.minutes_to_detect(1.0), None);
        let outage = traffic.outlook().prospects[3];
        assert_eq!((outage.minutes, outage.failed_requests), (Some(4.0), Some(1200.0)));
    }

    #[test]
    fn low_traffic_sees_only_what_is_large() {
        let low = Traffic { requests_per_minute: 60.0, share: 0.01, ..Traffic::example() };
        assert!(low.smallest_seen(60.0).unwrap() > 0.05);
        assert_eq!(low.smallest_seen(1.0), None, "not even an outage, within the lag");
        let high = Traffic { requests_per_minute: 60_000.0, share: 0.1, ..Traffic::example() };
        let smallest = high.smallest_seen(60.0).unwrap();
        assert!(smallest > 0.001_375 && smallest < 0.002, "{smallest}");
    }

    /// With two failures of one cause, twice the evidence is needed.
    #[test]
    fn phi_stretches_the_time() {
        let traffic = Traffic::example();
        let doubled = Traffic { phi: 2.0, ..traffic };
        let ratio = doubled.minutes_to_detect(0.005).unwrap() / traffic.minutes_to_detect(0.005).unwrap();
        assert!((ratio - 2.0).abs() < 1e-9);
    }

    /// 1,000 requests a minute, all on green, 2 % of them bad, and a limit of 0.5 %: the bettor on 3 wins
    /// 20 ln 3 - 1000 x 0.005 x 2 = 11.97 a minute, the one on 5 wins 12.19.
    #[test]
    fn the_limit_by_hand() {
        let limit = Limit { rate: 0.005 };
        let alone =
            Traffic { requests_per_minute: 1000.0, share: 1.0, limit: Some((limit, 0.2)), ..Traffic::example() };
        let needed = 100f64.ln() + 8f64.ln() - alone.laid.ln() - 0.2f64.ln();
        let best = 20.0 * 5f64.ln() - 1000.0 * 0.005 * 4.0;
        assert!((best - 12.188_758).abs() < 1e-5);
        // The cap of 3 a minute keeps the slow evidence for three minutes; the fast one needs 1e-6.
        let fast = (needed - 100f64.ln() + 1e6f64.ln()) / best;
        assert!((alone.minutes_to_detect(0.02).unwrap() - fast).abs() < 1e-9 && fast > 1.0, "{fast}");
        // Next to the limit it takes its time, and below it there is nothing to see.
        let best = 6.5 * 1.5f64.ln() - 2.5;
        assert!((alone.minutes_to_detect(0.0065).unwrap() - needed / best).abs() < 1e-9);
        assert_eq!(alone.minutes_to_detect(0.005), None);
        let broken = Traffic { blue_rate: 0.006, ..alone };
        assert_eq!(broken.minutes_to_detect(1.0), None, "blue breaks it as well");
    }

    /// As in the course: a limit below what counts as healthy beside a blue that is large enough to speak
    /// for green says nothing, and says it where blue is small.
    #[test]
    fn blue_speaks_for_green_where_it_is_large() {
        let limit = Some((Limit { rate: 0.01 }, 0.2));
        let at = |share| Traffic { share, blue_rate: 0.01, limit, ..Traffic::example() }.minutes_to_detect(0.0125);
        assert_eq!(at(0.5), None);
        assert!(at(0.9).is_some());
        // Where blue does not speak for green, the sooner of the two is taken.
        let with = Traffic { limit: Some((Limit { rate: 0.005 }, 0.2)), ..Traffic::example() };
        let without = Traffic { limit: None, ..with };
        assert!(with.minutes_to_detect(0.05) <= without.minutes_to_detect(0.05));
        assert_eq!(with.minutes_to_detect(0.005), without.minutes_to_detect(0.005));
    }

    #[test]
    fn how_failures_are_judged_is_found_among_the_metrics() {
        let metric =
            |series, test, weight| Metric { name: String::new(), series, test, weight, phi: 3.0, cold_minutes: 0 };
        let metrics = [
            metric(0, Test::Beside(Margin::ERRORS), 0.5),
            metric(1, Test::Against(Limit { rate: 0.9 }), 0.1),
            metric(0, Test::Against(Limit { rate: 0.1 }), 0.3),
            metric(2, Test::Beside(Margin::CLIENT_ERRORS), 0.1),
        ];
        let judged = Traffic::judged(&metrics, 0.05, 0.2).unwrap();
        assert_eq!((judged.margin, judged.phi, judged.weight), (Margin::ERRORS, 3.0, 0.5));
        assert_eq!((judged.limit, judged.laid, judged.false_rollback), (Some((Limit { rate: 0.1 }, 0.3)), 0.2, 0.05));
        assert_eq!((judged.green_requests(), judged.blue_requests()), (0.0, 0.0));
        assert_eq!(Traffic::judged(&metrics[1..3], 0.05, 0.2), None, "nothing is compared");
    }

    /// The evidence of a green that is far worse grows with f ln((1 + 0.25 f) / 1.25 f), which falls from
    /// f = 0.34 on.
    const LARGEST: f64 = 0.3;

    fn any_traffic() -> impl Strategy<Value = Traffic> {
        (0.1f64..1e6, 0.001f64..LARGEST, 0.0f64..0.2, 1.0f64..8.0, proptest::option::of(0.001f64..0.5)).prop_map(
            |(requests_per_minute, share, blue_rate, phi, limit)| Traffic {
                requests_per_minute,
                share,
                blue_rate,
                phi,
                limit: limit.map(|rate| (Limit { rate }, 0.2)),
                weight: 0.4,
                ..Traffic::example()
            },
        )
    }

    /// `None` is later than any minute.
    fn when(minutes: Option<f64>) -> f64 {
        minutes.unwrap_or(f64::INFINITY)
    }

    proptest! {
        /// More traffic, a worse green, or a larger share of at most 30 % never show later. With more, blue
        /// becomes too small to compare with, and it takes longer again.
        #[test]
        fn more_to_see_is_never_seen_later(
            traffic in any_traffic(), rate in 0.0f64..=1.0, more in 1.0f64..20.0, worse in 0.0f64..=1.0,
        ) {
            let found = when(traffic.minutes_to_detect(rate));
            let busier = Traffic { requests_per_minute: traffic.requests_per_minute * more, ..traffic };
            prop_assert!(when(busier.minutes_to_detect(rate)) <= found * (1.0 + 1e-9));
            let larger = Traffic { share: (traffic.share * more).min(LARGEST), ..traffic };
            prop_assert!(when(larger.minutes_to_detect(rate)) <= found * (1.0 + 1e-9));
            prop_assert!(when(traffic.minutes_to_detect(rate.max(worse))) <= found * (1.0 + 1e-9));
        }

        #[test]
        fn phi_never_helps(traffic in any_traffic(), rate in 0.0f64..=1.0, more in 1.0f64..5.0) {
            let found = traffic.minutes_to_detect(rate);
            let clustered = Traffic { phi: traffic.phi * more, ..traffic }.minutes_to_detect(rate);
            prop_assert!(when(clustered) >= when(found));
            prop_assert!(when(clustered) <= when(found) * more * (1.0 + 1e-9));
        }

        /// What a bake is said to show, it shows, and hardly less than it does not.
        #[test]
        fn the_smallest_rate_is_the_border(traffic in any_traffic(), bake in 1.0f64..600.0) {
            match traffic.smallest_seen(bake) {
                None => prop_assert!(when(traffic.prospect(1.0).minutes) > bake),
                Some(least) => {
                    prop_assert!(when(traffic.prospect(least).minutes) <= bake);
                    prop_assert!(when(traffic.prospect(least * 0.999).minutes) > bake);
                }
            }
        }
    }
}
