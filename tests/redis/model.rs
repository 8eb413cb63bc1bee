//! Random verbs over a way that turns bad and good again, held against what the key may hold: after a
//! verb that succeeded, one value; after one that failed, that or what was there before, until somebody
//! looks. From then on it is what was seen.

use std::collections::BTreeSet;

use cardex::ErrorKind;
use cardex::tier::{Lifetime, RedisTier, Tier, Update};

use crate::redis_support::proxy::{Proxy, Way};
use crate::redis_support::{Server, options, soon, tier};
use crate::verbs::{key, ms};

type Value = Option<u64>;

struct Model {
    tier: RedisTier,
    proxy: Proxy,
    /// What each key may hold.
    may: Vec<BTreeSet<Value>>,
    failed: usize,
    seen: usize,
}

impl Model {
    fn new(server: &Server) -> Self {
        let proxy = Proxy::to(&server.socket());
        let options = options(&proxy.url()).timeout(ms(40)).unwrap();
        let options = options.breaker_cooldown(ms(1)).unwrap();
        let options = options.max_connections(3).unwrap();
        let clock = std::sync::Arc::new(cardex::SystemClock);
        Model {
            tier: tier(cardex::RedisClient::new(options, clock)),
            proxy,
            may: vec![BTreeSet::from([None]); 6],
            failed: 0,
            seen: 0,
        }
    }

    /// A write of a key, and what that holds afterwards if it was done.
    fn wrote(&mut self, k: usize, outcome: cardex::Result<Value>, wanted: Value) {
        match outcome {
            Ok(now) => self.may[k] = BTreeSet::from([now]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                self.may[k].insert(wanted);
                self.failed += 1;
            }
        }
    }

    fn step(&mut self, random: &mut fastrand::Rng, version: u64) {
        let k = random.usize(..self.may.len());
        let name = key(k);
        let value = || version.to_string().into_bytes().into();
        match random.u8(..10) {
            0..3 => {
                let term = Lifetime::Never.into();
                let put = self.tier.put(&name, value(), version, term);
                self.wrote(k, put.map(|_| Some(version)), Some(version));
            }
            3 => {
                let removed = self.tier.remove(&name);
                self.wrote(k, removed.map(|_| None), None);
            }
            4..6 => {
                let may = &self.may[k];
                let updated = self.tier.update(&name, &mut |entry| {
                    let seen = entry.map(|entry| entry.version);
                    assert!(may.contains(&seen), "key {k}: {seen:?}, not {may:?}");
                    Ok(Update::Put {
                        value: value(),
                        version,
                        term: None,
                    })
                });
                self.wrote(k, updated.map(|_| Some(version)), Some(version));
            }
            _ => {
                let Ok(entry) = self.tier.get(&name) else {
                    self.failed += 1;
                    return;
                };
                let seen = entry.map(|entry| {
                    assert_eq!(&*entry.value, entry.version.to_string().as_bytes());
                    entry.version
                });
                let may = &mut self.may[k];
                assert!(may.contains(&seen), "key {k}: {seen:?}, not {may:?}");
                *may = BTreeSet::from([seen]);
                self.seen += 1;
            }
        }
    }
}

/// `CARDEX_TEST_REDIS_ROUNDS` has it last longer.
#[test]
fn no_write_is_lost_or_done_later_whatever_the_way_does() {
    let rounds = std::env::var("CARDEX_TEST_REDIS_ROUNDS");
    let rounds: u64 = rounds.map_or(60, |rounds| rounds.parse().unwrap());
    let server = Server::start();
    let mut model = Model::new(&server);
    let mut random = fastrand::Rng::with_seed(5);
    let mut version = 0;
    for _ in 0..rounds {
        let way = match random.u8(..6) {
            0 => Way::Slow(ms(random.u64(..60))),
            1 => Way::CutReply(random.usize(..120)),
            2 => Way::LosesReplies,
            3 => Way::Hole,
            4 => Way::Closed,
            _ => Way::HoldsRequests,
        };
        for (way, steps) in [(Way::Clear, 30), (way, random.u64(1..5))] {
            model.proxy.make(way);
            if matches!(way, Way::Clear) {
                soon("the server is asked again", || {
                    model.tier.peek(&key(0)).is_ok()
                });
                // What was held arrives among what is asked next.
                model.proxy.let_go(0);
            } else {
                model.proxy.hold();
            }
            for _ in 0..steps {
                version += 1;
                model.step(&mut random, version);
            }
        }
    }
    assert!(
        model.failed > rounds as usize / 4,
        "{} failed",
        model.failed
    );
    assert!(model.seen > rounds as usize, "{} seen", model.seen);
}
