//! What does a tier cost beside what it is made of? A hit, a miss and a write of the tier on disk against
//! a statement of SQLite that is held, and hits beside a thread that writes.
//!
//! `cargo bench --bench tiers`; `CARDEX_BENCH_SCALE=small` for a short run. Every value is compared
//! before it is timed.

#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;

mod disk;

fn main() {
    let wanted = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let parts: [(&str, fn()); 1] = [("disk", disk::run)];
    for (name, run) in parts {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            run();
        }
    }
}
