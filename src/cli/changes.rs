//! `cardex changes`: which files changed since a position, and which went; once, or on and on. The log
//! alone is asked: no index is made for it.

use cardex::store::{Change, ChangeSet, MetadataStore, SqliteStore};
use cardex::{Error, Position};
use rustix::event::Timespec;
use serde::Serialize;

use super::args::{ChangesArgs, Format};
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, say};
use super::table::{cell, lines, table};
use super::{Outcome, format, interrupt};

/// The rest between two looks at the log.
const REST: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// At most so many files are read at a time while the log is followed.
const BATCH: usize = 10_000;

/// Lists what changed, or follows it.
pub(super) fn run(context: &Context, args: &ChangesArgs) -> Result<Outcome, Failure> {
    let since = position(&args.since)?;
    let store = context.existing_store()?;
    let mut out = Out::new();
    let format = context.list_format(&out);
    if args.follow {
        return follow(context, args, since, &store, out);
    }
    let set = store.changes(since, args.limit.unwrap_or(usize::MAX))?;
    tell_fresh(context, since, &set);
    match format {
        Format::Table => people(context, &set, &mut out)?,
        Format::Json => out.json(&Listing::of(since, &set), true)?,
        format => {
            if format == Format::Csv {
                out.line(CSV_HEADER)?;
            }
            stream(format, &set, &mut out)?;
        }
    }
    out.finish()?;
    if format != Format::Json {
        tell_position(context, set.position);
    }
    Ok(if set.changes.is_empty() {
        Outcome::Nothing
    } else {
        Outcome::Found
    })
}

/// Prints changes as they are committed, each line at once.
fn follow(
    context: &Context,
    args: &ChangesArgs,
    since: Position,
    store: &SqliteStore,
    mut out: Out,
) -> Result<Outcome, Failure> {
    let formats = [Format::Table, Format::Jsonl, Format::Csv, Format::Paths];
    context.format("changes --follow", &formats)?;
    let format = context.list_format(&out);
    interrupt::flag()?;
    if format == Format::Csv {
        out.line(CSV_HEADER)?;
    }
    let mut since = since;
    let mut left = args.limit.unwrap_or(usize::MAX);
    let ended = loop {
        let set = match store.changes(since, left.min(BATCH)) {
            Ok(set) => set,
            Err(error) => break Err(error.into()),
        };
        tell_fresh(context, since, &set);
        if let Err(ended) = stream(format, &set, &mut out).and_then(|()| out.flush()) {
            break Err(ended);
        }
        since = set.position;
        left -= set.changes.len();
        if left == 0 {
            break Ok(Outcome::Found);
        }
        if !set.is_truncated
            && let Err(ended) = out.wait(REST)
        {
            break Err(ended);
        }
    };
    if !matches!(ended, Err(Failure::PipeClosed)) {
        tell_position(context, since);
    }
    ended
}

/// `start`, or a position.
fn position(text: &str) -> Result<Position, Error> {
    if text == "start" {
        return Ok(Position::default());
    }
    text.parse().map_err(|error: Error| {
        error.with_help(
            "give a position as `cardex stats` prints it, such as 00c0ffee00c0ffee:42, or `start`",
        )
    })
}

fn tell_fresh(context: &Context, since: Position, set: &ChangeSet) {
    if set.is_fresh_instance && since != Position::default() {
        context.note(&format!(
            "note: the log cannot tell what changed since {since}: this is a fresh instance, with \
             every file there is; others may have gone"
        ));
    }
}

/// Where to go on from; programs that ask for JSON find it in the answer.
fn tell_position(context: &Context, position: Position) {
    if !context.global.quiet {
        say(&format!("position  {position}"));
    }
}

const CSV_HEADER: &str = "path,change,version";

fn what(change: &Change) -> &'static str {
    match change.is_deleted {
        true => "deleted",
        false => "changed",
    }
}

/// A line a file.
fn stream(format: Format, set: &ChangeSet, out: &mut Out) -> Result<(), Failure> {
    for change in &set.changes {
        let version = change.version.to_string();
        match format {
            Format::Paths => out.path(&change.path, b'\n')?,
            Format::Csv => out.line(&format::csv(&[&change.path, what(change), &version]))?,
            Format::Table => {
                out.bytes(format!("{} {version:>9}  ", what(change)).as_bytes())?;
                out.path(&change.path, b'\n')?;
            }
            Format::Json | Format::Jsonl => out.json(&Line::of(set, change), false)?,
        }
    }
    Ok(())
}

/// A change for programs; going on from its position finds the next one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    path: &'a str,
    change: &'static str,
    version: u64,
    position: String,
}

impl<'a> Line<'a> {
    fn of(set: &ChangeSet, change: &'a Change) -> Self {
        let position = Position {
            sequence: change.version,
            ..set.position
        };
        Line {
            path: &change.path,
            change: what(change),
            version: change.version,
            position: position.to_string(),
        }
    }
}

/// All that changed, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    since: Option<String>,
    position: String,
    fresh_instance: bool,
    truncated: bool,
    changes: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    change: &'static str,
    version: u64,
}

impl<'a> Listing<'a> {
    fn of(since: Position, set: &'a ChangeSet) -> Self {
        let changes = set.changes.iter().map(|change| File {
            path: &change.path,
            change: what(change),
            version: change.version,
        });
        Listing {
            since: (since != Position::default()).then(|| since.to_string()),
            position: set.position.to_string(),
            fresh_instance: set.is_fresh_instance,
            truncated: set.is_truncated,
            changes: changes.collect(),
        }
    }
}

fn people(context: &Context, set: &ChangeSet, out: &mut Out) -> Result<(), Failure> {
    let mut rows = table(&["PATH", "CHANGE", ">VERSION"], context.paint);
    for change in &set.changes {
        let version = change.version.to_string();
        rows.add_row([cell(&change.path), cell(what(change)), cell(&version)]);
    }
    if set.changes.is_empty() {
        return Ok(());
    }
    lines(&rows).iter().try_for_each(|line| out.line(line))
}
