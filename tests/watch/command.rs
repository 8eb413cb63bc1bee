//! `cardex watch` and `cardex serve --watch`, as programs meet them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{DEADLINE, write};

/// A command that runs, and its lines of JSON.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Value>,
}

impl Running {
    /// None if there is no such program.
    pub(crate) fn start(mut command: Command) -> Option<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if tell.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        Some(Running { child, lines })
    }

    /// The next line; none at the end.
    pub(crate) fn line(&mut self) -> Option<Value> {
        self.lines.recv_timeout(DEADLINE).ok()
    }

    pub(crate) fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// Its exit code and what it said on stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stderr)
    }
}

/// The command in a tree, without anything of the caller's own.
pub(crate) fn cardex(root: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardex"));
    command
        .args(args)
        .current_dir(root)
        .env_clear()
        .env("HOME", root.parent().unwrap());
    command
}

fn tree() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    write(
        &place.path().join("tree"),
        ".git/HEAD",
        "ref: refs/heads/main\n",
    );
    write(&place.path().join("tree"), "src/a.py", "def a(): pass\n");
    place
}

#[test]
fn what_is_saved_is_told_as_json_and_seen_by_a_query_that_looks_at_no_file() {
    let place = tree();
    let root = place.path().join("tree");
    let mut running = Running::start(cardex(&root, &["watch", "--format", "jsonl"])).unwrap();
    let first = running.line().unwrap();
    assert_eq!(first["cause"], "start");
    assert_eq!(first["files"], serde_json::json!([]));
    let query = |name: &str| {
        let output = cardex(&root, &["query", "--cached", "-f", name])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(query("a"), "src/a.py\n");
    write(&root, "src/b.py", "def saved(): pass\n");
    let start = Instant::now();
    while query("saved") != "src/b.py\n" {
        assert!(start.elapsed() < DEADLINE, "it is not seen");
    }
    let line = running.line().unwrap();
    assert_eq!(line["cause"], "events");
    assert_eq!(
        line["files"],
        serde_json::json!([{"path": "src/b.py", "change": "added"}])
    );
    assert_eq!(
        (&line["added"], &line["changed"], &line["removed"]),
        (&1.into(), &0.into(), &0.into())
    );
    assert!(line["durationMs"].as_u64().unwrap() >= 100);
    assert!(line["position"].as_str().unwrap().contains(':'));
    let asked = Instant::now();
    running.interrupt();
    let (code, stderr) = running.end();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert!(stderr.starts_with("Indexed 1 file"), "{stderr}");
}

#[test]
fn people_get_a_line_a_batch_and_quiet_ones_none() {
    for (args, lines) in [(&["watch"][..], true), (&["watch", "-q"], false)] {
        let place = tree();
        let root = place.path().join("tree");
        let running = Running::start(cardex(&root, args)).unwrap();
        write(&root, "src/b.py", "def saved(): pass\n");
        let start = Instant::now();
        loop {
            let output = cardex(&root, &["query", "--cached", "-f", "saved"])
                .output()
                .unwrap();
            if output.stdout == b"src/b.py\n" {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "it is not seen");
        }
        running.interrupt();
        let (code, stderr) = running.end();
        assert_eq!(code, Some(130), "{stderr}");
        assert_eq!(stderr.contains("Indexed"), lines, "{stderr}");
        assert!(lines || stderr.is_empty(), "{stderr}");
    }
}

#[test]
fn a_server_that_watches_answers_with_what_was_saved_and_tells_its_health() {
    let place = tree();
    let root = place.path().join("tree");
    let mut child = cardex(
        &root,
        &["serve", "--watch", "--listen", "127.0.0.1:0", "-q"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let get = |path: &str| -> Value {
        let url = format!("http://{}{path}", address.trim());
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build();
        let mut answer = ureq::Agent::new_with_config(config)
            .get(url)
            .call()
            .unwrap();
        answer.body_mut().read_json().unwrap()
    };
    write(&root, "src/b.py", "def saved(): pass\n");
    let start = Instant::now();
    while get("/v1/query?function=saved&count=true")["total"] != 1 {
        assert!(start.elapsed() < DEADLINE, "it is not served");
    }
    let health = get("/healthz");
    let parts = health["parts"].as_array().unwrap();
    assert!(
        parts
            .iter()
            .any(|part| part["name"] == "watch" && part["state"] == "healthy"),
        "{health}"
    );
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
