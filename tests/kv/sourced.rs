//! A cache with a source: each strategy, time-outs, and refreshes that nobody waits for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cardex::kv::{CacheStrategy, KvOptions, Source, SourcedCache};
use cardex::tier::Key;
use cardex::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use crate::support::{Case, case_with, seconds, until};

/// A source that can be down, and that can be held up.
#[derive(Default)]
pub struct Table {
    rows: Mutex<HashMap<Key, Value>>,
    pub loads: AtomicUsize,
    pub is_down: AtomicBool,
    held: Mutex<bool>,
    let_go: Condvar,
}

impl Table {
    pub fn with(rows: &[(&str, Value)]) -> Arc<Self> {
        let rows = rows.iter().map(|(key, value)| (key_of(key), value.clone()));
        Arc::new(Table {
            rows: Mutex::new(rows.collect()),
            ..Table::default()
        })
    }

    pub fn row(&self, key: &str) -> Option<Value> {
        self.rows.lock().get(&key_of(key)).cloned()
    }

    pub fn write(&self, key: &str, value: Value) {
        self.rows.lock().insert(key_of(key), value);
    }

    fn hold(&self, held: bool) {
        *self.held.lock() = held;
        self.let_go.notify_all();
    }

    fn up(&self) -> Result<()> {
        match self.is_down.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Io, "the table is down")),
            false => Ok(()),
        }
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

fn key_of(text: &str) -> Key {
    Key::new(text).unwrap()
}

impl Source for Table {
    fn load(&self, key: &Key) -> Result<Option<Value>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let row = self.rows.lock().get(key).cloned();
        self.let_go
            .wait_while_for(&mut self.held.lock(), |held| *held, seconds(60));
        assert!(key.as_str() != "panics", "the table breaks");
        self.up().map(|()| row)
    }

    fn store(&self, key: &Key, value: &Value) -> Result<()> {
        self.up()?;
        self.rows.lock().insert(key.clone(), value.clone());
        Ok(())
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.up()?;
        self.rows.lock().remove(key);
        Ok(())
    }
}

struct World {
    case: Case,
    table: Arc<Table>,
    cache: SourcedCache,
}

fn world_with(strategy: CacheStrategy, options: KvOptions) -> World {
    let case = case_with(options);
    let table = Table::with(&[("k", json!(1)), ("l", json!(null))]);
    let cache = SourcedCache::new(case.cache.clone(), table.clone(), strategy).unwrap();
    World { case, table, cache }
}

fn world(strategy: CacheStrategy) -> World {
    world_with(strategy, KvOptions::default().refresh_ahead(0.2).unwrap())
}

/// Those that write the source at once.
const DIRECT: [CacheStrategy; 4] = [
    CacheStrategy::CacheAside,
    CacheStrategy::ReadThrough,
    CacheStrategy::WriteThrough,
    CacheStrategy::RefreshAhead,
];

#[test]
fn every_strategy_reads_what_is_missing_once() {
    for strategy in DIRECT {
        let world = world(strategy);
        for _ in 0..3 {
            assert_eq!(world.cache.get("k").unwrap(), Some(1), "{strategy}");
            assert_eq!(world.cache.get::<Value>("l").unwrap(), Some(json!(null)));
        }
        assert_eq!(world.table.loads(), 2, "{strategy}");
        assert_eq!(world.cache.get::<u32>("none").unwrap(), None);
        assert_eq!(world.cache.get::<u32>("none").unwrap(), None);
        assert_eq!(world.table.loads(), 4, "what is not there is not kept");
        let many = world.cache.get_many::<Option<u32>>(&["k", "l", "none"]);
        let many: Vec<_> = many.into_iter().map(Result::unwrap).collect();
        assert_eq!(many, [Some(Some(1)), Some(None), None]);
        assert_eq!(world.table.loads(), 5);
    }
}

#[test]
fn a_write_is_in_the_source_and_nothing_older_is_found() {
    for strategy in DIRECT {
        let world = world(strategy);
        assert_eq!(world.cache.get("k").unwrap(), Some(1));
        world.cache.set("k", &2).unwrap();
        assert_eq!(world.table.row("k"), Some(json!(2)), "{strategy}");
        let cached = world.case.get::<u32>("k").unwrap();
        let expected = (strategy == CacheStrategy::WriteThrough).then_some(2);
        assert_eq!(cached, expected, "{strategy}");
        assert_eq!(world.cache.get("k").unwrap(), Some(2), "{strategy}");
        world.cache.delete("k").unwrap();
        assert_eq!(world.table.row("k"), None);
        assert_eq!(world.cache.get::<u32>("k").unwrap(), None, "{strategy}");
    }
}

#[test]
fn a_write_that_its_source_refuses_changes_nothing_and_voids_the_key() {
    for strategy in DIRECT {
        let world = world(strategy);
        assert_eq!(world.cache.get("k").unwrap(), Some(1));
        world.table.is_down.store(true, Ordering::SeqCst);
        let error = world.cache.set("k", &2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.to_string(), "the source of k: the table is down");
        assert!(world.cache.delete("k").is_err());
        assert!(
            !world.case.exists("k").unwrap(),
            "nobody knows what is true"
        );
        world.table.is_down.store(false, Ordering::SeqCst);
        assert_eq!(world.cache.get("k").unwrap(), Some(1), "{strategy}");
    }
}

#[test]
fn a_cache_that_cannot_be_told_of_a_write_is_an_error_that_says_so() {
    let world = world(CacheStrategy::WriteThrough);
    world.case.tier.set_down(true);
    let error = world.cache.set("k", &2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommittedNotApplied);
    assert_eq!(world.table.row("k"), Some(json!(2)));
    assert_eq!(world.cache.get("k").unwrap(), Some(2), "from the source");
}

#[test]
fn the_last_of_many_writes_is_the_one_in_the_source_and_in_the_cache() {
    let world = world(CacheStrategy::WriteThrough);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let world = &world;
            scope.spawn(move || {
                for n in 0..200 {
                    world.cache.set("k", &(writer * 1000 + n)).unwrap();
                    world.cache.get::<u32>("k").unwrap();
                }
            });
        }
    });
    let found = world.case.get::<Value>("k").unwrap();
    assert!(found.is_some() && found == world.table.row("k"));
}

#[test]
fn a_strategy_that_cannot_work_is_refused() {
    let case = case_with(KvOptions::default());
    for strategy in [CacheStrategy::WriteBehind, CacheStrategy::RefreshAhead] {
        let table = Table::with(&[]);
        let refused = SourcedCache::new(case.cache.clone(), table, strategy);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn a_function_is_a_source_that_cannot_be_written_to() {
    let case = case_with(KvOptions::default());
    let length = |key: &Key| Ok(Some(json!(key.as_str().len())));
    let strategy = CacheStrategy::ReadThrough;
    let cache = SourcedCache::new(case.cache.clone(), Arc::new(length), strategy).unwrap();
    assert_eq!(cache.get("abc").unwrap(), Some(3));
    assert_eq!(
        cache.set("abc", &4).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

/// Refresh-ahead: who asks in the last fifth has the old value at once, and the next ones the new one.
#[test]
fn what_is_asked_for_near_its_end_is_read_anew_once_and_nobody_waits() {
    let world = world(CacheStrategy::RefreshAhead);
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    world.table.write("k", json!(2));
    world.case.clock.advance(seconds(3600 - 719));
    world.table.hold(true);
    for _ in 0..100 {
        assert_eq!(world.cache.get("k").unwrap(), Some(1));
    }
    world.table.hold(false);
    until("it is refreshed", || {
        world.case.get("k").unwrap() == Some(2)
    });
    assert_eq!(
        world.table.loads(),
        2,
        "at most one refresh of a key at a time"
    );
    assert_eq!(world.case.stats().unwrap().refreshes, 1);
}

#[test]
fn a_refresh_that_fails_leaves_the_old_value_and_one_that_was_overtaken_is_not_kept() {
    let world = world(CacheStrategy::RefreshAhead);
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    world.case.clock.advance(seconds(3600 - 719));
    world.table.is_down.store(true, Ordering::SeqCst);
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    until("it failed", || world.case.stats().unwrap().load_errors == 1);
    world.table.is_down.store(false, Ordering::SeqCst);
    world.table.hold(true);
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    until("it reads", || world.table.loads() == 3);
    world.case.delete("k").unwrap();
    world.table.hold(false);
    until("it was voided", || world.case.stats().unwrap().voided == 1);
    assert!(!world.case.exists("k").unwrap());
}

fn stale_world(options: KvOptions) -> World {
    let world = world_with(CacheStrategy::ReadThrough, options.grace(seconds(100)));
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    world.table.write("k", json!(2));
    world.case.clock.advance(seconds(3600));
    world
}

#[test]
fn a_stale_value_is_answered_while_it_is_read_anew() {
    let world = stale_world(KvOptions::default().stale_while_revalidate(true));
    world.table.hold(true);
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    world.table.hold(false);
    until("it is refreshed", || {
        world.case.get("k").unwrap() == Some(2)
    });
    assert_eq!(world.case.stats().unwrap().stale_answers, 1);
}

#[test]
fn after_the_soft_time_out_the_stale_value_is_answered_and_the_load_goes_on() {
    let soft = Some(Duration::from_millis(1));
    let world = stale_world(KvOptions::default().soft_timeout(soft));
    world.table.hold(true);
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    world.table.hold(false);
    until("it is loaded", || world.case.get("k").unwrap() == Some(2));
}

#[test]
fn without_a_soft_time_out_a_stale_value_is_answered_only_if_the_source_fails() {
    let world = stale_world(KvOptions::default());
    world.table.is_down.store(true, Ordering::SeqCst);
    assert_eq!(world.cache.get("k").unwrap(), Some(1));
    world.table.is_down.store(false, Ordering::SeqCst);
    assert_eq!(world.cache.get("k").unwrap(), Some(2));
}

#[test]
fn after_the_hard_time_out_there_is_an_error_and_the_load_goes_on() {
    let options = KvOptions::default()
        .load_timeout(Duration::from_millis(1))
        .unwrap();
    let world = world_with(CacheStrategy::ReadThrough, options);
    world.table.hold(true);
    let error = world.cache.get::<u32>("k").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(
        error
            .to_string()
            .contains("the load of k takes longer than 1ms")
    );
    world.table.hold(false);
    until("it is loaded", || world.case.get("k").unwrap() == Some(1));
    assert_eq!(world.table.loads(), 1);
}

#[test]
fn a_source_that_panics_or_has_another_type_is_an_error_that_names_the_key() {
    let world = world(CacheStrategy::ReadThrough);
    let error = world.cache.get::<u32>("panics").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(
        error
            .to_string()
            .starts_with("the source of panics: it panicked")
    );
    let error = world.cache.get::<String>("k").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// More loads than threads, each of which asks for other keys of the same cache.
#[test]
fn a_source_may_use_other_keys_of_its_cache_on_every_thread() {
    let case = case_with(KvOptions::default().load_threads(2).unwrap());
    let own: Arc<Mutex<Option<SourcedCache>>> = Arc::default();
    let cache = Arc::clone(&own);
    let chain = move |key: &Key| {
        let n: u64 = key.as_str().parse().unwrap();
        if n.is_multiple_of(10) {
            return Ok(Some(json!(0)));
        }
        let cache = cache.lock().clone().unwrap();
        let before: Option<u64> = cache.get((n - 1).to_string())?;
        Ok(before.map(|before| json!(before + 1)))
    };
    let strategy = CacheStrategy::ReadThrough;
    let sourced = SourcedCache::new(case.cache.clone(), Arc::new(chain), strategy).unwrap();
    *own.lock() = Some(sourced.clone());
    std::thread::scope(|scope| {
        for n in 0..8 {
            let sourced = &sourced;
            let key = (n * 10 + 9).to_string();
            scope.spawn(move || assert_eq!(sourced.get::<u64>(key).unwrap(), Some(9)));
        }
    });
    *own.lock() = None;
}

/// One thread, whose load asks for a key that others have asked for already: it is next, behind itself.
#[test]
fn a_source_that_asks_for_a_key_in_the_queue_of_its_own_thread_makes_it() {
    for _ in 0..20 {
        let options = KvOptions::default().load_threads(1).unwrap();
        let case = case_with(options.load_timeout(seconds(10)).unwrap());
        let own: Arc<Mutex<Option<SourcedCache>>> = Arc::default();
        let (cache, stats) = (Arc::clone(&own), case.cache.clone());
        let source = move |key: &Key| {
            if key.as_str() != "outer" {
                return Ok(Some(json!(1)));
            }
            until("the inner ones are asked for", || {
                stats.stats().unwrap().misses == 3
            });
            let cache = cache.lock().clone().unwrap();
            let one: Option<u64> = cache.get("inner")?;
            let others = cache.get_many::<u64>(&["other"]).remove(0)?;
            Ok(one.zip(others).map(|(one, other)| json!(one + other)))
        };
        let strategy = CacheStrategy::ReadThrough;
        let sourced = SourcedCache::new(case.cache.clone(), Arc::new(source), strategy).unwrap();
        *own.lock() = Some(sourced.clone());
        std::thread::scope(|scope| {
            let outer = scope.spawn(|| sourced.get::<u64>("outer"));
            until("the thread is at work", || case.stats().unwrap().loads == 1);
            for key in ["inner", "other"] {
                let sourced = &sourced;
                scope.spawn(move || assert_eq!(sourced.get::<u64>(key).unwrap(), Some(1)));
            }
            assert_eq!(outer.join().unwrap().unwrap(), Some(2));
        });
        *own.lock() = None;
    }
}

#[cfg(feature = "sqlite")]
mod behind {
    use cardex::kv::SourceSink;
    use cardex::kv::write_behind::{WriteBehind, WriteBehindOptions};

    use super::*;

    #[test]
    fn a_write_behind_is_found_before_its_source_has_it() {
        let home = tempfile::tempdir().unwrap();
        let case = case_with(KvOptions::default());
        let table = Table::with(&[("k", json!(1)), ("l", json!(1))]);
        table.is_down.store(true, Ordering::SeqCst);
        let sink = Arc::new(SourceSink(table.clone()));
        let file = home.path().join("writes.journal");
        let options = WriteBehindOptions::default();
        let journal = WriteBehind::open(file, options, sink, Arc::new(cardex::SystemClock));
        let journal = Arc::new(journal.unwrap());
        let cache = SourcedCache::behind(case.cache.clone(), table.clone(), journal.clone());

        cache.set("k", &2).unwrap();
        cache.delete("l").unwrap();
        assert_eq!(table.row("k"), Some(json!(1)), "not yet");
        assert_eq!(cache.get("k").unwrap(), Some(2));
        case.clear().unwrap();
        assert_eq!(cache.get("k").unwrap(), Some(2), "from the journal");
        let many = cache.get_many::<u32>(&["k", "l"]);
        let many: Vec<_> = many.into_iter().map(Result::unwrap).collect();
        assert_eq!(many, [Some(2), None]);

        table.is_down.store(false, Ordering::SeqCst);
        assert_eq!(journal.flush(seconds(60)), 0);
        assert_eq!((table.row("k"), table.row("l")), (Some(json!(2)), None));
        case.clear().unwrap();
        assert_eq!(cache.get("k").unwrap(), Some(2), "from the source");
    }
}

#[test]
fn a_float_that_is_no_number_reaches_neither_the_source_nor_the_cache() {
    let table = Table::with(&[("k", json!(1.5))]);
    let case = case_with(KvOptions::default());
    let strategy = CacheStrategy::WriteThrough;
    let cache = SourcedCache::new(case.cache.clone(), table.clone(), strategy).unwrap();
    let error = cache.set("k", &f64::NAN).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:#}");
    assert_eq!(table.row("k"), Some(json!(1.5)));
    assert_eq!(cache.get::<f64>("k").unwrap(), Some(1.5));
}
