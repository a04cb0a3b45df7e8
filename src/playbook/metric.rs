//! Metrics of the user's own: each entry, and what expressions say of the others. What `of` and `ratio` say of
//! them is in [`super::comparison`].

use std::collections::BTreeMap;

use super::field;
use super::reader::{Fields, Reader, shortened};
use super::sides::{Placeholder, ids_in, names_in};
use super::tree::{Kind, Node};
use super::{CustomMetric, Missing, Shift, Worse};
use crate::finding::Finding;

/// Entries of a playbook: one question to CloudWatch holds 500, and the load balancer's are in it too.
const MOST_METRICS: usize = 50;
/// Begins the ids of our own questions.
const RESERVED: &str = "migrate_";
/// Functions whose result is several time series.
const MANY: [&str; 4] = ["SEARCH(", "METRICS(", "SLICE(", "SORT("];

/// What a metric says of minutes without a report, beside how it is judged.
struct Silence {
    missing: Missing,
    compared: bool,
    ceiling: Option<f64>,
    bounded_below: bool,
}

impl Silence {
    /// Why `missing: zero` cannot be meant.
    fn finding(&self) -> Option<Finding> {
        if self.missing == Missing::Blind {
            return None;
        }
        if self.bounded_below || self.ceiling.is_some_and(|c| c < 0.0) {
            return Some(
                Finding::block("silence-condemns", "with `missing: zero` silence alone would be beyond this bound")
                    .evidence("a monitoring outage would roll green back")
                    .remedy("drop `missing: zero`: silence then holds the run"),
            );
        }
        (self.compared && self.ceiling.is_none()).then(|| {
            Finding::block("no-effect", "a minute that one side does not report has no part in `ratio`")
                .remedy("drop `missing: zero`")
        })
    }
}

fn unknown_placeholder(name: &str) -> Finding {
    let known: Vec<String> = Placeholder::ALL.into_iter().map(|p| format!("`{{{}}}`", p.name())).collect();
    let remedy = match super::spelling::closest(name, Placeholder::ALL.into_iter().map(Placeholder::name)) {
        Some(meant) => {
            format!("did you mean `{{{meant}}}`? A brace that means itself is written twice: `{{{{`, `}}}}`")
        }
        None => format!("write one of {}; a brace that means itself twice: `{{{{`, `}}}}`", known.join(", ")),
    };
    let shown = shortened(name);
    Finding::block("unknown-placeholder", format!("`{{{shown}}}` stands for nothing in a dimension")).remedy(remedy)
}

impl Reader<'_, '_> {
    /// All entries. `shift` says what green is compared with, where it could be read.
    pub(super) fn metrics(&mut self, node: &Node, shift: Option<&Shift>) -> Option<Vec<CustomMetric>> {
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
        self.comparisons(&read, shift);
        Some(read.into_iter().map(|(metric, _)| metric).collect())
    }

    fn metric(&mut self, node: &Node) -> Option<CustomMetric> {
        let fields = self.section(node, &field::METRIC, "an entry of `health.metrics`")?;
        let words = |name: &'static str| field::METRIC.field(name).map_or("", |field| field.example);
        let name = self.required(&fields, "name").and_then(|n| self.text(n, "name", words("name")));
        let mut text =
            |name: &'static str| fields.get(name).and_then(|n| self.text(n, name, words(name))).map(str::to_owned);
        let (namespace, metric, expression) = (text("namespace"), text("metric"), text("expression"));
        let of = text("of");
        let id = fields.get("id").and_then(|n| self.metric_id(n));
        let dimensions = fields.get("dimensions").map(|n| self.dimensions(n, words("dimensions"))).unwrap_or_default();
        let statistic = fields.get("statistic").and_then(|n| self.any_statistic(n));
        let ratio = fields.get("ratio").and_then(|n| self.ratio(n, "ratio"));
        let ways = [("increase", Worse::Increase), ("decrease", Worse::Decrease)];
        let direction = fields.get("direction").and_then(|n| self.choice(n, "direction", &ways)).unwrap_or_default();
        let weight = fields.get("weight").and_then(|n| self.weight(n));
        let ceiling = fields.get("ceiling").and_then(|n| self.level(n, "ceiling"));
        let floor = fields.get("floor").and_then(|n| self.level(n, "floor"));
        let choices = [("blind", Missing::Blind), ("zero", Missing::Zero)];
        let missing = fields.get("missing").and_then(|n| self.choice(n, "missing", &choices)).unwrap_or_default();
        self.source(node, &fields);
        let compared = fields.get("ratio").is_some();
        let silence = Silence { missing, compared, ceiling, bounded_below: fields.get("floor").is_some() };
        self.judged(node, &fields, ceiling.zip(floor));
        if let Some(finding) = silence.finding() {
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
            of,
            ratio,
            direction,
            weight,
            ceiling,
            floor,
            missing,
        })
    }

    /// Whether the fields that say how it is judged say anything, and nothing contrary.
    fn judged(&mut self, node: &Node, fields: &Fields, bounds: Option<(f64, f64)>) {
        let has = |name: &&str| fields.get(name).is_some();
        if !["ceiling", "floor", "of", "ratio", "id"].iter().any(has) {
            let finding = Finding::block("no-bound", "this metric has no bound, so it would judge nothing").remedy(
                "add `ceiling: 5` or `floor: 100`; `of: requests` or `ratio: 1.5` to compare green with blue; or \
                 `id: m1`, where another entry refers to it",
            );
            self.block(&node.span, finding);
        }
        if let Some((ceiling, floor)) = bounds
            && floor > ceiling
        {
            let text = format!("the floor of {floor} is above the ceiling of {ceiling}: no value is within both");
            let finding = Finding::block("contrary-bounds", text)
                .remedy(format!("write `ceiling: {floor}` and `floor: {ceiling}`, or drop one of the two"));
            self.block(&node.span, finding);
        }
        if has(&"of")
            && let Some(other) = ["ratio", "ceiling", "floor"].into_iter().find(|name| has(name))
        {
            let text =
                format!("`of` counts bad ones of all, and `{other}` is about a level: one entry asks one of them");
            let finding = Finding::block("of-and-level", text)
                .remedy(format!("remove `{other}`, or give it an entry of its own without `of`"));
            self.block(&node.span, finding);
        }
        if !has(&"of") && !has(&"ratio") {
            for name in ["direction", "weight"] {
                let Some(at) = fields.get(name) else { continue };
                let finding = Finding::block("no-effect", format!("`{name}` means nothing without `of` or `ratio`"))
                    .evidence("a ceiling or floor is outside of the combined evidence, and says itself what is worse")
                    .remedy("remove it, or add `of: requests` or `ratio: 1.5` to compare green with blue");
                self.block(&at.span, finding);
            }
        }
    }

    /// Dimensions, with placeholders in their values.
    fn dimensions(&mut self, node: &Node, example: &str) -> BTreeMap<String, String> {
        let mut node = node.clone();
        let Kind::Map(entries) = &mut node.kind else { return self.text_map(&node, "dimensions", example, |_| None) };
        for entry in entries {
            let finding = match &entry.value.kind {
                // Braces without quotes are a map of one key to YAML.
                Kind::Map(inner) => match inner.as_slice() {
                    [only] if Placeholder::called(&only.key).is_some() => {
                        let text = format!("YAML reads `{{{}}}` as a map here", only.key);
                        Some(
                            Finding::block("wrong-type", text)
                                .remedy(format!("put it in quotes: `\"{{{}}}\"`", only.key)),
                        )
                    }
                    _ => None,
                },
                Kind::Scalar(scalar) => {
                    let names = names_in(&scalar.text);
                    let stranger = names.into_iter().find(|name| Placeholder::called(name).is_none());
                    stranger.map(unknown_placeholder)
                }
                Kind::List(_) | Kind::Broken => None,
            };
            if let Some(finding) = finding {
                self.block(&entry.value.span, finding);
                entry.value.kind = Kind::Broken;
            }
        }
        self.text_map(&node, "dimensions", example, |_| None)
    }

    /// A part of the evidence.
    fn weight(&mut self, node: &Node) -> Option<f64> {
        let scalar = self.scalar(node, "weight", "weight: 0.1")?;
        let number = scalar.text.trim().parse::<f64>().ok().filter(|_| scalar.plain || scalar.substituted);
        let finding = match number {
            Some(number) if (0.01..=10.0).contains(&number) => return Some(number),
            Some(_) => Finding::block("out-of-range", "`weight` must be between 0.01 and 10")
                .evidence("beside it errors have 0.4, the hard limit 0.2, latency 0.25 and client errors 0.05"),
            None => Finding::block("wrong-type", "`weight` must be a number"),
        };
        self.block_scalar(node, scalar, finding.remedy("write, for example, `weight: 0.1`"));
        None
    }

    /// Either a metric or an expression.
    fn source(&mut self, node: &Node, fields: &Fields) {
        let has = |name: &str| fields.get(name).is_some();
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
        let ids: Vec<&str> = ids_in(expression).into_iter().map(|range| &expression[range]).collect();
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
