//! One estate to migrate: an emulator of its own, a proxy in front, the seeded resources, and a folder in which `migrate` runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::rules::Snapshot;
use super::servers::{CloudWatch, Server, Witness, credentials};

/// How much faster than the wall the clock of `migrate` runs. Metrics are written twelve hours ahead of it: enough for three minutes of a test.
pub const TIME_SCALE: u32 = 240;

/// Short stages whose weights are whole numbers also where a third group has a tenth of the rule.
pub const STAGES: [u32; 3] = [10, 50, 100];

pub struct Estate {
    _moto: Server,
    proxy: Server,
    moto_port: u16,
    cloudwatch: CloudWatch,
    ids: Value,
    pub folder: TempDir,
}

/// What one run of `migrate` ended with.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub report: Value,
    pub errors: String,
}

impl Ended {
    pub fn word(&self, field: &str) -> &str {
        self.report[field].as_str().unwrap_or_default()
    }

    /// Everything that a person would have read.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.report, self.errors)
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "exit code\n{:#}\n{}", self.report, self.errors);
        self
    }
}

impl Estate {
    /// `options` are those of `estate.py seed`.
    pub fn seed(options: &[&str]) -> Estate {
        Estate::seed_with(CloudWatch::AsItIs, options)
    }

    /// The same with another CloudWatch.
    pub fn seed_with(cloudwatch: CloudWatch, options: &[&str]) -> Estate {
        let moto = Server::start("moto_server.py", &["0".into()]);
        let moto_port = moto.ports[0];
        let proxy = Server::start("proxy.py", &[format!("0={moto_port}"), format!("0={}", cloudwatch.port())]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut estate = Estate { _moto: moto, proxy, moto_port, cloudwatch, ids: Value::Null, folder };
        estate.ids = estate.python(&[&["seed"], options].concat());
        if options.contains(&"--network") {
            let (balancer, blue) = (estate.id("load_balancer_dimension"), estate.id("blue_dimension"));
            estate.python(&["flows", "--load-balancer", balancer, "--group", blue]);
        } else {
            estate.blue_metrics();
        }
        estate.write_playbook("playbook.yaml", &estate.playbook());
        estate
    }

    pub fn id(&self, name: &str) -> &str {
        self.ids[name].as_str().unwrap_or_else(|| panic!("the estate has no {name}"))
    }

    pub fn list(&self, name: &str) -> Vec<&str> {
        self.ids[name].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
    }

    fn environment(&self) -> Value {
        // Straight to the emulators: what a test looks at is neither logged nor hit by faults.
        json!({
            "AWS_ENDPOINT_URL": format!("http://127.0.0.1:{}", self.moto_port),
            "AWS_ENDPOINT_URL_CLOUDWATCH": format!("http://127.0.0.1:{}", self.cloudwatch.port()),
            "AWS_ENDPOINT_URL_ROUTE_53": format!("http://127.0.0.1:{}", self.cloudwatch.port()),
        })
    }

    fn python(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = Witness::run("estate", arguments, &self.environment());
        assert_eq!(code, 0, "estate.py {arguments:?}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("estate.py {arguments:?} printed {out:?}"))
    }

    /// The AWS CLI, as an independent witness.
    pub fn aws(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = Witness::run("aws", arguments, &self.environment());
        assert_eq!(code, 0, "aws {arguments:?}: {err}");
        serde_json::from_str(&out).unwrap_or(Value::Null)
    }

    /// The AWS CLI where it should be refused: what it said.
    pub fn aws_refused(&self, arguments: &[&str]) -> String {
        let (code, out, err) = Witness::run("aws", arguments, &self.environment());
        assert_ne!(code, 0, "aws {arguments:?} was not refused: {out}");
        err
    }

    /// Everything that the load balancer would do with a request, and what it forwards to.
    pub fn snapshot(&self) -> Snapshot {
        let listener = self.id("listener");
        Snapshot {
            rules: self.aws(&["elbv2", "describe-rules", "--listener-arn", listener])["Rules"].clone(),
            listeners: self.aws(&["elbv2", "describe-listeners", "--listener-arns", listener])["Listeners"].clone(),
        }
    }

    /// The target groups for IPv6: there is at most one, and it is green's.
    pub fn green_group(&self) -> Option<String> {
        let query = "TargetGroups[?IpAddressType=='ipv6'].TargetGroupArn";
        let found = self.aws(&["elbv2", "describe-target-groups", "--query", query]);
        let found = found.as_array().cloned().unwrap_or_default();
        assert!(found.len() <= 1, "more than one IPv6 target group: {found:?}");
        found.first().and_then(Value::as_str).map(String::from)
    }

    pub fn service(&self, name: &str) -> Value {
        let found =
            self.aws(&["ecs", "describe-services", "--cluster", "prod", "--services", name, "--include", "TAGS"]);
        found["services"][0].clone()
    }

    fn blue_metrics(&self) {
        let (balancer, blue) = (self.id("load_balancer_dimension"), self.id("blue_dimension"));
        self.python(&["metrics", "--load-balancer", balancer, "--blue", blue]);
    }

    /// Writes green's metrics, past and to come; errors as a share of its requests. Once per estate: points add up.
    pub fn green_metrics(&self, error_rate: &str) {
        self.green_metrics_with(&["--green-errors", error_rate]);
    }

    /// The same with a latency in seconds.
    pub fn green_latency(&self, seconds: &str) {
        self.green_metrics_with(&["--green-latency", seconds]);
    }

    fn green_metrics_with(&self, options: &[&str]) {
        let group = self.green_group().expect("green's target group");
        let dimension = group.rsplit(':').next().unwrap_or_default();
        let balancer = self.id("load_balancer_dimension");
        self.python(&[&["metrics", "--load-balancer", balancer, "--green", dimension], options].concat());
    }

    /// The same under a load balancer of green's own, with so many requests a minute.
    pub fn green_metrics_of(&self, balancer: &str, requests: &str) {
        let group = self.green_group().expect("green's target group");
        let dimension = group.rsplit(':').next().unwrap_or_default();
        let amount = ["--green-requests", requests];
        self.python(&[&["metrics", "--load-balancer", balancer, "--green", dimension], &amount[..]].concat());
    }

    /// Writes blue's past by availability zone: 300 requests a minute in each of two, all 6 failures of a minute in one of them.
    pub fn blue_zones(&self) {
        let place = ["--load-balancer", self.id("load_balancer_dimension"), "--group", self.id("blue_dimension")];
        self.python(&[&["zones"], &place[..], &["--zone", "us-east-1a", "--zone", "us-east-1b"]].concat());
    }

    /// Writes the past of a Network Load Balancer by availability zone: 3000 flows a minute in each of two, 6 resets in one of them.
    pub fn blue_flows_by_zone(&self) {
        let place = ["--load-balancer", self.id("load_balancer_dimension"), "--requests", "3000"];
        self.python(&[&["zones"], &place[..], &["--zone", "us-east-1a", "--zone", "us-east-1b"]].concat());
    }

    /// Blue had so many requests more in the minute that began then.
    pub fn revise_blue(&self, minute: &str, requests: u32) {
        let place = ["--load-balancer", self.id("load_balancer_dimension"), "--group", self.id("blue_dimension")];
        let more = ["--minute", minute, "--requests", &requests.to_string()];
        self.python(&[&["revise"], &place[..], &more].concat());
    }

    /// Writes green's flows, past and to come, behind a Network Load Balancer.
    pub fn green_flows(&self) {
        let group = self.green_group().expect("green's target group");
        self.python(&["flows", "--group", group.rsplit(':').next().unwrap_or_default()]);
    }

    /// All listeners of the load balancer, in the order of their ports.
    pub fn listeners(&self) -> Vec<Value> {
        let found = self.aws(&["elbv2", "describe-listeners", "--load-balancer-arn", self.id("load_balancer")]);
        let mut listeners = found["Listeners"].as_array().cloned().unwrap_or_default();
        listeners.sort_by_key(|l| l["Port"].as_u64());
        listeners
    }

    /// Somebody else changes one weight of a rule.
    pub fn foreign_weight(&self, rule: &str, group: &str, weight: u32) {
        self.python(&["foreign", "--rule", rule, "--group", group, "--weight", &weight.to_string()]);
    }

    // --- the playbook and the program -------------------------------------------------------------------------------------------------------

    pub fn playbook(&self) -> String {
        let stages: String = STAGES.iter().map(|green| format!("  - {{ green: {green}%, bake: 3m }}\n")).collect();
        format!(
            "version: 1\nname: web\nservice: {{ cluster: prod, name: web }}\ngreen:\n  network: {{ subnets: [{}] }}\n\
             shift: {{ listener_weights: {{}} }}\nstages:\n{stages}finish: {{ keep_blue: 1m, blue: scale_to_zero }}\n",
            self.list("ipv6_subnets").join(", ")
        )
    }

    pub fn write_playbook(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("the playbook is written");
    }

    /// `migrate` with an environment of its own, in the estate's folder, through the proxy.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let endpoint = |port: u16| format!("http://127.0.0.1:{port}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .envs(credentials())
            .env("AWS_ENDPOINT_URL", endpoint(self.proxy.ports[0]))
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", endpoint(self.proxy.ports[1]))
            .env("AWS_ENDPOINT_URL_ROUTE_53", endpoint(self.proxy.ports[1]))
            .env("MIGRATE_TIME_SCALE", TIME_SCALE.to_string())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end, with `--json`.
    pub fn migrate(&self, arguments: &[&str]) -> Ended {
        finish(self.command(arguments).arg("--json").output().expect("migrate runs"))
    }

    pub fn start(&self) -> Ended {
        self.migrate(&["start", "playbook.yaml"])
    }

    /// `start`, and then healthy metrics for the green that it made.
    pub fn started(&self) {
        self.start().expect(0);
        self.green_metrics("0.001");
    }

    /// The records of the run's journal, the oldest first; of a run in progress those that are whole.
    pub fn journal(&self) -> Vec<Value> {
        let path = self.folder.path().join(".migrate/web/journal.jsonl");
        let text = std::fs::read_to_string(path).expect("the journal");
        text.lines().filter_map(|line| serde_json::from_str(line.split_once(' ')?.1).ok()).collect()
    }

    /// Starts a verb without waiting for it.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.spawn_at(TIME_SCALE, arguments)
    }

    /// The same with another speed of the clock.
    pub fn spawn_at(&self, time_scale: u32, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.env("MIGRATE_TIME_SCALE", time_scale.to_string());
        command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("migrate runs")
    }

    // --- the proxy and the switches ---------------------------------------------------------------------------------------------------------

    pub fn faults(&self, faults: &Value) {
        http(self.proxy.ports[0], "POST", "/_proxy/faults", &faults.to_string());
    }

    pub fn switch(&self, name: &str, body: &Value) -> Value {
        http(self.moto_port, "POST", &format!("/_estate/{name}"), &body.to_string())
    }

    pub fn forget_calls(&self) {
        http(self.proxy.ports[0], "POST", "/_proxy/clear", "");
    }

    /// The calls since the last [`Estate::forget_calls`]: service, action, start, end, status, fault, body.
    pub fn calls(&self) -> Vec<Value> {
        http(self.proxy.ports[0], "GET", "/_proxy/log", "").as_array().cloned().unwrap_or_default()
    }

    /// (calls, the longest chain of calls of which each began after the one before had ended).
    pub fn depth(&self) -> (u64, u64) {
        let counted = http(self.proxy.ports[0], "GET", "/_proxy/depth", "");
        (counted["calls"].as_u64().unwrap_or(0), counted["depth"].as_u64().unwrap_or(0))
    }

    /// In front of moto, and in front of ministack.
    pub fn proxy_ports(&self) -> &[u16] {
        &self.proxy.ports
    }
}

pub fn finish(output: Output) -> Ended {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = if text.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text)
            .unwrap_or_else(|wrong| panic!("--json printed no single object ({wrong}):\n{text}\n{errors}"))
    };
    Ended { code: output.status.code(), report, errors }
}

/// One call to a switch of the estate or the proxy: JSON in, JSON out.
fn http(port: u16, method: &str, path: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy or the emulator");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("the reply is read");
    let (head, answer) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    assert!(head.starts_with("HTTP/1.1 200"), "{method} {path} {body}: {reply}");
    serde_json::from_str(answer).unwrap_or_else(|_| panic!("{method} {path}: {reply}"))
}
