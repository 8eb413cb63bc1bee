//! The sequences of keys that the caches are asked for, made and recorded, and the optimum on them.

use std::collections::{BinaryHeap, HashMap};

use crate::common::small;

/// The skew of the made traces.
const SKEW: f64 = 0.9;
const OLTP: &[u8] = include_bytes!("../data/traces/oltp.bin.zst");
const P3: &[u8] = include_bytes!("../data/traces/p3.bin.zst");

/// Keys are numbered from 0.
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    pub(crate) keys: Vec<u32>,
}

/// Ranks drawn with probability 1 / rank^SKEW.
pub(crate) struct Zipf {
    cumulated: Vec<f64>,
    random: fastrand::Rng,
}

impl Zipf {
    pub(crate) fn new(ranks: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=ranks).map(|rank| (rank as f64).powf(-SKEW));
        let mut cumulated: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|share| *share /= sum);
        let random = fastrand::Rng::with_seed(seed);
        Zipf { cumulated, random }
    }

    pub(crate) fn draw(&mut self) -> u32 {
        let at = self.random.f64();
        let rank = self.cumulated.partition_point(|share| *share < at);
        rank.min(self.cumulated.len() - 1) as u32
    }
}

impl Trace {
    /// Every trace of the comparison.
    pub(crate) fn all() -> Vec<Trace> {
        let (keys, length) = if small() {
            (10_000, 100_000)
        } else {
            (100_000, 1_000_000)
        };
        let mut all = vec![
            Trace::zipf(keys, length),
            Trace::scans(keys, length),
            Trace::drift(keys, length),
            Trace::turnover(keys, length),
            Trace::recorded("oltp", OLTP),
            Trace::recorded("p3", P3),
        ];
        if small() {
            all.iter_mut()
                .for_each(|trace| trace.keys.truncate(100_000));
        }
        all
    }

    /// The same popularity for ever.
    fn zipf(keys: usize, length: usize) -> Trace {
        let mut zipf = Zipf::new(keys, 1);
        let keys = (0..length).map(|_| zipf.draw()).collect();
        Trace { name: "zipf", keys }
    }

    /// Every 20,000 requests somebody reads 10,000 keys once.
    fn scans(keys: usize, length: usize) -> Trace {
        let mut zipf = Zipf::new(keys, 2);
        let mut scanned = (0..keys as u32).cycle();
        let keys = (0..length).map(|at| match at % 30_000 {
            ..20_000 => zipf.draw(),
            _ => scanned.next().unwrap_or(0),
        });
        let keys = keys.collect();
        Trace { name: "scan", keys }
    }

    /// Popularity moves on slowly: each key becomes more popular until it is the most popular one,
    /// and then is gone. A fifth of the keys go so.
    fn drift(keys: usize, length: usize) -> Trace {
        let mut zipf = Zipf::new(keys / 2, 3);
        let keys = (0..length).map(|at| {
            let gone = at as f64 / length as f64 * keys as f64 / 5.0;
            (zipf.draw() as usize + gone as usize) as u32
        });
        let keys = keys.collect();
        Trace {
            name: "drift",
            keys,
        }
    }

    /// Popularity is dealt anew all the time: every key is popular for a moment, four times.
    fn turnover(keys: usize, length: usize) -> Trace {
        let half = keys / 2;
        let mut zipf = Zipf::new(half, 4);
        let keys = (0..length).map(|at| {
            let shift = at * half / length * 4;
            ((zipf.draw() as usize * 7919 % half + shift) % keys) as u32
        });
        let keys = keys.collect();
        let name = "turnover";
        Trace { name, keys }
    }

    fn recorded(name: &'static str, compressed: &[u8]) -> Trace {
        let bytes = zstd::decode_all(compressed).expect("a trace of this repository");
        let mut numbers = Leb(&bytes);
        let mut ids: HashMap<i64, u32> = HashMap::new();
        let mut keys = Vec::new();
        let mut end = 0;
        while let (Some(distance), Some(blocks)) = (numbers.next(), numbers.next()) {
            let first = end + ((distance >> 1) as i64 ^ -((distance & 1) as i64));
            end = first + blocks as i64;
            for block in first..end {
                let next = ids.len() as u32;
                keys.push(*ids.entry(block).or_insert(next));
            }
        }
        Trace { name, keys }
    }

    /// How many keys there are.
    pub(crate) fn distinct(&self) -> usize {
        let mut seen = vec![false; self.ids()];
        self.keys.iter().for_each(|key| seen[*key as usize] = true);
        seen.into_iter().filter(|seen| *seen).count()
    }

    fn ids(&self) -> usize {
        self.keys.iter().max().map_or(0, |key| *key as usize + 1)
    }

    /// The hits of a cache that knows the future: it evicts what is wanted last (Belady, 1966).
    pub(crate) fn optimum(&self, capacity: usize) -> f64 {
        const NEVER: usize = usize::MAX;
        let mut next_use = vec![NEVER; self.keys.len()];
        let mut last = vec![NEVER; self.ids()];
        for (at, key) in self.keys.iter().enumerate().rev() {
            next_use[at] = std::mem::replace(&mut last[*key as usize], at);
        }
        let mut held = vec![None; self.ids()];
        let mut latest = BinaryHeap::new();
        let (mut hits, mut size) = (0, 0);
        for (at, key) in self.keys.iter().enumerate() {
            match held[*key as usize] {
                Some(_) => hits += 1,
                None if size < capacity => size += 1,
                None => {
                    while let Some((when, victim)) = latest.pop() {
                        let victim: u32 = victim;
                        if held[victim as usize] == Some(when) {
                            held[victim as usize] = None;
                            break;
                        }
                    }
                }
            }
            held[*key as usize] = Some(next_use[at]);
            latest.push((next_use[at], *key));
        }
        hits as f64 / self.keys.len() as f64
    }
}

/// LEB128 numbers.
struct Leb<'b>(&'b [u8]);

impl Iterator for Leb<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                break;
            }
        }
        Some(number)
    }
}
