//! Blue's last day by availability zone, as CloudWatch would tell it.
//!
//! The zones of a minute add up to what the target group reports for it, because both come from the same
//! draw. The percentiles are those of the distribution that the latencies are drawn from.
//!
//! A day is a pure function of what is asked and of a past that is over, and takes long to draw. So the
//! last few are kept for all simulated clouds of the process: thousands of rehearsals have the same one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, DurationRound, Utc};

use super::answers::{MEDIAN_SECONDS, Memo, beyond};
use super::scenario::Scenario;
use super::traffic::Traffic;
use super::universe::{Blue, Universe};
use crate::cloud::{CloudError, Counted, Counts, Day, DayWindow};
use crate::gate::tail::Slowness;

/// Days that were drawn last, newest first.
static KNOWN: Mutex<VecDeque<(Past, Day)>> = Mutex::new(VecDeque::new());
const KEPT_DAYS: usize = 12;

/// All that a day depends on.
#[derive(Debug, Clone, PartialEq)]
struct Past {
    window: DayWindow,
    seed: u64,
    scenario: Scenario,
    failure_cluster: u32,
    blue: Blue,
    /// Name and address family of each group.
    groups: Vec<Option<(String, String)>>,
    traffic: Traffic,
}

/// Requests by their factor on the latency.
type Paces = BTreeMap<u64, f64>;

impl Universe {
    /// The minutes of a window by zone, with what was slower than the percentiles of the whole.
    pub(super) fn day(&self, window: &DayWindow, memo: &mut Memo) -> Result<Day, CloudError> {
        self.seeing()?;
        if window.counted == Counted::Nothing {
            return Ok(Day::default());
        }
        let past = self.past(window);
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, day)) = known().iter().find(|(of, _)| *of == past) {
            return Ok(day.clone());
        }
        let day = self.draw_day(window, memo);
        let mut days = known();
        days.push_front((past, day.clone()));
        days.truncate(KEPT_DAYS);
        Ok(day)
    }

    fn past(&self, window: &DayWindow) -> Past {
        let group = |arn: &String| self.target_groups.get(arn).map(|g| g.group.clone());
        let mut traffic = self.traffic.clone();
        traffic.epochs.retain(|epoch| epoch.from < window.to);
        traffic.green_since = None;
        Past {
            window: window.clone(),
            seed: self.seed,
            scenario: self.scenario,
            failure_cluster: self.knobs.failure_cluster,
            blue: self.blue.clone(),
            groups: window.groups.iter().map(|arn| group(arn).map(|g| (g.name, g.ip_address_type))).collect(),
            traffic,
        }
    }

    fn draw_day(&self, window: &DayWindow, memo: &mut Memo) -> Day {
        let first = window.from.duration_trunc(Duration::minutes(1)).unwrap_or(window.from);
        let minutes: Vec<DateTime<Utc>> = std::iter::successors(Some(first), |at| Some(*at + Duration::minutes(1)))
            .take_while(|at| *at < window.to)
            .collect();
        let bounds = (window.counted == Counted::Requests).then(|| self.percentiles(window, &minutes, memo)).flatten();
        let zones = minutes.iter().map(|minute| self.zones(window, bounds, *minute, memo)).collect();
        Day { bounds, minutes: zones }
    }

    /// One minute's counts of each zone that had anything.
    fn zones(
        &self,
        window: &DayWindow,
        bounds: Option<[f64; 2]>,
        minute: DateTime<Utc>,
        memo: &mut Memo,
    ) -> Vec<Counts> {
        let everywhere = vec![String::new()];
        let mut zones: BTreeMap<&String, Counts> = BTreeMap::new();
        let complete = self.now >= minute + Duration::minutes(1) + super::metrics::SETTLING;
        let groups: BTreeSet<&String> = window.groups.iter().collect();
        for group in groups.into_iter().filter_map(|arn| self.target_groups.get(arn)) {
            let (arn, name) = (&group.group.arn, &group.group.name);
            let names = window.load_balancers.get(arn).and_then(|balancer| window.zones.get(balancer));
            let names = names.filter(|names| !names.is_empty()).unwrap_or(&everywhere);
            let drawn = self.drawn(arn, name, minute, complete, memo);
            let parts = drawn.zones(names.len(), bounds.unwrap_or_default(), self.knobs.failure_cluster);
            for (name, part) in names.iter().zip(parts).filter(|(_, part)| part.requests > 0.0) {
                zones.entry(name).or_default().add(&part, window.counted, bounds.is_some());
            }
        }
        zones.into_values().collect()
    }

    /// The 95th and 99th percentile of all latencies, the largest of the groups'.
    fn percentiles(&self, window: &DayWindow, minutes: &[DateTime<Utc>], memo: &mut Memo) -> Option<[f64; 2]> {
        let groups: Vec<_> = window.groups.iter().filter_map(|arn| self.target_groups.get(arn)).collect();
        let mut of_groups = Vec::new();
        for group in groups {
            let mut paces = Paces::new();
            for minute in minutes {
                let drawn = self.drawn(&group.group.arn, &group.group.name, *minute, true, memo);
                if drawn.requests > 0.0 {
                    *paces.entry(drawn.pace.to_bits()).or_default() += drawn.requests - drawn.unserved;
                }
            }
            of_groups.extend((!paces.is_empty()).then(|| Slowness::ALL.map(|slowness| percentile(&paces, slowness))));
        }
        of_groups.into_iter().reduce(|one, other| [one[0].max(other[0]), one[1].max(other[1])])
    }
}

/// The latency in seconds that this part of the requests exceeds, by halving.
fn percentile(paces: &Paces, slowness: Slowness) -> f64 {
    let all: f64 = paces.values().sum();
    let slower = |seconds: f64| paces.iter().map(|(pace, n)| n * beyond(seconds, f64::from_bits(*pace))).sum::<f64>();
    let (mut low, mut high) = (MEDIAN_SECONDS * 1e-3, MEDIAN_SECONDS * 1e6);
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if slower(middle) > slowness.beyond() * all { low = middle } else { high = middle }
    }
    (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Disturbance, DisturbanceKind, Episode, Mood, Scenario, Sim, Tamper};
    use super::*;
    use crate::clock::Clock;
    use crate::cloud::{Cloud, MetricWindow, Watch};
    use crate::inventory::History;

    fn window(sim: &Sim) -> DayWindow {
        let (group, balancer) = (blue_group(sim), balancer(sim));
        let to = sim.now().duration_trunc(Duration::minutes(1)).unwrap() - Duration::minutes(5);
        let zones = ["a", "b", "c"].map(str::to_owned).to_vec();
        DayWindow {
            counted: Counted::Requests,
            groups: vec![group.clone()],
            load_balancers: BTreeMap::from([(group, balancer.clone())]),
            zones: BTreeMap::from([(balancer, zones)]),
            from: to - Duration::days(1),
            to,
        }
    }

    fn day(sim: &Sim) -> Day {
        sim.day(&window(sim)).unwrap()
    }

    fn history(sim: &Sim) -> History {
        day(sim).history()
    }

    #[test]
    fn zones_add_up_to_what_the_group_reports() {
        for cluster in [1, 7] {
            let mut universe = universe(Scenario::Healthy);
            universe.knobs.failure_cluster = cluster;
            universe.traffic.base_errors = 0.01;
            let (from, to) = (universe.now - Duration::hours(2), universe.now);
            let mood = Mood { lost: 0.02, ..Mood::default() };
            universe.tamper(&Tamper::Live(Episode { from, to, side: None, mood }));
            let sim = Sim::in_memory(universe);
            let day = day(&sim);
            assert_eq!(day.minutes.len(), 1440);
            let asked = window(&sim);
            let metrics = MetricWindow {
                blue: asked.groups,
                load_balancers: asked.load_balancers,
                from: asked.from,
                to: asked.to,
                unserved: true,
                client_errors: true,
                slow: day.bounds,
                ..MetricWindow::default()
            };
            let sight = sim.observe(&Watch { metrics: Some(metrics), ..Watch::default() }).unwrap();
            for (minute, zones) in sight.metrics.unwrap().unwrap().iter().zip(&day.minutes) {
                assert_eq!(zones.len(), 3);
                for of in [
                    (|c| c.requests) as fn(&Counts) -> Option<f64>,
                    |c| c.bad,
                    |c| c.unserved,
                    |c| c.client_errors,
                    |c| c.samples,
                    |c| c.slow[0],
                    |c| c.slow[1],
                ] {
                    let sum: f64 = zones.iter().filter_map(of).sum();
                    assert_eq!(sum, of(&minute.blue).unwrap_or_default(), "{minute:?}");
                }
                let possible = |c: &Counts| c.slow[1] <= c.slow[0] && c.slow[0] <= c.samples && c.bad <= c.requests;
                assert!(zones.iter().all(possible), "{zones:?}");
            }
        }
    }

    #[test]
    fn the_history_is_that_of_a_service_that_is_well() {
        let history = history(&sim(Scenario::Healthy));
        assert!((5800.0..6100.0).contains(&history.requests_per_minute), "{history:?}");
        assert!((9e-4..1.1e-3).contains(&history.errors.rate), "{history:?}");
        assert!((9.8e-3..1.02e-2).contains(&history.client_errors.rate), "{history:?}");
        let [p95, p99] = history.slow.unwrap();
        assert!((p95.bound - 0.08 * (0.5 * 1.644_85_f64).exp()).abs() < 1e-5, "{p95:?}");
        assert!((p99.bound - 0.08 * (0.5 * 2.326_35_f64).exp()).abs() < 1e-5, "{p99:?}");
        assert!((0.0495..0.0505).contains(&p95.past.rate) && (0.0098..0.0102).contains(&p99.past.rate), "{history:?}");
        for past in [history.errors, history.client_errors, p95.past, p99.past] {
            assert!((1.0..1.1).contains(&past.phi), "{history:?}");
        }
    }

    #[test]
    fn failures_that_come_at_once_are_found_in_the_zones() {
        for (cluster, expected) in [(3, 2.7..3.3), (10, 9.0..11.0)] {
            let mut universe = universe(Scenario::Healthy);
            universe.knobs.failure_cluster = cluster;
            let history = history(&Sim::in_memory(universe));
            assert!(expected.contains(&history.errors.phi), "{history:?}");
            assert!((8e-4..1.2e-3).contains(&history.errors.rate), "{history:?}");
            assert!(history.client_errors.phi < 1.1);
        }
    }

    #[test]
    fn a_slow_hour_moves_the_percentiles_and_their_counts_alike() {
        let sim = sim(Scenario::Healthy);
        let (from, to) = (sim.now() - Duration::hours(5), sim.now() - Duration::hours(4));
        let mood = Mood { slowness: 3.0, ..Mood::default() };
        sim.with(|u| u.tamper(&Tamper::Live(Episode { from, to, side: None, mood }))).unwrap();
        let [p95, p99] = history(&sim).slow.unwrap();
        assert!(p95.bound > 0.19 && p99.bound > 0.35, "{p95:?} {p99:?}");
        assert!((0.049..0.051).contains(&p95.past.rate) && (0.0096..0.0104).contains(&p99.past.rate));
    }

    #[test]
    fn an_outage_of_the_metrics_blinds_it() {
        let sim = sim(Scenario::Healthy);
        let (from, to) = (sim.now(), sim.now() + Duration::minutes(3));
        sim.with(|u| u.tamper(&Tamper::Disturb(Disturbance { from, to, kind: DisturbanceKind::Outage }))).unwrap();
        assert!(sim.day(&window(&sim)).unwrap_err().message.starts_with("InternalServiceFault"));
        pass(&sim, 180);
        assert_eq!(day(&sim).minutes.len(), 1440);
    }

    #[test]
    fn flows_have_no_latency_and_a_balancer_without_zones_is_one() {
        let sim = sim(Scenario::Healthy);
        let asked = DayWindow { counted: Counted::Flows, zones: BTreeMap::new(), ..window(&sim) };
        let day = sim.day(&asked).unwrap();
        assert_eq!(day.bounds, None);
        let alone = |zones: &Vec<Counts>| zones.len() == 1 && zones[0].requests.is_some() && zones[0].samples.is_none();
        assert!(day.minutes.iter().all(alone));
        assert_eq!(day.history().errors.phi, 2.0);
        let nothing = DayWindow { groups: Vec::new(), ..window(&sim) };
        assert!(sim.day(&nothing).unwrap().minutes.iter().all(Vec::is_empty));
    }

    #[test]
    fn a_day_is_cheap() {
        let mut universe = universe(Scenario::Healthy);
        universe.seed = 4711;
        for most_ms in [1000, 100] {
            let sim = Sim::in_memory(universe.clone());
            let begun = std::time::Instant::now();
            day(&sim);
            let took = begun.elapsed();
            // Generous: the machine may be busy.
            assert!(took.as_millis() < most_ms, "{took:?}");
        }
    }

    #[test]
    fn a_day_that_is_known_is_the_one_that_would_be_drawn() {
        let one = universe(Scenario::Healthy);
        let mut other = one.clone();
        other.traffic.base_errors = 0.02;
        let mut late = one.clone();
        let from = late.now - Duration::hours(3);
        let mood = Mood { errors: 0.1, ..Mood::default() };
        late.tamper(&Tamper::Live(Episode { from, to: late.now, side: None, mood }));
        for universe in [one.clone(), other, late, one] {
            let sim = Sim::in_memory(universe.clone());
            let drawn = universe.draw_day(&window(&sim), &mut Memo::default());
            assert_eq!(day(&sim), drawn);
            assert_eq!(day(&sim), drawn, "again");
        }
    }
}
