//! Twenty thousand random operations, each compared with what a naive map says.

use std::collections::BTreeMap;
use std::time::Duration;

use cardex::kv::{KvOptions, Ttl};
use cardex::tier::{KeyPattern, Lifetime};
use serde_json::Value;

use crate::support::{Case, case_with, seconds};

const OPERATIONS: usize = 20_000;
const DEFAULT: Duration = Duration::from_secs(3600);

/// What a cache is, in a few lines.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (Value, Option<Duration>)>,
    now: Duration,
}

impl Model {
    /// What has expired is gone.
    fn living(&mut self) -> &mut BTreeMap<String, (Value, Option<Duration>)> {
        let now = self.now;
        self.entries
            .retain(|_, (_, end)| end.is_none_or(|end| now < end));
        &mut self.entries
    }

    fn end(&self, lifetime: Lifetime) -> Option<Duration> {
        lifetime
            .resolve(DEFAULT)
            .unwrap()
            .map(|time| self.now + time)
    }

    fn ttl(&mut self, key: &str) -> Option<Ttl> {
        let now = self.now;
        let (_, end) = self.living().get(key)?;
        Some(end.map_or(Ttl::Never, |end| Ttl::For(end - now)))
    }

    fn increment(&mut self, key: &str, delta: i64) -> Option<i64> {
        let end = self.end(Lifetime::Default);
        let entries = self.living();
        let Some((value, _)) = entries.get_mut(key) else {
            entries.insert(key.to_owned(), (delta.into(), end));
            return Some(delta);
        };
        let sum = value.as_i64()?.checked_add(delta)?;
        *value = sum.into();
        Some(sum)
    }
}

struct Run {
    random: fastrand::Rng,
    cache: Case,
    model: Model,
}

impl Run {
    fn key(&mut self) -> String {
        let names = [
            "a", "a:1", "a:2", "a:b", "b:1", "b[1]", "b*", "n:1", "n:2", "ü?",
        ];
        names[self.random.usize(..names.len())].to_owned()
    }

    fn lifetime(&mut self) -> Lifetime {
        match self.random.u8(..4) {
            0 => Lifetime::Default,
            1 => Lifetime::Never,
            _ => Lifetime::For(seconds(self.random.u64(1..100))),
        }
    }

    fn value(&mut self) -> Value {
        let values = [
            "null",
            "0",
            "false",
            "\"\"",
            "[]",
            "7",
            "-3",
            "\"7\"",
            "9223372036854775807",
        ];
        serde_json::from_str(values[self.random.usize(..values.len())]).unwrap()
    }

    fn pattern(&mut self) -> KeyPattern {
        let patterns = [
            "*", "a*", "a:?", "[ab]:1", "b\\*", "b[*", "[^a]*", "n:[1-2]", "a:1", "x",
        ];
        KeyPattern::new(patterns[self.random.usize(..patterns.len())]).unwrap()
    }

    fn matching(&mut self, pattern: &KeyPattern) -> Vec<String> {
        let keys = self.model.living().keys();
        keys.filter(|key| pattern.matches(key)).cloned().collect()
    }

    fn step(&mut self) {
        let key = self.key();
        match self.random.u8(..14) {
            0 | 1 => {
                let expected = self
                    .model
                    .living()
                    .get(&key)
                    .map(|(value, _)| value.clone());
                assert_eq!(
                    self.cache.get::<Value>(&key).unwrap(),
                    expected,
                    "get {key}"
                );
            }
            2 | 3 => {
                let (value, lifetime) = (self.value(), self.lifetime());
                assert!(self.cache.set(&key, &value, lifetime).unwrap());
                let end = self.model.end(lifetime);
                self.model.entries.insert(key, (value, end));
            }
            4 => {
                let expected = self.model.living().remove(&key).is_some();
                assert_eq!(self.cache.delete(&key).unwrap(), expected, "delete {key}");
            }
            5 => {
                let expected = self.model.living().contains_key(&key);
                assert_eq!(self.cache.exists(&key).unwrap(), expected, "exists {key}");
            }
            6 => {
                let lifetime = self.lifetime();
                let end = self.model.end(lifetime);
                let entry = self.model.living().get_mut(&key);
                let expected = entry.is_some();
                entry.into_iter().for_each(|(_, old)| *old = end);
                assert_eq!(self.cache.expire(&key, lifetime).unwrap(), expected);
            }
            7 => assert_eq!(
                self.cache.ttl(&key).unwrap(),
                self.model.ttl(&key),
                "ttl {key}"
            ),
            8 | 9 => {
                let delta = self.random.i64(-5..=5);
                let sum = self.cache.increment(&key, delta).ok();
                assert_eq!(sum, self.model.increment(&key, delta), "increment {key}");
            }
            10 => {
                let pattern = self.pattern();
                let keys = self.cache.keys(&pattern).unwrap();
                let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
                assert_eq!(keys, self.matching(&pattern), "keys {pattern}");
            }
            11 => self.many(),
            12 => {
                let pattern = self.pattern();
                let expected = self.matching(&pattern);
                for key in &expected {
                    self.model.entries.remove(key);
                }
                let removed = self.cache.delete_matching(&pattern).unwrap();
                assert_eq!(removed, expected.len(), "delete {pattern}");
            }
            _ => {
                let time = seconds(self.random.u64(..30));
                self.model.now += time;
                self.cache.clock.advance(time);
            }
        }
    }

    fn many(&mut self) {
        let keys: Vec<String> = (0..4).map(|_| self.key()).collect();
        let lifetime = self.lifetime();
        if self.random.bool() {
            let entries: Vec<(String, Value)> =
                keys.iter().map(|key| (key.clone(), self.value())).collect();
            let kept = self.cache.mset(&entries, lifetime);
            assert!(kept.into_iter().all(|kept| kept.unwrap()));
            let end = self.model.end(lifetime);
            for (key, value) in entries {
                self.model.entries.insert(key, (value, end));
            }
            return;
        }
        let found = self.cache.mget::<Value>(&keys);
        let living = self.model.living();
        for (key, found) in keys.iter().zip(found) {
            let expected = living.get(key).map(|(value, _)| value.clone());
            assert_eq!(found.unwrap(), expected, "mget {key}");
        }
    }
}

fn run(grace: u64) {
    let seed = fastrand::u64(..);
    let mut run = Run {
        random: fastrand::Rng::with_seed(seed),
        cache: case_with(KvOptions::default().grace(seconds(grace))),
        model: Model::default(),
    };
    let steps = std::panic::AssertUnwindSafe(|| (0..OPERATIONS).for_each(|_| run.step()));
    if let Err(panic) = std::panic::catch_unwind(steps) {
        eprintln!("seed {seed}, grace {grace}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn random_operations_answer_as_a_naive_map_does() {
    run(0);
}

#[test]
fn a_grace_changes_no_answer() {
    run(50);
}
