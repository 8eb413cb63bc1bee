//! What a type says of its writes and of its source: keys that depend on what is written leave, and
//! nothing else does; a source is used by the strategy of the type.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cardex::kv::{CacheStrategy, CacheType, Caches, KvCache, KvOptions, TierSet};
use cardex::tier::MemoryTierOptions;
use cardex::{ErrorKind, ManualClock};
use serde_json::json;

use crate::sourced::Table;
use crate::support::{NEVER, pattern, seconds};

/// One that writes the key `7`.
type Verb = fn(&KvCache);

fn caches(known: CacheType) -> Caches {
    let tiers = TierSet::memory(MemoryTierOptions::default());
    let caches = Caches::new(tiers, None, Arc::new(ManualClock::new()));
    caches.define(known).unwrap();
    caches
}

fn cache(options: KvOptions, patterns: &[&str]) -> KvCache {
    let patterns = patterns.iter().map(|text| (*text).to_owned()).collect();
    let known = CacheType::new("order").unwrap().options(options);
    let known = known.invalidates(patterns).unwrap();
    caches(known).get("order").unwrap()
}

fn plant(cache: &KvCache, keys: &[&str]) {
    // What was planted first may depend on what comes later: so all are planted by hand.
    for key in keys {
        let planted = cache.get_or_load(*key, NEVER, || Ok::<_, cardex::Error>(1));
        assert_eq!(planted.unwrap(), 1);
    }
}

fn keys(cache: &KvCache) -> Vec<String> {
    let keys = cache.keys(&pattern("*")).unwrap();
    keys.iter().map(|key| key.as_str().to_owned()).collect()
}

#[test]
fn each_verb_that_writes_a_key_drops_what_depends_on_it() {
    let verbs: [(&str, Verb); 5] = [
        ("set", |cache| assert!(cache.set("7", &1, NEVER).unwrap())),
        ("delete", |cache| assert!(cache.delete("7").unwrap())),
        ("increment", |cache| {
            assert_eq!(cache.increment("7", 1).unwrap(), 2)
        }),
        ("mset", |cache| {
            let set = cache.mset(&[("7", 1), ("9", 1)], NEVER);
            assert!(set.into_iter().all(|set| set.unwrap()));
        }),
        ("set_bytes", |cache| {
            assert!(cache.set_bytes("7", b"1", NEVER).unwrap());
        }),
    ];
    for grace in [0, 5] {
        for (name, verb) in verbs {
            let options = KvOptions::default().grace(seconds(grace));
            let cache = cache(options, &["page:{id}:*", "{type}:list", "one:{id}"]);
            plant(
                &cache,
                &["page:7:a", "page:8:a", "order:list", "one:7", "one:8", "7"],
            );
            verb(&cache);
            let left = keys(&cache);
            let dropped = ["page:7:a", "order:list", "one:7"];
            assert!(
                dropped.iter().all(|key| !left.contains(&(*key).to_owned())),
                "{name}: {left:?}"
            );
            let kept = ["one:8", "page:8:a"];
            assert!(
                kept.iter().all(|key| left.contains(&(*key).to_owned())),
                "{name}: {left:?}"
            );
            assert_eq!(cache.exists("7").unwrap(), name != "delete", "{name}");
        }
    }
}

#[test]
fn the_key_that_was_written_stays_and_what_leaves_takes_nothing_with_it() {
    for grace in [0, 5] {
        let options = KvOptions::default().grace(seconds(grace));
        let everything = cache(options.clone(), &["*", "{id}"]);
        plant(&everything, &["a", "b", "c"]);
        assert!(everything.set("a", &2, NEVER).unwrap());
        assert_eq!(keys(&everything), ["a"]);
        assert_eq!(everything.get::<u32>("a").unwrap(), Some(2));
        // `x` takes `x:x` with it, and that would take `x:x:x:x`.
        let chain = cache(options, &["{id}:{id}", "{id}-[a-z]"]);
        plant(&chain, &["x:x", "x:x:x:x", "x-a", "x-a-a"]);
        assert!(chain.set("x", &1, NEVER).unwrap());
        assert_eq!(keys(&chain), ["x", "x-a-a", "x:x:x:x"]);
    }
}

#[test]
fn the_characters_of_a_key_mean_themselves() {
    let cache = cache(KvOptions::default(), &["page:{id}:*"]);
    plant(&cache, &["page:*:1", "page:7:1"]);
    assert!(cache.set("*", &1, NEVER).unwrap());
    assert_eq!(keys(&cache), ["*", "page:7:1"]);
}

#[test]
fn a_key_that_is_too_long_for_what_would_depend_on_it_is_written_all_the_same() {
    let cache = cache(KvOptions::default(), &["{id}:{id}", "all"]);
    plant(&cache, &["all"]);
    let long = "*".repeat(250);
    assert!(cache.set(&*long, &1, NEVER).unwrap());
    assert_eq!(keys(&cache), [long]);
}

#[test]
fn what_is_deleted_by_a_pattern_or_loaded_drops_nothing() {
    let cache = cache(KvOptions::default().grace(seconds(5)), &["page:{id}"]);
    plant(&cache, &["page:7", "7", "8"]);
    assert_eq!(cache.delete_matching(&pattern("[78]")).unwrap(), 2);
    assert_eq!(keys(&cache), ["page:7"]);
}

#[test]
fn others_are_told_once_of_what_left_and_nothing_begins_anew() {
    let cache = cache(KvOptions::default(), &["page:{id}:*"]);
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    cache.on_change(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    assert!(cache.set("7", &1, NEVER).unwrap());
    assert_eq!(told.load(Ordering::SeqCst), 2, "the key, and the pattern");
}

#[test]
fn patterns_that_are_none_are_refused() {
    let longer = format!("{{id}}{}", "x".repeat(600));
    for text in ["page:{user}", "page:{id", "", &longer] {
        let known = CacheType::new("order").unwrap();
        let error = known.invalidates(vec![text.to_owned()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPattern, "{text}");
    }
}

#[test]
fn a_source_is_read_and_written_by_the_strategy_of_the_type() {
    for (strategy, is_kept) in [
        (CacheStrategy::CacheAside, false),
        (CacheStrategy::ReadThrough, false),
        (CacheStrategy::WriteThrough, true),
    ] {
        let known = CacheType::new("order").unwrap().strategy(strategy);
        let (caches, table) = (caches(known), Table::with(&[("a", json!(1))]));
        let orders = caches.sourced("order", table.clone()).unwrap();
        assert_eq!(orders.strategy(), strategy);
        assert_eq!(orders.get::<u32>("a").unwrap(), Some(1));
        orders.set("b", &2).unwrap();
        assert_eq!(table.row("b"), Some(json!(2)));
        let cache = caches.get("order").unwrap();
        assert_eq!(cache.exists("b").unwrap(), is_kept, "{strategy}");
        let again = caches.sourced("order", table).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::InvalidConfig);
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn a_type_that_is_written_behind_takes_the_journal_that_it_is_given() {
    use cardex::kv::SourceSink;
    use cardex::kv::write_behind::{WriteBehind, WriteBehindOptions};

    let folder = tempfile::tempdir().unwrap();
    let behind = CacheType::new("order").unwrap();
    let caches = caches(behind.strategy(CacheStrategy::WriteBehind));
    let table = Table::with(&[]);
    let error = caches.sourced("order", table.clone()).unwrap_err();
    assert!(error.to_string().contains("no journal"), "{error}");
    let journal = WriteBehind::open(
        folder.path().join("orders.journal"),
        WriteBehindOptions::default(),
        Arc::new(SourceSink(table.clone())),
        Arc::new(cardex::SystemClock),
    );
    let journal = Arc::new(journal.unwrap());
    let orders = caches.sourced_with("order", table.clone(), Arc::clone(&journal));
    let orders = orders.unwrap();
    assert_eq!(orders.strategy(), CacheStrategy::WriteBehind);
    orders.set("a", &1).unwrap();
    assert_eq!(journal.flush(seconds(60)), 0);
    assert_eq!(table.row("a"), Some(json!(1)));
}
