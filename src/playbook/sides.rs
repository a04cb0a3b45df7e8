//! The user's metrics of each side: placeholders in dimension values, and the two questions that one entry
//! becomes.
//!
//! An application that reports its own metrics does so under a dimension that names its service, so green's
//! and blue's are two metrics of CloudWatch. An entry with a placeholder is of each side, and so is an
//! expression that refers to one, over however many others. Everything else is of everybody: one metric,
//! whoever serves. Ids are given anew for each side, because one question to CloudWatch holds both.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{CustomMetric, Health, InPlace, Missing, Shift};
use crate::gate::{Level, LevelQuery, LevelSource, Whose};

/// What the placeholders stand for on one side; `None` while nobody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SideNames {
    /// Name of the ECS service.
    pub service: Option<String>,
    /// Family of its task definition.
    pub family: Option<String>,
    /// Its first target group, as CloudWatch names it: `targetgroup/<name>/<id>`.
    pub target_group: Option<String>,
    /// The load balancer of that, as CloudWatch names it: `app/<name>/<id>`.
    pub load_balancer: Option<String>,
}

/// What a dimension's value can leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    Service,
    Family,
    TargetGroup,
    LoadBalancer,
}

/// A piece of a dimension's value.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    /// What stands in braces.
    Name(&'a str),
}

impl Placeholder {
    pub const ALL: [Placeholder; 4] =
        [Placeholder::Service, Placeholder::Family, Placeholder::TargetGroup, Placeholder::LoadBalancer];

    pub fn name(self) -> &'static str {
        match self {
            Placeholder::Service => "service",
            Placeholder::Family => "family",
            Placeholder::TargetGroup => "target_group",
            Placeholder::LoadBalancer => "load_balancer",
        }
    }

    pub fn called(name: &str) -> Option<Placeholder> {
        Placeholder::ALL.into_iter().find(|placeholder| placeholder.name() == name)
    }

    /// Whether it exists at all where traffic moves like this.
    pub fn exists(self, shift: &Shift) -> bool {
        let balanced = !matches!(shift, Shift::InPlace(_));
        balanced || matches!(self, Placeholder::Service | Placeholder::Family)
    }

    /// Whether green's is another than blue's where traffic moves like this.
    pub fn tells_apart(self, shift: &Shift) -> bool {
        match (self, shift) {
            (Placeholder::Service, Shift::InPlace(InPlace { staged, .. })) => *staged,
            (Placeholder::LoadBalancer, shift) => matches!(shift, Shift::DnsWeights(_)),
            _ => self.exists(shift),
        }
    }

    fn on(self, names: &SideNames) -> Option<&str> {
        let name = match self {
            Placeholder::Service => &names.service,
            Placeholder::Family => &names.family,
            Placeholder::TargetGroup => &names.target_group,
            Placeholder::LoadBalancer => &names.load_balancer,
        };
        name.as_deref()
    }
}

/// A dimension's value in its pieces; `{{` and `}}` are braces that mean themselves.
fn pieces(value: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        pieces.push(Piece::Text(before));
        if brace.starts_with("{{") || brace.starts_with("}}") {
            pieces.push(Piece::Text(&brace[..1]));
            rest = &brace[2..];
        } else if let Some((name, behind)) = brace.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            pieces.push(Piece::Name(name));
            rest = behind;
        } else {
            pieces.push(Piece::Text(&brace[..1]));
            rest = &brace[1..];
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// What stands in braces in a dimension's value, known or not.
pub(super) fn names_in(value: &str) -> Vec<&str> {
    let name = |piece| if let Piece::Name(name) = piece { Some(name) } else { None };
    pieces(value).into_iter().filter_map(name).collect()
}

/// The value on one side; `None` while a name in it is not known.
fn filled_in(value: &str, names: &SideNames) -> Option<String> {
    let text = |piece| match piece {
        Piece::Text(text) => Some(text),
        Piece::Name(name) => Placeholder::called(name)?.on(names),
    };
    pieces(value).into_iter().map(text).collect()
}

/// Where an expression names other entries: what begins with a small letter, outside of quotes. Functions
/// are written in capitals.
pub(super) fn ids_in(expression: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut quote, mut word): (Option<char>, Option<usize>) = (None, None);
    for (at, c) in expression.char_indices().chain([(expression.len(), ' ')]) {
        let inside = quote.is_none() && (c.is_ascii_alphanumeric() || c == '_');
        match word {
            None if inside => word = Some(at),
            Some(from) if !inside => {
                found.push(from..at);
                word = None;
            }
            _ => {}
        }
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
    }
    found.retain(|range| expression[range.clone()].starts_with(|c: char| c.is_ascii_lowercase()));
    found
}

impl CustomMetric {
    pub(super) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.dimensions.values().flat_map(|value| names_in(value)).filter_map(Placeholder::called)
    }

    /// Ids that its expression names.
    fn named(&self) -> impl Iterator<Item = &str> {
        let expression = self.expression.as_deref().unwrap_or("");
        ids_in(expression).into_iter().map(move |range| &expression[range])
    }

    fn source(&self) -> LevelSource {
        match &self.expression {
            Some(expression) => LevelSource::Expression(expression.clone()),
            None => LevelSource::Metric {
                namespace: self.namespace.clone().unwrap_or_default(),
                metric: self.metric.clone().unwrap_or_default(),
                dimensions: self.dimensions.clone(),
                statistic: self.statistic.clone(),
            },
        }
    }
}

/// Those of the entries that `begins` says, and the expressions that refer to one of them over however many
/// others.
pub(super) fn reaching(metrics: &[CustomMetric], begins: impl Fn(&CustomMetric) -> bool) -> Vec<bool> {
    let mut reached: Vec<bool> = metrics.iter().map(begins).collect();
    loop {
        let id = |(metric, reached): (&CustomMetric, &bool)| metric.id.clone().filter(|_| *reached);
        let ids: Vec<String> = metrics.iter().zip(&reached).filter_map(id).collect();
        let before = reached.clone();
        for (metric, reached) in metrics.iter().zip(&mut reached) {
            *reached |= metric.named().any(|word| ids.iter().any(|id| id == word));
        }
        if before == reached {
            return reached;
        }
    }
}

impl Health {
    /// Whether each of the user's metrics is of each side.
    pub fn each_side(&self) -> Vec<bool> {
        reaching(&self.metrics, |metric| metric.placeholders().next().is_some())
    }

    /// Which of the user's metrics are levels: those with a bound, and what is counted or compared, which
    /// has none but must be reported.
    pub fn levels(&self) -> Vec<Level> {
        let counted = |metric: &CustomMetric| {
            let all = metric.id.as_ref().is_some_and(|id| self.metrics.iter().any(|m| m.of.as_ref() == Some(id)));
            all || metric.of.is_some() || metric.ratio.is_some()
        };
        let level = |(metric, of_each_side): (&CustomMetric, bool)| Level {
            name: metric.name.clone(),
            ceiling: metric.ceiling,
            floor: metric.floor,
            absent_is_zero: metric.missing == Missing::Zero,
            of_each_side,
        };
        let judged = |m: &CustomMetric| m.ceiling.is_some() || m.floor.is_some() || counted(m);
        self.metrics.iter().zip(self.each_side()).filter(|(metric, _)| judged(metric)).map(level).collect()
    }

    /// What is asked of CloudWatch: an entry of each side twice, where the names of that side are known.
    pub fn queries(&self, green: &SideNames, blue: &SideNames) -> Vec<LevelQuery> {
        let each_side = self.each_side();
        let common = |(metric, each): (&CustomMetric, &bool)| {
            let whose = Whose::Everybody;
            let query = LevelQuery { name: metric.name.clone(), id: metric.id.clone(), source: metric.source(), whose };
            (!*each).then_some(literal(query))
        };
        let mut queries: Vec<LevelQuery> = self.metrics.iter().zip(&each_side).filter_map(common).collect();
        queries.extend(self.of_side(&each_side, green, Whose::Green, "green"));
        queries.extend(self.of_side(&each_side, blue, Whose::Blue, "blue"));
        queries
    }

    fn of_side(&self, each_side: &[bool], names: &SideNames, whose: Whose, word: &str) -> Vec<LevelQuery> {
        let unknown = reaching(&self.metrics, |metric| metric.placeholders().any(|p| p.on(names).is_none()));
        let prefix = self.unused_prefix(word);
        let own: BTreeMap<&str, String> = self
            .metrics
            .iter()
            .enumerate()
            .filter(|(index, _)| each_side[*index])
            .filter_map(|(index, metric)| Some((metric.id.as_deref()?, format!("{prefix}{index}"))))
            .collect();
        let query = |(index, metric): (usize, &CustomMetric)| {
            let source = match metric.source() {
                LevelSource::Expression(expression) => LevelSource::Expression(renamed(&expression, &own)),
                LevelSource::Metric { namespace, metric, dimensions, statistic } => {
                    let filled = |(name, value): (String, String)| Some((name, filled_in(&value, names)?));
                    let dimensions = dimensions.into_iter().map(filled).collect::<Option<_>>()?;
                    LevelSource::Metric { namespace, metric, dimensions, statistic }
                }
            };
            let id = metric.id.as_deref().and_then(|id| own.get(id).cloned());
            let asked = each_side[index] && !unknown[index];
            asked.then(|| LevelQuery { name: metric.name.clone(), id, source, whose })
        };
        self.metrics.iter().enumerate().filter_map(query).collect()
    }

    /// What no id of the user's begins with; each of theirs rules out one.
    fn unused_prefix(&self, word: &str) -> String {
        let taken = |prefix: &String| self.metrics.iter().flat_map(|m| &m.id).any(|id| id.starts_with(prefix.as_str()));
        let mut number = 0;
        loop {
            let prefix = format!("{word}{number}_");
            if !taken(&prefix) {
                return prefix;
            }
            number += 1;
        }
    }
}

/// A question of everybody has no names to fill in, but it may have braces that mean themselves.
fn literal(mut query: LevelQuery) -> LevelQuery {
    if let LevelSource::Metric { dimensions, .. } = &mut query.source {
        for value in dimensions.values_mut() {
            if let Some(text) = filled_in(value, &SideNames::default()) {
                *value = text;
            }
        }
    }
    query
}

/// An expression with other ids.
fn renamed(expression: &str, ids: &BTreeMap<&str, String>) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut from = 0;
    for range in ids_in(expression) {
        text.push_str(&expression[from..range.start]);
        from = range.end;
        let word = &expression[range];
        text.push_str(ids.get(word).map_or(word, String::as_str));
    }
    text.push_str(&expression[from..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(metrics: &str) -> Health {
        Health { metrics: serde_json::from_str(metrics).unwrap(), ..Health::default() }
    }

    fn names(side: &str) -> SideNames {
        SideNames {
            service: Some(format!("web-{side}")),
            family: Some(format!("family-{side}")),
            target_group: Some(format!("targetgroup/{side}/1")),
            load_balancer: Some("app/web/1".to_owned()),
        }
    }

    const CALLS: &str = r#"[
        { "name": "calls", "id": "calls", "namespace": "N", "metric": "Calls", "dimensions": { "S": "{service}", "P": "/a/{{id}}" } },
        { "name": "all", "id": "all", "namespace": "N", "metric": "All", "dimensions": { "P": "/{{id}}" } },
        { "name": "part", "id": "green0_", "expression": "100*calls/all" },
        { "name": "deep", "expression": "MAX([green0_, recalls, calls2]) - calls + 1e5" },
        { "name": "both", "expression": "all + 1" }
    ]"#;

    #[test]
    fn what_refers_to_a_sides_own_is_a_sides_own() {
        assert_eq!(health(CALLS).each_side(), [true, false, true, true, false]);
        let looping =
            r#"[{ "name": "a", "id": "a", "expression": "b" }, { "name": "b", "id": "b", "expression": "a" }]"#;
        assert_eq!(health(looping).each_side(), [false, false]);
    }

    #[test]
    fn each_side_is_asked_under_ids_of_its_own() {
        let queries = health(CALLS).queries(&names("g"), &names("b"));
        let shown: Vec<String> = queries
            .iter()
            .map(|query| {
                let source = match &query.source {
                    LevelSource::Expression(expression) => expression.clone(),
                    LevelSource::Metric { dimensions, .. } => format!("{dimensions:?}"),
                };
                format!("{:?} {} {} {source}", query.whose, query.name, query.id.as_deref().unwrap_or("-"))
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"Everybody all all {"P": "/{id}"}"#,
                "Everybody both - all + 1",
                r#"Green calls green1_0 {"P": "/a/{id}", "S": "web-g"}"#,
                "Green part green1_2 100*green1_0/all",
                "Green deep - MAX([green1_2, recalls, calls2]) - green1_0 + 1e5",
                r#"Blue calls blue0_0 {"P": "/a/{id}", "S": "web-b"}"#,
                "Blue part blue0_2 100*blue0_0/all",
                "Blue deep - MAX([blue0_2, recalls, calls2]) - blue0_0 + 1e5",
            ]
        );
    }

    #[test]
    fn a_side_without_its_names_is_not_asked() {
        let queries = health(CALLS).queries(&SideNames::default(), &names("b"));
        let asked = |whose| queries.iter().filter(|query| query.whose == whose).count();
        assert_eq!((asked(Whose::Everybody), asked(Whose::Green), asked(Whose::Blue)), (2, 0, 3));
    }

    #[test]
    fn levels_are_bounded_or_must_be_reported() {
        let metrics = r#"[
            { "name": "calls", "id": "calls", "namespace": "N", "metric": "C", "dimensions": { "S": "{service}" } },
            { "name": "faults", "of": "calls", "namespace": "N", "metric": "F", "dimensions": { "S": "{service}" }, "missing": "zero" },
            { "name": "depth", "namespace": "N", "metric": "D", "ceiling": 5 },
            { "name": "time", "namespace": "N", "metric": "T", "dimensions": { "S": "{family}" }, "ratio": 1.5 },
            { "name": "part", "id": "part", "namespace": "N", "metric": "P" }
        ]"#;
        let levels: Vec<(String, bool, bool)> =
            health(metrics).levels().into_iter().map(|l| (l.name, l.absent_is_zero, l.of_each_side)).collect();
        let expected = [("calls", false, true), ("faults", true, true), ("depth", false, false), ("time", false, true)];
        assert_eq!(levels, expected.map(|(name, zero, each)| (name.to_owned(), zero, each)));
    }

    #[test]
    fn placeholders_by_table() {
        for (value, names, filled) in [
            ("{service}", vec!["service"], Some("web-g")),
            ("a-{family}-{service}", vec!["family", "service"], Some("a-family-g-web-g")),
            ("{target_group}", vec!["target_group"], Some("targetgroup/g/1")),
            ("{load_balancer}", vec!["load_balancer"], Some("app/web/1")),
            ("{Service}", vec!["Service"], None),
            ("{}", vec![""], None),
            ("{{service}}", vec![], Some("{service}")),
            ("{{{service}}}", vec!["service"], Some("{web-g}")),
            ("open {", vec![], Some("open {")),
            ("} {", vec![], Some("} {")),
            ("ü{service}ü", vec!["service"], Some("üweb-gü")),
            ("", vec![], Some("")),
        ] {
            assert_eq!(names_in(value), names, "{value}");
            assert_eq!(filled_in(value, &self::names("g")).as_deref(), filled, "{value}");
        }
    }

    #[test]
    fn quoted_words_are_no_ids() {
        let words = |text: &str| ids_in(text).into_iter().map(|r| text[r].to_owned()).collect::<Vec<_>>();
        assert_eq!(words("FILL(m1, 0) / x_2"), ["m1", "x_2"]);
        assert_eq!(words("LAMBDA('calls', \"it's\", calls)"), ["calls"]);
        assert_eq!(words("1e5 + Sum"), Vec::<String>::new());
        let ids = BTreeMap::from([("calls", "green0_1".to_owned())]);
        assert_eq!(renamed("LAMBDA('calls', calls)+calls2", &ids), "LAMBDA('calls', green0_1)+calls2");
    }
}
