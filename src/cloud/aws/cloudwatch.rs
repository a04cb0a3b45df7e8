//! Alarms and metrics: what CloudWatch says about both sides.
//!
//! Plain statistics only, one minute each; ratios, fills and verdicts are the gate's. All that a tick
//! needs is one question ([`answers`]): a look every few seconds must not cost a call for each metric,
//! and numbers of one call belong together. A number that CloudWatch did not report stays absent,
//! because an absent error count beside present requests means zero.

mod answers;
mod day;
mod measures;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch as sdk;
use aws_sdk_cloudwatch::types as cw;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;

use self::answers::{GET_METRIC_DATA, MINUTE, Question, Span, Values, ask};
pub(super) use self::day::day;
use self::measures::{Measure, Place, Sum};
use super::errors::{during, refused};
use crate::cloud::{CloudError, Counted, MetricWindow, Minute, Whose};
use crate::gate::tail::count_above;
use crate::inventory::Alarm;

/// Names in one call of `DescribeAlarms`.
const MOST_NAMES: usize = 100;

/// The state of these alarms, metric and composite; one that does not exist is left out.
pub(super) async fn alarms(client: &sdk::Client, names: &[String]) -> Result<Vec<Alarm>, CloudError> {
    let found = try_join_all(names.chunks(MOST_NAMES).map(|names| alarms_chunk(client, names))).await?;
    let mut by_name: BTreeMap<String, Alarm> =
        found.into_iter().flatten().map(|alarm| (alarm.name.clone(), alarm)).collect();
    Ok(names.iter().filter_map(|name| by_name.remove(name)).collect())
}

async fn alarms_chunk(client: &sdk::Client, names: &[String]) -> Result<Vec<Alarm>, CloudError> {
    let mut pages = client
        .describe_alarms()
        .set_alarm_names(Some(names.to_vec()))
        // Without both types named, composite alarms are not returned.
        .alarm_types(cw::AlarmType::MetricAlarm)
        .alarm_types(cw::AlarmType::CompositeAlarm)
        .into_paginator()
        .send();
    let mut alarms = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(during("cloudwatch:DescribeAlarms"))?;
        alarms.extend(
            page.metric_alarms()
                .iter()
                .map(|alarm| read_alarm(alarm.alarm_name(), alarm.state_value(), alarm.state_reason(), false)),
        );
        alarms.extend(
            page.composite_alarms()
                .iter()
                .map(|alarm| read_alarm(alarm.alarm_name(), alarm.state_value(), alarm.state_reason(), true)),
        );
    }
    Ok(alarms)
}

fn read_alarm(name: Option<&str>, state: Option<&cw::StateValue>, reason: Option<&str>, composite: bool) -> Alarm {
    Alarm {
        name: name.unwrap_or_default().to_string(),
        state: state.map(|state| state.as_str().to_string()).unwrap_or_default(),
        reason: reason.unwrap_or_default().to_string(),
        composite,
    }
}

/// Whose a number is, and of which of the side's target groups.
#[derive(Debug, Clone, PartialEq)]
struct Of {
    whose: Whose,
    /// Several load balancers count for none of them.
    group: usize,
    measure: Measure,
}

/// Every minute of the window, on both sides.
pub(super) async fn minutes(client: &sdk::Client, window: &MetricWindow) -> Result<Vec<Minute>, CloudError> {
    let asked = questions(window)?;
    let span = Span { from: window.from, to: window.to };
    // Expressions name other metrics of the user's own, and nothing else.
    let values = ask(client, &asked, window.levels.len(), span).await?;
    Ok(tally(window, &asked, &values))
}

/// The user's own first, so that they are in one call.
fn questions(window: &MetricWindow) -> Result<Vec<Question<Of>>, CloudError> {
    let mut asked: Vec<Question<Of>> = window
        .levels
        .iter()
        .map(|level| Question {
            of: Of { whose: level.whose, group: 0, measure: Measure::Own(level.name.clone()) },
            id: level.id.clone(),
            source: level.source.clone(),
            period: MINUTE,
            what: format!("the metric {}", level.name),
        })
        .collect();
    for (whose, groups) in [(Whose::Green, &window.green), (Whose::Blue, &window.blue)] {
        match window.counted {
            Counted::Requests => asked.extend(requests(window, whose, groups)?),
            Counted::Flows => asked.extend(flows(window, whose, groups)?),
            Counted::Nothing => {}
        }
    }
    Ok(asked)
}

/// What an Application Load Balancer counts, by target group.
fn requests(window: &MetricWindow, whose: Whose, groups: &[String]) -> Result<Vec<Question<Of>>, CloudError> {
    let mut asked = Vec::new();
    let mut balancers = BTreeSet::new();
    for (number, group) in groups.iter().enumerate() {
        let place = Place { balancer: Some(balancer_of(window, group)?), group: Some(group), zone: None };
        let mut questions = place.requests();
        questions.extend(window.client_errors.then(|| place.client_errors()));
        questions.extend(window.latency.iter().map(|statistic| place.latency(Measure::Latency, statistic)));
        let sampled = window.unserved || window.slow.is_some();
        questions.extend(sampled.then(|| place.latency(Measure::Samples, "SampleCount")));
        let bounds = window.slow.iter().flatten().enumerate();
        questions.extend(bounds.map(|(n, bound)| place.latency(Measure::Slow(n), &count_above(*bound))));
        asked.extend(questions.into_iter().map(|question| question.one_of(whose, number)));
        if window.unserved && balancers.insert(place.balancer) {
            asked.push(Place { group: None, ..place }.unserved().one_of(whose, number));
        }
    }
    Ok(asked)
}

/// What a Network Load Balancer counts: new flows by target group, what goes wrong only as a whole.
/// Where both sides are behind one, both are given that, and whose it was the gate must know.
fn flows(window: &MetricWindow, whose: Whose, groups: &[String]) -> Result<Vec<Question<Of>>, CloudError> {
    let mut asked = Vec::new();
    let mut balancers = BTreeSet::new();
    for (number, group) in groups.iter().enumerate() {
        balancers.insert(balancer_of(window, group)?.as_str());
        let place = Place { balancer: None, group: Some(group), zone: None };
        asked.push(place.flows().one_of(whose, number));
    }
    for balancer in balancers {
        let place = Place { balancer: Some(balancer), group: None, zone: None };
        asked.extend(place.broken().into_iter().map(|question| question.one_of(whose, 0)));
    }
    Ok(asked)
}

impl Question<Measure> {
    fn one_of(self, whose: Whose, group: usize) -> Question<Of> {
        self.under(|measure| Of { whose, group, measure })
    }
}

fn balancer_of<'a>(window: &'a MetricWindow, group: &str) -> Result<&'a String, CloudError> {
    let without = || refused(GET_METRIC_DATA, format!("{group} has no load balancer, and so no metrics"));
    window.load_balancers.get(group).ok_or_else(without)
}

/// Every minute of the window, whether or not anything was reported of it.
fn tally(window: &MetricWindow, asked: &[Question<Of>], values: &[Values]) -> Vec<Minute> {
    let mut found: BTreeMap<i64, BTreeMap<Whose, Sum>> = BTreeMap::new();
    for (question, values) in asked.iter().zip(values) {
        let Of { whose, group, measure } = &question.of;
        for (minute, value) in values {
            found.entry(*minute).or_default().entry(*whose).or_default().add(*group, measure, *value);
        }
    }
    let mut minutes = Vec::new();
    let mut start = window.from;
    while start < window.to {
        let mut sums = found.remove(&start.timestamp()).unwrap_or_default();
        let mut counts = |whose| sums.remove(&whose).map(Sum::counts).unwrap_or_default();
        let (green, blue) = (counts(Whose::Green), counts(Whose::Blue));
        minutes.push(Minute { start, green, blue, levels: counts(Whose::Everybody).own });
        start += TimeDelta::minutes(1);
    }
    minutes
}

/// The most flows that were open on these groups together in a minute; `None` where one reports nothing.
pub(super) async fn active_flows(
    client: &sdk::Client,
    groups: &[String],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<f64>, CloudError> {
    let place = |group| Place { balancer: None, group: Some(group), zone: None };
    let asked: Vec<Question<()>> = groups.iter().map(|group| place(group).open_flows()).collect();
    let values = ask(client, &asked, 0, Span { from, to }).await?;
    if values.iter().any(Values::is_empty) {
        return Ok(None);
    }
    let mut by_minute: BTreeMap<i64, f64> = BTreeMap::new();
    for (minute, flows) in values.iter().flatten() {
        *by_minute.entry(*minute).or_default() += flows;
    }
    Ok(by_minute.into_values().reduce(f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::{Counts, LevelQuery, LevelSource};

    const START: i64 = 1_800_000_000;

    fn window() -> MetricWindow {
        let from = DateTime::from_timestamp(START, 0).unwrap();
        let group = |name: &str| format!("arn:aws:elasticloadbalancing:r:1:targetgroup/{name}/0123");
        MetricWindow {
            green: vec![group("g")],
            blue: vec![group("b1"), group("b2")],
            load_balancers: ["g", "b1", "b2"]
                .into_iter()
                .map(|name| (group(name), "arn:aws:elasticloadbalancing:r:1:loadbalancer/app/lb/4567".to_string()))
                .collect(),
            from,
            to: from + TimeDelta::minutes(2),
            latency: Some("p99".to_string()),
            client_errors: true,
            slow: Some([0.25, 1.5]),
            ..MetricWindow::default()
        }
    }

    fn shown<K>(question: &Question<K>) -> String {
        let LevelSource::Metric { namespace, metric, dimensions, statistic } = &question.source else {
            return question.what.clone();
        };
        let dimensions: Vec<String> = dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{namespace} {metric} {statistic} {}", dimensions.join(" "))
    }

    /// The minutes that come of these answers; whose answers there are none has said nothing.
    fn answered(window: &MetricWindow, said: &[(&str, i64, f64)]) -> Vec<Minute> {
        let asked = questions(window).unwrap();
        let number = |what: &str| asked.iter().position(|q| q.what == what || shown(q) == what).expect(what);
        let mut values = vec![Values::new(); asked.len()];
        for (what, minute, value) in said {
            values[number(what)].insert(START + 60 * minute, *value);
        }
        tally(window, &asked, &values)
    }

    #[test]
    fn everything_that_a_tick_needs_is_asked_of_each_group() {
        let asked: Vec<String> = questions(&window()).unwrap().iter().map(shown).collect();
        let of = |group: &str| {
            [
                "RequestCount Sum",
                "HTTPCode_Target_5XX_Count Sum",
                "TargetConnectionErrorCount Sum",
                "TargetTLSNegotiationErrorCount Sum",
                "HTTPCode_Target_4XX_Count Sum",
                "TargetResponseTime p99",
                "TargetResponseTime SampleCount",
                "TargetResponseTime TC(0.25:)",
                "TargetResponseTime TC(1.5:)",
            ]
            .map(|m| format!("AWS/ApplicationELB {m} LoadBalancer=app/lb/4567 TargetGroup=targetgroup/{group}/0123"))
        };
        assert_eq!(asked, [of("g"), of("b1"), of("b2")].concat());
        let least = MetricWindow { latency: None, client_errors: false, slow: None, ..window() };
        assert_eq!(questions(&least).unwrap().len(), 12, "what is not asked for is not paid for");
    }

    /// What the load balancer answers itself is of no target group, and asked for once on each side.
    #[test]
    fn unserved_requests_are_the_load_balancers() {
        let least = MetricWindow { latency: None, client_errors: false, slow: None, ..window() };
        let asked = questions(&MetricWindow { unserved: true, ..least }).unwrap();
        let of = |whose| asked.iter().filter(move |q| q.of.whose == whose).map(shown).collect::<Vec<_>>();
        let unserved = "AWS/ApplicationELB HTTPCode_ELB_5XX_Count Sum LoadBalancer=app/lb/4567";
        for (whose, groups) in [(Whose::Green, 1), (Whose::Blue, 2)] {
            let count = |what: &str| of(whose).iter().filter(|asked| asked.contains(what)).count();
            assert_eq!((count(unserved), count("TargetResponseTime SampleCount")), (1, groups), "{whose:?}");
        }
    }

    /// New flows have the dimension of the group alone, resets that of the load balancer alone.
    #[test]
    fn flows_are_asked_for_by_group_and_resets_by_load_balancer() {
        let network = "arn:aws:elasticloadbalancing:r:1:loadbalancer/net/nlb/89ab";
        let mut window = MetricWindow { counted: Counted::Flows, ..window() };
        window.load_balancers.insert(window.green[0].clone(), network.to_string());
        let asked: Vec<String> = questions(&window).unwrap().iter().map(shown).collect();
        assert_eq!(
            asked,
            [
                "AWS/NetworkELB NewFlowCount Sum TargetGroup=targetgroup/g/0123",
                "AWS/NetworkELB TCP_Target_Reset_Count Sum LoadBalancer=net/nlb/89ab",
                "AWS/NetworkELB TCP_ELB_Reset_Count Sum LoadBalancer=net/nlb/89ab",
                "AWS/NetworkELB PortAllocationErrorCount Sum LoadBalancer=net/nlb/89ab",
                "AWS/NetworkELB NewFlowCount Sum TargetGroup=targetgroup/b1/0123",
                "AWS/NetworkELB NewFlowCount Sum TargetGroup=targetgroup/b2/0123",
                "AWS/NetworkELB TCP_Target_Reset_Count Sum LoadBalancer=app/lb/4567",
                "AWS/NetworkELB TCP_ELB_Reset_Count Sum LoadBalancer=app/lb/4567",
                "AWS/NetworkELB PortAllocationErrorCount Sum LoadBalancer=app/lb/4567",
            ]
        );
    }

    fn own(name: &str, id: Option<&str>, whose: Whose) -> LevelQuery {
        let source = LevelSource::Metric {
            namespace: "Shop".to_string(),
            metric: name.to_string(),
            dimensions: BTreeMap::new(),
            statistic: "Sum".to_string(),
        };
        LevelQuery { name: name.to_string(), id: id.map(str::to_string), source, whose }
    }

    #[test]
    fn metrics_of_the_user_come_first_and_go_to_whose_they_are() {
        let math = LevelQuery {
            source: LevelSource::Expression("e1 / 60".to_string()),
            ..own("rate", None, Whose::Everybody)
        };
        let sided = [own("orders", None, Whose::Green), own("orders", None, Whose::Blue)];
        let levels = [vec![own("errors", Some("e1"), Whose::Everybody), math], sided.into()].concat();
        let window = MetricWindow { levels, ..window() };
        let asked = questions(&window).unwrap();
        let mine: Vec<(&str, Option<&str>)> = asked[..4].iter().map(|q| (q.what.as_str(), q.id.as_deref())).collect();
        let named = |name, id| (name, id);
        assert_eq!(mine[..2], [named("the metric errors", Some("e1")), named("the metric rate", None)]);
        assert_eq!(asked.len(), 4 + 27);
        let values: Vec<Values> = (0..asked.len())
            .map(|n| Values::from([(START, n as f64)]))
            .map(|v| if v[&START] < 4.0 { v } else { Values::new() })
            .collect();
        let minutes = tally(&window, &asked, &values);
        let levels = [("errors", 0.0), ("rate", 1.0)].map(|(name, value)| (name.to_string(), value));
        assert_eq!(minutes[0].levels, BTreeMap::from(levels));
        let own = |value| Counts { own: BTreeMap::from([("orders".to_string(), value)]), ..Counts::default() };
        assert_eq!((&minutes[0].green, &minutes[0].blue), (&own(2.0), &own(3.0)));
        assert_eq!(minutes[1], Minute { start: minutes[1].start, ..Minute::default() });
    }

    #[test]
    fn sides_are_kept_apart_and_groups_added_up() {
        let minutes = answered(
            &window(),
            &[
                ("RequestCount of targetgroup/b1/0123", 0, 100.0),
                ("RequestCount of targetgroup/b2/0123", 0, 50.0),
                ("HTTPCode_Target_4XX_Count of targetgroup/b2/0123", 0, 9.0),
                ("RequestCount of targetgroup/g/0123", 1, 7.0),
            ],
        );
        assert_eq!(minutes.len(), 2);
        let blue = Counts { requests: Some(150.0), client_errors: Some(9.0), ..Counts::default() };
        assert_eq!((&minutes[0].green, &minutes[0].blue), (&Counts::default(), &blue));
        assert_eq!(minutes[1].green, Counts { requests: Some(7.0), ..Counts::default() });
        assert_eq!(minutes[1].blue, Counts::default());
    }

    #[test]
    fn slow_requests_of_a_side_are_those_of_all_its_groups() {
        let ask = |statistic: &str, group: &str| {
            format!(
                "AWS/ApplicationELB TargetResponseTime {statistic} LoadBalancer=app/lb/4567 TargetGroup=targetgroup/{group}/0123"
            )
        };
        let samples = [ask("SampleCount", "b1"), ask("SampleCount", "b2")];
        let slow = [ask("TC(0.25:)", "b1"), ask("TC(0.25:)", "b2"), ask("TC(1.5:)", "b1")];
        let said = [(&samples[0], 90.0), (&samples[1], 10.0), (&slow[0], 4.5), (&slow[1], 1.0), (&slow[2], 1.0)];
        let said: Vec<(&str, i64, f64)> = said.iter().map(|(what, value)| (what.as_str(), 0, *value)).collect();
        let blue = answered(&window(), &said)[0].blue.clone();
        assert_eq!(blue, Counts { samples: Some(100.0), slow: [Some(5.5), None], ..Counts::default() });
    }

    #[test]
    fn a_group_without_a_load_balancer_cannot_be_measured() {
        let mut window = window();
        window.load_balancers.clear();
        let error = questions(&window).unwrap_err();
        assert_eq!(error.cause, crate::cloud::Cause::Refused);
    }
}
