//! Whole runs, one for each scenario.

use migrate::cloud::sim::Scenario;
use migrate::execute::Stop;
use migrate::journal::progress::Phase;

use super::lab::{End, Lab};

#[test]
fn a_healthy_run_is_shifted_and_finished() {
    let mut lab = Lab::short(Scenario::Healthy);
    let end = lab.start();
    assert!(matches!(end, End::Stop(Stop::Reached)), "{end:?}\n{}", lab.story());
    assert_eq!(lab.phase(), Some(Phase::Open));
    for stage in 1..=3 {
        let end = lab.advance(false, false);
        assert!(matches!(end, End::Stop(Stop::Reached)), "{stage}: {end:?}\n{}", lab.story());
    }
    assert_eq!(lab.phase(), Some(Phase::Shifted), "{}", lab.story());
    assert!(matches!(lab.finish(), End::TooEarly(_)));
    lab.pass(24 * 3600);
    let end = lab.finish();
    assert!(matches!(end, End::Stop(Stop::Reached)), "{end:?}\n{}", lab.story());
    lab.assert_lawful("healthy");
    println!("{}", lab.story());
    println!("{:?}", lab.sim.universe().calls.by_operation);
}
