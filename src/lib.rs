//! `migrate` moves an Amazon ECS service from dual-stack to IPv6-only networking in judged stages,
//! and always finds the way home. This page is the architecture; the crate holds no code here.
//!
//! # Words
//!
//! One word for one idea, in YAML, code, output and documents.
//!
//! | word | meaning |
//! | --- | --- |
//! | blue, green | the dual-stack service that serves today; the IPv6-only one that will |
//! | playbook | what the user wishes, in YAML |
//! | inventory | what exists: services, task definitions, target groups, routes, alarms |
//! | route | a listener's default action or a rule: a list of actions with weights |
//! | way | how traffic moves: listener weights, records, a swap of target groups, in place, in fleets |
//! | place | where traffic is told where to go: a route, a record set, a service's own settings |
//! | registry | a Cloud Map service: what finds a service that has no load balancer |
//! | record, record set | what Route 53 answers to a name and type: one record, or several with weights |
//! | finding | something wrong or notable, with severity, evidence and remedy |
//! | plan | the ordered operations that lead from the inventory to the playbook |
//! | operation | one change to the cloud: observe, apply, verify, undo |
//! | shift | to change the share of traffic that green receives |
//! | stage | one shift, then a bake, judged by the gate |
//! | bake | the time that a stage is watched before it may count as healthy |
//! | gate, verdict | the criteria; healthy, degraded, not enough evidence, cannot see |
//! | protocol | how a run is judged, fixed by its plan: what is counted, the tests, their weights, the stakes |
//! | ledger, course | the counts of every minute since green first had traffic; the evidence and verdict they make |
//! | hold | stop moving, change nothing, say why |
//! | roll back | of a run: traffic home to blue. *Undo* is of one operation |
//! | run, journal | one migration; its append-only record |
//! | hook, notice | what is called around a shift; what others are told |
//! | smoke test | a request that green alone answers, before any user's |
//! | drift | the world is not as the journal says, and we did not do it |
//!
//! *Service, task, cluster, deployment, target, alarm, revision, listener* and *rule* keep AWS's
//! meaning. *Source* and *target* are never used for blue and green: *target* is the load balancer's.
//!
//! # The shape: one loop
//!
//! **decide, perform, append, fold.** [`execute::decide`] is pure: from the progress of a run and
//! the time it makes one step. The loop performs that step through a port and gets one event. The
//! journal makes the event durable. [`journal::progress`] folds it, by the same transition function
//! at replay and at append. The verbs differ only in the first event that they append:
//!
//! ```text
//! start     text -> playbook -> discover -> inventory -> assess -> (blockers? stop) -> plan -> open journal -> drive
//! advance   lock + replay -> append Advanced  -> drive
//! rollback  lock + replay -> append Unwinding -> drive
//! finish    lock + replay -> append Finishing -> drive
//! status    replay without the lock -> report
//! judge     minutes of a journal, a file or CloudWatch -> ledger -> course -> report; without the lock
//! drive     decide -> {perform | undo | shift | judge | record | wait}   until held, closed, stuck or interrupted
//! ```
//!
//! # The rooms
//!
//! From the ground up. A module uses only modules above it in this list; `tests/house.rs` reads the
//! source and checks it, with most of the other rules on this page.
//!
//! | room | is |
//! | --- | --- |
//! | [`finding`] | what a user can mend: a fact with evidence and remedy |
//! | [`inventory`] | what exists, as plain data in AWS's own words |
//! | [`traffic`] | shares, and the listener weights that express them |
//! | [`gate`] | the judge: criteria and evidence in, one verdict with its numbers out |
//! | [`playbook`] | what is wished: YAML to checked data, every mistake at once |
//! | [`clock`] | the port of time, and the machine's own clock and signals |
//! | [`errand`] | the port to the world outside the cloud: a program to run, a request to send |
//! | [`cloud`] | the port to the world, in our words: plain data in and out, synchronous, `dyn` |
//! | [`discover`] | from a playbook to the inventory; reads only |
//! | [`assess`] | the rules about the estate; never sees a port |
//! | [`operation`] | one change and its undo; the only caller of mutating ports |
//! | [`plan`] | the operations in order, as a value that can be saved and can go stale |
//! | [`journal`] | events, their fold, and the directory that keeps them |
//! | [`execute`] | the only loop |
//! | [`cloud::aws`] | the ports over the official SDKs; owns the runtime, SDK types stay inside |
//! | [`cloud::sim`] | the ports over a simulated cloud that is data, with rules that hurt like the real ones |
//! | [`report`] | the only module that prints: outcomes, exit codes, diagnostics, the live view |
//! | [`cli`] | the arguments, and the only composition root |
//!
//! `finding`, `inventory`, `traffic`, `gate`, `playbook`, `assess`, `plan`, `execute::decide` and
//! `execute::owed` are the pure floors: they read no clock, no file, no environment and no random source, and keep to
//! ordered maps.
//!
//! # Invariants
//!
//! 1. No mutation without a durable intent before it; its outcome (done, not done, unknown) is
//!    durable after it. Unknown is settled by reading back.
//! 2. Blue keeps serving and keeps its capacity until `finish`. Nothing that this tool did not
//!    create is deleted before.
//! 3. Never a positive weight on a target group without enough healthy targets. Never all weights zero.
//! 4. Every write to a route or record re-reads it first; what is neither what we last wrote nor what we want
//!    is drift, and drift holds. Everything in a route that is not ours survives byte for byte.
//! 5. Set is not applied: after each shift all routes are read back, all pages; records count when
//!    all of Route 53's servers answer with them.
//! 6. A rollback restores what was recorded before the first change, in one step, capacity first,
//!    and is verified. If it cannot be, the run is stuck, and says what is left to do by hand.
//! 7. Missing data is never health. A monitoring outage holds; it never rolls back, never advances.
//! 8. Two processes never both move a run. A rollback may take over from an advance.
//! 9. The same journal yields the same progress anywhere; the same seed the same simulated run.
//!
//! # How a run survives a kill
//!
//! A record is one line with a checksum, written by one call and synced before the next effect.
//! A torn last line never counted, and is cut off by the next process that takes the lock; a bad
//! line anywhere else is damage, and refused. The lock is the kernel's, so it ends with its holder.
//!
//! The next process replays the journal and calls `decide`. An intent without an outcome is
//! performed again, which is safe because every operation looks before it acts: it recognises by
//! name and tag what an earlier attempt made, and by comparison a route that is already as wished.
//! Deadlines are absolute times inside events, so a resumed bake bakes only what is left. Signals
//! are a courtesy: the first asks the loop to stop at its next safe point, the second ends the
//! process, and nothing depends on either.
//!
//! # How green is judged
//!
//! The promise is about a whole run: the chance that a healthy green is sent home by bad luck is at most
//! what the playbook declares, however often anybody looks and however often the run is resumed. So the
//! counts live in the journal. [`discover`] reads blue's last day, the plan makes a
//! [`gate::protocol::Protocol`] of it before there is a green, every look adds the minutes that are new
//! ([`journal::seen`]), and the verdict is [`gate::course::Course`] of both: a pure function of the journal,
//! which `migrate judge` computes again for anybody. What people bound themselves (alarms, levels, a ceiling of
//! latency) and what needs no statistics (dead tasks) are gates beside it, outside of the promise; and a stage
//! passes only when what was seen is enough for what the next one puts at stake ([`gate::exposure`]).
//!
//! # Where to add things
//!
//! * A field of the playbook: its type in [`playbook`], a row in its table of fields, its decoding;
//!   the schema test, the README test and the shipped playbooks say what is missing.
//! * A rule about the estate: a function in the file of `assess` that is about the same thing.
//!   What it needs to know is read by [`discover`] into [`inventory`].
//! * A change to the cloud: a variant of `operation::Operation` with perform and undo, a verb of
//!   the port for each single change, both clouds, and its place in [`plan`]. The sweeps over crash
//!   points and faults take it in by themselves.
//! * A way to move traffic: a variant of [`playbook::Shift`], a module of `operation` that shifts, goes
//!   home, and says what drifted, its arms in `operation::way` (the one place that tells ways apart), its
//!   operations in [`plan`], its rules in [`assess`], its words in [`report`], an estate and the rules of
//!   AWS in [`cloud::sim`], and a line `sweeps!(way, PLAYBOOK)` in the engine's tests.
//! * A rule of the real cloud that hurts: [`cloud::sim`] enforces it, with a test of its own.
//! * Something that the judge counts: a series in [`gate::protocol`] and a question with its weight in
//!   [`gate::question`], which [`plan`] asks; its reading, and that of its last day, in both clouds.
//! * A gate beside the promise: an objection in [`gate`].
//! * A way for a run to go: an arm of `execute::decide`, an event only if something new *happened*.
//! * A moment at which hooks are called: `journal::calls` says when it is due, `execute::owed` what is
//!   called then, and an arm of `execute::decide` where it stands between the other steps.
//! * A verb: its arguments in [`cli`], its first event, its ending in [`report`].

pub mod assess;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod discover;
pub mod errand;
pub mod execute;
pub mod finding;
pub mod gate;
pub mod inventory;
pub mod journal;
pub mod operation;
pub mod plan;
pub mod playbook;
pub mod report;
pub mod traffic;
