//! Errands on this machine: programs in process groups of their own, and HTTP.
//!
//! A program's output goes line by line to where the composition root sends it, bounded, and its last
//! lines are kept. At the time limit, and when the process is asked to stop, the whole group gets
//! SIGTERM and a moment later SIGKILL, so that nothing that a hook started outlives it. Requests
//! follow no redirects and read bounded bodies; they go through the proxy of the environment, except
//! where they must reach a given address.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Command, Ending, Errands, Request, Response, Undone, http};
use crate::clock::system::Ear;

/// How often an errand looks whether it should end.
const SLICE: Duration = Duration::from_millis(20);
/// A program that takes long is mentioned this often: some pipelines look for a sign of life.
const BEAT: Duration = Duration::from_secs(25);
/// Between SIGTERM and SIGKILL.
const MERCY: Duration = Duration::from_millis(1500);
/// How long an answer may still take once the process is asked to stop.
const LAST_ANSWER: Duration = Duration::from_millis(2000);
/// How long the output of a program that has ended may stay open, such as in a child that it left.
const LINGER: Duration = Duration::from_millis(500);
/// Lines of a program that are shown; the rest is read and dropped.
const SHOWN_LINES: usize = 200;
/// Bytes of a line that are shown.
const LINE_BYTES: usize = 500;
/// Lines that are kept for the reason of a failure.
const LAST_LINES: usize = 3;
/// Bytes of an answer that are read.
const BODY_BYTES: u64 = 64 * 1024;

/// Where a line of a program's output goes.
pub type Printer = fn(&str);

/// This machine.
pub struct System {
    ear: Ear,
    printer: Printer,
}

/// The last lines of a program, as they come in.
#[derive(Default)]
struct Output {
    shown: usize,
    last: Vec<String>,
}

impl System {
    /// Errands that end when this ear hears a signal, and print with this.
    pub fn new(ear: Ear, printer: Printer) -> System {
        System { ear, printer }
    }

    fn asked(&self, request: &Request) -> Result<Response, Undone> {
        let (sender, receiver) = mpsc::channel();
        let wanted = request.clone();
        std::thread::spawn(move || {
            // Nobody may listen any more.
            let _ = sender.send(http::exchange(&wanted, BODY_BYTES));
        });
        // A little longer than the exchange itself takes at most.
        let limit = Instant::now() + request.timeout + Duration::from_secs(1);
        let mut last = limit;
        loop {
            match receiver.recv_timeout(SLICE) {
                Ok(answer) => return answer.map_err(Undone::Failed),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Undone::Failed("the request broke off without a reason".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if self.ear.heard().is_some() {
                last = last.min(now + LAST_ANSWER).min(limit);
            }
            if now >= limit {
                return Err(Undone::Failed(format!("no answer within {} s", request.timeout.as_secs())));
            }
            if now >= last {
                return Err(Undone::Stopped);
            }
        }
    }

    /// Waits for the end, at most until the limit.
    fn awaited(&self, child: &mut Child, limit: Instant, label: &str) -> Result<i32, Undone> {
        let begun = Instant::now();
        let mut beat = begun + BEAT;
        loop {
            if Instant::now() >= beat {
                beat += BEAT;
                (self.printer)(&format!("  {label} | has been running for {} s", begun.elapsed().as_secs()));
            }
            match child.try_wait() {
                Ok(Some(status)) => {
                    let by_signal = status.signal().map(|s| 128 + s);
                    return Ok(status.code().or(by_signal).unwrap_or(-1));
                }
                Ok(None) => {}
                Err(error) => return Err(Undone::Failed(format!("it cannot be waited for: {error}"))),
            }
            if self.ear.heard().is_some() {
                return Err(Undone::Stopped);
            }
            if Instant::now() >= limit {
                return Err(Undone::Failed(String::new()));
            }
            std::thread::sleep(SLICE);
        }
    }
}

impl Errands for System {
    fn run(&self, command: &Command) -> Ending {
        let undone = |why: String| Ending::Undone { why: Undone::Failed(why), last: Vec::new() };
        let Some((program, arguments)) = command.words.split_first() else {
            return undone("no program is named".to_owned());
        };
        let spawned = std::process::Command::new(program)
            .args(arguments)
            .envs(&command.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: it can be killed whole, and a Ctrl-C meant for us does not hit it.
            .process_group(0)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return undone(format!("it cannot be started: {error}")),
        };
        let group = child.id();
        if let Some(mut stdin) = child.stdin.take() {
            let input = command.input.clone();
            // In a thread: a program that does not read must not keep us from looking at the time.
            std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        let output = Arc::new(Mutex::new(Output::default()));
        let (closed, open) = mpsc::channel::<()>();
        let out = child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>);
        let err = child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>);
        for stream in [out, err].into_iter().flatten() {
            let (kept, closed) = (Arc::clone(&output), closed.clone());
            let (label, printer) = (command.label.clone(), self.printer);
            std::thread::spawn(move || {
                follow(stream, &label, printer, &kept);
                drop(closed);
            });
        }
        drop(closed);
        let ended = self.awaited(&mut child, Instant::now() + command.timeout, &command.label);
        if ended.is_err() {
            kill(&mut child, group);
        }
        // Ends when both streams are closed, or somebody keeps them open for too long.
        let lingering = open.recv_timeout(LINGER) == Err(RecvTimeoutError::Timeout);
        if lingering && ended.is_err() {
            signal(group, Signal::KILL);
        }
        let last = output.lock().unwrap_or_else(PoisonError::into_inner).last.clone();
        match ended {
            Ok(code) => Ending::Exited { code, last },
            Err(Undone::Failed(why)) if why.is_empty() => {
                let why = format!("killed after {} s", command.timeout.as_secs());
                Ending::Undone { why: Undone::Failed(why), last }
            }
            Err(why) => Ending::Undone { why, last },
        }
    }

    fn send(&self, request: &Request) -> Result<Response, Undone> {
        self.asked(request)
    }

    fn ask(&self, request: &Request) -> Result<Response, Undone> {
        self.asked(request)
    }
}

/// Shows the lines of a stream, bounded, and keeps the last ones.
fn follow(stream: Box<dyn Read + Send>, label: &str, printer: Printer, kept: &Mutex<Output>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match read_line(&mut reader, &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let mut output = kept.lock().unwrap_or_else(PoisonError::into_inner);
        output.shown += 1;
        match output.shown {
            n if n <= SHOWN_LINES => printer(&format!("  {label} | {text}")),
            n if n == SHOWN_LINES + 1 => printer(&format!("  {label} | ... more is not shown")),
            _ => {}
        }
        if !text.trim().is_empty() {
            if output.last.len() == LAST_LINES {
                output.last.remove(0);
            }
            output.last.push(text.trim().to_owned());
        }
    }
}

/// Reads to the end of a line, and keeps its beginning; the number of bytes read.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut read = 0;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(read);
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let part = end.map_or(buffer.len(), |end| end + 1);
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend(buffer.iter().take(part.min(room)));
        reader.consume(part);
        read += part;
        if end.is_some() {
            return Ok(read);
        }
    }
}

/// Ends a group: first asks, then does not.
fn kill(child: &mut Child, group: u32) {
    signal(group, Signal::TERM);
    let limit = Instant::now() + MERCY;
    while Instant::now() < limit {
        if matches!(child.try_wait(), Ok(Some(_))) {
            break;
        }
        std::thread::sleep(SLICE);
    }
    // Also where the leader is gone: what it started may have ignored the first signal.
    signal(group, Signal::KILL);
    // Reaped, so that no zombie is left; it cannot take long any more.
    let _ = child.wait();
}

/// Sends a signal to a process group; one that is gone already is what is wanted.
fn signal(group: u32, signal: Signal) {
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}
