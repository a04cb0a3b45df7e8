//! From text to a checked [`Playbook`], with every mistake on the way.
//!
//! Pure: what the environment and `--var` say comes in through `lookup`. A playbook comes out only
//! when no finding blocks; a section that could not be read is replaced by its default while the rest
//! is read on, and that stand-in never leaves this module.

use std::collections::{BTreeMap, BTreeSet};

use super::field;
use super::findings::Findings;
use super::name::{Form, Ids};
use super::quantity::Bounds;
use super::reader::{Reader, shortened};
use super::source::Source;
use super::tree::{self, Kind, Node};
use super::{
    AfterRollback, BlueService, DnsWeights, ErrorCriterion, Fallback, Finish, Green, Health, InPlace, LatencyCriterion,
    ListenerSwap, ListenerWeights, Network, OnCancel, OnNoData, Playbook, RetireBlue, Rollback, Shift, Task, variable,
};
use crate::finding::{self, Finding};

/// What became of a playbook's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// There when no finding blocks.
    pub playbook: Option<Playbook>,
    /// All mistakes and warnings, in the order of the text.
    pub findings: Vec<Finding>,
    /// Names of the variables that the text declares or uses, so that a `--var` that has no effect
    /// can be refused.
    pub variables: BTreeSet<String>,
}

impl Decoded {
    fn refused(finding: Finding) -> Self {
        Decoded { playbook: None, findings: vec![finding], variables: BTreeSet::new() }
    }
}

/// Reads a playbook. `lookup` answers for `${VAR}`: `--var` first, then the environment; the
/// playbook's own `variables` are asked after it.
pub fn decode(text: &[u8], lookup: &dyn Fn(&str) -> Option<String>) -> Decoded {
    let source = match Source::new(text) {
        Ok(source) => source,
        Err(finding) => return Decoded::refused(*finding),
    };
    let mut findings = Findings::new(&source);
    let root = tree::parse(&mut findings);
    let mut variables = BTreeSet::new();
    let mut playbook = None;
    match root {
        Some(Node { kind: Kind::Scalar(scalar), .. }) if scalar.plain && super::reader::is_null(&scalar.text) => {
            empty(&mut findings)
        }
        Some(mut root) => {
            variables = variable::fill_in(&mut root, lookup, &mut findings);
            playbook = Reader { findings: &mut findings }.playbook(&root);
        }
        None if findings.is_empty() => empty(&mut findings),
        None => {}
    }
    let findings = findings.finish();
    Decoded { playbook: playbook.filter(|_| !finding::blocks(&findings)), findings, variables }
}

fn empty(findings: &mut Findings<'_>) {
    let finding = Finding::block("empty-playbook", "the playbook is empty")
        .remedy("start from a copy of `playbooks/quickstart.yaml`");
    findings.whole(finding);
}

impl Reader<'_, '_> {
    fn playbook(&mut self, root: &Node) -> Option<Playbook> {
        let fields = self.section(root, &field::PLAYBOOK, "the playbook")?;
        let version = self.required(&fields, "version").and_then(|node| self.version(node));
        let name = self.required(&fields, "name").and_then(|node| self.run_name(node));
        let region = fields.get("region").and_then(|node| self.region(node));
        let state = fields.get("state").and_then(|node| self.state(node));
        let service = self.required(&fields, "service").and_then(|node| self.service(node));
        let green = self.required(&fields, "green").and_then(|node| self.green(node, service.as_ref()));
        let shift = self.required(&fields, "shift").and_then(|node| self.shift(node));
        if let (Some(Shift::InPlace(in_place)), Some(node)) = (&shift, fields.get("green")) {
            self.nothing_beside(in_place, node);
        }
        let stages = self.required(&fields, "stages").and_then(|node| self.stages(node, shift.as_ref()));
        if let (Some(shift), Some(stages), Some(node)) = (&shift, &stages, fields.get("stages")) {
            self.one_stage(shift, stages, node);
        }
        let health = fields.get("health").and_then(|node| self.health(node, shift.as_ref())).unwrap_or_default();
        let rollback = fields.get("rollback").and_then(|node| self.rollback(node)).unwrap_or_default();
        let on_cancel = fields.get("on_cancel").and_then(|node| {
            self.choice(node, "on_cancel", &[("hold", OnCancel::Hold), ("rollback", OnCancel::Rollback)])
        });
        let finish = fields.get("finish").and_then(|node| self.finish(node)).unwrap_or_default();
        let hooks = fields.get("hooks").map(|node| self.hooks(node)).unwrap_or_default();
        let notify = fields.get("notify").map(|node| self.notify(node)).unwrap_or_default();
        Some(Playbook {
            version: version?,
            name: name?,
            region,
            state,
            service: service?,
            green: green?,
            shift: shift?,
            stages: stages?,
            health,
            rollback,
            on_cancel: on_cancel.unwrap_or_default(),
            finish,
            hooks,
            notify,
        })
    }

    fn version(&mut self, node: &Node) -> Option<u32> {
        let version = self.integer(node, "version", 0, u64::MAX, "version: 1")?;
        if version != 1 {
            let finding =
                Finding::block("unknown-version", format!("version {version} of the playbook's format is not known"))
                    .remedy("write `version: 1`, or use a newer `migrate`");
            self.block(&node.span, finding);
            return None;
        }
        Some(1)
    }

    fn state(&mut self, node: &Node) -> Option<String> {
        let state = self.text(node, "state", "state: .migrate")?;
        if state.starts_with("s3://") {
            let finding = Finding::block("not-supported", "journals in S3 are not supported by this version")
                .remedy("write a directory that outlives the process, for example `state: .migrate`");
            self.block(&node.span, finding);
            return None;
        }
        Some(state.to_owned())
    }

    fn service(&mut self, node: &Node) -> Option<BlueService> {
        let fields = self.section(node, &field::SERVICE, "`service`")?;
        let cluster = self
            .required(&fields, "cluster")
            .and_then(|n| self.resource(n, "cluster", "cluster: prod", &Form::CLUSTER));
        let name = self.required(&fields, "name").and_then(|n| self.resource(n, "name", "name: web", &Form::SERVICE));
        let container =
            fields.get("container").and_then(|n| self.resource(n, "container", "container: app", &Form::CONTAINER));
        let target_groups = fields.get("target_groups").and_then(|n| self.target_groups(n)).unwrap_or_default();
        Some(BlueService { cluster: cluster?, name: name?, container, target_groups })
    }

    fn target_groups(&mut self, node: &Node) -> Option<Vec<String>> {
        self.duplicates(node, "duplicate-target-group", "target_groups");
        self.list(node, "target_groups", "target_groups: [web-http]", |reader, item| {
            reader.resource(item, "target_groups", "web-http", &Form::TARGET_GROUP)
        })
    }

    fn green(&mut self, node: &Node, blue: Option<&BlueService>) -> Option<Green> {
        let fields = self.section(node, &field::GREEN, "`green`")?;
        let name = fields.get("name").and_then(|n| self.green_name(n, blue));
        let network = self.required(&fields, "network").and_then(|n| self.network(n));
        let task = fields.get("task").and_then(|n| self.task(n)).unwrap_or_default();
        let most = u64::from(u32::MAX);
        let desired_count =
            fields.get("desired_count").and_then(|n| self.integer(n, "desired_count", 1, most, "desired_count: 4"));
        let tags = fields.get("tags").map(|n| self.tags(n)).unwrap_or_default();
        Some(Green {
            name,
            network: network?,
            task,
            desired_count: desired_count.and_then(|n| u32::try_from(n).ok()),
            tags,
        })
    }

    fn green_name(&mut self, node: &Node, blue: Option<&BlueService>) -> Option<String> {
        let name = self.resource(node, "name", "name: web-ipv6", &Form::SERVICE)?;
        if blue.is_some_and(|blue| blue.name == name) {
            let finding = Finding::block("same-name", format!("green cannot have blue's name, `{}`", shortened(&name)))
                .evidence("both services run side by side in one cluster")
                .remedy(format!("write another name, for example `{}-ipv6`, or remove the line", shortened(&name)));
            self.block(&node.span, finding);
        }
        Some(name)
    }

    fn network(&mut self, node: &Node) -> Option<Network> {
        let fields = self.section(node, &field::NETWORK, "`green.network`")?;
        let subnets = self.required(&fields, "subnets").and_then(|n| self.ids(n, &Ids::SUBNETS));
        let security_groups =
            fields.get("security_groups").and_then(|n| self.ids(n, &Ids::SECURITY_GROUPS)).unwrap_or_default();
        Some(Network { subnets: subnets?, security_groups })
    }

    fn ids(&mut self, node: &Node, ids: &Ids) -> Option<Vec<String>> {
        self.duplicates(node, ids.duplicate, ids.field);
        let list = self.list(node, ids.field, ids.example, |reader, item| reader.id(item, ids))?;
        if let Kind::List(items) = &node.kind {
            let finding = if items.is_empty() && ids.least > 0 {
                Finding::block("no-subnets", "green needs at least one subnet")
                    .remedy(format!("write, for example, `{}`", ids.example))
            } else if let Some(first_beyond) = items.get(ids.most) {
                let finding = Finding::block(
                    ids.too_many,
                    format!("{} {} are given, and a service can have {}", items.len(), ids.words, ids.most),
                )
                .remedy(format!("remove this one and those behind it, or choose which {} to keep", ids.most));
                self.block(&first_beyond.span, finding);
                return Some(list);
            } else {
                return Some(list);
            };
            self.block(&node.span, finding);
        }
        Some(list)
    }

    fn task(&mut self, node: &Node) -> Option<Task> {
        let fields = self.section(node, &field::TASK, "`green.task`")?;
        let images = fields.get("images").map(|n| self.images(n)).unwrap_or_default();
        let environment = fields.get("environment").map(|n| {
            self.text_map(n, "environment", "environment: { LISTEN_ADDRESS: \"::\" }", |key| {
                (key.is_empty() || key.contains('=')).then(|| {
                    Finding::block(
                        "bad-name",
                        format!("`{}` cannot be the name of an environment variable", shortened(key)),
                    )
                    .remedy("write `NAME: value`, with a colon between the two")
                })
            })
        });
        Some(Task { images, environment: environment.unwrap_or_default() })
    }

    fn images(&mut self, node: &Node) -> BTreeMap<String, String> {
        let example = "images: { app: registry.example.com/app:1.2 }";
        if let Kind::Map(entries) = &node.kind {
            for entry in entries {
                if let Kind::Scalar(image) = &entry.value.kind
                    && !super::reader::is_null(&image.text)
                    && (image.text.trim().is_empty() || image.text.contains(char::is_whitespace))
                {
                    let finding =
                        Finding::block("bad-name", format!("`{}` is not the name of an image", shortened(&image.text)))
                            .remedy("write it as `docker pull` takes it, for example `registry.example.com/app:1.2`");
                    self.block(&entry.value.span, finding);
                }
            }
        }
        self.text_map(node, "images", example, |key| {
            key.is_empty().then(|| {
                Finding::block("bad-name", "the name of a container is empty").remedy("write `container: image`")
            })
        })
    }

    fn tags(&mut self, node: &Node) -> BTreeMap<String, String> {
        self.text_map(node, "tags", "tags: { team: payments }", |key| {
            let finding = Finding::block("bad-tag", format!("AWS does not accept the tag key `{}`", shortened(key)));
            if key.is_empty() || key.chars().count() > 128 {
                return Some(finding.remedy("write a key of 1 to 128 characters"));
            }
            key.to_lowercase()
                .starts_with("aws:")
                .then(|| finding.remedy("keys that begin with `aws:` belong to AWS: choose another one"))
        })
    }

    fn shift(&mut self, node: &Node) -> Option<Shift> {
        if let Kind::Scalar(scalar) = &node.kind
            && field::SHIFT.field(&scalar.text).is_some()
        {
            let finding = Finding::block("wrong-type", "`shift` must be a map, of the way to shift and its settings")
                .remedy(format!("write `shift: {{ {}: {{}} }}`", scalar.text));
            self.block(&node.span, finding);
            return None;
        }
        let fields = self.section(node, &field::SHIFT, "`shift`")?;
        if let Kind::Map(entries) = &node.kind
            && let Some(second) = entries.iter().filter(|e| field::SHIFT.field(&e.key).is_some()).nth(1)
        {
            let finding = Finding::block("two-ways", "traffic moves in one way only").remedy(
                "keep one of `listener_weights`, `dns_weights`, `listener_swap` and `in_place`; a playbook for each service and way",
            );
            self.block(&second.key_span, finding);
        }
        if let Some(settings) = fields.get("listener_weights") {
            let fields = self.section(settings, &field::LISTENER_WEIGHTS, "`listener_weights`")?;
            let stickiness =
                fields.get("stickiness").and_then(|n| self.period(n, "stickiness", "10m", &Bounds::STICKINESS));
            let fallback = fields.get("fallback").and_then(|n| {
                let fields = self.section(n, &field::FALLBACK, "`fallback`")?;
                let node = self.required(&fields, "dns_weights")?;
                self.dns_weights(node).map(Fallback::DnsWeights)
            });
            return Some(Shift::ListenerWeights(ListenerWeights { stickiness, fallback }));
        }
        if let Some(settings) = fields.get("dns_weights") {
            return self.dns_weights(settings).map(Shift::DnsWeights);
        }
        if let Some(settings) = fields.get("listener_swap") {
            self.section(settings, &field::LISTENER_SWAP, "`listener_swap`")?;
            return Some(Shift::ListenerSwap(ListenerSwap::default()));
        }
        if let Some(settings) = fields.get("in_place") {
            let fields = self.section(settings, &field::IN_PLACE, "`in_place`")?;
            let staged = fields.get("staged").and_then(|n| self.boolean(n, "staged")).unwrap_or_default();
            let registry = fields
                .get("registry")
                .and_then(|n| self.resource(n, "registry", "registry: web-ipv6", &Form::REGISTRY));
            if let Some(node) = fields.get("registry").filter(|_| staged) {
                let finding = Finding::block("no-effect", "`registry` has no effect beside `staged: true`")
                    .evidence("in stages, blue and green are found in the same Cloud Map service")
                    .remedy("remove the line, or update the service at once with `in_place: {}`");
                self.block(&node.span, finding);
            }
            return Some(Shift::InPlace(InPlace { staged, registry }));
        }
        if matches!(&node.kind, Kind::Map(entries) if entries.is_empty()) {
            self.required(&fields, "listener_weights");
        }
        None
    }

    /// Fields about a second service that an update in place leaves without effect.
    fn nothing_beside(&mut self, in_place: &InPlace, green: &Node) {
        let Kind::Map(entries) = &green.kind else { return };
        for entry in entries {
            let (why, remedy) = match entry.key.as_str() {
                "name" if !in_place.staged => {
                    ("the service itself is updated, and keeps its name", "remove the line, or use `staged: true`")
                }
                "desired_count" => (
                    "the number of tasks stays blue's: in stages, green's follows from the stage",
                    "remove the line; scale the service before the run where it needs more tasks",
                ),
                _ => continue,
            };
            let text = format!("`green.{}` has no effect with `in_place`", entry.key);
            let finding = Finding::block("no-effect", text).evidence(why).remedy(remedy);
            self.block(&entry.key_span, finding);
        }
    }

    fn dns_weights(&mut self, node: &Node) -> Option<DnsWeights> {
        let fields = self.section(node, &field::DNS_WEIGHTS, "`dns_weights`")?;
        let records = fields.get("records").and_then(|n| {
            self.duplicates(n, "duplicate-record", "records");
            self.list(n, "records", "records: [api.example.com]", |reader, item| {
                reader.resource(item, "records", "api.example.com", &Form::RECORD)
            })
        });
        let zone = fields.get("zone").and_then(|n| self.resource(n, "zone", "zone: example.com", &Form::ZONE));
        let green_load_balancer = fields.get("green_load_balancer").and_then(|n| {
            self.resource(n, "green_load_balancer", "green_load_balancer: web-ipv6", &Form::LOAD_BALANCER)
        });
        Some(DnsWeights { records: records.unwrap_or_default(), zone, green_load_balancer })
    }

    fn health(&mut self, node: &Node, shift: Option<&Shift>) -> Option<Health> {
        let fields = self.section(node, &field::HEALTH, "`health`")?;
        let default = Health::default();
        let errors = fields.get("errors").and_then(|n| self.errors(n));
        let false_rollback = fields.get("false_rollback").and_then(|n| self.rate(n, "false_rollback", "1%", 0.5));
        let hard_limit = fields.get("hard_limit").and_then(|n| self.rate(n, "hard_limit", "2%", 1.0));
        if let (Some(node), Some(errors), Some(_)) = (fields.get("errors"), &errors, hard_limit)
            && errors.ceiling.is_some_and(|ceiling| Some(ceiling) != hard_limit)
        {
            let finding = Finding::block("two-limits", "`hard_limit` and `errors.ceiling` are two names of one limit")
                .remedy("keep `hard_limit`, and remove `ceiling` from `errors`");
            self.block(&node.span, finding);
        }
        let accepted_failures = fields
            .get("accepted_failures")
            .and_then(|n| self.integer(n, "accepted_failures", 1, Health::MOST_FAILURES, "accepted_failures: 500"));
        let latency = fields.get("latency").and_then(|n| self.latency(n));
        let alarms = fields.get("alarms").and_then(|n| self.alarms(n));
        let metrics = fields.get("metrics").and_then(|n| self.metrics(n, shift));
        let min_requests =
            fields.get("min_requests").and_then(|n| self.integer(n, "min_requests", 0, u64::MAX, "min_requests: 50"));
        let no_data = [("hold", OnNoData::Hold), ("advance", OnNoData::Advance), ("rollback", OnNoData::Rollback)];
        let on_no_data = fields.get("on_no_data").and_then(|n| self.choice(n, "on_no_data", &no_data));
        let start_timeout =
            fields.get("start_timeout").and_then(|n| self.period(n, "start_timeout", "20m", &Bounds::START));
        Some(Health {
            false_rollback: false_rollback.unwrap_or(default.false_rollback),
            errors: errors.unwrap_or_default(),
            hard_limit,
            accepted_failures: accepted_failures.unwrap_or(default.accepted_failures),
            latency: latency.or(default.latency),
            alarms: alarms.unwrap_or_default(),
            metrics: metrics.unwrap_or_default(),
            min_requests: min_requests.unwrap_or(default.min_requests),
            on_no_data: on_no_data.unwrap_or_default(),
            start_timeout: start_timeout.unwrap_or(default.start_timeout),
        })
    }

    fn errors(&mut self, node: &Node) -> Option<ErrorCriterion> {
        let fields = self.section(node, &field::ERRORS, "`health.errors`")?;
        let default = ErrorCriterion::default();
        let ceiling = fields.get("ceiling").and_then(|n| self.rate(n, "ceiling", "2%", 1.0));
        let ratio = fields.get("ratio").and_then(|n| self.ratio(n, "ratio"));
        Some(ErrorCriterion { ceiling, ratio: ratio.unwrap_or(default.ratio) })
    }

    fn latency(&mut self, node: &Node) -> Option<LatencyCriterion> {
        let fields = self.section(node, &field::LATENCY, "`health.latency`")?;
        let statistic = fields.get("statistic").and_then(|n| self.statistic(n));
        let ceiling = fields.get("ceiling").and_then(|n| self.period(n, "ceiling", "800ms", &Bounds::LATENCY));
        let ratio = fields.get("ratio").and_then(|n| self.ratio(n, "ratio"));
        if fields.get("ceiling").is_none() && fields.get("ratio").is_none() {
            let finding = Finding::block("no-bound", "`health.latency` has neither a ceiling nor a ratio")
                .evidence("requests that are slow by blue's last 24 hours are counted without it, too")
                .remedy(
                    "add `ceiling: 800ms`, or `ratio: 1.1` to compare this statistic with blue's; or remove the line",
                );
            self.block(&node.span, finding);
        }
        let statistic = statistic.unwrap_or_else(LatencyCriterion::default_statistic);
        Some(LatencyCriterion { statistic, ceiling, ratio })
    }

    fn statistic(&mut self, node: &Node) -> Option<String> {
        let text = self.scalar(node, "statistic", "statistic: p99")?.text.trim();
        if text == "Average" || text.strip_prefix('p').is_some_and(is_percentile) {
            return Some(text.to_owned());
        }
        let lower = text.to_lowercase();
        let number = lower.trim_start_matches("percentile").trim_start_matches(['p', ' ']).trim_end_matches(['%', ')']);
        let remedy = match lower.as_str() {
            "average" | "avg" | "mean" => "write `Average`".to_owned(),
            "median" => "write `p50`".to_owned(),
            _ if is_percentile(number) => format!("write `p{number}`"),
            _ => "write `Average`, or a percentile such as `p99` or `p99.9`".to_owned(),
        };
        let finding = Finding::block("bad-statistic", format!("`{}` is not a statistic for latency", shortened(text)))
            .remedy(remedy);
        self.block(&node.span, finding);
        None
    }

    fn alarms(&mut self, node: &Node) -> Option<Vec<String>> {
        self.duplicates(node, "duplicate-alarm", "alarms");
        let alarms = self.list(node, "alarms", "alarms: [web-5xx]", |reader, item| {
            reader.resource(item, "alarms", "web-5xx", &Form::ALARM)
        })?;
        if let Kind::List(items) = &node.kind
            && let Some(first_beyond) = items.get(100)
        {
            let finding =
                Finding::block("too-many-alarms", format!("{} alarms are given, and 100 can be watched", items.len()))
                    .remedy("put some of them into a composite alarm, and name that");
            self.block(&first_beyond.span, finding);
        }
        Some(alarms)
    }

    fn rollback(&mut self, node: &Node) -> Option<Rollback> {
        let fields = self.section(node, &field::ROLLBACK, "`rollback`")?;
        let choices = [("keep", AfterRollback::Keep), ("remove", AfterRollback::Remove)];
        let green = fields.get("green").and_then(|n| self.choice(n, "green", &choices));
        Some(Rollback { green: green.unwrap_or_default() })
    }

    fn finish(&mut self, node: &Node) -> Option<Finish> {
        let fields = self.section(node, &field::FINISH, "`finish`")?;
        let keep_blue = fields.get("keep_blue").and_then(|n| self.period(n, "keep_blue", "24h", &Bounds::KEEP));
        let choices = [("scale_to_zero", RetireBlue::ScaleToZero), ("remove", RetireBlue::Remove)];
        let blue = fields.get("blue").and_then(|n| self.choice(n, "blue", &choices));
        Some(Finish { keep_blue: keep_blue.unwrap_or(Finish::default().keep_blue), blue: blue.unwrap_or_default() })
    }
}

/// Whether `text` is a percentile's number as CloudWatch takes it: above 0, at most 100.
pub(super) fn is_percentile(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 3 && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(part) && text.parse::<f64>().is_ok_and(|n| n > 0.0 && n <= 100.0)
}
