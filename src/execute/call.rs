//! Calls hooks and sends notices, and records what came of each.
//!
//! A call is made first and recorded after it: a process that dies between the two calls once more,
//! under the same id. A failure here is never a failure of the loop.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Run;
use super::owed::{Owed, hooks};
use crate::errand::{Command, Ending, Request, Response, Undone};
use crate::journal::Event;
use crate::journal::calls::{Answer, Call, Moment};
use crate::journal::store::JournalError;
use crate::playbook::{CommandHook, Hook, WebhookHook, site};

/// The longest subject of an SNS message, in ASCII characters (SNS API reference, `Publish`).
const SUBJECT_MAX: usize = 100;
/// How long the receiver of a notice may take.
const NOTICE_SECONDS: u64 = 5;
/// The longest reason that is kept.
const REASON_MAX: usize = 600;

impl Run<'_> {
    /// Makes one call that is due.
    pub(super) fn call(&mut self, owed: &Owed) -> Result<(), JournalError> {
        let header = &self.progress.header;
        let id = format!("{}-{}-{}-{}", header.id, owed.moment.name(), owed.occasion, owed.index + 1);
        let (what, outcome) = match owed.moment {
            Moment::Notice => self.tell(owed, &id),
            _ => self.hook(owed, &id),
        };
        // Unrecorded, it is due again: the next process makes it.
        let Some(outcome) = outcome else { return Ok(()) };
        let Owed { moment, stage, occasion, index } = *owed;
        self.append(Event::Called(Box::new(Call { id, moment, stage, occasion, index, what, outcome })))
    }

    /// Calls a hook; no answer where the process was asked to stop meanwhile.
    fn hook(&mut self, owed: &Owed, id: &str) -> (String, Option<Answer>) {
        let playbook = &self.progress.header.plan.playbook;
        let Some(hook) = hooks(playbook, owed.moment, owed.stage).get(owed.index).copied().cloned() else {
            return (String::new(), Some(Answer::Skipped { reason: "the playbook has no such hook".to_owned() }));
        };
        let what = hook.to_string();
        if self.leaving.is_some() {
            return (what, Some(Answer::Skipped { reason: Undone::Stopped.to_string() }));
        }
        let body = self.about(owed, id).to_string();
        let timeout = match &hook {
            Hook::Command(command) => command.timeout,
            Hook::Webhook(webhook) => webhook.timeout,
        };
        let now = self.clock.now();
        let until = chrono::TimeDelta::from_std(timeout.0).map_or(now, |t| now + t);
        let said = format!("the hook {} {what}, at most {timeout}", owed.moment.name());
        self.observer.waiting(&self.progress, &said, now, until);
        let answer = match &hook {
            Hook::Command(command) => self.run_command(owed, id, command, body),
            Hook::Webhook(webhook) => self.post(webhook, body),
        };
        (what, answer)
    }

    fn run_command(&self, owed: &Owed, id: &str, hook: &CommandHook, input: String) -> Option<Answer> {
        let environment = BTreeMap::from([
            ("MIGRATE_RUN".to_owned(), self.progress.header.run.clone()),
            ("MIGRATE_HOOK".to_owned(), owed.moment.name().to_owned()),
            ("MIGRATE_STAGE".to_owned(), owed.stage.to_string()),
            ("MIGRATE_CALL".to_owned(), id.to_owned()),
        ]);
        let label = owed.moment.name().to_owned();
        let command = Command { words: hook.run.clone(), environment, input, timeout: hook.timeout.0, label };
        let shown = hook.run.join(" ");
        match self.errands.run(&command) {
            Ending::Exited { code: 0, .. } => Some(Answer::Done),
            Ending::Exited { code, last } => {
                Some(Answer::Failed { reason: with_last(format!("`{shown}` ended with exit code {code}"), &last) })
            }
            Ending::Undone { why: Undone::Stopped, .. } => None,
            Ending::Undone { why: why @ Undone::Rehearsed(_), .. } => Some(Answer::Skipped { reason: why.to_string() }),
            Ending::Undone { why: Undone::Failed(why), last } => {
                Some(Answer::Failed { reason: with_last(format!("`{shown}`: {why}"), &last) })
            }
        }
    }

    fn post(&self, hook: &WebhookHook, body: String) -> Option<Answer> {
        let request = Request {
            url: hook.url.clone(),
            headers: hook.headers.clone(),
            body: Some(body),
            timeout: hook.timeout.0,
            connect_to: None,
            ipv6: false,
            insecure: false,
        };
        answered(&hook.url, self.errands.send(&request))
    }

    /// Tells one of those who are to be told.
    fn tell(&self, owed: &Owed, id: &str) -> (String, Option<Answer>) {
        let notify = &self.progress.header.plan.playbook.notify;
        let topic = notify.sns.get(owed.index);
        let webhook = owed.index.checked_sub(notify.sns.len()).and_then(|index| notify.webhook.get(index));
        let what = topic.cloned().or(webhook.map(|url| site(url))).unwrap_or_default();
        if self.leaving.is_some() {
            return (what, Some(Answer::Skipped { reason: Undone::Stopped.to_string() }));
        }
        let headline = self.progress.calls.news.iter().find(|n| n.seq == owed.occasion);
        let headline = headline.map_or("", |n| n.headline.as_str());
        let about = self.about(owed, id);
        let message = message(headline, &about);
        if let Some(topic) = topic {
            let subject = subject(&self.progress.header.run, headline);
            let answer = match self.cloud.publish(topic, &subject, &message) {
                Ok(()) => Answer::Done,
                Err(error) => Answer::Failed { reason: error.to_string() },
            };
            return (what, Some(answer));
        }
        let Some(url) = webhook else { return (what, Some(Answer::Done)) };
        let mut body = about;
        body["text"] = json!(message);
        let request = Request {
            url: url.clone(),
            headers: BTreeMap::new(),
            body: Some(body.to_string()),
            timeout: std::time::Duration::from_secs(NOTICE_SECONDS),
            connect_to: None,
            ipv6: false,
            insecure: false,
        };
        let answer = answered(url, self.errands.send(&request));
        (what, answer)
    }

    /// The run as one object, and what the call is about.
    fn about(&self, owed: &Owed, id: &str) -> Value {
        let mut about = (self.status)(&self.progress);
        about["hook"] = json!(owed.moment.name());
        about["hook_stage"] = json!(owed.stage);
        about["share"] = json!(self.progress.header.plan.share(owed.stage).percent());
        about["id"] = json!(id);
        about
    }
}

/// What the answer to a POST comes to.
fn answered(url: &str, answer: Result<Response, Undone>) -> Option<Answer> {
    let to = site(url);
    match answer {
        Ok(response) if (200..300).contains(&response.status) => Some(Answer::Done),
        Ok(response) => {
            let line = response.first_line();
            let said = if line.is_empty() { String::new() } else { format!(": {line}") };
            Some(Answer::Failed { reason: format!("POST {to} was answered {}{said}", response.status) })
        }
        Err(Undone::Stopped) => None,
        Err(why @ Undone::Rehearsed(_)) => Some(Answer::Skipped { reason: why.to_string() }),
        Err(Undone::Failed(why)) => Some(Answer::Failed { reason: format!("POST {to}: {why}") }),
    }
}

fn with_last(text: String, last: &[String]) -> String {
    let text = if last.is_empty() { text } else { format!("{text}: {}", last.join(" / ")) };
    text.chars().take(REASON_MAX).collect()
}

/// At most 100 printable ASCII characters.
fn subject(run: &str, headline: &str) -> String {
    let text = format!("migrate {run}: {headline}");
    let ascii = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    let all: String = ascii.collect();
    if all.len() <= SUBJECT_MAX {
        return all;
    }
    format!("{}...", all.chars().take(SUBJECT_MAX - 3).collect::<String>())
}

/// The headline, how the run stands, and the next command.
fn message(headline: &str, about: &Value) -> String {
    let word = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
    let sandbox = about["sandbox"].as_str().map_or_else(String::new, |s| format!(" on the sandbox ({s})"));
    let mut lines = vec![format!("{}{sandbox}: {headline}", word("run"))];
    let reason = word("reason");
    if !reason.is_empty() && !headline.contains(&reason) {
        lines.push(reason);
    }
    lines.push(format!(
        "{}, stage {} of {}, green {}%",
        word("state"),
        about["stage"],
        about["stages"],
        about["green_share"]
    ));
    let next = word("next");
    if !next.is_empty() {
        lines.push(format!("next: {next}"));
    }
    let by_hand = about["left_to_do"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.extend(by_hand.map(|command| format!("by hand: {command}")));
    lines.join("\n")
}
