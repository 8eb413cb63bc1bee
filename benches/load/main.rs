//! What does it cost to load the index from its database, to keep it up to date, and to hold it? Loading
//! is raced against stepping through the same columns of the same file and doing nothing with them;
//! following changes is held against a limit, and against itself on smaller trees; memory is what
//! the index counts, and what the process takes.
//!
//! `cargo bench --bench load`; `CARDEX_BENCH_SCALE=small` for a short run. Databases are made once and
//! kept under `target/tmp`.
//!
//! On 2 busy cores (AMD EPYC); a ratio is theirs to ours, so more is better:
//!
//! ```text
//! case                                     peer       ours      theirs    ratio  target
//! full load, a record, 100k                raw scan   4.73us    1.76us    0.37   0.25 ok
//!   of it reading the store alone                     2.58us
//! full load, a record, 1m                  raw scan   5.52us    1.76us    0.32   0.25 ok
//!   of it reading the store alone                     2.61us
//! 100 changed files of 1m                  limit      3.28ms    1.00ms    0.30   1    short
//!   the same rows without an index         raw rows   3.28ms    4.60ms    1.40
//! a changed file of 1m                     10k        32.8us    14.1us    0.43   0.77 short
//! publish, 4,096 outstanding in 6 tiers               16.5us, mean 33us, p99 0.24ms
//! index, bytes a record, 1m                limit      397       400              ok
//!   what the kernel counts                            463, 590 at most
//! a process with 10,000 default records    limit      20MB      100MB            ok
//! ```

#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;
mod full;
mod incremental;
mod memory;
mod publish;
mod raw;

use self::common::database::Database;
use self::common::small;

/// The sizes of the trees, from small to large.
const SIZES: [(usize, &str); 3] = [(10_000, "10k"), (100_000, "100k"), (1_000_000, "1m")];
const SMALL_SIZES: [(usize, &str); 2] = [(5_000, "5k"), (20_000, "20k")];

fn main() {
    if memory::is_child() {
        return memory::child();
    }
    let sizes: &[(usize, &str)] = if small() { &SMALL_SIZES } else { &SIZES };
    memory::two_repositories();
    let databases: Vec<Database> = sizes
        .iter()
        .map(|&(files, label)| Database::of_size(files, label))
        .collect();
    for database in &databases[1..] {
        full::run(database);
    }
    let (_, largest) = sizes[sizes.len() - 1];
    memory::large(&databases[databases.len() - 1], largest);
    incremental::run(&databases);
    publish::run(sizes[sizes.len() - 1]);
}
