//! What a process takes that follows a database in which nothing happens. It is a child of the bench,
//! so that nothing else is counted.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::common::database::Database;
use crate::common::process;
use crate::common::race::report;
use crate::common::small;
use crate::copy::{Copy, open};

/// Names the database that a child process follows.
const CHILD: &str = "CARDEX_BENCH_SYNC";
/// One hundredth of a core, in nanoseconds of each second.
const LIMIT: f64 = 1e7;
/// The rest between two looks, unless the options say otherwise.
const REST: Duration = Duration::from_millis(10);

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Follows the database, and tells the parent what that took of a second.
pub(crate) fn child() {
    let path = std::env::var(CHILD).expect("the parent names a database");
    let database = Database {
        path: path.into(),
        files: 0,
        label: "child",
    };
    let cardex = open(&database, true);
    std::thread::sleep(Duration::from_millis(500));
    let lasts = Duration::from_secs(if small() { 1 } else { 5 });
    let following = share(|| std::thread::sleep(lasts));
    cardex.shutdown();
    let waking = share(|| {
        let begin = Instant::now();
        while begin.elapsed() < lasts {
            std::thread::sleep(REST);
        }
    });
    println!("{following} {waking}");
}

/// How long this process works in each second of `what`, in nanoseconds.
fn share(what: impl FnOnce()) -> f64 {
    let (begin, before) = (Instant::now(), worked());
    what();
    let worked = worked().saturating_sub(before).as_nanos() as f64;
    worked / begin.elapsed().as_secs_f64()
}

/// How long the threads of this process have worked.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

pub(crate) fn run(copy: &Copy) {
    let numbers = process::child(CHILD, copy.database.path.as_os_str());
    let [following, waking] = numbers[..] else {
        panic!("the child tells other numbers: {numbers:?}");
    };
    let case = "idle-cpu,a-second";
    report("sync", case, "limit", following, LIMIT, Some(1.0));
    report("sync", case, "waking-alone", following, waking, None);
}
