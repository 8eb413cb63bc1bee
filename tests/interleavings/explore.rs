//! Runs one body under many schedules: random ones, which meet everything in the end, and ones of
//! few preemptions (PCT), which meet a bug of small depth with a known probability.

use libtest_mimic::{Failed, Trial};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, MaxSteps, Runner};

/// A thread's stack. Queries and hash tables in a debug build need more than the checker's default.
const STACK_BYTES: usize = 256 << 10;
/// More steps than any body has: a thread spins.
const MAX_STEPS: usize = 200_000;
/// Preemptions of a PCT schedule, and one.
const PCT_DEPTH: usize = 3;

/// A trial: the body holds under so many random schedules and half as many of PCT.
pub(crate) fn claim(name: &str, schedules: usize, body: fn()) -> Trial {
    Trial::test(name, move || {
        if let Ok(schedule) = std::env::var("SCHEDULE") {
            run(ReplayScheduler::new_from_encoded(&schedule), body);
            return Ok(());
        }
        let soak = match std::env::var("SOAK") {
            Ok(times) => times
                .parse()
                .map_err(|_| Failed::from("SOAK is a number"))?,
            Err(_) => 1,
        };
        run(RandomScheduler::new(schedules * soak), body);
        run(PctScheduler::new(PCT_DEPTH, schedules * soak / 2), body);
        Ok(())
    })
}

fn run(scheduler: impl Scheduler + 'static, body: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    // Orderings of atomics are not modelled: the crate's documentation of this test says so.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(body);
}

/// Waits for all of them; a failure of one is a failure of the body.
pub(crate) fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}
