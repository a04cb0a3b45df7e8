//! A cloud, a journal and the verbs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use migrate::assess::assess;
use migrate::clock::{Clock, Signal};
use migrate::cloud::sim::{Scenario, Sim, Universe};
use migrate::discover::{Discovery, discover};
use migrate::errand::{Command, Ending, Errands, Request, Response, Undone};
use migrate::execute::ask::{self, Ask, Retire, Return};
use migrate::execute::{Observer, Run, Stop, removes_green};
use migrate::finding::{Finding, blocks};
use migrate::inventory::Inventory;
use migrate::inventory::record::same_records;
use migrate::journal::progress::{Phase, Progress};
use migrate::journal::store::{JournalError, Store, replay};
use migrate::journal::{Event, FORMAT, Header, HoldReason, Record};
use migrate::operation::{TASK_DEFINITION, green_key, green_name, pair};
use migrate::plan::Plan;
use migrate::playbook::{Playbook, Shift, decode};
use migrate::report::outcome::standing;
use migrate::traffic::records::record_sets;
use migrate::traffic::{Pair, Share, at_share, green_tasks, replaced, same};
use serde_json::Value;

/// Where a journal fails: at the n-th append of its life, before or after the record is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    pub append: usize,
    pub stored: bool,
}

/// A journal in memory, as durable as the test wants it.
#[derive(Debug, Default)]
pub struct Memory {
    pub records: Vec<Record>,
    pub appends: usize,
    pub crash: Option<Crash>,
}

impl Store for Memory {
    fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.appends += 1;
        let crash = self.crash.filter(|c| c.append == self.appends);
        if crash.is_none_or(|c| c.stored) {
            // What comes back is what a file would give back.
            let text = serde_json::to_string(record).unwrap();
            self.records.push(serde_json::from_str(&text).unwrap());
        }
        match crash {
            None => Ok(()),
            Some(_) => {
                let source = std::io::Error::other("killed");
                Err(JournalError::Io { verb: "write", path: "journal".into(), source })
            }
        }
    }
}

/// How a verb ended.
#[derive(Debug)]
pub enum End {
    Stop(Stop),
    /// The process died at an append.
    Crashed,
    /// Nothing was to be done.
    Already,
    /// Checks refused.
    Blocked(Vec<Finding>),
    /// A call failed before the run was opened.
    Failed,
    /// Blue is kept for longer.
    TooEarly,
    /// The verb does not fit where the run stands.
    Refused,
}

impl End {
    pub fn reached(&self) -> bool {
        matches!(self, End::Stop(Stop::Reached) | End::Already)
    }
}

/// Watches that nobody waits for the past.
struct Watcher;

impl Observer for Watcher {
    fn recorded(&mut self, _: &Record, _: &Progress) {}

    fn waiting(&mut self, _: &Progress, _: &str, now: DateTime<Utc>, until: DateTime<Utc>) {
        assert!(now < until);
    }
}

/// An errand that was run.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The command's words or the address.
    pub words: String,
    pub label: String,
    pub environment: BTreeMap<String, String>,
    pub about: Value,
}

/// The world outside: it remembers every errand, and some of them fail.
#[derive(Debug, Default)]
pub struct Outside {
    seen: Mutex<Vec<Seen>>,
    /// How often errands of these words still fail.
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Outside {
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn fail(&self, words: &str, times: u32) {
        self.failures.lock().unwrap().insert(words.to_owned(), times);
    }

    fn note(&self, seen: Seen) -> bool {
        let mut failures = self.failures.lock().unwrap();
        let left = failures.get_mut(&seen.words).filter(|n| **n > 0);
        let fails = left.map(|n| *n -= 1).is_some();
        self.seen.lock().unwrap().push(seen);
        fails
    }
}

/// The world outside beside a simulated cloud.
struct Beside<'a> {
    errands: &'a Outside,
    sim: &'a Sim,
}

impl Errands for Beside<'_> {
    fn run(&self, command: &Command) -> Ending {
        let fails = self.errands.note(Seen {
            words: command.words.join(" "),
            label: command.label.clone(),
            environment: command.environment.clone(),
            about: serde_json::from_str(&command.input).unwrap(),
        });
        if fails {
            return Ending::Exited { code: 3, last: vec!["the last line".to_owned()] };
        }
        Ending::Exited { code: 0, last: Vec::new() }
    }

    fn send(&self, request: &Request) -> Result<Response, Undone> {
        let fails = self.errands.note(Seen {
            words: request.url.clone(),
            label: String::new(),
            environment: request.headers.clone(),
            about: serde_json::from_str(request.body.as_deref().unwrap()).unwrap(),
        });
        if fails {
            Err(Undone::Failed("no answer".to_owned()))
        } else {
            Ok(Response { status: 200, ..Response::default() })
        }
    }

    fn ask(&self, request: &Request) -> Result<Response, Undone> {
        self.sim.visit(request)
    }
}

pub struct Lab {
    pub sim: Sim,
    pub playbook: Playbook,
    pub store: Memory,
    pub errands: Outside,
    pub origin: Value,
    pub foreign: Value,
    /// What the next look for a signal answers.
    pub signal: Arc<Mutex<Option<Signal>>>,
    /// Somebody else has been here: routes may differ from the journal.
    pub tampered: bool,
}

pub fn epoch() -> DateTime<Utc> {
    "2026-03-02T10:00:00Z".parse().unwrap()
}

pub fn playbook(text: &str) -> Playbook {
    let decoded = decode(text.as_bytes(), &|_| None);
    assert!(!blocks(&decoded.findings), "{:?}", decoded.findings);
    decoded.playbook.unwrap()
}

pub fn shipped(name: &str) -> Playbook {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(name);
    playbook(&std::fs::read_to_string(path).unwrap())
}

/// A playbook for the service `web` that moves traffic in this way, and goes on like this.
macro_rules! web {
    ($shift:literal, $rest:literal) => {
        concat!(
            "version: 1\nname: web\nservice: { cluster: prod, name: web }\n",
            "green:\n  network: { subnets: [subnet-0a1, subnet-0b2] }\nshift: ",
            $shift,
            "\n",
            $rest
        )
    };
}

pub(crate) use web;

/// Three short stages, the second of which wants an approval, and everything else at its default.
pub const SHORT: &str = web!(
    "{ listener_weights: {} }",
    "\
stages:
  - { green: 10%, bake: 5m }
  - { green: 50%, bake: 5m, approve: true }
  - { green: 100%, bake: 6m }
"
);

/// One stage of everything, behind a Network Load Balancer.
pub const SWAP: &str = web!(
    "{ listener_swap: {} }",
    "\
stages:
  - { green: 100%, bake: 6m }
"
);

/// A service without a load balancer, updated at once.
pub const IN_PLACE: &str = web!(
    "{ in_place: {} }",
    "\
stages:
  - { green: 100%, bake: 6m }
health: { alarms: [web-errors] }
"
);

/// Green beside blue in the same Cloud Map service, in proportion to the stage.
pub const STAGED: &str = web!(
    "{ in_place: { staged: true } }",
    "\
stages:
  - { green: 20%, bake: 5m }
  - { green: 50%, bake: 5m, approve: true }
  - { green: 100%, bake: 6m }
health: { alarms: [web-errors] }
"
);

/// The same over records.
pub const BY_RECORDS: &str = web!(
    "{ dns_weights: {} }",
    "\
stages:
  - { green: 10%, bake: 5m }
  - { green: 50%, bake: 5m, approve: true }
  - { green: 100%, bake: 6m }
"
);

/// A smoke test before the first stage, hooks around every shift, and a topic that is told.
pub const SMOKE_AND_HOOKS: &str = web!(
    "{ listener_weights: {} }",
    "\
stages:
  - { green: 10%, bake: 5m, smoke: { http: \"https://web.example.com/health\", expect: { body: ok } } }
  - { green: 100%, bake: 6m }
hooks:
  before_shift: [{ command: { run: [before] } }]
  after_shift: [{ command: { run: [after] } }]
  on_hold: [{ command: { run: [hold] } }]
  on_rollback: [{ command: { run: [rollback] } }]
  on_finish: [{ command: { run: [finish] } }]
notify: { sns: [\"arn:aws:sns:us-east-1:123456789012:deploys\"], on: [hold, rollback] }
"
);

impl Lab {
    pub fn new(playbook: Playbook, scenario: Scenario, seed: u64) -> Lab {
        let universe = Universe::for_playbook(&playbook, scenario, seed, epoch());
        Lab::in_universe(playbook, universe)
    }

    pub fn in_universe(playbook: Playbook, universe: Universe) -> Lab {
        let (origin, foreign) = (universe.estate_fingerprint(), universe.foreign_fingerprint());
        let signal = Arc::new(Mutex::new(None));
        let asked = Arc::clone(&signal);
        let sim = Sim::in_memory(universe).with_stop(Arc::new(move || *asked.lock().unwrap()));
        Lab {
            sim,
            playbook,
            store: Memory::default(),
            errands: Outside::default(),
            origin,
            foreign,
            signal,
            tampered: false,
        }
    }

    pub fn short(scenario: Scenario) -> Lab {
        Lab::new(playbook(SHORT), scenario, 7)
    }

    /// Where the run stands by its journal.
    pub fn progress(&self) -> Progress {
        replay(&self.store.records).unwrap().expect("a run")
    }

    pub fn phase(&self) -> Option<Phase> {
        replay(&self.store.records).unwrap().map(|p| p.phase)
    }

    pub fn held(&self) -> Option<(HoldReason, String)> {
        self.progress().held
    }

    pub fn pass(&self, seconds: i64) {
        let until = self.sim.now() + TimeDelta::seconds(seconds);
        self.sim.with(|u| u.advance(until)).unwrap();
    }

    /// What discovery sees now.
    pub fn inventory(&self) -> Inventory {
        match discover(&self.sim, &self.sim, &self.playbook).unwrap() {
            Discovery::Found(found) => found.inventory,
            Discovery::Missing(findings) => panic!("{findings:?}"),
        }
    }

    /// The plan of a run that begins now, or why none can.
    pub fn plan(&self) -> Result<Plan, End> {
        let inventory = match discover(&self.sim, &self.sim, &self.playbook).map_err(|_| End::Failed)? {
            Discovery::Found(found) => found.inventory,
            Discovery::Missing(findings) => return Err(End::Blocked(findings)),
        };
        let findings = assess(&self.playbook, &inventory);
        if blocks(&findings) {
            return Err(End::Blocked(findings));
        }
        Ok(Plan::new(&self.playbook, &inventory, self.sim.now()))
    }

    pub fn start(&mut self) -> End {
        if let Some(phase) = self.phase() {
            return match phase {
                Phase::Preparing => self.drive(Event::Resumed { verb: "start".into() }),
                _ => End::Already,
            };
        }
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(end) => return end,
        };
        let header = Header {
            format: FORMAT,
            tool: "test".into(),
            run: self.playbook.name.clone(),
            id: "test-run-1".into(),
            plan,
            playbook_file: "playbook.yaml".to_owned(),
            playbook_text: String::new(),
            sandbox: Some("test".into()),
            time_scale: None,
        };
        let opened = Record { seq: 1, at: self.sim.now(), event: Event::Opened(Box::new(header)) };
        if self.store.append(&opened).is_err() {
            return End::Crashed;
        }
        self.go(None)
    }

    pub fn advance(&mut self, all: bool, no_wait: bool) -> End {
        match ask::advance(&self.progress(), all, no_wait) {
            Ask::Resume => self.drive(Event::Resumed { verb: "advance".into() }),
            Ask::New(goal) => self.drive(Event::Advanced(goal)),
            Ask::AlreadyShifted => End::Already,
            Ask::RolledBack => End::Refused,
        }
    }

    pub fn rollback(&mut self, remove_green: bool) -> End {
        let progress = self.progress();
        match ask::rollback(&progress, removes_green(&progress, remove_green)) {
            Return::Unwind(event) => self.drive(event),
            Return::Resume => self.drive(Event::Resumed { verb: "rollback".into() }),
            Return::AlreadyHome => End::Already,
            Return::TooLate => End::Refused,
        }
    }

    pub fn finish(&mut self) -> End {
        match ask::finish(&self.progress(), self.sim.now()) {
            Retire::Begin => self.drive(Event::Finishing),
            Retire::Resume => self.drive(Event::Resumed { verb: "finish".into() }),
            Retire::TooEarly(_) => End::TooEarly,
            Retire::NotShifted => End::Refused,
            Retire::AlreadyFinished => End::Already,
        }
    }

    pub fn drive(&mut self, first: Event) -> End {
        self.go(Some(first))
    }

    fn go(&mut self, first: Option<Event>) -> End {
        let mut watcher = Watcher;
        let progress = replay(&self.store.records).unwrap().expect("a run");
        let errands = Beside { errands: &self.errands, sim: &self.sim };
        let mut run = Run::new(&self.sim, &self.sim, &errands, standing, &mut self.store, &mut watcher, progress);
        let driven = match first {
            Some(event) => run.append(event).and_then(|()| run.drive()),
            None => run.drive(),
        };
        let incremental = run.progress.clone();
        match driven {
            Ok(stop) => {
                assert_eq!(replay(&self.store.records).unwrap(), Some(incremental), "replay is the fold");
                self.assert_as_told();
                End::Stop(stop)
            }
            Err(JournalError::Io { .. }) => End::Crashed,
            Err(error) => panic!("{error}"),
        }
    }

    /// `start`, then `advance` until the run is shifted, as a patient person repeats them.
    pub fn shift_all(&mut self, tries: usize) -> bool {
        for attempt in 0..tries {
            let end = if matches!(self.phase(), None | Some(Phase::Preparing)) {
                self.start()
            } else {
                self.advance(attempt % 2 == 0, false)
            };
            match self.phase() {
                Some(Phase::Shifted | Phase::Finishing | Phase::Finished) => return true,
                Some(Phase::Unwinding | Phase::RolledBack) => return false,
                _ => {}
            }
            if !end.reached() {
                self.pass(30);
            }
        }
        false
    }

    /// `rollback --remove-green`, repeated until it says that it is done.
    pub fn go_home(&mut self, tries: usize) -> bool {
        for _ in 0..tries {
            // A run that was never opened touched nothing.
            if self.store.records.is_empty() || self.rollback(true).reached() {
                return true;
            }
            self.pass(30);
        }
        false
    }

    /// Every place shows what the journal says, unless a shift is under way or drift was found.
    fn assert_as_told(&self) {
        let progress = self.progress();
        let settled = progress.shift.is_none() && matches!(progress.phase, Phase::Open | Phase::Shifted);
        let drifted = matches!(progress.held, Some((HoldReason::Drift, _)));
        if !settled || drifted || !progress.joined() || self.tampered {
            return;
        }
        if matches!(self.playbook.shift, Shift::ListenerWeights(_) | Shift::ListenerSwap(_)) {
            self.assert_routes_as_told(&progress);
        }
        match &self.playbook.shift {
            Shift::InPlace(in_place) if in_place.staged => self.assert_fleets_as_told(&progress),
            Shift::InPlace(_) => self.assert_service_as_told(&progress),
            _ => {}
        }
        if matches!(self.playbook.shift, Shift::DnsWeights(_)) {
            self.assert_records_as_told(&progress);
        }
    }

    fn assert_records_as_told(&self, progress: &Progress) {
        let plan = &progress.header.plan;
        let green = green_name(&progress.header.run, &plan.inventory, &progress.made).expect("green's load balancer");
        let universe = self.sim.universe();
        for set in record_sets(&plan.inventory) {
            let zone = &universe.names.zones[&set.zone.id].records.actual;
            let shown: Vec<_> = zone.iter().filter(|r| r.name == set.name && r.kind == set.kind).cloned().collect();
            let told = set.at_share(&green, progress.share);
            let what = set.place();
            assert!(same_records(&shown, &told), "{what} shows {shown:?}, the journal says {told:?}\n{}", self.story());
        }
    }

    fn assert_routes_as_told(&self, progress: &Progress) {
        let plan = &progress.header.plan;
        let twin = |blue: &String| {
            pair(&plan.playbook, &plan.inventory, blue.clone(), progress.made[&green_key(blue)].clone())
        };
        let pairs: Vec<Pair> = plan.blue_groups().iter().map(twin).collect();
        let universe = self.sim.universe();
        for route in plan.routes() {
            let shown = &universe.routes[route.at.arn()].route.actual.actions;
            let told = match self.playbook.shift {
                Shift::ListenerSwap(_) if progress.share == Share::ALL => replaced(&route.actions, &pairs),
                Shift::ListenerSwap(_) => route.actions.clone(),
                _ => at_share(&route.actions, &pairs, progress.share),
            };
            assert!(same(shown, &told), "{:?} shows {shown:?}, the journal says {told:?}\n{}", route.at, self.story());
        }
    }

    /// At 100 % the service runs green's tasks, in green's subnets; before, what was recorded.
    fn assert_service_as_told(&self, progress: &Progress) {
        let plan = &progress.header.plan;
        let universe = self.sim.universe();
        let shown = &universe.services[&universe.blue.service].service.actual;
        let recorded = &plan.inventory.service;
        let told = match progress.share == Share::ALL {
            true => (&progress.made[TASK_DEFINITION], &plan.playbook.green.network.subnets),
            false => (&recorded.task_definition, &recorded.subnets),
        };
        assert_eq!((&shown.task_definition, &shown.subnets), told, "{}", self.story());
    }

    /// Green has the tasks of its share; blue is found except at 100 %, and has all its tasks.
    fn assert_fleets_as_told(&self, progress: &Progress) {
        let universe = self.sim.universe();
        let actual = |key: &str| universe.services[key].service.actual.clone();
        let blue = universe.blue.service.clone();
        let (blue, green) = (actual(&blue), actual(&format!("{blue}-ipv6")));
        let count = green_tasks(blue.desired_count, progress.share);
        assert_eq!((blue.desired_count, green.desired_count), (4, count), "{}", self.story());
        assert_eq!(blue.registries.is_empty(), progress.share == Share::ALL, "{}", self.story());
    }

    pub fn assert_origin(&self, what: &str) {
        self.assert_lawful(what);
        let now = self.sim.universe().estate_fingerprint();
        assert!(now == self.origin, "{what}: not the origin\n{}", difference(&self.origin, &now));
    }

    pub fn assert_lawful(&self, what: &str) {
        let violations = self.sim.universe().violations;
        assert!(violations.is_empty(), "{what}: {violations:#?}\n{}", self.story());
    }

    /// The journal in one line an event, for a test that fails.
    pub fn story(&self) -> String {
        let shown = |r: &Record| {
            let text = match &r.event {
                Event::Opened(_) => "opened".to_owned(),
                event => format!("{event:?}"),
            };
            format!("{:>3} {} {}", r.seq, r.at.format("%H:%M:%S"), text.chars().take(300).collect::<String>())
        };
        self.store.records.iter().map(shown).collect::<Vec<_>>().join("\n")
    }
}

/// The paths at which two values differ.
pub fn difference(one: &Value, other: &Value) -> String {
    fn walk(path: &str, one: &Value, other: &Value, out: &mut Vec<String>) {
        match (one, other) {
            (Value::Object(a), Value::Object(b)) => {
                for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                    let (x, y) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                    walk(&format!("{path}/{key}"), x, y, out);
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (x, y)) in a.iter().zip(b).enumerate() {
                    walk(&format!("{path}/{index}"), x, y, out);
                }
            }
            _ if one == other => {}
            _ => out.push(format!("{path}: {one} -> {other}")),
        }
    }
    let mut out = Vec::new();
    walk("", one, other, &mut out);
    out.join("\n")
}
