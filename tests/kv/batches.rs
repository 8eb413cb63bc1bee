//! Many keys at once: each is written in one step, and each has an outcome of its own.

use crate::support::{NEVER, case, lasting};

#[test]
fn each_key_has_an_outcome_of_its_own() {
    let cache = case();
    let set = cache.mset(&[("a", 1), ("b b", 2), ("c", 3), ("a", 4)], lasting(60));
    let kept: Vec<Option<bool>> = set.into_iter().map(Result::ok).collect();
    assert_eq!(kept, [Some(true), None, Some(true), Some(true)]);
    cache.set("text", "x", NEVER).unwrap();
    let got = cache.mget::<u32>(&["a", "text", "b b", "none", "c", "a"]);
    let got: Vec<Option<Option<u32>>> = got.into_iter().map(Result::ok).collect();
    let expected = [
        Some(Some(4)),
        Some(None),
        None,
        Some(None),
        Some(Some(3)),
        Some(Some(4)),
    ];
    assert_eq!(
        got, expected,
        "in their order; the last one of a key counts"
    );
    let stats = cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.invalid_keys), (3, 2, 2));
    assert!(cache.mget::<u32>(&[] as &[&str]).is_empty());
}
