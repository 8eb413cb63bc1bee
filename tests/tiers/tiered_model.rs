//! Random verbs over tiers that break, come back and lose entries by themselves, held against a plain
//! map: what is found is what the last change that was acknowledged made, with its own end, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use cardex::Cache;
use cardex::ManualClock;
use cardex::tier::{
    Entry, Key, KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, Term, Tier, TieredOptions,
};
use proptest::prelude::*;

use crate::every::{key, seconds};
use crate::flaky::{Fault, FlakyTier, add};
use crate::stack::{Stack, options};

#[derive(Clone, Debug)]
enum Op {
    Get(u8),
    GetMany(Vec<u8>),
    Peek(u8),
    List,
    /// With a lifetime in seconds; without an end if `None`.
    Put(u8, Option<u64>),
    Remove(u8),
    Add(u8),
    Expire(u8, u64),
    RemoveMatching(u8),
    Clear,
    Break(usize, Fault),
    Mend(usize),
    /// One part loses a key by itself.
    Lose(usize, u8),
    Pass(u64),
    Repair,
    Bypass(bool),
    /// Another process begins with what outlives this one.
    Restart,
}

/// Keys 0 to 5; a pattern takes those that begin with `a` (the even ones) or `b`.
fn name(k: u8) -> Key {
    key(format!("{}:{k}", ["a", "b"][usize::from(k % 2)]))
}

fn op(parts: usize) -> impl Strategy<Value = Op> {
    let k = || 0..6_u8;
    let lifetime = || prop_oneof![Just(None), (1..400_u64).prop_map(Some)];
    let fault = prop::sample::select(Fault::ALL.to_vec());
    prop_oneof![
        6 => k().prop_map(Op::Get),
        1 => prop::collection::vec(k(), 0..5).prop_map(Op::GetMany),
        1 => k().prop_map(Op::Peek),
        1 => Just(Op::List),
        6 => (k(), lifetime()).prop_map(|(k, l)| Op::Put(k, l)),
        3 => k().prop_map(Op::Remove),
        3 => k().prop_map(Op::Add),
        1 => (k(), 1..400_u64).prop_map(|(k, l)| Op::Expire(k, l)),
        1 => (0..2_u8).prop_map(Op::RemoveMatching),
        1 => Just(Op::Clear),
        4 => (0..parts, fault).prop_map(|(at, fault)| Op::Break(at, fault)),
        4 => (0..parts).prop_map(Op::Mend),
        3 => (0..parts, k()).prop_map(|(at, k)| Op::Lose(at, k)),
        2 => (1..200_u64).prop_map(Op::Pass),
        2 => Just(Op::Repair),
        1 => any::<bool>().prop_map(Op::Bypass),
        1 => Just(Op::Restart),
    ]
}

/// What the last acknowledged change of a key made.
#[derive(Clone, Debug, PartialEq)]
struct Last {
    value: i64,
    /// In seconds from the beginning.
    end: Option<u64>,
    /// Whether it must be found as long as no part is broken.
    is_certain: bool,
}

struct Model {
    stack: Stack,
    /// How another process begins, where the last part outlives this one.
    options: Option<TieredOptions>,
    keys: BTreeMap<u8, Last>,
    broken: BTreeSet<usize>,
    now: u64,
    /// The number of the verb: values are told apart by it.
    step: i64,
}

impl Model {
    fn new(stack: Stack, options: Option<TieredOptions>) -> Self {
        Model {
            stack,
            options,
            keys: BTreeMap::new(),
            broken: BTreeSet::new(),
            now: 0,
            step: 0,
        }
    }

    fn is_sound(&self) -> bool {
        self.broken.is_empty() && !self.stack.tiered.is_bypassed()
    }

    fn living(&self, k: u8) -> Option<&Last> {
        let last = self.keys.get(&k)?;
        last.end.is_none_or(|end| end > self.now).then_some(last)
    }

    fn check(&self, k: u8, found: Option<Entry>, op: &Op) {
        let told = format!("verb {}, {op:?}, key {k}", self.step);
        let last = self.living(k);
        let Some(entry) = found else {
            let is_missing = last.is_some_and(|last| last.is_certain) && self.is_sound();
            assert!(!is_missing, "{told}: {last:?} is not found");
            return;
        };
        let value: i64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
        let last = last.unwrap_or_else(|| panic!("{told}: {value} is found after its end"));
        assert_eq!(value, last.value, "{told}");
        let remaining = last.end.map(|end| seconds(end - self.now));
        assert_eq!(entry.remaining, remaining, "{told}: another end");
    }

    fn remember(&mut self, k: u8, value: i64, end: Option<u64>) {
        let is_certain = self.is_sound();
        let last = Last {
            value,
            end,
            is_certain,
        };
        self.keys.insert(k, last);
    }

    fn doubt_all(&mut self) {
        self.keys
            .values_mut()
            .for_each(|last| last.is_certain = false);
    }

    fn run(&mut self, op: &Op) {
        self.step += 1;
        let tiered = Arc::clone(&self.stack.tiered);
        match op {
            Op::Get(k) => self.check(*k, tiered.get(&name(*k)).unwrap(), op),
            Op::Peek(k) => self.check(*k, tiered.peek(&name(*k)).unwrap(), op),
            Op::GetMany(many) => {
                let names: Vec<Key> = many.iter().map(|k| name(*k)).collect();
                let found = tiered.get_many(&names.iter().collect::<Vec<_>>());
                assert_eq!(found.len(), many.len());
                for (k, entry) in many.iter().zip(found) {
                    self.check(*k, entry.unwrap(), op);
                }
            }
            Op::List => self.list(),
            Op::Put(k, lifetime) => {
                let term: Term = lifetime
                    .map_or(Lifetime::Never, |time| Lifetime::For(seconds(time)))
                    .into();
                let value = self.step * 1000;
                let bytes = value.to_string().into_bytes().into();
                match tiered.put(&name(*k), bytes, 1, term) {
                    Ok(true) => self.remember(*k, value, lifetime.map(|time| self.now + time)),
                    // Nobody has it, or nobody is believed.
                    Ok(false) | Err(_) => _ = self.keys.remove(k),
                }
            }
            Op::Remove(k) => {
                let there = tiered.remove(&name(*k));
                let was = self.living(*k).cloned();
                if let Ok(there) = there {
                    assert!(!there || was.is_some(), "{op:?}: it was gone");
                    let is_certain = was.is_some_and(|last| last.is_certain);
                    assert!(there || !(is_certain && self.is_sound()), "{op:?}");
                }
                self.keys.remove(k);
            }
            Op::Add(k) => self.add(*k, op),
            Op::Expire(k, time) => {
                let lifetime = Lifetime::For(seconds(*time));
                match tiered.expire(&name(*k), lifetime.into()) {
                    Ok(true) => {
                        let last = self.living(*k).expect("it was found").value;
                        self.remember(*k, last, Some(self.now + time));
                    }
                    Ok(false) => {
                        self.check(*k, None, op);
                    }
                    Err(_) => self.doubt(*k),
                }
            }
            Op::RemoveMatching(odd) => {
                let pattern = KeyPattern::new(["a:*", "b:*"][usize::from(*odd)]).unwrap();
                let matching: Vec<u8> = (0..6).filter(|k| k % 2 == *odd).collect();
                let living = matching.iter().filter(|k| self.living(**k).is_some());
                let living = living.count();
                if let Ok(count) = tiered.remove_matching(&pattern) {
                    assert!(count <= living, "{op:?}: {count} of {living} left");
                }
                matching.iter().for_each(|k| _ = self.keys.remove(k));
            }
            Op::Clear => {
                let cleared = tiered.clear();
                assert_eq!(cleared.is_ok(), self.is_sound() || tiered.is_bypassed());
                self.keys.clear();
            }
            Op::Break(at, fault) => {
                self.stack.fault(&[*at], Some(*fault));
                self.broken.insert(*at);
                self.doubt_all();
            }
            Op::Mend(at) => {
                self.stack.fault(&[*at], None);
                self.broken.remove(at);
            }
            Op::Lose(at, k) => {
                if !self.broken.contains(at) {
                    self.stack.parts[*at].remove(&name(*k)).unwrap();
                    if let Some(last) = self.keys.get_mut(k) {
                        last.is_certain = false;
                    }
                }
            }
            Op::Pass(time) => {
                self.now += time;
                self.stack.clock.advance(seconds(*time));
            }
            Op::Repair => {
                let all = tiered.repair();
                assert!(all || !self.is_sound(), "{op:?}: what is owed is not paid");
            }
            Op::Restart => {
                drop(tiered);
                self.restart();
            }
            Op::Bypass(on) => {
                tiered.set_bypass(*on);
                self.doubt_all();
            }
        }
    }

    fn restart(&mut self) {
        let Some(options) = self.options.clone() else {
            return;
        };
        let clock = Arc::clone(&self.stack.clock);
        let first = memory("L1", 100, &clock);
        let parts = vec![first, Arc::clone(&self.stack.parts[1])];
        self.stack = Stack::over(clock, parts, options);
        self.broken.remove(&0);
        self.doubt_all();
    }

    /// A change that no tier took: what was there before is there still, or nothing is.
    fn doubt(&mut self, k: u8) {
        if let Some(last) = self.keys.get_mut(&k) {
            last.is_certain = false;
        }
    }

    fn add(&mut self, k: u8, op: &Op) {
        let tiered = Arc::clone(&self.stack.tiered);
        match add(&*tiered, &name(k), 1) {
            Ok(sum) => {
                let last = self.living(k).cloned();
                let goes_on = last.as_ref().is_some_and(|last| sum == last.value + 1);
                let must = last.as_ref().is_some_and(|last| last.is_certain) && self.is_sound();
                assert!(goes_on || sum == 1 && !must, "{op:?}: {sum} after {last:?}");
                let end = if goes_on {
                    last.and_then(|last| last.end)
                } else {
                    // A new one gets the default of the last tier.
                    Some(self.now + tiered.ttl().as_secs())
                };
                self.remember(k, sum, end);
            }
            Err(_) => self.doubt(k),
        }
    }

    fn list(&self) {
        let mut listed = BTreeSet::new();
        let scanned = self.stack.tiered.scan(&KeyPattern::all(), &mut |key| {
            assert!(listed.insert(key.as_str().to_owned()), "{key} comes twice");
            ControlFlow::Continue(())
        });
        assert!(scanned.is_ok() || !self.is_sound());
        for k in 0..6 {
            let is_listed = listed.contains(name(k).as_str());
            let last = self.living(k);
            assert!(!is_listed || last.is_some(), "{k} is listed after its end");
            let must = last.is_some_and(|last| last.is_certain) && self.is_sound();
            assert!(is_listed || !must, "{k} is not listed");
        }
    }

    /// In the end everything is mended and put right: all parts that have a key agree.
    fn end(mut self) {
        self.stack.tiered.set_bypass(false);
        self.stack.mend_all();
        self.broken.clear();
        assert!(self.stack.tiered.repair());
        for k in 0..6 {
            let found = self.stack.tiered.get(&name(k)).unwrap();
            self.check(k, found, &Op::Get(k));
            for part in &self.stack.parts {
                self.check_part(k, part.peek(&name(k)).unwrap());
            }
        }
    }

    fn check_part(&self, k: u8, found: Option<Entry>) {
        if found.is_some() {
            self.check(k, found, &Op::Get(k));
        }
    }
}

fn memory(name: &str, ttl: u64, clock: &Arc<ManualClock>) -> Arc<FlakyTier> {
    let options = MemoryTierOptions::default().ttl(seconds(ttl)).unwrap();
    FlakyTier::new(Arc::new(MemoryTier::new(name, options, clock.clone())))
}

/// Runs the verbs over these parts, of which the last outlives the process if there is a ledger.
fn run(ops: &[Op], parts: Vec<Arc<FlakyTier>>, clock: Arc<ManualClock>, ledger: Option<&Path>) {
    // Few, so that they do not suffice now and then.
    let options = options().max_owed_keys(3);
    let lasting = ledger.map(|file| options.clone().ledger(file));
    let first = lasting.clone().unwrap_or(options);
    let mut model = Model::new(Stack::over(clock, parts, first), lasting);
    ops.iter().for_each(|op| model.run(op));
    model.end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_of_two_tiers_is_older_than_the_last_change(
        ops in prop::collection::vec(op(2), 1..80),
    ) {
        let clock = Arc::new(ManualClock::new());
        let parts = vec![memory("L1", 300, &clock), memory("L2", 3600, &clock)];
        run(&ops, parts, clock, None);
    }

    #[test]
    fn no_answer_of_three_tiers_is_older_than_the_last_change(
        ops in prop::collection::vec(op(3), 1..80),
    ) {
        let clock = Arc::new(ManualClock::new());
        let parts = [("L1", 100), ("L2", 300), ("L3", 3600)];
        let parts = parts.map(|(name, ttl)| memory(name, ttl, &clock));
        run(&ops, parts.into(), clock, None);
    }
}

#[cfg(feature = "sqlite")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_of_memory_above_disk_is_older_than_the_last_change(
        ops in prop::collection::vec(op(2), 1..60),
    ) {
        let disk = crate::every::disk(1000, 64 * crate::every::MIB);
        let clock = disk.clock.clone();
        let parts = vec![memory("L1", 100, &clock), FlakyTier::new(disk.tier.clone())];
        let home = tempfile::tempdir().unwrap();
        run(&ops, parts, clock, Some(&home.path().join("tiers.owed")));
    }
}
