//! What only tiers above each other promise: what comes up, and what a tier that fails may never say.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cardex::tier::{
    Entry, Key, KeyPattern, Leased, Lifetime, MemoryTier, MemoryTierOptions, Term, Tier, Tiered,
    TieredOptions, Update,
};
use cardex::{
    Cache, CacheCoordinator, Clock, CoordinatorOptions, ErrorKind, HealthState, ManualClock, Scope,
};

use crate::every::{key, seconds};
use crate::flaky::{Fault, FlakyTier, add};
use crate::stack::{Stack, keys, options, term, text};

const NEVER: Lifetime = Lifetime::Never;

#[test]
fn what_is_found_below_comes_up_with_its_own_version_and_end() {
    let stack = Stack::of(&[300, 3600, 7200], options());
    stack.plant(2, "k", "v", term(1000, 50));
    stack.clock.advance(seconds(100));
    let entry = stack.tiered.get(&key("k")).unwrap().unwrap();
    assert_eq!((entry.version, entry.remaining), (7, Some(seconds(950))));
    for at in 0..3 {
        let copy = stack.peek(at, "k").unwrap();
        assert_eq!(copy, entry, "L{}", at + 1);
    }
    assert_eq!(stack.tiered.promotions(), 2);
    stack.clock.advance(seconds(300));
    assert_eq!(stack.held(0, "k"), None, "held at most for its own time");
    assert!(stack.held(1, "k").is_some());
    assert_eq!(stack.get("k").as_deref(), Some("v"));
    stack.clock.advance(seconds(600));
    let stale = stack.tiered.get(&key("k")).unwrap().unwrap();
    assert!(stale.is_stale(), "its fresh time is over");
    stack.clock.advance(seconds(50));
    assert_eq!(stack.get("k"), None);
    let held = stack.all_hold("k");
    assert_eq!(held, [None, None, None], "no life was made longer");
}

#[test]
fn a_life_is_never_made_longer_however_often_it_comes_up() {
    for lifetime in [1, 10, 299, 300, 301, 5000] {
        let stack = Stack::of(&[300, 3600], options());
        stack
            .put_for("k", "v", Lifetime::For(seconds(lifetime)))
            .unwrap();
        for second in 0..lifetime {
            let entry = stack.tiered.get(&key("k")).unwrap().unwrap();
            assert_eq!(entry.remaining, Some(seconds(lifetime - second)));
            stack.parts[0].remove(&key("k")).unwrap();
            stack.clock.advance(seconds(1));
        }
        assert_eq!(stack.get("k"), None, "{lifetime} s are over");
    }
}

/// Tiers that take their time: what is told of an end when they are done is still true.
#[test]
fn a_slow_tier_makes_no_life_longer() {
    let stack = Stack::of(&[300, 3600, 7200], options());
    stack.plant(2, "k", "v", term(100, 0));
    stack.parts[1].slow(&stack.clock, seconds(10));
    let entry = stack.tiered.get(&key("k")).unwrap().unwrap();
    let elapsed = stack.clock.elapsed();
    assert!(
        elapsed >= seconds(20),
        "it was asked, and was given the value"
    );
    let left = Some(seconds(100) - elapsed);
    assert_eq!(entry.remaining, left, "what is found");
    let held = |at: usize| stack.parts[at].peek(&key("k")).unwrap().unwrap().remaining;
    assert!(held(0) <= left && held(2) == left, "what has come up");
    stack
        .put_for("put", "v", Lifetime::For(seconds(100)))
        .unwrap();
    let left = |at: usize| {
        stack.parts[at]
            .peek(&key("put"))
            .unwrap()
            .unwrap()
            .remaining
    };
    assert!(left(0) <= left(2));
    stack
        .put_for("short", "v", Lifetime::For(seconds(5)))
        .unwrap();
    assert_eq!(stack.held(0, "short"), None, "it had ended");
    stack.clock.advance(seconds(100));
    assert_eq!((stack.get("k"), stack.get("put")), (None, None));
}

#[test]
fn empty_zero_null_and_false_come_up_like_any_value() {
    for value in ["", "0", "[]", "null", "false"] {
        let stack = Stack::of(&[300, 3600], options());
        stack.plant(1, "k", value, NEVER);
        for _ in 0..2 {
            assert_eq!(stack.get("k").as_deref(), Some(value));
            assert_eq!(stack.held(0, "k").as_deref(), Some(value));
        }
        assert_eq!(
            stack.parts[1].calls("get"),
            1,
            "found above the second time"
        );
        let report = stack.tiered.stats().unwrap();
        assert_eq!((report.hits, report.misses), (2, 0));
    }
}

#[test]
fn a_value_comes_up_after_as_many_hits_as_it_was_told() {
    let stack = Stack::of(&[300, 3600], options().promote_after(3).unwrap());
    stack.plant(1, "k", "v", NEVER);
    for hit in 1..=4 {
        assert_eq!(stack.get("k").as_deref(), Some("v"));
        assert_eq!(stack.held(0, "k").is_some(), hit >= 3, "hit {hit}");
    }
    for refused in [0, 1001] {
        let error = options().promote_after(refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn what_is_in_its_grace_is_told_to_be_and_stays_where_it_is() {
    let stack = Stack::of(&[300, 3600], options());
    stack.plant(1, "k", "v", term(10, 100));
    stack.clock.advance(seconds(20));
    let entry = stack.tiered.get(&key("k")).unwrap().unwrap();
    assert!(entry.is_stale());
    assert_eq!(
        (entry.remaining, stack.held(0, "k")),
        (Some(seconds(90)), None)
    );
}

#[test]
fn a_fresh_value_of_another_process_is_preferred_to_a_stale_one_of_our_own() {
    for is_shared in [false, true] {
        let make = if is_shared { Stack::shared } else { Stack::of };
        let stack = make(&[300, 3600], options());
        stack.plant(0, "k", "old", term(10, 100));
        stack.plant(1, "k", "new", term(100, 100));
        stack.clock.advance(seconds(20));
        let expected = if is_shared { "new" } else { "old" };
        assert_eq!(stack.get("k").as_deref(), Some(expected));
        assert_eq!(stack.held(0, "k").as_deref(), Some(expected));
    }
}

#[test]
fn a_write_goes_to_all_and_upper_tiers_hold_it_for_their_time() {
    let stack = Stack::of(&[300, 3600], options());
    assert!(stack.put("k", "v").unwrap());
    let remaining = |at| stack.peek(at, "k").map(|entry| entry.remaining);
    assert_eq!((remaining(0), remaining(1)), (Some(None), Some(None)));
    stack.put_for("d", "v", Lifetime::Default).unwrap();
    let by_default = stack.peek(0, "d").unwrap().remaining;
    assert_eq!(by_default, Some(seconds(3600)), "one default for all");
    stack.clock.advance(seconds(300));
    assert_eq!(stack.all_hold("k"), [None, Some("v".into())]);
    let refused = stack.put_for("k", "w", Lifetime::For(Duration::ZERO));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(stack.get("k").as_deref(), Some("v"), "nothing has changed");
    assert!(!stack.tiered.is_owed());
}

/// A change of the key `k` from `old`, and what it is afterwards.
type Verb = (
    &'static str,
    fn(&Stack) -> cardex::Result<()>,
    Option<&'static str>,
);

const VERBS: [Verb; 7] = [
    ("put", |stack| stack.put("k", "7").map(drop), Some("7")),
    (
        "remove",
        |stack| stack.tiered.remove(&key("k")).map(drop),
        None,
    ),
    (
        "add",
        |stack| add(&*stack.tiered, &key("k"), 1).map(drop),
        Some("2"),
    ),
    (
        "update away",
        |stack| {
            let change = &mut |_: Option<&_>| Ok(Update::Remove);
            stack.tiered.update(&key("k"), change).map(drop)
        },
        None,
    ),
    (
        "remove_matching",
        |stack| {
            let pattern = KeyPattern::new("k*").unwrap();
            stack.tiered.remove_matching(&pattern).map(drop)
        },
        None,
    ),
    ("clear", |stack| stack.tiered.clear(), None),
    (
        "expire",
        |stack| {
            let soon = Lifetime::For(seconds(5));
            let there = stack.tiered.expire(&key("k"), soon.into())?;
            assert!(there);
            Ok(())
        },
        Some("1"),
    ),
];

/// Each verb, with each tier failing in each way; then all of them are mended.
#[test]
fn one_tier_that_fails_makes_no_answer_wrong_now_or_later() {
    for (verb, run, after) in VERBS {
        for fails in 0..3 {
            for fault in Fault::ALL {
                let what = format!("{verb}, L{} fails {fault:?}", fails + 1);
                let stack = Stack::of(&[300, 3600, 7200], options());
                stack.put("k", "1").unwrap();
                stack.fault(&[fails], Some(fault));
                let outcome = run(&stack);
                match (verb, outcome) {
                    ("clear", Err(error)) => {
                        let name = format!("the tier `L{}`", fails + 1);
                        assert!(error.to_string().contains(&name), "{what}: {error}");
                    }
                    ("clear", Ok(())) => panic!("{what}: not all was cleared"),
                    (_, outcome) => outcome.unwrap_or_else(|error| panic!("{what}: {error}")),
                }
                assert!(stack.tiered.is_owed(), "{what}");
                let check = |when: &str| {
                    assert_eq!(stack.get("k").as_deref(), after, "{what}, {when}");
                    let peeked = text(stack.tiered.peek(&key("k")).unwrap());
                    assert_eq!(peeked.as_deref(), after, "{what}, {when}");
                };
                check("while it fails");
                stack.mend_all();
                check("when it is back");
                assert!(stack.tiered.repair(), "{what}");
                check("when it has been put right");
                let held = stack.held(fails, "k");
                assert!(
                    held.as_deref() == after || held.is_none(),
                    "{what}: {held:?}"
                );
                if verb == "expire" {
                    stack.clock.advance(seconds(5));
                    assert_eq!(stack.get("k"), None, "{what}");
                }
            }
        }
    }
}

/// What it holds is not to be believed, also where nobody else has anything.
#[test]
fn a_tier_that_missed_a_change_is_not_believed_when_the_others_have_lost_it() {
    for (verb, run, _) in VERBS {
        for fails in 0..3 {
            for fault in Fault::ALL {
                let what = format!("{verb}, L{} fails {fault:?}", fails + 1);
                let stack = Stack::of(&[300, 3600, 7200], options());
                stack.put("k", "1").unwrap();
                stack.fault(&[fails], Some(fault));
                assert_eq!(run(&stack).is_err(), verb == "clear", "{what}");
                stack.mend_all();
                let others = (0..3).filter(|at| *at != fails);
                others.for_each(|at| _ = stack.parts[at].remove(&key("k")).unwrap());
                assert_eq!(stack.get("k"), None, "{what}");
                assert!(stack.tiered.repair());
                assert_eq!(stack.get("k"), None, "{what}, put right");
                assert_eq!(stack.all_hold("k"), [None, None, None], "{what}");
            }
        }
    }
}

#[test]
fn a_failing_tier_is_a_miss_and_no_error() {
    for fault in Fault::ALL {
        let stack = Stack::of(&[300, 3600], options());
        stack.put("k", "v").unwrap();
        stack.fault(&[0], Some(fault));
        assert_eq!(stack.get("k").as_deref(), Some("v"), "found below");
        let many = keys(&["k", "none"]);
        let many: Vec<&Key> = many.iter().collect();
        let found = stack.tiered.get_many(&many);
        let found: Vec<_> = found
            .into_iter()
            .map(|entry| text(entry.unwrap()))
            .collect();
        assert_eq!(found, [Some("v".into()), None]);
        stack.fault(&[1], Some(fault));
        assert_eq!(stack.get("k"), None, "{fault:?}: all fail");
        assert!(stack.tiered.tiers()[0].failures > 0);
        stack.mend_all();
        assert_eq!(stack.get("k").as_deref(), Some("v"), "{fault:?}");
    }
}

#[test]
fn a_change_that_no_tier_took_is_an_error_that_names_them_and_is_never_half_seen() {
    for fault in Fault::ALL {
        let stack = Stack::of(&[300, 3600], options());
        stack.put("k", "1").unwrap();
        stack.fault(&[0, 1], Some(fault));
        let pattern = KeyPattern::all();
        let errors = [
            stack.put("k", "2").unwrap_err(),
            stack.tiered.remove(&key("k")).unwrap_err(),
            add(&*stack.tiered, &key("k"), 1).unwrap_err(),
            stack.tiered.remove_matching(&pattern).unwrap_err(),
            stack.tiered.clear().unwrap_err(),
            stack.tiered.sweep(1).unwrap_err(),
        ];
        for error in errors {
            let told = error.to_string();
            assert!(told.contains("`L1`") && told.contains("`L2`"), "{told}");
        }
        stack.mend_all();
        assert_eq!(stack.get("k"), None, "it is not known what became of it");
        assert!(stack.tiered.repair());
        assert_eq!(stack.all_hold("k"), [None, None]);
        stack.put("k", "3").unwrap();
        assert_eq!(stack.get("k").as_deref(), Some("3"));
    }
}

#[test]
fn the_durable_tier_gets_what_it_missed_from_above() {
    let stack = Stack::of(&[300, 3600], options());
    stack.fault(&[1], Some(Fault::Before));
    stack
        .put_for("k", "v", Lifetime::For(seconds(1000)))
        .unwrap();
    stack.clock.advance(seconds(100));
    stack.mend_all();
    assert!(stack.tiered.repair());
    let entry = stack.peek(1, "k").unwrap();
    assert_eq!(entry.remaining, Some(seconds(900)), "with what is left");
    // What others write too may be newer there: it is taken out.
    let stack = Stack::shared(&[300, 3600], options());
    stack.put("k", "old").unwrap();
    stack.fault(&[1], Some(Fault::Before));
    stack.put("k", "ours").unwrap();
    stack.mend_all();
    stack.plant(1, "k", "theirs", NEVER);
    assert!(stack.tiered.repair());
    assert_eq!(stack.all_hold("k"), [Some("ours".into()), None]);
}

#[test]
fn above_its_bound_a_tier_is_owed_everything_and_cleared() {
    let stack = Stack::of(&[300, 3600], options().max_owed_keys(3));
    for name in ["a", "b", "c", "d", "e"] {
        stack.put(name, "1").unwrap();
    }
    stack.fault(&[1], Some(Fault::Before));
    for name in ["a", "b", "c"] {
        stack.put(name, "2").unwrap();
    }
    assert_eq!(stack.tiered.tiers()[1].owed.keys, 3);
    stack.put("d", "2").unwrap();
    assert!(stack.tiered.tiers()[1].owed.is_whole);
    stack.mend_all();
    stack.parts[0].clear().unwrap();
    assert_eq!(stack.get("e"), None, "it is asked for nothing");
    assert_eq!(stack.held(1, "e").as_deref(), Some("1"));
    stack.put("f", "1").unwrap();
    let held = stack.parts[1].usage().entries;
    assert_eq!(held, 1, "cleared before its next use");
    assert_eq!(stack.all_hold("f"), [Some("1".into()), Some("1".into())]);
    assert!(!stack.tiered.is_owed());
}

#[test]
fn a_pattern_that_a_tier_missed_hides_what_matches_and_no_more() {
    let stack = Stack::of(&[300, 3600], options());
    for name in ["a:1", "a:2", "b:1"] {
        stack.put(name, "1").unwrap();
    }
    stack.fault(&[1], Some(Fault::Before));
    let pattern = KeyPattern::new("a:*").unwrap();
    assert_eq!(stack.tiered.remove_matching(&pattern).unwrap(), 2);
    stack.mend_all();
    stack.parts[0].clear().unwrap();
    let found = ["a:1", "a:2", "b:1"].map(|name| stack.get(name).is_some());
    assert_eq!(found, [false, false, true]);
    stack.put("a:1", "2").unwrap();
    assert_eq!(stack.held(1, "a:2"), None, "put right before its next use");
    assert_eq!(stack.all_hold("a:1"), [Some("2".into()), Some("2".into())]);
}

#[test]
fn a_thread_of_its_own_puts_tiers_right_when_they_are_back() {
    let often = Some(Duration::from_millis(1));
    let stack = Stack::of(&[300, 3600], options().repair_interval(often));
    stack.put("k", "old").unwrap();
    stack.fault(&[1], Some(Fault::After));
    stack.put("k", "new").unwrap();
    assert!(stack.tiered.clear().is_err());
    stack.put("j", "1").unwrap();
    stack.mend_all();
    let deadline = Instant::now() + seconds(30);
    while stack.tiered.is_owed() {
        assert!(Instant::now() < deadline, "it is still owed something");
        std::thread::yield_now();
    }
    assert_eq!(stack.all_hold("k"), [None, None]);
    assert_eq!(stack.get("j").as_deref(), Some("1"));
}

#[test]
fn a_tier_that_keeps_failing_is_let_alone_until_a_probe_succeeds() {
    let options = TieredOptions::default()
        .repair_interval(None)
        .bypass_after(3)
        .unwrap()
        .probe_interval(seconds(10));
    let stack = Stack::of(&[300, 3600], options);
    stack.plant(1, "k", "v", NEVER);
    stack.fault(&[1], Some(Fault::Before));
    for n in 0..10 {
        assert_eq!(stack.get(&n.to_string()), None);
    }
    assert_eq!(stack.parts[1].calls("get"), 3);
    assert!(stack.tiered.tiers()[1].is_let_alone);
    let health = stack.tiered.health();
    assert_eq!(health.state, HealthState::Degraded);
    assert_eq!(health.parts[1].reasons.last().unwrap().code, "let-alone");
    stack.mend_all();
    assert_eq!(stack.get("k"), None, "let alone");
    stack.clock.advance(seconds(10));
    assert_eq!(stack.get("k").as_deref(), Some("v"), "the probe");
    assert!(!stack.tiered.tiers()[1].is_let_alone);
    assert_eq!(stack.tiered.health().state, HealthState::Healthy);
}

#[test]
fn switched_off_nothing_is_asked_and_nothing_old_is_found_afterwards() {
    let stack = Stack::of(&[300, 3600], options());
    for name in ["changed", "removed", "kept"] {
        stack.put(name, "old").unwrap();
    }
    let asked = || {
        ["get", "put", "remove", "update", "peek", "scan"].map(|verb| stack.parts[1].calls(verb))
    };
    let before = asked();
    stack.tiered.set_bypass(true);
    assert_eq!(
        (stack.get("kept"), stack.put("changed", "new").unwrap()),
        (None, false)
    );
    assert!(!stack.tiered.remove(&key("removed")).unwrap());
    let refused = add(&*stack.tiered, &key("kept"), 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(stack.tiered.health().state, HealthState::Degraded);
    assert!(!stack.tiered.repair());
    assert_eq!(asked(), before, "no verb asks a tier");
    stack.tiered.set_bypass(false);
    assert_eq!((stack.get("changed"), stack.get("removed")), (None, None));
    assert_eq!(stack.get("kept").as_deref(), Some("old"));
    assert!(stack.tiered.repair());
    assert_eq!(stack.all_hold("changed"), [None, None]);
    stack.tiered.set_bypass(true);
    stack.tiered.clear().unwrap();
    stack.tiered.set_bypass(false);
    assert_eq!(stack.get("kept"), None);
}

#[test]
fn many_who_miss_a_key_look_it_up_below_once() {
    const CALLERS: usize = 50;
    let stack = Stack::of(&[300, 3600], options());
    stack.plant(1, "k", "v", NEVER);
    stack.parts[1].shut();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| stack.get("k")))
            .collect();
        stack.parts[1].await_waiting(1);
        // All have missed it above, or will find it there.
        while stack.parts[0].calls("get") < CALLERS {
            std::thread::yield_now();
        }
        stack.parts[1].open();
        for caller in callers {
            assert_eq!(caller.join().unwrap().as_deref(), Some("v"));
        }
    });
    assert_eq!(stack.parts[1].calls("get"), 1);
    assert_eq!(stack.tiered.stats().unwrap().hits, CALLERS as u64);
}

/// Somebody has read the old value below, and brings it up after it was changed.
#[test]
fn what_a_change_has_overtaken_does_not_come_up() {
    for (verb, run, after) in VERBS {
        if verb == "expire" {
            continue;
        }
        let stack = Stack::of(&[300, 3600], options());
        stack.plant(1, "k", "1", NEVER);
        stack.parts[1].shut();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| stack.get("k"));
            stack.parts[1].await_waiting(1);
            run(&stack).unwrap();
            stack.parts[1].open();
            assert_eq!(
                reader.join().unwrap().as_deref(),
                Some("1"),
                "it asked before"
            );
        });
        let held = stack.all_hold("k");
        assert_eq!(
            held,
            [after.map(String::from), after.map(String::from)],
            "{verb}"
        );
        assert_eq!(stack.get("k").as_deref(), after, "{verb}");
    }
}

/// Whoever asks after a change does not share the look of one who asked before it.
#[test]
fn whoever_asks_after_a_change_does_not_get_what_was_read_before_it() {
    let stack = Stack::of(&[300, 3600], options());
    stack.plant(1, "k", "old", NEVER);
    stack.parts[1].shut();
    std::thread::scope(|scope| {
        let early = scope.spawn(|| stack.get("k"));
        stack.parts[1].await_waiting(1);
        stack.put("k", "new").unwrap();
        stack.parts[0].remove(&key("k")).unwrap();
        let late = scope.spawn(|| stack.get("k"));
        stack.parts[1].await_waiting(2);
        stack.parts[1].open();
        assert_eq!(early.join().unwrap().as_deref(), Some("old"));
        assert_eq!(late.join().unwrap().as_deref(), Some("new"));
    });
    assert_eq!(stack.get("k").as_deref(), Some("new"));
}

#[test]
fn a_count_goes_on_from_the_tier_that_still_has_it() {
    let stack = Stack::of(&[300, 3600], options());
    stack
        .put_for("n", "5", Lifetime::For(seconds(100)))
        .unwrap();
    stack.parts[1].remove(&key("n")).unwrap();
    stack.clock.advance(seconds(40));
    assert_eq!(add(&*stack.tiered, &key("n"), 2).unwrap(), 7);
    assert_eq!(stack.all_hold("n"), [Some("7".into()), Some("7".into())]);
    let left = stack.peek(1, "n").unwrap().remaining;
    assert_eq!(left, Some(seconds(60)), "it keeps its end");
    // What is gone from where others write is gone.
    let stack = Stack::shared(&[300, 3600], options());
    stack.put("n", "5").unwrap();
    stack.parts[1].remove(&key("n")).unwrap();
    assert_eq!(add(&*stack.tiered, &key("n"), 2).unwrap(), 2);
    let refused = add(&*stack.tiered, &key("n"), 1).and(stack.put("n", "x"));
    refused.unwrap();
    let error = add(&*stack.tiered, &key("n"), 1).unwrap_err();
    assert_eq!(error.to_string(), "it is not a number");
    assert_eq!(stack.get("n").as_deref(), Some("x"), "nothing has changed");
    assert!(!stack.tiered.is_owed(), "and no tier is to blame");
    let panics = &mut |_: Option<&_>| panic!("a change breaks");
    let error = stack.tiered.update(&key("n"), panics).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(!stack.tiered.is_owed());
}

#[test]
fn a_change_without_the_tier_that_has_the_entry_is_an_error_and_loses_nothing() {
    for fault in [Fault::Before, Fault::Panic] {
        for make in [Stack::of, Stack::shared] {
            for is_stale in [false, true] {
                let stack = make(&[300, 3600], options());
                stack.plant(1, "n", "1000", NEVER);
                if is_stale {
                    stack.plant(0, "n", "990", term(10, 100));
                    stack.clock.advance(seconds(20));
                }
                stack.fault(&[1], Some(fault));
                let error = add(&*stack.tiered, &key("n"), 1).unwrap_err();
                assert!(error.to_string().contains("`L2`"), "{error}");
                let soon = Lifetime::For(seconds(5)).into();
                stack.tiered.expire(&key("n"), soon).unwrap_err();
                assert!(!stack.tiered.is_owed(), "nothing was written");
                stack.mend_all();
                assert!(stack.tiered.repair());
                assert_eq!(stack.held(1, "n").as_deref(), Some("1000"), "{fault:?}");
                assert_eq!(add(&*stack.tiered, &key("n"), 1).unwrap(), 1001);
            }
        }
    }
    // What was perhaps written is owed, and what only looks is not.
    let stack = Stack::of(&[300, 3600], options());
    stack.plant(1, "n", "1000", NEVER);
    stack.fault(&[1], Some(Fault::After));
    let leave = &mut |_: Option<&_>| Ok(Update::Leave);
    stack.tiered.update(&key("n"), leave).unwrap_err();
    assert!(!stack.tiered.is_owed());
    add(&*stack.tiered, &key("n"), 1).unwrap_err();
    assert!(stack.tiered.is_owed());
    // A stale entry between does not hold back a fresh one above it, nor comes back after it.
    let stack = Stack::of(&[300, 3600, 7200], options());
    stack.plant(0, "n", "7", term(100, 0));
    stack.plant(1, "n", "5", term(10, 900));
    stack.fault(&[2], Some(Fault::Before));
    stack.clock.advance(seconds(20));
    assert_eq!(add(&*stack.tiered, &key("n"), 1).unwrap(), 8);
    let left = stack.peek(1, "n").unwrap().remaining;
    assert_eq!(left, Some(seconds(80)), "the end of the one that went on");
    stack.mend_all();
    assert!(stack.tiered.repair());
    assert_eq!(stack.all_hold("n"), ["8", "8", "8"].map(|n| Some(n.into())));
}

#[test]
fn whoever_only_looks_gets_a_fresh_entry_rather_than_a_stale_one_above_it() {
    let stack = Stack::of(&[300, 3600], options());
    stack.plant(0, "k", "old", term(10, 100));
    stack.plant(1, "k", "new", term(100, 100));
    stack.clock.advance(seconds(20));
    let look = || text(stack.tiered.peek(&key("k")).unwrap());
    assert_eq!(look().as_deref(), Some("new"));
    stack.parts[1].remove(&key("k")).unwrap();
    assert_eq!(look().as_deref(), Some("old"), "rather than none");
}

#[test]
fn counts_are_exact_among_threads() {
    let stack = Stack::of(&[300, 3600], options());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    add(&*stack.tiered, &key("n"), 1).unwrap();
                }
            });
        }
    });
    assert_eq!(
        stack.all_hold("n"),
        [Some("400".into()), Some("400".into())]
    );
}

#[test]
fn many_keys_are_asked_for_together() {
    let stack = Stack::of(&[300, 3600], options());
    stack.plant(0, "a", "1", NEVER);
    stack.plant(1, "b", "2", NEVER);
    stack.plant(1, "c", "3", NEVER);
    let many = keys(&["b", "none", "a", "c", "b"]);
    let many: Vec<&Key> = many.iter().collect();
    let found = stack.tiered.get_many(&many);
    let found: Vec<_> = found
        .into_iter()
        .map(|entry| text(entry.unwrap()))
        .collect();
    let expected = ["2", "", "1", "3", "2"].map(|v| Some(v.to_owned()).filter(|v| !v.is_empty()));
    assert_eq!(found, expected);
    let calls = (
        stack.parts[1].calls("get"),
        stack.parts[1].calls("get_many"),
    );
    assert_eq!(calls, (0, 1));
    let report = stack.tiered.stats().unwrap();
    assert_eq!(
        (report.hits, report.misses),
        (4, 1),
        "each request counts once"
    );
    assert!(stack.tiered.get_many(&[]).is_empty());
    assert_eq!(stack.held(0, "c").as_deref(), Some("3"), "they come up too");
}

fn listed(stack: &Stack, pattern: &str) -> Vec<String> {
    let mut listed = Vec::new();
    let pattern = KeyPattern::new(pattern).unwrap();
    let visit = &mut |key: Key| {
        listed.push(key.as_str().to_owned());
        ControlFlow::Continue(())
    };
    stack.tiered.scan(&pattern, visit).unwrap();
    listed.sort();
    listed
}

#[test]
fn keys_are_listed_once_and_not_from_where_they_are_owed() {
    let stack = Stack::of(&[300, 3600], options());
    stack.plant(0, "a:1", "v", NEVER);
    stack.plant(1, "a:1", "v", NEVER);
    stack.plant(1, "a:2", "v", NEVER);
    stack.plant(1, "b", "v", NEVER);
    assert_eq!(listed(&stack, "a:*"), ["a:1", "a:2"]);
    stack.fault(&[1], Some(Fault::Before));
    stack.tiered.remove(&key("b")).unwrap();
    assert_eq!(listed(&stack, "*"), ["a:1"], "what can be found is listed");
    stack.mend_all();
    assert_eq!(listed(&stack, "*"), ["a:1", "a:2"]);
    let mut visited = 0;
    let stop = &mut |_| {
        visited += 1;
        ControlFlow::Break(())
    };
    stack.tiered.scan(&KeyPattern::all(), stop).unwrap();
    assert_eq!(visited, 1);
    let breaks = &mut |_| panic!("a visitor breaks");
    let error = stack.tiered.scan(&KeyPattern::all(), breaks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(stack.tiered.tiers()[0].failures, 0, "no tier is to blame");
    stack.fault(&[0, 1], Some(Fault::Before));
    assert!(
        stack
            .tiered
            .scan(&KeyPattern::all(), &mut |_| ControlFlow::Continue(()))
            .is_err()
    );
}

#[test]
fn what_matches_leaves_all_tiers_and_counts_once() {
    let stack = Stack::of(&[300, 3600], options());
    stack.put("a:1", "v").unwrap();
    stack.plant(0, "a:2", "v", NEVER);
    stack.plant(1, "a:3", "v", NEVER);
    stack.put("a:*", "v").unwrap();
    stack.put("b", "v").unwrap();
    let literal = KeyPattern::exactly(&key("a:*"));
    assert_eq!(stack.tiered.remove_matching(&literal).unwrap(), 1);
    let pattern = KeyPattern::new("a:*").unwrap();
    assert_eq!(stack.tiered.remove_matching(&pattern).unwrap(), 3);
    assert_eq!(listed(&stack, "*"), ["b"]);
    assert_eq!(stack.tiered.invalidate(&Scope::All).unwrap(), 1);
    assert_eq!(stack.all_hold("b"), [None, None]);
}

fn granted(stack: &Stack, name: &str) -> cardex::tier::Lease {
    match stack.tiered.lease(&key(name), seconds(30)).unwrap() {
        Leased::Granted(lease) => lease,
        Leased::Held(_) => panic!("somebody else makes it"),
    }
}

fn fill(stack: &Stack, lease: &cardex::tier::Lease, value: &str) -> cardex::Result<bool> {
    let value = value.as_bytes().into();
    stack.tiered.fill(&key("k"), lease, value, 1, NEVER.into())
}

#[test]
fn the_shared_tier_decides_who_makes_a_value() {
    let stack = Stack::shared(&[300, 3600], options());
    assert!(stack.tiered.is_shared());
    let lease = granted(&stack, "k");
    let held = stack.tiered.lease(&key("k"), seconds(30)).unwrap();
    assert!(matches!(held, Leased::Held(_)));
    assert!(stack.tiered.renew(&key("k"), &lease, seconds(30)).unwrap());
    assert!(fill(&stack, &lease, "made").unwrap());
    assert_eq!(
        stack.all_hold("k"),
        [Some("made".into()), Some("made".into())]
    );
    let lease = granted(&stack, "k");
    stack.tiered.remove(&key("k")).unwrap();
    assert!(!fill(&stack, &lease, "late").unwrap(), "a removal voids it");
    assert_eq!(
        stack.all_hold("k"),
        [None, None],
        "refused there, kept nowhere"
    );
    let lease = granted(&stack, "k");
    stack.tiered.release(&key("k"), &lease).unwrap();
    granted(&stack, "k");
    let alone = Stack::of(&[300, 3600], options());
    let lease = granted(&alone, "k");
    assert!(fill(&alone, &lease, "made").unwrap());
    assert_eq!(alone.get("k").as_deref(), Some("made"));
}

#[test]
fn a_removal_that_the_shared_tier_missed_voids_the_lease_all_the_same() {
    let stack = Stack::shared(&[300, 3600], options());
    let lease = granted(&stack, "k");
    stack.fault(&[1], Some(Fault::Before));
    stack.tiered.remove(&key("k")).unwrap();
    assert!(fill(&stack, &lease, "late").is_err());
    stack.mend_all();
    assert!(!fill(&stack, &lease, "late").unwrap());
    assert_eq!(stack.all_hold("k"), [None, None]);
    for fault in Fault::ALL {
        let stack = Stack::shared(&[300, 3600], options());
        let lease = granted(&stack, "k");
        stack.fault(&[1], Some(fault));
        assert!(
            fill(&stack, &lease, "made").is_err(),
            "whether it is held is not known"
        );
        assert_eq!(stack.held(0, "k"), None);
        stack.mend_all();
        assert_eq!(stack.get("k"), None);
    }
}

/// Keeps a copy that began to be made so many seconds ago, if nothing is there.
fn keep_copy(stack: &Stack, term: impl Into<Term>, ago: u64) -> bool {
    let (value, may_keep) = (b"made".as_slice().into(), |held: Option<&Entry>| {
        held.is_none()
    });
    let (key, term, ago) = (key("k"), term.into(), seconds(ago));
    let kept = stack.tiered.keep_copy(&key, value, 1, term, ago, &may_keep);
    kept.unwrap()
}

#[test]
fn a_copy_does_not_hide_what_the_shared_tier_has_when_it_is_back() {
    let options = options().promote_after(2).unwrap();
    let stack = Stack::shared(&[300, 3600], options);
    stack.fault(&[1], Some(Fault::Before));
    assert!(keep_copy(&stack, NEVER, 0));
    assert_eq!(stack.held(0, "k").as_deref(), Some("made"));
    stack.parts[0].remove(&key("k")).unwrap();
    // Another process puts it; one hit does not bring it up.
    stack.mend_all();
    stack.plant(1, "k", "new", NEVER);
    assert_eq!(stack.get("k").as_deref(), Some("new"));
    assert_eq!(stack.held(0, "k"), None);
    assert!(!keep_copy(&stack, NEVER, 0));
    assert_eq!(stack.get("k").as_deref(), Some("new"));
}

#[test]
fn a_copy_is_held_no_longer_than_its_caller_and_its_tier_say() {
    let limited = |at_most| Term {
        at_most: Some(seconds(at_most)),
        ..Term::from(NEVER)
    };
    for (term, ago, expected) in [
        (NEVER.into(), 0, 300),
        (NEVER.into(), 100, 200),
        (limited(1000), 100, 200),
        (limited(150), 100, 50),
        (limited(100), 100, 0),
        (limited(150), 300, 0),
    ] {
        // The tier above the shared one, and the one below it, which is the last.
        let stack = Stack::shared(&[300, 3600], options());
        let below = Stack::shared_above(&[3600, 300], options());
        for (stack, own, shared) in [(stack, 0, 1), (below, 1, 0)] {
            stack.fault(&[shared], Some(Fault::Before));
            assert_eq!(keep_copy(&stack, term, ago), expected > 0);
            for second in [0, 50, 200, 300] {
                let held = stack.held(own, "k").is_some();
                assert_eq!(held, second < expected, "{term:?} {ago} after {second}");
                stack.clock.advance(seconds(match second {
                    0 => 50,
                    50 => 150,
                    _ => 100,
                }));
            }
        }
    }
}

#[test]
fn health_is_degraded_with_one_tier_down_and_unhealthy_with_all() {
    let stack = Stack::of(&[300, 3600, 7200], options());
    assert_eq!(stack.tiered.health().state, HealthState::Healthy);
    stack.fault(&[1, 2], Some(Fault::Before));
    let health = stack.tiered.health();
    assert_eq!(
        (health.state, health.parts.len()),
        (HealthState::Degraded, 3)
    );
    stack.fault(&[0], Some(Fault::Before));
    assert_eq!(stack.tiered.health().state, HealthState::Unhealthy);
    stack.mend_all();
    stack.fault(&[2], Some(Fault::Before));
    stack.put("k", "v").unwrap();
    stack.mend_all();
    let health = stack.tiered.health();
    assert_eq!(health.state, HealthState::Degraded);
    assert_eq!(health.parts[2].reasons[0].code, "owed");
    assert!(stack.tiered.repair());
    assert_eq!(stack.tiered.health().state, HealthState::Healthy);
    assert_eq!(
        stack.tiered.stats().unwrap().hits,
        0,
        "looking counts nothing"
    );
}

#[test]
fn no_tiers_at_all_are_refused() {
    let clock = Arc::new(ManualClock::new());
    let error = Tiered::new("whole", Vec::new(), options(), clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let refused = options().bypass_after(0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
}

#[cfg(feature = "sqlite")]
#[test]
fn a_coordinator_wins_back_memory_and_the_disk_keeps_what_it_has() {
    let disk = crate::every::disk(100, 8 * crate::every::MIB);
    let clock = disk.clock.clone();
    let first = MemoryTier::new("first", MemoryTierOptions::default(), clock.clone());
    let parts = vec![
        FlakyTier::new(Arc::new(first)),
        FlakyTier::new(disk.tier.clone()),
    ];
    let stack = Stack::over(clock, parts, options());
    for n in 0..10 {
        stack.put(&n.to_string(), "v").unwrap();
    }
    let usage = stack.tiered.usage();
    assert_eq!((usage.entries, usage.capacity), (10, Some(1000)));
    assert_eq!(usage.bytes, stack.parts[0].usage().bytes);
    let coordinator = CacheCoordinator::new(CoordinatorOptions::default());
    coordinator.register(stack.tiered.clone()).unwrap();
    assert_eq!(coordinator.evict_from("whole", 99).unwrap(), 10);
    assert_eq!((stack.tiered.usage().entries, disk.entries()), (0, 10));
    let stats = stack.tiered.tier_stats().unwrap();
    assert_eq!(stats.report.usage.entries, 10, "no fewer than there are");
    assert!(
        (0..10).all(|n| stack.get(&n.to_string()).is_some()),
        "from disk"
    );
    let stats = stack.tiered.tier_stats().unwrap();
    assert_eq!((stats.report.hits, stats.report.misses), (10, 0));
    assert!(stats.bytes > usage.bytes.unwrap(), "those on disk too");
}

/// A tier that outlives the process, under a first one that does not, with a ledger beside them.
fn start(lasting: &Arc<FlakyTier>, clock: &Arc<ManualClock>, file: &Path) -> Stack {
    let first = MemoryTier::new("L1", MemoryTierOptions::default(), clock.clone());
    let parts = vec![FlakyTier::new(Arc::new(first)), Arc::clone(lasting)];
    Stack::over(clock.clone(), parts, options().ledger(file))
}

#[test]
fn the_next_process_does_not_believe_a_tier_that_missed_a_change_in_the_last_one() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tiers.owed");
    let length = || std::fs::metadata(&file).unwrap().len();
    for (verb, run, after) in VERBS {
        for fault in Fault::ALL {
            let what = format!("{verb}, {fault:?}");
            let clock = Arc::new(ManualClock::new());
            let lasting = MemoryTier::new("L2", MemoryTierOptions::default(), clock.clone());
            let lasting = FlakyTier::shared(Arc::new(lasting));
            let stack = start(&lasting, &clock, &file);
            for name in ["k", "other"] {
                stack.put(name, "1").unwrap();
            }
            assert_eq!(length(), 0, "{what}: nothing is owed");
            lasting.fault(Some(fault));
            let _ = run(&stack);
            assert_eq!(stack.get("k").as_deref(), after, "{what}");
            drop(stack);
            // Now as a crash leaves it; the tier comes back later still.
            let stack = start(&lasting, &clock, &file);
            assert_eq!(stack.get("k"), None, "{what}: while it is away");
            lasting.fault(None);
            assert_eq!(stack.get("k"), None, "{what}: when it is back");
            let of_all = matches!(verb, "clear");
            assert_eq!(stack.get("other").is_none(), of_all, "{what}");
            assert!(stack.tiered.repair());
            assert_eq!((stack.get("k"), length()), (None, 0), "{what}");
            drop(stack);
            assert!(!start(&lasting, &clock, &file).tiered.is_owed());
        }
    }
}

#[test]
fn who_listens_late_is_told_of_what_was_put_right_before() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tiers.owed");
    let clock = Arc::new(ManualClock::new());
    let lasting = MemoryTier::new("L2", MemoryTierOptions::default(), clock.clone());
    let lasting = FlakyTier::shared(Arc::new(lasting));
    let told = Arc::new(AtomicUsize::new(0));
    let tells = |told: &Arc<AtomicUsize>| {
        let told = Arc::clone(told);
        Arc::new(move || _ = told.fetch_add(1, Ordering::SeqCst))
    };
    let times = |told: &AtomicUsize| told.load(Ordering::SeqCst);
    let owes: [fn(&Stack); 2] = [
        |stack| _ = stack.put("k", "v"),
        |stack| _ = stack.tiered.clear(),
    ];
    for owe in owes {
        told.store(0, Ordering::SeqCst);
        let stack = start(&lasting, &clock, &file);
        stack.tiered.on_repair(tells(&told));
        assert!(stack.tiered.repair());
        assert_eq!(times(&told), 0, "there was nothing to put right");
        lasting.fault(Some(Fault::Before));
        owe(&stack);
        drop(stack);
        lasting.fault(None);
        let stack = start(&lasting, &clock, &file);
        assert!(stack.tiered.is_owed() && stack.tiered.repair());
        stack.tiered.on_repair(tells(&told));
        assert_eq!(times(&told), 1, "others read there what was old");
        // The first one stays, and hears of each.
        let second = Arc::new(AtomicUsize::new(0));
        stack.tiered.on_repair(tells(&second));
        lasting.fault(Some(Fault::Before));
        owe(&stack);
        lasting.fault(None);
        assert!(stack.tiered.repair());
        assert_eq!((times(&told), times(&second)), (2, 0));
    }
}

#[test]
fn a_ledger_that_cannot_be_read_owes_everything_and_one_that_cannot_be_written_is_told() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tiers.owed");
    let clock = Arc::new(ManualClock::new());
    let lasting = MemoryTier::new("L2", MemoryTierOptions::default(), clock.clone());
    let lasting = FlakyTier::shared(Arc::new(lasting));
    for damaged in [
        &b"{\"tier\":\"L2\",\"owes\":{\"key\":\"torn"[..],
        b"\xff\n",
        b"{}\n",
        b"{\"tier\":\"L2\",\"owes\":{\"key\":\"\"}}\n",
        &[b' '; 20_000],
    ] {
        std::fs::write(&file, damaged).unwrap();
        let stack = start(&lasting, &clock, &file);
        let states = stack.tiered.tiers();
        assert!(states[1].owed.is_whole && states[0].owed.is_nothing());
        assert!(stack.tiered.repair());
    }
    let error = Tiered::new(
        "whole",
        vec![lasting.clone() as Arc<dyn Tier>],
        options().ledger(home.path().join("none/tiers.owed")),
        clock.clone(),
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Io);
    #[cfg(unix)]
    {
        let (target, link) = (home.path().join("mine"), home.path().join("link.owed"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let tiers = vec![lasting.clone() as Arc<dyn Tier>];
        let error = Tiered::new("whole", tiers, options().ledger(&link), clock.clone());
        assert_eq!(
            error.unwrap_err().kind(),
            ErrorKind::Io,
            "a link is refused"
        );
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    }
    #[cfg(target_os = "linux")]
    {
        let stack = start(&lasting, &clock, Path::new("/dev/full"));
        assert!(
            stack.tiered.repair(),
            "it has no end, and is not read for ever"
        );
        lasting.fault(Some(Fault::Before));
        stack.put("k", "v").unwrap();
        lasting.fault(None);
        assert!(stack.tiered.repair());
        let reasons = &stack.tiered.health().parts[1].reasons;
        assert_eq!(reasons[0].code, "ledger");
    }
}

#[test]
fn a_ledger_is_bounded() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tiers.owed");
    let clock = Arc::new(ManualClock::new());
    let lasting = MemoryTier::new("L2", MemoryTierOptions::default(), clock.clone());
    let lasting = FlakyTier::shared(Arc::new(lasting));
    let first = MemoryTier::new("L1", MemoryTierOptions::default(), clock.clone());
    let parts = vec![FlakyTier::new(Arc::new(first)), lasting.clone()];
    let options = options().ledger(&file).max_owed_keys(3);
    let stack = Stack::over(clock.clone(), parts, options);
    stack.put("0", "old").unwrap();
    lasting.fault(Some(Fault::Before));
    for n in 0..2500 {
        stack.put(&n.to_string(), "new").unwrap();
    }
    let lines = std::fs::read_to_string(&file).unwrap().lines().count();
    assert!(lines <= 1001, "{lines} lines");
    drop(stack);
    lasting.fault(None);
    assert_eq!(start(&lasting, &clock, &file).get("0"), None);
}
