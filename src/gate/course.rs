//! The verdict over time: the ledger of a run, judged minute by minute.
//!
//! A pure function of the ledger, so a verdict can be replayed after a crash and audited years later;
//! it is computed anew from all minutes at every look, which for a day of eight metrics takes a few
//! milliseconds. The worst that holds is the verdict: condemned at any minute, then blind, then too
//! little seen or too much suspicion to go on, then healthy.
//!
//! What it does not see: hosts, alarms, the exposure of the next stage. Those are gates of their own.

use super::Verdict;
use super::account;
use super::combination::{combined, driver};
use super::count::{Count, Pair};
use super::ledger::{Ledger, Metric, Row, Test};
use super::silence::Silence;
use super::tail::SignTest;
use super::trial::{LogEvidence, Stake, Starts, Trial, WARNING};

/// Green's share above which blue is too small to vouch for it.
pub(super) const BLUE_IS_SMALL: f64 = 0.75;
/// Where nothing was seen, the evidence is 0 but for the sum of the stakes.
const ROUNDING: f64 = 1e-9;

/// How the evidence went.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Of all metrics together, by minute.
    pub evidence: Vec<LogEvidence>,
    /// In the order of the ledger's metrics.
    pub tracks: Vec<Track>,
    /// The first minute, from 0, whose evidence condemned green.
    pub condemned: Option<usize>,
    pub verdict: Verdict,
    /// Whether something speaks against going on, and not only too little was seen.
    pub against: bool,
    /// A sentence with the numbers.
    pub reason: String,
    /// The metric that drives the verdict, as an index; `None` without metrics.
    pub driver: Option<usize>,
}

/// One metric's part.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Its own evidence by minute, before its weight.
    pub evidence: Vec<LogEvidence>,
    /// What it had seen when green was condemned, or at the end.
    pub seen: Pair,
    /// Minutes that said something, until then.
    pub minutes: u32,
    /// Minutes that spoke against green, of a metric of levels.
    pub against: u32,
    /// Whether it counts at the end: a limit that blue breaks as well does not.
    pub counts: bool,
}

/// What a metric's evidence is kept in.
enum Process {
    Beside(Box<Trial>),
    /// Green and blue against the same limit.
    Against(Box<[Trial; 2]>),
    /// One test from the beginning of each stage.
    Levels(Vec<SignTest>),
}

impl Course {
    pub fn of(ledger: &Ledger) -> Course {
        let mut processes: Vec<Process> = ledger.metrics.iter().map(|metric| Process::new(&metric.test)).collect();
        let mut course = Course {
            evidence: Vec::with_capacity(ledger.minutes.len()),
            tracks: ledger.metrics.iter().map(|_| Track::new(ledger.minutes.len())).collect(),
            condemned: None,
            verdict: Verdict::Healthy,
            against: false,
            reason: String::new(),
            driver: None,
        };
        for (minute, row) in (0..).zip(&ledger.minutes) {
            course.step(ledger, minute, row, &mut processes);
        }
        course.conclude(ledger);
        course
    }

    fn step(&mut self, ledger: &Ledger, minute: u32, row: &Row, processes: &mut [Process]) {
        let stake = ledger.starts.stake(minute);
        for ((metric, process), track) in ledger.metrics.iter().zip(processes.iter_mut()).zip(&mut self.tracks) {
            let cold = metric.cold_minutes > 0 && ledger.starts.early(minute, metric.cold_minutes);
            let seen = process.step(metric, row, stake, &ledger.starts, minute, cold);
            if self.condemned.is_none() {
                track.note(seen);
            }
            track.evidence.push(process.evidence(ledger.starts.stages));
        }
        for (index, metric) in ledger.metrics.iter().enumerate() {
            let counts = self.limit_counts(ledger, metric, row, &processes[index]);
            self.tracks[index].counts = counts;
        }
        let terms = |of: fn(&LogEvidence) -> f64| {
            let pairs = ledger.metrics.iter().zip(&self.tracks);
            combined(pairs.map(move |(metric, track)| (metric.weight, track.counted(of))))
        };
        let evidence = LogEvidence { slow: terms(|e| e.slow), fast: terms(|e| e.fast) };
        if self.condemned.is_none() && evidence.condemns(ledger.false_rollback) {
            self.condemned = Some(self.evidence.len());
            self.driver = Some(self.strongest(ledger, evidence.slow < -ledger.false_rollback.ln()));
        }
        self.evidence.push(evidence);
    }

    /// Whether a limit counts: while blue does not break it too, and does not speak for green where it is
    /// large enough to speak. Going home from a fault that both have helps nobody. To leave evidence out
    /// is always fair.
    fn limit_counts(&self, ledger: &Ledger, metric: &Metric, row: &Row, process: &Process) -> bool {
        let Process::Against(sides) = process else { return true };
        let beside = ledger.metrics.iter().position(|m| m.series == metric.series && matches!(m.test, Test::Beside(_)));
        // Uncapped, because green's may condemn within a minute.
        let blue_keeps_it = sides[1].evidence().fast <= ROUNDING;
        let Some(beside) = beside else { return blue_keeps_it };
        let relative = self.tracks[beside].evidence.last().is_none_or(|evidence| evidence.slow >= -ROUNDING);
        let (green, blue) = row.sides(metric.series);
        let requests = |side: Option<Count>| side.map_or(0.0, |count| count.requests);
        let (green, blue) = (requests(green), requests(blue));
        let small = green > BLUE_IS_SMALL * (green + blue);
        blue_keeps_it && (relative || small)
    }

    /// The metric with the largest term now.
    fn strongest(&self, ledger: &Ledger, fast: bool) -> usize {
        let of: fn(&LogEvidence) -> f64 = if fast { |e| e.fast } else { |e| e.slow };
        driver(ledger.metrics.iter().zip(&self.tracks).map(|(metric, track)| (metric.weight, track.counted(of))))
    }

    fn conclude(&mut self, ledger: &Ledger) {
        if self.driver.is_none() && !ledger.metrics.is_empty() {
            self.driver = Some(self.strongest(ledger, false));
        }
        let shared = ledger.metrics.iter().zip(&self.tracks).position(|(metric, track)| {
            let broken = track.evidence.last().is_some_and(|evidence| evidence.slow >= WARNING.ln());
            matches!(metric.test, Test::Against(_)) && !track.counts && broken
        });
        let suspicious = self.evidence.last().is_some_and(|evidence| evidence.slow >= WARNING.ln());
        self.against = self.condemned.is_some() || shared.is_some() || suspicious;
        let informed = self.tracks.iter().any(|track| track.minutes > 0);
        (self.verdict, self.reason) = if let Some(minute) = self.condemned {
            (Verdict::Degraded, account::condemned(ledger, self, minute))
        } else if let Some(silence) = Silence::of(ledger) {
            (Verdict::CannotSee, silence.sentence(ledger.counted.noun()))
        } else if let Some(metric) = shared {
            (Verdict::NotEnoughEvidence, account::shared(ledger, self, metric))
        } else if suspicious {
            (Verdict::NotEnoughEvidence, account::suspicious(ledger, self))
        } else if !informed {
            (Verdict::NotEnoughEvidence, account::nothing_compared(ledger))
        } else {
            (Verdict::Healthy, account::healthy(ledger, self))
        };
    }
}

impl Track {
    fn new(minutes: usize) -> Track {
        let evidence = Vec::with_capacity(minutes);
        Track { evidence, seen: Pair::default(), minutes: 0, against: 0, counts: true }
    }

    fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Nothing => {}
            Seen::Counts(pair) => {
                self.minutes += 1;
                self.seen.green += pair.green;
                self.seen.blue += pair.blue;
            }
            Seen::Vote(against) => {
                self.minutes += 1;
                self.against += u32::from(against);
            }
        }
    }

    fn counted(&self, of: fn(&LogEvidence) -> f64) -> f64 {
        if self.counts { self.evidence.last().map_or(0.0, of) } else { f64::NEG_INFINITY }
    }
}

/// What a metric had of a minute.
enum Seen {
    Nothing,
    Counts(Pair),
    Vote(bool),
}

impl Process {
    fn new(test: &Test) -> Process {
        match test {
            Test::Beside(_) => Process::Beside(Box::default()),
            Test::Against(_) => Process::Against(Box::default()),
            Test::LevelBeside { .. } => Process::Levels(Vec::new()),
        }
    }

    fn step(&mut self, metric: &Metric, row: &Row, stake: Stake, starts: &Starts, minute: u32, cold: bool) -> Seen {
        match (self, &metric.test) {
            (Process::Beside(trial), Test::Beside(margin)) => {
                let pair = row.pair(metric.series).filter(|_| !cold);
                let bets = pair.and_then(|pair| margin.bets(&pair, metric.phi));
                trial.step(stake, bets.as_ref());
                bets.and(pair).map_or(Seen::Nothing, Seen::Counts)
            }
            (Process::Against(sides), Test::Against(limit)) => {
                let (green, blue) = row.sides(metric.series);
                let bets =
                    |count: Option<Count>| count.filter(|_| !cold).and_then(|count| limit.bets(&count, metric.phi));
                let of_green = bets(green);
                sides[0].step(stake, of_green.as_ref());
                sides[1].step(stake, bets(blue).as_ref());
                let pair = Pair { green: green.unwrap_or_default(), blue: blue.unwrap_or_default() };
                of_green.map_or(Seen::Nothing, |_| Seen::Counts(pair))
            }
            (Process::Levels(tests), test) => {
                let begun = starts.begun.iter().filter(|begun| **begun == minute).count();
                let room = (starts.stages as usize).saturating_sub(tests.len());
                tests.extend(std::iter::repeat_n(SignTest::default(), begun.min(room)));
                let vote = row.vote(metric.series, test).filter(|_| !cold);
                if let Some(against) = vote {
                    tests.iter_mut().for_each(|test| test.take(against));
                }
                vote.map_or(Seen::Nothing, Seen::Vote)
            }
            (Process::Beside(_) | Process::Against(_), _) => Seen::Nothing,
        }
    }

    fn evidence(&self, stages: u32) -> LogEvidence {
        match self {
            Process::Beside(trial) => trial.evidence(),
            Process::Against(sides) => sides[0].evidence(),
            Process::Levels(tests) => {
                let each = 1.0 / f64::from(stages.max(1));
                #[expect(clippy::cast_precision_loss, reason = "a handful of stages")]
                let kept = (1.0 - tests.len() as f64 * each).max(0.0);
                let begun = tests.iter().map(|test| (each, test.ln_evidence()));
                let log = combined(begun.chain([(kept, 0.0)]));
                LogEvidence { slow: log, fast: log }
            }
        }
    }
}

#[cfg(test)]
mod tests;
