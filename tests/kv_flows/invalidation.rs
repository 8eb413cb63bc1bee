//! Invalidation on write.

use std::sync::{Arc, Mutex};

use cardex::kv::KvCache;
use cardex::kv::invalidation::{Forgets, Invalidator};
use cardex::tier::{Key, KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, Tier};
use cardex::{Error, ErrorKind, Result};

use crate::{cache, system};

fn fill(cache: &KvCache, keys: &[&str]) {
    for key in keys {
        cache.set(*key, &1, Lifetime::Default).unwrap();
    }
}

fn left(cache: &KvCache) -> Vec<String> {
    let all = KeyPattern::new("*").unwrap();
    let keys = cache.keys(&all).unwrap();
    keys.iter().map(|key| key.as_str().to_owned()).collect()
}

#[test]
fn a_write_takes_the_entity_its_lists_its_count_and_what_users_see_of_it() {
    let (cache, _) = cache(100);
    let gone = [
        "order:7",
        "order:list:new",
        "order:list:",
        "order:count",
        "user:1:order:7",
        "user:a:b:order:7",
    ];
    let kept = [
        "order:70",
        "order:8",
        "order:listing",
        "orders:7",
        "user:1:order:8",
        "xorder:7",
    ];
    fill(&cache, &gone);
    fill(&cache, &kept);
    let invalidator = Invalidator::new(cache.clone(), system());
    let done = invalidator.written("order", "7", "paid").unwrap();
    assert_eq!((done.removed(), done.is_complete()), (gone.len(), true));
    let mut expected = kept.to_vec();
    expected.sort_unstable();
    assert_eq!(left(&cache), expected);
    let again = invalidator.written("order", "7", "paid").unwrap();
    assert_eq!(again.removed(), 0);
}

#[test]
fn an_id_that_holds_a_star_deletes_only_itself() {
    for id in ["*", "a*", "?", "[a-z]", "a\\", "a:b", "50%", "a b"] {
        let (cache, _) = cache(100);
        let own = Key::from_parts(["order", id]).unwrap();
        let of_user = Key::from_parts(["user", "1", "order", id]).unwrap();
        fill(
            &cache,
            &[
                "order:a",
                "order:ab",
                "order:x",
                "user:1:order:a",
                "order:a:b",
            ],
        );
        fill(&cache, &[own.as_str(), of_user.as_str()]);
        let invalidator = Invalidator::new(cache.clone(), system());
        invalidator
            .declare("order", &["stats:{type}:{id}"])
            .unwrap();
        fill(&cache, &["stats:order:a"]);
        let done = invalidator.written("order", id, "a test").unwrap();
        assert_eq!(done.removed(), 2, "{id}");
        assert_eq!(left(&cache).len(), 6, "{id}");
    }
}

#[test]
fn declared_dependants_leave_too_in_their_order_before_the_hooks() {
    let (cache, _) = cache(100);
    fill(
        &cache,
        &[
            "user:1:orders",
            "user:2:orders",
            "invoice:7:pdf",
            "invoice:8:pdf",
            "product:list",
        ],
    );
    let invalidator = Invalidator::new(cache.clone(), system());
    invalidator
        .declare("order", &["user:*:orders", "invoice:{id}:*"])
        .unwrap();
    invalidator.declare("product", &["product:list"]).unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    for name in ["first", "second"] {
        let (calls, cache) = (Arc::clone(&calls), cache.clone());
        let hook = move |entity: cardex::kv::invalidation::Entity<'_>| {
            // The patterns were done before.
            assert!(!cache.exists("user:1:orders")?);
            calls
                .lock()
                .unwrap()
                .push(format!("{name} {} {}", entity.kind, entity.id));
            Ok(10)
        };
        invalidator.hook("order", name, hook).unwrap();
    }
    let done = invalidator.written("order", "7", "a test").unwrap();
    assert_eq!(done.removed(), 3 + 20);
    assert_eq!(*calls.lock().unwrap(), ["first order 7", "second order 7"]);
    assert_eq!(left(&cache), ["invoice:8:pdf", "product:list"]);
    let whats: Vec<&str> = done.steps().iter().map(|step| &*step.what).collect();
    assert_eq!(
        whats,
        [
            "order:7",
            "order:list:*",
            "order:count",
            "user:*:order:7",
            "user:*:orders",
            "invoice:7:*",
            "the hook `first`",
            "the hook `second`"
        ]
    );
}

#[test]
fn one_hook_that_fails_or_panics_does_not_stop_the_rest_and_is_told() {
    let (cache, _) = cache(100);
    fill(&cache, &["order:7"]);
    let invalidator = Invalidator::new(cache, system());
    let refuse = |_: cardex::kv::invalidation::Entity<'_>| -> Result<usize> {
        Err(Error::new(ErrorKind::Io, "no line"))
    };
    invalidator.hook("order", "refuses", refuse).unwrap();
    invalidator
        .hook("order", "panics", |_| panic!("by design"))
        .unwrap();
    invalidator.hook("order", "works", |_| Ok(2)).unwrap();
    let done = invalidator.written("order", "7", "a test").unwrap();
    assert_eq!((done.removed(), done.is_complete()), (3, false));
    let failed: Vec<String> = done
        .failures()
        .map(|step| format!("{}: {}", step.what, step.outcome.as_ref().unwrap_err()))
        .collect();
    assert_eq!(
        failed,
        [
            "the hook `refuses`: no line",
            "the hook `panics`: it panicked: by design"
        ]
    );
    let log = invalidator.log().last(3);
    assert_eq!((&*log[0].pattern, log[0].removed), ("the hook `works`", 2));
    assert_eq!(log[2].error.as_deref(), Some("no line"));
}

#[test]
fn a_pattern_that_cannot_be_forgotten_does_not_stop_the_rest_and_is_told() {
    struct Half(KvCache);
    impl Forgets for Half {
        fn delete_matching(&self, pattern: &KeyPattern) -> Result<usize> {
            match pattern.as_str() {
                "order:list:*" => Err(Error::new(ErrorKind::Io, "not now")),
                _ => self.0.delete_matching(pattern),
            }
        }
    }
    let (cache, _) = cache(100);
    fill(&cache, &["order:7", "order:list:a", "order:count"]);
    let invalidator = Invalidator::new(Half(cache.clone()), system());
    let done = invalidator.written("order", "7", "a test").unwrap();
    assert_eq!((done.removed(), done.failures().count()), (2, 1));
    assert_eq!(left(&cache), ["order:list:a"]);
}

#[test]
fn what_is_no_part_of_a_key_is_refused_and_nothing_leaves() {
    let (cache, _) = cache(100);
    fill(&cache, &["order:7", "order:list:a"]);
    let invalidator = Invalidator::new(cache.clone(), system());
    for (kind, id) in [("", "7"), ("order", ""), ("order", &*"x".repeat(251))] {
        let error = invalidator.written(kind, id, "a test").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let error = invalidator
        .declare("order", &["order:list:*", "{who}"])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPattern);
    assert_eq!(left(&cache).len(), 2);
    let done = invalidator.written("order", "8", "a test").unwrap();
    assert_eq!(
        done.steps().len(),
        4,
        "a declaration that is refused declares nothing"
    );
}

#[test]
fn it_works_over_a_tier_as_over_a_cache() {
    let limits = MemoryTierOptions::default();
    let tier: Arc<dyn Tier> = Arc::new(MemoryTier::new("bare", limits, system()));
    let put = |key: &str| {
        let key = Key::new(key).unwrap();
        tier.put(&key, b"1"[..].into(), 1, Lifetime::Default.into())
            .unwrap();
    };
    ["order:7", "order:list:1", "other"]
        .into_iter()
        .for_each(put);
    let invalidator = Invalidator::new(Arc::clone(&tier), system());
    assert_eq!(
        invalidator
            .written("order", "7", "a test")
            .unwrap()
            .removed(),
        2
    );
    let all = KeyPattern::new("*").unwrap();
    assert_eq!(invalidator.forget(&all, "a person").unwrap(), 1);
    assert_eq!(invalidator.log().last(1)[0].cause, "a person");
}
