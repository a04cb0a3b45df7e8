//! Blue's last day by availability zone, in two rounds of questions: everything that is counted and the
//! percentiles of the whole day, then, with these as bounds, how many requests were slower.
//!
//! Zones are what says whether failures come in clusters, so they are asked for beside the totals; where
//! they do not report, the totals are one zone. Whether CloudWatch counts samples at all (the statistic
//! `TC`) is not taken on trust: it is first asked how many took longer than no time, which must be all of
//! them. Whatever else a count has to keep to is [`crate::gate::day`]'s.
//!
//! Two rounds, and not for each zone or metric one, because `plan` and `start` wait for them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch as sdk;
use chrono::TimeDelta;

use super::answers::{Question, Span, Values, ask};
use super::measures::{Measure, Place, Sum};
use crate::cloud::{CloudError, Counted, Counts, Day, DayWindow};
use crate::gate::tail::{Slowness, count_above};

/// Of all samples, how many must be counted as longer than no time: those of exactly no time are not, and
/// counts are interpolated.
const COUNTED: std::ops::RangeInclusive<f64> = 0.5..=1.01;
/// A bound is cut to microseconds, upwards: CloudWatch takes ten decimal places.
const PER_SECOND: f64 = 1e6;

/// What a number of the day is of.
#[derive(Debug, Clone, PartialEq)]
enum Of {
    /// A minute: of a target group (of flows, of a load balancer), in a zone or in all of them.
    Minute { group: usize, zone: Option<String>, measure: Measure },
    /// The whole window, of the target group with this number.
    Whole { group: usize, what: Whole },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Percentile(usize),
    Samples,
    /// Samples above 0 s.
    AboveNothing,
}

/// Minutes by their second: what each zone, or all of them together, reported.
type Found = BTreeMap<i64, BTreeMap<Option<String>, Counts>>;

/// Reads the window. Groups without a load balancer report nothing and are left out.
pub(in super::super) async fn day(client: &sdk::Client, window: &DayWindow) -> Result<Day, CloudError> {
    let span = Span { from: window.from, to: window.to };
    match window.counted {
        Counted::Requests => requests(client, window, span).await,
        Counted::Flows => {
            let asked = questions_of_flows(window);
            let values = ask(client, &asked, 0, span).await?;
            Ok(Day { bounds: None, minutes: minutes(window, flows(collect(&asked, &values))) })
        }
        Counted::Nothing => Ok(Day::default()),
    }
}

async fn requests(client: &sdk::Client, window: &DayWindow, span: Span) -> Result<Day, CloudError> {
    let mut asked = questions_of_requests(window, span);
    let mut values = ask(client, &asked, 0, span).await?;
    let zoned = by_zone(&collect(&asked, &values));
    let bounds = bounds(&asked, &values, span);
    if let Some(bounds) = bounds {
        let slow = questions_of_slowness(window, zoned, bounds);
        values.extend(ask(client, &slow, 0, span).await?);
        asked.extend(slow);
    }
    let mut found = collect(&asked, &values);
    found.values_mut().for_each(|zones| zones.retain(|zone, _| zone.is_some() == zoned));
    Ok(Day { bounds, minutes: minutes(window, found) })
}

/// Each group with its load balancer, and the zones of that.
fn groups(window: &DayWindow) -> impl Iterator<Item = (usize, Place<'_>, &[String])> {
    window.groups.iter().enumerate().filter_map(|(number, group)| {
        let balancer = window.load_balancers.get(group)?;
        let zones = window.zones.get(balancer).map_or(&[][..], Vec::as_slice);
        Some((number, Place { balancer: Some(balancer), group: Some(group), zone: None }, zones))
    })
}

/// The place as a whole, and each of its zones.
fn places<'a>(whole: Place<'a>, zones: &'a [String]) -> impl Iterator<Item = Place<'a>> {
    std::iter::once(whole).chain(zones.iter().map(move |zone| Place { zone: Some(zone), ..whole }))
}

fn of_minute(question: Question<Measure>, group: usize, place: Place) -> Question<Of> {
    question.under(|measure| Of::Minute { group, zone: place.zone.map(str::to_string), measure })
}

fn questions_of_requests(window: &DayWindow, span: Span) -> Vec<Question<Of>> {
    let period = i32::try_from(span.minutes() * 60).unwrap_or(i32::MAX);
    let mut asked = Vec::new();
    let mut balancers = BTreeSet::new();
    for (group, whole, zones) in groups(window) {
        if balancers.insert(whole.balancer) {
            let places = places(Place { group: None, ..whole }, zones);
            asked.extend(places.map(|place| of_minute(place.unserved(), group, place)));
        }
        for place in places(whole, zones) {
            let samples = place.latency(Measure::Samples, "SampleCount");
            let counted = place.requests().into_iter().chain([place.client_errors(), samples]);
            asked.extend(counted.map(|question| of_minute(question, group, place)));
        }
        let [p95, p99] = Slowness::ALL.map(Slowness::statistic);
        let above_nothing = count_above(0.0);
        let statistics = [
            (Whole::Percentile(0), p95),
            (Whole::Percentile(1), p99),
            (Whole::Samples, "SampleCount"),
            (Whole::AboveNothing, &above_nothing),
        ];
        asked.extend(
            statistics
                .map(|(what, statistic)| Question { period, ..whole.latency(Of::Whole { group, what }, statistic) }),
        );
    }
    asked
}

/// How many were slower than the bounds, by zone or as a whole.
fn questions_of_slowness(window: &DayWindow, by_zone: bool, bounds: [f64; 2]) -> Vec<Question<Of>> {
    let mut asked = Vec::new();
    for (group, whole, zones) in groups(window) {
        for place in places(whole, zones).filter(|place| place.zone.is_some() == by_zone) {
            for (index, bound) in bounds.into_iter().enumerate() {
                let question = place.latency(Measure::Slow(index), &count_above(bound));
                asked.push(of_minute(question, group, place));
            }
        }
    }
    asked
}

/// A Network Load Balancer counts by zone only as a whole (`LoadBalancer` and `AvailabilityZone`), and
/// for a target group only new flows (`TargetGroup`); it knows no latency.
fn questions_of_flows(window: &DayWindow) -> Vec<Question<Of>> {
    let mut asked = Vec::new();
    let mut balancers = BTreeSet::new();
    for (group, place, zones) in groups(window) {
        let alone = Place { balancer: None, ..place };
        asked.push(of_minute(alone.flows(), group, alone));
        if !balancers.insert(place.balancer) {
            continue;
        }
        for place in places(Place { group: None, ..place }, zones) {
            let flows = place.zone.map(|_| place.flows());
            asked.extend(place.broken().into_iter().chain(flows).map(|question| of_minute(question, group, place)));
        }
    }
    asked
}

fn collect(asked: &[Question<Of>], values: &[Values]) -> Found {
    let mut sums: BTreeMap<i64, BTreeMap<Option<String>, Sum>> = BTreeMap::new();
    for (question, values) in asked.iter().zip(values) {
        let Of::Minute { group, zone, measure } = &question.of else { continue };
        for (minute, value) in values {
            sums.entry(*minute).or_default().entry(zone.clone()).or_default().add(*group, measure, *value);
        }
    }
    let counts = |zones: BTreeMap<Option<String>, Sum>| zones.into_iter().map(|(z, sum)| (z, sum.counts())).collect();
    sums.into_iter().map(|(minute, zones)| (minute, counts(zones))).collect()
}

/// Whether the zones reported requests. One answer for the whole window: where some minutes were of zones
/// and some of all together, neither rates nor clusters could be told.
fn by_zone(found: &Found) -> bool {
    found.values().flatten().any(|(zone, counts)| zone.is_some() && counts.requests.is_some())
}

/// Flows of the target groups, by zone in the proportion in which the load balancers had theirs: a group's
/// share of a load balancer is not known by zone, and failures are those of the whole as they are in
/// every later look.
fn flows(mut found: Found) -> Found {
    let zoned = by_zone(&found);
    for zones in found.values_mut() {
        let groups = zones.get(&None).and_then(|all| all.requests);
        zones.retain(|zone, _| zone.is_some() == zoned);
        if !zoned {
            continue;
        }
        let whole: f64 = zones.values().filter_map(|zone| zone.requests).sum();
        for zone in zones.values_mut() {
            zone.requests = zone.requests.zip(groups).filter(|_| whole > 0.0).map(|(n, all)| n / whole * all);
        }
    }
    found
}

/// The percentiles of the whole window, in seconds: of several groups the largest, so that nobody's
/// ordinary requests are slow. `None` where one is missing, or CloudWatch does not count samples.
fn bounds(asked: &[Question<Of>], values: &[Values], span: Span) -> Option<[f64; 2]> {
    let of = |wanted: Whole| {
        let found = asked.iter().zip(values);
        found.filter(move |(question, _)| matches!(question.of, Of::Whole { what, .. } if what == wanted))
    };
    let all = |wanted| of(wanted).flat_map(|(_, values)| values.values()).sum::<f64>();
    let samples = all(Whole::Samples);
    let right = samples > 0.0 && COUNTED.contains(&(all(Whole::AboveNothing) / samples));
    let bound = |index: usize| {
        let largest = of(Whole::Percentile(index)).filter_map(|(_, values)| longest(values, span)).reduce(f64::max);
        largest.map(|bound| (bound * PER_SECOND).ceil() / PER_SECOND).filter(|bound| *bound > 0.0 && bound.is_finite())
    };
    Some([bound(0)?, bound(1)?]).filter(|_| right)
}

/// The number of the period that covers most of the window: CloudWatch may cut its periods where it likes,
/// and that of a few minutes is not the day's.
fn longest(values: &Values, span: Span) -> Option<f64> {
    let (from, to) = (span.from.timestamp(), span.to.timestamp());
    let covered = |start: i64| to.min(start + (to - from)) - from.max(start);
    values.iter().max_by_key(|(start, _)| covered(**start)).map(|(_, value)| *value)
}

/// One entry for each minute of the window.
fn minutes(window: &DayWindow, mut found: Found) -> Vec<Vec<Counts>> {
    let mut minutes = Vec::new();
    let mut start = window.from;
    while start < window.to {
        minutes.push(found.remove(&start.timestamp()).unwrap_or_default().into_values().collect());
        start += TimeDelta::minutes(1);
    }
    minutes
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::cloud::LevelSource;

    const START: i64 = 1_800_000_000;

    fn window(counted: Counted, groups: &[&str], zones: &[&str]) -> DayWindow {
        let from = DateTime::from_timestamp(START, 0).unwrap();
        let arn = |kind: &str, name: &str| format!("arn:aws:elasticloadbalancing:r:1:{kind}/{name}/01");
        let balancer = arn("loadbalancer", "app/lb");
        DayWindow {
            counted,
            groups: groups.iter().map(|name| arn("targetgroup", name)).collect(),
            load_balancers: groups.iter().map(|name| (arn("targetgroup", name), balancer.clone())).collect(),
            zones: BTreeMap::from([(balancer, zones.iter().map(|zone| (*zone).to_string()).collect())]),
            from,
            to: from + TimeDelta::days(1),
        }
    }

    fn span(window: &DayWindow) -> Span {
        Span { from: window.from, to: window.to }
    }

    fn shown(question: &Question<Of>) -> String {
        let LevelSource::Metric { metric, dimensions, statistic, .. } = &question.source else { panic!("a metric") };
        let dimensions: Vec<String> = dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{metric} {statistic} {} {}", question.period, dimensions.join(" "))
    }

    #[test]
    fn a_day_of_requests_is_asked_for_by_zone_and_as_a_whole() {
        let window = window(Counted::Requests, &["b"], &["1a", "1b"]);
        let asked: Vec<String> = questions_of_requests(&window, span(&window)).iter().map(shown).collect();
        let whole = "LoadBalancer=app/lb/01 TargetGroup=targetgroup/b/01";
        let of = |place: &str| {
            [
                "RequestCount Sum",
                "HTTPCode_Target_5XX_Count Sum",
                "TargetConnectionErrorCount Sum",
                "TargetTLSNegotiationErrorCount Sum",
                "HTTPCode_Target_4XX_Count Sum",
                "TargetResponseTime SampleCount",
            ]
            .map(|metric| format!("{metric} 60 {place}"))
        };
        let day = ["p95", "p99", "SampleCount", "TC(0:)"].map(|s| format!("TargetResponseTime {s} 86400 {whole}"));
        let zones = ["1a", "1b"].map(|zone| of(&format!("AvailabilityZone={zone} {whole}")));
        // What the load balancer answers itself is of no target group.
        let unserved = ["", "AvailabilityZone=1a ", "AvailabilityZone=1b "]
            .map(|zone| format!("HTTPCode_ELB_5XX_Count Sum 60 {zone}LoadBalancer=app/lb/01"));
        assert_eq!(asked, [&unserved[..], &of(whole), &zones.concat(), &day].concat());
        let slow = |by_zone| questions_of_slowness(&window, by_zone, [0.25, 1.0]).iter().map(shown).collect::<Vec<_>>();
        assert_eq!(slow(false), ["TC(0.25:)", "TC(1:)"].map(|s| format!("TargetResponseTime {s} 60 {whole}")));
        assert_eq!(slow(true).len(), 4);
        assert!(slow(true)[3].starts_with("TargetResponseTime TC(1:) 60 AvailabilityZone=1b"));
    }

    #[test]
    fn a_day_of_flows_is_asked_for_once_for_each_load_balancer() {
        let window = window(Counted::Flows, &["b1", "b2"], &["1a"]);
        let asked: Vec<String> = questions_of_flows(&window).iter().map(shown).collect();
        let broken = |place: &str| {
            ["TCP_Target_Reset_Count", "TCP_ELB_Reset_Count", "PortAllocationErrorCount"]
                .map(|metric| format!("{metric} Sum 60 {place}LoadBalancer=app/lb/01"))
        };
        let flows = |of: &str| format!("NewFlowCount Sum 60 {of}");
        let zone = "AvailabilityZone=1a ";
        let expected = [
            &[flows("TargetGroup=targetgroup/b1/01")][..],
            &broken(""),
            &broken(zone),
            &[flows(&format!("{zone}LoadBalancer=app/lb/01")), flows("TargetGroup=targetgroup/b2/01")],
        ];
        assert_eq!(asked, expected.concat());
    }

    #[test]
    fn without_a_load_balancer_there_is_nothing_to_ask() {
        let mut window = window(Counted::Requests, &["b"], &["1a"]);
        window.load_balancers.clear();
        assert!(questions_of_requests(&window, span(&window)).is_empty() && questions_of_flows(&window).is_empty());
    }

    /// What is found where this is said: part of a question, minute, number.
    fn found(asked: &[Question<Of>], said: &[(&str, i64, f64)]) -> Vec<Values> {
        let mut values = vec![Values::new(); asked.len()];
        for (what, minute, number) in said {
            let question = asked.iter().position(|question| shown(question).starts_with(what)).expect(what);
            values[question].insert(START + 60 * minute, *number);
        }
        values
    }

    #[test]
    fn zones_are_used_where_they_report() {
        let window = window(Counted::Requests, &["b"], &["1a", "1b"]);
        let asked = questions_of_requests(&window, span(&window));
        let requests = |zone: &str| format!("RequestCount Sum 60 {zone}");
        let (whole, first, second) =
            (requests("LoadBalancer"), requests("AvailabilityZone=1a"), requests("AvailabilityZone=1b"));
        let whole_only = collect(&asked, &found(&asked, &[(&whole, 0, 30.0)]));
        assert!(!by_zone(&whole_only));
        let said = [(whole.as_str(), 0, 30.0), (first.as_str(), 0, 20.0), (second.as_str(), 0, 10.0)];
        let all = collect(&asked, &found(&asked, &said));
        assert!(by_zone(&all));
        assert_eq!(all[&START].len(), 3);
        assert_eq!(all[&START][&Some("1b".to_string())].requests, Some(10.0));
    }

    #[test]
    fn flows_are_the_groups_in_the_proportion_of_the_zones() {
        let window = window(Counted::Flows, &["b"], &["1a", "1b"]);
        let asked = questions_of_flows(&window);
        let group = ("NewFlowCount Sum 60 TargetGroup", 0, 100.0);
        let resets = ("TCP_ELB_Reset_Count Sum 60 LoadBalancer", 0, 4.0);
        let of_day = |said: &[(&str, i64, f64)]| {
            let day = minutes(&window, flows(collect(&asked, &found(&asked, said))));
            assert_eq!(day.len(), 1440);
            day[0].iter().map(|zone| (zone.requests, zone.bad)).collect::<Vec<_>>()
        };
        assert_eq!(of_day(&[group, resets]), [(Some(100.0), Some(4.0))]);
        // The load balancer carries ten times as many.
        let zones = [
            ("NewFlowCount Sum 60 AvailabilityZone=1a", 0, 750.0),
            ("NewFlowCount Sum 60 AvailabilityZone=1b", 0, 250.0),
            ("TCP_ELB_Reset_Count Sum 60 AvailabilityZone=1b", 0, 4.0),
        ];
        let both = [&[group, resets][..], &zones].concat();
        assert_eq!(of_day(&both), [(Some(75.0), None), (Some(25.0), Some(4.0))]);
        assert_eq!(of_day(&zones), [(None, None), (None, Some(4.0))], "nobody knows how many were the group's");
        let idle = zones.map(|(what, minute, _)| (what, minute, 0.0));
        assert_eq!(of_day(&[&[group][..], &idle].concat())[0].0, None, "no flow in no zone has no proportion");
    }

    fn bounds_of(said: &[(Whole, usize, i64, f64)]) -> Option<[f64; 2]> {
        let window = window(Counted::Requests, &["b1", "b2"], &[]);
        let asked = questions_of_requests(&window, span(&window));
        let mut values = vec![Values::new(); asked.len()];
        for (wanted, of, hours, number) in said {
            let is = |q: &Question<Of>| matches!(&q.of, Of::Whole { group, what } if group == of && what == wanted);
            values[asked.iter().position(is).unwrap()].insert(START + 3600 * hours, *number);
        }
        bounds(&asked, &values, span(&window))
    }

    #[test]
    fn bounds_are_the_largest_of_the_groups() {
        use Whole::{AboveNothing, Percentile, Samples};
        let one = [(Percentile(0), 0, 0, 0.2), (Percentile(1), 0, 0, 0.900_000_1), (Samples, 0, 0, 1e6)];
        let counted = (AboveNothing, 0, 0, 999_000.0);
        let good = [&one[..], &[counted]].concat();
        assert_eq!(bounds_of(&good), Some([0.2, 0.900_001]), "in microseconds, upwards");
        let other = [(Percentile(0), 1, 0, 0.3), (Percentile(1), 1, 0, 0.4)];
        assert_eq!(bounds_of(&[&good[..], &other].concat()), Some([0.3, 0.900_001]));
        // CloudWatch may cut the day at midnight: ten minutes of yesterday are not the day.
        let rest = [(Percentile(0), 0, -22, 7.0), (Percentile(1), 0, -22, 8.0)];
        assert_eq!(bounds_of(&[&good[..], &rest].concat()), Some([0.2, 0.900_001]));
        for (what, said) in [
            ("nothing", vec![]),
            ("one percentile", [&one[..1], &one[2..], &[counted]].concat()),
            ("samples are not counted", one.to_vec()),
            ("samples are averaged", [&one[..], &[(AboveNothing, 0, 0, 0.12)]].concat()),
            ("more are counted than there are", [&one[..], &[(AboveNothing, 0, 0, 1.1e6)]].concat()),
            ("a count that is none", [&one[..], &[(AboveNothing, 0, 0, f64::NAN)]].concat()),
            ("a percentile that is none", [&good[1..], &[(Percentile(0), 0, 0, f64::NAN)]].concat()),
            ("no time", [&good[1..], &[(Percentile(0), 0, 0, 0.0)]].concat()),
        ] {
            assert_eq!(bounds_of(&said), None, "{what}");
        }
    }
}
