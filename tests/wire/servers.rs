//! The Python environment under `target/`, and the processes that run in it.
//!
//! A server lives as long as its [`Server`] value, and never longer than this process: it waits for the end of its standard input.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NEEDS: &str = "The wire tests need Python 3.10 or newer with its `venv` module (Debian: apt-get install python3 python3-venv) \
     and, the first time, a network to install the emulators of tests/emulator/requirements.txt.";

/// The folder of the Python programs.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator")
}

/// The Python of the environment, which is installed once and again when `requirements.txt` changes.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulators");
        fs::create_dir_all(&root).expect("the target folder can be written");
        let lock = File::create(root.join("lock")).expect("the target folder can be written");
        lock.lock().expect("the lock of the Python environment");
        let wanted = requirements_hash();
        let home = root.join(&wanted[..16]);
        let python = home.join("bin/python");
        if !home.join("complete").exists() {
            install(&home, &python);
            fs::write(home.join("complete"), &wanted).expect("the target folder can be written");
        }
        python
    })
}

fn requirements_hash() -> String {
    let requirements = fs::read(programs().join("requirements.txt")).expect("tests/emulator/requirements.txt");
    Sha256::digest(requirements).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn install(home: &Path, python: &Path) {
    eprintln!("installing the emulators into {} (about a minute, once)", home.display());
    let _ = fs::remove_dir_all(home);
    let made = Command::new("python3").args(["-m", "venv"]).arg(home).output();
    match made {
        Err(missing) => panic!("python3 could not be started ({missing}). {NEEDS}"),
        Ok(output) if !output.status.success() => {
            panic!("python3 -m venv failed: {}{}\n{NEEDS}", text(&output.stdout), text(&output.stderr))
        }
        Ok(_) => {}
    }
    let output = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "-r"])
        .arg(programs().join("requirements.txt"))
        .output()
        .expect("the Python of the environment");
    assert!(output.status.success(), "pip could not install the emulators: {}\n{NEEDS}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A Python program of `tests/emulator` with an environment that holds nothing of the developer's.
fn program(name: &str, arguments: &[String], errors: Stdio) -> Child {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulators");
    let mut command = Command::new(python());
    command
        .arg(programs().join(name))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &scratch)
        .env("PYTHONPYCACHEPREFIX", scratch.join("pycache"))
        .env("LIFELINE", "stdin")
        .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false") // a quarter second of images that nobody starts
        .envs(credentials())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors);
    command.spawn().expect("a Python program")
}

/// What an AWS client needs to be let in by an emulator, and what keeps it away from the developer's own account.
pub fn credentials() -> [(&'static str, &'static str); 7] {
    [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
    ]
}

/// A running emulator or proxy.
pub struct Server {
    child: Child,
    pub ports: Vec<u16>,
}

impl Server {
    pub fn start(name: &str, arguments: &[String]) -> Server {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulators/{name}.log"));
        // ministack greets at length; what moto says on standard error is a traceback, and belongs to the failing test.
        let errors = if name.starts_with("ministack") {
            File::create(log).map_or_else(|_| Stdio::null(), Stdio::from)
        } else {
            Stdio::inherit()
        };
        let mut child = program(name, arguments, errors);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
        let ports: Vec<u16> = line.split_whitespace().filter_map(|port| port.parse().ok()).collect();
        assert!(!ports.is_empty(), "{name} did not start; what it said is above");
        Server { child, ports }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which ministack answers for CloudWatch. There is one of each in this test process: metrics of different estates have
/// different dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudWatch {
    /// As others made it: a count of slow samples is answered with a wrong number.
    AsItIs,
    /// Counts slow samples, as we taught it.
    Counting,
}

impl CloudWatch {
    pub fn port(self) -> u16 {
        static AS_IT_IS: OnceLock<Server> = OnceLock::new();
        static COUNTING: OnceLock<Server> = OnceLock::new();
        let port = |server: &'static OnceLock<Server>, arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            server.get_or_init(|| Server::start("ministack_server.py", &arguments)).ports[0]
        };
        let port = match self {
            CloudWatch::AsItIs => port(&AS_IT_IS, &["0"]),
            CloudWatch::Counting => port(&COUNTING, &["0", "counting"]),
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "ministack does not accept calls on port {port}");
            std::thread::sleep(Duration::from_millis(50));
        }
        port
    }
}

/// The AWS CLI and the seeding program, kept warm in one process for all tests.
pub struct Witness {
    _child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Witness {
    /// Runs one command line and answers (exit code, output, errors).
    pub fn run(program_name: &str, arguments: &[&str], environment: &Value) -> (i64, String, String) {
        static WITNESS: OnceLock<Mutex<Witness>> = OnceLock::new();
        let witness = WITNESS.get_or_init(|| Mutex::new(Witness::start()));
        let mut witness = witness.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let request = json!({"program": program_name, "arguments": arguments, "environment": environment});
        writeln!(witness.requests, "{request}").expect("the witness listens");
        let mut line = String::new();
        witness.answers.read_line(&mut line).expect("the witness answers");
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("the witness said {line:?} to {request}"));
        let words = |key: &str| answer[key].as_str().unwrap_or_default().to_string();
        (answer["code"].as_i64().unwrap_or(1), words("out"), words("err"))
    }

    fn start() -> Witness {
        let mut child = program("witness.py", &[], Stdio::inherit());
        let requests = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Witness { _child: child, requests, answers }
    }
}
