//! What holds however threads are interleaved, one noun a file.

mod bounded;
mod index;
mod worker;

use libtest_mimic::Trial;

pub(crate) fn all() -> Vec<Trial> {
    [bounded::claims(), index::claims(), worker::claims()]
        .into_iter()
        .flatten()
        .collect()
}
