//! `cardex cache` among processes: what one sets another finds, on the Redis server at once and in the file
//! when the first one is gone; and what a server has in use is not touched behind its back.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

#[path = "../redis_support/mod.rs"]
mod redis_support;

mod bus;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use redis_support::Server;
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "hunter2hunter2";

/// A project, and a home without configuration.
struct Project {
    root: TempDir,
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Project {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("main.rs"), "fn main() {}\n").unwrap();
        Project {
            root,
            home: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    fn over(self, server: &Server) -> Self {
        let url = format!("{}?pass={SECRET}", server.url());
        self.with("CARDEX_REDIS__URL", url)
            .with("CARDEX_REDIS__TIMEOUT", "500ms")
    }

    fn configured(self, text: &str) -> Self {
        std::fs::write(self.root.path().join("cardex.toml"), text).unwrap();
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardex"));
        command
            .arg("-C")
            .arg(self.root.path())
            .args(args)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What `cardex cache` prints, which must end with this code and tell nobody the secret.
    #[track_caller]
    fn cache(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(&[&["cache"], args].concat());
        let told = format!("{output:?}");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(!told.contains(SECRET), "{told}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.root.path().join(".cardex/derived.db")
    }
}

/// A server that wants the password.
fn guarded() -> Server {
    Server::start_with(&["--requirepass", SECRET])
}

#[test]
fn the_file_outlives_the_process_that_wrote_it() {
    let project = Project::new();
    project.cache(0, &["set", "general", "k", "[1, 2]"]);
    assert_eq!(project.cache(0, &["get", "general", "k"]), "[1, 2]\n");
    assert!(project.file().exists());
    let ignored = project.root.path().join(".cardex/.gitignore");
    assert_eq!(std::fs::read_to_string(ignored).unwrap().trim(), "*");
}

#[test]
fn to_look_makes_nothing() {
    let project = Project::new();
    for args in [
        &["get", "general", "k"][..],
        &["keys", "general"],
        &["ttl", "general", "k"],
    ] {
        let code = project.run(&[&["cache"], args].concat()).status.code();
        assert!(matches!(code, Some(1 | 2)), "{args:?}: {code:?}");
    }
    project.cache(0, &["stats"]);
    project.cache(0, &["report"]);
    assert!(!project.root.path().join(".cardex").exists());
}

#[test]
fn a_value_of_one_process_is_found_by_another_through_redis() {
    let server = guarded();
    let none = "[tiers.disk]\nenabled = false\n";
    let project = Project::new().configured(none).over(&server);
    project.cache(0, &["set", "general", "k", "\"shared\"", "--ttl", "10m"]);
    assert_eq!(project.cache(0, &["get", "general", "k"]), "\"shared\"\n");
    assert!(!project.file().exists());
    let told = project.cache(0, &["get", "general", "k", "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let ttl = told["ttlMs"].as_u64().unwrap();
    assert!((540_000..=600_000).contains(&ttl), "{told}");
    let stats = project.cache(0, &["stats", "general", "--format", "json"]);
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["caches"][0]["entries"], 1, "{stats}");
    assert_eq!(stats["caches"][0]["place"], "Redis");
    project.cache(0, &["delete", "general", "k"]);
    project.cache(1, &["get", "general", "k"]);
}

#[test]
fn two_projects_on_one_server_meet_only_on_purpose() {
    let server = guarded();
    let new = || {
        let none = "[tiers.disk]\nenabled = false\n";
        Project::new().configured(none).over(&server)
    };
    let (one, other) = (new(), new());
    one.cache(0, &["set", "general", "k", "1"]);
    other.cache(1, &["get", "general", "k"]);
    let share = |project: Project| project.with("CARDEX_REDIS__NAMESPACE", "team_a");
    let (one, other) = (share(one), share(other));
    one.cache(1, &["get", "general", "k"]);
    one.cache(0, &["set", "general", "k", "2"]);
    assert_eq!(other.cache(0, &["get", "general", "k"]), "2\n");
}

#[test]
fn what_redis_missed_is_owed_by_the_next_process() {
    let mut server = Server::start();
    let project = Project::new().over(&server);
    // Without a password there is none to give.
    let project = Project {
        variables: vec![
            ("CARDEX_REDIS__URL".to_owned(), server.url()),
            ("CARDEX_REDIS__TIMEOUT".to_owned(), "500ms".to_owned()),
        ],
        ..project
    };
    project.cache(0, &["set", "general", "k", "1"]);
    server.freeze();
    let said = project.cache(0, &["set", "general", "k", "2"]);
    assert!(said.contains("put right later by forgetting"), "{said}");
    server.thaw();
    assert_eq!(project.cache(0, &["get", "general", "k"]), "2\n");
    // Whoever has no file of it must not find what was there before the change.
    let deadline = Instant::now() + Duration::from_secs(30);
    let without = [("CARDEX_TIERS__DISK__ENABLED", "false")];
    loop {
        let get = ["cache", "get", "general", "k"];
        let found = project.command(&get).envs(without).output().unwrap();
        if found.stdout != b"1\n" {
            break;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        project.cache(0, &["set", "general", "other", "1"]);
    }
    server.kill();
    project.cache(0, &["get", "general", "k"]);
    project.cache(2, &["get", "general", "absent"]);
    project.cache(2, &["keys", "general"]);
}

/// A server of the command.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(project: &Project) -> Self {
        Self::start_with(project, &[])
    }

    fn start_with(project: &Project, flags: &[&str]) -> Self {
        assert!(project.run(&["-q", "index"]).status.success());
        Self::start_indexed(project, flags)
    }

    /// Of a project whose index is there.
    fn start_indexed(project: &Project, flags: &[&str]) -> Self {
        let serve = ["-q", "serve", "--listen", "127.0.0.1:0"];
        let mut command = project.command(&[&serve, flags].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        Serving {
            child,
            address: address.trim_end().to_owned(),
        }
    }

    /// Ends it in good order.
    fn end(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(143));
    }

    fn text(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let mut answer = ureq::get(&url).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    }

    /// Whether it answers that all is well.
    fn answers(&self, path: &str) -> bool {
        let url = format!("http://{}{path}", self.address);
        ureq::get(&url).call().is_ok()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_server_shows_the_caches_that_are_configured_and_keeps_their_file() {
    let server = guarded();
    let project = Project::new()
        .configured("[types.chat]\nttl = '10m'\n[types.pages]\nbackend = 'disk'\n")
        .over(&server);
    project.cache(0, &["set", "pages", "p", "1"]);
    project.cache(0, &["set", "chat", "k", "1"]);
    let serving = Serving::start(&project);
    let caches = serving.json("/v1/caches");
    let names: Vec<&str> = caches["caches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cache| cache["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"chat") && names.contains(&"pages"),
        "{names:?}"
    );
    let report = serving.json("/v1/report");
    assert_eq!(report["caches"][0]["name"], "chat", "{report}");
    let metrics = serving.text("/metrics");
    for line in [
        "cardex_results_file_max_bytes 500000000",
        "cardex_redis_up 1.0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let health = serving.json("/healthz");
    let parts = health["parts"].as_array().unwrap();
    let results = parts.iter().find(|part| part["name"] == "results").unwrap();
    assert_eq!(results["state"], "healthy", "{health}");
    // It has the file: what Redis has is told all the same, and nothing is changed behind its back.
    assert_eq!(project.cache(0, &["get", "chat", "k"]), "1\n");
    for args in [
        &["get", "pages", "p"][..],
        &["get", "chat", "absent"],
        &["set", "chat", "k", "2"],
        &["clear", "pages"],
        &["backup", "copy.db"],
    ] {
        let said = project.cache(2, args);
        assert!(said.contains("error[database-busy]"), "{args:?}: {said}");
        assert!(said.contains("or stop it"), "{args:?}: {said}");
    }
    let said = project.cache(2, &["restore", "copy.db"]);
    assert!(said.contains("unix://"), "{said}");
    serving.end();
    let file = rusqlite::Connection::open(project.file()).unwrap();
    let says = "SELECT boot = CAST('closed properly.' AS BLOB) FROM state";
    let is_closed = file.query_row(says, [], |row| row.get::<_, bool>(0));
    assert!(
        is_closed.unwrap(),
        "what it held outlives the machine's next boot"
    );
    drop(file);
    assert_eq!(project.cache(0, &["get", "pages", "p"]), "1\n");
}

#[test]
fn neither_a_file_that_is_in_use_nor_a_redis_that_is_away_stops_a_start() {
    let project = Project::new()
        .configured("[types.chat]\nttl = '10m'\n[types.pages]\nbackend = 'disk'\n")
        .with("CARDEX_REDIS__URL", "unix:///nowhere/redis.sock")
        .with("CARDEX_REDIS__TIMEOUT", "100ms");
    let (first, second) = (Serving::start(&project), Serving::start(&project));
    let names = |serving: &Serving| {
        let caches = serving.json("/v1/caches");
        let caches = caches["caches"].as_array().unwrap().iter();
        let names = caches.map(|cache| cache["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<String>>()
    };
    assert!(names(&first).contains(&"pages".to_owned()));
    let without = names(&second);
    assert!(without.contains(&"chat".to_owned()) && !without.contains(&"pages".to_owned()));
    let health = second.json("/healthz");
    let parts = health["parts"].as_array().unwrap();
    let results = parts.iter().find(|part| part["name"] == "results").unwrap();
    assert_eq!(results["state"], "degraded", "{health}");
    assert_eq!(results["reasons"][0]["code"], "database-busy");
}

#[test]
fn a_server_without_types_opens_no_file() {
    let project = Project::new();
    let serving = Serving::start(&project);
    assert_eq!(serving.json("/v1/report")["caches"], json!([]));
    assert!(!project.file().exists());
    project.cache(0, &["set", "general", "k", "1"]);
}

#[test]
fn a_value_may_come_by_the_standard_input() {
    let project = Project::new();
    let mut command = project.command(&["cache", "set", "general", "k", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(br#"{"a": [1, 2.50]}"#).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(
        project.cache(0, &["get", "general", "k"]),
        "{\"a\": [1, 2.50]}\n"
    );
}

#[test]
fn a_link_of_the_tree_is_not_followed() {
    let project = Project::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let data = project.root.path().join(".cardex");
    std::fs::create_dir(&data).unwrap();
    let target = elsewhere.path().join("theirs");
    for name in ["derived.db", "derived.db.lock", "derived.db.general.owed"] {
        std::os::unix::fs::symlink(&target, data.join(name)).unwrap();
        project.cache(2, &["set", "general", "k", "1"]);
        assert!(!Path::new(&target).exists(), "{name}");
        std::fs::write(&target, "precious").unwrap();
        project.cache(2, &["set", "general", "k", "1"]);
        project.cache(2, &["get", "general", "k"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"precious", "{name}");
        std::fs::remove_file(&target).unwrap();
        std::fs::remove_file(data.join(name)).unwrap();
    }
}
