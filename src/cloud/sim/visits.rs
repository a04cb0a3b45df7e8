//! Requests to the simulated cloud: who answers a smoke test, and what.
//!
//! A rule whose condition the request meets leads it to its target group; an address leads it to the
//! load balancer or the task that has it. Where healthy targets are behind that, 200 is answered. A
//! request that no such rule knows is not answered by green, and gets 404.

use std::collections::BTreeMap;

use super::Sim;
use super::elb::forwards;
use super::universe::Universe;
use crate::errand::{Request, Response, Undone};
use crate::inventory::Route;

impl Sim {
    /// The answer to a request that only asks.
    pub fn visit(&self, request: &Request) -> Result<Response, Undone> {
        let answer = self.read("HTTP GET", |u| Ok(u.answer_to(request)));
        answer.map_err(|error| Undone::Failed(error.message))?.map_err(Undone::Failed)
    }
}

impl Universe {
    fn answer_to(&self, request: &Request) -> Result<Response, String> {
        if let Some(host) = &request.connect_to {
            return self.answer_at(host, port(&request.url));
        }
        let mut rules: Vec<&Route> =
            self.routes.values().map(|r| r.route.seen(self.now)).filter(|r| meets(r, request)).collect();
        rules.sort_by_key(|r| r.priority);
        Ok(rules.first().map_or_else(|| response(404, "no rule of green's knows this request"), |r| self.behind(r)))
    }

    /// The answer of whoever has this name or address. A load balancer answers by the default action of
    /// the listener on that port.
    fn answer_at(&self, host: &str, port: Option<u16>) -> Result<Response, String> {
        if let Some(balancer) = self.load_balancers.values().find(|b| b.dns_name == host) {
            let defaults = self.routes.values().map(|r| r.route.seen(self.now));
            let mut defaults =
                defaults.filter(|r| r.load_balancer == balancer.arn && r.priority.is_none() && r.port == port);
            let refused = || format!("{host} refuses the connection");
            return defaults.next().map(|r| self.behind(r)).ok_or_else(refused);
        }
        let keys: Vec<(String, String)> =
            self.services.keys().filter_map(|k| k.split_once('/')).map(|(c, s)| (c.to_owned(), s.to_owned())).collect();
        let tasks = keys.iter().flat_map(|(cluster, service)| self.tasks(cluster, service));
        let mut running = tasks.filter(|t| t.status == "RUNNING");
        match running.any(|t| t.ipv6.as_deref() == Some(host)) {
            true => Ok(response(200, "ok")),
            false => Err(format!("{host} refuses the connection")),
        }
    }

    /// What the target groups behind a route answer.
    fn behind(&self, route: &Route) -> Response {
        let healthy =
            |group: &str| self.health_seen(group).is_some_and(|targets| targets.iter().any(|t| t.state == "healthy"));
        let served = forwards(route).filter(|(_, weight)| *weight > 0).any(|(group, _)| healthy(group));
        if served { response(200, "ok") } else { response(503, "Service Temporarily Unavailable") }
    }
}

/// The port that an address asks for.
fn port(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let given = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    given.or(Some(if scheme == "https" { 443 } else { 80 }))
}

fn response(status: u16, body: &str) -> Response {
    Response { status, headers: BTreeMap::new(), body: body.to_owned() }
}

/// Whether a request meets all conditions of a rule that asks for a header or a host.
fn meets(route: &Route, request: &Request) -> bool {
    let header = |name: &str| {
        request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let meets = |condition: &String| match condition.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["http-header", name, values @ ..] => {
            header(name.trim_end_matches(':')).is_some_and(|value| values.contains(&value))
        }
        ["host-header", hosts @ ..] => header("host").is_some_and(|host| hosts.contains(&host)),
        _ => false,
    };
    route.priority.is_some() && !route.conditions.is_empty() && route.conditions.iter().all(meets)
}
