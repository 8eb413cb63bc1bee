//! `cardex db export`: every record as a line of JSON, in path order and of one instant. A file
//! appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use cardex::store::{MetadataStore, ScanReport};
use cardex::{Error, ErrorKind};

use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable};
use super::{Outcome, format};

/// zstd's own default: the best of what costs little.
const ZSTD_LEVEL: i32 = 3;

/// Exports to a file, or to the standard output.
pub(super) fn run(context: &Context, file: Option<&Path>) -> Result<Outcome, Failure> {
    let store = context.existing_store()?;
    let report = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let report = to_file(&store, file)?;
            let records = format::plural(report.files, "record", "records");
            context.note(&format!("Exported {records} to {}", file.display()));
            report
        }
        None => to_stdout(&store)?,
    };
    for row in &report.skipped {
        eprintln!("{}: {}", printable(&row.path), printable(&row.reason));
    }
    if report.skipped_total > 0 {
        let records = format::plural(report.skipped_total, "record", "records");
        let message = format!("{records} could not be read and are not in the export");
        let help = "`cardex db check` says what is wrong";
        return Err(Error::new(ErrorKind::DatabaseCorrupt, message)
            .with_help(help)
            .into());
    }
    Ok(Outcome::Found)
}

fn to_stdout(store: &dyn MetadataStore) -> Result<ScanReport, Failure> {
    let mut out = Out::new();
    let mut failure = None;
    let report = store.for_each(&mut |found| {
        out.json(&found.record, false).map_err(|cause| {
            failure = Some(cause);
            Error::new(ErrorKind::Cancelled, "the output ended")
        })
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    out.finish()?;
    Ok(report?)
}

fn to_file(store: &dyn MetadataStore, file: &Path) -> Result<ScanReport, Failure> {
    let fail = |cause: io::Error| {
        Error::new(ErrorKind::Io, format!("cannot write {}", file.display())).because(cause)
    };
    let fresh = Fresh::beside(file).map_err(fail)?;
    let plain = BufWriter::with_capacity(256 << 10, &fresh.file);
    let report = if file.extension().is_some_and(|extension| extension == "zst") {
        let mut encoder = zstd::Encoder::new(plain, ZSTD_LEVEL).map_err(fail)?;
        let report = each_line(store, &mut encoder, fail)?;
        encoder
            .finish()
            .and_then(|mut plain| plain.flush())
            .map_err(fail)?;
        report
    } else {
        let mut plain = plain;
        let report = each_line(store, &mut plain, fail)?;
        plain.flush().map_err(fail)?;
        report
    };
    fresh.keep(file).map_err(fail)?;
    Ok(report)
}

fn each_line(
    store: &dyn MetadataStore,
    out: &mut dyn Write,
    fail: impl Fn(io::Error) -> Error,
) -> Result<ScanReport, Error> {
    store.for_each(&mut |found| {
        serde_json::to_writer(&mut *out, &found.record)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(&fail)
    })
}

/// A file that is removed again unless it is kept.
struct Fresh {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Fresh {
    fn beside(file: &Path) -> io::Result<Self> {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let path = PathBuf::from(name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Fresh {
            file,
            path,
            kept: false,
        })
    }

    fn keep(mut self, name: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, name)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing is lost if it stays: its name says what it is.
            let _ = fs::remove_file(&self.path);
        }
    }
}
