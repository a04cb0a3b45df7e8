//! Answers that are lost, and processes that are killed: the same command again ends where it would have ended.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::estate::{Estate, STAGES, finish};

/// Applied, and then not told so; the next attempts, the SDK's own among them, meet an error too.
fn lost_answer(action: &str, how: &str) -> [Value; 2] {
    [
        json!({"action": action, "how": how, "code": "InternalFailure", "status": 500, "from": 1, "to": 1}),
        json!({"action": action, "how": "refuse", "code": "ServiceUnavailable", "status": 503, "from": 1, "to": 3}),
    ]
}

#[test]
fn a_start_whose_answers_are_lost_converges_when_repeated() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    let lost = [
        lost_answer("RegisterTaskDefinition", "apply-then-refuse"),
        lost_answer("CreateTargetGroup", "apply-then-cut"),
        lost_answer("CreateRule", "apply-then-refuse"),
        lost_answer("CreateService", "apply-then-cut"),
    ];
    estate.faults(&json!(lost.concat()));
    // Each of the four may cost more than one run; none may cost more than its faults.
    let ends: Vec<Option<i32>> = (0..16).map(|_| estate.start().code).take_while(|code| *code != Some(0)).collect();
    assert!(ends.len() < 16, "it never started");
    for action in ["RegisterTaskDefinition", "CreateTargetGroup", "CreateRule", "CreateService"] {
        let applied = |call: &Value| {
            call["action"] == action && call["fault"].as_str().is_some_and(|how| how.starts_with("apply"))
        };
        assert!(estate.calls().iter().any(applied), "{action} was never called");
    }
    estate.faults(&json!([]));
    estate.start().expect(0);
    // One of each, however often it was asked for.
    assert!(estate.green_group().is_some());
    let services = estate.aws(&["ecs", "list-services", "--cluster", "prod"]);
    assert_eq!(services["serviceArns"].as_array().map(Vec::len), Some(2), "{services}");
    let definitions = estate.aws(&["ecs", "list-task-definitions"]);
    assert_eq!(definitions["taskDefinitionArns"].as_array().map(Vec::len), Some(2), "{definitions}");
    estate.migrate(&["rollback"]).expect(0);
    estate.snapshot().assert_same_as(&original);
}

#[test]
fn a_shift_whose_answers_are_lost_converges_when_repeated() {
    let estate = Estate::seed(&[]);
    let (original, blue) = (estate.snapshot(), estate.id("blue_group"));
    estate.started();
    let green = estate.green_group().expect("green's target group");
    for (stage, (action, how)) in
        [("ModifyRule", "apply-then-refuse"), ("ModifyListener", "apply-then-cut")].into_iter().enumerate()
    {
        estate.faults(&json!(lost_answer(action, how)));
        let ended = estate.migrate(&["advance"]);
        estate.faults(&json!([]));
        // Whether it noticed by itself that the change was made, or needs to be called again: the stage is carried through.
        if ended.code != Some(0) {
            let status = estate.migrate(&["status"]).expect(0);
            assert_ne!(status.word("state"), "rolled_back", "a lost answer is no verdict on green: {}", status.report);
            estate.migrate(&["advance"]).expect(0);
        }
        estate.snapshot().assert_shifted_from(&original, blue, &green, STAGES[stage]);
    }
    // Home again, with every first answer lost.
    estate.faults(&json!([{"action": "Modify*", "how": "apply-then-cut", "from": 1, "to": 4}]));
    let back = estate.migrate(&["rollback"]);
    estate.faults(&json!([]));
    if back.code != Some(0) {
        estate.migrate(&["rollback"]).expect(0);
    }
    estate.snapshot().assert_same_as(&original);
}

#[test]
fn throttling_is_waited_out() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    let busy = |service: &str, code: &str| json!({"service": service, "how": "refuse", "code": code, "message": "Rate exceeded", "status": 400});
    estate.faults(&json!([busy("ecs", "ThrottlingException"), busy("elasticloadbalancing", "Throttling")]));
    estate.started();
    estate.faults(&json!([{"action": "ModifyRule", "how": "refuse", "code": "Throttling", "message": "Rate exceeded", "from": 1, "to": 2}]));
    estate.migrate(&["advance"]).expect(0);
    let green = estate.green_group().expect("green's target group");
    estate.snapshot().assert_shifted_from(&original, estate.id("blue_group"), &green, STAGES[0]);
}

/// Moments to kill at, spread over a verb's life; a fixed seed, so that a failure comes again.
struct Moments(u64);

impl Moments {
    fn next(&mut self, longest: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = f64::from(u32::try_from(self.0 >> 33).unwrap_or(0)) / f64::from(1_u32 << 31);
        longest.mul_f64(share)
    }
}

/// Runs a verb, kills it `kills` times at some moment, and lets it end: what it ended with.
fn killed(
    estate: &Estate,
    arguments: &[&str],
    kills: u32,
    longest: Duration,
    moments: &mut Moments,
) -> super::estate::Ended {
    for _ in 0..kills {
        let mut child = estate.spawn(arguments);
        std::thread::sleep(moments.next(longest));
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
    }
    finish(estate.spawn(arguments).wait_with_output().expect("migrate runs"))
}

#[test]
fn killed_at_any_moment_the_same_commands_end_where_they_should() {
    let estate = Estate::seed(&[]);
    let (original, blue) = (estate.snapshot(), estate.id("blue_group"));
    let mut moments = Moments(20);
    killed(&estate, &["start", "playbook.yaml"], 6, Duration::from_millis(1500), &mut moments).expect(0);
    estate.green_metrics("0.001");
    let green = estate.green_group().expect("green's target group");
    let services = estate.aws(&["ecs", "list-services", "--cluster", "prod"]);
    assert_eq!(services["serviceArns"].as_array().map(Vec::len), Some(2), "{services}");

    // A kill may fall after the stage's end; then the next command is already the next stage. So: until the last stage is reached.
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let ended = killed(&estate, &["advance"], 2, Duration::from_millis(1200), &mut moments);
        assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
        let percent = ended.report["green_share"].as_f64().expect("a share");
        assert!(percent > 0.0 && STAGES.iter().any(|stage| f64::from(*stage) == percent), "{}", ended.report);
        let whole = STAGES.into_iter().find(|stage| f64::from(*stage) == percent).unwrap_or(0);
        estate.snapshot().assert_shifted_from(&original, blue, &green, whole);
        if ended.word("state") == "shifted" {
            break;
        }
        assert!(Instant::now() < deadline, "it does not come to an end: {}", ended.report);
    }
    killed(&estate, &["rollback"], 4, Duration::from_millis(400), &mut moments).expect(0);
    estate.snapshot().assert_same_as(&original);
}

#[test]
fn a_rollback_that_finds_a_half_done_shift_brings_everything_home() {
    let estate = Estate::seed(&["--rules", "12"]);
    let original = estate.snapshot();
    estate.started();
    // Four writes go through and the others hang, unapplied, so that the kill falls between the first and the last.
    estate.faults(&json!([{"action": "Modify*", "how": "hang", "seconds": 20, "from": 5, "to": null}]));
    let mut child = estate.spawn(&["advance"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while estate.snapshot().weights_of(&estate.green_group().unwrap_or_default()).iter().all(|w| w.1 == 0) {
        assert!(Instant::now() < deadline, "advance never shifted");
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it is gone");
    estate.faults(&json!([]));
    estate.migrate(&["rollback"]).expect(0);
    estate.snapshot().assert_same_as(&original);
}
