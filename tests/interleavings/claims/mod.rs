//! What holds however threads are interleaved, one noun a file.

mod bounded;
mod cache;
mod flights;
mod history;
mod index;
mod worker;

use libtest_mimic::Trial;

pub(crate) fn all() -> Vec<Trial> {
    let claims = [
        bounded::claims(),
        cache::claims(),
        flights::claims(),
        index::claims(),
        worker::claims(),
    ];
    claims.into_iter().flatten().collect()
}
