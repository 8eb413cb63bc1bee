//! What befalls a tier's file from outside, a fault a test, under one rule: what is found is what was
//! put last under that key, or nothing, or an error; never an older value, and never one that was
//! removed. And it goes on afterwards.
//!
//! `CARDEX_TEST_FLIPS` sets in how many files bits are flipped (2,500, one to eight each).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use cardex::tier::{
    DiskFile, DiskFileOptions, DiskTier, DiskTierOptions, KeyPattern, Lifetime, Tier,
};
use cardex::{Cache, Clock, ErrorKind, HealthState, ManualClock, Result};
use chrono::{DateTime, TimeDelta, Utc};

use crate::every::{MIB, key, seconds};

const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", ".lock"];
const KEYS: usize = 10;
/// Of each three keys, one was put once, one twice, and one was removed.
const KINDS: usize = 3;

fn beside(file: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", file.display()))
}

/// A directory in memory, where there is one: nothing here asks whether a disk keeps what is synced.
fn quick_home() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn open_file(path: &Path) -> Result<Arc<DiskFile>> {
    let options = DiskFileOptions::default().timeout(seconds(10));
    DiskFile::open(path, options, Arc::new(ManualClock::new()))
}

fn over(file: &Arc<DiskFile>) -> DiskTier {
    DiskTier::over(file, "tier", DiskTierOptions::default()).unwrap()
}

fn open(path: &Path) -> Result<DiskTier> {
    DiskTier::over(&open_file(path)?, "tier", DiskTierOptions::default())
}

fn put(tier: &DiskTier, name: impl ToString, value: &[u8]) {
    let never = Lifetime::Never;
    let kept = tier.put(&key(name), value.into(), 3, never.into());
    assert!(kept.unwrap());
}

fn get(tier: &DiskTier, name: impl ToString) -> Option<Vec<u8>> {
    let entry = tier.get(&key(name)).unwrap();
    entry.map(|entry| entry.value.to_vec())
}

/// The right value of a key after `history`; `None` for one that was removed.
fn right(n: usize) -> Option<Vec<u8>> {
    let value = || format!("the last value of {n} ").repeat(1 + 40 * n);
    (n % KINDS != 2).then(|| value().into_bytes())
}

fn history(tier: &DiskTier) {
    for n in 0..KEYS {
        if n % KINDS != 0 {
            let older = format!("an older value of {n} ").repeat(1 + 30 * n);
            put(tier, n, older.as_bytes());
        }
    }
    for n in 0..KEYS {
        match right(n) {
            Some(value) => put(tier, n, &value),
            None => assert!(tier.remove(&key(n)).unwrap()),
        }
    }
}

/// Asks for everything, each answer being right, nothing, or an error; how many right values there were.
#[track_caller]
fn answers(tier: &DiskTier, what: &str) -> usize {
    let mut found = 0;
    for n in 0..KEYS {
        if let Ok(Some(entry)) = tier.get(&key(n)) {
            let value = entry.value.to_vec();
            assert_eq!(Some(value), right(n), "{what}: key {n}");
            assert_eq!((entry.version, entry.remaining), (3, None), "{what}");
            found += 1;
        }
    }
    let all = KeyPattern::new("*").unwrap();
    let visited = tier.scan(&all, &mut |key| {
        if let Ok(n) = key.as_str().parse() {
            assert!(right(n).is_some(), "{what}: {n} was removed");
        } else {
            assert_eq!(key.as_str(), "another", "{what}");
        }
        std::ops::ControlFlow::Continue(())
    });
    drop(visited);
    found
}

/// It goes on, or says why not.
#[track_caller]
fn goes_on(tier: &DiskTier, what: &str) {
    let never = Lifetime::Never;
    let kept = tier.put(&key("new"), b"v"[..].into(), 1, never.into());
    if kept.is_ok()
        && let Ok(Some(entry)) = tier.get(&key("new"))
    {
        assert_eq!(&*entry.value, b"v", "{what}");
    }
    if let Ok(removed) = tier.remove(&key("new"))
        && let Ok(found) = tier.get(&key("new"))
    {
        assert_eq!(found, None, "{what}: {removed}");
    }
}

/// The files as they lie on the disk now.
type Image = Vec<(&'static str, Vec<u8>)>;

fn image(path: &Path) -> Image {
    let files = SUFFIXES.iter();
    let files = files.filter_map(|suffix| Some((*suffix, fs::read(beside(path, suffix)).ok()?)));
    files.collect()
}

fn restore(image: &Image, path: &Path) {
    for suffix in SUFFIXES {
        drop(fs::remove_file(beside(path, suffix)));
    }
    for (suffix, bytes) in image {
        fs::write(beside(path, suffix), bytes).unwrap();
    }
}

/// The files of a tier that was closed, and of one whose process was killed.
fn images() -> [Image; 2] {
    let home = quick_home();
    let path = home.path().join("t.db");
    let tier = open(&path).unwrap();
    history(&tier);
    let killed = image(&path);
    assert_eq!(killed.len(), 4, "the log is there");
    drop(tier);
    [image(&path), killed]
}

/// One to eight bits are flipped in one file, and then everything is asked for. Which file and which bits
/// the seed says. Returns how many values were found, of how many.
fn flip(images: &[Image; 2], home: &Path, seed: u64) -> (usize, usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut image = images[random.usize(..2)].clone();
    // All but the index of the log, which is made anew.
    let files = image.iter_mut().filter(|(suffix, _)| *suffix != "-shm");
    let mut files: Vec<_> = files.collect();
    // The lock file has 16 bytes, and deserves fewer.
    let which = random.usize(..files.len() * 8) % (files.len() * 8 - 6) / 8;
    let (suffix, bytes) = &mut files[which];
    let what = format!("seed {seed}, {} of {}", suffix, bytes.len());
    for _ in 0..1 + seed % 8 {
        let end = match random.bool() {
            true => bytes.len(),
            // Where the headers are.
            false => bytes.len().min(200),
        };
        bytes[random.usize(..end)] ^= 1 << random.u32(..8);
    }
    let path = home.join(format!("{seed}.db"));
    restore(&image, &path);
    let mut found = 0;
    if let Ok(tier) = open(&path) {
        found = answers(&tier, &what);
        goes_on(&tier, &what);
        drop(tier);
        // And what it left behind.
        if seed.is_multiple_of(4)
            && let Ok(tier) = open(&path)
        {
            answers(&tier, &what);
        }
    }
    for entry in fs::read_dir(home).unwrap() {
        let entry = entry.unwrap();
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(&format!("{seed}.db"))
        {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let whole = (0..KEYS).filter(|n| right(*n).is_some()).count();
    (found, whole)
}

#[test]
fn no_flipped_bits_ever_make_a_wrong_value_or_bring_an_older_one_back() {
    let seeds = std::env::var("CARDEX_TEST_FLIPS").map_or(2_500, |n| n.parse().unwrap());
    let home = quick_home();
    let images = images();
    let halves = [0..seeds / 2, seeds / 2..seeds];
    let found = std::thread::scope(|scope| {
        let threads = halves.map(|half| {
            let (images, home) = (&images, home.path());
            scope.spawn(move || {
                let flipped = half.map(|seed| flip(images, home, seed));
                flipped.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    let [found, asked] = [found[0].0 + found[1].0, found[0].1 + found[1].1];
    println!("{found} of {asked} right values were found");
    assert!(found * 10 > asked, "{found} of {asked} were found");
    assert!(found < asked, "the digests saw nothing");
}

#[test]
fn a_file_of_a_process_that_was_killed_has_everything() {
    let home = quick_home();
    let path = home.path().join("t.db");
    for image in images() {
        restore(&image, &path);
        let tier = open(&path).unwrap();
        assert_eq!(answers(&tier, "whole"), 7);
        assert_eq!(tier.tier_stats().unwrap().damaged, 0);
        assert_eq!(tier.health().state, HealthState::Healthy);
    }
}

#[test]
fn a_log_that_lacks_its_end_empties_the_file() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let [_, killed] = images();
    let log = killed.iter().find(|(suffix, _)| *suffix == "-wal");
    let length = log.unwrap().1.len();
    for kept in [0, 31, 32, 5_000, length / 2, length - 4_120, length - 1] {
        let mut cut = killed.clone();
        let log = cut.iter_mut().find(|(suffix, _)| *suffix == "-wal");
        log.unwrap().1.truncate(kept);
        restore(&cut, &path);
        let tier = open(&path).unwrap();
        assert_eq!(answers(&tier, &format!("{kept} bytes")), 0);
        // Without any of it the file is empty, as if it was new.
        let damaged = u64::from(kept == length / 2 || kept > length - 5_000);
        let stats = tier.tier_stats().unwrap();
        assert_eq!(stats.damaged, damaged, "{kept} of {length}");
        put(&tier, "k", b"v");
        drop(tier);
        assert_eq!(get(&open(&path).unwrap(), "k").unwrap(), b"v");
    }
    let without: Image = killed
        .iter()
        .filter(|(suffix, _)| *suffix != "-wal")
        .cloned()
        .collect();
    restore(&without, &path);
    assert_eq!(answers(&open(&path).unwrap(), "without a log"), 0);
}

#[test]
fn a_lock_file_that_is_damaged_or_says_that_something_failed_empties_the_file() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let lock = beside(&path, ".lock");
    for image in images() {
        let (_, words) = image.iter().find(|(suffix, _)| *suffix == ".lock").unwrap();
        let changes = u64::from_le_bytes(words[..8].try_into().unwrap());
        assert!(changes > 10 && words[8..].iter().all(|byte| *byte == 0));
        for words in [
            [u64::MAX, 0],
            [changes + 1, 0],
            [changes, 1],
            [0, 7],
            [1 << 63, 1],
        ] {
            restore(&image, &path);
            fs::write(&lock, words.map(u64::to_le_bytes).concat()).unwrap();
            let tier = open(&path).unwrap();
            assert_eq!(answers(&tier, &format!("{words:?}")), 0);
            assert_eq!(tier.tier_stats().unwrap().damaged, 1);
            history(&tier);
            drop(tier);
            let tier = open(&path).unwrap();
            assert_eq!(answers(&tier, &format!("{words:?}, again")), 7);
        }
    }
}

#[test]
fn an_older_copy_in_the_place_of_a_closed_file_is_emptied() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let older = {
        let tier = open(&path).unwrap();
        (0..KEYS).for_each(|n| put(&tier, n, b"an older value"));
        drop(tier);
        fs::read(&path).unwrap()
    };
    history(&open(&path).unwrap());
    fs::write(&path, &older).unwrap();
    let tier = open(&path).unwrap();
    assert_eq!(answers(&tier, "an older copy"), 0);
    assert_eq!(tier.tier_stats().unwrap().damaged, 1);
    // Nor after its file was given up, and another one made.
    history(&tier);
    drop(tier);
    fs::write(&path, b"this is no database").unwrap();
    put(&open(&path).unwrap(), "k", b"v");
    fs::write(&path, &older).unwrap();
    assert_eq!(answers(&open(&path).unwrap(), "an older copy"), 0);
    // A copy elsewhere, without a lock file, is taken at its word if it was closed.
    history(&open(&path).unwrap());
    let elsewhere = home.path().join("copy.db");
    fs::copy(&path, &elsewhere).unwrap();
    assert_eq!(answers(&open(&elsewhere).unwrap(), "a copy"), 7);
}

/// As SQLite leaves the file when its machine goes down: without the last transactions, which may have
/// been removals.
#[test]
fn a_file_that_was_open_when_its_machine_went_down_is_emptied() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let [closed, killed] = images();
    for (image, found) in [(killed, 0), (closed, 7)] {
        restore(&image, &path);
        // The lock file is not synced: it may be as it was at any time, or gone.
        fs::write(beside(&path, ".lock"), b"").unwrap();
        let foreign = rusqlite::Connection::open(&path).unwrap();
        let other_boot = "UPDATE state SET boot = randomblob(16)
             WHERE boot != CAST('closed properly.' AS BLOB)";
        let changed = foreign.execute(other_boot, []).unwrap();
        assert_eq!(changed, usize::from(found == 0));
        drop(foreign);
        let tier = open(&path).unwrap();
        assert_eq!(answers(&tier, "another boot"), found);
        assert_eq!(tier.tier_stats().unwrap().damaged, changed as u64);
        put(&tier, "k", b"v");
        drop(tier);
        let tier = open(&path).unwrap();
        assert_eq!(get(&tier, "k").unwrap(), b"v");
    }
}

#[test]
fn a_file_that_is_cut_short_while_it_is_closed_is_a_miss_or_an_error() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let [closed, _] = images();
    let length = closed[0].1.len();
    assert_eq!(closed[0].0, "");
    for kept in (0..length)
        .step_by(977)
        .chain([99, 100, 512, 4_096, length - 1])
    {
        let mut cut = closed.clone();
        cut[0].1.truncate(kept);
        restore(&cut, &path);
        if let Ok(tier) = open(&path) {
            answers(&tier, &format!("{kept} of {length} bytes"));
            goes_on(&tier, &format!("{kept} of {length} bytes"));
        }
    }
}

#[test]
fn a_file_that_is_cut_short_while_it_is_open_is_given_up() {
    for length in [0, 100, 4_096, 20_000] {
        let home = quick_home();
        let path = home.path().join("t.db");
        let tier = open(&path).unwrap();
        let value = |n: usize| vec![n as u8; 100_000];
        // More than SQLite keeps in memory, and its log.
        for n in 0..200 {
            put(&tier, n, &value(n));
        }
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        for n in 0..200 {
            if let Ok(Some(entry)) = tier.get(&key(n)) {
                assert!(*entry.value == *value(n), "cut to {length}: key {n}");
            }
        }
        put(&tier, "k", b"v");
        assert_eq!(get(&tier, "k").unwrap(), b"v");
        let health = tier.health();
        assert_eq!(health.state, HealthState::Degraded, "{length}");
        let reason = &health.reasons[0];
        assert_eq!(reason.code, "cache-file-rebuilt");
        assert!(reason.message.contains("t.db"), "{}", reason.message);
        drop(tier);
        let tier = open(&path).unwrap();
        assert_eq!(get(&tier, "k").unwrap(), b"v");
        assert_eq!(tier.health().state, HealthState::Healthy);
    }
}

/// Whoever takes the file, or its log, away from an open tier: what was there is not found from the next
/// change on, and that change outlives the process.
#[test]
fn a_file_that_is_taken_away_while_it_is_open_is_made_anew() {
    let deleted: [&[&str]; 4] = [&[""], &["-wal"], &["", "-wal", "-shm"], &["-shm", "-wal"]];
    for suffixes in deleted {
        let home = quick_home();
        let path = home.path().join("t.db");
        let tier = open(&path).unwrap();
        history(&tier);
        for suffix in suffixes {
            fs::remove_file(beside(&path, suffix)).unwrap();
        }
        let what = format!("{suffixes:?}");
        answers(&tier, &what);
        let removed = right(0).map(|_| tier.remove(&key(0)).unwrap());
        assert_eq!(removed, Some(false), "{what}: it went with the file");
        put(&tier, 1, &right(1).unwrap());
        for n in [0, 2, 3] {
            assert_eq!(get(&tier, n), None, "{what}");
        }
        assert_eq!(get(&tier, 1), right(1), "{what}");
        assert_eq!(tier.usage().entries, 1);
        // As if its process was killed.
        let copy = home.path().join("copy.db");
        restore(&image(&path), &copy);
        let copy = open(&copy).unwrap();
        assert_eq!((get(&copy, 1), get(&copy, 0)), (right(1), None), "{what}");
        drop(tier);
        let tier = open(&path).unwrap();
        assert_eq!((get(&tier, 1), get(&tier, 0)), (right(1), None), "{what}");
    }
}

#[test]
fn an_older_copy_that_is_put_in_the_place_of_an_open_file_is_not_believed() {
    for is_killed in [false, true] {
        let home = quick_home();
        let path = home.path().join("t.db");
        let tier = open(&path).unwrap();
        (0..KEYS).for_each(|n| put(&tier, n, b"an older value"));
        drop(tier);
        let older = home.path().join("older");
        fs::copy(&path, &older).unwrap();
        let tier = open(&path).unwrap();
        history(&tier);
        // As after many changes: what the log has, the file has too, and the log begins anew.
        let foreign = rusqlite::Connection::open(&path).unwrap();
        let checkpoint = "PRAGMA wal_checkpoint(RESTART)";
        foreign.query_row(checkpoint, [], |_| Ok(())).unwrap();
        put(&tier, "another", b"v");
        fs::rename(&older, &path).unwrap();
        answers(&tier, "before a change");
        drop(foreign);
        if is_killed {
            let killed = image(&path);
            drop(tier);
            restore(&killed, &path);
        } else {
            put(&tier, 0, &right(0).unwrap());
            answers(&tier, "after a change");
            assert_eq!(get(&tier, 1), None);
            drop(tier);
        }
        let tier = open(&path).unwrap();
        answers(&tier, "after another start");
    }
}

/// The last change of each key that was acknowledged: its number, and whether it was a removal.
struct Acknowledged([AtomicU64; 8]);

impl Acknowledged {
    fn load(&self, k: usize) -> u64 {
        self.0[k].load(Ordering::SeqCst)
    }
}

/// Writes higher and higher numbers under a key of its own, and takes every fifth one out again.
fn write_upwards(tier: &DiskTier, k: usize, acknowledged: &Acknowledged, ends: &AtomicBool) {
    for number in 1.. {
        if ends.load(Ordering::SeqCst) {
            break;
        }
        let is_removal = number % 5 == 4;
        let never = Lifetime::Never;
        // What fails is not to be found either, nor anything older.
        if is_removal {
            drop(tier.remove(&key(k)));
        } else {
            let value = vec![k as u8; 3_000].into();
            drop(tier.put(&key(k), value, number, never.into()));
        }
        acknowledged.0[k].store(number, Ordering::SeqCst);
    }
}

/// Asks for every key; what is found is no older than what was acknowledged before.
fn read_upwards(tier: &DiskTier, acknowledged: &Acknowledged, ends: &AtomicBool) -> usize {
    let mut found = 0;
    while !ends.load(Ordering::SeqCst) {
        for k in 0..acknowledged.0.len() {
            let before = acknowledged.load(k);
            if let Ok(Some(entry)) = tier.get(&key(k)) {
                let number = entry.version;
                assert!(number >= before, "key {k}: {number} after {before}");
                assert!(
                    number > before || before % 5 != 4,
                    "{k}: {before} removed it"
                );
                assert!(entry.value.iter().all(|byte| *byte == k as u8));
                found += 1;
            }
        }
    }
    found
}

#[test]
fn no_thread_ever_finds_an_older_value_whatever_happens_to_the_file() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let older = home.path().join("older");
    {
        let tier = open(&path).unwrap();
        for k in 0..8 {
            let never = Lifetime::Never;
            let kept = tier.put(&key(k), vec![k; 3_000].into(), 0, never.into());
            assert!(kept.unwrap());
        }
    }
    fs::copy(&path, &older).unwrap();
    let tier = open(&path).unwrap();
    let acknowledged = Acknowledged(Default::default());
    let ends = AtomicBool::new(false);
    let (tier, acknowledged, ends) = (&tier, &acknowledged, &ends);
    let found = std::thread::scope(|scope| {
        for k in 0..8 {
            scope.spawn(move || write_upwards(tier, k, acknowledged, ends));
        }
        let readers = [(); 6].map(|()| scope.spawn(|| read_upwards(tier, acknowledged, ends)));
        let mut random = fastrand::Rng::with_seed(31);
        for _ in 0..30 {
            let wanted = acknowledged.load(0) + random.u64(1..40);
            while acknowledged.load(0) < wanted {
                std::thread::yield_now();
            }
            match random.u8(..5) {
                0 => drop(fs::remove_file(&path)),
                1 => drop(fs::remove_file(beside(&path, "-wal"))),
                2 => {
                    let copy = home.path().join("copy");
                    fs::copy(&older, &copy).unwrap();
                    fs::rename(&copy, &path).unwrap();
                }
                3 => drop(fs::write(&path, vec![0xff; 40_960])),
                _ => {
                    let file = fs::OpenOptions::new().write(true).open(&path);
                    drop(file.map(|file| file.set_len(8_192)));
                }
            }
        }
        ends.store(true, Ordering::SeqCst);
        readers.map(|reader| reader.join().unwrap())
    });
    let found: usize = found.iter().sum();
    let lost = tier.tier_stats().unwrap().damaged;
    println!("{found} values were found, and the file was given up {lost} times");
    assert!(found > 1_000 && lost > 10, "{found} {lost}");
    put(tier, "k", b"v");
    assert_eq!(get(tier, "k").unwrap(), b"v");
}

#[test]
fn another_database_that_is_put_in_the_place_of_an_open_file_is_left_as_it_is() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let tier = open(&path).unwrap();
    history(&tier);
    let other = home.path().join("other");
    let foreign = rusqlite::Connection::open(&other).unwrap();
    foreign
        .execute_batch("CREATE TABLE t (a); PRAGMA user_version = 3")
        .unwrap();
    drop(foreign);
    let before = fs::read(&other).unwrap();
    fs::rename(&other, &path).unwrap();
    let never = Lifetime::Never;
    let refused = tier.put(&key(0), b"new"[..].into(), 3, never.into());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::DatabaseCorrupt);
    let health = tier.health();
    assert_eq!(health.state, HealthState::Degraded);
    assert_eq!(health.reasons[0].code, "database-corrupt");
    assert_eq!(answers(&tier, "in its place"), 0);
    drop(tier);
    assert!(fs::read(&path).unwrap() == before);
    assert!(
        !beside(&path, "-wal").exists(),
        "no log of ours lies beside it"
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(answers(&open(&path).unwrap(), "made anew"), 0);
}

#[test]
fn another_application_or_version_is_never_read() {
    for (sql, kind) in [
        (
            "PRAGMA application_id = 1",
            Some(ErrorKind::DatabaseCorrupt),
        ),
        ("PRAGMA user_version = 2", None),
        ("PRAGMA user_version = 4", None),
        ("PRAGMA user_version = -1", None),
    ] {
        let home = quick_home();
        let path = home.path().join("t.db");
        history(&open(&path).unwrap());
        let foreign = rusqlite::Connection::open(&path).unwrap();
        foreign.execute_batch(sql).unwrap();
        drop(foreign);
        match kind {
            Some(kind) => {
                let before = fs::read(&path).unwrap();
                assert_eq!(open(&path).unwrap_err().kind(), kind, "{sql}");
                assert!(fs::read(&path).unwrap() == before, "{sql}");
            }
            None => {
                let tier = open(&path).unwrap();
                assert_eq!(answers(&tier, sql), 0);
                assert_eq!(tier.health().state, HealthState::Healthy, "{sql}");
                assert!(beside(&path, ".corrupt-1").exists());
                history(&tier);
                drop(tier);
                assert_eq!(answers(&open(&path).unwrap(), sql), 7);
            }
        }
    }
}

/// While another program holds the file, nothing can be changed: then what was to be replaced is gone.
#[test]
fn a_change_that_fails_leaves_nothing_older() {
    let home = quick_home();
    let path = home.path().join("t.db");
    let options = DiskFileOptions::default().timeout(Duration::from_millis(20));
    let file = DiskFile::open(&path, options, Arc::new(ManualClock::new())).unwrap();
    let tier = over(&file);
    put(&tier, "replaced", b"older");
    put(&tier, "removed", b"older");
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let never = Lifetime::Never;
    let refused = tier.put(&key("replaced"), b"newer"[..].into(), 3, never.into());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::DatabaseBusy);
    assert_eq!(tier.health().state, HealthState::Degraded);
    assert_eq!(get(&tier, "replaced"), None);
    drop(tier.remove(&key("removed")));
    assert_eq!(get(&tier, "removed"), None);
    drop(foreign);
    put(&tier, "k", b"v");
    assert_eq!(tier.health().state, HealthState::Healthy);
    assert_eq!(
        (get(&tier, "replaced"), get(&tier, "removed")),
        (None, None)
    );
    drop((tier, file));
    let tier = open(&path).unwrap();
    assert_eq!(
        (get(&tier, "replaced"), get(&tier, "removed")),
        (None, None)
    );
    assert_eq!(get(&tier, "k").unwrap(), b"v");
}

/// Mounts a small file system for as long as it lives; `None` where this user may not.
struct Small(PathBuf);

impl Small {
    fn new(at: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=2m", "small"])
            .arg(at);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

#[test]
fn a_full_disk_leaves_nothing_older_and_is_got_over() {
    let home = tempfile::tempdir().unwrap();
    let Some(small) = Small::new(home.path()) else {
        let told =
            "NOT TESTED: this user may not mount a small file system; run the tests as root\n";
        std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes()).unwrap();
        return;
    };
    let path = small.0.join("t.db");
    let tier = open(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(23);
    let mut last: std::collections::BTreeMap<u32, Option<Vec<u8>>> = Default::default();
    let (mut refused, mut found) = (0, 0);
    let ballast = small.0.join("ballast");
    for round in 0..300 {
        // The disk fills, and is emptied again.
        match round % 60 {
            20 => {
                let size = 1_000_000 + random.usize(..800_000);
                let mut left = vec![0; size];
                while fs::write(&ballast, &left).is_err() && left.len() > 4_096 {
                    left.truncate(left.len() - 4_096);
                }
            }
            50 => drop(fs::remove_file(&ballast)),
            _ => {}
        }
        let k = random.u32(..20);
        if random.u8(..4) == 0 {
            // Also a removal that fails is one.
            refused += usize::from(tier.remove(&key(k)).is_err());
            last.insert(k, None);
        } else {
            let value = format!("{k}/{round}/")
                .repeat(random.usize(1..9_000))
                .into_bytes();
            let never = Lifetime::Never;
            let kept = tier.put(&key(k), value.clone().into(), 1, never.into());
            refused += usize::from(kept.is_err());
            // One that failed may be there, or not.
            last.insert(k, Some(value));
        }
        for (k, value) in &last {
            if let Ok(Some(entry)) = tier.get(&key(k)) {
                assert!(
                    Some(&*entry.value) == value.as_deref(),
                    "round {round}, key {k}"
                );
                found += 1;
            }
        }
    }
    assert!(refused > 0, "the disk was never full");
    assert!(found > 500, "{found}");
    drop(fs::remove_file(&ballast));
    put(&tier, "k", b"v");
    assert_eq!(tier.health().state, HealthState::Healthy);
    println!("{refused} changes were refused, {found} values found");
    drop(tier);
    let tier = open(&path).unwrap();
    for (k, value) in &last {
        if let Some(found) = get(&tier, k) {
            assert!(Some(found) == *value, "key {k} after another start");
        }
    }
    assert_eq!(get(&tier, "k").unwrap(), b"v");
    drop((tier, small));
}

/// A clock whose wall time is set by hand, apart from the time that passes.
#[derive(Debug, Default)]
struct SteppedClock {
    elapsed: ManualClock,
    wall_seconds: AtomicI64,
}

impl Clock for SteppedClock {
    fn now(&self) -> DateTime<Utc> {
        let seconds = TimeDelta::seconds(self.wall_seconds.load(Ordering::SeqCst));
        self.elapsed.now() + seconds
    }

    fn elapsed(&self) -> Duration {
        self.elapsed.elapsed()
    }
}

#[test]
fn a_wall_clock_that_is_stepped_never_makes_an_entry_live_longer() {
    const NOW: i64 = 1_700_000_000;
    for step in [-3_600, -3_600 * 24 * 365 * 60, 50, 3_600 * 24 * 365 * 200] {
        let home = quick_home();
        let path = home.path().join("t.db");
        let clock = Arc::new(SteppedClock::default());
        clock.wall_seconds.store(NOW, Ordering::SeqCst);
        let open = || DiskTier::open("tier", &path, DiskTierOptions::default(), clock.clone());
        let tier = open().unwrap();
        let lifetime = Lifetime::For(seconds(100));
        let kept = tier.put(&key("k"), b"v"[..].into(), 1, lifetime.into());
        assert!(kept.unwrap());
        clock.wall_seconds.store(NOW + step, Ordering::SeqCst);
        let left = |tier: &DiskTier| {
            let entry = tier.peek(&key("k")).unwrap();
            entry.map(|entry| entry.remaining.unwrap())
        };
        // A step forward ends it early, a step back does not lengthen it.
        let most = 100 - step.clamp(0, 100);
        let most = (most > 0).then(|| seconds(most.unsigned_abs()));
        assert_eq!(left(&tier), most, "{step}");
        drop(tier);
        let tier = open().unwrap();
        assert_eq!(left(&tier), most, "{step}: after a restart");
        clock.elapsed.advance(seconds(99));
        assert!(left(&tier) <= Some(seconds(1)), "{step}");
        clock.elapsed.advance(seconds(1));
        assert_eq!(left(&tier), None, "{step}");
        assert_eq!(tier.get(&key("k")).unwrap(), None, "{step}");
        clock.wall_seconds.store(NOW, Ordering::SeqCst);
        assert_eq!(left(&tier), None, "{step}: and back");
        tier.sweep(9).unwrap();
        assert_eq!(tier.usage().entries, 0, "{step}");
    }
}

#[test]
fn a_value_is_never_longer_than_the_file_and_its_key_is_then_free() {
    let home = quick_home();
    let options = DiskTierOptions::default().max_bytes(MIB).unwrap();
    let clock = Arc::new(ManualClock::new());
    let tier = DiskTier::open("tier", home.path().join("t.db"), options, clock).unwrap();
    let lengths = [MIB / 4, MIB / 2, MIB - 200_000, MIB - 100_000, MIB, 2 * MIB];
    for length in lengths {
        put(&tier, "k", b"older");
        let value = vec![7; length as usize];
        let never = Lifetime::Never;
        let kept = tier.put(&key("k"), value.clone().into(), 1, never.into());
        let found = get(&tier, "k");
        assert_eq!(found, kept.unwrap().then_some(value), "{length}");
    }
    assert_eq!(tier.health().state, HealthState::Healthy);
}
