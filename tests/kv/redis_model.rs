//! Twenty thousand random operations, each compared with what a real Redis server answers.
//!
//! Where a cache deviates from Redis, and how both are brought together here:
//! - a value without a lifetime lives for the cache's default one, in Redis forever: every lifetime is
//!   given, and a counter that was made is given the default one in Redis, too;
//! - `expire` takes "never", which is `PERSIST` in Redis, and refuses 0, which deletes in Redis;
//! - values are JSON: the text of a number is a number to `INCRBY` in both, and one in quotes in neither;
//! - patterns match characters, in Redis bytes: those here match the same in both;
//! - a lifetime is told exactly, in Redis in milliseconds that have passed since: they may differ by some;
//! - nothing expires while this runs: that is compared with a naive map, in `model`.

use std::sync::Arc;
use std::time::Duration;

use cardex::SystemClock;
use cardex::kv::{KvCache, KvOptions, Ttl};
use cardex::tier::{KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, Tier};
use redis::{Cmd, FromRedisValue};
use serde_json::Value;

use crate::redis_support::Server;

/// Both clocks run, and both programs wait for the machine.
const TOLERANCE: Duration = Duration::from_secs(30);
const DEFAULT: Duration = Duration::from_secs(3600);

struct Run {
    random: fastrand::Rng,
    cache: KvCache,
    model: redis::Connection,
}

impl Run {
    fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        self.try_ask(words).unwrap()
    }

    fn try_ask<T: FromRedisValue>(&mut self, words: &[&str]) -> redis::RedisResult<T> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut self.model)
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.random.usize(..from.len())].to_owned()
    }

    fn key(&mut self) -> String {
        self.pick(&[
            "a", "a:1", "a:2", "a:b", "b:1", "b[1]", "b*", "n:1", "n:2", "b^", "b]",
        ])
    }

    fn pattern(&mut self) -> String {
        let patterns = [
            "*", "a*", "a:?", "[ab]:1", "b\\*", "b[*]", "[^a]*", "n:[1-2]", "x", "b[\\]]", "b[^]*",
        ];
        self.pick(&patterns)
    }

    fn value(&mut self) -> String {
        self.pick(&[
            "null",
            "0",
            "false",
            "\"\"",
            "[]",
            "7",
            "-3",
            "\"7\"",
            "9223372036854775807",
            "1.5",
        ])
    }

    /// A lifetime far longer than this runs, and its seconds.
    fn lifetime(&mut self) -> (Lifetime, Option<u64>) {
        let seconds = self.random.u64(1000..5000);
        match self.random.u8(..3) {
            0 => (Lifetime::Never, None),
            1 => (Lifetime::Default, Some(DEFAULT.as_secs())),
            _ => (Lifetime::For(Duration::from_secs(seconds)), Some(seconds)),
        }
    }

    fn step(&mut self) {
        let key = self.key();
        match self.random.u8(..12) {
            0 | 1 => self.get(&key),
            2 | 3 => self.set(&key),
            4 => {
                let expected: bool = self.ask(&["DEL", &key]);
                assert_eq!(self.cache.delete(&key).unwrap(), expected, "delete {key}");
            }
            5 => {
                let expected: bool = self.ask(&["EXISTS", &key]);
                assert_eq!(self.cache.exists(&key).unwrap(), expected, "exists {key}");
            }
            6 => self.expire(&key),
            7 => self.ttl(&key),
            8 | 9 => self.increment(&key),
            10 => self.keys(),
            _ => self.mget(),
        }
    }

    fn get(&mut self, key: &str) {
        let expected: Option<String> = self.ask(&["GET", key]);
        let found = self.cache.get::<Value>(key).unwrap();
        assert_eq!(found.map(|value| value.to_string()), expected, "get {key}");
    }

    fn set(&mut self, key: &str) {
        let (value, (lifetime, seconds)) = (self.value(), self.lifetime());
        let parsed: Value = serde_json::from_str(&value).unwrap();
        assert!(self.cache.set(key, &parsed, lifetime).unwrap());
        match seconds {
            Some(seconds) => self.ask::<()>(&["SET", key, &value, "EX", &seconds.to_string()]),
            None => self.ask::<()>(&["SET", key, &value]),
        }
    }

    fn expire(&mut self, key: &str) {
        let (lifetime, seconds) = self.lifetime();
        let exists: bool = self.ask(&["EXISTS", key]);
        match seconds {
            Some(seconds) => self.ask::<bool>(&["EXPIRE", key, &seconds.to_string()]),
            None => self.ask::<bool>(&["PERSIST", key]),
        };
        assert_eq!(
            self.cache.expire(key, lifetime).unwrap(),
            exists,
            "expire {key}"
        );
    }

    fn ttl(&mut self, key: &str) {
        let expected: i64 = self.ask(&["PTTL", key]);
        match (self.cache.ttl(key).unwrap(), expected) {
            (None, -2) | (Some(Ttl::Never), -1) => {}
            (Some(Ttl::For(time)), ms @ 0..) => {
                let expected = Duration::from_millis(ms.unsigned_abs());
                assert!(
                    time.abs_diff(expected) < TOLERANCE,
                    "{time:?}, {expected:?}"
                );
            }
            other => panic!("ttl {key}: {other:?}"),
        }
    }

    fn increment(&mut self, key: &str) {
        let delta = self.random.i64(-5..=5);
        let is_new = !self.ask::<bool>(&["EXISTS", key]);
        let expected = self
            .try_ask::<i64>(&["INCRBY", key, &delta.to_string()])
            .ok();
        if is_new {
            self.ask::<bool>(&["EXPIRE", key, &DEFAULT.as_secs().to_string()]);
        }
        assert_eq!(
            self.cache.increment(key, delta).ok(),
            expected,
            "increment {key}"
        );
    }

    fn keys(&mut self) {
        let pattern = self.pattern();
        let mut expected: Vec<String> = self.ask(&["KEYS", &pattern]);
        expected.sort_unstable();
        let found = self
            .cache
            .keys(&KeyPattern::new(&pattern).unwrap())
            .unwrap();
        let found: Vec<&str> = found.iter().map(|key| key.as_str()).collect();
        assert_eq!(found, expected, "keys {pattern}");
    }

    fn mget(&mut self) {
        let keys: Vec<String> = (0..4).map(|_| self.key()).collect();
        let mut words = vec!["MGET"];
        words.extend(keys.iter().map(String::as_str));
        let expected: Vec<Option<String>> = self.ask(&words);
        let found = self.cache.mget::<Value>(&keys).into_iter();
        let found: Vec<Option<String>> = found
            .map(|one| one.unwrap().map(|value| value.to_string()))
            .collect();
        assert_eq!(found, expected, "mget {keys:?}");
    }
}

fn run(operations: usize, server: &Server, tier: Arc<dyn Tier>) {
    let seed = fastrand::u64(..);
    let mut run = Run {
        random: fastrand::Rng::with_seed(seed),
        cache: KvCache::new("cache", KvOptions::default(), tier, Arc::new(SystemClock)),
        model: server.connection(),
    };
    // The model has a database of its own.
    run.ask::<()>(&["SELECT", "1"]);
    let steps = std::panic::AssertUnwindSafe(|| (0..operations).for_each(|_| run.step()));
    if let Err(panic) = std::panic::catch_unwind(steps) {
        eprintln!("seed {seed}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn random_operations_in_memory_answer_as_redis_does() {
    let memory = MemoryTier::new("tier", MemoryTierOptions::default(), Arc::new(SystemClock));
    run(20_000, &Server::start(), Arc::new(memory));
}

#[test]
fn random_operations_on_redis_answer_as_redis_does() {
    let server = Server::start();
    run(20_000, &server, Arc::new(server.tier()));
}

/// Two caches over two clients, as two processes have them.
#[test]
fn processes_make_one_load_and_see_each_others_changes() {
    let server = Server::start();
    let process = || {
        let (options, tier) = (KvOptions::default(), Arc::new(server.tier()));
        KvCache::new("cache", options, tier, Arc::new(SystemClock))
    };
    let processes = [process(), process(), process()];
    let loads = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for process in &processes {
            for _ in 0..4 {
                scope.spawn(|| {
                    let made = process.get_or_load("k", Lifetime::Default, || {
                        loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        crate::support::until("all ask", || {
                            processes.iter().all(|one| one.stats().unwrap().misses == 4)
                        });
                        Ok(5)
                    });
                    assert_eq!(made.unwrap(), 5);
                });
            }
        }
    });
    assert_eq!(loads.into_inner(), 1);
    let [one, other, _] = &processes;
    let made = one.get_or_load("l", Lifetime::Default, || {
        other.delete("l").unwrap();
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(
        one.get::<u32>("l").unwrap(),
        None,
        "another process deleted it meanwhile"
    );
    other.set("k", &6, Lifetime::Default).unwrap();
    assert_eq!(one.get::<u32>("k").unwrap(), Some(6));
}

#[test]
fn a_count_of_several_processes_is_exact_and_ends_when_it_was_said_once() {
    let server = Server::start();
    let process = || {
        let (options, tier) = (KvOptions::default(), Arc::new(server.tier()));
        KvCache::new("cache", options, tier, Arc::new(SystemClock))
    };
    let processes = [process(), process(), process()];
    let left = || -> i64 { server.ask(&["PTTL", &server.name("cardex:{test}:v:")]) };
    assert_eq!(processes[0].increment("hits", 1).unwrap(), 1);
    let first = left();
    let default = i64::try_from(DEFAULT.as_millis()).unwrap();
    assert!(first > 60_000 && first <= default, "{first}");
    let minute = Lifetime::For(Duration::from_secs(60));
    assert!(processes[1].expire("hits", minute).unwrap());
    std::thread::scope(|scope| {
        for process in &processes {
            scope.spawn(|| (0..50).for_each(|_| assert!(process.increment("hits", 2).is_ok())));
        }
    });
    assert_eq!(processes[2].get::<i64>("hits").unwrap(), Some(301));
    assert!((1..=60_000).contains(&left()), "the first one's end");
}

#[test]
fn a_server_that_is_away_is_a_miss_and_comes_back_by_itself() {
    let mut server = Server::start();
    let tier = crate::redis_support::tier(crate::redis_support::hasty_client(&server.url()));
    let clock = Arc::new(SystemClock);
    let cache = KvCache::new("cache", KvOptions::default(), Arc::new(tier), clock);
    assert!(cache.set("k", &1, Lifetime::Default).unwrap());
    server.kill();
    assert_eq!(cache.get::<u32>("k").unwrap(), None);
    assert_eq!(
        cache.get_or_load("k", Lifetime::Default, || Ok(2)).unwrap(),
        2
    );
    assert!(cache.set("k", &3, Lifetime::Default).is_err());
    server.restart();
    crate::redis_support::soon("it is back", || {
        cache.set("k", &4, Lifetime::Default).is_ok()
    });
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(4));
}
