//! `cardex sync`: reads the database into an index, as every question does, and tells what that took.
//! An index lives as long as its command, so it is always made of the whole database.

use std::sync::Arc;

use cardex::SyncReport;
use serde::Serialize;

use super::args::Format;
use super::check::{Compared, compare};
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable};
use super::table::{fields, lines};
use super::{Outcome, format};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    mode: &'static str,
    /// The position before; null, as there was no index.
    from: Option<String>,
    to: String,
    files: u64,
    deleted: u64,
    skipped_total: u64,
    skipped: Vec<Skipped>,
    duration_ms: u64,
    /// Null unless it was asked for.
    verified: Option<Verified>,
}

#[derive(Serialize)]
struct Skipped {
    path: String,
    reason: String,
}

/// What the comparison with the rows came to.
#[derive(Serialize)]
struct Verified {
    equal: bool,
    files: u64,
    names: u64,
    findings: Vec<String>,
}

/// Makes the index, compares it with the rows if that is wanted, and tells both.
pub(super) fn run(context: &Context, verify: bool) -> Result<Outcome, Failure> {
    let format = context.format("sync", &[Format::Table, Format::Json, Format::Jsonl])?;
    let store = Arc::new(context.existing_store()?);
    let (cardex, report) = context.load(Arc::clone(&store))?;
    let verified = if verify {
        let mut findings = Vec::new();
        let compared = compare(&store, &cardex.snapshot()?, report.to, &mut findings)?;
        let findings = findings.into_iter().map(|found| found.message).collect();
        Some(Verified::of(&compared, findings))
    } else {
        None
    };
    let summary = Summary::of(report, verified);
    let mut out = Out::new();
    match format {
        Format::Table => people(context, &summary, &mut out)?,
        format => out.json(&summary, format == Format::Json)?,
    }
    out.finish()?;
    Ok(if summary.is_good() {
        Outcome::Found
    } else {
        Outcome::Nothing
    })
}

impl Verified {
    fn of(compared: &Compared, findings: Vec<String>) -> Self {
        Verified {
            equal: findings.is_empty(),
            files: compared.files,
            names: compared.names,
            findings,
        }
    }
}

impl Summary {
    fn of(report: SyncReport, verified: Option<Verified>) -> Self {
        let skipped = report.skipped.into_iter().map(|row| Skipped {
            path: row.path,
            reason: row.reason,
        });
        let is_known = report.from != cardex::Position::default();
        Summary {
            mode: format::mode(report.mode),
            from: is_known.then(|| report.from.to_string()),
            to: report.to.to_string(),
            files: report.files,
            deleted: report.deleted,
            skipped_total: report.skipped_total,
            skipped: skipped.collect(),
            duration_ms: format::millis(report.duration),
            verified,
        }
    }

    fn is_good(&self) -> bool {
        self.skipped_total == 0 && self.verified.as_ref().is_none_or(|verified| verified.equal)
    }
}

fn people(context: &Context, summary: &Summary, out: &mut Out) -> Result<(), Failure> {
    let from = summary.from.as_deref().unwrap_or("nothing");
    let files = format!(
        "{} read, {} removed, {} skipped",
        format::count(summary.files),
        format::count(summary.deleted),
        format::count(summary.skipped_total)
    );
    let duration = std::time::Duration::from_millis(summary.duration_ms);
    let mut rows = vec![
        ("mode", summary.mode.to_owned()),
        ("from", from.to_owned()),
        ("to", summary.to.clone()),
        ("files", files),
        ("duration", format::duration(duration)),
    ];
    if let Some(verified) = &summary.verified {
        let counted = format!(
            "{}, {} names",
            format::files(verified.files),
            format::count(verified.names)
        );
        let verdict = match verified.equal {
            true => format!("equal to the rows: {counted}"),
            false => "differs from the rows".to_owned(),
        };
        rows.push(("verified", verdict));
    }
    lines(&fields(rows, context.paint))
        .iter()
        .try_for_each(|line| out.line(line))?;
    let findings = summary.verified.iter().flat_map(|v| &v.findings);
    for finding in findings {
        let differs = context.paint.red("differs");
        out.line(&format!("{differs}  {}", printable(finding)))?;
    }
    Ok(())
}
