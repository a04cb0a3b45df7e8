//! Which fields a playbook has: one table for each section.
//!
//! The tables drive decoding, the words about unknown and missing fields, and a test that holds them
//! against the JSON Schema, so that the three cannot drift apart.

/// One section of the playbook, named as its type is.
pub struct Section {
    /// Name of the Rust type, which is that of the definition in the JSON Schema.
    pub name: &'static str,
    /// Where it stands in a playbook; empty for the playbook itself.
    pub path: &'static str,
    pub fields: &'static [Field],
    /// Fields that are planned but not built, and what to do without them.
    pub unsupported: &'static [(&'static str, &'static str)],
}

/// A field that a section knows.
pub struct Field {
    pub name: &'static str,
    /// How it is written, for when it is missing or wrong.
    pub example: &'static str,
}

impl Section {
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// All sections with a fixed set of fields.
pub static SECTIONS: &[&Section] = &[
    &PLAYBOOK,
    &SERVICE,
    &GREEN,
    &NETWORK,
    &TASK,
    &SHIFT,
    &LISTENER_WEIGHTS,
    &FALLBACK,
    &DNS_WEIGHTS,
    &LISTENER_SWAP,
    &IN_PLACE,
    &STAGE,
    &HEALTH,
    &METRIC,
    &ERRORS,
    &LATENCY,
    &ROLLBACK,
    &FINISH,
    &HOOKS,
    &HOOK,
    &COMMAND,
    &WEBHOOK,
    &STAGE_HOOKS,
    &SMOKE,
    &EXPECT,
    &VIA,
    &VIA_HEADER,
    &NOTIFY,
];

const fn field(name: &'static str, example: &'static str) -> Field {
    Field { name, example }
}

pub(super) static PLAYBOOK: Section = Section {
    name: "Playbook",
    path: "",
    fields: &[
        field("version", "version: 1"),
        field("name", "name: web"),
        field("region", "region: eu-west-1"),
        field("state", "state: .migrate"),
        field("variables", "variables: { SUBNET: subnet-0a1 }"),
        field("service", "service: { cluster: prod, name: web }"),
        field("green", "green: { network: { subnets: [subnet-0a1, subnet-0b2] } }"),
        field("shift", "shift: { listener_weights: {} }"),
        field("stages", "stages: [{ green: 10%, bake: 15m }, { green: 100%, bake: 1h }]"),
        field("health", "health: { min_requests: 50 }"),
        field("rollback", "rollback: { green: keep }"),
        field("on_cancel", "on_cancel: hold"),
        field("finish", "finish: { keep_blue: 24h }"),
        field("hooks", "hooks: { before_shift: [{ command: { run: [./check.sh] } }] }"),
        field("notify", "notify: { sns: [\"arn:aws:sns:eu-west-1:123456789012:deploys\"] }"),
    ],
    unsupported: &[],
};

pub(super) static SERVICE: Section = Section {
    name: "BlueService",
    path: "service",
    fields: &[
        field("cluster", "cluster: prod"),
        field("name", "name: web"),
        field("container", "container: app"),
        field("target_groups", "target_groups: [web-http]"),
    ],
    unsupported: &[],
};

pub(super) static GREEN: Section = Section {
    name: "Green",
    path: "green",
    fields: &[
        field("name", "name: web-ipv6"),
        field("network", "network: { subnets: [subnet-0a1, subnet-0b2] }"),
        field("task", "task: { environment: { JAVA_OPTS: -Djava.net.preferIPv6Addresses=true } }"),
        field("desired_count", "desired_count: 4"),
        field("tags", "tags: { team: payments }"),
    ],
    unsupported: &[],
};

pub(super) static NETWORK: Section = Section {
    name: "Network",
    path: "green.network",
    fields: &[
        field("subnets", "subnets: [subnet-0a1, subnet-0b2]"),
        field("security_groups", "security_groups: [sg-0c3]"),
    ],
    unsupported: &[(
        "create",
        "create the IPv6-only subnets yourself and list them: `network: { subnets: [subnet-0a1, subnet-0b2] }`",
    )],
};

pub(super) static TASK: Section = Section {
    name: "Task",
    path: "green.task",
    fields: &[
        field("images", "images: { app: registry.example.com/app:1.2 }"),
        field("environment", "environment: { LISTEN_ADDRESS: \"::\" }"),
    ],
    unsupported: &[],
};

pub(super) static SHIFT: Section = Section {
    name: "Shift",
    path: "shift",
    fields: &[
        field("listener_weights", "listener_weights: {}"),
        field("dns_weights", "dns_weights: { records: [api.example.com] }"),
        field("listener_swap", "listener_swap: {}"),
        field("in_place", "in_place: { staged: true }"),
    ],
    unsupported: &[],
};

pub(super) static LISTENER_WEIGHTS: Section = Section {
    name: "ListenerWeights",
    path: "shift.listener_weights",
    fields: &[field("stickiness", "stickiness: 10m"), field("fallback", "fallback: { dns_weights: {} }")],
    unsupported: &[],
};

pub(super) static FALLBACK: Section = Section {
    name: "Fallback",
    path: "shift.listener_weights.fallback",
    fields: &[field("dns_weights", "dns_weights: {}")],
    unsupported: &[],
};

pub(super) static DNS_WEIGHTS: Section = Section {
    name: "DnsWeights",
    path: "shift.dns_weights",
    fields: &[
        field("records", "records: [api.example.com]"),
        field("zone", "zone: example.com"),
        field("green_load_balancer", "green_load_balancer: web-ipv6"),
    ],
    unsupported: &[],
};

pub(super) static LISTENER_SWAP: Section =
    Section { name: "ListenerSwap", path: "shift.listener_swap", fields: &[], unsupported: &[] };

pub(super) static IN_PLACE: Section = Section {
    name: "InPlace",
    path: "shift.in_place",
    fields: &[field("staged", "staged: true"), field("registry", "registry: web-ipv6")],
    unsupported: &[],
};

pub(super) static STAGE: Section = Section {
    name: "Stage",
    path: "stages",
    fields: &[
        field("green", "green: 10%"),
        field("bake", "bake: 15m"),
        field("approve", "approve: true"),
        field("smoke", "smoke: { http: \"https://api.example.com/health\" }"),
        field("hooks", "hooks: { before_shift: [{ command: { run: [./check.sh] } }] }"),
    ],
    unsupported: &[],
};

pub(super) static HEALTH: Section = Section {
    name: "Health",
    path: "health",
    fields: &[
        field("false_rollback", "false_rollback: 1%"),
        field("errors", "errors: { ratio: 1.5 }"),
        field("hard_limit", "hard_limit: 2%"),
        field("accepted_failures", "accepted_failures: 500"),
        field("latency", "latency: { statistic: p99, ceiling: 800ms }"),
        field("alarms", "alarms: [web-5xx]"),
        field(
            "metrics",
            "metrics: [{ name: checkout-errors, namespace: Shop, metric: Errors, statistic: Sum, ceiling: 5, missing: zero }]",
        ),
        field("min_requests", "min_requests: 50"),
        field("on_no_data", "on_no_data: hold"),
        field("start_timeout", "start_timeout: 20m"),
    ],
    unsupported: &[],
};

pub(super) static METRIC: Section = Section {
    name: "CustomMetric",
    path: "health.metrics",
    fields: &[
        field("name", "name: checkout-errors"),
        field("id", "id: errors"),
        field("namespace", "namespace: Shop"),
        field("metric", "metric: CheckoutErrors"),
        field("dimensions", "dimensions: { Service: checkout }"),
        field("statistic", "statistic: p99"),
        field("expression", "expression: \"100 * errors / requests\""),
        field("of", "of: requests"),
        field("ratio", "ratio: 1.5"),
        field("direction", "direction: increase"),
        field("weight", "weight: 0.1"),
        field("ceiling", "ceiling: 5"),
        field("floor", "floor: 100"),
        field("missing", "missing: zero"),
    ],
    unsupported: &[],
};

pub(super) static ERRORS: Section = Section {
    name: "ErrorCriterion",
    path: "health.errors",
    fields: &[field("ceiling", "ceiling: 2%"), field("ratio", "ratio: 1.5")],
    unsupported: &[],
};

pub(super) static LATENCY: Section = Section {
    name: "LatencyCriterion",
    path: "health.latency",
    fields: &[field("statistic", "statistic: p99"), field("ceiling", "ceiling: 800ms"), field("ratio", "ratio: 1.5")],
    unsupported: &[],
};

pub(super) static ROLLBACK: Section =
    Section { name: "Rollback", path: "rollback", fields: &[field("green", "green: keep")], unsupported: &[] };

pub(super) static FINISH: Section = Section {
    name: "Finish",
    path: "finish",
    fields: &[field("keep_blue", "keep_blue: 24h"), field("blue", "blue: scale_to_zero")],
    unsupported: &[],
};

const HOOK_LIST: &str = "[{ command: { run: [./check.sh] } }]";

pub(super) static HOOKS: Section = Section {
    name: "Hooks",
    path: "hooks",
    fields: &[
        field("before_shift", HOOK_LIST),
        field("after_shift", HOOK_LIST),
        field("on_hold", HOOK_LIST),
        field("on_rollback", HOOK_LIST),
        field("on_finish", HOOK_LIST),
    ],
    unsupported: &[],
};

pub(super) static HOOK: Section = Section {
    name: "Hook",
    path: "hooks[]",
    fields: &[
        field("command", "command: { run: [./check.sh] }"),
        field("webhook", "webhook: { url: \"https://hooks.example.com/migrate\" }"),
    ],
    unsupported: &[],
};

pub(super) static COMMAND: Section = Section {
    name: "CommandHook",
    path: "hooks[].command",
    fields: &[
        field("run", "run: [./check.sh, argument]"),
        field("timeout", "timeout: 30s"),
        field("on_failure", "on_failure: hold"),
    ],
    unsupported: &[],
};

pub(super) static WEBHOOK: Section = Section {
    name: "WebhookHook",
    path: "hooks[].webhook",
    fields: &[
        field("url", "url: \"https://hooks.example.com/migrate\""),
        field("timeout", "timeout: 10s"),
        field("headers", "headers: { Authorization: \"Bearer ${TOKEN}\" }"),
        field("on_failure", "on_failure: hold"),
    ],
    unsupported: &[],
};

pub(super) static STAGE_HOOKS: Section = Section {
    name: "StageHooks",
    path: "stages.hooks",
    fields: &[field("before_shift", HOOK_LIST), field("after_shift", HOOK_LIST)],
    unsupported: &[],
};

pub(super) static SMOKE: Section = Section {
    name: "Smoke",
    path: "stages.smoke",
    fields: &[
        field("http", "http: \"https://api.example.com/health\""),
        field("expect", "expect: { status: 200, body: ok }"),
        field("ipv6", "ipv6: true"),
        field("timeout", "timeout: 5s"),
        field("attempts", "attempts: 3"),
        field("via", "via: { host: smoke.example.com }"),
        field("insecure", "insecure: true"),
    ],
    unsupported: &[],
};

pub(super) static EXPECT: Section = Section {
    name: "Expect",
    path: "stages.smoke.expect",
    fields: &[
        field("status", "status: 200"),
        field("body", "body: ok"),
        field("headers", "headers: { Content-Type: application/json }"),
    ],
    unsupported: &[],
};

pub(super) static VIA: Section = Section {
    name: "Via",
    path: "stages.smoke.via",
    fields: &[
        field("header", "header: { name: x-migrate-smoke, value: web }"),
        field("host", "host: smoke.example.com"),
    ],
    unsupported: &[],
};

pub(super) static VIA_HEADER: Section = Section {
    name: "ViaHeader",
    path: "stages.smoke.via.header",
    fields: &[field("name", "name: x-migrate-smoke"), field("value", "value: web")],
    unsupported: &[],
};

pub(super) static NOTIFY: Section = Section {
    name: "Notify",
    path: "notify",
    fields: &[
        field("sns", "sns: [\"arn:aws:sns:eu-west-1:123456789012:deploys\"]"),
        field("webhook", "webhook: [\"https://hooks.slack.com/services/T0/B0/x\"]"),
        field("on", "on: [hold, rollback]"),
    ],
    unsupported: &[],
};
