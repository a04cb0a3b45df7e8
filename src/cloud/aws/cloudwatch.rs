//! Alarms and metrics: what CloudWatch says about both sides.
//!
//! Plain statistics only, one minute each; ratios, fills and verdicts are the gate's. A number that
//! CloudWatch did not report stays absent, because an absent error count beside present requests
//! means zero. That rule makes an *incomplete* answer dangerous: it would turn errors that could not
//! be read into none. So anything but a complete answer to every query is a failure.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch as sdk;
use aws_sdk_cloudwatch::types as cw;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;

use super::errors::{during, refused};
use crate::cloud::{Cause, CloudError, Counted, Counts, LevelSource, MetricWindow, Minute};
use crate::inventory::Alarm;

const GET_METRIC_DATA: &str = "cloudwatch:GetMetricData";
const NETWORK: &str = "AWS/NetworkELB";
/// Of one call of `GetMetricData`.
const MOST_QUERIES: usize = 500;
/// Names in one call of `DescribeAlarms`.
const MOST_NAMES: usize = 100;
/// Begins the ids of questions that the user did not name: a playbook cannot use it.
const OWN_ID: &str = "migrate_";
/// What a Network Load Balancer counts of flows that go wrong; not by target group.
const BROKEN: [&str; 3] = ["TCP_Target_Reset_Count", "TCP_ELB_Reset_Count", "PortAllocationErrorCount"];
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
    let queries: Vec<cw::MetricDataQuery> = asked.iter().map(Question::query).collect();
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

/// What an answer is added to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Measure {
    Requests(Side),
    Bad(Side),
    Latency(Side),
    /// The user's metric of this name.
    Level(String),
}

/// One metric, or one expression over others.
#[derive(Debug, Clone, PartialEq)]
struct Question {
    id: String,
    measure: Measure,
    source: LevelSource,
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
    fn new(measure: Measure, namespace: &str, metric: &str, statistic: &str, of: &[(&str, String)]) -> Question {
        let source = LevelSource::Metric {
            namespace: namespace.to_string(),
            metric: metric.to_string(),
            dimensions: of.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect(),
            statistic: statistic.to_string(),
        };
        Question { id: String::new(), measure, source }
    }

    fn query(&self) -> cw::MetricDataQuery {
        let query = cw::MetricDataQuery::builder().id(&self.id).return_data(true);
        match &self.source {
            LevelSource::Expression(expression) => query.expression(expression).period(60).build(),
            LevelSource::Metric { namespace, metric, dimensions, statistic } => {
                let dimension =
                    |(name, value): (&String, &String)| cw::Dimension::builder().name(name).value(value).build();
                let dimensions: Vec<cw::Dimension> = dimensions.iter().map(dimension).collect();
                let metric = cw::Metric::builder()
                    .namespace(namespace)
                    .metric_name(metric)
                    .set_dimensions(Some(dimensions).filter(|all| !all.is_empty()))
                    .build();
                // No unit: a wrong one gives no values, and none gives all.
                let statistic = cw::MetricStat::builder().metric(metric).period(60).stat(statistic).build();
                query.metric_stat(statistic).build()
            }
        }
    }

    /// What was asked for, for people.
    fn words(&self) -> String {
        match (&self.measure, &self.source) {
            (Measure::Level(name), _) => format!("the metric {name}"),
            (_, LevelSource::Metric { metric, dimensions, .. }) => {
                let of = dimensions.get("TargetGroup").or_else(|| dimensions.get("LoadBalancer"));
                format!("{metric} of {}", of.map_or("", String::as_str))
            }
            (_, LevelSource::Expression(expression)) => expression.clone(),
        }
    }
}

fn id(n: usize) -> String {
    format!("{OWN_ID}{n}")
}

fn questions(window: &MetricWindow) -> Result<Vec<Question>, CloudError> {
    let mut asked = Vec::new();
    for (side, groups) in [(Side::Green, &window.green), (Side::Blue, &window.blue)] {
        match window.counted {
            Counted::Requests => asked.extend(requests(window, side, groups)?),
            Counted::Flows => asked.extend(flows(window, side, groups)?),
            Counted::Nothing => {}
        }
    }
    asked.extend(window.levels.iter().map(|level| Question {
        id: level.id.clone().unwrap_or_default(),
        measure: Measure::Level(level.name.clone()),
        source: level.source.clone(),
    }));
    for (n, question) in asked.iter_mut().enumerate().filter(|(_, question)| question.id.is_empty()) {
        question.id = id(n);
    }
    if asked.len() > MOST_QUERIES {
        return Err(refused(
            GET_METRIC_DATA,
            format!("{} metrics at once; CloudWatch answers {MOST_QUERIES}", asked.len()),
        ));
    }
    Ok(asked)
}

/// What an Application Load Balancer counts, by target group.
fn requests(window: &MetricWindow, side: Side, groups: &[String]) -> Result<Vec<Question>, CloudError> {
    let mut asked = Vec::new();
    for group in groups {
        let balancer = load_balancer_dimension(balancer_of(window, group)?);
        let dimensions = [("LoadBalancer", balancer), ("TargetGroup", target_group_dimension(group))];
        let mut ask = |measure, metric: &str, statistic: &str| {
            asked.push(Question::new(measure, "AWS/ApplicationELB", metric, statistic, &dimensions));
        };
        ask(Measure::Requests(side), "RequestCount", "Sum");
        BAD.iter().for_each(|metric| ask(Measure::Bad(side), metric, "Sum"));
        if let Some(statistic) = &window.latency {
            ask(Measure::Latency(side), "TargetResponseTime", statistic);
        }
    }
    Ok(asked)
}

/// What a Network Load Balancer counts: new flows by target group, what goes wrong only as a whole.
/// Where both sides are behind one, both are given that, and whose it was the gate must know.
fn flows(window: &MetricWindow, side: Side, groups: &[String]) -> Result<Vec<Question>, CloudError> {
    let mut asked = Vec::new();
    let mut balancers = BTreeSet::new();
    for group in groups {
        balancers.insert(balancer_of(window, group)?);
        let dimensions = [("TargetGroup", target_group_dimension(group))];
        asked.push(Question::new(Measure::Requests(side), NETWORK, "NewFlowCount", "Sum", &dimensions));
    }
    for balancer in balancers {
        let dimensions = [("LoadBalancer", load_balancer_dimension(balancer))];
        let ask = |metric: &&str| Question::new(Measure::Bad(side), NETWORK, metric, "Sum", &dimensions);
        asked.extend(BROKEN.iter().map(ask));
    }
    Ok(asked)
}

fn balancer_of<'a>(window: &'a MetricWindow, group: &str) -> Result<&'a String, CloudError> {
    let without = || refused(GET_METRIC_DATA, format!("{group} has no load balancer, and so no metrics"));
    window.load_balancers.get(group).ok_or_else(without)
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
    for question in asked {
        answered(answers, &question.id, || question.words())?;
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
        let levels = levels(asked, answers, start);
        let counts = |side| counts(asked, answers, side, start);
        minutes.push(Minute { start, green: counts(Side::Green), blue: counts(Side::Blue), levels });
        start += TimeDelta::minutes(1);
    }
    minutes
}

/// What came back for a question in a minute.
fn value(question: &Question, answers: &BTreeMap<String, Answer>, start: DateTime<Utc>) -> Option<f64> {
    let minute = start.timestamp() - start.timestamp().rem_euclid(60);
    answers.get(&question.id)?.by_minute.get(&minute).copied()
}

fn levels(asked: &[Question], answers: &BTreeMap<String, Answer>, start: DateTime<Utc>) -> BTreeMap<String, f64> {
    let level = |question: &Question| match &question.measure {
        Measure::Level(name) => Some((name.clone(), value(question, answers, start)?)),
        _ => None,
    };
    asked.iter().filter_map(level).collect()
}

fn counts(asked: &[Question], answers: &BTreeMap<String, Answer>, wanted: Side, start: DateTime<Utc>) -> Counts {
    let mut counts = Counts::default();
    for question in asked {
        let (side, slot, worst) = match &question.measure {
            Measure::Requests(side) => (side, &mut counts.requests, false),
            Measure::Bad(side) => (side, &mut counts.bad, false),
            Measure::Latency(side) => (side, &mut counts.latency, true),
            Measure::Level(_) => continue,
        };
        let Some(value) = value(question, answers, start).filter(|_| *side == wanted) else { continue };
        *slot = Some(match *slot {
            None => value,
            // A number that is none must reach the gate, and `max` would swallow it.
            Some(so_far) if worst && !so_far.is_nan() && !value.is_nan() => so_far.max(value),
            Some(so_far) => so_far + value,
        });
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::LevelQuery;
    use crate::cloud::Whose;

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
            ..MetricWindow::default()
        }
    }

    fn shown(question: &Question) -> String {
        let LevelSource::Metric { namespace, metric, dimensions, statistic } = &question.source else {
            return question.words();
        };
        let dimensions: Vec<String> = dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{namespace} {metric} {statistic} {}", dimensions.join(" "))
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
        let dimensions = "LoadBalancer=app/lb/4567 TargetGroup=targetgroup/g/0123";
        assert_eq!(shown(&asked[0]), format!("AWS/ApplicationELB RequestCount Sum {dimensions}"));
        assert_eq!(shown(&asked[4]), format!("AWS/ApplicationELB TargetResponseTime p99 {dimensions}"));
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

    #[test]
    fn metrics_of_the_user_are_in_the_same_question() {
        let metric = LevelQuery {
            name: "errors".to_string(),
            id: Some("e1".to_string()),
            source: LevelSource::Metric {
                namespace: "Shop".to_string(),
                metric: "Errors".to_string(),
                dimensions: BTreeMap::new(),
                statistic: "Sum".to_string(),
            },
            whose: Whose::Everybody,
        };
        let expression = "e1 / 60".to_string();
        let math = LevelQuery {
            name: "rate".to_string(),
            id: None,
            source: LevelSource::Expression(expression.clone()),
            whose: Whose::Everybody,
        };
        let window = MetricWindow { counted: Counted::Nothing, levels: vec![metric, math], ..window() };
        let asked = questions(&window).unwrap();
        let ids: Vec<&str> = asked.iter().map(|q| q.id.as_str()).collect();
        assert_eq!(ids, ["e1", "migrate_1"]);
        let query = asked[1].query();
        assert_eq!(
            (query.expression(), query.metric_stat(), query.period()),
            (Some(expression.as_str()), None, Some(60))
        );
        let answers = BTreeMap::from([("e1".to_string(), answer(0, 120.0)), (id(1), answer(1, 2.0))]);
        let minutes = tally(&window, &asked, &answers);
        assert_eq!(minutes[0].levels, BTreeMap::from([("errors".to_string(), 120.0)]));
        assert_eq!(minutes[1].levels, BTreeMap::from([("rate".to_string(), 2.0)]));
        assert!(complete(&asked, &BTreeMap::new()).unwrap_err().message.contains("the metric errors"));
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
        assert_eq!(
            minutes[0].blue,
            Counts { requests: Some(150.0), bad: Some(5.0), latency: Some(0.5), ..Counts::default() }
        );
        assert_eq!(minutes[0].green, Counts::default());
        assert_eq!(minutes[1].green, Counts { requests: Some(7.0), ..Counts::default() });
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
