//! The engine against the simulated cloud: whole runs, in memory, in virtual time.
//!
//! A [`lab::Lab`] carries out the verbs as the command line does, with a journal that can fail at
//! any append. Sweeps break every call and every append in turn and want one of two ends: the goal,
//! or exactly the origin.

mod assessment;
mod assessment_in_place;
mod assessment_judge;
mod balancers;
mod drift;
mod fleets;
mod fold;
mod hooks;
mod in_place;
mod judging;
mod lab;
mod names;
mod outlook;
mod own_metrics;
mod paths;
mod planning;
mod smoke;
mod swaps;
mod sweeps;
