//! What holds however threads are interleaved, one noun a file.

mod bounded;
mod cache;
mod coordinator;
mod flights;
mod history;
mod index;
mod kv;
mod tiers;
mod trouble;
mod worker;
mod world;

use libtest_mimic::Trial;

pub(crate) fn all() -> Vec<Trial> {
    let claims = [
        bounded::claims(),
        cache::claims(),
        coordinator::claims(),
        flights::claims(),
        index::claims(),
        kv::claims(),
        tiers::claims(),
        trouble::claims(),
        worker::claims(),
    ];
    claims.into_iter().flatten().collect()
}
