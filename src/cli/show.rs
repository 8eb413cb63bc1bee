//! `cardex show`: everything that is known of one file.

use std::path::Path;

use cardex::store::{MetadataStore, Versioned};
use cardex::{DocSections, Error, ErrorKind, FileMetadata, FilePath, Function, LineRange};

use super::args::Format;
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable};
use super::table::{cell, fields, lines, table};
use super::{Outcome, format, index};

/// A text is cut to this many characters.
const SUMMARY_CHARS: usize = 160;
/// Enough of a digest to tell two files apart.
const DIGEST_CHARS: usize = 23;

/// Shows the record of a file.
pub(super) fn run(context: &Context, path: &Path, cached: bool) -> Result<Outcome, Failure> {
    let format = context.format("show", &[Format::Table, Format::Json, Format::Jsonl])?;
    let candidates = candidates(context, path)?;
    let store = index::current(context, cached)?;
    let mut found = None;
    for path in &candidates {
        found = found.or(store.get(path)?);
    }
    let Some(Versioned { record, .. }) = found else {
        let message = format!("`{}` is not in the index", candidates[0]);
        let error = Error::new(ErrorKind::NotFound, message);
        let help = match context.root.join(candidates[0].as_str()) {
            file if file.is_dir() => {
                "it is a directory; `cardex query -g 'DIR/**'` lists its files"
            }
            file if file.exists() => "it is skipped or ignored; `cardex index -v` tells why",
            _ => "paths are relative to the project's root; `cardex query -p` searches them",
        };
        super::failure::print(
            &error.with_help(help),
            super::output::Paint::for_stderr(context.global.color),
        );
        return Ok(Outcome::Nothing);
    };
    let mut out = Out::new();
    match format {
        Format::Table => people(context, &record, &mut out)?,
        format => out.json(&record, format == Format::Json)?,
    }
    out.finish()?;
    Ok(Outcome::Found)
}

/// What a path may mean: relative to the root, as queries print it; else relative to here.
fn candidates(context: &Context, path: &Path) -> Result<Vec<FilePath>, Failure> {
    let root = &context.root;
    let first = FilePath::under(root, path);
    let resolved = std::env::current_dir().ok().map(|here| here.join(path));
    // Above the file itself, links may lead into the root: /tmp is one on some systems.
    let resolved =
        resolved.and_then(|path| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?)));
    let second = resolved.and_then(|path| FilePath::under(root, &path).ok());
    match (first, second) {
        (Ok(first), second) => Ok(std::iter::once(first).chain(second).collect()),
        (Err(_), Some(second)) => Ok(vec![second]),
        (Err(error), None) => Err(error.into()),
    }
}

fn people(context: &Context, record: &FileMetadata, out: &mut Out) -> Result<(), Failure> {
    let paint = context.paint;
    out.line(&paint.bold(&printable(record.path.as_str())))?;
    let rows = facts(record);
    lines(&fields(rows, paint))
        .iter()
        .try_for_each(|line| out.line(line))?;
    outline(context, record, out)
}

/// What is known of the file as a whole.
fn facts(record: &FileMetadata) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let kind = record.document_type.as_str();
    let language = record.language.as_deref();
    rows.push((
        "language",
        language.map_or(kind.to_owned(), |name| format!("{name}, {kind}")),
    ));
    if let Some(size) = record.size_bytes {
        rows.push(("size", format::bytes(size)));
    }
    if let Some(time) = record.last_modified {
        rows.push(("modified", format::time(time)));
    }
    if let Some(digest) = &record.digest {
        rows.push(("digest", cut(digest, DIGEST_CHARS)));
    }
    let header = &record.header_sections;
    rows.extend(
        header
            .intent
            .as_deref()
            .map(|intent| ("intent", summary(intent))),
    );
    for (name, texts) in [
        ("principle", &header.design_principles),
        ("constraint", &header.constraints),
        ("cites", &header.reference_documentation),
    ] {
        rows.extend(texts.iter().map(|text| (name, summary(text))));
    }
    for change in &header.change_history {
        let text: Vec<&str> = [&change.timestamp, &change.summary]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        rows.push(("change", summary(&text.join(" "))));
    }
    rows
}

/// The definitions in the order of the file.
fn outline(context: &Context, record: &FileMetadata, out: &mut Out) -> Result<(), Failure> {
    let mut rows: Vec<(LineRange, String, &DocSections)> = Vec::new();
    for function in &record.functions {
        rows.push((
            function.line_range,
            signature(function),
            &function.doc_sections,
        ));
    }
    for class in &record.classes {
        let name = class.name.as_deref().unwrap_or("(unnamed)");
        rows.push((
            class.line_range,
            format!("class {name}"),
            &class.doc_sections,
        ));
        for method in &class.methods {
            let text = format!("  {name}.{}", signature(method));
            rows.push((method.line_range, text, &method.doc_sections));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by_key(|(lines, ..)| (lines.start(), std::cmp::Reverse(lines.end())));
    let mut table = table(&[">LINES", "DEFINITION", "ABOUT"], context.paint);
    for (lines, text, docs) in rows {
        let place = match (lines.start(), lines.end()) {
            (Some(start), Some(end)) => format!("{start}-{end}"),
            (Some(start), None) => start.to_string(),
            _ => "-".to_owned(),
        };
        let about = docs.intent.as_deref().map(summary).unwrap_or_default();
        table.add_row([cell(&place), cell(&text), cell(&about)]);
    }
    out.line("")?;
    lines(&table).iter().try_for_each(|line| out.line(line))
}

fn signature(function: &Function) -> String {
    let name = function.name.as_deref().unwrap_or("(unnamed)");
    format!("{name}({})", function.parameters.join(", "))
}

/// The first sentence of a text, on one line.
fn summary(text: &str) -> String {
    let lines = text
        .trim()
        .lines()
        .take_while(|line| !line.trim().is_empty());
    let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let sentence = line.find(". ").map_or(line.as_str(), |end| &line[..=end]);
    cut(sentence, SUMMARY_CHARS)
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_first_sentence() {
        assert_eq!(summary(" One\n two. Three."), "One two.");
        assert_eq!(summary("One\n\nTwo"), "One");
        assert_eq!(summary(&"x".repeat(500)).chars().count(), SUMMARY_CHARS + 1);
    }
}
