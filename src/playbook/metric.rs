//! Metrics of the user's own: each entry, and what expressions say of the others.

use std::collections::BTreeMap;

use super::field;
use super::reader::{Reader, shortened};
use super::tree::{Kind, Node};
use super::{CustomMetric, Missing, Worse};
use crate::finding::Finding;

/// Entries of a playbook: one question to CloudWatch holds 500, and the load balancer's are in it too.
const MOST_METRICS: usize = 50;
/// Begins the ids of our own questions.
const RESERVED: &str = "migrate_";
/// Functions whose result is several time series.
const MANY: [&str; 4] = ["SEARCH(", "METRICS(", "SLICE(", "SORT("];

impl Reader<'_, '_> {
    pub(super) fn metrics(&mut self, node: &Node) -> Option<Vec<CustomMetric>> {
        let example = field::HEALTH.field("metrics").map_or("metrics: []", |field| field.example);
        let mut read: Vec<(CustomMetric, &Node)> = Vec::new();
        if let Kind::List(items) = &node.kind {
            read.extend(items.iter().filter_map(|item| Some((self.metric(item)?, item))));
            if let Some(first_beyond) = items.get(MOST_METRICS) {
                let found = format!("{} metrics are given, and {MOST_METRICS} can be watched", items.len());
                let finding = Finding::block("too-many-metrics", found)
                    .remedy("put some of them into CloudWatch alarms, and name those in `health.alarms`");
                self.block(&first_beyond.span, finding);
            }
        } else {
            self.list(node, "metrics", example, |_, _| None::<()>);
        }
        self.apart(&read);
        for (metric, at) in &read {
            self.references(metric, at, &read);
        }
        Some(read.into_iter().map(|(metric, _)| metric).collect())
    }

    fn metric(&mut self, node: &Node) -> Option<CustomMetric> {
        let fields = self.section(node, &field::METRIC, "an entry of `health.metrics`")?;
        let words = |name: &'static str| field::METRIC.field(name).map_or("", |field| field.example);
        let name = self.required(&fields, "name").and_then(|n| self.text(n, "name", words("name")));
        let mut text =
            |name: &'static str| fields.get(name).and_then(|n| self.text(n, name, words(name))).map(str::to_owned);
        let (namespace, metric, expression) = (text("namespace"), text("metric"), text("expression"));
        let id = fields.get("id").and_then(|n| self.metric_id(n));
        let dimensions = fields
            .get("dimensions")
            .map(|n| self.text_map(n, "dimensions", words("dimensions"), |_| None))
            .unwrap_or_default();
        let statistic = fields.get("statistic").and_then(|n| self.any_statistic(n));
        let ceiling = fields.get("ceiling").and_then(|n| self.level(n, "ceiling"));
        let floor = fields.get("floor").and_then(|n| self.level(n, "floor"));
        let choices = [("blind", Missing::Blind), ("zero", Missing::Zero)];
        let missing = fields.get("missing").and_then(|n| self.choice(n, "missing", &choices)).unwrap_or_default();
        let has = |name: &str| fields.get(name).is_some();
        self.source(node, &has);
        if !has("ceiling") && !has("floor") && !has("id") {
            let finding = Finding::block("no-bound", "this metric has no bound, so it would judge nothing")
                .remedy("add `ceiling: 5` or `floor: 100`; or `id: m1`, where an expression uses it");
            self.block(&node.span, finding);
        }
        if let (Some(ceiling), Some(floor)) = (ceiling, floor)
            && floor > ceiling
        {
            let text = format!("the floor of {floor} is above the ceiling of {ceiling}: no value is within both");
            let finding = Finding::block("contrary-bounds", text)
                .remedy(format!("write `ceiling: {floor}` and `floor: {ceiling}`, or drop one of the two"));
            self.block(&node.span, finding);
        }
        if missing == Missing::Zero && (has("floor") || ceiling.is_some_and(|c| c < 0.0)) {
            let finding =
                Finding::block("silence-condemns", "with `missing: zero` silence alone would be beyond this bound")
                    .evidence("a monitoring outage would roll green back")
                    .remedy("drop `missing: zero`: silence then holds the run");
            self.block(&node.span, finding);
        }
        Some(CustomMetric {
            name: name?.to_owned(),
            id,
            namespace,
            metric,
            dimensions,
            statistic: statistic.unwrap_or_else(CustomMetric::default_statistic),
            expression,
            of: None,
            ratio: None,
            direction: Worse::default(),
            weight: None,
            ceiling,
            floor,
            missing,
        })
    }

    /// Either a metric or an expression.
    fn source(&mut self, node: &Node, has: &dyn Fn(&str) -> bool) {
        let stat = ["namespace", "metric", "dimensions", "statistic"].into_iter().find(|name| has(name));
        let lacking = ["namespace", "metric"].into_iter().find(|name| !has(name));
        let finding = match (has("expression"), stat, lacking) {
            (true, Some(name), _) => Finding::block("two-sources", format!("`expression` and `{name}` are both given"))
                .remedy("give the metric an entry of its own with an `id`, and use that in the expression"),
            (false, _, Some(name)) => Finding::block("missing-field", format!("`{name}` is missing")).remedy(format!(
                "add `{}`; or `expression:` with metric math over other entries",
                field::METRIC.field(name).map_or("", |field| field.example)
            )),
            _ => return,
        };
        self.block(&node.span, finding);
    }

    fn metric_id(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "id", "id: errors")?;
        let legal = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && text.len() <= 255
            && !text.starts_with(RESERVED);
        if legal {
            return Some(text.to_owned());
        }
        let finding = Finding::block("bad-id", format!("`{}` cannot be an id in an expression", shortened(text)))
            .evidence(format!("CloudWatch wants a small letter, then letters, digits and `_`; `{RESERVED}` is ours"))
            .remedy("write, for example, `id: errors`");
        self.block(&node.span, finding);
        None
    }

    fn any_statistic(&mut self, node: &Node) -> Option<String> {
        let text = self.scalar(node, "statistic", "statistic: p99")?.text.trim();
        let plain = ["Average", "Sum", "Minimum", "Maximum", "SampleCount"];
        let percentile = text.strip_prefix('p').is_some_and(super::decode::is_percentile);
        if plain.contains(&text) || percentile {
            return Some(text.to_owned());
        }
        let remedy = match plain.iter().find(|word| word.eq_ignore_ascii_case(text)) {
            Some(word) => format!("write `{word}`"),
            None => format!("write one of {}, or a percentile such as `p99`", plain.join(", ")),
        };
        let finding =
            Finding::block("bad-statistic", format!("`{}` is not a statistic", shortened(text))).remedy(remedy);
        self.block(&node.span, finding);
        None
    }

    /// A bound: any finite number.
    fn level(&mut self, node: &Node, what: &str) -> Option<f64> {
        let scalar = self.scalar(node, what, &format!("{what}: 5"))?;
        let text = scalar.text.trim();
        let digits = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E'));
        let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && digits);
        if let Some(number) = number.filter(|_| scalar.plain || scalar.substituted) {
            return Some(number);
        }
        let remedy = match (number, text.trim_end_matches(char::is_alphabetic).trim_end_matches('%').parse::<f64>()) {
            (Some(_), _) => format!("write `{text}` without quotes"),
            (None, Ok(number)) if number.is_finite() => {
                format!("write the number in the metric's own unit, without the unit: `{what}: {number}`")
            }
            _ => format!("write, for example, `{what}: 5`"),
        };
        let finding = Finding::block("wrong-type", format!("`{what}` must be a finite number")).remedy(remedy);
        self.block_scalar(node, scalar, finding);
        None
    }

    /// Names and ids that are given twice.
    fn apart(&mut self, read: &[(CustomMetric, &Node)]) {
        for (rule, of) in [
            ("duplicate-metric", (|m| Some(m.name.as_str())) as fn(&CustomMetric) -> Option<&str>),
            ("duplicate-id", |m| m.id.as_deref()),
        ] {
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            for (metric, node) in read {
                let Some(name) = of(metric) else { continue };
                let line = self.findings.source.line(node.span.start);
                if let Some(first) = seen.insert(name, line) {
                    let finding = Finding::block(rule, format!("`{}` is given to two metrics", shortened(name)))
                        .evidence(format!("first given on line {first}"))
                        .remedy("give one of the two another");
                    self.block(&node.span, finding);
                }
            }
        }
    }

    /// Whether an expression speaks of ids that exist, and has one result.
    fn references(&mut self, metric: &CustomMetric, node: &Node, read: &[(CustomMetric, &Node)]) {
        let Some(expression) = &metric.expression else { return };
        let upper = expression.to_uppercase();
        if let Some(function) = MANY.iter().find(|function| upper.contains(**function)) {
            let finding = Finding::block("many-results", format!("`{}...)` has several results", function))
                .remedy("name the metrics one by one, each with an `id`, and combine them");
            self.block(&node.span, finding);
            return;
        }
        let known = |word: &str| read.iter().any(|(m, _)| m.id.as_deref() == Some(word));
        // What begins with a small letter is an id; functions are written in capitals.
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let ids: Vec<&str> = words.filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase())).collect();
        let stranger = ids.iter().find(|word| !known(word) || metric.id.as_deref() == Some(**word));
        let finding = match stranger {
            Some(word) => Finding::block("unknown-id", format!("no other metric has the id `{}`", shortened(word)))
                .remedy(format!("give the entry that is meant `id: {}`", shortened(word))),
            None if ids.is_empty() => Finding::block("unknown-id", "the expression names no other metric")
                .remedy("give the metrics ids, and use those: `expression: \"100 * errors / requests\"`"),
            None => return,
        };
        self.block(&node.span, finding);
    }
}
