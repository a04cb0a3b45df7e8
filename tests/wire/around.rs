//! Around a shift, over the wire: the test rule of a smoke test, and notices to SNS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use super::estate::Estate;

/// A server that answers every request so, and hands out the requests' heads before it answers.
fn server(status: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/health", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            if sender.send(String::from_utf8_lossy(&head).into_owned()).is_err() {
                return;
            }
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\nConnection: close\r\n\r\ngreen");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, receiver)
}

/// A run that has green at weight 0, with this smoke test before its first stage.
fn started(smoke: &str, more: &str) -> Estate {
    let estate = Estate::seed(&[]);
    let text = estate.playbook().replacen("bake: 3m }", &format!("bake: 3m, smoke: {smoke} }}"), 1);
    estate.write_playbook("playbook.yaml", &format!("{text}{more}"));
    estate.started();
    estate
}

#[test]
fn a_test_rule_stands_for_the_test_only() {
    let (url, requests) = server("200 OK");
    let estate = started(&format!("{{ http: \"{url}\", expect: {{ body: green }} }}"), "");
    let before = estate.snapshot();
    estate.forget_calls();
    estate.migrate(&["advance"]).expect(0);
    let head = requests.recv().expect("the request").to_lowercase();
    assert!(head.starts_with("get /health http/1.1") && head.contains("x-migrate-smoke: "), "{head}");
    let calls = estate.calls();
    let of = |action: &str| calls.iter().find(|call| call["action"] == action).unwrap_or_else(|| panic!("no {action}"));
    let body = of("CreateRule")["body"].as_str().unwrap_or_default().to_owned();
    assert!(body.contains("http-header") && body.contains("migrate%3Asmoke"), "{body}");
    of("DeleteRule");
    let after = estate.snapshot();
    assert_eq!(after.rules.as_array().map(Vec::len), before.rules.as_array().map(Vec::len), "a rule is left behind");
}

#[test]
fn a_test_that_fails_leaves_nothing_and_moves_nothing() {
    let (url, _requests) = server("503 Service Unavailable");
    let estate = started(&format!("{{ http: \"{url}\", attempts: 2 }}"), "");
    let before = estate.snapshot();
    let held = estate.migrate(&["advance"]).expect(4);
    assert!(
        held.word("reason").contains("expected 2xx, and got 503 and \"green\" (2 attempts)"),
        "{}",
        held.word("reason")
    );
    estate.snapshot().assert_same_as(&before);
}

#[test]
fn killed_while_the_rule_stands_the_next_command_removes_it() {
    let (url, requests) = server("200 OK");
    let estate = started(&format!("{{ http: \"{url}\" }}"), "");
    let before = estate.snapshot();
    // Deleting takes long enough to be killed before.
    estate.faults(&json!([{"action": "DeleteRule", "how": "delay", "seconds": 5, "to": null}]));
    let mut child = estate.spawn(&["advance"]);
    requests.recv().expect("the request, while the rule stands");
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    estate.faults(&json!([]));
    assert!(
        estate.snapshot().rules.as_array().map(Vec::len) > before.rules.as_array().map(Vec::len),
        "the rule stands"
    );
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    let left = estate.snapshot().rules.to_string();
    assert!(!left.contains("x-migrate-smoke"), "{left}");
}

#[test]
fn a_topic_of_another_region_gets_the_notice() {
    let estate = Estate::seed(&[]);
    let region = ["--region", "eu-west-1"];
    let aws = |words: &[&str]| estate.aws(&[words, &region[..]].concat());
    let topic = aws(&["sns", "create-topic", "--name", "deploys"])["TopicArn"].as_str().expect("a topic").to_owned();
    let notify = format!("notify: {{ sns: [\"{topic}\"], on: [rollback] }}\n");
    estate.write_playbook("playbook.yaml", &format!("{}{notify}", estate.playbook()));
    estate.started();
    estate.migrate(&["advance", "--no-wait"]).expect(0);
    estate.forget_calls();
    estate.migrate(&["rollback"]).expect(0);
    // moto knows the topic in its own region only: signed for another, the call would find nothing.
    let calls = estate.calls();
    let sent = calls.iter().find(|call| call["action"] == "Publish").expect("a message");
    assert_eq!(sent["status"], 200, "{sent}");
    let text = sent["body"].to_string();
    assert!(text.contains("traffic+is+home") || text.contains("traffic%20is%20home"), "{text}");

    let missing = notify.replace("deploys", "nobody");
    estate.write_playbook(
        "missing.yaml",
        &format!("{}{missing}", estate.playbook().replace("name: web\n", "name: other\n")),
    );
    let blocked = estate.migrate(&["start", "missing.yaml"]).expect(3);
    assert!(blocked.said().contains("topic-not-found"), "{}", blocked.said());
}
