//! `cardex query`: text and flags become one query of the library; its answer is printed.

use std::sync::Arc;

use cardex::store::{MetadataStore, Versioned};
use cardex::{
    Answer, Error, ErrorKind, FileMetadata, FilePath, Function, Hit, LineRange, Plan, Query,
    Snapshot,
};
use serde::Serialize;

use super::args::{Format, QueryArgs};
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable, say};
use super::table::{cell, lines, table};
use super::{Outcome, format, index};

/// How many records are read from the database at a time.
const PAGE: usize = 512;

/// Lists the files that match, or counts or explains.
pub(super) fn run(context: &Context, args: QueryArgs) -> Result<Outcome, Failure> {
    // What is wrong with a query is said before a tree is walked for it.
    let query = compile(&args)?;
    let (store, confirmed) = index::current(context, args.cached)?;
    let (cardex, _) = context.load(Arc::clone(&store))?;
    let mut out = Out::new();
    if args.explain {
        explain(context, &cardex.snapshot()?.explain(&query), &mut out)?;
        out.finish()?;
        return Ok(Outcome::Found);
    }
    let answer = cardex.query(&query)?;
    let total = answer.total();
    if args.count {
        count(context, &answer, &mut out)?;
    } else if args.null {
        answer.paths().try_for_each(|path| out.path(path, 0))?;
    } else {
        let format = context.list_format(&out);
        let shown = Shown {
            query: &query,
            answer: &answer,
            confirmed,
        };
        list(context, format, &shown, &*store, &mut out)?;
    }
    out.finish()?;
    if total == 0 {
        doubt_language(context, &query, &*cardex.snapshot()?);
    }
    Ok(if total > 0 {
        Outcome::Found
    } else {
        Outcome::Nothing
    })
}

/// Says which languages there are, if one that was asked for is none of them: a slip looks like a
/// true "nothing found".
fn doubt_language(context: &Context, query: &Query, snapshot: &Snapshot) {
    let languages = snapshot.languages();
    let known: Vec<&str> = languages.iter().map(|(name, _)| *name).collect();
    for asked in query.names("language") {
        if !known.is_empty() && !known.contains(&asked) {
            context.note(&format!(
                "note: no file is in the language `{}`; there are {}",
                printable(asked),
                printable(&known.join(", "))
            ));
        }
    }
}

fn compile(args: &QueryArgs) -> cardex::Result<Query> {
    let mut builder = Query::builder();
    let limit = args.limit.iter();
    let fields = [
        ("language", args.language.iter().collect::<Vec<_>>()),
        ("function", args.function.iter().collect()),
        ("class", args.class.iter().collect()),
        ("reference", args.reference.iter().collect()),
        ("path", args.path.iter().collect()),
        ("glob", args.glob.iter().collect()),
        ("limit", limit.collect()),
    ];
    for (field, values) in fields {
        for value in values {
            builder = builder.field(field, value);
        }
    }
    let text = joined(&args.text)?;
    builder.and(Query::parse(text.trim_start())?).build()
}

/// The text of a query, which the shell may have cut at its blanks.
///
/// # Errors
/// `InvalidQuery` if an argument before the last one ends in a lone backslash: in a pattern that would
/// take the blank after it, and with it what the next argument says.
fn joined(arguments: &[String]) -> cardex::Result<String> {
    let text = arguments.join(" ");
    let mut end = 0;
    let (_, others) = arguments.split_last().unwrap_or((&text, &[]));
    for argument in others {
        end += argument.len();
        let backslashes = argument.bytes().rev().take_while(|byte| *byte == b'\\');
        if backslashes.count() % 2 == 1 {
            let message = "an argument ends in a backslash, which would take the blank after it";
            let help = "put the whole query into one argument, or write `\\\\` for a backslash in a \
                        pattern";
            let error = Error::new(ErrorKind::InvalidQuery, message).with_help(help);
            return Err(error.with_excerpt(text, end - 1..end));
        }
        end += 1;
    }
    Ok(text)
}

/// An answer and what it answers.
struct Shown<'a> {
    query: &'a Query,
    answer: &'a Answer,
    /// Whether every file of the tree could be looked at.
    confirmed: bool,
}

fn list(
    context: &Context,
    format: Format,
    shown: &Shown<'_>,
    store: &dyn MetadataStore,
    out: &mut Out,
) -> Result<(), Failure> {
    let answer = shown.answer;
    match format {
        Format::Table => people(context, shown, store, out)?,
        Format::Paths => answer.paths().try_for_each(|path| out.path(path, b'\n'))?,
        Format::Jsonl => answer
            .hits()
            .try_for_each(|hit| out.json(&File::of(hit), false))?,
        Format::Csv => {
            out.line("path,language,version")?;
            for hit in answer.hits() {
                let version = hit.version.to_string();
                let fields = [hit.path, hit.language.unwrap_or_default(), &version];
                out.line(&format::csv(&fields))?;
            }
        }
        Format::Json => out.json(
            &Listing {
                query: shown.query.to_string(),
                as_of: answer.as_of().to_string(),
                total: answer.total(),
                truncated: answer.is_truncated(),
                complete: shown.confirmed && shown.answer.is_complete(),
                files: answer.hits().map(File::of).collect(),
            },
            true,
        )?,
    }
    Ok(())
}

/// A file of an answer, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    path: &'a str,
    language: Option<&'a str>,
    version: u64,
}

impl<'a> File<'a> {
    fn of(hit: Hit<'a>) -> Self {
        File {
            path: hit.path,
            language: hit.language,
            version: hit.version,
        }
    }
}

/// An answer, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    query: String,
    as_of: String,
    total: u64,
    truncated: bool,
    complete: bool,
    files: Vec<File<'a>>,
}

/// A table with what matched in each file, or how much there is in it.
fn people(
    context: &Context,
    shown: &Shown<'_>,
    store: &dyn MetadataStore,
    out: &mut Out,
) -> Result<(), Failure> {
    let wanted = Wanted {
        functions: shown.query.names("function"),
        classes: shown.query.names("class"),
    };
    let has_names = wanted.functions.len() + wanted.classes.len() > 0;
    let headings: &[&str] = match has_names {
        true => &["PATH", "LANGUAGE", "DEFINES"],
        false => &["PATH", "LANGUAGE", ">FUNCTIONS", ">CLASSES", ">SIZE"],
    };
    let mut rows = table(headings, context.paint);
    let hits: Vec<Hit<'_>> = shown.answer.hits().collect();
    for page in hits.chunks(PAGE) {
        let paths = page
            .iter()
            .map(|hit| FilePath::new(hit.path))
            .collect::<Result<Vec<_>, _>>()?;
        for (hit, found) in page.iter().zip(records(store, &paths)?) {
            // A file that was changed since is told of as the index has it, without its inside.
            let record = found
                .filter(|found| found.version == hit.version)
                .map(|f| f.record);
            let mut row = vec![cell(hit.path), cell(hit.language.unwrap_or("-"))];
            match (has_names, record) {
                (true, record) => {
                    row.push(cell(&record.map_or_else(String::new, |record| {
                        definitions(&record, &wanted)
                    })))
                }
                (false, Some(record)) => row.extend(measures(&record).map(|text| cell(&text))),
                (false, None) => row.extend(["-", "-", "-"].map(cell)),
            }
            rows.add_row(row);
        }
    }
    if !hits.is_empty() {
        lines(&rows).iter().try_for_each(|line| out.line(line))?;
    }
    if out.is_terminal() && !context.global.quiet {
        out.line(&context.paint.dim(&tail(shown.answer)))?;
    }
    Ok(())
}

/// The records of a page. One that cannot be read is told of and left out; the others are shown.
fn records(
    store: &dyn MetadataStore,
    paths: &[FilePath],
) -> cardex::Result<Vec<Option<Versioned>>> {
    let fetched = store.fetch(paths)?;
    let each = fetched.records.into_iter().map(|record| match record {
        Err(error) if error.kind() == ErrorKind::DatabaseCorrupt => {
            say(&format!("warning: {}", printable(&error.to_string())));
            Ok(None)
        }
        read => read,
    });
    each.collect()
}

/// How much of the answer is listed.
fn tail(answer: &Answer) -> String {
    match (answer.total(), answer.len() as u64) {
        (0, _) => "nothing found".to_owned(),
        (total, listed) if listed < total => {
            format!("{} of {}", format::count(listed), format::files(total))
        }
        (total, _) => format::files(total),
    }
}

fn measures(record: &FileMetadata) -> [String; 3] {
    let methods = record
        .classes
        .iter()
        .map(|class| class.methods.len())
        .sum::<usize>();
    let size = record
        .size_bytes
        .map_or_else(|| "-".to_owned(), format::bytes);
    let count = |n: usize| format::count(n as u64);
    [
        count(record.functions.len() + methods),
        count(record.classes.len()),
        size,
    ]
}

/// The names that were asked for.
struct Wanted<'a> {
    functions: Vec<&'a str>,
    classes: Vec<&'a str>,
}

/// The definitions that were asked for, with their lines.
fn definitions(record: &FileMetadata, wanted: &Wanted<'_>) -> String {
    let mut found = Vec::new();
    let mut tell = |name: &str, lines: LineRange| found.push(format!("{name}{}", at(lines)));
    for class in &record.classes {
        let name = class.name.as_deref().unwrap_or_default();
        if wanted.classes.contains(&name) {
            tell(name, class.line_range);
        }
    }
    let wanted = |name: &str| wanted.functions.contains(&name);
    let bare = |function: &Function| function.name.clone().unwrap_or_default();
    for function in record.functions.iter().filter(|f| wanted(&bare(f))) {
        tell(&bare(function), function.line_range);
    }
    for class in &record.classes {
        for method in &class.methods {
            let name = class.name.as_deref().unwrap_or_default();
            let full = format!("{name}.{}", bare(method));
            if wanted(&bare(method)) || wanted(&full) {
                tell(&full, method.line_range);
            }
        }
    }
    found.join(", ")
}

/// `:12-30`, as far as the lines are known.
fn at(lines: LineRange) -> String {
    match (lines.start(), lines.end()) {
        (Some(start), Some(end)) if end > start => format!(":{start}-{end}"),
        (Some(start), _) => format!(":{start}"),
        _ => String::new(),
    }
}

fn count(context: &Context, answer: &Answer, out: &mut Out) -> Result<(), Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Count {
        total: u64,
        as_of: String,
    }
    let formats = [Format::Table, Format::Json, Format::Jsonl];
    match context.format("query --count", &formats)? {
        Format::Table => out.line(&answer.total().to_string()),
        format => {
            let count = Count {
                total: answer.total(),
                as_of: answer.as_of().to_string(),
            };
            out.json(&count, format == Format::Json)
        }
    }
}

fn explain(context: &Context, plan: &Plan, out: &mut Out) -> Result<(), Failure> {
    context.format("query --explain", &[Format::Table])?;
    plan.to_string()
        .lines()
        .try_for_each(|line| out.line(&printable(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(arguments: &[&str]) -> cardex::Result<String> {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        joined(&arguments)
    }

    #[test]
    fn an_argument_that_would_swallow_the_blank_after_it_is_refused_with_its_place() {
        let error = join(&["fn:a", r"path:b\\\", "lang:rust"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
        let excerpt = error.excerpt().unwrap();
        assert_eq!(excerpt.text, r"fn:a path:b\\\ lang:rust");
        assert_eq!(&excerpt.text[excerpt.at.clone()], r"\");
        assert_eq!(&excerpt.text[excerpt.at.end..], " lang:rust");
        assert!(error.help().unwrap().contains("one argument"));
        let (even, last) = (&[r"path:b\\", "lang:rust"], &["fn:a", r"path:b\"]);
        for arguments in [&even[..], last, &[], &[""]] {
            assert_eq!(join(arguments).unwrap(), arguments.join(" "));
        }
    }
}
