//! `cardex watch`: the database follows the tree, until somebody stops it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use cardex::FileChange;
use cardex::store::SqliteStore;
use cardex::watch::{WatchBatch, WatchCause, Watcher};
use rustix::event::Timespec;
use serde::Serialize;

use super::args::Format;
use super::context::Context;
use super::failure::Failure;
use super::output::Out;
use super::{Outcome, format, index, interrupt};

/// Batches that wait to be printed: beyond that, the watcher waits for whoever reads.
const MAX_UNPRINTED: usize = 64;

/// How often it is looked whether to stop.
const REST: Duration = Duration::from_millis(50);

/// A batch for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'b> {
    cause: WatchCause,
    added: u64,
    changed: u64,
    removed: u64,
    files: Vec<Named<'b>>,
    position: String,
    duration_ms: u64,
}

#[derive(Serialize)]
struct Named<'b> {
    path: &'b str,
    change: FileChange,
}

/// Brings the database up to date, and follows the tree.
pub(super) fn run(context: &Context) -> Result<Outcome, Failure> {
    let format = context.format("watch", &[Format::Table, Format::Jsonl])?;
    let (store, report) = index::follow(context, true)?;
    index::summary(context, &report);
    let (tell, told) = sync_channel(MAX_UNPRINTED);
    let watcher = watcher(context, &store)?.on_batch(move |batch| {
        // Nobody may want to know any more.
        let _ = tell.send(batch.clone());
    });
    watcher.start()?;
    let mut out = Out::new();
    let ended = loop {
        let printed = match told.recv_timeout(REST) {
            Ok(batch) => print(context, format, &batch, &mut out),
            Err(RecvTimeoutError::Timeout) => out.wait(Timespec::default()),
            // The watcher is ours, and lives.
            Err(RecvTimeoutError::Disconnected) => interrupt::check(),
        };
        if let Err(ended) = printed.and_then(|()| interrupt::check()) {
            break ended;
        }
    };
    // A watcher that waits to tell of a batch is let go.
    drop(told);
    watcher.stop();
    Err(ended)
}

/// A watcher as the project is configured.
pub(super) fn watcher(context: &Context, store: &Arc<SqliteStore>) -> Result<Watcher, Failure> {
    let scanner = index::scanner(context)?;
    let options = context.config.watch().clone();
    Ok(Watcher::new(scanner, Arc::clone(store) as _, options)?)
}

fn print(
    context: &Context,
    format: Format,
    batch: &WatchBatch,
    out: &mut Out,
) -> Result<(), Failure> {
    if format == Format::Jsonl {
        out.json(&Line::of(batch), false)?;
        return out.flush();
    }
    context.note(&line(batch));
    Ok(())
}

/// A batch for people.
fn line(batch: &WatchBatch) -> String {
    let counts = [
        (batch.added, "added"),
        (batch.changed, "changed"),
        (batch.removed, "removed"),
    ];
    let done = counts.iter().filter(|(count, _)| *count > 0);
    let done: Vec<String> = done
        .map(|(count, what)| format!("{} {what}", format::count(*count)))
        .collect();
    let done = match done.is_empty() {
        true => "nothing changed".to_owned(),
        false => done.join(", "),
    };
    let what = match (batch.cause, batch.files.as_slice()) {
        (WatchCause::Start, _) => "Watching".to_owned(),
        (_, [(path, _)]) => super::output::printable(path.as_str()).into_owned(),
        _ => format::files(batch.added + batch.changed + batch.removed),
    };
    format!("{what}: {done} in {}", format::duration(batch.duration))
}

impl<'b> Line<'b> {
    fn of(batch: &'b WatchBatch) -> Self {
        let files = batch.files.iter().map(|(path, change)| Named {
            path: path.as_str(),
            change: *change,
        });
        Line {
            cause: batch.cause,
            added: batch.added,
            changed: batch.changed,
            removed: batch.removed,
            files: files.collect(),
            position: batch.position.to_string(),
            duration_ms: format::millis(batch.duration),
        }
    }
}
