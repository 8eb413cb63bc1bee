//! `cardex db check`: whether the database is sound, and whether the index made of it says exactly
//! what its rows say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cardex::store::{MetadataStore, SqliteStore};
use cardex::{FileMetadata, Position, Query, Snapshot};
use serde::Serialize;

use super::args::Format;
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable};
use super::{Outcome, format};

/// How many findings of the comparison are told; one fault can have many.
const MAX_FINDINGS: usize = 100;

/// What is wrong, and what found it.
#[derive(Serialize)]
pub(super) struct Finding {
    check: String,
    pub(super) message: String,
}

/// Checks, and with `repair` mends first.
pub(super) fn run(context: &Context, repair: bool) -> Result<Outcome, Failure> {
    let format = context.format("db check", &[Format::Table, Format::Json])?;
    let file = context.config.database();
    if !context.has_database() {
        // The usual error, with its help.
        context.existing_store()?;
    }
    super::project::assert_no_links(file, &context.root)?;
    let mut findings = SqliteStore::check_file(file)?;
    if repair && !findings.is_empty() {
        for finding in &findings {
            context.note(&format!(
                "mending  {}: {}",
                finding.check,
                printable(&finding.message)
            ));
        }
        SqliteStore::repair_file(file)?;
        findings = SqliteStore::check_file(file)?;
    }
    let mut findings: Vec<Finding> = findings
        .into_iter()
        .map(|found| Finding {
            check: found.check.to_owned(),
            message: found.message,
        })
        .collect();
    let mut compared = Compared::default();
    // A store refuses a database whose log cannot be trusted.
    if findings.is_empty() {
        let store = Arc::new(context.existing_store()?);
        let (cardex, loaded) = context.load(Arc::clone(&store))?;
        compared = compare(&store, &cardex.snapshot()?, loaded.to, &mut findings)?;
    }
    tell(context, format, &findings, &compared)?;
    Ok(if findings.is_empty() {
        Outcome::Found
    } else {
        Outcome::Nothing
    })
}

fn tell(
    context: &Context,
    format: Format,
    findings: &[Finding],
    compared: &Compared,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Report<'a> {
        sound: bool,
        files: u64,
        names: u64,
        findings: &'a [Finding],
    }
    let mut out = Out::new();
    if format == Format::Json {
        let (files, names) = (compared.files, compared.names);
        out.json(
            &Report {
                sound: findings.is_empty(),
                files,
                names,
                findings,
            },
            true,
        )?;
        return out.finish();
    }
    for finding in findings {
        let check = context.paint.red(&format!("{:<12}", finding.check));
        out.line(&format!("{check} {}", printable(&finding.message)))?;
    }
    if findings.is_empty() {
        let ok = context.paint.green("ok");
        let (files, names) = (format::files(compared.files), format::count(compared.names));
        out.line(&format!(
            "{ok}  database  integrity, foreign keys, triggers, change log"
        ))?;
        out.line(&format!(
            "{ok}  index     equal to the rows: {files}, {names} names"
        ))?;
    }
    out.finish()
}

/// What was compared.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) files: u64,
    pub(super) names: u64,
}

/// The paths that each name should lead to, by field and name.
type Expected = BTreeMap<(&'static str, String), Vec<usize>>;

/// Compares the index, as it was loaded at a position, with the rows: files, languages and versions,
/// and the files of every name.
pub(super) fn compare(
    store: &SqliteStore,
    snapshot: &Arc<Snapshot>,
    loaded: Position,
    findings: &mut Vec<Finding>,
) -> Result<Compared, Failure> {
    let mut tell = |message: String| {
        if findings.len() < MAX_FINDINGS {
            findings.push(Finding {
                check: "index".to_owned(),
                message,
            });
        }
    };
    let mut paths = Vec::new();
    let mut expected = Expected::new();
    let read = store.for_each(&mut |found| {
        let record = found.record;
        let path = record.path.as_str();
        match snapshot.file(path) {
            None => tell(format!("{path} is a row and not in the index")),
            Some(hit) if hit.version != found.version => tell(format!(
                "{path} has version {} in the index and {} in its row",
                hit.version, found.version
            )),
            Some(hit) if hit.language != language(&record).as_deref() => {
                tell(format!(
                    "{path} has another language in the index than in its row"
                ));
            }
            Some(_) => {}
        }
        for name in names(&record) {
            expected.entry(name).or_default().push(paths.len());
        }
        paths.push(path.to_owned());
        Ok(())
    })?;
    if read.position != loaded {
        tell("the database was written to meanwhile; check again".to_owned());
    } else if paths.len() != snapshot.len() {
        let (index, rows) = (snapshot.len(), paths.len());
        tell(format!("the index has {index} files, the database {rows}"));
    }
    for row in &read.skipped {
        tell(format!("{} cannot be read: {}", row.path, row.reason));
    }
    for ((field, name), files) in &expected {
        if !leads_to(snapshot, field, name, files, &paths)? {
            tell(format!(
                "the {field} `{name}` leads to other files in the index than by the rows"
            ));
        }
    }
    let compared = Compared {
        files: paths.len() as u64,
        names: expected.len() as u64,
    };
    assert_no_more(snapshot, &expected, &mut tell);
    Ok(compared)
}

fn leads_to(
    snapshot: &Arc<Snapshot>,
    field: &str,
    name: &str,
    files: &[usize],
    paths: &[String],
) -> cardex::Result<bool> {
    let query = Query::builder().field(field, name).build()?;
    let answer = snapshot.search(&query);
    Ok(answer
        .paths()
        .eq(files.iter().map(|&file| paths[file].as_str())))
}

/// The index knows no names beyond those of the rows.
fn assert_no_more(snapshot: &Snapshot, expected: &Expected, tell: &mut impl FnMut(String)) {
    let terms = snapshot.term_counts();
    for (field, known) in [
        ("language", terms.languages),
        ("class", terms.classes),
        ("reference", terms.references),
    ] {
        let rows = expected.keys().filter(|(of, _)| *of == field).count();
        if rows != known {
            tell(format!(
                "the index knows {known} names of the field {field}, the rows {rows}"
            ));
        }
    }
}

fn language(record: &FileMetadata) -> Option<String> {
    record
        .language
        .as_deref()
        .filter(|name| !name.is_empty())
        .map(str::to_ascii_lowercase)
}

/// Every name that should find the file: each once.
fn names(record: &FileMetadata) -> BTreeSet<(&'static str, String)> {
    let mut names = BTreeSet::new();
    let mut add = |field, name: &str| {
        if !name.is_empty() {
            names.insert((field, name.to_owned()));
        }
    };
    if let Some(language) = language(record) {
        add("language", &language);
    }
    for function in &record.functions {
        add("function", function.name.as_deref().unwrap_or_default());
    }
    for class in &record.classes {
        let name = class.name.as_deref().unwrap_or_default();
        add("class", name);
        for method in class
            .methods
            .iter()
            .filter_map(|method| method.name.as_deref())
        {
            add("function", method);
            if !name.is_empty() && !method.is_empty() {
                add("function", &format!("{name}.{method}"));
            }
        }
    }
    for document in &record.header_sections.reference_documentation {
        add("reference", document);
    }
    names
}
