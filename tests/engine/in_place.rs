//! A service without a load balancer, updated at once: its rollout, its ways home, and what others do.

use migrate::cloud::sim::{Fault, FaultAt, FaultKind, Scenario, Tamper, Universe};
use migrate::journal::progress::Phase;
use migrate::journal::{Cause, HoldReason};

use super::lab::{Crash, End, IN_PLACE, Lab, STAGED, epoch, playbook};

fn lab(scenario: Scenario) -> Lab {
    Lab::new(playbook(IN_PLACE), scenario, 7)
}

/// A run that has gone through its one stage.
fn shifted(scenario: Scenario) -> Lab {
    let mut lab = lab(scenario);
    assert!(lab.start().reached(), "{}", lab.story());
    assert!(lab.advance(false, false).reached(), "{}", lab.story());
    lab
}

#[test]
fn there_and_to_the_end() {
    let mut lab = shifted(Scenario::Healthy);
    assert_eq!(lab.phase(), Some(Phase::Shifted));
    let service = lab.inventory().service;
    assert_eq!(service.subnets, ["subnet-0a1", "subnet-0b2"]);
    assert!(service.task_definition.contains("web-ipv6"));
    assert_eq!((service.running_count, service.desired_count), (4, 4));
    lab.pass(24 * 3600);
    assert!(lab.finish().reached(), "{}", lab.story());
    lab.assert_lawful("finished");
    assert!(!lab.inventory().scaling.unwrap().suspended.dynamic_in);
}

#[test]
fn there_and_all_the_way_home() {
    let mut lab = shifted(Scenario::Healthy);
    assert!(lab.rollback(true).reached(), "{}", lab.story());
    assert_eq!(lab.phase(), Some(Phase::RolledBack));
    lab.assert_origin("home");
}

/// ECS's circuit breaker opens, and the old deployment is complete again: that is no success.
#[test]
fn ecs_goes_back_by_itself_and_so_does_the_run() {
    let mut lab = lab(Scenario::GreenUnreachable);
    assert!(lab.start().reached());
    lab.advance(false, false);
    let progress = lab.progress();
    assert_eq!(progress.phase, Phase::RolledBack, "{}", lab.story());
    let (cause, reason) = progress.unwinding.unwrap();
    assert_eq!(cause, Cause::Gate);
    assert!(reason.contains("ECS gave the rollout up"), "{reason}");
    assert_eq!(lab.inventory().service.subnets, ["subnet-dual-a", "subnet-dual-b"]);
    lab.assert_lawful("gone back");
    assert!(lab.rollback(true).reached());
    lab.assert_origin("gone back");
}

#[test]
fn without_its_own_way_back_the_run_takes_over() {
    let playbook = playbook(IN_PLACE);
    let mut universe = Universe::for_playbook(&playbook, Scenario::GreenUnreachable, 7, epoch());
    let key = universe.blue.service.clone();
    universe.services.get_mut(&key).unwrap().service.actual.rolling.rolls_back = false;
    let mut lab = Lab::in_universe(playbook, universe);
    assert!(lab.start().reached());
    lab.advance(false, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    assert!(lab.rollback(true).reached());
    lab.assert_origin("taken over");
}

#[test]
fn an_alarm_condemns_green() {
    for scenario in [Scenario::GreenErrors, Scenario::GreenSlow] {
        let mut lab = lab(scenario);
        assert!(lab.start().reached());
        lab.advance(false, false);
        let progress = lab.progress();
        assert_eq!(progress.phase, Phase::RolledBack, "{}", lab.story());
        assert!(progress.unwinding.unwrap().1.contains("alarm web-errors is in ALARM"));
        lab.assert_lawful("condemned");
    }
}

#[test]
fn without_cloudwatch_the_run_holds() {
    let mut lab = lab(Scenario::MetricsOutage);
    assert!(lab.start().reached());
    lab.advance(true, false);
    assert_eq!(lab.held().map(|h| h.0), Some(HoldReason::Blind), "{}", lab.story());
}

/// Another task definition than the recorded and ours is neither overwritten nor judged.
#[test]
fn what_somebody_else_deploys_is_held_and_not_overwritten() {
    let other = |lab: &mut Lab| {
        let arn = lab.sim.universe().task_definitions.keys().find(|a| a.contains("frontend")).unwrap().clone();
        let change = Tamper::Deploy { cluster: "prod".into(), service: "web".into(), task_definition: arn.clone() };
        assert!(lab.sim.with(|u| u.tamper(&change)).unwrap());
        lab.tampered = true;
        arn
    };
    let deployed = |lab: &Lab| lab.inventory().service.task_definition;
    // Before the shift.
    let mut one = lab(Scenario::Healthy);
    assert!(one.start().reached());
    let theirs = other(&mut one);
    one.advance(false, false);
    assert_eq!(one.held().map(|h| h.0), Some(HoldReason::Drift), "{}", one.story());
    assert_eq!(deployed(&one), theirs);
    // During the bake.
    let mut two = lab(Scenario::Healthy);
    assert!(two.start().reached());
    assert!(two.advance(false, true).reached());
    let theirs = other(&mut two);
    two.advance(false, false);
    assert_eq!(two.held().map(|h| h.0), Some(HoldReason::Drift), "{}", two.story());
    two.rollback(false);
    let (why, reason) = two.held().unwrap();
    assert_eq!(why, HoldReason::Drift);
    assert!(reason.contains("aws ecs update-service"), "{reason}");
    assert_eq!(deployed(&two), theirs);
}

/// Without the Cloud Map service that was recorded there is no way back that ECS would accept.
#[test]
fn a_registry_that_somebody_deleted_is_drift() {
    let mut lab = shifted(Scenario::Healthy);
    let old = lab.progress().header.plan.inventory.registries[0].arn.clone();
    assert!(lab.sim.with(|u| u.tamper(&Tamper::DeleteRegistry(old.clone()))).unwrap());
    lab.tampered = true;
    lab.rollback(false);
    let (why, reason) = lab.held().unwrap();
    assert!(why == HoldReason::Drift && reason.contains(&old), "{reason}");
}

/// A rollout that is still under way is stopped by ECS itself, which is quicker than another one.
#[test]
fn tasks_that_take_too_long_hold_the_run() {
    let mut lab = Lab::new(
        playbook(&IN_PLACE.replace("alarms: [web-errors]", "start_timeout: 1m, alarms: [web-errors]")),
        Scenario::GreenUnreachable,
        7,
    );
    assert!(lab.start().reached());
    lab.advance(false, false);
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::NotReady, "{reason}");
    assert!(reason.contains("tasks of the new deployment run"), "{reason}");
    assert!(lab.rollback(true).reached(), "{}", lab.story());
    assert_eq!(lab.sim.universe().calls.by_operation.get("ecs:StopServiceDeployment"), Some(&1));
    lab.assert_origin("given up");
}

#[test]
fn the_consumers_are_named() {
    let lab = lab(Scenario::Healthy);
    let inventory = lab.inventory();
    assert_eq!(inventory.consumers.mentions, ["web-frontend (environment BACKEND_URL of app)"]);
    let findings = migrate::assess::assess(&lab.playbook, &inventory);
    let finding = findings.iter().find(|f| f.rule == "consumers-must-follow").unwrap();
    assert!(finding.evidence.iter().any(|e| e.contains("web-frontend")), "{finding:?}");
    assert!(finding.remedy.contains("web-ipv6.prod.local"), "{finding:?}");
}

/// The update was sent, its answer lost and the process killed; reads still show what was before. Home
/// is written all the same, because what looks right may only look so.
#[test]
fn home_is_written_even_where_it_seems_to_be_there() {
    for text in [IN_PLACE, STAGED] {
        let mut lab = Lab::new(playbook(text), Scenario::Healthy, 7);
        assert!(lab.start().reached());
        let operation = "ecs:UpdateService".to_owned();
        let fault = Fault { call: FaultAt::Nth { operation, n: 1 }, kind: FaultKind::ApplyThenUnknown };
        lab.sim
            .with(|u| {
                u.knobs.read_lag_ms = 9000;
                u.faults.push(fault);
            })
            .unwrap();
        // Advanced, judged, intended, settled: the fourth record from here.
        lab.store.crash = Some(Crash { append: lab.store.appends + 4, stored: true });
        assert!(matches!(lab.advance(false, false), End::Crashed), "{}", lab.story());
        assert!(lab.go_home(5), "{}", lab.story());
        lab.pass(600);
        lab.assert_origin("home");
    }
}

/// What the update changes, how long the way back takes, and what can be removed afterwards.
#[test]
fn the_plan_says_what_others_may_notice() {
    let lab = lab(Scenario::Healthy);
    let Ok(plan) = lab.plan() else { panic!("a plan") };
    let text = migrate::report::plan::text(&plan, epoch());
    for part in ["in place", "the old name then leads nowhere", "takes a whole rollout"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("twice the tasks"), "{text}");
    let saving = plan.savings().into_iter().find(|s| s.command.contains("servicediscovery")).unwrap();
    assert!(saving.provided.contains("web-ipv6.prod.local"), "{saving:?}");
    let commands = plan.home_commands(&migrate::operation::Made::new(), &[]);
    assert_eq!(commands.len(), 1);
    let command = &commands[0].1;
    for part in ["--service-registries", "subnet-dual-a", "--no-enable-execute-command", "wait services-stable"] {
        assert!(command.contains(part), "{command}");
    }
    let staged = Lab::new(playbook(STAGED), Scenario::Healthy, 7);
    let Ok(plan) = staged.plan() else { panic!("a plan") };
    let text = migrate::report::plan::text(&plan, epoch());
    assert!(text.contains("20%: green tasks 1, blue tasks 4, which is 20%"), "{text}");
    assert_eq!(plan.home_commands(&migrate::operation::Made::new(), &[]).len(), 2);
}

/// There is no load balancer to count by, but the user's own metrics are read and judged.
#[test]
fn metrics_of_the_users_own_are_judged() {
    for (way, missing) in [(IN_PLACE, "blind"), (STAGED, "blind"), (IN_PLACE, "zero"), (STAGED, "zero")] {
        let metric = format!("metrics: [{{ name: lag, namespace: N, metric: M, ceiling: 10, missing: {missing} }}]");
        let text = way.replace("alarms: [web-errors]", &metric);
        let begun = || {
            let mut lab = Lab::new(playbook(&text), Scenario::Healthy, 7);
            assert!(lab.start().reached(), "{}", lab.story());
            assert!(lab.advance(false, true).reached(), "{}", lab.story());
            lab
        };
        let mut lab = begun();
        assert!(lab.advance(false, false).reached(), "{}", lab.story());
        let mut lab = begun();
        let change = Tamper::SetLevel { name: "lag".to_owned(), value: Some(30.0) };
        assert!(lab.sim.with(|u| u.tamper(&change)).unwrap());
        lab.advance(false, false);
        assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
        let (_, reason) = lab.progress().unwinding.unwrap();
        assert!(reason.contains("lag is above its ceiling of 10"), "{reason}");
    }
}
