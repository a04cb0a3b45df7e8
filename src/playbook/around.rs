//! What happens around a shift: hooks, smoke tests and notices, as the playbook wishes them.
//!
//! Each entry of a list of hooks is tagged by what it does, so that its settings stand with it and
//! none of them can be given where it means nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;

/// What is called at which moment, for every stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// Before green receives more traffic, once the gate agrees; a failure keeps the stage from beginning.
    pub before_shift: Vec<Hook>,
    /// Once the shift is confirmed, at the beginning of the bake.
    pub after_shift: Vec<Hook>,
    /// Once for each hold; its failure changes nothing.
    pub on_hold: Vec<Hook>,
    /// When traffic is home again; its failure changes nothing.
    pub on_rollback: Vec<Hook>,
    /// When `migrate finish` begins, before blue is touched; a failure keeps blue as it is.
    pub on_finish: Vec<Hook>,
}

/// What is called around the shift of one stage, after the hooks for every stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StageHooks {
    /// Before green receives the traffic of this stage.
    pub before_shift: Vec<Hook>,
    /// Once the shift of this stage is confirmed.
    pub after_shift: Vec<Hook>,
}

/// One thing that is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Hook {
    /// A program on the machine that runs `migrate`, with the run as JSON on its standard input.
    Command(CommandHook),
    /// An HTTP POST with the run as JSON.
    Webhook(WebhookHook),
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandHook {
    /// The program and its arguments. No shell is asked; `[sh, -c, "..."]` asks one.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// After this time it is killed with everything that it started; 1 s to 10 min.
    #[serde(default = "CommandHook::default_timeout")]
    pub timeout: Period,
    /// What a failure means.
    #[serde(default, skip_serializing_if = "OnFailure::is_hold")]
    pub on_failure: OnFailure,
}

/// An address to POST to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookHook {
    /// An `https` or `http` address. Redirects are not followed; any answer but 2xx is a failure.
    #[schemars(regex(pattern = r"^https?://[^\s/]+"))]
    pub url: String,
    /// How long the answer may take; 1 s to 10 min.
    #[serde(default = "WebhookHook::default_timeout")]
    pub timeout: Period,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What a failure means.
    #[serde(default, skip_serializing_if = "OnFailure::is_hold")]
    pub on_failure: OnFailure,
}

/// What the failure of a hook means to the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run holds, and the next `migrate advance` calls the hooks of the stage again.
    #[default]
    Hold,
    /// It is recorded, and the run goes on.
    Continue,
    /// Traffic goes home.
    Rollback,
}

/// Who is told what becomes of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// ARNs of SNS topics.
    #[schemars(inner(regex(pattern = r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$")), extend("uniqueItems" = true))]
    pub sns: Vec<String>,
    /// Addresses that take a POST with `text`, as the incoming webhooks of Slack do.
    #[schemars(inner(regex(pattern = r"^https?://[^\s/]+")), extend("uniqueItems" = true))]
    pub webhook: Vec<String>,
    /// What is told; by default everything.
    #[serde(default = "Occasion::all")]
    #[schemars(extend("uniqueItems" = true))]
    pub on: Vec<Occasion>,
}

/// What others are told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A shift is made, or a stage has passed.
    Stage,
    /// The run holds.
    Hold,
    /// Traffic is home, or cannot be sent there.
    Rollback,
    /// Blue is retired.
    Finish,
}

/// A request that reaches green alone, before any traffic does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// The address that is asked, with GET.
    #[schemars(regex(pattern = r"^https?://[^\s/]+"))]
    pub http: String,
    /// What the answer must be; by default any 2xx.
    #[serde(default)]
    pub expect: Expect,
    /// Ask over IPv6 only.
    #[serde(default)]
    pub ipv6: bool,
    /// How long one answer may take; 1 s to 1 min.
    #[serde(default = "Smoke::default_timeout")]
    pub timeout: Period,
    /// How often it is asked until it counts as failed, 5 s apart.
    #[serde(default = "Smoke::default_attempts")]
    #[schemars(range(min = 1, max = 20))]
    pub attempts: u32,
    /// How the load balancer tells the request from those of users; by default by a header of the run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// Accept any certificate.
    #[serde(default)]
    pub insecure: bool,
}

/// What the answer to a smoke test must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The HTTP status; by default any 2xx.
    #[schemars(range(min = 100, max = 599))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A text that the body must contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Headers that the answer must have.
    pub headers: BTreeMap<String, String>,
}

/// By what a test rule knows the request of a smoke test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Via {
    /// A header that no user sends.
    Header(ViaHeader),
    /// A host name that no user asks for.
    Host(String),
}

/// A header that no user sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViaHeader {
    /// Its name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9-]{1,40}$"))]
    pub name: String,
    /// Its value.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    pub value: String,
}

impl CommandHook {
    /// How long a command may take where the playbook does not say.
    pub fn default_timeout() -> Period {
        Period(std::time::Duration::from_secs(30))
    }
}

impl WebhookHook {
    /// How long an answer may take where the playbook does not say.
    pub fn default_timeout() -> Period {
        Period(std::time::Duration::from_secs(10))
    }
}

impl Smoke {
    /// How long one answer may take where the playbook does not say.
    pub fn default_timeout() -> Period {
        Period(std::time::Duration::from_secs(5))
    }

    /// How often it is asked where the playbook does not say.
    pub fn default_attempts() -> u32 {
        3
    }
}

impl Occasion {
    /// Everything that can be told.
    pub fn all() -> Vec<Occasion> {
        vec![Occasion::Stage, Occasion::Hold, Occasion::Rollback, Occasion::Finish]
    }
}

impl Occasion {
    /// Its word in a playbook.
    pub fn name(self) -> &'static str {
        match self {
            Occasion::Stage => "stage",
            Occasion::Hold => "hold",
            Occasion::Rollback => "rollback",
            Occasion::Finish => "finish",
        }
    }
}

impl OnFailure {
    /// Whether it is what is meant where nothing is said; some moments do not let anything be said.
    fn is_hold(&self) -> bool {
        *self == OnFailure::Hold
    }
}

impl Hook {
    pub fn on_failure(&self) -> OnFailure {
        match self {
            Hook::Command(command) => command.on_failure,
            Hook::Webhook(webhook) => webhook.on_failure,
        }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hook::Command(command) => write!(f, "`{}`", command.run.join(" ")),
            Hook::Webhook(webhook) => write!(f, "POST {}", site(&webhook.url)),
        }
    }
}

/// An address without its path, which is a secret where it is that of a chat's webhook.
pub fn site(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let hidden = if rest.len() > end + 1 { "/…" } else { "" };
    format!("{scheme}://{host}{hidden}")
}
