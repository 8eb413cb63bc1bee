//! What does a tier cost beside what it is made of? Hits in memory against moka and quick_cache; a hit, a
//! miss and a write of the tier on disk against a statement of SQLite that is held, and hits beside a
//! thread that writes; hits on a Redis server against the bare client. Then what is built on tiers: values
//! with types, loads that are shared, values that are brought up, dependants that are found.
//!
//! `cargo bench --bench tiers`; `CARDEX_BENCH_SCALE=small` for a short run. Every value is compared
//! before it is timed.

#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;

mod disk;
mod flights;
mod memory;
#[cfg(feature = "redis")]
mod redis;

fn main() {
    let wanted = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let parts: &[(&str, fn())] = &[
        ("memory", memory::run),
        ("disk", disk::run),
        #[cfg(feature = "redis")]
        ("redis", redis::run),
        ("flights", flights::run),
    ];
    for (name, run) in parts {
        if wanted.as_deref().is_none_or(|wanted| wanted == *name) {
            run();
        }
    }
}
