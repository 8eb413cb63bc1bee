//! Is a body at hand at memory speed, whoever must leave? The bounded map against quick_cache, moka,
//! the `lru` crate and a plain locked map: reads that hit, many keys at once, and a full cache that
//! evicts; then whom its policies keep, as a share of Belady's optimum, on made and on recorded
//! traces; then its longest pause.
//!
//! `cargo bench --bench cache`; `CARDEX_BENCH_SCALE=small` for a short run. Every answer and every
//! victim is compared before it is timed. In `hits` cases ours, theirs and optimum are hit ratios
//! in percent, and the ratio is ours to the optimum.
//!
//! Last table (AMD EPYC, two cores shared with other work: trust the ratios; theirs / ours):
//!
//! ```text
//! 100,000 records        quick_cache  moka  RwLock<HashMap>  target
//! get,lru,uniform           1.24      7.10       1.93        1.0, 4.0
//! get,lfu,uniform           1.16      7.08       1.92
//! get,s3fifo,uniform        1.16      7.39       2.09
//! get,lru,zipf              1.16      6.32       1.82
//! get,lfu,zipf              1.20      6.07       1.64
//! get,s3fifo,zipf           1.27      6.67       1.60
//! get,lru,uniform,2threads  1.21
//! get,lru,zipf,2threads     1.18
//! get_many,64,uniform       2.12 (own gets 1.76)             2.0 (1.0)
//! get_many,64,zipf          1.95 (own gets 1.51)             2.0 (1.0)
//! get+insert+evict, 10 %
//!   lru                     0.78      6.14                   1.0: short
//!   lru,batch=100           0.82      6.32                   1.0: short
//!   lfu                     0.65      4.85
//!   s3fifo                  0.85      6.03
//!
//! hits, % of requests    lru    lfu  s3fifo  quick_cache   moka  optimum
//! zipf       1%        33.39  38.93   45.06        45.05  42.49    52.46
//!           10%        59.04  63.20   66.46        66.42  66.19    75.56
//! scan       1%        22.74  25.07   31.11        31.04  27.63    37.00
//!           10%        37.71  42.73   47.42        47.80  47.36    59.53
//! drift      1%        33.33  33.05   36.71        36.37  36.98    53.19
//!           10%        61.30  58.89   62.97        63.45  60.33    77.87
//! turnover   1%         5.27   5.25    4.85         4.74   4.75    21.12
//!           10%        21.24  20.93   17.97        17.66  17.34    53.98
//! oltp       1%        31.87  36.77   34.79        33.77  33.96    51.67
//!           10%        57.10  58.17   57.44        57.54  50.88    68.28
//! p3         1%         1.59   1.60    3.59         3.51   2.25    10.69
//!           10%        16.81  23.68   36.54        30.05  33.82    55.21
//! ```
//!
//! Why a miss is short of quick_cache: order and limits are those of the whole map, and readers
//! never wait for them. So an insert that evicts takes the ledger's mutex and two shards' locks
//! where quick_cache takes one shard's, and LRU drops the entry that has been out of the
//! processor's caches longest. Together 50 to 100 ns a miss, against microseconds for the load
//! from the database that every miss needs.

#[path = "../common/race.rs"]
mod race;

mod churn;
mod hits;
mod pauses;
mod reads;
mod traces;

fn main() {
    let wanted = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let parts: [(&str, fn()); 4] = [
        ("reads", reads::run),
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

/// Whether this is a short run, for machines that only check that the benches still work.
fn small() -> bool {
    std::env::var("CARDEX_BENCH_SCALE").is_ok_and(|scale| scale == "small")
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
