//! A plan for people: the operations in order, what a clone carries and drops, the schedule, the way back.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::outlook;
use super::way::{way_back, writes};
use crate::execute::owed::hooks;
use crate::finding::Finding;
use crate::journal::calls::Moment;
use crate::operation::{ListenerCopy, Operation};
use crate::plan::{Plan, Planned};
use crate::playbook::{AfterRollback, Hook, OnFailure, Period, site};

/// The whole plan as text.
pub fn text(plan: &Plan, begins: DateTime<Utc>) -> String {
    let mut out = String::new();
    let blue = &plan.inventory.service;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "Migration of {} in {} (account {}, {}) {}\n",
        blue.name,
        last(&blue.cluster),
        plan.inventory.account,
        plan.inventory.region,
        if plan.playbook.shift.updates_in_place() {
            "in place".to_owned()
        } else {
            format!("to {}", plan.green_name())
        }
    );
    section(&mut out, "`migrate start` prepares, and moves no traffic", &plan.prepare);
    clone_lines(&mut out, plan);
    stages(&mut out, plan, begins);
    outlook::section(&mut out, &plan.outlook(), &plan.playbook);
    outside(&mut out, plan);
    let _ = writeln!(out, "\n`migrate rollback`, at any time before `finish`");
    for line in way_back(plan) {
        let _ = writeln!(out, "  {line}");
    }
    let _ = writeln!(out, "  {}", after_rollback(plan));
    let _ =
        writeln!(out, "\n`migrate finish`, {} after the last stage at the earliest", plan.playbook.finish.keep_blue);
    operations(&mut out, &plan.finish);
    savings(&mut out, plan);
    out
}

/// What can be saved afterwards, for `plan` and for the end of `finish`.
pub fn savings(out: &mut String, plan: &Plan) {
    let savings = plan.savings();
    if savings.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nWhat can be saved then; nothing of it is done by itself");
    for saving in savings {
        let _ = writeln!(out, "  {}\n      provided that {}\n      {}", saving.what, saving.provided, saving.command);
    }
}

fn after_rollback(plan: &Plan) -> &'static str {
    match (plan.playbook.rollback.green, plan.playbook.shift.updates_in_place()) {
        (AfterRollback::Keep, true) => "what was created is kept unused; `--remove-green` removes it",
        (AfterRollback::Keep, false) => "green is kept without traffic; `--remove-green` removes what was created",
        (AfterRollback::Remove, true) => "what was created is removed",
        (AfterRollback::Remove, false) => "green is removed with everything that was created",
    }
}

fn section(out: &mut String, title: &str, list: &[Planned]) {
    let _ = writeln!(out, "{title}");
    operations(out, list);
}

fn operations(out: &mut String, list: &[Planned]) {
    for (index, planned) in list.iter().enumerate() {
        let _ = writeln!(out, "  {:>2}. {}", index + 1, planned.operation.title());
        let effect = planned.operation.effect();
        if !effect.is_empty() {
            let _ = writeln!(out, "      noticed: {effect}");
        }
        for detail in details(&planned.operation) {
            let _ = writeln!(out, "      {detail}");
        }
    }
}

/// What an operation changes, beyond its title.
fn details(operation: &Operation) -> Vec<String> {
    let listed =
        |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ");
    match operation {
        Operation::CreateTargetGroup(new) => vec![format!("like {}; tags {}", last(&new.from), listed(&new.tags))],
        Operation::SetAttributes { attributes, .. } => attributes.iter().map(|(k, v)| format!("{k} = {v}")).collect(),
        Operation::CreateLoadBalancer(new) => vec![
            format!("like {}; tags {}", last(&new.from), listed(&new.tags)),
            "carried: scheme, type, subnets, security groups, and all that the next steps name".to_owned(),
            "not carried: its addresses and name, reserved capacity, and what refers to it from outside, such as \
             endpoint services, accelerators and distributions: all that goes on leading to blue"
                .to_owned(),
            "not carried before `migrate finish`: protection from deletion, which would keep a rollback from \
             removing it"
                .to_owned(),
        ],
        Operation::SetLoadBalancerAttributes { attributes } => {
            attributes.iter().map(|(k, v)| format!("{k} = {v}")).collect()
        }
        Operation::CreateListeners(_) => {
            vec![
                "carried: TLS policy, default certificate, ALPN, mutual TLS, default actions; green in blue's place"
                    .to_owned(),
            ]
        }
        Operation::ConfigureListeners(copy) => copy.listeners.iter().flat_map(listener_lines).collect(),
        Operation::CreateRules { rules } => {
            let priorities: Vec<String> = rules.iter().map(|r| r.priority.to_string()).collect();
            vec![format!("with conditions, transforms and priorities: {}", priorities.join(", "))]
        }
        Operation::AssociateWebAcl { web_acl } => vec![web_acl.clone()],
        Operation::RegisterTaskDefinition(new) => {
            let images = new.images.iter().map(|(c, i)| format!("image of {c}: {i}"));
            images.chain(new.environment.iter().map(|(k, v)| format!("environment {k} = {v}"))).collect()
        }
        Operation::CreateService(new) => vec![
            format!("subnets {}", new.subnets.join(", ")),
            format!("security groups {}", new.security_groups.join(", ")),
            format!("tags {}", listed(&new.tags)),
        ],
        _ => Vec::new(),
    }
}

fn listener_lines(listener: &ListenerCopy) -> Vec<String> {
    let certificates = listener.certificates.iter().map(|c| format!(":{} certificate {c}", listener.port));
    let attributes = listener.attributes.iter().map(|(k, v)| format!(":{} {k} = {v}", listener.port));
    certificates.chain(attributes).collect()
}

fn clone_lines(out: &mut String, plan: &Plan) {
    let service = &plan.inventory.service;
    let definition = &plan.inventory.task_definition;
    for (title, fields) in [
        (
            if plan.playbook.shift.updates_in_place() {
                "Stays as it is in the service"
            } else {
                "Carried from blue's service"
            },
            &service.carried,
        ),
        ("Carried from blue's task definition", &definition.carried),
    ] {
        if !fields.is_empty() {
            let _ = writeln!(out, "\n{title}");
            table(out, fields);
        }
    }
    if !service.dropped.is_empty() && !plan.playbook.shift.updates_in_place() {
        let _ = writeln!(out, "\nNot carried, and why");
        table(out, &service.dropped);
    }
}

fn table(out: &mut String, fields: &BTreeMap<String, String>) {
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in fields {
        let _ = writeln!(out, "  {name:width$}  {value}");
    }
}

fn stages(out: &mut String, plan: &Plan, begins: DateTime<Utc>) {
    let _ =
        writeln!(out, "\n`migrate advance` goes through one stage at a time; with `--all` and no hold, from now on");
    for stage in plan.schedule(begins) {
        let approve = if stage.approve { "   waits for an approval" } else { "" };
        let _ = writeln!(
            out,
            "  {:>2}. {:>6}  {} to {}{approve}",
            stage.stage,
            stage.share.to_string(),
            stage.begins.format("%F %H:%M"),
            stage.ends.format("%F %H:%M UTC"),
        );
        for line in around(plan, stage.stage) {
            let _ = writeln!(out, "      {line}");
        }
    }
    let (title, lines) = writes(plan);
    let _ = writeln!(out, "\n{title}");
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

/// What is called around the shift of a stage, in order.
fn around(plan: &Plan, stage: usize) -> Vec<String> {
    let mut lines = called(plan, Moment::BeforeShift, stage);
    let smoke = plan.playbook.stages.get(stage - 1).and_then(|s| s.smoke.as_ref());
    lines.extend(smoke.map(|smoke| {
        let family = if smoke.ipv6 { " over IPv6" } else { "" };
        let status = smoke.expect.status.map_or_else(|| "2xx".to_owned(), |s| s.to_string());
        format!("smoke: GET {}{family} from green alone wants {status}, {} attempts", smoke.http, smoke.attempts)
    }));
    lines.extend(called(plan, Moment::AfterShift, stage));
    lines
}

/// The hooks of a moment, one line each.
fn called(plan: &Plan, moment: Moment, stage: usize) -> Vec<String> {
    let line = |hook: &Hook| {
        let timeout = timeout(hook);
        let failing = match (moment, hook.on_failure()) {
            (Moment::OnHold | Moment::OnRollback, _) => "its failure changes nothing",
            (_, OnFailure::Hold) => "a failure holds",
            (_, OnFailure::Continue) => "a failure is recorded",
            (_, OnFailure::Rollback) => "a failure sends traffic home",
        };
        format!("{}: {hook}, at most {timeout}; {failing}", moment.name())
    };
    hooks(&plan.playbook, moment, stage).into_iter().map(line).collect()
}

/// What is called at other moments, and who is told.
fn outside(out: &mut String, plan: &Plan) {
    let moments = [Moment::OnHold, Moment::OnRollback, Moment::OnFinish];
    let mut lines: Vec<String> = moments.into_iter().flat_map(|m| called(plan, m, 0)).collect();
    let notify = &plan.playbook.notify;
    let on: Vec<&str> = notify.on.iter().map(|o| o.name()).collect();
    lines.extend(receivers(plan).into_iter().map(|to| format!("notices to {to} on {}", on.join(", "))));
    if !lines.is_empty() {
        let _ = writeln!(out, "\nBeside the stages; called from the machine that runs migrate");
        lines.iter().for_each(|line| {
            let _ = writeln!(out, "  {line}");
        });
    }
}

/// The telling part of an ARN: the name of a target group or a load balancer, otherwise what stands behind the last slash.
pub(super) fn last(arn: &str) -> &str {
    if let Some((_, rest)) = arn.split_once(":targetgroup/") {
        return rest.split('/').next().unwrap_or(rest);
    }
    if let Some((_, rest)) = arn.split_once(":loadbalancer/") {
        return rest.split('/').nth(1).unwrap_or(rest);
    }
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The object of `plan --json`.
pub fn object(plan: &Plan, findings: &[Finding], begins: DateTime<Utc>) -> Value {
    let operations = |list: &[Planned]| -> Vec<Value> {
        list.iter()
            .map(|p| json!({ "id": p.id, "title": p.operation.title(), "noticed": p.operation.effect(), "operation": p.operation }))
            .collect()
    };
    json!({
        "outcome": "ok",
        "run": plan.playbook.name,
        "fingerprint": plan.fingerprint(),
        "prepare": operations(&plan.prepare),
        "schedule": plan.schedule(begins),
        "outlook": plan.outlook(),
        "routes": plan.routes().collect::<Vec<_>>(),
        "names": plan.inventory.names,
        "finish": operations(&plan.finish),
        "savings": plan.savings(),
        "hooks": hook_objects(plan),
        "smoke": smoke_objects(plan),
        "notices": json!({
            "on": plan.playbook.notify.on.iter().map(|o| o.name()).collect::<Vec<_>>(),
            "to": receivers(plan),
        }),
        "findings": findings,
    })
}

/// Every call of a hook that is to come, in the order of its moments; `stage` is null outside the stages.
fn hook_objects(plan: &Plan) -> Vec<Value> {
    let stages = 1..=plan.playbook.stages.len();
    let around = stages.flat_map(|stage| [(Moment::BeforeShift, stage), (Moment::AfterShift, stage)]);
    let others = [Moment::OnHold, Moment::OnRollback, Moment::OnFinish].map(|moment| (moment, 0));
    let object = |moment: Moment, stage: usize, hook: &Hook| {
        let stage = (stage > 0).then_some(stage);
        json!({
            "moment": moment.name(),
            "stage": stage,
            "what": hook.to_string(),
            "timeout": timeout(hook).to_string(),
            "on_failure": hook.on_failure(),
        })
    };
    around
        .chain(others)
        .flat_map(|(moment, stage)| {
            let called = hooks(&plan.playbook, moment, stage);
            called.into_iter().map(move |hook| object(moment, stage, hook))
        })
        .collect()
}

/// The smoke test before each stage that has one.
fn smoke_objects(plan: &Plan) -> Vec<Value> {
    let stages = plan.playbook.stages.iter().zip(1..);
    let tests = stages.filter_map(|(stage, number)| stage.smoke.as_ref().map(|smoke| (number, smoke)));
    tests.map(|(stage, smoke): (usize, _)| json!({ "stage": stage, "test": smoke })).collect()
}

/// Who gets the notices; of an address only where it leads, because the rest may be a secret.
fn receivers(plan: &Plan) -> Vec<String> {
    let notify = &plan.playbook.notify;
    notify.sns.iter().cloned().chain(notify.webhook.iter().map(|url| site(url))).collect()
}

fn timeout(hook: &Hook) -> &Period {
    match hook {
        Hook::Command(command) => &command.timeout,
        Hook::Webhook(webhook) => &webhook.timeout,
    }
}
