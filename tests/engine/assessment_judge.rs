//! What assessment says of the judge: whether blue's last day leaves it something to go by.

use migrate::assess::assess;
use migrate::cloud::sim::Scenario;
use migrate::finding::{Finding, Severity, blocks};
use migrate::inventory::{History, Inventory, Past, Slow};

use super::lab::{Lab, SHORT, SWAP, playbook};

/// A day of 20 requests a second, of which 0.1 % failed one by one.
pub fn quiet_day() -> History {
    let past = |rate: f64| Past { rate, phi: 1.1, ..Past::default() };
    History {
        requests_per_minute: 1200.0,
        errors: past(0.001),
        unserved: past(0.0),
        client_errors: past(0.01),
        slow: Some([Slow { bound: 0.2, past: past(0.05) }, Slow { bound: 0.5, past: past(0.01) }]),
        ..History::default()
    }
}

/// What is found about the judge where the day was like this and `health` says that.
fn found(text: &str, health: &str, history: Option<History>) -> Vec<Finding> {
    let own = [
        "limit-too-near",
        "history-unreadable",
        "no-traffic",
        "failures-in-clusters",
        "latency-by-percentiles",
        "latency-not-judged",
    ];
    let inventory = Lab::new(playbook(text), Scenario::Healthy, 7).inventory();
    let wished = playbook(&format!("{text}{health}"));
    let findings = assess(&wished, &Inventory { history, ..inventory });
    findings.into_iter().filter(|finding| own.contains(&finding.rule.as_str())).collect()
}

fn day(change: impl FnOnce(&mut History)) -> Option<History> {
    let mut day = quiet_day();
    change(&mut day);
    Some(day)
}

fn shown(findings: &[Finding]) -> Vec<(&str, Severity)> {
    findings.iter().map(|finding| (finding.rule.as_str(), finding.severity)).collect()
}

#[test]
fn a_quiet_day_is_all_it_needs() {
    assert_eq!(found(SHORT, "", day(|_| {})), []);
    assert_eq!(found(SHORT, "health: { hard_limit: 0.2% }\n", day(|_| {})), []);
    assert_eq!(shown(&found(SWAP, "", day(|_| {}))), [("latency-not-judged", Severity::Info)]);
}

#[test]
fn a_limit_that_an_ordinary_day_breaks_is_refused() {
    for limit in ["health: { hard_limit: 1% }\n", "health: { errors: { ceiling: 1% } }\n"] {
        let findings = found(SHORT, limit, day(|d| d.errors.rate = 0.006));
        assert_eq!(shown(&findings), [("limit-too-near", Severity::Block)]);
        assert!(blocks(&findings));
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.message, "the hard limit of 1% is less than twice what blue failed over the last day");
        assert_eq!(finding.evidence[0], "blue failed 0.6% of 1200 requests a minute");
        assert!(finding.remedy.contains("to 1.2% or more") && finding.remedy.contains("here 3%"), "{finding:?}");
    }
    let proposed = found(SHORT, "health: { hard_limit: 1.2% }\n", day(|d| d.errors.rate = 0.006));
    assert_eq!(proposed, [], "the remedy helps");
    assert_eq!(found(SHORT, "", day(|d| d.errors.rate = 0.3)), [], "the default leaves room");
}

#[test]
fn what_the_judge_lacks_is_said_before() {
    let unread = found(SHORT, "", None);
    assert_eq!(shown(&unread), [("history-unreadable", Severity::Warn)]);
    assert!(unread[0].evidence[0].contains("no limit stands beside"), "{unread:?}");
    assert!(unread[0].remedy.contains("set `health.hard_limit`"), "{unread:?}");
    let limited = found(SHORT, "health: { hard_limit: 1% }\n", None);
    assert!(!limited[0].evidence[0].contains("no limit") && !limited[0].remedy.contains("hard_limit"), "{limited:?}");
    let flows = found(SWAP, "", None);
    assert_eq!(shown(&flows), [("history-unreadable", Severity::Warn), ("latency-not-judged", Severity::Info)]);
    assert!(!flows[0].evidence[0].contains("percentiles"), "{flows:?}");
}

#[test]
fn a_day_without_traffic() {
    for (health, words) in [
        ("", "a stage holds when twice"),
        ("health: { on_no_data: advance }\n", "a stage goes on when twice"),
        ("health: { on_no_data: rollback }\n", "a stage goes home when twice"),
    ] {
        let findings = found(SHORT, health, Some(History::default()));
        assert_eq!(shown(&findings), [("no-traffic", Severity::Warn)]);
        assert!(findings[0].evidence[0].contains(words), "{findings:?}");
    }
}

#[test]
fn clusters_and_uncounted_slowness() {
    let clustered = found(SHORT, "", day(|d| d.errors.phi = 4.24));
    assert_eq!(shown(&clustered), [("failures-in-clusters", Severity::Info)]);
    assert_eq!(clustered[0].message, "blue's failures come in clusters: phi is 4.2");
    assert_eq!(found(SHORT, "", day(|d| d.errors.phi = 3.0)), []);
    let uncounted = found(SHORT, "", day(|d| d.slow = None));
    assert_eq!(shown(&uncounted), [("latency-by-percentiles", Severity::Info)]);
    let counted = found(SHORT, "health: { latency: { statistic: p95, ratio: 1.2 } }\n", day(|d| d.slow = None));
    assert_eq!(shown(&counted), [("latency-by-percentiles", Severity::Info)]);
    let wished = "health: { latency: { statistic: p90, ratio: 1.2 } }\n";
    assert_eq!(found(SHORT, wished, day(|d| d.slow = None)), [], "as the playbook has it");
    assert_eq!(shown(&found(SWAP, "", day(|d| d.slow = None))), [("latency-not-judged", Severity::Info)]);
}
