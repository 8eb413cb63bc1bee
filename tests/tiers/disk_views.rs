//! A reader keeps its view of the file while nobody changes that: nobody notices, but for the time it
//! takes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cardex::ManualClock;
use cardex::tier::{DiskTier, DiskTierOptions, Key, Lifetime, Tier};

use crate::every::{MIB, key};

struct Home {
    directory: tempfile::TempDir,
    clock: Arc<ManualClock>,
    tier: DiskTier,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new());
        let path = directory.path().join("t.db");
        let options = DiskTierOptions::default().timeout(Duration::from_secs(60));
        let tier = DiskTier::open("tier", path, options, clock.clone()).unwrap();
        Home {
            directory,
            clock,
            tier,
        }
    }

    fn put(&self, key: &Key, value: &[u8], version: u64) {
        let never = Lifetime::Never.into();
        assert!(self.tier.put(key, value.into(), version, never).unwrap());
    }

    fn version(&self, key: &Key) -> Option<u64> {
        self.tier.get(key).unwrap().map(|entry| entry.version)
    }

    fn many(&self, key: &Key) -> Option<u64> {
        let mut found = self.tier.get_many(&[key, key]);
        let [one, other] = [(); 2].map(|()| found.pop().unwrap().unwrap());
        assert_eq!(one, other);
        one.map(|entry| entry.version)
    }
}

#[test]
fn what_was_put_is_found_at_once_by_every_thread() {
    const PUTS: u64 = 1_000;
    let (home, key) = (Home::new(), key("k"));
    home.put(&key, b"", 0);
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let (home, key, acknowledged) = (&home, &key, &acknowledged);
            scope.spawn(move || {
                let mut last = 0;
                while last < PUTS {
                    last = acknowledged.load(Ordering::SeqCst).max(last);
                    let found = match reader % 2 {
                        0 => home.version(key),
                        _ => home.many(key),
                    };
                    let found = found.unwrap();
                    assert!(found >= last, "{found} after {last}");
                    last = found;
                }
            });
        }
        for version in 1..=PUTS {
            home.put(&key, b"", version);
            acknowledged.store(version, Ordering::SeqCst);
            // With a rest, in which views are kept, and without.
            for _ in 0..version % 7 {
                assert_eq!(home.version(&key), Some(version));
            }
        }
    });
}

#[test]
fn the_log_begins_anew_however_often_something_is_found_between_changes() {
    let (home, value) = (Home::new(), vec![7; 16 * 1024]);
    let log = home.directory.path().join("t.db-wal");
    for n in 0..1_000 {
        let key = key(n % 20);
        home.put(&key, &value, n);
        for _ in 0..3 {
            assert_eq!(home.version(&key), Some(n));
            assert_eq!(home.many(&key), Some(n));
        }
        let length = fs::metadata(&log).unwrap().len();
        assert!(length < 6 * MIB, "{length} after {n}");
    }
}

/// Nobody else should; but a view must not hide for ever that he did.
#[test]
fn what_another_program_does_to_the_file_is_found_out_within_100_ms() {
    let (home, key) = (Home::new(), key("k"));
    home.put(&key, b"v", 1);
    for _ in 0..3 {
        assert_eq!(home.version(&key), Some(1));
    }
    let path = home.directory.path().join("t.db");
    let foreign = rusqlite::Connection::open(path).unwrap();
    assert_eq!(foreign.execute("DELETE FROM entries", []).unwrap(), 1);
    home.clock.advance(Duration::from_millis(100));
    assert_eq!(home.version(&key), None);
}
