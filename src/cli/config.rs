//! `cardex config`: the configuration in force, as TOML or as data, without secrets; and what it may
//! be.

use cardex::config::Entry;
use serde::Serialize;

use super::Outcome;
use super::args::{Format, Global};
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    key: &'a str,
    value: &'a str,
    origin: String,
    default: String,
    range: String,
    about: &'a str,
}

/// Prints the configuration.
pub(super) fn show(context: &Context, origin: bool) -> Result<Outcome, Failure> {
    let format = context.format("config show", &[Format::Table, Format::Json])?;
    let entries = context.config.entries();
    let mut out = Out::new();
    if format == Format::Json {
        out.json(&entries.iter().map(shown).collect::<Vec<_>>(), true)?;
    } else {
        toml(context, entries, origin, &mut out)?;
    }
    out.finish()?;
    Ok(Outcome::Found)
}

/// Prints the schema of a configuration file.
pub(super) fn schema(global: &Global) -> Result<Outcome, Failure> {
    match global.format {
        None | Some(Format::Json) => {}
        Some(_) => global.no_format("config schema")?,
    }
    let mut out = Out::new();
    out.json(&cardex::config::schema(), true)?;
    out.finish()?;
    Ok(Outcome::Found)
}

fn shown(entry: &Entry) -> Shown<'_> {
    Shown {
        key: &entry.name,
        value: &entry.value,
        origin: entry.origin.to_string(),
        default: entry.key.default_text(),
        range: entry.key.kind.to_string(),
        about: entry.key.doc,
    }
}

/// As a file that could be read again; the origins stand in comments.
fn toml(context: &Context, entries: &[Entry], origin: bool, out: &mut Out) -> Result<(), Failure> {
    let mut section = "";
    for entry in entries {
        let (table, key) = entry.name.rsplit_once('.').unwrap_or(("", &entry.name));
        if table != section {
            if !section.is_empty() {
                out.line("")?;
            }
            out.line(&context.paint.bold(&format!("[{table}]")))?;
            section = table;
        }
        let line = format!("{key} = {}", printable(&entry.value));
        if origin {
            let from = format!("# {}", printable(&entry.origin.to_string()));
            out.line(&format!("{line:<44} {}", context.paint.dim(&from)))?;
        } else {
            out.line(&line)?;
        }
    }
    Ok(())
}
