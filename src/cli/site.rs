//! Where a run happens: AWS with the machine's clock, or the simulated cloud with its own.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::clock::system::{Ear, SystemClock};
use crate::cloud::Cloud;
use crate::cloud::aws::Aws;
use crate::cloud::sim::{Scenario, Sim, Universe};
use crate::errand::rehearsal::Rehearsal;
use crate::errand::system::System;
use crate::errand::{Command, Ending, Errands, Request, Response, Undone};
use crate::playbook::Playbook;
use crate::report::err;
use crate::report::live::Pace;
use crate::report::outcome::{Failure, Outcome};

/// Makes the system clock of a process run faster, for tests against emulators.
const TIME_SCALE: &str = "MIGRATE_TIME_SCALE";
/// The file beside the journal that holds the simulated cloud.
const UNIVERSE: &str = "universe.json";

/// A cloud, the clock that belongs to it, and who runs errands beside it.
pub(super) enum Site {
    Aws { aws: Box<Aws>, clock: SystemClock, scale: f64, errands: System },
    Sandbox { sim: Arc<Sim>, errands: Box<dyn Errands> },
}

impl Site {
    /// AWS, as the environment configures it. `not_before` is the last time that the journal knows.
    pub fn aws(region: Option<&str>, ear: Ear, not_before: Option<DateTime<Utc>>) -> Result<Site, Failure> {
        let scale = time_scale()?;
        let aws = Aws::connect(region).map_err(|error| {
            Failure::usage(error.message)
                .hint("set AWS_REGION or the playbook's `region`, and credentials as for the AWS CLI")
        })?;
        if scale.is_some() && !aws.endpoints_are_loopback() {
            return Err(Failure::usage(format!("{TIME_SCALE} is set, and AWS is not on this machine"))
                .hint("it is for tests against emulators only: unset it, or point every AWS_ENDPOINT_URL at a loopback address"));
        }
        if let Some(scale) = scale {
            err(&format!("note: the clock runs {scale} times as fast ({TIME_SCALE})"));
        }
        let scale = scale.unwrap_or(1.0);
        let errands = System::new(ear.clone(), err);
        Ok(Site::Aws { aws: Box::new(aws), clock: SystemClock::new(ear, scale, not_before), scale, errands })
    }

    /// A simulated cloud that ends with the process.
    pub fn rehearsal(playbook: &Playbook, scenario: Scenario, seed: u64, ear: Ear) -> Site {
        let universe = Universe::for_playbook(playbook, scenario, seed, Utc::now());
        let sim = Arc::new(listening(Sim::in_memory(universe), ear));
        Site::Sandbox { errands: Box::new(OnSandbox { outside: Rehearsal, sim: Arc::clone(&sim) }), sim }
    }

    /// The simulated cloud beside a journal, made anew where there is none.
    pub fn sandbox(dir: &Path, playbook: &Playbook, scenario: Scenario, seed: u64, ear: Ear) -> Result<Site, Failure> {
        let path = dir.join(UNIVERSE);
        if path.exists() {
            return Site::existing_sandbox(dir, ear);
        }
        let universe = Universe::for_playbook(playbook, scenario, seed, Utc::now());
        let sim = Sim::create(&path, universe).map_err(|e| Failure::new(Outcome::Error, e.to_string()))?;
        Ok(Site::tried_out(sim, ear))
    }

    /// The simulated cloud that a run remembers.
    pub fn existing_sandbox(dir: &Path, ear: Ear) -> Result<Site, Failure> {
        let sim = Sim::open(&dir.join(UNIVERSE)).map_err(|error| {
            Failure::new(Outcome::Error, error.to_string())
                .hint("the sandbox of this run is gone or damaged: remove its state directory and start anew")
        })?;
        Ok(Site::tried_out(sim, ear))
    }

    /// A sandbox beside which hooks are called for real, so that they can be tried out.
    fn tried_out(sim: Sim, ear: Ear) -> Site {
        let sim = Arc::new(listening(sim, ear.clone()));
        let outside = System::new(ear, err);
        Site::Sandbox { errands: Box::new(OnSandbox { outside, sim: Arc::clone(&sim) }), sim }
    }

    pub fn errands(&self) -> &dyn Errands {
        match self {
            Site::Aws { errands, .. } => errands,
            Site::Sandbox { errands, .. } => errands.as_ref(),
        }
    }

    pub fn cloud(&self) -> &dyn Cloud {
        match self {
            Site::Aws { aws, .. } => aws.as_ref(),
            Site::Sandbox { sim, .. } => sim.as_ref(),
        }
    }

    pub fn clock(&self) -> &dyn Clock {
        match self {
            Site::Aws { clock, .. } => clock,
            Site::Sandbox { sim, .. } => sim.as_ref(),
        }
    }

    pub fn pace(&self) -> Pace {
        match self {
            Site::Aws { scale, .. } => Pace::Scaled(*scale),
            Site::Sandbox { .. } => Pace::Simulated,
        }
    }

    /// How much faster than the wall the clock was told to run.
    pub fn scale(&self) -> Option<f64> {
        match self {
            Site::Aws { scale, .. } => Some(*scale).filter(|s| *s != 1.0),
            Site::Sandbox { .. } => None,
        }
    }

    pub fn simulated(&self) -> bool {
        matches!(self, Site::Sandbox { .. })
    }
}

/// Errands beside a simulated cloud: what is asked of the service, the cloud itself answers.
struct OnSandbox<E> {
    outside: E,
    sim: Arc<Sim>,
}

impl<E: Errands> Errands for OnSandbox<E> {
    fn run(&self, command: &Command) -> Ending {
        self.outside.run(command)
    }

    fn send(&self, request: &Request) -> Result<Response, Undone> {
        self.outside.send(request)
    }

    fn ask(&self, request: &Request) -> Result<Response, Undone> {
        self.sim.visit(request)
    }
}

fn listening(sim: Sim, ear: Ear) -> Sim {
    sim.with_stop(Arc::new(move || ear.heard()))
}

fn time_scale() -> Result<Option<f64>, Failure> {
    let Some(text) = std::env::var_os(TIME_SCALE) else { return Ok(None) };
    let scale = text.to_str().and_then(|t| t.parse::<f64>().ok()).filter(|s| (1.0..=100_000.0).contains(s));
    match scale {
        Some(scale) => Ok(Some(scale)),
        None => Err(Failure::usage(format!("{TIME_SCALE}={} is no factor", text.display()))
            .hint("give a number from 1 to 100000, such as 60")),
    }
}

/// Starts to listen for signals.
pub(super) fn ear() -> Result<Ear, Failure> {
    Ear::listen().map_err(|error| Failure::new(Outcome::Error, format!("cannot listen for signals: {error}")))
}
