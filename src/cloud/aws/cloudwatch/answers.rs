//! `GetMetricData`: questions, in as few calls as CloudWatch allows, and their complete answers.
//!
//! An absent error count beside present requests means zero, so an *incomplete* answer would turn
//! errors that could not be read into none: anything but a complete answer to every question is a
//! failure. Calls that are needed beside each other are made at once; what a question is for, and what
//! an absent number means, is not known here.

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_cloudwatch as sdk;
use aws_sdk_cloudwatch::types as cw;
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;

use super::super::errors::{during, refused};
use super::super::patience::READ_ATTEMPTS;
use crate::cloud::{Cause, CloudError, LevelSource};

pub(super) const GET_METRIC_DATA: &str = "cloudwatch:GetMetricData";
/// Seconds of a minute, the period of most questions.
pub(super) const MINUTE: i32 = 60;
/// Of one call (`MetricDataQueries` in the API reference).
const MOST_QUERIES: usize = 500;
/// Data points in one answer, before it is given in pages, one behind the other.
const MOST_POINTS: usize = 100_800;
/// Begins the ids of questions that the user did not name: a playbook cannot use it.
const OWN_ID: &str = "migrate_";

/// One metric, or one expression over others, and what its answer is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question<K> {
    pub of: K,
    /// The name by which expressions refer to it.
    pub id: Option<String>,
    pub source: LevelSource,
    /// Seconds; a multiple of 60.
    pub period: i32,
    /// What is asked for, for people.
    pub what: String,
}

/// What CloudWatch reported for one question: a number by the second at which its period begins, cut to
/// the minute.
pub(super) type Values = BTreeMap<i64, f64>;

/// From the start of the first minute to the end of the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl<K> Question<K> {
    /// The same question for something else.
    pub(super) fn under<L>(self, of: impl FnOnce(K) -> L) -> Question<L> {
        let Question { of: known, id, source, period, what } = self;
        Question { of: of(known), id, source, period, what }
    }

    fn id(&self, n: usize) -> String {
        self.id.clone().unwrap_or_else(|| format!("{OWN_ID}{n}"))
    }

    fn query(&self, n: usize) -> cw::MetricDataQuery {
        let query = cw::MetricDataQuery::builder().id(self.id(n)).return_data(true);
        match &self.source {
            LevelSource::Expression(expression) => query.expression(expression).period(self.period).build(),
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
                let statistic = cw::MetricStat::builder().metric(metric).period(self.period).stat(statistic).build();
                query.metric_stat(statistic).build()
            }
        }
    }
}

impl Span {
    /// Full minutes.
    pub(super) fn minutes(self) -> usize {
        usize::try_from((self.to - self.from).num_minutes()).unwrap_or(0)
    }
}

/// The values of every question, in their order. The first `together` questions refer to each other
/// and stay in one call. Without questions or minutes nothing is asked.
pub(super) async fn ask<K>(
    client: &sdk::Client,
    questions: &[Question<K>],
    together: usize,
    span: Span,
) -> Result<Vec<Values>, CloudError> {
    if span.minutes() == 0 {
        return Ok(vec![Values::new(); questions.len()]);
    }
    let parts = calls(questions.len(), together, span.minutes())?;
    let called = parts.iter().map(|part| {
        let queries = part.clone().map(|n| questions[n].query(n)).collect();
        call(client, queries, span)
    });
    let answers: BTreeMap<String, Answer> = try_join_all(called).await?.into_iter().flatten().collect();
    complete(questions, answers)
}

/// Which questions go into which call: those of the first call stay together, and no answer has to be
/// read page by page that can be read side by side.
fn calls(questions: usize, together: usize, minutes: usize) -> Result<Vec<Range<usize>>, CloudError> {
    if together > MOST_QUERIES {
        let message = format!("{together} metrics that refer to each other; CloudWatch answers {MOST_QUERIES} at once");
        return Err(refused(GET_METRIC_DATA, message));
    }
    let most = (MOST_POINTS / minutes.max(1)).clamp(1, MOST_QUERIES);
    let first = most.max(together).min(questions);
    let rest = (first..questions).step_by(most).map(|start| start..questions.min(start + most));
    Ok(std::iter::once(0..first).chain(rest).filter(|part| !part.is_empty()).collect())
}

/// What came back for one question, over all pages.
#[derive(Debug, Default)]
struct Answer {
    values: Values,
    status: Option<cw::StatusCode>,
    said: Vec<String>,
}

impl Answer {
    fn add(&mut self, result: &cw::MetricDataResult) {
        for (at, value) in result.timestamps().iter().zip(result.values()) {
            self.values.insert(at.secs() - at.secs().rem_euclid(60), *value);
        }
        // The last page decides: `PartialData` on an earlier one only says that there are more.
        self.status = result.status_code().cloned();
        self.said.extend(result.messages().iter().filter_map(|message| message.value().map(str::to_string)));
    }
}

/// What came back for these queries, over all pages, by their ids.
async fn call(
    client: &sdk::Client,
    queries: Vec<cw::MetricDataQuery>,
    span: Span,
) -> Result<BTreeMap<String, Answer>, CloudError> {
    let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
    let mut pages = client
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(sdk::primitives::DateTime::from_secs(span.from.timestamp()))
        .end_time(sdk::primitives::DateTime::from_secs(span.to.timestamp()))
        .scan_by(cw::ScanBy::TimestampAscending)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(during(GET_METRIC_DATA)).map_err(exhausted)?;
        for result in page.metric_data_results() {
            answers.entry(result.id().unwrap_or_default().to_string()).or_default().add(result);
        }
    }
    Ok(answers)
}

/// A throttled call says that it was tried again: the SDK does that for the codes of throttling.
fn exhausted(error: CloudError) -> CloudError {
    if error.cause != Cause::Throttled {
        return error;
    }
    let message = format!("CloudWatch is asked too often, {READ_ATTEMPTS} attempts were refused: {}", error.message);
    CloudError { message, ..error }
}

fn complete<K>(questions: &[Question<K>], mut answers: BTreeMap<String, Answer>) -> Result<Vec<Values>, CloudError> {
    let answered = |(n, question): (usize, &Question<K>)| complete_one(question, answers.remove(&question.id(n)));
    questions.iter().enumerate().map(answered).collect()
}

/// The complete answer to one question, or why there is none.
fn complete_one<K>(question: &Question<K>, answer: Option<Answer>) -> Result<Values, CloudError> {
    let (status, said) = match answer {
        Some(Answer { values, status: Some(cw::StatusCode::Complete), .. }) => return Ok(values),
        Some(Answer { status, said, .. }) => (status, said),
        None => (None, Vec::new()),
    };
    let status = status.as_ref().map_or("no result", cw::StatusCode::as_str);
    let cause = if status == "Forbidden" { Cause::Denied } else { Cause::Unknown };
    let said = if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) };
    let message = format!("the answer is not complete, and is not used: {status} for {}{said}", question.what);
    Err(CloudError { operation: GET_METRIC_DATA.to_string(), cause, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str) -> Question<()> {
        let source = LevelSource::Metric {
            namespace: "Shop".to_string(),
            metric: name.to_string(),
            dimensions: BTreeMap::new(),
            statistic: "Sum".to_string(),
        };
        Question { of: (), id: None, source, period: MINUTE, what: name.to_string() }
    }

    fn answer(status: cw::StatusCode) -> Answer {
        Answer { values: Values::from([(60, 1.0)]), status: Some(status), said: Vec::new() }
    }

    #[test]
    fn calls_hold_what_cloudwatch_takes() {
        let sizes = |questions, together, minutes| {
            let parts = calls(questions, together, minutes).unwrap();
            let joined: Vec<usize> = parts.iter().cloned().flatten().collect();
            assert_eq!(joined, (0..questions).collect::<Vec<_>>(), "every question once, in order");
            parts.into_iter().map(|part| part.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0, 0, 5), [0; 0], "nothing to ask, no call");
        assert_eq!(sizes(500, 0, 5), [500]);
        assert_eq!(sizes(501, 150, 5), [500, 1]);
        assert_eq!(sizes(1201, 150, 5), [500, 500, 201]);
        assert_eq!(sizes(150, 0, 1440), [70, 70, 10], "a day of 70 questions is what one answer holds");
        assert_eq!(sizes(150, 100, 1440), [100, 50], "those that refer to each other stay together");
        assert_eq!(sizes(600, 500, 5), [500, 100]);
        let refused = calls(501, 501, 5).unwrap_err();
        assert_eq!(refused.cause, Cause::Refused);
        assert!(refused.message.contains("501 metrics that refer to each other"), "{refused}");
    }

    #[test]
    fn an_incomplete_answer_is_a_failure() {
        let questions = [question("A"), question("B")];
        let answers = |last| BTreeMap::from([("migrate_0".to_string(), answer(cw::StatusCode::Complete)), last]);
        let second = |status| answers(("migrate_1".to_string(), answer(status)));
        assert_eq!(complete(&questions, second(cw::StatusCode::Complete)).unwrap().len(), 2);
        for (status, cause) in [
            (cw::StatusCode::PartialData, Cause::Unknown),
            (cw::StatusCode::InternalError, Cause::Unknown),
            (cw::StatusCode::from("Forbidden"), Cause::Denied),
        ] {
            let error = complete(&questions, second(status.clone())).unwrap_err();
            assert_eq!(error.cause, cause);
            assert!(error.message.contains(&format!("{status} for B")), "{error}");
        }
        let error = complete(&questions, answers(("other".to_string(), answer(cw::StatusCode::Complete)))).unwrap_err();
        assert!(error.message.contains("no result for B"), "{error}");
    }

    /// `PartialData` on an earlier page says that there are more; on the last, that some are missing.
    #[test]
    fn the_last_page_decides() {
        let page = |status, at, value: f64| {
            let at = sdk::primitives::DateTime::from_secs(at);
            cw::MetricDataResult::builder().id("migrate_0").status_code(status).timestamps(at).values(value).build()
        };
        let read = |pages: [cw::MetricDataResult; 2]| {
            let mut answer = Answer::default();
            pages.iter().for_each(|page| answer.add(page));
            complete_one(&question("A"), Some(answer))
        };
        let (partial, whole) = (cw::StatusCode::PartialData, cw::StatusCode::Complete);
        let values = read([page(partial.clone(), 60, 1.0), page(whole.clone(), 121, 2.0)]).unwrap();
        assert_eq!(values, Values::from([(60, 1.0), (120, 2.0)]));
        assert!(read([page(whole, 60, 1.0), page(partial, 120, 2.0)]).is_err());
    }

    #[test]
    fn an_exhausted_throttle_says_so() {
        let throttled = |cause| CloudError {
            operation: GET_METRIC_DATA.to_string(),
            cause,
            message: "ThrottlingException: Rate exceeded".to_string(),
        };
        let said = exhausted(throttled(Cause::Throttled)).to_string();
        assert!(said.contains("asked too often, 3 attempts were refused: ThrottlingException"), "{said}");
        assert_eq!(exhausted(throttled(Cause::Unknown)), throttled(Cause::Unknown));
    }

    #[test]
    fn an_expression_has_no_statistic() {
        let source = LevelSource::Expression("e1 / 60".to_string());
        let query = Question { source, ..question("rate") }.query(7);
        assert_eq!((query.id(), query.expression(), query.period()), (Some("migrate_7"), Some("e1 / 60"), Some(60)));
        assert_eq!(query.metric_stat(), None);
    }
}
