//! `CacheCoordinator`: rounds come one at a time, a name is enrolled once, and nobody waits for a cache
//! that asks back.

use std::sync::Arc;

use libtest_mimic::Trial;
use shuttle::thread;

use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::clock::ManualClock;
use crate::coordinator::{CacheCoordinator, CoordinatorOptions, PressureGauge};
use crate::error::{ErrorKind, Result};
use crate::explore::{claim, join};
use crate::machine::MemoryLimit;
use crate::primitives::Mutex;

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim("coordinator: rounds do not overlap", 3000, no_overlap),
        claim("coordinator: a name is enrolled once", 3000, one_name),
        claim(
            "coordinator: the registry changes during rounds",
            3000,
            changing,
        ),
    ]
}

/// Memory is always tight.
struct Tight;

impl PressureGauge for Tight {
    fn limits(&self) -> Vec<MemoryLimit> {
        vec![MemoryLimit::new("machine", 9, 10)]
    }
}

/// A cache that never runs out, and tells what happened to it.
struct Endless {
    name: &'static str,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    inside: u32,
    most_inside: u32,
    asked: u32,
}

impl Cache for Endless {
    fn name(&self) -> &str {
        self.name
    }

    fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: 100,
            ..CacheUsage::default()
        }
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        {
            let mut seen = self.seen.lock();
            seen.asked += 1;
            seen.inside += 1;
            seen.most_inside = seen.most_inside.max(seen.inside);
        }
        thread::yield_now();
        self.seen.lock().inside -= 1;
        Ok(entries)
    }

    fn invalidate(&self, _: &Scope) -> Result<usize> {
        Ok(0)
    }

    fn clear(&self) -> Result<()> {
        Ok(())
    }

    fn stats(&self) -> Result<CacheReport> {
        Ok(CacheReport::new(self.usage()))
    }
}

fn coordinator() -> Arc<CacheCoordinator> {
    let (gauge, clock) = (Arc::new(Tight), Arc::new(ManualClock::new()));
    let options = CoordinatorOptions::default();
    Arc::new(CacheCoordinator::with_gauge(options, gauge, clock))
}

fn endless(name: &'static str, seen: &Arc<Mutex<Seen>>) -> Arc<Endless> {
    let seen = Arc::clone(seen);
    Arc::new(Endless { name, seen })
}

/// A manual round may not wait for another one for ever: here its time may be over at once.
fn is_late(coordinator: &CacheCoordinator) -> bool {
    match coordinator.evict() {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Coordinator);
            true
        }
    }
}

fn no_overlap() {
    let (coordinator, seen) = (coordinator(), Arc::new(Mutex::default()));
    coordinator.register(endless("a", &seen)).unwrap();
    let threads = [false, true, true].map(|is_manual| {
        let coordinator = Arc::clone(&coordinator);
        thread::spawn(move || match is_manual {
            true => drop(is_late(&coordinator)),
            false => drop(coordinator.check_pressure()),
        })
    });
    join(threads);
    let seen = seen.lock();
    assert_eq!((seen.inside, seen.most_inside), (0, 1));
    let stats = coordinator.stats();
    let rounds = stats.triggers + stats.manual_evictions;
    assert_eq!(u64::from(seen.asked), rounds, "each round asked it once");
}

fn one_name() {
    let (coordinator, enrolled) = (coordinator(), Arc::new(Mutex::new(0)));
    let threads = [(); 3].map(|()| {
        let (coordinator, enrolled) = (Arc::clone(&coordinator), Arc::clone(&enrolled));
        thread::spawn(move || {
            let cache = endless("a", &Arc::default());
            if coordinator.register(cache).is_ok() {
                *enrolled.lock() += 1;
            }
        })
    });
    join(threads);
    assert_eq!(*enrolled.lock(), 1);
    assert_eq!(coordinator.list(), ["a"]);
}

/// A cache that was unregistered before a round began is not asked in it; one that stays is, once a
/// round.
fn changing() {
    let (stays, goes) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
    let coordinator = coordinator();
    coordinator.register(endless("goes", &goes)).unwrap();
    coordinator.register(endless("stays", &stays)).unwrap();
    join([
        thread::spawn({
            let coordinator = Arc::clone(&coordinator);
            move || {
                is_late(&coordinator);
            }
        }),
        thread::spawn({
            let (coordinator, goes) = (Arc::clone(&coordinator), Arc::clone(&goes));
            move || {
                assert!(coordinator.unregister("goes"));
                assert!(!coordinator.unregister("goes"));
                // After the round that may have begun to ask it.
                while is_late(&coordinator) {
                    thread::yield_now();
                }
                let asked = goes.lock().asked;
                is_late(&coordinator);
                assert_eq!(goes.lock().asked, asked, "it is gone");
            }
        }),
        thread::spawn({
            let coordinator = Arc::clone(&coordinator);
            move || {
                coordinator
                    .register(endless("comes", &Arc::default()))
                    .unwrap();
                coordinator
                    .replace(endless("comes", &Arc::default()))
                    .unwrap();
                assert!(coordinator.unregister("comes"));
            }
        }),
    ]);
    let rounds = coordinator.stats().manual_evictions;
    assert_eq!(u64::from(stays.lock().asked), rounds);
    assert_eq!(coordinator.list(), ["stays"]);
}
