//! What does it cost to follow a database, and how late is an answer? A look at a database that nobody
//! has changed, how long a commit of another process takes to be in the answers, what queries
//! notice of a full synchronisation, what the triggers add to the writes of others, and what a process
//! takes that only follows. What a full load and an incremental pass cost a row is in `load`.
//!
//! `cargo bench --bench sync`; `CARDEX_BENCH_SCALE=small` for a short run. Works on copies of the
//! databases of `load`. A ratio is theirs to ours, so more is better; times that something waits for
//! are those of the clock, the others of the processor.
//!
//! Last table (AMD EPYC, two cores shared with other work, a load of six to eleven):
//!
//! ```text
//! case                                    peer                ours     theirs   ratio  target
//! look, nothing changed, 100k             limit               4.31us   2.00us   0.46   1    short
//!   the question to SQLite alone          PRAGMA data_version          2.25us   0.52
//!   whether it is the same file           stat                         1.19us   0.27
//! commit until visible, idle, p50                             6.65ms
//!   p99                                   limit               10.6ms   50ms     4.73   1    ok
//! commit until visible, 2,000/s, p50                          7.89ms
//!   p99                                   limit               20.6ms   250ms    12.1   1    ok
//! query during a full pass, 100k, p50     idle                6.68us   6.68us   1.00
//!   p99                                   idle                12.6us   13.4us   1.07   0.67 ok
//! foreign update, a file, 1 a commit      without triggers    54.5us   18.1us   0.33
//!   100 a commit                          without triggers    36.9us   12.9us   0.35
//! a second of following an idle database  limit               7.35ms   10ms     1.36   1    ok
//!   a thread that only wakes as often     waking alone                 4.53ms   0.62
//! ```
//!
//! There the commits were still those of another connection in the same process. Of another process,
//! in an unoptimised build on a machine under a load of twelve: idle, p50 7.53ms and p99 17.2ms; at
//! 1,963/s, p50 0.10s and p99 0.60s, which is short of its limit.
//!
//! Readers and the idle process move with what else runs: in two runs before, a query's p99
//! had ratios of 0.83 and 0.51, and a second of following took 6.39ms and 10.9ms.

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
