//! `cardex index`, and the look at the tree that every query takes first.

use std::sync::Arc;

use cardex::extract::Scanner;
use cardex::store::{MetadataStore, SqliteStore};
use cardex::{ErrorKind, IndexReport};
use serde::Serialize;

use super::Outcome;
use super::args::Format;
use super::context::Context;
use super::failure::Failure;
use super::format;
use super::interrupt;
use super::output::{Out, printable};
use super::progress::Bar;
use super::tree::{Tree, extractor};

/// Brings the database up to date, and says what that took.
pub(super) fn run(context: &Context) -> Result<Outcome, Failure> {
    let format = context.format("index", &[Format::Table, Format::Json, Format::Jsonl])?;
    let (_, report) = follow(context, true)?;
    if format == Format::Table {
        summary(context, &report);
    } else {
        let mut out = Out::new();
        out.json(&Summary::of(&report), format == Format::Json)?;
        out.finish()?;
        list_skipped(context, &report);
    }
    Ok(Outcome::Found)
}

/// The store that answers a question: up to date with the tree, unless `cached`, or unless it
/// follows none; and whether every file of the tree could be looked at.
pub(super) fn current(
    context: &Context,
    cached: bool,
) -> Result<(Arc<SqliteStore>, bool), Failure> {
    if cached {
        return Ok((Arc::new(context.existing_store()?), true));
    }
    let first = !context.has_database();
    if !first && Tree::read(context.config.database())?.is_none() {
        let store = context.existing_store()?;
        if !store.file_states()?.is_empty() {
            context
                .note("note: this database was imported and follows no tree; it is asked as it is");
            return Ok((Arc::new(store), true));
        }
    }
    let (store, report) = follow(context, first)?;
    let changed = report.added + report.changed + report.removed > 0;
    if first || (changed && context.global.verbose > 0) {
        summary(context, &report);
    } else {
        tell_bare(context, &report);
    }
    if report.unconfirmed > 0 {
        let files = format::files(report.unconfirmed);
        context.note(&format!(
            "note: {files} could not be read this time; the answer has what was known of them \
             before, if anything (`cardex index -v` names them)"
        ));
    }
    Ok((store, report.unconfirmed == 0))
}

/// The scanner of the tree, for records that were made by this extractor.
pub(super) fn scanner(context: &Context) -> cardex::Result<Scanner> {
    let mut options = context.config.scan().clone();
    options.leave_out = super::tree::files(context.config.database());
    Scanner::open(&context.root, options)
}

/// Makes the database follow the tree: scans it and writes what is new, changed or gone.
pub(super) fn follow(
    context: &Context,
    at_once: bool,
) -> Result<(Arc<SqliteStore>, IndexReport), Failure> {
    let stop = interrupt::flag()?;
    let database = context.config.database();
    let store = Arc::new(context.create_store()?);
    let tree = Tree::read(database)?;
    if let Some(tree) = &tree {
        tree.assert_follows(&context.root, database)?;
    }
    let made_by = match &tree {
        Some(tree) => tree.extractor.clone(),
        // Nothing there yet is ours as well as anybody's.
        None if store.file_states()?.is_empty() => Some(extractor()),
        None => None,
    };
    let mut options = context.config.scan().clone();
    options.leave_out = super::tree::files(database);
    options.force = made_by.as_deref() != Some(&extractor());
    let scanner = Scanner::open(&context.root, options)?;
    let known = tree.is_some();
    let mut tree = Tree {
        root: context.root.clone(),
        extractor: made_by,
        indexed_at: tree.and_then(|tree| tree.indexed_at),
    };
    if !known {
        // Before the first record: a run that is cut short leaves a database that follows a tree.
        tree.write(database)?;
    }
    let mut bar = Bar::new(&context.global, &context.root, at_once);
    let report = cardex::index_tree(&*store, &scanner, stop, |progress| bar.scan(progress));
    bar.clear();
    match report {
        Ok(report) => {
            tree.extractor = Some(extractor());
            tree.indexed_at = Some(chrono::Utc::now());
            tree.write(database)?;
            Ok((store, report))
        }
        Err(error) if error.kind() == ErrorKind::Cancelled => {
            let files = store.file_states()?.len() as u64;
            context.note(&format!(
                "Stopped: {} are indexed, each whole; the next run goes on from there",
                format::files(files)
            ));
            interrupt::check()?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// One line of what was done, and what was skipped.
pub(super) fn summary(context: &Context, report: &IndexReport) {
    let progress = &report.progress;
    let held = progress.extracted + progress.touched + progress.unchanged;
    let done = [
        (report.added, "added"),
        (report.changed, "changed"),
        (report.removed, "removed"),
    ];
    let done: Vec<String> = done
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", format::count(count)))
        .collect();
    let line = format!(
        "Indexed {} in {}: {}; {} read",
        format::files(held),
        format::duration(report.duration),
        if done.is_empty() {
            "nothing changed".to_owned()
        } else {
            done.join(", ")
        },
        format::bytes(progress.bytes),
    );
    context.note(&line);
    tell_bare(context, report);
    let skipped: u64 = report.skipped.values().sum();
    if skipped > 0 {
        let reasons = report
            .skipped
            .iter()
            .map(|(code, n)| format!("{} {code}", format::count(*n)));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let hint = if context.global.verbose == 0 {
            " (-v lists them)"
        } else {
            ""
        };
        context.note(&format!(
            "Skipped {}: {reasons}{hint}",
            format::files(skipped)
        ));
    }
    list_skipped(context, report);
}

/// One line of the files whose contents were not understood.
fn tell_bare(context: &Context, report: &IndexReport) {
    let bare: u64 = report.bare.values().sum();
    if bare > 0 {
        let files = format::files(bare);
        let reasons = report.bare.iter();
        let reasons: Vec<String> = reasons
            .map(|(code, n)| format!("{} {code}", format::count(*n)))
            .collect();
        let reasons = reasons.join(", ");
        context.note(&format!("Recorded {files} without contents: {reasons}"));
    }
}

fn list_skipped(context: &Context, report: &IndexReport) {
    if context.global.verbose == 0 {
        return;
    }
    for skipped in report.bare_files.iter().chain(&report.skipped_files) {
        context.note(&format!("  {}", printable(&skipped.to_string())));
    }
    let all: u64 = report.skipped.values().sum();
    let unnamed = all.saturating_sub(report.skipped_files.len() as u64);
    if unnamed > 0 {
        context.note(&format!("  and {} more", format::count(unnamed)));
    }
}

/// The report for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    as_of: String,
    files: u64,
    added: u64,
    changed: u64,
    removed: u64,
    touched: u64,
    unchanged: u64,
    unconfirmed: u64,
    without_contents: &'a std::collections::BTreeMap<&'static str, u64>,
    skipped: &'a std::collections::BTreeMap<&'static str, u64>,
    bytes_read: u64,
    duration_ms: u64,
}

impl<'a> Summary<'a> {
    fn of(report: &'a IndexReport) -> Self {
        let progress = &report.progress;
        Summary {
            as_of: report.position.to_string(),
            files: progress.extracted + progress.touched + progress.unchanged,
            added: report.added,
            changed: report.changed,
            removed: report.removed,
            touched: progress.touched,
            unchanged: progress.unchanged,
            unconfirmed: report.unconfirmed,
            without_contents: &report.bare,
            skipped: &report.skipped,
            bytes_read: progress.bytes,
            duration_ms: format::millis(report.duration),
        }
    }
}
