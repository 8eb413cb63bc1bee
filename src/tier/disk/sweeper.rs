//! The thread that takes out what has expired in any space, also in those that no tier is over.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::doom::Touched;
use super::file::DiskFile;
use super::rows;
use crate::error::Result;
use crate::worker::Worker;

/// The most rows that one transaction takes out: others wait meanwhile.
const TOGETHER: usize = 1024;
/// The most transactions of a round; if there is more to do, the next one comes soon.
const BATCHES: usize = 64;
/// How soon.
const SOON: Duration = Duration::from_secs(1);

/// Starts the thread: its first round comes after an interval, or when it is rung for.
pub(super) fn start(file: &Arc<DiskFile>, interval: Duration) -> Result<Worker> {
    let file: Weak<DiskFile> = Arc::downgrade(file);
    let mut is_started = false;
    let worker = Worker::spawn("cardex-disk-sweep", move |_| {
        // The first call holds nothing: whoever drops the file before a round closes it.
        if !std::mem::replace(&mut is_started, true) {
            return Some(interval);
        }
        let file = file.upgrade()?;
        match sweep(&file) {
            Ok(true) => Some(interval),
            Ok(false) => Some(SOON.min(interval)),
            Err(error) => {
                tracing::warn!(file = %file.path().display(), error = format!("{error:#}"),
                    "what has expired could not be taken out");
                Some(interval)
            }
        }
    })?;
    worker.ring();
    Ok(worker)
}

/// Takes out what has expired; whether that was all. Ends after the transaction under way when nobody else
/// has the file any more: it is closed then, by this thread. Until then its lock is held; who opens the file
/// meanwhile waits for it as `own` says, half a second at most, and is told after that that it is in use.
fn sweep(file: &Arc<DiskFile>) -> Result<bool> {
    let now = file.now();
    for _ in 0..BATCHES {
        if Arc::strong_count(file) == 1 {
            break;
        }
        let operation = "take out what has expired";
        let taken = file.change(operation, Touched::Nothing, |database, tally| {
            let mut taken = 0;
            for space in rows::spaces(&database.conn)? {
                let most = TOGETHER - taken;
                taken += rows::take_expired(&database.conn, &space, now, most, tally)?;
            }
            Ok(taken)
        })?;
        if taken < TOGETHER {
            return Ok(true);
        }
    }
    Ok(false)
}
