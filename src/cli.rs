//! The command line and the only composition root: it picks the cloud, the clock, the store and the
//! form of the output, hands them to the engine, and turns the ending into an exit code.

mod assess;
mod drive;
mod judge;
mod playbook;
mod rehearse;
mod runs;
mod site;
mod start;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cloud::sim::Scenario;
use crate::report::outcome::{Failure, Outcome, failure_object};
use crate::report::{Form, err, lost, out};

/// Moves Amazon ECS services from dual-stack to IPv6-only networking in judged stages.
#[derive(Debug, Parser)]
#[command(name = "migrate", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 ok, 1 error, 2 usage, 3 blocked, 4 held, 5 rolled back, 6 stuck, \
7 locked, 8 drift, 9 credentials, 130/143 interrupted.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Where journals live: a directory [default: the playbook's `state`, or .migrate]
    #[arg(long, global = true, env = "MIGRATE_STATE", value_name = "DIR")]
    state: Option<String>,
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long, global = true, conflicts_with = "events")]
    json: bool,
    /// Print one JSON object a line on standard output as things happen
    #[arg(long, global = true)]
    events: bool,
    /// Do not ask; `finish` asks before it retires blue on a terminal
    #[arg(long, short = 'y', global = true)]
    yes: bool,
    /// Show the AWS configuration and retries; twice for the details of each call
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// A playbook and the values of its variables.
#[derive(Debug, Args)]
struct PlaybookArgs {
    /// The playbook
    playbook: PathBuf,
    /// Set a variable of the playbook
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
}

/// The simulated cloud instead of AWS.
#[derive(Debug, Clone, Args)]
struct SandboxArgs {
    /// Use the embedded, simulated cloud: healthy, green-errors, green-slow, green-unreachable,
    /// metrics-outage, throttled or families-refused
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, require_equals = true, default_missing_value = "healthy")]
    sandbox: Option<Scenario>,
    /// Seed of the simulated cloud
    #[arg(long, default_value_t = 1, requires = "sandbox")]
    seed: u64,
}

/// Which run: a playbook's file or a run's name; without it, the only run that is open.
#[derive(Debug, Clone, Args)]
struct RunArgs {
    /// A playbook or the name of a run [default: the only open run]
    #[arg(value_name = "PLAYBOOK or NAME")]
    run: Option<String>,
    /// Set a variable of the playbook
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Parse and check a playbook, offline
    Validate(PlaybookArgs),
    /// Print the JSON Schema of playbooks, for editors
    Schema,
    /// Is this service ready for IPv6 only? Changes nothing
    Assess {
        #[command(flatten)]
        playbook: PlaybookArgs,
        #[command(flatten)]
        sandbox: SandboxArgs,
    },
    /// Every operation in order, the schedule and the way back. Changes nothing
    Plan {
        #[command(flatten)]
        playbook: PlaybookArgs,
        #[command(flatten)]
        sandbox: SandboxArgs,
        /// Save the plan, for `start --plan`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prepare, and stand green up beside blue without traffic
    Start {
        #[command(flatten)]
        playbook: PlaybookArgs,
        #[command(flatten)]
        sandbox: SandboxArgs,
        /// Carry out this saved plan, unless it is stale
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
    },
    /// Judge the time since the last shift, then carry the run through the next stage
    Advance {
        #[command(flatten)]
        run: RunArgs,
        /// Go on to the end, or to the next stage that wants an approval
        #[arg(long)]
        all: bool,
        /// Return right after the shift
        #[arg(long, conflicts_with = "all")]
        no_wait: bool,
    },
    /// Send traffic home now, verified
    Rollback {
        #[command(flatten)]
        run: RunArgs,
        /// Also remove everything that the run created
        #[arg(long)]
        remove_green: bool,
    },
    /// Retire blue: the only verb that touches what migrate did not create
    Finish {
        #[command(flatten)]
        run: RunArgs,
        /// Do not keep blue for the time that the playbook asks for
        #[arg(long)]
        now: bool,
    },
    /// Where a run stands, and why
    Status {
        #[command(flatten)]
        run: RunArgs,
        /// Show it again every few seconds until the run is closed
        #[arg(long)]
        watch: bool,
    },
    /// The journal of a run, readable
    History {
        #[command(flatten)]
        run: RunArgs,
    },
    /// The whole run on the simulated cloud, in virtual time
    Rehearse {
        #[command(flatten)]
        playbook: PlaybookArgs,
        /// healthy, green-errors, green-slow, green-unreachable, metrics-outage, throttled or families-refused
        #[arg(long, default_value_t = Scenario::Healthy)]
        scenario: Scenario,
        /// Seed of the simulated cloud
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Judge minutes that are past: the verdict over time, why, and what would change it
    #[command(after_help = judge::FILE)]
    Judge(judge::JudgeArgs),
    /// Free a run whose holder is gone
    Unlock {
        #[command(flatten)]
        run: RunArgs,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come here too; a reader that went away is no failure.
            let _ = error.print();
            if error.use_stderr() && std::env::args().any(|a| a == "--json") {
                let first = error.to_string().lines().next().unwrap_or_default().to_owned();
                out(&failure_object(&Failure::usage(first)).to_string());
            }
            return ExitCode::from(if error.use_stderr() { Outcome::Usage.code() } else { 0 });
        }
    };
    log(cli.common.verbose);
    let form = cli.common.form();
    match dispatch(&cli) {
        Ok(Outcome::Ok) if lost() => ExitCode::from(Outcome::Error.code()),
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => {
            show(&failure, form);
            ExitCode::from(failure.outcome.code())
        }
    }
}

fn dispatch(cli: &Cli) -> Result<Outcome, Failure> {
    let common = &cli.common;
    match &cli.verb {
        Verb::Validate(args) => validate::validate(common, args),
        Verb::Schema => {
            out(&serde_json::to_string_pretty(&crate::playbook::schema()).unwrap_or_default());
            Ok(Outcome::Ok)
        }
        Verb::Assess { playbook, sandbox } => assess::assess(common, playbook, sandbox),
        Verb::Plan { playbook, sandbox, out } => assess::plan(common, playbook, sandbox, out.as_deref()),
        Verb::Start { playbook, sandbox, plan } => start::start(common, playbook, sandbox, plan.as_deref()),
        Verb::Advance { run, all, no_wait } => drive::advance(common, run, *all, *no_wait),
        Verb::Rollback { run, remove_green } => drive::rollback(common, run, *remove_green),
        Verb::Finish { run, now } => drive::finish(common, run, *now),
        Verb::Status { run, watch } => runs::status(common, run, *watch),
        Verb::History { run } => runs::history(common, run),
        Verb::Rehearse { playbook, scenario, seed } => rehearse::rehearse(common, playbook, *scenario, *seed),
        Verb::Judge(args) => judge::judge(common, args),
        Verb::Unlock { run } => runs::unlock(common, run),
    }
}

impl Common {
    fn form(&self) -> Form {
        match (self.json, self.events) {
            (true, _) => Form::Json,
            (_, true) => Form::Events,
            _ => Form::Text,
        }
    }
}

fn show(failure: &Failure, form: Form) {
    err(&format!("error: {}", failure.message));
    for hint in &failure.hints {
        err(&format!("  help: {hint}"));
    }
    if form == Form::Json {
        out(&failure_object(failure).to_string());
    }
}

fn log(verbose: u8) {
    let filter = match verbose {
        0 => return,
        // Where configuration and credentials come from, and each attempt that failed; the SDK logs
        // nothing that matters above "debug".
        1 => "warn,aws_config=debug,aws_runtime=debug,aws_smithy_runtime::client::retries=debug",
        _ => "debug,hyper=info,h2=info,rustls=info",
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // A second subscriber cannot be: this runs once.
    let _ = subscriber.try_init();
}
