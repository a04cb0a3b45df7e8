//! AWS from afar: no credentials, no region, no network, and a network that does not answer.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{Place, Running, WEB, original_routes};

const REGION: (&str, &str) = ("AWS_REGION", "eu-central-1");
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];

/// An address at which nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An address that takes every call and never answers; each call is announced.
fn silent() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut open: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            open.push(stream);
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    (url, told)
}

fn web() -> Place {
    let place = Place::new();
    place.write("web.yaml", WEB);
    place
}

#[test]
fn without_a_region() {
    let place = web();
    for verb in ["plan", "start", "assess"] {
        place.run_with(&[verb, "web.yaml"], &KEYS).exits(2).tells("AWS_REGION");
    }
}

#[test]
fn without_credentials() {
    let place = web();
    for verb in ["plan", "start"] {
        let done = place.run_with(&[verb, "web.yaml", "--json"], &[REGION]).exits(9);
        assert_eq!(done.object()["outcome"], "credentials");
        done.tells("credentials");
    }
    assert!(!place.path(".migrate").exists(), "nothing was begun");
}

#[test]
fn without_a_network() {
    let place = web();
    let url = closed();
    let env = [KEYS[0], KEYS[1], REGION, ("AWS_ENDPOINT_URL", url.as_str())];
    for verb in ["plan", "start"] {
        place.run_with(&[verb, "web.yaml"], &env).exits(1).tells("AWS cannot be reached").tells("AWS_ENDPOINT_URL");
    }
    assert!(!place.path(".migrate").exists(), "nothing was begun");
}

#[test]
fn verbose_says_where_things_come_from_and_no_secrets() {
    let place = web();
    let url = closed();
    let env = [KEYS[0], ("AWS_SECRET_ACCESS_KEY", "not-for-the-log"), REGION, ("AWS_ENDPOINT_URL", url.as_str())];
    let quiet = place.run_with(&["plan", "web.yaml"], &env).exits(1);
    assert!(!quiet.err.contains("DEBUG"), "{}", quiet.err);
    place.run_with(&["plan", "web.yaml", "-v"], &env).exits(1).tells("loaded credentials").tells("attempt #1 failed");
    let all = place.run_with(&["plan", "web.yaml", "-vv"], &env).exits(1);
    assert!(all.err.lines().count() > 20 && !all.err.contains("not-for-the-log"), "{}", all.err);
}

#[test]
fn a_faster_clock_is_for_this_machine_only() {
    let place = web();
    let env = [KEYS[0], KEYS[1], REGION, ("MIGRATE_TIME_SCALE", "60")];
    place.run_with(&["start", "web.yaml"], &env).exits(2).tells("MIGRATE_TIME_SCALE").tells("loopback");
    let far = [&env[..], &[("AWS_ENDPOINT_URL", "http://192.0.2.1:4566")]].concat();
    place.run_with(&["start", "web.yaml"], &far).exits(2).tells("loopback");
    for factor in ["fast", "0.5", "-1", "NaN", ""] {
        let env = [KEYS[0], KEYS[1], REGION, ("MIGRATE_TIME_SCALE", factor)];
        place.run_with(&["start", "web.yaml"], &env).exits(2).tells("MIGRATE_TIME_SCALE");
    }
    let url = closed();
    let near = [&env[..], &[("AWS_ENDPOINT_URL", url.as_str())]].concat();
    place.run_with(&["start", "web.yaml"], &near).exits(1).tells("60 times as fast");
}

/// A call that hangs does not keep a process that was asked to stop.
#[test]
fn a_signal_ends_a_call_that_hangs() {
    let (url, called) = silent();
    let place = Place::started();
    on_aws(&place, true);
    let mut advance = hanging(&place, &url, &["advance"]);
    called.recv_timeout(Duration::from_secs(30)).unwrap();
    let asked = Instant::now();
    advance.signal("TERM");
    let code = advance.child.wait().unwrap().code();
    assert_eq!(code, Some(143));
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    // The journal is whole, and the same command goes on.
    on_aws(&place, false);
    place.run(&["advance"]).exits(0);
    assert_eq!(place.status()["stage"], 1);
    place.run(&["rollback"]).exits(0);
    assert_eq!(place.routes(), original_routes(WEB));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (url, called) = silent();
    let place = web();
    let mut start = hanging(&place, &url, &["start", "web.yaml"]);
    called.recv_timeout(Duration::from_secs(30)).unwrap();
    let asked = Instant::now();
    // An impatient user: two signals may arrive as one, three seldom do.
    let code = loop {
        start.signal("INT");
        if let Some(status) = start.child.try_wait().unwrap() {
            break status.code();
        }
    };
    assert_eq!(code, Some(130));
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert!(!place.path(".migrate").exists(), "nothing was begun");
}

/// A pause between two attempts ends at once, and the stop is in the journal.
#[test]
fn a_signal_ends_a_pause() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    // Killed before green is ready, so that `start` has operations left to try in vain.
    let mut start = place.spawn(&["start", "web.yaml", "--sandbox"]);
    start.until("settled");
    start.kill();
    on_aws(&place, true);
    let url = closed();
    let mut start = hanging(&place, &url, &["start", "web.yaml"]);
    start.until("settled");
    let asked = Instant::now();
    start.signal("INT");
    let (code, events) = start.finish().join().unwrap();
    assert_eq!(code, 130, "{events}");
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    on_aws(&place, false);
    let history = place.run(&["history"]).exits(0).says("stopped by SIGINT");
    assert!(history.out.contains("not done"), "{}", history.out);
    place.run(&["start", "web.yaml"]).exits(0).says("healthy beside blue");
}

fn hanging(place: &Place, url: &str, args: &[&str]) -> Running {
    let mut command = place.command(&[args, &["--events"]].concat());
    command.envs([KEYS[0], KEYS[1], REGION, ("AWS_ENDPOINT_URL", url)]);
    Running::of(command)
}

/// Makes the journal of a sandbox run that of a run on AWS, or the other way round.
fn on_aws(place: &Place, aws: bool) {
    const JOURNAL: &str = ".migrate/web/journal.jsonl";
    let (sandbox, none) = (r#""sandbox":"healthy""#, r#""sandbox":null"#);
    let (from, to) = if aws { (sandbox, none) } else { (none, sandbox) };
    let journal = place.read(JOURNAL);
    let (first, rest) = journal.split_once('\n').unwrap();
    let json = first.split_once(' ').unwrap().1;
    assert!(json.contains(from), "{json}");
    let json = json.replacen(from, to, 1);
    place.write(JOURNAL, &format!("{:08x} {json}\n{rest}", crc32fast::hash(json.as_bytes())));
}
