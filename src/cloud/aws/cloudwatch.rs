//! Alarms and metrics: what CloudWatch says about both sides.
//!
//! Plain statistics only, one minute each; ratios, fills and verdicts are the gate's. A number that
//! CloudWatch did not report stays absent, because an absent error count beside present requests
//! means zero. That rule makes an *incomplete* answer dangerous: it would turn errors that could not
//! be read into none. So anything but a complete answer to every query is a failure.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch as sdk;
use aws_sdk_cloudwatch::types as cw;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;

use super::errors::{during, refused};
use crate::cloud::{Cause, CloudError, Counts, MetricWindow, Minute};
use crate::inventory::Alarm;

const GET_METRIC_DATA: &str = "cloudwatch:GetMetricData";
const NETWORK: &str = "AWS/NetworkELB";
/// Of one call of `GetMetricData`.
const MOST_QUERIES: usize = 500;
/// Names in one call of `DescribeAlarms`.
const MOST_NAMES: usize = 100;
const BAD: [&str; 3] = ["HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount", "TargetTLSNegotiationErrorCount"];

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

/// Every minute of the window, on both sides.
pub(super) async fn minutes(client: &sdk::Client, window: &MetricWindow) -> Result<Vec<Minute>, CloudError> {
    let asked = questions(window)?;
    if asked.is_empty() || window.from >= window.to {
        return Ok(tally(window, &asked, &BTreeMap::new()));
    }
    let queries: Vec<cw::MetricDataQuery> = asked.iter().enumerate().map(|(n, question)| question.query(n)).collect();
    let answers = answers(client, queries, window.from, window.to).await?;
    complete(&asked, &answers)?;
    Ok(tally(window, &asked, &answers))
}

/// What came back for these queries, over all pages, by their ids.
async fn answers(
    client: &sdk::Client,
    queries: Vec<cw::MetricDataQuery>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<BTreeMap<String, Answer>, CloudError> {
    let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
    let mut pages = client
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(sdk::primitives::DateTime::from_secs(from.timestamp()))
        .end_time(sdk::primitives::DateTime::from_secs(to.timestamp()))
        .scan_by(cw::ScanBy::TimestampAscending)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(during(GET_METRIC_DATA))?;
        for result in page.metric_data_results() {
            answers.entry(result.id().unwrap_or_default().to_string()).or_default().add(result);
        }
    }
    Ok(answers)
}

/// The most flows that were open on these groups together in a minute; `None` where one reports nothing.
pub(super) async fn active_flows(
    client: &sdk::Client,
    groups: &[String],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<f64>, CloudError> {
    let query = |(n, group): (usize, &String)| {
        let group = cw::Dimension::builder().name("TargetGroup").value(target_group_dimension(group)).build();
        let metric = cw::Metric::builder().namespace(NETWORK).metric_name("ActiveFlowCount").dimensions(group).build();
        let statistic = cw::MetricStat::builder().metric(metric).period(60).stat("Maximum").build();
        cw::MetricDataQuery::builder().id(id(n)).metric_stat(statistic).return_data(true).build()
    };
    let answers = answers(client, groups.iter().enumerate().map(query).collect(), from, to).await?;
    let mut by_minute: BTreeMap<i64, f64> = BTreeMap::new();
    for (n, group) in groups.iter().enumerate() {
        let answer = answered(&answers, &id(n), || format!("ActiveFlowCount of {}", target_group_dimension(group)))?;
        if answer.by_minute.is_empty() {
            return Ok(None);
        }
        answer.by_minute.iter().for_each(|(minute, flows)| *by_minute.entry(*minute).or_default() += flows);
    }
    Ok(by_minute.into_values().reduce(f64::max))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Green,
    Blue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Requests,
    Bad,
    Latency,
}

/// One metric of one target group.
#[derive(Debug, Clone, PartialEq)]
struct Question {
    side: Side,
    measure: Measure,
    metric: &'static str,
    statistic: String,
    /// The dimensions' values: tails of ARNs.
    load_balancer: String,
    target_group: String,
}

/// What came back for one question, over all pages.
#[derive(Debug, Default)]
struct Answer {
    by_minute: BTreeMap<i64, f64>,
    status: Option<cw::StatusCode>,
    said: Vec<String>,
}

impl Answer {
    fn add(&mut self, result: &cw::MetricDataResult) {
        for (at, value) in result.timestamps().iter().zip(result.values()) {
            self.by_minute.insert(at.secs() - at.secs().rem_euclid(60), *value);
        }
        // The last page decides: `PartialData` on an earlier one only says that there are more.
        self.status = result.status_code().cloned();
        self.said.extend(result.messages().iter().filter_map(|message| message.value().map(str::to_string)));
    }
}

impl Question {
    fn query(&self, n: usize) -> cw::MetricDataQuery {
        let dimension = |name: &str, value: &str| cw::Dimension::builder().name(name).value(value).build();
        let metric = cw::Metric::builder()
            .namespace("AWS/ApplicationELB")
            .metric_name(self.metric)
            .dimensions(dimension("LoadBalancer", &self.load_balancer))
            .dimensions(dimension("TargetGroup", &self.target_group))
            .build();
        // No unit: a wrong one gives no values, and none gives all.
        let statistic = cw::MetricStat::builder().metric(metric).period(60).stat(&self.statistic).build();
        cw::MetricDataQuery::builder().id(id(n)).metric_stat(statistic).return_data(true).build()
    }
}

fn id(n: usize) -> String {
    format!("q{n}")
}

fn questions(window: &MetricWindow) -> Result<Vec<Question>, CloudError> {
    let mut asked = Vec::new();
    for (side, groups) in [(Side::Green, &window.green), (Side::Blue, &window.blue)] {
        for group in groups {
            let load_balancer = window
                .load_balancers
                .get(group)
                .ok_or_else(|| refused(GET_METRIC_DATA, format!("{group} has no load balancer, and so no metrics")))?;
            let mut ask = |measure, metric, statistic: &str| {
                asked.push(Question {
                    side,
                    measure,
                    metric,
                    statistic: statistic.to_string(),
                    load_balancer: load_balancer_dimension(load_balancer),
                    target_group: target_group_dimension(group),
                });
            };
            ask(Measure::Requests, "RequestCount", "Sum");
            BAD.iter().for_each(|metric| ask(Measure::Bad, metric, "Sum"));
            if let Some(statistic) = &window.latency {
                ask(Measure::Latency, "TargetResponseTime", statistic);
            }
        }
    }
    if asked.len() > MOST_QUERIES {
        return Err(refused(
            GET_METRIC_DATA,
            format!("{} metrics at once; CloudWatch answers {MOST_QUERIES}", asked.len()),
        ));
    }
    Ok(asked)
}

/// `app/<name>/<id>`
fn load_balancer_dimension(arn: &str) -> String {
    arn.split_once(":loadbalancer/").map_or(arn, |(_, tail)| tail).to_string()
}

/// `targetgroup/<name>/<id>`
fn target_group_dimension(arn: &str) -> String {
    arn.rsplit(':').next().unwrap_or(arn).to_string()
}

fn complete(asked: &[Question], answers: &BTreeMap<String, Answer>) -> Result<(), CloudError> {
    for (n, question) in asked.iter().enumerate() {
        answered(answers, &id(n), || format!("{} of {}", question.metric, question.target_group))?;
    }
    Ok(())
}

/// The complete answer to one query, or why there is none.
fn answered<'a>(
    answers: &'a BTreeMap<String, Answer>,
    id: &str,
    what: impl Fn() -> String,
) -> Result<&'a Answer, CloudError> {
    let answer = answers.get(id);
    let status = answer.and_then(|answer| answer.status.as_ref());
    if let Some(answer) = answer.filter(|_| status == Some(&cw::StatusCode::Complete)) {
        return Ok(answer);
    }
    let said = answer.map(|answer| answer.said.join("; ")).filter(|said| !said.is_empty());
    let status = status.map_or("no result", cw::StatusCode::as_str);
    let cause = if status == "Forbidden" { Cause::Denied } else { Cause::Unknown };
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    let message = format!("{status} for {}{said}", what());
    Err(CloudError { operation: GET_METRIC_DATA.to_string(), cause, message })
}

fn tally(window: &MetricWindow, asked: &[Question], answers: &BTreeMap<String, Answer>) -> Vec<Minute> {
    let mut minutes = Vec::new();
    let mut start = window.from;
    while start < window.to {
        let counts = |side| counts(asked, answers, side, start);
        minutes.push(Minute { start, green: counts(Side::Green), blue: counts(Side::Blue) });
        start += TimeDelta::minutes(1);
    }
    minutes
}

fn counts(asked: &[Question], answers: &BTreeMap<String, Answer>, side: Side, start: DateTime<Utc>) -> Counts {
    let mut counts = Counts::default();
    let minute = start.timestamp() - start.timestamp().rem_euclid(60);
    for (n, question) in asked.iter().enumerate().filter(|(_, question)| question.side == side) {
        let Some(value) = answers.get(&id(n)).and_then(|answer| answer.by_minute.get(&minute)) else { continue };
        let (slot, worst) = match question.measure {
            Measure::Requests => (&mut counts.requests, false),
            Measure::Bad => (&mut counts.bad, false),
            Measure::Latency => (&mut counts.latency, true),
        };
        *slot = Some(match *slot {
            None => *value,
            // A number that is none must reach the gate, and `max` would swallow it.
            Some(so_far) if worst && !so_far.is_nan() && !value.is_nan() => so_far.max(*value),
            Some(so_far) => so_far + value,
        });
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> MetricWindow {
        let from = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
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
        }
    }

    fn answer(minute: i64, value: f64) -> Answer {
        Answer {
            by_minute: BTreeMap::from([(1_800_000_000 + 60 * minute, value)]),
            status: Some(cw::StatusCode::Complete),
            said: Vec::new(),
        }
    }

    #[test]
    fn dimensions_are_tails_of_arns() {
        let asked = questions(&window()).unwrap();
        assert_eq!(asked.len(), 15);
        assert_eq!(asked[0].load_balancer, "app/lb/4567");
        assert_eq!(asked[0].target_group, "targetgroup/g/0123");
        assert_eq!(asked[4].statistic, "p99");
    }

    #[test]
    fn numbers_are_added_and_absent_ones_stay_absent() {
        let window = window();
        let asked = questions(&window).unwrap();
        // Blue's two groups are questions 5..10 and 10..15.
        let answers = BTreeMap::from([
            (id(5), answer(0, 100.0)),
            (id(10), answer(0, 50.0)),
            (id(6), answer(0, 3.0)),
            (id(12), answer(0, 2.0)),
            (id(9), answer(0, 0.2)),
            (id(14), answer(0, 0.5)),
            (id(0), answer(1, 7.0)),
        ]);
        let minutes = tally(&window, &asked, &answers);
        assert_eq!(minutes.len(), 2);
        assert_eq!(minutes[0].blue, Counts { requests: Some(150.0), bad: Some(5.0), latency: Some(0.5) });
        assert_eq!(minutes[0].green, Counts::default());
        assert_eq!(minutes[1].green, Counts { requests: Some(7.0), bad: None, latency: None });
        assert_eq!(minutes[1].blue, Counts::default());
    }

    #[test]
    fn an_incomplete_answer_is_a_failure() {
        let window = window();
        let asked = questions(&window).unwrap();
        let mut answers: BTreeMap<String, Answer> = (0..asked.len()).map(|n| (id(n), answer(0, 1.0))).collect();
        assert!(complete(&asked, &answers).is_ok());
        for (status, cause) in [
            (cw::StatusCode::PartialData, Cause::Unknown),
            (cw::StatusCode::InternalError, Cause::Unknown),
            (cw::StatusCode::from("Forbidden"), Cause::Denied),
        ] {
            answers.entry(id(3)).and_modify(|answer| answer.status = Some(status));
            assert_eq!(complete(&asked, &answers).unwrap_err().cause, cause);
        }
        answers.remove(&id(3));
        assert!(complete(&asked, &answers).unwrap_err().message.contains("no result"));
    }

    #[test]
    fn a_group_without_a_load_balancer_cannot_be_measured() {
        let mut window = window();
        window.load_balancers.clear();
        assert_eq!(questions(&window).unwrap_err().cause, Cause::Refused);
    }
}
