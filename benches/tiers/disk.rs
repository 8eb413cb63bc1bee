//! The tier on disk against SQLite itself: a plain table in a file of its own, in the same mode, and its
//! statement held. The tier does more for a hit: it looks at the clock, checks that the row is whole,
//! and has a connection given to it and back. It does less where nothing changes: its reader keeps its view
//! of the file, and asks no lock. So the first hit after a put, which has no such view, is told apart: run
//! the bench for that, by a connection that did not put on either side.
//!
//! Two cores that others used too (about ten threads for them); processor time of one operation:
//!
//! | | tier | SQLite | tier / SQLite |
//! | --- | --- | --- | --- |
//! | hit, 100 B | 2.3 us | 4.0 us | 0.57 |
//! | hit, 1 KiB | 2.9 us | 3.8 us | 0.75 |
//! | hit, 8 KiB | 7.5 us | 7.7 us | 0.97 |
//! | hit, 64 KiB | 30.5 us | 31.9 us | 0.96 |
//! | a key of `get_many` of 64, 100 B | 1.8 us | 4.0 us | 0.45 |
//! | a key of `get_many` of 64, 1 KiB | 2.1 us | 3.8 us | 0.55 |
//! | a key of `get_many` of 64, 8 KiB | 6.8 us | 7.7 us | 0.88 |
//! | a key of `get_many` of 64, 64 KiB | 31.9 us | 31.9 us | 1.00 |
//! | miss, 1 KiB | 1.0 us | 2.5 us | 0.40 |
//! | put, 1 KiB | 94 us | 46 us | 2.05 |
//!
//! `get_many` has 64 values at once, whose memory may be new: then one of 64 KiB took up to 80 us.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cardex::SystemClock;
use cardex::tier::{DiskTier, DiskTierOptions, Key, Lifetime, Tier};
use rusqlite::{Connection, params};

use crate::common::race::{median, processor_time, race, report, time};
use crate::common::{Random, small};

/// Look-ups in a turn.
const TURN: usize = 1024;
/// A hit takes no more than this many times as long as the statement alone.
const MOST: f64 = 1.3;

pub(crate) fn run() {
    let rows = if small() { 500 } else { 10_000 };
    for (name, length) in [
        ("100B", 100),
        ("1KiB", 1024),
        ("8KiB", 8192),
        ("64KiB", 65536),
    ] {
        let rows = rows.min((256 << 20) / length);
        let pair = Pair::new(rows, length);
        pair.agree();
        pair.hits(name);
        pair.first_hits(name);
        if length == 1024 {
            pair.misses(name);
            pair.writes(name);
            pair.hits_beside_a_writer(name);
        }
    }
}

/// The same rows in a tier and in a plain table.
struct Pair {
    _home: tempfile::TempDir,
    tier: DiskTier,
    raw: Connection,
    /// Opened for itself alone: it needs no locks.
    alone: Connection,
    keys: Vec<Key>,
    length: usize,
}

fn value(n: usize, length: usize) -> Vec<u8> {
    let mut random = Random(n as u64);
    (0..length).map(|_| random.below(256) as u8).collect()
}

fn plain(path: &std::path::Path, mode: &str) -> Connection {
    let conn = Connection::open(path).expect("a file");
    let settings = format!(
        "{mode}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {CACHE};
         CREATE TABLE t (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;"
    );
    conn.execute_batch(&settings).expect("SQLite");
    conn
}

impl Pair {
    fn new(rows: usize, length: usize) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(SystemClock);
        let path = home.path().join("tier.db");
        let tier = DiskTier::open("bench", path, DiskTierOptions::default(), clock);
        let tier = tier.expect("a new file");
        let raw = plain(&home.path().join("raw.db"), "PRAGMA locking_mode = NORMAL");
        let alone = plain(
            &home.path().join("alone.db"),
            "PRAGMA locking_mode = EXCLUSIVE",
        );
        let key = |n| Key::from_parts(["tool", "summary", &format!("src/file_{n}.rs")]);
        let keys: Vec<Key> = (0..rows).map(|n| key(n).expect("a key")).collect();
        let insert = "INSERT INTO t VALUES (?1, ?2)";
        for conn in [&raw, &alone] {
            let tx = conn.unchecked_transaction().expect("SQLite");
            for (n, key) in keys.iter().enumerate() {
                let row = params![key.as_str(), value(n, length)];
                tx.prepare_cached(insert)
                    .and_then(|mut statement| statement.execute(row))
                    .expect("SQLite");
            }
            tx.commit().expect("SQLite");
        }
        for (n, key) in keys.iter().enumerate() {
            let kept = tier.put(key, value(n, length).into(), 1, Lifetime::Default.into());
            assert!(kept.expect("room"));
        }
        Pair {
            _home: home,
            tier,
            raw,
            alone,
            keys,
            length,
        }
    }

    fn agree(&self) {
        let mut select = self.raw.prepare(SELECT).expect("SQLite");
        for key in self.keys.iter().step_by(7) {
            let ours = self.tier.get(key).expect("it can be read");
            let theirs: Vec<u8> = select
                .query_row([key.as_str()], |row| row.get(0))
                .expect("it is there");
            assert_eq!(*ours.expect("it is there").value, *theirs);
        }
    }

    /// Keys in no order, few enough that all are read before.
    fn asked(&self) -> Vec<&Key> {
        let mut random = Random(5);
        let keys = (0..TURN).map(|_| &self.keys[random.below(self.keys.len())]);
        keys.collect()
    }

    fn hits(&self, name: &str) {
        let asked = self.asked();
        let mut raw = self.raw.prepare(SELECT).expect("SQLite");
        let mut alone = self.alone.prepare(SELECT).expect("SQLite");
        let [ours, many, theirs, alone] = race(
            TURN,
            [
                &mut || {
                    for key in &asked {
                        black_box(self.tier.get(key).expect("it can be read"));
                    }
                },
                &mut || {
                    for keys in asked.chunks(64) {
                        black_box(self.tier.get_many(keys));
                    }
                },
                &mut || select_all(&mut raw, &asked),
                &mut || select_all(&mut alone, &asked),
            ],
        );
        let case = format!("disk,hit,{name}");
        report("tiers", &case, "sqlite", ours, theirs, Some(1.0 / MOST));
        report("tiers", &case, "sqlite,exclusive", ours, alone, None);
        let case = format!("disk,get_many,64,{name}");
        report("tiers", &case, "sqlite", many, theirs, None);
    }

    /// The first hit after a change of each file, by a connection that did not make it: nobody has a view
    /// of the file, nor any page of it that is still true. The changes are not counted.
    fn first_hits(&self, name: &str) {
        let asked = &self.asked()[..if small() { 16 } else { TURN / 2 }];
        let new: Arc<[u8]> = value(0, self.length).into();
        let mut upsert = self.raw.prepare(UPSERT).expect("SQLite");
        let change = |key: &Key, upsert: &mut rusqlite::Statement<'_>| {
            let term = Lifetime::Default.into();
            let kept = self.tier.put(key, Arc::clone(&new), 1, term);
            assert!(kept.expect("room"));
            let row = params![key.as_str(), &*new];
            assert_eq!(upsert.execute(row).expect("SQLite"), 1);
        };
        let reader = self.raw.path().expect("a file");
        let reader = Connection::open(reader).expect("a file");
        reader.execute_batch(CACHE).expect("SQLite");
        let mut select = reader.prepare(SELECT).expect("SQLite");
        let [mut ours, mut theirs, mut nothing] = [const { Vec::new() }; 3];
        for (key, changed) in asked.iter().zip(asked.iter().rev()) {
            change(changed, &mut upsert);
            ours.push(worked(|| {
                black_box(self.tier.get(key).expect("it can be read"));
            }));
            theirs.push(worked(|| select_all(&mut select, &[key])));
            nothing.push(worked(|| ()));
        }
        let [ours, theirs, nothing] = [ours, theirs, nothing].map(median);
        let case = format!("disk,first hit after a put,{name}");
        let (ours, theirs) = (ours - nothing, theirs - nothing);
        report("tiers", &case, "sqlite", ours, theirs, None);
    }

    fn misses(&self, name: &str) {
        let absent: Vec<Key> = self
            .asked()
            .iter()
            .map(|key| Key::new(&format!("{key}x")))
            .map(|key| key.expect("a key"))
            .collect();
        let absent: Vec<&Key> = absent.iter().collect();
        let mut raw = self.raw.prepare(SELECT).expect("SQLite");
        let [ours, theirs] = race(
            TURN,
            [
                &mut || {
                    for key in &absent {
                        black_box(self.tier.get(key).expect("it can be read"));
                    }
                },
                &mut || {
                    for key in &absent {
                        let mut rows = raw.query([key.as_str()]).expect("SQLite");
                        black_box(rows.next().expect("SQLite").is_none());
                    }
                },
            ],
        );
        let case = format!("disk,miss,{name}");
        report("tiers", &case, "sqlite", ours, theirs, None);
    }

    fn writes(&self, name: &str) {
        let asked = self.asked();
        let asked = &asked[..64];
        let new: Arc<[u8]> = value(0, self.length).into();
        let mut upsert = self.raw.prepare(UPSERT).expect("SQLite");
        let [ours, theirs] = race(
            asked.len(),
            [
                &mut || {
                    for key in asked {
                        let term = Lifetime::Default.into();
                        let kept = self.tier.put(key, Arc::clone(&new), 1, term);
                        assert!(kept.expect("room"));
                    }
                },
                &mut || {
                    for key in asked {
                        upsert
                            .execute(params![key.as_str(), &*new])
                            .expect("SQLite");
                    }
                },
            ],
        );
        let case = format!("disk,put,{name}");
        report("tiers", &case, "sqlite", ours, theirs, None);
    }

    /// Time that passes, which is what waiting costs.
    fn hits_beside_a_writer(&self, name: &str) {
        let asked = self.asked();
        let new: Arc<[u8]> = value(0, self.length).into();
        let (tier, ends) = (&self.tier, AtomicBool::new(false));
        for is_written in [false, true] {
            ends.store(!is_written, Ordering::Relaxed);
            let mut times = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !ends.load(Ordering::Relaxed) {
                        let term = Lifetime::Default.into();
                        let kept = tier.put(asked[0], Arc::clone(&new), 1, term);
                        assert!(kept.expect("room"));
                    }
                });
                let (begin, mut times) = (Instant::now(), Vec::new());
                let long = Duration::from_millis(if small() { 50 } else { 2_000 });
                for key in asked.iter().cycle() {
                    let start = Instant::now();
                    black_box(tier.get(key).expect("it can be read"));
                    times.push(start.elapsed().as_nanos() as f64);
                    if begin.elapsed() > long {
                        break;
                    }
                }
                ends.store(true, Ordering::Relaxed);
                times
            });
            times.sort_by(f64::total_cmp);
            let share = |percent: usize| time(times[times.len() * percent / 100]);
            let writer = if is_written { "writer" } else { "nobody" };
            println!(
                "bench=tiers case=disk,hit,{name},beside={writer} p50={} p95={} p99={} max={}",
                share(50),
                share(95),
                share(99),
                time(times[times.len() - 1]),
            );
        }
    }
}

const SELECT: &str = "SELECT value FROM t WHERE key = ?1";
const UPSERT: &str = "INSERT OR REPLACE INTO t VALUES (?1, ?2)";
const CACHE: &str = "PRAGMA cache_size = -2048";

/// How long this thread works at it, in nanoseconds.
fn worked(work: impl FnOnce()) -> f64 {
    let before = processor_time();
    work();
    processor_time().saturating_sub(before).as_nanos() as f64
}

fn select_all(statement: &mut rusqlite::Statement<'_>, asked: &[&Key]) {
    for key in asked {
        let value: Vec<u8> = statement
            .query_row([key.as_str()], |row| row.get(0))
            .expect("it is there");
        black_box(value);
    }
}
