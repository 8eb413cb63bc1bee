//! Locks among processes: a dead holder's lock ends, and the write of one that stood still is refused by
//! the database.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::ErrorKind;
use cardex::kv::{FENCE_CHECK, FENCE_TABLE, SharedLocks};
use cardex::tier::{MemoryTier, MemoryTierOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::redis_support::{SOON, Server, client, tier};
use crate::support::clock;

const URL: &str = "CARDEX_TEST_LOCKS";
const DATABASE: &str = "CARDEX_TEST_LOCKS_DATABASE";
/// A holder renews it three times in this, also on a machine that does other work.
const LEASE: Duration = Duration::from_secs(2);

fn locks(url: &str) -> SharedLocks {
    SharedLocks::with_lease(Arc::new(tier(client(url))), clock(), LEASE).unwrap()
}

fn connection(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(SOON).unwrap();
    connection
}

/// Writes under the lock; whether the database took it.
fn write(path: &Path, fence: u64, text: &str) -> bool {
    let mut connection = connection(path);
    let write = connection.transaction().unwrap();
    let checked = write.execute(FENCE_CHECK, rusqlite::params!["report", fence as i64]);
    if checked.unwrap() == 0 {
        return false;
    }
    write
        .execute("UPDATE report SET text = ?1", [text])
        .unwrap();
    write.commit().unwrap();
    true
}

/// A process that takes the lock, tells its fence, and writes when it is told to.
#[test]
#[ignore = "it is run, and stopped, by the other tests"]
fn child() {
    let (Ok(url), Some(path)) = (std::env::var(URL), std::env::var_os(DATABASE)) else {
        return;
    };
    let locks = locks(&url);
    let lock = locks.acquire("report", SOON).unwrap();
    println!("\nfence {}", lock.fence());
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let is_written = write(Path::new(&path), lock.fence(), &line);
        println!("written {is_written} held {}", lock.is_held().unwrap());
    }
}

struct Holder {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Holder {
    fn spawn(url: &str, path: &Path) -> Holder {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["locks::child", "--exact", "--ignored", "--nocapture"])
            .env(URL, url)
            .env(DATABASE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Holder { process, lines }
    }

    fn line(&mut self, start: &str) -> String {
        let mut lines = self.lines.by_ref().map(|line| line.unwrap());
        lines
            .find_map(|line| line.strip_prefix(start).map(str::to_owned))
            .unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn write(&mut self, text: &str) -> String {
        let input = self.process.stdin.as_mut().unwrap();
        input.write_all(format!("{text}\n").as_bytes()).unwrap();
        self.line("written ")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn a_holder_at_work_keeps_his_lock_and_one_that_stood_still_writes_nothing() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let path = home.path().join("report.db");
    let database = connection(&path);
    database.execute_batch(FENCE_TABLE).unwrap();
    let table = "CREATE TABLE report (text TEXT); INSERT INTO report VALUES ('none')";
    database.execute_batch(table).unwrap();
    let text = || -> String {
        database
            .query_row("SELECT text FROM report", [], |row| row.get(0))
            .unwrap()
    };

    let mut holder = Holder::spawn(&server.url(), &path);
    let fence: u64 = holder.line("fence ").parse().unwrap();
    let locks = locks(&server.url());
    let refused = locks.acquire("report", LEASE * 3).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "it is renewed");
    assert_eq!(holder.write("first"), "true held true");

    holder.signal(Signal::STOP);
    let mine = locks.acquire("report", SOON).unwrap();
    assert!(mine.fence() > fence);
    assert!(write(&path, mine.fence(), "second"));
    holder.signal(Signal::CONT);
    assert_eq!(holder.write("late"), "false held false");
    assert_eq!(text(), "second");
    assert!(mine.is_held().unwrap());
    assert!(
        write(&path, mine.fence(), "third"),
        "the same holder writes again"
    );
    assert_eq!(text(), "third");
}

#[test]
fn a_dead_holders_lock_ends() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let mut holder = Holder::spawn(&server.url(), &home.path().join("none.db"));
    let fence: u64 = holder.line("fence ").parse().unwrap();
    holder.process.kill().unwrap();
    let begin = Instant::now();
    let locks = locks(&server.url());
    let mine = locks.acquire("report", SOON).unwrap();
    assert!(mine.fence() > fence);
    assert!(begin.elapsed() < LEASE * 3, "{:?}", begin.elapsed());
    drop(mine);
    let again = locks.acquire("report", Duration::ZERO).unwrap();
    assert!(
        again.is_held().unwrap(),
        "what is given back is free at once"
    );
}

#[test]
fn a_lock_lasts_for_ten_seconds_if_nothing_else_is_said_and_is_one_processes() {
    let server = Server::start();
    let locks = || {
        let tier = Arc::new(tier(client(&server.url())));
        SharedLocks::new(tier, clock()).unwrap()
    };
    let (one, other) = (locks(), locks());
    let held = one.acquire("report", Duration::ZERO).unwrap();
    let left: u64 = server.ask(&["PTTL", &server.name("cardex:{test}:l:")]);
    assert!((5_000..=10_000).contains(&left), "{left} ms");
    let refused = other.acquire("report", Duration::ZERO).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut);
    other.acquire("another", Duration::ZERO).unwrap();
    drop(held);
    other.acquire("report", Duration::ZERO).unwrap();
}

#[test]
fn a_tier_that_nobody_shares_is_no_place_for_locks() {
    let tier = MemoryTier::new("memory", MemoryTierOptions::default(), clock());
    let error = SharedLocks::new(Arc::new(tier), clock()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}
