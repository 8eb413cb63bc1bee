//! What does it cost to follow a database, and how late is an answer? A look at a database that nobody
//! has changed, how long a commit of another process takes to be in the answers, what queries
//! notice of a full synchronisation, what the triggers add to the writes of others, and what a process
//! takes that only follows. What a full load and an incremental pass cost a row is in `load`.
//!
//! `cargo bench --bench sync`; `CARDEX_BENCH_SCALE=small` for a short run. Works on copies of the
//! databases of `load`. A ratio is theirs to ours, so more is better; times that something waits for
//! are those of the clock, the others of the processor.
//!
//! Last table (AMD EPYC, two cores shared with other work; commits of another process):
//!
//! ```text
//! case                                    peer                ours     theirs   ratio  target
//! look, nothing changed, 100k             limit               4.54us   2.00us   0.44   1    short
//!   the question to SQLite alone          PRAGMA data_version          2.36us   0.52
//!   whether it is the same file           stat                         1.22us   0.27
//! commit until visible, idle, p50                             6.75ms
//!   p99                                   limit               10.8ms   50ms     4.65   1    ok
//! commit until visible, 2,000/s, p50                          7.79ms
//!   p99                                   limit               22.9ms   250ms    10.9   1    ok
//! query during a full pass, 100k, p50     idle                6.73us   6.72us   1.00
//!   p99                                   idle                13.9us   13.1us   0.94   0.67 ok
//! foreign update, a file, 1 a commit      without triggers    58.1us   17.7us   0.30
//!   100 a commit                          without triggers    39.6us   10.2us   0.26
//! a second of following an idle database  limit               11.4ms   10ms     0.88   1    short
//!   a thread that only wakes as often     waking alone                 3.95ms   0.35
//! ```
//!
//! Readers and the idle process move with what else runs: in three runs before, a query's p99
//! had ratios of 0.29, 0.83 and 0.51, and a second of following took 6.39ms, 7.35ms and 10.9ms.

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
    if visible::is_child() {
        return visible::child();
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
