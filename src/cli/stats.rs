//! `cardex stats`: what the index holds, of which position, and what it costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::args::Format;
use super::context::Context;
use super::failure::Failure;
use super::output::Out;
use super::table::{fields, lines};
use super::tree::Tree;
use super::{Outcome, format};

/// How many languages a person is shown; programs get all.
const LANGUAGES_SHOWN: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    root: String,
    database: String,
    database_bytes: u64,
    as_of: String,
    /// How old that state was when it was told, in milliseconds.
    age_ms: u64,
    /// How it came into memory; a command reads the whole database.
    last_sync: LastSync,
    /// When the tree was last gone through; null if the database follows none.
    indexed_at: Option<chrono::DateTime<chrono::Utc>>,
    files: u64,
    unreadable: u64,
    languages: BTreeMap<String, u64>,
    function_names: u64,
    class_names: u64,
    cited_documents: u64,
    index_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastSync {
    at: chrono::DateTime<chrono::Utc>,
    mode: &'static str,
    duration_ms: u64,
}

/// Prints what the index holds.
pub(super) fn run(context: &Context) -> Result<Outcome, Failure> {
    let format = context.format("stats", &[Format::Table, Format::Json, Format::Jsonl])?;
    let stats = collect(context)?;
    let mut out = Out::new();
    match format {
        Format::Table => people(context, &stats, &mut out)?,
        format => out.json(&stats, format == Format::Json)?,
    }
    out.finish()?;
    Ok(Outcome::Found)
}

fn collect(context: &Context) -> Result<Stats, Failure> {
    let database = context.config.database();
    let store = Arc::new(context.existing_store()?);
    let (cardex, loaded) = context.load(store)?;
    let snapshot = cardex.snapshot()?;
    let terms = snapshot.term_counts();
    let named = snapshot.languages();
    let without = snapshot.len() as u64 - named.iter().map(|(_, files)| files).sum::<u64>();
    let none = (without > 0).then_some(("(none)", without));
    let languages = named.into_iter().chain(none);
    let languages = languages
        .map(|(name, files)| (name.to_owned(), files))
        .collect();
    let tree = Tree::read(database)?;
    let state = cardex.stats()?;
    let at = state
        .last_sync
        .map_or_else(chrono::Utc::now, |last| last.at);
    let bytes = std::fs::metadata(database).map_or(0, |metadata| metadata.len());
    Ok(Stats {
        root: context.root.display().to_string(),
        database: database.display().to_string(),
        database_bytes: bytes,
        as_of: snapshot.position().to_string(),
        age_ms: format::millis(state.age.unwrap_or_default()),
        last_sync: LastSync {
            at,
            mode: format::mode(loaded.mode),
            duration_ms: format::millis(loaded.duration),
        },
        indexed_at: tree.and_then(|tree| tree.indexed_at),
        files: snapshot.len() as u64,
        unreadable: loaded.skipped_total,
        languages,
        function_names: terms.functions as u64,
        class_names: terms.classes as u64,
        cited_documents: terms.references as u64,
        index_bytes: snapshot.memory().total() as u64,
    })
}

fn people(context: &Context, stats: &Stats, out: &mut Out) -> Result<(), Failure> {
    let indexed = stats
        .indexed_at
        .map_or("never: it was imported".to_owned(), format::time);
    let each = stats.index_bytes.checked_div(stats.files).unwrap_or(0);
    let memory = format::bytes(stats.index_bytes);
    let names = |count| format::plural(count, "distinct name", "distinct names");
    let mut rows = vec![
        ("root", stats.root.clone()),
        (
            "database",
            format!(
                "{}, {}",
                stats.database,
                format::bytes(stats.database_bytes)
            ),
        ),
        ("position", stats.as_of.clone()),
        (
            "loaded",
            format!(
                "{}, in {}",
                stats.last_sync.mode,
                format::duration(Duration::from_millis(stats.last_sync.duration_ms))
            ),
        ),
        ("indexed", indexed),
        ("files", format::count(stats.files)),
        ("languages", languages(stats)),
        ("functions", names(stats.function_names)),
        ("classes", names(stats.class_names)),
        (
            "citations",
            format::plural(stats.cited_documents, "document", "documents"),
        ),
        (
            "index",
            format!("{memory} of memory, {} a file", format::bytes(each)),
        ),
    ];
    if stats.unreadable > 0 {
        rows.insert(6, ("unreadable", format::count(stats.unreadable)));
    }
    lines(&fields(rows, context.paint))
        .iter()
        .try_for_each(|line| out.line(line))
}

/// The commonest languages first.
fn languages(stats: &Stats) -> String {
    let mut counts: Vec<(&String, &u64)> = stats.languages.iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let mut shown: Vec<String> = counts
        .iter()
        .take(LANGUAGES_SHOWN)
        .map(|(name, count)| format!("{name} {}", format::count(**count)))
        .collect();
    if counts.len() > LANGUAGES_SHOWN {
        shown.push(format!("{} more", counts.len() - LANGUAGES_SHOWN));
    }
    shown.join(", ")
}
