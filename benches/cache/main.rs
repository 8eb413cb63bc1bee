//! Is a body at hand at memory speed, whoever must leave? The bounded map against quick_cache, moka,
//! the `lru` crate and a plain locked map: reads that hit, many keys at once, and a full cache that
//! evicts; then whom its policies keep, as a share of Belady's optimum, on made and on recorded
//! traces; then its longest pause.
//!
//! `cargo bench --bench cache`; `CARDEX_BENCH_SCALE=small` for a short run. Every answer and every
//! victim is compared before it is timed. In `hits` cases ours, theirs and optimum are hit ratios
//! in percent, and the ratio is ours to the optimum.

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
