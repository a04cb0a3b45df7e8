//! The real executable, as a user or a pipeline meets it: arguments in, exit code and text out.
//!
//! Every process gets an empty environment, a home and a state directory of its own. Whatever is
//! waited for is read from a pipe or a socket, so nothing here sleeps. What a run does inside is
//! tested elsewhere; these tests hold the contract of the edge, and that it survives being killed.

mod aws;
mod broken;
mod hooks;
mod judge;
mod kills;
mod lives;
mod output;
mod scenarios;
mod selection;
mod together;
mod words;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

/// A playbook without a finding; its run is called `web`.
const WEB: &str = "\
version: 1
name: web
service: { cluster: prod, name: web }
green:
  network: { subnets: [subnet-0a1, subnet-0b2] }
shift: { listener_weights: {} }
stages:
  - { green: 10%, bake: 15m }
  - { green: 50%, bake: 15m, approve: true }
  - { green: 100%, bake: 15m }
";

/// What the object of a verb that moves a run has at least.
const CONTRACT: [&str; 9] = ["outcome", "run", "state", "stage", "stages", "green_share", "verdict", "reason", "next"];

const STATES: [&str; 9] =
    ["preparing", "ready", "baking", "held", "shifted", "rolling_back", "rolled_back", "finished", "stuck"];

/// A directory in which somebody uses `migrate`.
struct Place {
    dir: TempDir,
}

/// How a process ended.
#[derive(Debug)]
struct Done {
    args: String,
    /// 128 + the signal where one ended it.
    code: i32,
    out: String,
    err: String,
}

/// A process that is still running, with `--events`.
struct Running {
    child: Child,
    events: BufReader<ChildStdout>,
}

impl Place {
    fn new() -> Place {
        Place { dir: TempDir::new().unwrap() }
    }

    /// A place with the playbook `web.yaml` and its run on the sandbox, started.
    fn started() -> Place {
        let place = Place::new();
        place.write("web.yaml", WEB);
        place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
        place
    }

    /// A place with a started run that bakes for as long as one lets it.
    fn endless() -> Place {
        let place = Place::new();
        place.write("web.yaml", &WEB.replace("bake: 15m", "bake: 15d"));
        place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
        command.args(args).current_dir(self.dir.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.dir.path());
        // Without it, a machine without credentials asks a metadata service that is not there.
        command.env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        Done::of(&mut self.command(args), args)
    }

    fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Done {
        Done::of(self.command(args).envs(env.iter().copied()), args)
    }

    /// A process whose events can be followed.
    fn spawn(&self, args: &[&str]) -> Running {
        Running::of(self.command(&[args, &["--events"]].concat()))
    }

    /// The object that `status --json` prints for the run `web`.
    fn status(&self) -> Value {
        self.run(&["status", "web", "--json"]).exits(0).object()
    }

    /// The routes of the simulated cloud of the run `web`, as the file beside its journal has them.
    fn routes(&self) -> Value {
        let universe: Value = serde_json::from_str(&self.read(".migrate/web/universe.json")).unwrap();
        universe["routes"].clone()
    }
}

/// The routes that the simulated cloud has before anything happens in it.
fn original_routes(playbook: &str) -> Value {
    let playbook = migrate::playbook::decode(playbook.as_bytes(), &|_| None).playbook.unwrap();
    let scenario = migrate::cloud::sim::Scenario::Healthy;
    let universe = migrate::cloud::sim::Universe::for_playbook(&playbook, scenario, 1, chrono::Utc::now());
    serde_json::to_value(universe).unwrap()["routes"].clone()
}

impl Done {
    fn of(command: &mut Command, args: &[&str]) -> Done {
        let output = command.output().unwrap();
        Done {
            args: args.join(" "),
            code: code(output.status),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Done {
        assert_eq!(self.code, code, "migrate {}\n{}{}", self.args, self.out, self.err);
        self
    }

    /// Standard error has this text.
    #[track_caller]
    fn tells(self, text: &str) -> Done {
        assert!(self.err.contains(text), "migrate {}: no {text:?} in\n{}", self.args, self.err);
        self
    }

    /// Standard output has this text.
    #[track_caller]
    fn says(self, text: &str) -> Done {
        assert!(self.out.contains(text), "migrate {}: no {text:?} in\n{}", self.args, self.out);
        self
    }

    /// The one object on standard output.
    #[track_caller]
    fn object(&self) -> Value {
        let object: Value = serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(object.is_object(), "{self:?}");
        object
    }
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap()
}

impl Running {
    fn of(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Running { child, events }
    }

    /// Reads until the event of this name; fails where the process ends before it.
    #[track_caller]
    fn until(&mut self, event: &str) {
        self.until_of(event, "");
    }

    /// Reads until the event of this name of this operation.
    #[track_caller]
    fn until_of(&mut self, event: &str, operation: &str) {
        let wanted = format!("\"event\":\"{event}\"");
        let mut line = String::new();
        while !(line.contains(&wanted) && line.contains(operation)) {
            line.clear();
            assert!(self.events.read_line(&mut line).unwrap() > 0, "it ended before the event {event} {operation}");
        }
    }

    /// Reads this many events, or fewer where it ends before.
    fn events(&mut self, count: usize) {
        let mut line = String::new();
        for _ in 0..count {
            if self.events.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
        }
    }

    /// Sends a signal by its name, such as `INT`.
    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Keeps reading, so that the process never waits for us; ends with its exit code and the rest.
    fn finish(self) -> JoinHandle<(i32, String)> {
        let Running { mut child, mut events } = self;
        std::thread::spawn(move || {
            let mut rest = String::new();
            events.read_to_string(&mut rest).unwrap();
            (code(child.wait().unwrap()), rest)
        })
    }

    /// SIGKILL; the exit code where it had ended before.
    fn kill(mut self) -> Option<i32> {
        let _ = self.child.kill();
        self.child.wait().unwrap().code()
    }
}

/// By the shell's own `kill`, because not every machine has the program.
fn signal(process: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(status.success());
}

fn shipped() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}
