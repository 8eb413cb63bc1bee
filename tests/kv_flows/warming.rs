//! Warming: how many at once, how fast, what stays, and what is told of each loader.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use cardex::kv::KvCache;
use cardex::kv::warming::{Warmer, WarmerOptions, Warmth};
use cardex::tier::{KeyPattern, Lifetime};
use cardex::{Error, ErrorKind};

use crate::stalls::Stalls;
use crate::{cache, system};

const LONG: Duration = Duration::from_secs(60);

/// Options that do not make a test wait.
fn fast() -> WarmerOptions {
    WarmerOptions::default().rate(1_000_000).unwrap()
}

fn warmer(cache: &KvCache, options: WarmerOptions) -> Arc<Warmer> {
    Arc::new(Warmer::new(cache.clone(), options, system()))
}

fn numbered(prefix: &'static str, count: usize) -> impl Iterator<Item = (String, usize)> {
    (0..count).map(move |n| (format!("{prefix}:{n}"), n))
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn each_loader_is_told_of_with_its_count_or_its_error_and_panics_stop_no_other() {
    let (cache, _) = cache(100);
    let warmer = warmer(&cache, fast());
    warmer.loader("one", |_| Warmth::one(&[1, 2, 3])).unwrap();
    warmer
        .loader("many", |_| Warmth::many(numbered("m", 20)))
        .unwrap();
    warmer
        .loader("none", |_| Warmth::many(numbered("n", 0)))
        .unwrap();
    warmer.loader("null", |_| Warmth::one(&())).unwrap();
    let refuse = |_: &_| Err(Error::new(ErrorKind::Database, "the source is down"));
    warmer.loader("fails", refuse).unwrap();
    warmer.loader("panics", |_| panic!("by design")).unwrap();
    warmer.loader("bad key", |_| Warmth::one(&1)).unwrap();
    warmer
        .loader("half bad", |_| Warmth::many([("good", 1), ("b a d", 2)]))
        .unwrap();
    let report = warmer.warm().unwrap();
    let told: Vec<String> = report.loaders.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "one: 1 kept",
            "many: 20 kept",
            "none: 0 kept",
            "null: 1 kept",
            "fails: 0 kept; the source is down",
            "panics: 0 kept; it panicked: by design",
            "bad key: 0 kept; the key \"bad key\" holds white space or a control character",
            "half bad: 0 kept; the key \"b a d\" holds white space or a control character",
        ]
    );
    assert_eq!((report.kept(), report.is_complete()), (22, false));
    assert_eq!(cache.get::<Vec<u8>>("one").unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(cache.get::<usize>("m:19").unwrap(), Some(19));
    assert_eq!(
        cache.get::<()>("null").unwrap(),
        Some(()),
        "null is a value"
    );
    assert!(!cache.exists("good").unwrap());
    assert_eq!(warmer.reports()[0], report);
}

#[test]
fn at_most_ten_loaders_work_at_once() {
    for workers in [1, 3, 10] {
        let (cache, _) = cache(100);
        let warmer = warmer(&cache, fast().workers(workers).unwrap());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // The first ones only go on together: so many do work at once.
        let together = Arc::new(Barrier::new(workers));
        for n in 0..30 {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let together = (n < workers).then(|| Arc::clone(&together));
            let loader = move |_: &_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if let Some(together) = &together {
                    together.wait();
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Warmth::one(&n)
            };
            warmer.loader(format!("l{n}"), loader).unwrap();
        }
        assert_eq!(warmer.warm().unwrap().kept(), 30);
        assert_eq!(most.load(Ordering::SeqCst), workers);
    }
    for refused in [
        fast().workers(0),
        fast().workers(11),
        fast().rate(0),
        fast().share(1.1),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn it_is_never_above_its_rate() {
    let (cache, clock) = cache(1000);
    let options = WarmerOptions::default().rate(10).unwrap();
    let warmer = Arc::new(Warmer::new(cache.clone(), options, clock.clone()));
    for name in ["a", "b", "c"] {
        warmer
            .loader(name, move |_| Warmth::many(numbered(name, 20)))
            .unwrap();
    }
    let all = KeyPattern::new("*").unwrap();
    let background = Arc::clone(&warmer);
    let round = std::thread::spawn(move || background.warm());
    let kept = || cache.keys(&all).unwrap().len();
    for slot in 1..=60 {
        wait_until("its slot comes", || kept() >= slot);
        assert_eq!(kept(), slot, "one to a slot of 100 ms");
        clock.advance(Duration::from_millis(99));
        assert_eq!(kept(), slot);
        clock.advance(Duration::from_millis(1));
    }
    assert_eq!(round.join().unwrap().unwrap().kept(), 60);
}

#[test]
fn what_is_hot_stays_beyond_the_share_of_warming() {
    let (cache, _) = cache(100);
    for (key, n) in numbered("hot", 90) {
        cache.set(key, &n, Lifetime::Default).unwrap();
    }
    let warmer = warmer(&cache, fast().share(0.05).unwrap());
    warmer
        .loader("cold", |_| Warmth::many(numbered("cold", 500)))
        .unwrap();
    let report = warmer.warm().unwrap();
    // Ten there was room for, and a twentieth of the hundred.
    assert_eq!(
        (report.loaders[0].kept, report.loaders[0].left_out),
        (15, 485)
    );
    let hot = cache.keys(&KeyPattern::new("hot:*").unwrap()).unwrap();
    assert_eq!(hot.len(), 85);
    // What is there is written over without taking room.
    let again = warmer.warm().unwrap();
    assert!(again.loaders[0].kept >= 15);
    assert!(
        cache
            .keys(&KeyPattern::new("hot:*").unwrap())
            .unwrap()
            .len()
            >= 80
    );
    let none = Warmer::new(cache.clone(), fast().share(0.0).unwrap(), system());
    none.loader("x", |_| Warmth::many(numbered("x", 10)))
        .unwrap();
    assert_eq!(none.warm().unwrap().kept(), 0);
}

#[test]
fn many_loaders_together_take_no_more_room_than_there_is() {
    let (cache, _) = cache(200);
    for (key, n) in numbered("hot", 150) {
        cache.set(key, &n, Lifetime::Default).unwrap();
    }
    let warmer = warmer(&cache, fast().share(0.0).unwrap());
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        warmer
            .loader(name, move |_| Warmth::many(numbered(name, 100)))
            .unwrap();
    }
    assert_eq!(warmer.warm().unwrap().kept(), 50);
    assert_eq!(
        cache
            .keys(&KeyPattern::new("hot:*").unwrap())
            .unwrap()
            .len(),
        150
    );
}

#[test]
fn what_changes_while_a_loader_works_is_not_overwritten_by_what_it_loaded() {
    type Change = fn(&KvCache) -> cardex::Result<()>;
    let changes: [(&str, Change, usize); 6] = [
        (
            "set",
            |c| c.set("k:1", &100, Lifetime::Default).map(drop),
            2,
        ),
        ("delete", |c| c.delete("k:1").map(drop), 2),
        ("expire", |c| c.expire("k:1", Lifetime::Never).map(drop), 2),
        ("clear", KvCache::clear, 0),
        (
            "pattern",
            |c| c.delete_matching(&KeyPattern::new("k:[01]")?).map(drop),
            1,
        ),
        ("increment", |c| c.increment("k:1", 7).map(drop), 2),
    ];
    for (name, change, kept) in changes {
        let (cache, _) = cache(100);
        cache.set("k:1", &50, Lifetime::Default).unwrap();
        let warmer = warmer(&cache, fast());
        let changed = cache.clone();
        let loader = move |_: &_| {
            let old = Warmth::many(numbered("k", 3));
            change(&changed)?;
            old
        };
        warmer.loader("k", loader).unwrap();
        let before = warmer.warm().unwrap();
        assert_eq!(before.loaders[0].kept, kept, "{name}");
        assert_ne!(cache.get::<usize>("k:1").unwrap(), Some(1), "{name}");
    }
}

#[test]
fn it_stops_within_a_second_whatever_a_loader_does() {
    let (cache, _) = cache(100);
    let warmer = warmer(&cache, fast());
    let (is_in, let_go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (entered, released) = (Arc::clone(&is_in), Arc::clone(&let_go));
    let stubborn = move |_: &_| {
        entered.store(true, Ordering::SeqCst);
        while !released.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Warmth::one(&1)
    };
    warmer.loader("stubborn", stubborn).unwrap();
    let background = Arc::clone(&warmer);
    let round = std::thread::spawn(move || background.warm());
    wait_until("it is called", || is_in.load(Ordering::SeqCst));
    let (stalls, start) = (Stalls::watch(), Instant::now());
    warmer.stop();
    let report = round.join().unwrap().unwrap();
    let took = stalls.since(start);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(
        report.loaders[0]
            .error
            .as_deref()
            .unwrap()
            .contains("stopped")
    );
    let_go.store(true, Ordering::SeqCst);
    // It is called anew, and what was left behind is not put beside it.
    assert_eq!(warmer.warm().unwrap().kept(), 1);
}

#[test]
fn a_loader_that_takes_too_long_is_left_behind_and_sees_its_sign() {
    let (cache, _) = cache(100);
    let warmer = warmer(&cache, fast().timeout(Duration::from_millis(30)).unwrap());
    warmer.loader("quick", |_| Warmth::one(&1)).unwrap();
    let polite = |stop: &cardex::kv::warming::StopSign| {
        while !stop.is_up() {
            std::thread::yield_now();
        }
        Err(Error::new(ErrorKind::Cancelled, "it saw the sign"))
    };
    warmer.loader("polite", polite).unwrap();
    let report = warmer.warm().unwrap();
    assert_eq!(report.loaders[0].kept, 1);
    assert_eq!(report.loaders[1].error.as_deref(), Some("it saw the sign"));
}

#[test]
fn while_it_warms_others_who_ask_get_the_same_report() {
    let (cache, _) = cache(100);
    let warmer = warmer(&cache, fast());
    let calls = Arc::new(AtomicUsize::new(0));
    let let_go = Arc::new(AtomicBool::new(false));
    let (counted, released) = (Arc::clone(&calls), Arc::clone(&let_go));
    let loader = move |_: &_| {
        counted.fetch_add(1, Ordering::SeqCst);
        while !released.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Warmth::one(&1)
    };
    warmer.loader("slow", loader).unwrap();
    let entered = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| warmer.warm().unwrap());
        wait_until("it is called", || calls.load(Ordering::SeqCst) == 1);
        let second = scope.spawn(|| {
            entered.store(true, Ordering::SeqCst);
            warmer.warm().unwrap()
        });
        wait_until("the second asks", || entered.load(Ordering::SeqCst));
        let_go.store(true, Ordering::SeqCst);
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert_eq!((first.kept(), second.kept()), (1, 1));
    });
    assert!(
        calls.load(Ordering::SeqCst) <= 2,
        "one, or another one after it"
    );
}

#[test]
fn a_name_is_given_once() {
    let (cache, _) = cache(100);
    let warmer = warmer(&cache, fast());
    warmer.loader("a", |_| Warmth::one(&1)).unwrap();
    let error = warmer.loader("a", |_| Warmth::one(&2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(warmer.reports().is_empty());
}

#[cfg(feature = "cli")]
mod schedule {
    use cardex::kv::warming::WarmingSchedule;

    use super::*;

    #[test]
    fn it_warms_when_the_expression_says_so_and_missed_moments_are_one() {
        let (cache, clock) = cache(100);
        let warmer = Arc::new(Warmer::new(cache, fast(), clock.clone()));
        warmer.loader("a", |_| Warmth::one(&1)).unwrap();
        let schedule =
            WarmingSchedule::start("0 * * * *", Arc::clone(&warmer), clock.clone()).unwrap();
        assert!(warmer.reports().is_empty());
        clock.advance(Duration::from_secs(5 * 3600));
        wait_until("the hour comes", || warmer.reports().len() == 1);
        clock.advance(Duration::from_secs(3600));
        wait_until("the next hour comes", || warmer.reports().len() == 2);
        drop(schedule);
        assert_eq!(warmer.reports().len(), 2);
    }

    #[test]
    fn it_stops_within_a_second_also_while_it_warms() {
        let (cache, clock) = cache(100);
        let warmer = Arc::new(Warmer::new(cache, fast(), clock.clone()));
        let (is_in, let_go) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (entered, released) = (Arc::clone(&is_in), Arc::clone(&let_go));
        let stubborn = move |_: &_| {
            entered.store(true, Ordering::SeqCst);
            while !released.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Warmth::one(&1)
        };
        warmer.loader("stubborn", stubborn).unwrap();
        let schedule = WarmingSchedule::start("@hourly", warmer, clock.clone()).unwrap();
        clock.advance(Duration::from_secs(3600));
        wait_until("it is called", || is_in.load(Ordering::SeqCst));
        let (stalls, start) = (Stalls::watch(), Instant::now());
        drop(schedule);
        let took = stalls.since(start);
        assert!(took < Duration::from_secs(1), "{took:?}");
        let_go.store(true, Ordering::SeqCst);
    }

    #[test]
    fn an_expression_that_is_none_is_refused() {
        let (cache, clock) = cache(100);
        let warmer = Arc::new(Warmer::new(cache, fast(), clock.clone()));
        let error = WarmingSchedule::start("at two", warmer, clock).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("`at two`"), "{error}");
    }
}

#[test]
fn a_float_that_is_no_number_is_not_warmed() {
    for odd in [f64::NAN, f64::INFINITY] {
        assert!(Warmth::one(&odd).is_err());
        assert!(Warmth::many([("k", Some(odd))]).is_err());
    }
}
