//! What `health` refuses, and what it takes: rates, limits, and the user's metrics that are counted or compared.

use super::{SOUND, and, read, rules};

/// A playbook with these lines in `health`, and this way to move traffic.
fn with_shift(shift: &str, health: &str) -> String {
    let stages = "stages:\n  - { green: 1%, bake: 15m }\n  - { green: 100%, bake: 1h }\n";
    let text = SOUND.replace("{ listener_weights: {} }", shift);
    let at_once = ["listener_swap", "in_place: {}"].iter().any(|way| shift.contains(way));
    let text = if at_once { text.replace(stages, "stages: [{ green: 100%, bake: 1h }]\n") } else { text };
    format!("{text}health:\n{health}")
}

fn metrics(shift: &str, entries: &[&str]) -> String {
    let lines: Vec<String> = entries.iter().map(|entry| format!("    - {{ {entry} }}\n")).collect();
    with_shift(shift, &format!("  metrics:\n{}", lines.concat()))
}

const WEIGHTS: &str = "{ listener_weights: {} }";
const DNS: &str = "{ dns_weights: {} }";
const SWAP: &str = "{ listener_swap: {} }";
const IN_PLACE: &str = "{ in_place: {} }";
const FLEETS: &str = "{ in_place: { staged: true } }";

/// All of something, on each side.
const CALLS: &str =
    "name: calls, id: calls, namespace: Shop, metric: Calls, statistic: Sum, dimensions: { Service: \"{service}\" }";
const ALL_CALLS: &str = "name: calls, id: calls, namespace: Shop, metric: Calls, statistic: Sum";
const BY_BALANCER: &str =
    "name: t, ratio: 1.5, namespace: Shop, metric: T, dimensions: { LoadBalancer: \"{load_balancer}\" }";

/// A metric `bad` of each side with more fields.
fn bad(fields: &str) -> String {
    format!("name: bad, namespace: Shop, metric: Bad, dimensions: {{ Service: \"{{service}}\" }}, {fields}")
}

#[test]
fn rates_by_table() {
    for (line, expected) in [
        ("false_rollback: 1%", None),
        ("false_rollback: 0.05%", None),
        ("false_rollback: 50%", None),
        ("false_rollback: 5 %", None),
        ("false_rollback: 50.1%", Some(("bad-percentage", "above 0% and up to 50%"))),
        ("false_rollback: 0%", Some(("bad-percentage", "`0%` is not above 0%"))),
        ("false_rollback: 0.000%", Some(("bad-percentage", "is not above 0%"))),
        ("false_rollback: 1", Some(("bad-percentage", "a number without a unit"))),
        ("false_rollback: -1%", Some(("bad-percentage", "not a percentage"))),
        ("false_rollback: nan%", Some(("bad-percentage", "not a percentage"))),
        ("false_rollback: 1e0%", Some(("bad-percentage", "not a percentage"))),
        ("false_rollback:", Some(("empty-value", "no value"))),
        ("false_rollback: [1%]", Some(("wrong-type", "single value"))),
        ("hard_limit: 0.05%", None),
        ("hard_limit: 100%", None),
        ("hard_limit: 100.1%", Some(("bad-percentage", "not a percentage"))),
        ("hard_limit: 0%", Some(("bad-percentage", "above 0% and up to 100%"))),
        ("hard_limit: 0.02", Some(("bad-percentage", "a number without a unit"))),
        ("errors: { ceiling: 0% }", Some(("bad-percentage", "above 0%"))),
        ("errors: { ceiling: 2% }\n  hard_limit: 2.0%", None),
        ("errors: { ceiling: 2% }\n  hard_limit: 3%", Some(("two-limits", "two names of one limit"))),
        ("errors: { ratio: 1 }", None),
        ("errors: { ratio: 0.99 }", Some(("out-of-range", "at least 1"))),
        ("accepted_failures: 1", None),
        ("accepted_failures: 1099511627776", None),
        ("accepted_failures: 1099511627777", Some(("out-of-range", "between 1 and"))),
        ("accepted_failures: 0", Some(("out-of-range", "between 1 and"))),
        ("accepted_failures: 5%", Some(("wrong-type", "whole number"))),
        ("on_no_data: rollback", None),
        ("on_no_data: go_home", Some(("unknown-value", "`rollback`"))),
    ] {
        let text = with_shift(WEIGHTS, &format!("  {line}\n"));
        let found = read(&text).findings;
        let shown: Vec<(&str, &str)> = found.iter().map(|f| (f.rule.as_str(), f.message.as_str())).collect();
        match (expected, shown.as_slice()) {
            (None, []) => {}
            (Some((rule, words)), [(found, message)]) => {
                assert_eq!(*found, rule, "{line}");
                assert!(message.contains(words), "{line}: {message}");
            }
            (expected, _) => panic!("{line}: {shown:?}, {expected:?} expected"),
        }
        assert!(found.iter().all(|f| !f.remedy.is_empty()), "{line}");
        // An editor says the same, but of two fields together.
        let validator = jsonschema::validator_for(&migrate::playbook::schema()).unwrap();
        let json: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        if expected.is_none_or(|(rule, _)| rule != "two-limits") {
            assert_eq!(validator.is_valid(&json), expected.is_none(), "{line}");
        }
    }
}

#[test]
fn the_older_name_of_the_limit() {
    let limit = |lines: &str| read(&with_shift(WEIGHTS, lines)).playbook.unwrap().health.limit().map(|r| r.to_string());
    assert_eq!(limit("  errors: { ceiling: 2% }\n"), Some("2%".to_owned()));
    assert_eq!(limit("  hard_limit: 0.07%\n"), Some("0.07%".to_owned()));
    assert_eq!(limit("  errors: {}\n"), None);
}

#[test]
fn metrics_that_count_and_compare() {
    for (shift, entries) in [
        (WEIGHTS, vec![CALLS.to_owned(), bad("of: calls, statistic: Sum, missing: zero")]),
        (WEIGHTS, vec![CALLS.to_owned(), bad("of: calls, statistic: SampleCount, direction: decrease, weight: 10")]),
        (WEIGHTS, vec![CALLS.to_owned(), bad("of: calls, statistic: Sum, direction: decrease, missing: zero")]),
        (WEIGHTS, vec![bad("ratio: 1.5, ceiling: 3, floor: 1, weight: 0.01")]),
        (WEIGHTS, vec![bad("ratio: 1, direction: increase")]),
        (WEIGHTS, vec![bad("ceiling: 3, missing: zero, ratio: 2")]),
        // By an expression over each side's own, and over one of everybody's beside it.
        (
            WEIGHTS,
            vec![
                CALLS.to_owned(),
                bad("id: bad, statistic: Sum"),
                "name: part, expression: bad / calls, ratio: 2".into(),
            ],
        ),
        (WEIGHTS, vec![CALLS.to_owned(), "name: twice, of: calls, expression: calls / 2".into()]),
        (DNS, vec![BY_BALANCER.to_owned()]),
        (FLEETS, vec![CALLS.to_owned(), bad("of: calls, statistic: Sum")]),
        // Green is compared with the past, and one metric has both.
        (SWAP, vec![ALL_CALLS.to_owned(), bad("of: calls, statistic: Sum")]),
        (
            SWAP,
            vec![
                "name: t, ratio: 1.5, namespace: Shop, metric: T, statistic: Sum".into(),
                BY_BALANCER.replace("name: t", "name: u"),
            ],
        ),
        (IN_PLACE, vec![ALL_CALLS.to_owned(), "name: b, of: calls, namespace: Shop, metric: B, statistic: Sum".into()]),
        (IN_PLACE, vec![bad("ceiling: 5")]),
    ] {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let text = metrics(shift, &entries);
        let found = read(&text).findings;
        assert!(found.is_empty(), "{text}\n{found:?}");
        let validator = jsonschema::validator_for(&migrate::playbook::schema()).unwrap();
        let json: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&json).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert_eq!(errors, Vec::<String>::new(), "{text}");
    }
}

/// Each with the text that is meant and a remedy.
#[test]
fn metrics_that_cannot_be_counted_or_compared() {
    let calls = |statistic: &str| CALLS.replace("statistic: Sum", statistic);
    let of = |fields: &str| vec![CALLS.to_owned(), bad(fields)];
    let dimension =
        |value: &str| vec![format!("name: a, ceiling: 1, namespace: Shop, metric: M, dimensions: {{ S: {value} }}")];
    for (shift, entries, rule, meant, remedy) in [
        (WEIGHTS, of("of: call, statistic: Sum"), "unknown-id", "call,", "`id: call`"),
        (WEIGHTS, of("of: bad, id: bad, statistic: Sum"), "unknown-id", "bad, id", "`id: bad`"),
        (WEIGHTS, of("of: calls, statistic: Sum, ratio: 2"), "of-and-level", "{ name: bad", "remove `ratio`"),
        (WEIGHTS, of("of: calls, statistic: Sum, ceiling: 2"), "of-and-level", "{ name: bad", "remove `ceiling`"),
        (WEIGHTS, of("of: calls, statistic: Sum, floor: 2"), "of-and-level", "{ name: bad", "remove `floor`"),
        (WEIGHTS, of("of: calls, statistic: p99"), "not-a-count", "p99", "`statistic: Sum`"),
        (WEIGHTS, of("of: calls"), "not-a-count", "{ name: bad", "`statistic: Sum`"),
        (WEIGHTS, vec![calls("statistic: Maximum"), bad("of: calls, statistic: Sum")], "not-a-count", "Maximum", "Sum"),
        (WEIGHTS, of("ratio: 0.5"), "out-of-range", "0.5", "three times blue's value"),
        (WEIGHTS, of("ratio: 1.5, statistic: Sum"), "ratio-of-counts", "1.5", "`of:`"),
        (WEIGHTS, of("ratio: 2, weight: 0.009"), "out-of-range", "0.009", "`weight: 0.1`"),
        (WEIGHTS, of("ratio: 2, weight: 10.5"), "out-of-range", "10.5", "`weight: 0.1`"),
        (WEIGHTS, of("ratio: 2, weight: .nan"), "wrong-type", ".nan", "`weight: 0.1`"),
        (WEIGHTS, of("ratio: 2, weight: 10%"), "wrong-type", "10%", "`weight: 0.1`"),
        (WEIGHTS, of("ratio: 2, direction: down"), "unknown-value", "down", "`decrease`"),
        (WEIGHTS, of("ceiling: 2, direction: decrease"), "no-effect", "decrease", "add `of: requests`"),
        (WEIGHTS, of("ceiling: 2, weight: 1"), "no-effect", "1", "add `of: requests`"),
        (WEIGHTS, of("ratio: 2, missing: zero"), "no-effect", "{ name: bad", "drop `missing: zero`"),
        (WEIGHTS, dimension("\"{servce}\""), "unknown-placeholder", "\"{servce}\"", "did you mean `{service}`?"),
        (WEIGHTS, dimension("\"/pets/{petId}\""), "unknown-placeholder", "\"/pets", "itself twice: `{{`, `}}`"),
        (
            WEIGHTS,
            vec!["name: t, ratio: 2, namespace: Shop, metric: T, dimensions: { S: \"{servic}\" }".to_owned()],
            "unknown-placeholder",
            "\"{servic}\"",
            "`{service}`",
        ),
        (WEIGHTS, dimension("{service}"), "wrong-type", "{service}", "put it in quotes: `\"{service}\"`"),
        (IN_PLACE, dimension("\"{target_group}\""), "unknown-placeholder", "{ S:", "`{service}` or `{family}`"),
        (FLEETS, dimension("\"{load_balancer}\""), "unknown-placeholder", "{ S:", "`{service}` or `{family}`"),
        (
            WEIGHTS,
            vec![ALL_CALLS.to_owned(), bad("of: calls, statistic: Sum")],
            "not-of-each-side",
            "calls",
            "`\"{service}\"`",
        ),
        (
            FLEETS,
            vec![ALL_CALLS.to_owned(), bad("of: calls, statistic: Sum")],
            "not-of-each-side",
            "calls",
            "`\"{family}\"`",
        ),
        (
            DNS,
            vec!["name: t, ratio: 2, namespace: Shop, metric: T".into()],
            "not-of-each-side",
            "2",
            "`\"{load_balancer}\"`",
        ),
        (WEIGHTS, vec![BY_BALANCER.to_owned()], "not-of-each-side", "1.5", "`\"{target_group}\"`"),
    ] {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let text = metrics(shift, &entries);
        let found = read(&text).findings;
        let [finding] = found.as_slice() else { panic!("{text}\n{found:?}") };
        assert_eq!(finding.rule, rule, "{text}\n{finding:?}");
        let place = finding.place.unwrap_or_else(|| panic!("{finding:?} has no place"));
        assert!(text[place.start..].starts_with(meant), "{rule}: {:?} is not at {meant}", &text[place.start..]);
        assert!(finding.remedy.contains(remedy), "{rule}: {}", finding.remedy);
    }
}

/// Mistakes do not hide each other.
#[test]
fn all_at_once() {
    let entries = [
        "name: a, of: gone, weight: 99, direction: up, namespace: Shop, metric: M, dimensions: { S: \"{srv}\" }",
        "name: b, ratio: 0, ceiling: x, namespace: Shop, metric: M",
        "name: c, ratio: 2, statistic: Sum, namespace: Shop, metric: M",
    ];
    let found = rules(&metrics(WEIGHTS, &entries));
    let expected = [
        "unknown-id",
        "out-of-range",
        "unknown-value",
        "unknown-placeholder",
        "out-of-range",
        "wrong-type",
        "not-of-each-side",
        "ratio-of-counts",
    ];
    let sorted = |rules: &[&str]| {
        let mut rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        rules.sort();
        rules
    };
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(sorted(&found), sorted(&expected), "{}", super::shown(&metrics(WEIGHTS, &entries)));
}

#[test]
fn fifty_metrics_of_each_side_fit_into_one_question() {
    let entry = |n: usize| {
        format!("name: m{n}, id: m{n}, ceiling: 1, namespace: Shop, metric: M{n}, dimensions: {{ S: \"{{family}}\" }}")
    };
    let entries: Vec<String> = (0..50).map(entry).collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let health = read(&metrics(WEIGHTS, &entries)).playbook.unwrap().health;
    let names = |side: &str| migrate::playbook::SideNames { family: Some(side.to_owned()), ..Default::default() };
    let queries = health.queries(&names("g"), &names("b"));
    let ids: std::collections::BTreeSet<&String> = queries.iter().flat_map(|query| &query.id).collect();
    assert_eq!((queries.len(), ids.len()), (100, 100));
    let legal = |id: &&String| {
        id.starts_with(|c: char| c.is_ascii_lowercase()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    assert!(ids.iter().all(|id| legal(id) && !id.starts_with("migrate_")));
    assert_eq!(rules(&and("health: { metrics: [] }\n")), Vec::<String>::new());
}
