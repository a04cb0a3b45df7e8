//! Smoke tests: a request that green alone answers, before it receives any user's.
//!
//! Where a load balancer is shared, a rule of our own leads the request to green for a moment. It
//! stands before every rule that could answer the request, only the test's request meets its
//! condition, and it bears our tags: whatever became of the test, and of the process, it is found by
//! them and removed. Where green has a load balancer of its own, or none, it is asked directly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::green::healthy;
use super::{GREEN_BALANCER_DNS, Outcome, Scene, SmokeTest};
use crate::clock::Wake;
use crate::cloud::trials::NewTestRule;
use crate::cloud::{CloudError, Watch};
use crate::errand::{Request, Response, Undone};
use crate::inventory::{Action, ForwardConfig, Route, WeightedGroup};
use crate::playbook::{Expect, Shift, Smoke, Via, ViaHeader};

/// Between two attempts: a new rule reaches all nodes of a load balancer within seconds.
const PAUSE_SECONDS: i64 = 5;
/// How long reads may lag behind writes.
const LAG_SECONDS: i64 = 10;
/// Priorities that a rule may have (ELBv2 API reference, `CreateRule`).
const LAST_PRIORITY: u32 = 50_000;
/// The header that the load balancer knows a test by, where the playbook names nothing.
const HEADER: &str = "x-migrate-smoke";

/// What came of asking.
enum Trial {
    Passed,
    Failed(String),
    /// The process was asked to stop.
    Stopped,
}

pub(super) fn perform(scene: &Scene, test: &SmokeTest) -> Result<Outcome, CloudError> {
    let named = |balancer: &crate::inventory::LoadBalancer| balancer.dns_name.clone();
    let hosts: Vec<String> = match &scene.playbook.shift {
        Shift::ListenerWeights(_) => return through_rules(scene, test),
        Shift::DnsWeights(_) => {
            let made = scene.made.get(GREEN_BALANCER_DNS).cloned();
            made.or(scene.inventory.green_balancer.as_ref().map(named)).into_iter().collect()
        }
        Shift::ListenerSwap(_) | Shift::InPlace(_) => {
            let tasks = scene.cloud.tasks(&scene.green.cluster, &scene.green.service)?;
            tasks.into_iter().filter(|t| t.status == "RUNNING").filter_map(|t| t.ipv6).collect()
        }
    };
    if hosts.is_empty() {
        return Ok(Outcome::NotYet("green has no address of its own yet".to_owned()));
    }
    for host in hosts {
        let request = Request { connect_to: Some(host.clone()), ..request(&test.smoke, BTreeMap::new()) };
        match ask(scene, &test.smoke, &request) {
            Trial::Passed => {}
            Trial::Failed(why) => return Ok(Outcome::Never(format!("{host}: {why}"))),
            Trial::Stopped => return Ok(stopped()),
        }
    }
    Ok(Outcome::done())
}

/// Removes what a test that broke off has left.
pub(super) fn undo(scene: &Scene, test: &SmokeTest) -> Result<Outcome, CloudError> {
    if test.listeners.is_empty() {
        return Ok(Outcome::done());
    }
    let found = scene.cloud.test_rules(&test.listeners, &mark(scene))?;
    for rule in &found {
        scene.cloud.delete_rule(rule)?;
    }
    Ok(if found.is_empty() { super::green::unseen(scene, "the rule of the smoke test") } else { Outcome::done() })
}

/// Whether a test of this run leads through a rule; the condition by which it is found by hand.
pub(super) fn query(smoke: &Smoke) -> String {
    match &smoke.via {
        Some(Via::Host(host)) => format!("HostHeaderConfig.Values[0]==`{host}`"),
        Some(Via::Header(header)) => format!("HttpHeaderConfig.HttpHeaderName==`{}`", header.name),
        None => format!("HttpHeaderConfig.HttpHeaderName==`{HEADER}`"),
    }
}

fn through_rules(scene: &Scene, test: &SmokeTest) -> Result<Outcome, CloudError> {
    let smoke = &test.smoke;
    let begun = scene.clock.now();
    let via = via(scene, smoke);
    let mut made = Vec::new();
    let tried = rules(scene, test, &via, &mut made).map(|refusal| {
        refusal.unwrap_or_else(|| {
            let headers = match &via {
                Via::Header(header) => [(header.name.clone(), header.value.clone())],
                Via::Host(host) => [("Host".to_owned(), host.clone())],
            };
            match ask(scene, smoke, &request(smoke, headers.into())) {
                Trial::Passed => Outcome::done(),
                Trial::Failed(why) => Outcome::Never(why),
                Trial::Stopped => stopped(),
            }
        })
    });
    // Whatever came of it, the rules go; what failed first is what is told.
    let cleared = clear(scene, test, &made, begun);
    match (tried?, cleared) {
        (outcome, Ok(None)) => Ok(outcome),
        (_, Ok(Some(not_yet))) => Ok(not_yet),
        (_, Err(error)) => Ok(Outcome::Partly(error)),
    }
}

/// Puts a rule on every listener that moves traffic; an outcome where that cannot be.
fn rules(scene: &Scene, test: &SmokeTest, via: &Via, made: &mut Vec<String>) -> Result<Option<Outcome>, CloudError> {
    let smoke = &test.smoke;
    let pairs = scene.pairs();
    let sight = scene.cloud.observe(&Watch {
        listeners: test.listeners.clone(),
        target_groups: pairs.iter().map(|p| p.green.clone()).collect(),
        ..Watch::default()
    })?;
    for pair in &pairs {
        let count = healthy(sight.health.get(&pair.green));
        if count < scene.green.count {
            return Ok(Some(Outcome::NotYet(format!("{count} of {} green targets are healthy", scene.green.count))));
        }
    }
    // What an attempt that broke off has left serves this one, and goes with it.
    let left = scene.cloud.test_rules(&test.listeners, &mark(scene))?;
    for listener in &test.listeners {
        let standing = sight.routes.iter().find(|r| r.listener == *listener && left.iter().any(|l| l == r.at.arn()));
        if let Some(rule) = standing {
            made.push(rule.at.arn().to_owned());
            continue;
        }
        let moving: Vec<&Route> = scene.routes.iter().filter(|r| r.listener == *listener).collect();
        let Some(blue) = answering(&moving, smoke).and_then(|route| blue_of(route, scene)) else { continue };
        let Some(pair) = pairs.iter().find(|p| p.blue == blue) else { continue };
        // The run's own word stands in no rule of others, also where tags are not shown yet.
        let own = |r: &Route| r.conditions.iter().any(|c| c.split_whitespace().any(|word| word == scene.token));
        let all: Vec<&Route> = sight.routes.iter().filter(|r| r.listener == *listener && !own(r)).collect();
        let priority = match free_before(&all, smoke, via) {
            Ok(priority) => priority,
            Err(rule) => {
                let why = format!("no priority is free before the rule {rule}, which would answer the test itself");
                return Ok(Some(Outcome::Never(why)));
            }
        };
        let tuple = WeightedGroup { target_group_arn: pair.green.clone(), weight: Some(1) };
        let forward = ForwardConfig { target_groups: vec![tuple], target_group_stickiness_config: None };
        let action =
            Action { kind: "forward".to_owned(), order: Some(1), forward_config: Some(forward), ..Action::default() };
        let rule = NewTestRule {
            listener: listener.clone(),
            via: via.clone(),
            priority,
            actions: vec![action],
            tags: mark(scene),
        };
        made.push(scene.cloud.create_test_rule(&rule)?);
    }
    Ok(None)
}

/// Removes the rules of the test, also one whose creation was never answered; an outcome where it is
/// not certain yet that none is left.
fn clear(
    scene: &Scene,
    test: &SmokeTest,
    made: &[String],
    begun: DateTime<Utc>,
) -> Result<Option<Outcome>, CloudError> {
    for rule in made {
        scene.cloud.delete_rule(rule)?;
    }
    // A rule that was made a moment ago may not be shown yet.
    let awake = scene.clock.wait(begun + TimeDelta::seconds(LAG_SECONDS)) == Wake::Reached;
    for rule in scene.cloud.test_rules(&test.listeners, &mark(scene))? {
        // One that is gone and still shown counts as deleted.
        scene.cloud.delete_rule(&rule)?;
    }
    Ok((!awake).then(stopped))
}

fn stopped() -> Outcome {
    Outcome::NotYet("asked to stop".to_owned())
}

fn ask(scene: &Scene, smoke: &Smoke, request: &Request) -> Trial {
    let mut last = String::new();
    for attempt in 1..=smoke.attempts {
        match scene.errands.ask(request) {
            Ok(response) => match unexpected(&smoke.expect, &response) {
                None => return Trial::Passed,
                Some(why) => last = why,
            },
            Err(Undone::Rehearsed(_)) => return Trial::Passed,
            Err(Undone::Stopped) => return Trial::Stopped,
            Err(Undone::Failed(why)) => last = format!("expected {}, and got no answer: {why}", wish(&smoke.expect)),
        }
        let next = scene.clock.now() + TimeDelta::seconds(PAUSE_SECONDS);
        if attempt < smoke.attempts && scene.clock.wait(next) != Wake::Reached {
            return Trial::Stopped;
        }
    }
    Trial::Failed(format!("{last} ({} attempts)", smoke.attempts))
}

/// What is wrong with an answer.
fn unexpected(expect: &Expect, response: &Response) -> Option<String> {
    let status = expect.status.map_or((200..300).contains(&response.status), |s| s == response.status);
    let body = expect.body.as_ref().is_none_or(|text| response.body.contains(text));
    let headers = expect.headers.iter().all(|(name, value)| response.headers.get(&name.to_lowercase()) == Some(value));
    let line = response.first_line();
    let line = if line.is_empty() { "an empty body".to_owned() } else { format!("\"{line}\"") };
    (!(status && body && headers)).then(|| format!("expected {}, and got {} and {line}", wish(expect), response.status))
}

fn wish(expect: &Expect) -> String {
    let mut words = vec![expect.status.map_or_else(|| "2xx".to_owned(), |s| s.to_string())];
    words.extend(expect.body.as_ref().map(|text| format!("a body with \"{text}\"")));
    words.extend(expect.headers.iter().map(|(name, value)| format!("the header {name}: {value}")));
    words.join(" and ")
}

fn request(smoke: &Smoke, headers: BTreeMap<String, String>) -> Request {
    let timeout: Duration = smoke.timeout.0;
    Request {
        url: smoke.http.clone(),
        headers,
        body: None,
        timeout,
        connect_to: None,
        ipv6: smoke.ipv6,
        insecure: smoke.insecure,
    }
}

/// By what the load balancer knows the test: what the playbook names, or a header with a word that is
/// unique to the run.
fn via(scene: &Scene, smoke: &Smoke) -> Via {
    let own = || Via::Header(ViaHeader { name: HEADER.to_owned(), value: scene.token.clone() });
    smoke.via.clone().unwrap_or_else(own)
}

/// The tags of a test rule, by which it is found.
fn mark(scene: &Scene) -> BTreeMap<String, String> {
    [("migrate:run".to_owned(), scene.run.to_owned()), ("migrate:smoke".to_owned(), scene.token.clone())].into()
}

/// The route that answers the test's address to users: by its path, else the default action.
fn answering<'a>(moving: &[&'a Route], smoke: &Smoke) -> Option<&'a Route> {
    let mut rules: Vec<&Route> = moving.to_vec();
    rules.sort_by_key(|r| r.priority.unwrap_or(u32::MAX));
    let (host, path) = place(&smoke.http);
    let meets = |r: &&&Route| r.priority.is_none() || could_match(r, host, path, None);
    rules.iter().find(meets).or(rules.first()).copied()
}

fn blue_of(route: &Route, scene: &Scene) -> Option<String> {
    let named = crate::traffic::tuples(&route.actions);
    named.into_iter().map(|t| t.target_group_arn).find(|arn| scene.blue_groups.contains(arn))
}

/// The lowest free priority, where that stands before every rule that could answer the test; else
/// the rule that stands before it.
fn free_before(rules: &[&Route], smoke: &Smoke, via: &Via) -> Result<u32, u32> {
    let (host, path) = place(&smoke.http);
    let host = if let Via::Host(host) = via { host.as_str() } else { host };
    let taken: BTreeSet<u32> = rules.iter().filter_map(|r| r.priority).collect();
    let rivals = rules.iter().filter(|r| r.priority.is_some() && could_match(r, host, path, Some(via)));
    let first = rivals.filter_map(|r| r.priority).min().unwrap_or(LAST_PRIORITY + 1);
    (1..first).find(|p| !taken.contains(p)).ok_or(first)
}

/// Host and path of an address.
fn place(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    (host, if path.is_empty() { "/" } else { path })
}

/// Whether a rule could match a GET of this host and path. Conditions that are not understood here
/// could.
fn could_match(route: &Route, host: &str, path: &str, via: Option<&Via>) -> bool {
    let meets = |condition: &String| {
        let mut words = condition.split_whitespace();
        let field = words.next().unwrap_or_default();
        let values: Vec<&str> = words.collect();
        // A regular expression stands between slashes, as a path of one folder does: both could match.
        match field {
            "host-header" => {
                let host = host.to_lowercase();
                values.iter().any(|v| v.starts_with('/') || glob(&v.to_lowercase(), &host))
            }
            "path-pattern" => {
                values.iter().any(|v| glob(v, path) || (v.len() > 1 && v.starts_with('/') && v.ends_with('/')))
            }
            "http-request-method" => values.iter().any(|v| *v == "GET" || *v == "*"),
            "http-header" => {
                let name = values.first().map_or("", |n| n.trim_end_matches(':'));
                // Headers that every client sends are not looked into.
                let sent = ["host", "user-agent", "accept", "accept-encoding", "connection"];
                sent.contains(&name.to_lowercase().as_str())
                    || matches!(via, Some(Via::Header(header)) if header.name.eq_ignore_ascii_case(name))
            }
            _ => true,
        }
    };
    route.conditions.iter().all(meets)
}

/// Whether a pattern with `*` and `?` matches a text, as the load balancer's do.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((before, from)) => {
                    at = before + 1;
                    seen = from + 1;
                    star = Some((before, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::RouteAt;

    fn route(priority: u32, conditions: &[&str]) -> Route {
        Route {
            at: RouteAt::Rule(format!("rule-{priority}")),
            load_balancer: "lb".to_owned(),
            listener: "l".to_owned(),
            port: Some(443),
            priority: Some(priority),
            conditions: conditions.iter().map(|c| (*c).to_owned()).collect(),
            actions: Vec::new(),
        }
    }

    fn smoke(url: &str) -> Smoke {
        let text = format!("{{ \"http\": \"{url}\" }}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_test_rule_stands_before_every_rule_that_could_answer() {
        let via = Via::Header(ViaHeader { name: HEADER.to_owned(), value: "x".to_owned() });
        let test = smoke("https://api.example.com/health");
        let free = |rules: &[Route]| free_before(&rules.iter().collect::<Vec<_>>(), &test, &via);
        assert_eq!(free(&[]), Ok(1));
        assert_eq!(free(&[route(10, &["path-pattern /*"])]), Ok(1));
        // What cannot match may stand before it.
        let other = route(1, &["host-header shop.example.com"]);
        assert_eq!(free(&[other.clone(), route(3, &["path-pattern /h*"])]), Ok(2));
        assert_eq!(free(&[other.clone(), route(2, &["path-pattern /health"])]), Err(2));
        assert_eq!(free(&[route(1, &["source-ip 10.0.0.0/8"])]), Err(1));
        for apart in
            ["host-header *.shop.com", "path-pattern /api/*", "http-request-method POST PUT", "http-header X-Beta: yes"]
        {
            assert_eq!(free(&[route(1, &[apart]), route(2, &["path-pattern *"])]), Err(2), "{apart}");
        }
        for near in ["host-header API.example.*", "host-header /^api/", "query-string v=2", "http-header User-Agent: *"]
        {
            assert_eq!(free(&[route(1, &[near])]), Err(1), "{near}");
        }
    }

    #[test]
    fn patterns_match_as_the_load_balancers_do() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("/a*c", "/abc", true),
            ("/a*c", "/abd", false),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("*.example.com", "a.b.example.com", true),
            ("/*/x", "/a/b/x", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
        assert_eq!(place("https://[::1]:8443/a?b"), ("::1", "/a"));
        assert_eq!(place("http://x"), ("x", "/"));
    }

    #[test]
    fn an_answer_is_held_against_all_that_is_expected() {
        let answer = Response {
            status: 200,
            headers: [("x-side".to_owned(), "green".to_owned())].into(),
            body: "\n all ok\nmore".to_owned(),
        };
        let expect = |text: &str| -> Expect { serde_json::from_str(text).unwrap() };
        for good in ["{}", "{\"status\":200}", "{\"body\":\"more\"}", "{\"headers\":{\"X-Side\":\"green\"}}"] {
            assert_eq!(unexpected(&expect(good), &answer), None, "{good}");
        }
        let why = unexpected(&expect("{\"status\":204,\"body\":\"fine\"}"), &answer).unwrap();
        assert_eq!(why, "expected 204 and a body with \"fine\", and got 200 and \"all ok\"");
        assert!(unexpected(&expect("{\"headers\":{\"X-Side\":\"blue\"}}"), &answer).is_some());
    }
}
