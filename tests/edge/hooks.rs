//! Hooks of the real executable: programs with their input, limits and ends, and webhooks on the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Place, WEB};

/// A place with a run on the sandbox, whose playbook has these hooks.
fn started(hooks: &str) -> Place {
    let place = Place::new();
    place.write("web.yaml", &format!("{WEB}{hooks}"));
    place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
    place
}

fn script(place: &Place, name: &str, text: &str) {
    place.write(name, &format!("#!/bin/sh\n{text}\n"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(name), mode).unwrap();
}

/// Whether a process is there and is more than an entry that nobody has asked about.
fn alive(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with(['Z', 'X']))
}

#[test]
fn a_command_reads_the_run_and_its_output_is_shown() {
    let place = started("hooks: { before_shift: [{ command: { run: [./check.sh, one two] } }] }\n");
    script(
        &place,
        "check.sh",
        "cat > seen.json\necho \"checking $1\"\necho \"$MIGRATE_RUN $MIGRATE_HOOK $MIGRATE_STAGE\" >&2",
    );
    let done = place.run(&["advance", "--json"]).exits(0);
    done.tells("before_shift | checking one two").tells("before_shift | web before_shift 1");
    let seen: Value = serde_json::from_str(&place.read("seen.json")).unwrap();
    assert_eq!(
        (&seen["run"], &seen["hook"], &seen["share"], &seen["sandbox"]),
        (&"web".into(), &"before_shift".into(), &10.0.into(), &"healthy".into())
    );
    place.run(&["history"]).exits(0).says("hook before_shift `./check.sh one two`");
}

#[test]
fn a_command_that_fails_holds_with_its_last_line() {
    let place = started("hooks: { before_shift: [{ command: { run: [./check.sh] } }] }\n");
    script(&place, "check.sh", "echo first\necho 'the queue is not empty'\nexit 7");
    let routes = place.routes();
    let held = place.run(&["advance", "--json"]).exits(4).object();
    let reason = held["reason"].as_str().unwrap();
    assert!(["./check.sh", "exit code 7", "the queue is not empty"].iter().all(|t| reason.contains(t)), "{reason}");
    assert_eq!(place.routes(), routes, "nothing was written");
    assert_eq!(place.status()["failed_call"]["moment"], "before_shift");
    place.run(&["status"]).exits(0).says("the queue is not empty");
    // A program that is not there is a failure like any other.
    std::fs::remove_file(place.path("check.sh")).unwrap();
    let held = place.run(&["advance", "--json"]).exits(4).object();
    assert!(held["reason"].as_str().unwrap().contains("cannot be started"), "{held}");
    script(&place, "check.sh", "exit 0");
    place.run(&["advance"]).exits(0);
}

#[test]
fn a_command_is_killed_at_its_time_limit_with_all_it_started() {
    let place = started("hooks: { before_shift: [{ command: { run: [./slow.sh], timeout: 1s } }] }\n");
    script(&place, "slow.sh", "trap '' TERM\nsleep 300 &\necho $! > child\necho $$ > leader\nwait\nsleep 300");
    let begun = Instant::now();
    let held = place.run(&["advance", "--json"]).exits(4).object();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(held["reason"].as_str().unwrap().contains("killed after 1 s"), "{held}");
    for name in ["child", "leader"] {
        assert!(!alive(&place.read(name)), "the {name} outlived its hook");
    }
}

#[test]
fn a_signal_during_a_hook_ends_it_in_time() {
    let place = started("hooks: { before_shift: [{ command: { run: [./slow.sh], timeout: 5m } }] }\n");
    assert!(std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    script(&place, "slow.sh", "echo $$ > pipe\nexec sleep 300");
    let running = place.spawn(&["advance"]);
    let leader = std::fs::read_to_string(place.path("pipe")).unwrap();
    let begun = Instant::now();
    running.signal("TERM");
    let (code, _) = running.finish().join().unwrap();
    assert_eq!(code, 143);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(!alive(&leader));
    let status = place.status();
    assert_eq!((&status["state"], &status["stage"]), (&"ready".into(), &0.into()));
    script(&place, "slow.sh", "exit 0");
    place.run(&["advance"]).exits(0);
}

/// Answers requests one after the other, and hands out what came in.
fn server(status: &'static str) -> (String, std::sync::mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                let lower = line.to_lowercase();
                length = lower.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 7\r\nConnection: close\r\n\r\nnot now"
            );
            stream.write_all(answer.as_bytes()).unwrap();
            if sender.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

#[test]
fn a_webhook_gets_the_run_and_its_answer_counts() {
    let (url, requests) = server("200 OK");
    let hooks = format!(
        "hooks: {{ after_shift: [{{ webhook: {{ url: \"{url}\", headers: {{ X-Team: shop }} }} }}] }}\nnotify: {{ webhook: [\"{url}\"], on: [stage] }}\n"
    );
    let place = started(&hooks);
    place.run(&["advance"]).exits(0);
    let all: Vec<(String, String)> = requests.try_iter().collect();
    assert_eq!(all.len(), 3, "{all:?}");
    let hook = all.iter().find(|(head, _)| head.to_lowercase().contains("x-team: shop")).expect("the hook's request");
    assert!(hook.0.starts_with("POST /hook HTTP/1.1"), "{}", hook.0);
    let body: Value = serde_json::from_str(&hook.1).unwrap();
    assert_eq!((&body["hook"], &body["run"]), (&"after_shift".into(), &"web".into()));
    let notice: Value = serde_json::from_str(&all[0].1).or_else(|_| serde_json::from_str(&all[1].1)).unwrap();
    assert!(all.iter().any(|(_, body)| body.contains("\"text\":\"web")), "{notice}");

    // A redirect is an answer that is not 2xx, and nobody goes there.
    let (url, requests) = server("302 Found");
    let place = started(&format!("hooks: {{ before_shift: [{{ webhook: {{ url: \"{url}\" }} }}] }}\n"));
    let held = place.run(&["advance", "--json"]).exits(4).object();
    assert!(held["reason"].as_str().unwrap().contains("302: not now"), "{held}");
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn a_rehearsal_runs_nothing_outside() {
    let place = Place::new();
    let (url, requests) = server("200 OK");
    let hooks = format!(
        "hooks: {{ before_shift: [{{ command: {{ run: [touch, ran] }} }}] }}\nnotify: {{ webhook: [\"{url}\"] }}\n"
    );
    place.write("web.yaml", &format!("{WEB}{hooks}"));
    place
        .run(&["rehearse", "web.yaml"])
        .exits(0)
        .tells("rehearsal: would run `touch ran`")
        .tells("rehearsal: would POST");
    assert!(!place.path("ran").exists());
    assert_eq!(requests.try_iter().count(), 0);
    place.run(&["plan", "web.yaml", "--sandbox"]).exits(0).says("`touch ran`, at most 30s").says("notices");
    assert!(!place.path("ran").exists());
}
