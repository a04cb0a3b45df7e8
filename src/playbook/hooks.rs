//! Decodes what happens around a shift: hooks, smoke tests and notices.

use std::collections::BTreeMap;

use super::field;
use super::quantity::Bounds;
use super::reader::{Reader, shortened};
use super::tree::{Kind, Node};
use super::{
    CommandHook, Expect, Hook, Hooks, Notify, Occasion, OnFailure, Smoke, StageHooks, Via, ViaHeader, WebhookHook,
};
use crate::finding::Finding;

/// What a failure may mean, by the moment of the hook.
const AROUND_SHIFT: &[(&str, OnFailure)] =
    &[("hold", OnFailure::Hold), ("continue", OnFailure::Continue), ("rollback", OnFailure::Rollback)];
const AT_FINISH: &[(&str, OnFailure)] = &[("hold", OnFailure::Hold), ("continue", OnFailure::Continue)];
const NOTHING: &[(&str, OnFailure)] = &[];

impl Reader<'_, '_> {
    pub fn hooks(&mut self, node: &Node) -> Hooks {
        let Some(fields) = self.section(node, &field::HOOKS, "`hooks`") else { return Hooks::default() };
        let mut of =
            |name: &str, choices| fields.get(name).map(|n| self.hook_list(n, name, choices)).unwrap_or_default();
        Hooks {
            before_shift: of("before_shift", AROUND_SHIFT),
            after_shift: of("after_shift", AROUND_SHIFT),
            on_hold: of("on_hold", NOTHING),
            on_rollback: of("on_rollback", NOTHING),
            on_finish: of("on_finish", AT_FINISH),
        }
    }

    pub fn stage_hooks(&mut self, node: &Node, number: usize) -> StageHooks {
        let words = format!("the hooks of stage {number}");
        let Some(fields) = self.section(node, &field::STAGE_HOOKS, &words) else { return StageHooks::default() };
        let mut of = |name: &str| fields.get(name).map(|n| self.hook_list(n, name, AROUND_SHIFT)).unwrap_or_default();
        StageHooks { before_shift: of("before_shift"), after_shift: of("after_shift") }
    }

    fn hook_list(&mut self, node: &Node, name: &str, choices: &[(&str, OnFailure)]) -> Vec<Hook> {
        let example = format!("{name}: [{{ command: {{ run: [./check.sh] }} }}]");
        self.list(node, name, &example, |reader, item| reader.hook(item, name, choices)).unwrap_or_default()
    }

    fn hook(&mut self, node: &Node, moment: &str, choices: &[(&str, OnFailure)]) -> Option<Hook> {
        let fields = self.section(node, &field::HOOK, &format!("a hook of `{moment}`"))?;
        let (command, webhook) = (fields.get("command"), fields.get("webhook"));
        match (command, webhook) {
            (Some(command), None) => self.command(command, moment, choices).map(Hook::Command),
            (None, Some(webhook)) => self.webhook(webhook, moment, choices).map(Hook::Webhook),
            (Some(_), Some(second)) => {
                let finding = Finding::block("two-hooks", "a hook is a command or a webhook, not both")
                    .remedy("write two hooks, each with a `-` of its own");
                self.block(&second.span, finding);
                None
            }
            (None, None) => {
                if matches!(&node.kind, Kind::Map(entries) if entries.is_empty()) {
                    self.required(&fields, "command");
                }
                None
            }
        }
    }

    fn command(&mut self, node: &Node, moment: &str, choices: &[(&str, OnFailure)]) -> Option<CommandHook> {
        let fields = self.section(node, &field::COMMAND, "`command`")?;
        let example = "run: [./check.sh, argument]";
        let run = self.required(&fields, "run").and_then(|n| {
            let words =
                self.list(n, "run", example, |reader, item| reader.any_text(item, "run", example).map(str::to_owned))?;
            let given = matches!(&n.kind, Kind::List(items) if items.len() == words.len());
            if given && words.first().is_none_or(|program| program.trim().is_empty()) {
                let finding = Finding::block("empty-command", "the command names no program")
                    .remedy(format!("write, for example, `{example}`"));
                self.block(&n.span, finding);
                return None;
            }
            if let Some(bad) = words.iter().find(|w| w.contains('\0')) {
                let finding = Finding::block("bad-command", format!("`{}` has a zero byte", shortened(bad)))
                    .remedy("no program can be given such an argument: remove it");
                self.block(&n.span, finding);
                return None;
            }
            given.then_some(words)
        });
        let timeout = fields.get("timeout").and_then(|n| self.period(n, "timeout", "30s", &Bounds::HOOK));
        let on_failure = fields.get("on_failure").and_then(|n| self.on_failure(n, moment, choices));
        Some(CommandHook {
            run: run?,
            timeout: timeout.unwrap_or_else(CommandHook::default_timeout),
            on_failure: on_failure.unwrap_or_default(),
        })
    }

    fn webhook(&mut self, node: &Node, moment: &str, choices: &[(&str, OnFailure)]) -> Option<WebhookHook> {
        let fields = self.section(node, &field::WEBHOOK, "`webhook`")?;
        let example = "url: \"https://hooks.example.com/migrate\"";
        let url = self.required(&fields, "url").and_then(|n| self.address(n, "url", example));
        let timeout = fields.get("timeout").and_then(|n| self.period(n, "timeout", "10s", &Bounds::HOOK));
        let headers = fields.get("headers").map(|n| self.headers(n, "headers: { X-Team: payments }"));
        let on_failure = fields.get("on_failure").and_then(|n| self.on_failure(n, moment, choices));
        Some(WebhookHook {
            url: url?,
            timeout: timeout.unwrap_or_else(WebhookHook::default_timeout),
            headers: headers.unwrap_or_default(),
            on_failure: on_failure.unwrap_or_default(),
        })
    }

    fn on_failure(&mut self, node: &Node, moment: &str, choices: &[(&str, OnFailure)]) -> Option<OnFailure> {
        if choices.is_empty() {
            let finding = Finding::block("no-effect", format!("the failure of a hook of `{moment}` changes nothing"))
                .remedy("remove `on_failure`; the failure is recorded and shown");
            self.block(&node.span, finding);
            return None;
        }
        let too_late = moment == "on_finish" && matches!(&node.kind, Kind::Scalar(s) if s.text == "rollback");
        if too_late {
            let finding = Finding::block("no-effect", "`migrate finish` does not roll back")
                .remedy("write `hold`: blue is kept as it is, and `migrate rollback` still works");
            self.block(&node.span, finding);
            return None;
        }
        self.choice(node, "on_failure", choices)
    }

    fn headers(&mut self, node: &Node, example: &str) -> BTreeMap<String, String> {
        let headers = self.text_map(node, "headers", example, |name| {
            (!is_token(name)).then(|| {
                Finding::block("bad-header", format!("`{}` cannot be the name of a header", shortened(name)))
                    .remedy("write letters, digits and `-`")
            })
        });
        if let Some((name, _)) = headers.iter().find(|(_, value)| !is_field_value(value)) {
            let finding =
                Finding::block("bad-header", format!("the value of `{name}` has characters that no header has"))
                    .remedy("write printable ASCII on one line");
            self.block(&node.span, finding);
        }
        headers
    }

    /// An `http` or `https` address.
    fn address(&mut self, node: &Node, what: &str, example: &str) -> Option<String> {
        let text = self.text(node, what, example)?.trim();
        let problem = match text.split_once("://") {
            Some(("https" | "http", rest)) => trouble_in(rest),
            Some((scheme, _)) => Some(format!("`{}` is no scheme that is spoken here", shortened(scheme))),
            None => Some("it has no scheme".to_owned()),
        };
        let Some(problem) = problem else { return Some(text.to_owned()) };
        let finding = Finding::block("bad-url", format!("`{}` is not an address to ask", shortened(text)))
            .evidence(problem)
            .remedy(format!("write, for example, `{example}`"));
        self.block(&node.span, finding);
        None
    }

    pub fn notify(&mut self, node: &Node) -> Notify {
        let Some(fields) = self.section(node, &field::NOTIFY, "`notify`") else { return Notify::default() };
        let sns = fields.get("sns").and_then(|n| {
            self.duplicates(n, "duplicate-topic", "sns");
            self.list(n, "sns", field::NOTIFY.fields[0].example, Self::topic)
        });
        let webhook = fields.get("webhook").and_then(|n| {
            self.duplicates(n, "duplicate-webhook", "webhook");
            let example = field::NOTIFY.fields[1].example;
            self.list(n, "webhook", example, |reader, item| reader.address(item, "webhook", example))
        });
        let on = fields.get("on").and_then(|n| {
            self.duplicates(n, "duplicate-occasion", "on");
            let words = [
                ("stage", Occasion::Stage),
                ("hold", Occasion::Hold),
                ("rollback", Occasion::Rollback),
                ("finish", Occasion::Finish),
            ];
            self.list(n, "on", "on: [hold, rollback]", |reader, item| reader.choice(item, "on", &words))
        });
        if fields.get("sns").is_none() && fields.get("webhook").is_none() {
            let finding = Finding::block("nobody-to-tell", "`notify` names nobody to tell")
                .remedy("add `sns` or `webhook`, or remove `notify`");
            self.block(&node.span, finding);
        }
        Notify {
            sns: sns.unwrap_or_default(),
            webhook: webhook.unwrap_or_default(),
            on: on.unwrap_or_else(Occasion::all),
        }
    }

    fn topic(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "sns", field::NOTIFY.fields[0].example)?.trim();
        let parts: Vec<&str> = text.split(':').collect();
        let sound = matches!(parts.as_slice(), ["arn", partition, "sns", region, account, name]
            if partition.starts_with("aws") && !region.is_empty() && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        if sound {
            return Some(text.to_owned());
        }
        let remedy = match parts.as_slice() {
            [.., name] if name.ends_with(".fifo") => "name a standard topic: a FIFO topic wants more than a message",
            _ => "write the ARN of the topic: `arn:aws:sns:REGION:ACCOUNT:NAME`",
        };
        let finding =
            Finding::block("bad-topic", format!("`{}` is not the ARN of an SNS topic", shortened(text))).remedy(remedy);
        self.block(&node.span, finding);
        None
    }

    pub fn smoke(&mut self, node: &Node) -> Option<Smoke> {
        let fields = self.section(node, &field::SMOKE, "`smoke`")?;
        let example = field::SMOKE.fields[0].example;
        let http = self.required(&fields, "http").and_then(|n| self.address(n, "http", example));
        let expect = fields.get("expect").and_then(|n| self.expectation(n));
        let ipv6 = fields.get("ipv6").and_then(|n| self.boolean(n, "ipv6"));
        let timeout = fields.get("timeout").and_then(|n| self.period(n, "timeout", "5s", &Bounds::SMOKE));
        let attempts = fields.get("attempts").and_then(|n| self.integer(n, "attempts", 1, 20, "attempts: 3"));
        let via = fields.get("via").and_then(|n| self.via(n));
        let insecure = fields.get("insecure").and_then(|n| self.boolean(n, "insecure"));
        Some(Smoke {
            http: http?,
            expect: expect.unwrap_or_default(),
            ipv6: ipv6.unwrap_or_default(),
            timeout: timeout.unwrap_or_else(Smoke::default_timeout),
            attempts: attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or_else(Smoke::default_attempts),
            via,
            insecure: insecure.unwrap_or_default(),
        })
    }

    fn expectation(&mut self, node: &Node) -> Option<Expect> {
        let fields = self.section(node, &field::EXPECT, "`smoke.expect`")?;
        let status = fields.get("status").and_then(|n| self.integer(n, "status", 100, 599, "status: 200"));
        let body = fields.get("body").and_then(|n| self.text(n, "body", "body: ok").map(str::to_owned));
        let headers = fields.get("headers").map(|n| self.headers(n, "headers: { Content-Type: application/json }"));
        Some(Expect { status: status.and_then(|n| u16::try_from(n).ok()), body, headers: headers.unwrap_or_default() })
    }

    fn via(&mut self, node: &Node) -> Option<Via> {
        let fields = self.section(node, &field::VIA, "`smoke.via`")?;
        if let (Some(_), Some(second)) = (fields.get("header"), fields.get("host")) {
            let finding = Finding::block("two-conditions", "the request is known by a header or by a host, not both")
                .remedy("keep one of the two");
            self.block(&second.span, finding);
            return None;
        }
        if let Some(header) = fields.get("header") {
            let fields = self.section(header, &field::VIA_HEADER, "`smoke.via.header`")?;
            let name = self.required(&fields, "name").and_then(|n| {
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
                self.plain(n, "name", "name: x-migrate-smoke", 40, fits, "letters, digits and `-`")
            });
            let value = self.required(&fields, "value").and_then(|n| {
                let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                self.plain(n, "value", "value: web", 128, fits, "letters, digits, `-`, `_` and `.`")
            });
            return Some(Via::Header(ViaHeader { name: name?, value: value? }));
        }
        if let Some(host) = fields.get("host") {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
            let host = self.plain(host, "host", "host: smoke.example.com", 128, fits, "letters, digits, `-` and `.`");
            return host.map(Via::Host);
        }
        self.required(&fields, "header");
        None
    }

    /// Text that a condition of a rule takes as it is, without a wildcard.
    fn plain(
        &mut self,
        node: &Node,
        what: &str,
        example: &str,
        longest: usize,
        fits: impl Fn(char) -> bool,
        allowed: &str,
    ) -> Option<String> {
        let text = self.text(node, what, example)?;
        if text.len() <= longest && text.chars().all(fits) {
            return Some(text.to_owned());
        }
        let finding = Finding::block("bad-condition", format!("`{}` cannot be asked for in a rule", shortened(text)))
            .remedy(format!("write {allowed}, at most {longest} characters"));
        self.block(&node.span, finding);
        None
    }
}

/// What is wrong with an address behind its scheme.
fn trouble_in(rest: &str) -> Option<String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if authority.contains('@') {
        return Some("it holds a user's name; put that into a header".to_owned());
    }
    if rest.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Some("it has characters that no address has".to_owned());
    }
    let (host, port) = match host_and_port.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Some(format!("`{address}` is no IPv6 address"));
            }
            (address, port.strip_prefix(':'))
        }
        None => match host_and_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_and_port, None),
        },
    };
    if host.is_empty() || host.contains('{') {
        return Some("it names no host".to_owned());
    }
    let bad_port = port.filter(|p| p.parse::<u16>().map_or(true, |p| p == 0))?;
    Some(format!("`{}` is no port", shortened(bad_port)))
}

/// RFC 9110, `token`.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_field_value(value: &str) -> bool {
    value.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b))
}
