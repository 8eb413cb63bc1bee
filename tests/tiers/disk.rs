//! What only a tier on disk promises: it outlives its process, and no damage to its file ever makes a
//! wrong value.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cardex::tier::{DiskFile, DiskFileOptions, DiskTier, DiskTierOptions, Lifetime, Tier};
use cardex::{Cache, ErrorKind, ManualClock, Result};

use crate::every::{MIB, key, seconds};

fn options() -> DiskTierOptions {
    DiskTierOptions::default().timeout(seconds(10))
}

fn open(file: &Path, clock: &Arc<ManualClock>) -> Result<DiskTier> {
    DiskTier::open("tier", file, options(), clock.clone())
}

fn put(tier: &DiskTier, name: &str, value: &[u8], lifetime: Lifetime) {
    assert!(
        tier.put(&key(name), value.into(), 3, lifetime.into())
            .unwrap()
    );
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn entries_survive_a_restart_with_the_time_that_is_left_and_expired_ones_are_purged_at_open() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let tier = open(&file, &clock).unwrap();
    put(&tier, "long", b"l", Lifetime::For(seconds(100)));
    put(&tier, "short", b"s", Lifetime::For(seconds(10)));
    put(&tier, "endless", b"", Lifetime::Never);
    drop(tier);
    clock.advance(seconds(40));
    let tier = open(&file, &clock).unwrap();
    assert_eq!(tier.usage().entries, 2);
    assert_eq!(tier.tier_stats().unwrap().expirations, 1);
    let entry = tier.get(&key("long")).unwrap().unwrap();
    assert_eq!((&*entry.value, entry.version), (&b"l"[..], 3));
    assert_eq!(entry.remaining, Some(seconds(60)));
    assert_eq!(tier.get(&key("short")).unwrap(), None);
    assert_eq!(tier.get(&key("endless")).unwrap().unwrap().remaining, None);
}

#[test]
fn its_file_is_for_its_owner_and_for_one_tier_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let tier = open(&file, &clock).unwrap();
    put(&tier, "k", b"v", Lifetime::Never);
    let error = open(&file, &clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseBusy);
    assert!(error.to_string().contains("t.db"), "{error}");
    #[cfg(unix)]
    for name in names(home.path()) {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(home.path().join(&name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(tier.get(&key("k")).unwrap().unwrap().version, 3);
    drop(tier);
    assert_eq!(names(home.path()), ["t.db", "t.db.lock"]);
    assert!(open(&file, &clock).is_ok());
}

/// Whoever lets go of it: its own threads use it for moments, and a process that was just begun has all that
/// its parent has open, until it runs its own program.
#[test]
#[cfg(unix)]
fn a_file_that_was_let_go_of_is_free_at_once() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let often = DiskFileOptions::default().sweep_interval(Duration::from_millis(1));
    let intervals = [DiskFileOptions::default(), often.unwrap()];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let status = std::process::Command::new("true").status();
                assert!(status.unwrap().success());
            }
        });
        let over = Over(&is_over);
        for n in 0..200_usize {
            let options = intervals[n % 2].clone();
            let opened = DiskFile::open(&file, options, clock.clone());
            let opened = opened.unwrap_or_else(|error| panic!("after {n}: {error:#}"));
            let tier = DiskTier::over(&opened, "tier", DiskTierOptions::default()).unwrap();
            put(&tier, &n.to_string(), b"v", Lifetime::Never);
        }
        drop(over);
    });

    /// Says that it is over, however it ends.
    struct Over<'o>(&'o AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_hit_and_a_miss_write_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let tier = open(&file, &clock).unwrap();
    put(&tier, "k", b"v", Lifetime::Never);
    put(&tier, "over", b"v", Lifetime::For(seconds(1)));
    clock.advance(seconds(2));
    let files = || ["t.db", "t.db-wal"].map(|name| fs::read(home.path().join(name)).unwrap());
    let before = files();
    for name in ["k", "absent", "over"] {
        assert_eq!(tier.get(&key(name)).unwrap().is_some(), name == "k");
    }
    assert!(before == files());
}

#[test]
fn the_file_is_never_longer_than_its_limit() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("t.db");
    let options = options().max_bytes(MIB).unwrap();
    let clock = Arc::new(ManualClock::new());
    let tier = DiskTier::open("tier", &file, options, clock).unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    for n in 0..600 {
        let value = vec![1; random.usize(..40_000)];
        put(&tier, &n.to_string(), &value, Lifetime::Never);
        assert!(fs::metadata(&file).unwrap().len() <= MIB);
        assert!(tier.get(&key(n)).unwrap().is_some(), "not its own victim");
    }
    let held = tier.usage().entries;
    assert!(held > 20, "{held}");
    // Those that were written last.
    assert!(tier.get(&key(600 - held)).unwrap().is_some());
    assert!(tier.get(&key(599 - held)).unwrap().is_none());
    drop(tier);
    assert!(fs::metadata(&file).unwrap().len() <= MIB);
}

/// The value of a key of the file in `flipped_bytes_…`.
fn value(n: usize) -> Vec<u8> {
    format!("value {n} ").repeat(1 + 90 * n).into_bytes()
}

const FLIPPED_KEYS: usize = 12;

/// Opens the file and asks for everything: each answer is the right one, a miss, or an error. Returns
/// how many were right.
fn right_answers(file: &Path, clock: &Arc<ManualClock>, at: usize) -> usize {
    let Ok(tier) = open(file, clock) else {
        return 0;
    };
    let mut right = 0;
    for n in 0..FLIPPED_KEYS {
        if let Ok(Some(entry)) = tier.get(&key(n)) {
            assert!(*entry.value == *value(n), "byte {at}: a wrong value of {n}");
            assert_eq!((entry.version, entry.remaining), (3, Some(seconds(90))));
            right += 1;
        }
    }
    // And it goes on, or says why not.
    if tier
        .put(&key("new"), b"v"[..].into(), 1, Lifetime::Never.into())
        .is_ok()
        && let Ok(Some(entry)) = tier.get(&key("new"))
    {
        assert_eq!(&*entry.value, b"v");
    }
    right
}

#[test]
fn a_flipped_byte_gives_the_right_value_or_a_miss_or_an_error_and_never_a_wrong_value() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    clock.advance(seconds(1_000));
    let tier = open(&file, &clock).unwrap();
    for n in 0..FLIPPED_KEYS {
        put(
            &tier,
            &n.to_string(),
            &value(n),
            Lifetime::For(seconds(100)),
        );
    }
    drop(tier);
    clock.advance(seconds(10));
    let whole = fs::read(&file).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    // All of the header, and places all over the file.
    let places = (0..100).chain((0..400).map(|_| random.usize(100..whole.len())));
    let (mut asked, mut right) = (0, 0);
    for at in places.collect::<Vec<_>>() {
        let directory = tempfile::tempdir_in(home.path()).unwrap();
        let file = directory.path().join("t.db");
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.u32(..8);
        fs::write(&file, bytes).unwrap();
        asked += FLIPPED_KEYS;
        right += right_answers(&file, &clock, at);
    }
    assert!(right * 2 > asked, "{right} of {asked} were found");
    assert!(right < asked, "the digests saw nothing");
}

#[test]
fn a_damaged_row_is_a_miss_and_is_removed_and_counted() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let tier = open(&file, &clock).unwrap();
    for name in ["a", "b", "c"] {
        put(&tier, name, name.as_bytes(), Lifetime::For(seconds(9)));
    }
    drop(tier);
    // Somebody changes a value, and the lifetime of another one.
    let foreign = rusqlite::Connection::open(&file).unwrap();
    foreign
        .execute_batch(
            "UPDATE entries SET value = x'62' WHERE key = 'a';
             UPDATE entries SET head = zeroblob(98) WHERE key = 'b'",
        )
        .unwrap();
    drop(foreign);
    let tier = open(&file, &clock).unwrap();
    assert_eq!(tier.get(&key("a")).unwrap(), None);
    assert!(!tier.remove(&key("b")).unwrap());
    assert_eq!(&*tier.get(&key("c")).unwrap().unwrap().value, b"c");
    let stats = tier.tier_stats().unwrap();
    assert_eq!((stats.damaged, stats.report.misses), (2, 1));
    assert_eq!((stats.expirations, tier.usage().entries), (0, 1));
}

#[test]
fn a_damaged_file_is_moved_aside_and_three_of_them_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    for n in 0..5 {
        fs::write(&file, format!("{n}: this is no database").repeat(200)).unwrap();
        let tier = open(&file, &clock).unwrap();
        assert_eq!(tier.get(&key("k")).unwrap(), None);
        assert_eq!(tier.tier_stats().unwrap().damaged, 1);
        put(&tier, "k", b"v", Lifetime::Never);
        assert!(tier.get(&key("k")).unwrap().is_some());
    }
    let kept = names(home.path());
    let expected = [
        "t.db",
        "t.db.corrupt-1",
        "t.db.corrupt-2",
        "t.db.corrupt-3",
        "t.db.lock",
    ];
    assert_eq!(kept, expected);
    let first = |n| fs::read(home.path().join(format!("t.db.corrupt-{n}"))).unwrap()[0];
    assert_eq!([first(1), first(2), first(3)], *b"014");
}

#[test]
fn a_file_that_is_damaged_while_it_is_open_is_moved_aside_by_who_finds_out() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let tier = open(&file, &clock).unwrap();
    let value = |n: u8| vec![n; MIB as usize];
    // More than SQLite keeps in memory.
    for n in 0..24 {
        put(&tier, &n.to_string(), &value(n), Lifetime::Never);
    }
    let length = fs::metadata(&file).unwrap().len();
    fs::write(&file, vec![0xff; length as usize]).unwrap();
    for n in 0..24 {
        if let Some(entry) = tier.get(&key(n)).unwrap() {
            assert!(*entry.value == *value(n));
        }
    }
    let stats = tier.tier_stats().unwrap();
    assert_eq!((stats.damaged, stats.report.usage.entries), (1, 0));
    assert!(home.path().join("t.db.corrupt-1").exists());
    put(&tier, "k", b"v", Lifetime::Never);
    assert_eq!(&*tier.get(&key("k")).unwrap().unwrap().value, b"v");
    assert_eq!(tier.usage().entries, 1);
}

#[test]
fn another_version_is_moved_aside_and_another_database_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    put(&open(&file, &clock).unwrap(), "k", b"v", Lifetime::Never);
    let foreign = rusqlite::Connection::open(&file).unwrap();
    foreign.pragma_update(None, "user_version", 4711).unwrap();
    drop(foreign);
    let tier = open(&file, &clock).unwrap();
    assert_eq!(tier.get(&key("k")).unwrap(), None);
    drop(tier);
    assert!(home.path().join("t.db.corrupt-1").exists());

    let other = home.path().join("other.db");
    let foreign = rusqlite::Connection::open(&other).unwrap();
    foreign.execute_batch("CREATE TABLE entries (key)").unwrap();
    drop(foreign);
    let before = fs::read(&other).unwrap();
    let error = open(&other, &clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt);
    assert!(error.help().unwrap().contains("left as it is"));
    assert!(fs::read(&other).unwrap() == before);
}

#[test]
fn a_value_written_later_than_now_is_a_miss() {
    let home = tempfile::tempdir().unwrap();
    let (file, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    clock.advance(seconds(1_000));
    put(&open(&file, &clock).unwrap(), "k", b"v", Lifetime::Default);
    // Both clocks stand before the writing: nobody knows how old it is.
    let tier = open(&file, &Arc::new(ManualClock::new())).unwrap();
    assert_eq!(tier.get(&key("k")).unwrap(), None);
}

#[test]
fn limits_that_keep_nothing_are_refused() {
    let refused = [
        options().max_items(0),
        options().max_bytes(MIB - 1),
        options().ttl(Duration::ZERO),
    ];
    for options in refused {
        assert_eq!(options.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

#[cfg(unix)]
#[test]
fn a_lock_file_that_is_a_link_is_refused_and_what_it_leads_to_stays() {
    let home = tempfile::tempdir().unwrap();
    let (file, target) = (home.path().join("t.db"), home.path().join("mine"));
    std::os::unix::fs::symlink(&target, home.path().join("t.db.lock")).unwrap();
    let clock = Arc::new(ManualClock::new());
    assert_eq!(open(&file, &clock).unwrap_err().kind(), ErrorKind::Io);
    assert!(!target.exists(), "nothing is made there");
    fs::write(&target, "precious").unwrap();
    let error = open(&file, &clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(format!("{error:#}").contains("t.db.lock"), "{error:#}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    assert!(!file.exists(), "the cache file is not begun");
}
