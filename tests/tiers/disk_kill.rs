//! A process that is killed at any moment loses nothing that its tier acknowledged: what is found then
//! is what was put last under that key, and what was removed stays so. Only a change that was under way
//! may have been made, or not.
//!
//! `CARDEX_TEST_KILLS` sets how many are killed (60), `CARDEX_TEST_SEED` repeats what they write, though
//! not when they die.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use cardex::SystemClock;
use cardex::tier::{
    DiskFile, DiskFileOptions, DiskTier, DiskTierOptions, Entry, Lifetime, Tier, Update,
};

use crate::every::{MIB, key};

const FILE: &str = "CARDEX_TEST_TIER_KILL_FILE";
const SEED: &str = "CARDEX_TEST_TIER_KILL_SEED";
const DEADLINE: Duration = Duration::from_secs(60);
const KEYS: u32 = 40;
/// More changes than a child can make before it is killed.
const MAX_CHANGES: u64 = 1_000_000;
const SPACES: [&str; 2] = ["a", "b"];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The nth thing that a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// What it writes, and nobody else ever.
    version: u64,
    space: usize,
    key: u32,
    /// By how much the value is longer than its shortest, if there is one.
    value: Option<usize>,
    is_update: bool,
}

impl Step {
    fn nth(seed: u64, n: u64) -> Step {
        let version = seed * MAX_CHANGES + n;
        let mut random = fastrand::Rng::with_seed(version);
        Step {
            version,
            space: random.usize(..2),
            key: random.u32(..KEYS),
            value: (random.u8(..3) > 0).then(|| random.usize(..30) * random.usize(..600)),
            is_update: random.u8(..3) == 0,
        }
    }

    fn value(self) -> Option<Vec<u8>> {
        let long = self.value?;
        let mut value = format!("{}/{}/", self.key, self.version).into_bytes();
        value.resize(value.len() + long, b'.');
        Some(value)
    }

    fn take(self, tiers: &[DiskTier; 2]) {
        let (tier, key) = (&tiers[self.space], key(self.key));
        let value: Option<Arc<[u8]>> = self.value().map(Into::into);
        match (value, self.is_update) {
            (None, false) => drop(tier.remove(&key).unwrap()),
            (Some(value), false) => {
                let never = Lifetime::Never;
                assert!(tier.put(&key, value, self.version, never.into()).unwrap());
            }
            (value, true) => {
                let mut change = |_: Option<&Entry>| {
                    Ok(match value.clone() {
                        None => Update::Remove,
                        Some(value) => Update::Put {
                            value,
                            version: self.version,
                            term: Some(Lifetime::Never.into()),
                        },
                    })
                };
                tier.update(&key, &mut change).unwrap();
            }
        }
    }
}

fn open(path: &Path) -> [DiskTier; 2] {
    let options = DiskFileOptions::default().max_bytes(64 * MIB).unwrap();
    let file = DiskFile::open(path, options, Arc::new(SystemClock)).unwrap();
    SPACES.map(|name| DiskTier::over(&file, name, DiskTierOptions::default()).unwrap())
}

/// The program that is killed: acknowledges each change when it has returned.
#[test]
#[ignore = "it is run, and killed, by the other test"]
fn child() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let seed = number(SEED, 0);
    let tiers = open(Path::new(&path));
    // When nobody listens any more, that ends the child.
    let mut out = std::io::stdout();
    out.write_all(b"\nopen\n").unwrap();
    for n in 0..MAX_CHANGES {
        Step::nth(seed, n).take(&tiers);
        out.write_all(format!("done {n}\n").as_bytes()).unwrap();
    }
}

/// A child and what it says.
struct Victim {
    process: Child,
    lines: Receiver<String>,
}

impl Victim {
    fn spawn(path: &Path, seed: u64) -> Victim {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["disk_kill::child", "--exact", "--ignored", "--nocapture"])
            .env(FILE, path)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tells, lines) = mpsc::channel();
        let out = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tells.send(line).is_err() {
                    break;
                }
            }
        });
        Victim { process, lines }
    }

    /// Lets it make so many changes, kills it, and tells how many it acknowledged.
    fn kill_after(mut self, changes: u64) -> u64 {
        let mut done = 0;
        let parse = |line: &str| {
            line.strip_prefix("done ")
                .and_then(|n| n.parse::<u64>().ok())
        };
        let mut is_open = false;
        while !is_open || done < changes {
            let line = self.lines.recv_timeout(DEADLINE).unwrap();
            is_open |= line == "open";
            done = parse(&line).map_or(done, |n| n + 1);
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // The end of the pipe comes with its death.
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            done = parse(&line).map_or(done, |n| n + 1);
        }
        done
    }
}

/// A copy of the file with all that lies beside it.
fn copy_of(path: &Path, copy: &Path) -> PathBuf {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let [from, to] = [path, copy].map(|path| format!("{}{suffix}", path.display()));
        std::fs::copy(from, to).unwrap();
    }
    copy.to_owned()
}

type Model = BTreeMap<(usize, u32), Step>;

/// What is there, whatever was said.
fn held(tiers: &[DiskTier; 2]) -> BTreeMap<(usize, u32), (u64, Vec<u8>)> {
    let mut held = BTreeMap::new();
    for (space, tier) in tiers.iter().enumerate() {
        for k in 0..KEYS {
            if let Some(entry) = tier.get(&key(k)).unwrap() {
                held.insert((space, k), (entry.version, entry.value.to_vec()));
            }
        }
    }
    held
}

fn wanted(model: &Model) -> BTreeMap<(usize, u32), (u64, Vec<u8>)> {
    let steps = model.iter();
    let held = steps.filter_map(|(at, step)| Some((*at, (step.version, step.value()?))));
    held.collect()
}

#[test]
fn a_killed_process_loses_no_change_and_brings_none_back() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("t.db");
    let first = number("CARDEX_TEST_SEED", 1);
    let mut random = fastrand::Rng::with_seed(first);
    let mut model = Model::new();
    let (mut acknowledged, mut under_way) = (0, 0);
    for seed in first..first + number("CARDEX_TEST_KILLS", 60) {
        // Some die as soon as they are open, and some when the log has gone round.
        let changes = [0, 1, random.u64(..50), random.u64(..1_500)][random.usize(..4)];
        let done = Victim::spawn(&path, seed).kill_after(changes);
        acknowledged += done;
        for n in 0..done {
            let step = Step::nth(seed, n);
            model.insert((step.space, step.key), step);
        }
        // Half of the children come after one that was killed, and not after a file that was closed.
        let looked_at = match seed % 2 {
            0 => copy_of(&path, &home.path().join("copy.db")),
            _ => path.clone(),
        };
        let tiers = open(&looked_at);
        let found = held(&tiers);
        if found != wanted(&model) {
            // The one that it did not come to acknowledge.
            let step = Step::nth(seed, done);
            model.insert((step.space, step.key), step);
            under_way += 1;
        }
        let wanted = wanted(&model);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            wanted.keys().collect::<Vec<_>>()
        );
        assert!(
            found == wanted,
            "seed {seed}: another value than the last one"
        );
        for tier in &tiers {
            assert_eq!(tier.tier_stats().unwrap().damaged, 0, "seed {seed}");
        }
    }
    println!("{acknowledged} changes were acknowledged, {under_way} were made and not");
    assert!(acknowledged > 0);
}
