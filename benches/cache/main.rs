//! Is a body at hand at memory speed, whoever must leave? What records cost to hold; the bounded map
//! against quick_cache, moka, the `lru` crate and a plain locked map: reads that hit, many keys at
//! once, and a full cache that evicts; the public verbs against quick_cache; then whom the policies
//! keep, as a share of Belady's optimum, on made and on recorded traces; then the longest pause.
//!
//! `cargo bench --bench cache`; `CARDEX_BENCH_SCALE=small` for a short run. Every answer and every
//! victim is compared before it is timed. In `hits` cases ours, theirs and optimum are hit ratios
//! in percent, and the ratio is ours to the optimum.
//!
//! Last table (AMD EPYC, two cores shared with other work: trust the ratios, to about a tenth;
//! theirs / ours):
//!
//! ```text
//! 100,000 records          quick_cache  moka  RwLock<HashMap>  target
//! get,lru,uniform             1.11      6.12       1.99        1.0, 4.0
//! get,lfu,uniform             1.13      6.08       1.89        1.0, 4.0
//! get,s3fifo,uniform          1.18      6.15       1.79        1.0, 4.0
//! get,lru,zipf                1.10      5.95       1.57        1.0, 4.0
//! get,lfu,zipf                1.12      5.89       1.49        1.0, 4.0
//! get,s3fifo,zipf             1.24      6.12       1.64        1.0, 4.0
//! get,lru,uniform,2threads    0.97
//! get,lru,zipf,2threads       1.06
//! get_many,64,uniform         2.93 (own gets 2.34)             2.0 (1.0)
//! get_many,64,zipf            2.62 (own gets 2.04)             2.0 (1.0)
//! Cardex::get,uniform         1.07                             1.0
//! Cardex::get,zipf            1.06                             1.0
//! Cardex::get_many,uniform    2.42 (own gets 2.27)             2.0 (1.0)
//! Cardex::get_many,zipf       1.86 (own gets 1.75)             2.0: short (1.0)
//!
//! get+insert+evict, 10 %   missed, ours/theirs   quick_cache  moka  Mutex<lru>  target
//! lru,zipf                     .40 / .32             0.85     5.38     0.99     1.0: short
//! lru,uniform                  .90 / .90             0.95     7.01     0.97     1.0: short
//! lru,batch=100,zipf           .40 / .32             0.89     6.81     1.17     1.0: short
//! lru,batch=100,uniform        .90 / .90             0.97     8.37     0.98     1.0: short
//! lfu,zipf                     .35 / .32             0.81     6.52
//! lfu,uniform                  .90 / .90             0.89     7.55
//! s3fifo,zipf                  .32 / .32             0.96     7.26
//! s3fifo,uniform               .90 / .90             0.99     7.06
//!
//! hits, % of requests    lru    lfu  s3fifo  quick_cache   moka  optimum
//! zipf       1%        33.39  38.93   44.85        45.05  42.46    52.46
//!           10%        59.04  63.20   66.46        66.41  66.17    75.56
//! scan       1%        22.74  25.07   30.95        30.94  27.64    37.00
//!           10%        37.71  42.73   47.42        47.80  47.32    59.53
//! drift      1%        33.33  33.05   37.97        36.34  37.01    53.19
//!           10%        61.30  58.89   62.97        63.45  60.37    77.87
//! turnover   1%         5.27   5.25    4.91         4.73   4.77    21.12
//!           10%        21.24  20.93   17.97        17.68  17.35    53.98
//! oltp       1%        31.87  36.77   35.11        33.77  33.90    51.67
//!           10%        57.10  58.17   57.44        57.51  51.02    68.28
//! p3         1%         1.59   1.60    3.59         3.53   2.46    10.69
//!           10%        16.81  23.68   36.54        30.06  33.79    55.21
//! lfu/lru: drift 0.99, 0.96; turnover 1.00, 0.99 (target 0.95)
//!
//! memory
//! a process with 10,000 default records, with their bodies    52 MB (limit 100)
//! a resident record, what the kernel counts / 1.1 x its charge  2,836 / 2,891 B
//! a file in the index of 1m                                     397 B (limit 400)
//! open and shutdown, 1,000 times    no thread, no descriptor, 0.2 MB more
//!
//! longest insert (median), us    10,000 items    1,000,000 items
//! lru                             40 (0.08)       2,750 (0.42)
//! lfu                             15 (0.14)       6,660 (0.56)
//! s3fifo                          45 (0.11)       2,970 (0.44)
//! quick_cache                     25 (0.06)         470 (0.23)
//! ```
//!
//! Why a request that may evict is short of quick_cache: exact LRU misses a quarter more often than
//! its policy on Zipf, and each miss is counted. Where all miss alike, a miss costs up to a sixth
//! more: order and limits are those of the whole map and readers never wait for them, so an insert
//! that evicts takes the ledger's mutex and two shards' locks where quick_cache takes one shard's; a
//! batch shares them, 100 victims to at most 16 locks. And LRU drops the entry that has been out of
//! the processor's caches longest. A list under a mutex, which names the same victims, is no faster.
//! All of it is a tenth of a microsecond a miss, against microseconds for the load from the database
//! that every miss needs.
//!
//! LRU's longest insert is the one that looks through all marks for the next share of victims: once
//! for some hundred thousand evictions at a million entries.
//!
//! The short run of `oltp` at 1 % (415 entries) is short of moka: admission by a sketch of
//! frequencies serves that load better than any order among those held.

#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;

mod churn;
mod hits;
mod memory;
mod pauses;
mod reads;
mod traces;
mod verbs;

fn main() {
    if memory::is_child() {
        return;
    }
    let wanted = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let parts: [(&str, fn()); 6] = [
        ("memory", memory::run),
        ("reads", reads::run),
        ("verbs", verbs::run),
        ("churn", churn::run),
        ("hits", hits::run),
        ("pauses", pauses::run),
    ];
    for (name, run) in parts {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            run();
        }
    }
}

/// A path like those of source trees, 80 to 100 bytes.
fn path(n: u32) -> String {
    let module = n.wrapping_mul(0x9e37_79b9) >> 12;
    let body = format!(
        "services/backend-{:02}/src/main/java/com/example/platform/module_{module:07}/handlers/File",
        n % 97
    );
    format!("{body}{n:07}.java")
}

/// Limits by count alone, one victim at a time.
fn items(max_items: usize) -> cardex::Limits {
    cardex::Limits {
        max_items,
        max_bytes: u64::MAX,
        eviction_batch: 1,
    }
}
