//! The load balancers of the estate: what blue's has besides routes, and the one that a playbook names for green.
//!
//! An estate whose load balancer is copied has no rule that cannot be: no client secret, no group of others.
//! It has certificates, tags, a web ACL, a transform and a protection from deletion to be forgotten instead.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::balancers::{SimBalancer, default_attributes, listener_attributes};
use super::super::universe::Universe;
use super::{VPC, map, number_of};
use crate::inventory::balancer::{Anatomy, Listener};
use crate::inventory::{Action, LoadBalancer};

impl Universe {
    /// What blue's load balancer has beside its description and its routes.
    pub(super) fn furnish(&mut self, balancer: &str) {
        let mut attributes = default_attributes();
        attributes.extend(map([
            ("access_logs.s3.bucket", "acme-logs"),
            ("access_logs.s3.enabled", "true"),
            ("deletion_protection.enabled", "true"),
            ("idle_timeout.timeout_seconds", "75"),
        ]));
        let (region, account) = (&self.identity.region, &self.identity.account);
        let parts = Anatomy {
            load_balancer: balancer.to_owned(),
            vpc: Some(VPC.to_owned()),
            attributes,
            tags: map([("aws:cloudformation:stack-name", "edge"), ("team", "platform")]),
            web_acl: Some(format!("arn:aws:wafv2:{region}:{account}:regional/webacl/edge/0a1b2c3d")),
            ..Anatomy::default()
        };
        self.balancers.insert(balancer.to_owned(), long_there(parts, self));
    }

    /// An HTTPS listener of the load balancer, whose actions are among the routes.
    pub(super) fn furnish_listener(&mut self, balancer: &str, listener: &str, port: u16) {
        let secure = port == 443;
        let mut attributes = listener_attributes("HTTPS");
        let header = "routing.http.response.strict_transport_security.header_value";
        attributes.extend(map([(header, "max-age=31536000")]));
        let (region, account) = (self.identity.region.clone(), self.identity.account.clone());
        let certificate = |id: &str| format!("arn:aws:acm:{region}:{account}:certificate/{id}");
        let parts = Listener {
            arn: listener.to_owned(),
            port,
            protocol: if secure { "HTTPS" } else { "HTTP" }.to_owned(),
            ssl_policy: secure.then(|| "ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned()),
            default_certificate: secure.then(|| certificate("0a1b")),
            certificates: if secure { vec![certificate("2c3d"), certificate("4e5f")] } else { Vec::new() },
            mutual_authentication: if secure { map([("Mode", "off")]) } else { BTreeMap::new() },
            attributes: if secure { attributes } else { listener_attributes("HTTP") },
            ..Listener::default()
        };
        if let Some(stored) = self.balancers.get_mut(balancer) {
            stored.parts.listeners.push(parts);
        }
    }

    /// Gives a rule a transform, which rewrites the path of its requests.
    pub(super) fn furnish_transform(&mut self, balancer: &str, rule: &str) {
        let rewrite = json!({ "Regex": "^/old/(.*)$", "Replace": "/$1" });
        let transform = json!({ "Type": "url-rewrite", "UrlRewriteConfig": { "Rewrites": [rewrite] } });
        if let Some(stored) = self.balancers.get_mut(balancer) {
            stored.transforms.insert(rule.to_owned(), vec![transform]);
        }
    }

    /// The load balancer that the playbook names for green: like blue's, without a listener.
    pub(super) fn add_named_balancer(&mut self, wanted: &str, blue: &str) {
        let Some(model) = self.load_balancers.get(blue).cloned() else { return };
        let (arn, name) = match wanted.split_once(":loadbalancer/app/") {
            Some((_, tail)) => (wanted.to_owned(), tail.split('/').next().unwrap_or(tail).to_owned()),
            None => (self.elb_arn(&format!("loadbalancer/app/{wanted}")), wanted.to_owned()),
        };
        let dns_name =
            format!("{name}-{:.10}.{}.elb.amazonaws.com", number_of(&name).to_string(), self.identity.region);
        let web_acl = self.balancers.get(blue).and_then(|s| s.parts.web_acl.clone());
        let parts = Anatomy {
            load_balancer: arn.clone(),
            vpc: Some(VPC.to_owned()),
            attributes: default_attributes(),
            tags: map([("team", "platform")]),
            web_acl,
            ..Anatomy::default()
        };
        self.balancers.insert(arn.clone(), long_there(parts, self));
        let balancer = LoadBalancer { arn: arn.clone(), name, dns_name: dns_name.to_lowercase(), ..model };
        self.load_balancers.insert(arn, balancer);
    }
}

fn long_there(parts: Anatomy, universe: &Universe) -> SimBalancer {
    SimBalancer {
        parts,
        transforms: BTreeMap::new(),
        visible_from: universe.now,
        active_from: universe.now,
        departed: None,
    }
}

/// A login that can be made again: it has no secret.
pub(super) fn cognito() -> Action {
    let config = json!({
        "UserPoolArn": "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_Ab1",
        "UserPoolClientId": "4k2l1",
        "UserPoolDomain": "acme",
        "SessionCookieName": "AWSELBAuthSessionCookie",
        "Scope": "openid",
        "SessionTimeout": 604_800,
        "OnUnauthenticatedRequest": "authenticate",
    });
    Action {
        kind: "authenticate-cognito".to_owned(),
        order: Some(1),
        rest: BTreeMap::from([("AuthenticateCognitoConfig".to_owned(), config)]),
        ..Action::default()
    }
}

/// Sends everything to the secure port.
pub(super) fn to_https() -> Action {
    let config = json!({ "Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}",
        "Query": "#{query}", "StatusCode": "HTTP_301" });
    Action {
        kind: "redirect".to_owned(),
        order: Some(1),
        rest: BTreeMap::from([("RedirectConfig".to_owned(), config)]),
        ..Action::default()
    }
}
