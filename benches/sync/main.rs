//! What does it cost to follow a database, and how late is an answer? A look at a database that nobody
//! has changed, how long a commit of another connection takes to be in the answers, what queries
//! notice of a full synchronisation, what the triggers add to the writes of others, and what a process
//! takes that only follows. What a full load and an incremental pass cost a row is in `load`.
//!
//! `cargo bench --bench sync`; `CARDEX_BENCH_SCALE=small` for a short run. Works on copies of the
//! databases of `load`. A ratio is theirs to ours, so more is better; times that something waits for
//! are those of the clock, the others of the processor.

#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;
mod copy;
mod idle;
mod poll;
mod readers;
mod triggers;
mod visible;

use self::common::database::Database;
use self::common::small;
use self::copy::Copy;

fn main() {
    if idle::is_child() {
        return idle::child();
    }
    let (few, many) = match small() {
        true => ((5_000, "5k"), (20_000, "20k")),
        false => ((10_000, "10k"), (100_000, "100k")),
    };
    let few = Database::of_size(few.0, few.1);
    let many = Database::of_size(many.0, many.1);
    poll::run(&Copy::of(&many));
    visible::run(&Copy::of(&many));
    readers::run(&Copy::of(&many));
    triggers::run(&few);
    idle::run(&Copy::of(&few));
}
