//! Limits of the operating system: a queue of events that overflows, and watches that run out.

use std::fs;
use std::process::Command;

use cardex::HealthState;
use cardex::watch::{WatchOptions, Watcher};

use crate::support::{Watched, write};

const QUEUE: &str = "/proc/sys/fs/inotify/max_queued_events";

/// The length of new queues, until it is dropped.
struct ShortQueues(String);

impl ShortQueues {
    /// None where this user may not.
    fn set(events: &str) -> Option<Self> {
        let old = fs::read_to_string(QUEUE).ok()?;
        fs::write(QUEUE, events).ok()?;
        Some(ShortQueues(old))
    }
}

impl Drop for ShortQueues {
    fn drop(&mut self) {
        fs::write(QUEUE, &self.0).unwrap();
    }
}

#[test]
fn a_queue_of_sixteen_events_loses_most_of_them_and_no_file() {
    let short = ShortQueues::set("16");
    let watched = Watched::with(WatchOptions::default(), |root| {
        for directory in 0..30 {
            write(root, &format!("d{directory}/old.py"), "def old(): pass\n");
        }
    });
    let is_real = short.is_some();
    drop(short);
    for file in 0..3000 {
        watched.write(
            &format!("d{}/e{}/f{file}.py", file % 30, file % 7),
            "def f(): pass\n",
        );
    }
    for directory in 0..10 {
        fs::rename(
            watched.at(&format!("d{directory}")),
            watched.at(&format!("r{directory}")),
        )
        .unwrap();
        fs::remove_dir_all(watched.at(&format!("d{}", directory + 10))).unwrap();
    }
    if is_real {
        watched.until("an overflow", || watched.watcher.stats().overflows > 0);
    } else {
        eprintln!("not permitted to shorten the queue of events: an overflow was injected instead");
        watched.watcher.reconcile();
    }
    watched.agrees();
    // It does not go on looking at the tree because it looked at the tree.
    let looks = watched.watcher.stats().reconciles;
    watched.write("r1/after.py", "def after(): pass\n");
    watched.agrees();
    let more = watched.watcher.stats().reconciles - looks;
    assert!(more <= 2, "{more} more looks at the whole tree");
}

#[test]
fn more_directories_than_may_be_watched_are_polled_and_health_says_so() {
    let millis = std::time::Duration::from_millis;
    let options = WatchOptions::default()
        .max_directories(5)
        .poll_interval(millis(100))
        .unwrap();
    let watched = Watched::with(options, |root| {
        for directory in 0..10 {
            write(root, &format!("d{directory}/a.py"), "def a(): pass\n");
        }
    });
    let health = watched.watcher.health();
    assert_eq!(
        (health.state, health.reasons[0].code),
        (HealthState::Degraded, "watch-limit")
    );
    watched.write("d3/b.py", "def b(): pass\n");
    fs::remove_file(watched.at("d4/a.py")).unwrap();
    watched.until("both", || {
        let paths = watched.paths();
        paths.contains(&"d3/b.py".to_owned()) && !paths.contains(&"d4/a.py".to_owned())
    });
    watched.agrees();
    // There is room again: it is found when the whole tree is looked at.
    for directory in 4..10 {
        fs::remove_dir_all(watched.at(&format!("d{directory}"))).unwrap();
    }
    watched.watcher.reconcile();
    watched.until("watches", || {
        watched.watcher.health().state == HealthState::Healthy
    });
    watched.agrees();
}

/// In a user namespace of its own, the limit is its own, too.
#[test]
fn a_limit_of_watches_that_is_used_up_is_told_on_stderr_and_the_tree_polled() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("tree");
    for directory in 0..10 {
        write(&root, &format!("d{directory}/a.py"), "def a(): pass\n");
    }
    let script = "echo 4 > /proc/sys/user/max_inotify_watches || exit 77; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_cardex"));
    command
        .args(["watch", "--format", "jsonl", "-C"])
        .arg(&root);
    command.env("CARDEX_WATCH__POLL_INTERVAL", "100ms");
    let mut running = match crate::command::Running::start(command) {
        Some(running) => running,
        None => {
            eprintln!("not permitted to make a user namespace: the limit was only injected");
            return;
        }
    };
    let Some(first) = running.line() else {
        eprintln!("not permitted to set a limit of watches: it was only injected");
        assert_eq!(running.end().0, Some(77));
        return;
    };
    assert_eq!(first["cause"], "start");
    write(&root, "d9/b.py", "def b(): pass\n");
    let line = running.line().unwrap();
    assert_eq!(
        (&line["cause"], &line["added"]),
        (&"reconcile".into(), &1.into())
    );
    // Far more than there are watches for, and all of it is brought in.
    for directory in 0..20 {
        write(
            &root,
            &format!("d{directory}/e/f{directory}.py"),
            "class C: pass\n",
        );
    }
    fs::remove_dir_all(root.join("d7")).unwrap();
    let files = 10 - 1 + 1 + 20 - 1;
    let start = std::time::Instant::now();
    loop {
        let output = crate::command::cardex(&root, &["query", "--cached", "--count"]);
        let output = { output }.output().unwrap();
        if String::from_utf8_lossy(&output.stdout).trim() == files.to_string() {
            break;
        }
        assert!(start.elapsed() < crate::support::DEADLINE, "{output:?}");
    }
    running.interrupt();
    let (code, stderr) = running.end();
    assert_eq!(code, Some(130));
    let again = crate::command::cardex(&root, &["index", "--format", "json"]);
    let again = { again }.output().unwrap();
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    let differs = ["added", "changed", "removed"].map(|what| again[what].as_u64());
    assert_eq!(
        differs,
        [Some(0); 3],
        "the records are those of the tree: {again}"
    );
    assert!(
        stderr.contains("the tree is polled, not watched"),
        "{stderr}"
    );
    assert!(stderr.contains("fs.inotify.max_user_watches"), "{stderr}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let watched = Watched::idle(WatchOptions::default(), |_| {});
    let options = WatchOptions::default()
        .debounce(std::time::Duration::from_secs(5))
        .unwrap();
    let scanner = cardex::extract::Scanner::open(&watched.root(), Default::default()).unwrap();
    let store = std::sync::Arc::clone(&watched.store);
    let error = Watcher::new(scanner, store as _, options).unwrap_err();
    assert_eq!(error.code(), "invalid-config");
}
