//! Tiers that share a file on disk: each sees its own entries alone, and the file is never longer than
//! its limit.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::tier::{
    DiskFile, DiskFileOptions, DiskTier, DiskTierOptions, KeyPattern, Lifetime, Tier, Update,
};
use cardex::{Cache, ErrorKind, ManualClock, Scope};

use crate::every::{MIB, key, seconds};

fn open(path: &Path, clock: &Arc<ManualClock>) -> Arc<DiskFile> {
    DiskFile::open(path, DiskFileOptions::default(), clock.clone()).unwrap()
}

fn over(file: &Arc<DiskFile>, name: &str) -> DiskTier {
    DiskTier::over(file, name, DiskTierOptions::default()).unwrap()
}

fn put(tier: &DiskTier, name: impl ToString, value: &[u8], lifetime: Lifetime) {
    let kept = tier.put(&key(name), value.into(), 1, lifetime.into());
    assert!(kept.unwrap());
}

fn get(tier: &DiskTier, name: impl ToString) -> Option<Vec<u8>> {
    let entry = tier.get(&key(name)).unwrap();
    entry.map(|entry| entry.value.to_vec())
}

fn keys(tier: &DiskTier) -> Vec<String> {
    let mut keys = Vec::new();
    let all = KeyPattern::new("*").unwrap();
    let visited = tier.scan(&all, &mut |key| {
        keys.push(key.to_string());
        ControlFlow::Continue(())
    });
    visited.unwrap();
    keys
}

#[test]
fn no_verb_of_a_tier_touches_or_shows_another_ones_entries() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let file = open(&home.path().join("t.db"), &clock);
    let [a, b] = ["a", "ab"].map(|name| over(&file, name));
    let over = Lifetime::For(seconds(1));
    for name in ["k", "l"] {
        put(&a, name, b"of a", Lifetime::Never);
        put(&b, name, b"of b", Lifetime::Never);
        put(&b, format!("over:{name}"), b"of b", over);
    }
    clock.advance(seconds(1));
    let all = KeyPattern::new("*").unwrap();
    assert_eq!((a.usage().entries, b.usage().entries), (2, 4));
    assert_eq!(keys(&a), ["k", "l"]);
    assert_eq!(a.sweep(99).unwrap(), 0);
    let made = a.update(&key("k"), &mut |entry| {
        assert_eq!(&*entry.unwrap().value, b"of a");
        Ok(Update::Remove)
    });
    assert_eq!(made.unwrap(), None);
    assert!(a.remove(&key("l")).unwrap());
    assert!(!a.remove(&key("k")).unwrap());
    assert_eq!(a.remove_matching(&all).unwrap(), 0);
    assert!(!a.expire(&key("l"), over.into()).unwrap());
    assert_eq!(a.evict(99).unwrap(), 0);
    assert_eq!(a.invalidate(&Scope::All).unwrap(), 0);
    a.clear().unwrap();
    assert_eq!(get(&a, "k"), None);
    assert_eq!((a.usage().entries, b.usage().entries), (0, 4));
    assert_eq!(get(&b, "k").unwrap(), b"of b");
    assert_eq!(b.stats().unwrap().misses, 0);
    assert_eq!(a.stats().unwrap().misses, 1);
    // And a tier that is alone in its file may be emptied in one step.
    put(&a, "k", b"of a", Lifetime::Never);
    assert_eq!(b.invalidate(&Scope::All).unwrap(), 4);
    assert_eq!((keys(&a), keys(&b)), (vec!["k".to_owned()], vec![]));
    assert_eq!(a.invalidate(&Scope::All).unwrap(), 1);
    assert_eq!((a.usage().entries, b.usage().entries), (0, 0));
}

#[test]
fn each_tier_has_its_own_limit_of_entries() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let file = open(&home.path().join("t.db"), &clock);
    let few = DiskTierOptions::default().max_items(3).unwrap();
    let (few, many) = (
        DiskTier::over(&file, "few", few).unwrap(),
        over(&file, "many"),
    );
    for n in 0..10 {
        put(&many, n, b"v", Lifetime::Never);
        put(&few, n, b"v", Lifetime::Never);
    }
    assert_eq!((few.usage().entries, many.usage().entries), (3, 10));
    assert_eq!(keys(&few), ["7", "8", "9"]);
    assert_eq!(few.stats().unwrap().evictions, 7);
    assert_eq!(many.stats().unwrap().evictions, 0);
}

#[test]
fn in_a_full_file_what_has_expired_leaves_first_and_then_what_was_written_first_wherever_it_is() {
    let home = tempfile::tempdir().unwrap();
    let (path, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let options = DiskFileOptions::default().max_bytes(MIB).unwrap();
    let file = DiskFile::open(&path, options, clock.clone()).unwrap();
    let [old, expired, new] = ["old", "expired", "new"].map(|name| over(&file, name));
    let value = vec![7; 50_000];
    (0..6).for_each(|n| put(&old, n, &value, Lifetime::Never));
    (0..6).for_each(|n| put(&expired, n, &value, Lifetime::For(seconds(1))));
    clock.advance(seconds(1));
    let mut n = 0;
    while expired.usage().entries > 0 {
        put(&new, n, &value, Lifetime::Never);
        assert!(fs::metadata(&path).unwrap().len() <= MIB);
        n += 1;
    }
    assert_eq!((old.usage().entries, new.usage().entries), (6, n));
    assert_eq!(expired.tier_stats().unwrap().expirations, 6);
    while old.usage().entries > 0 {
        let first = 6 - old.usage().entries;
        put(&new, n, &value, Lifetime::Never);
        assert!(fs::metadata(&path).unwrap().len() <= MIB);
        assert!(get(&new, n).is_some(), "not its own victim");
        assert!(get(&new, 0).is_some(), "written later");
        assert!(old.usage().entries < 6 - first || get(&old, first).is_some());
        n += 1;
    }
    assert_eq!(old.stats().unwrap().evictions, 6);
    assert_eq!(new.stats().unwrap().evictions, 0);
    assert_eq!(new.tier_stats().unwrap().max_bytes, MIB);
    assert!(file.bytes() <= MIB && file.bytes() > MIB / 2);
}

#[test]
fn a_name_belongs_to_one_tier_as_long_as_it_lives() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let file = open(&home.path().join("t.db"), &clock);
    let a = over(&file, "a");
    put(&a, "k", b"v", Lifetime::Never);
    let options = DiskTierOptions::default;
    for name in ["a", ""] {
        let error = DiskTier::over(&file, name, options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    drop(a);
    let again = over(&file, "a");
    assert_eq!(
        (again.usage().entries, get(&again, "k")),
        (1, Some(b"v".into()))
    );
}

#[test]
fn a_thousand_entries_of_each_tier_survive_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let (path, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let file = open(&path, &clock);
    for name in ["a", "b"] {
        let tier = over(&file, name);
        for n in 0..1_000 {
            let value = format!("{n} of {name}");
            put(&tier, n, value.as_bytes(), Lifetime::For(seconds(1_000)));
        }
        for n in 0..50 {
            let value = b"gone soon";
            put(&tier, format!("x{n}"), value, Lifetime::For(seconds(10)));
        }
    }
    drop(file);
    clock.advance(seconds(10));
    let file = open(&path, &clock);
    for name in ["a", "b"] {
        let tier = over(&file, name);
        let purged = tier.tier_stats().unwrap().expirations;
        assert_eq!((tier.usage().entries, purged), (1_000, 50));
        for n in 0..1_000 {
            let entry = tier.get(&key(n)).unwrap().unwrap();
            assert_eq!(&*entry.value, format!("{n} of {name}").as_bytes());
            assert_eq!(entry.remaining, Some(seconds(990)));
        }
    }
}

#[test]
fn what_has_expired_is_taken_out_in_the_background_also_of_tiers_that_nobody_opened() {
    let home = tempfile::tempdir().unwrap();
    let (path, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
    let file = open(&path, &clock);
    for name in ["opened", "forgotten"] {
        let tier = over(&file, name);
        (0..1_500).for_each(|n| put(&tier, n, &[7; 500], Lifetime::For(seconds(10))));
    }
    drop(file);
    let options = DiskFileOptions::default().sweep_interval(Duration::from_millis(1));
    let file = DiskFile::open(&path, options.unwrap(), clock.clone()).unwrap();
    let tier = over(&file, "opened");
    put(&tier, "stays", b"v", Lifetime::Never);
    let full = file.bytes();
    assert_eq!(tier.usage().entries, 1_501);
    clock.advance(seconds(10));
    let begin = Instant::now();
    while file.bytes() > full / 10 || tier.usage().entries > 1 {
        assert!(begin.elapsed() < seconds(60), "nobody swept");
        std::thread::yield_now();
    }
    assert_eq!(tier.tier_stats().unwrap().expirations, 1_500);
    assert_eq!(keys(&tier), ["stays"]);
    let too_often = DiskFileOptions::default().sweep_interval(Duration::ZERO);
    assert_eq!(too_often.unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[test]
fn who_reads_waits_for_no_change_that_is_under_way() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let options = DiskFileOptions::default().timeout(Duration::from_millis(20));
    let file = DiskFile::open(home.path().join("t.db"), options, clock).unwrap();
    let [a, b] = ["a", "b"].map(|name| over(&file, name));
    put(&a, "k", b"old", Lifetime::Never);
    put(&b, "k", b"old", Lifetime::Never);
    let made = a.update(&key("k"), &mut |_| {
        // The transaction is open: others see what was before it.
        assert_eq!(get(&a, "k").unwrap(), b"old");
        assert_eq!(keys(&b), ["k"]);
        // A change has to wait, and no longer than it may. What it was to replace is gone.
        let lifetime = Lifetime::Never;
        let refused = b.put(&key("k"), b"new"[..].into(), 2, lifetime.into());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::DatabaseBusy);
        assert_eq!(get(&b, "k"), None);
        assert_eq!(keys(&b), [""; 0]);
        Ok(Update::Put {
            value: b"new"[..].into(),
            version: 2,
            term: None,
        })
    });
    assert_eq!(&*made.unwrap().unwrap().value, b"new");
    assert_eq!(get(&a, "k").unwrap(), b"new");
    assert_eq!(get(&b, "k"), None);
    put(&b, "l", b"v", Lifetime::Never);
    assert_eq!((keys(&b), b.usage().entries), (vec!["l".to_owned()], 1));
    assert_eq!(b.tier_stats().unwrap().damaged, 0);
}
