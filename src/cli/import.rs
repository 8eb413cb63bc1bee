//! `cardex db import`: records from JSON lines. Good lines are imported whatever the others are; each
//! bad one is named. Memory is bounded by a batch and by the length of a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use cardex::store::{MetadataStore, Write};
use cardex::{Error, ErrorKind, FileMetadata};

use super::context::Context;
use super::failure::Failure;
use super::output::printable;
use super::progress::Bar;
use super::{Outcome, format, interrupt};

/// Records of one transaction.
const BATCH: usize = 500;
/// The longest line, in bytes: four times the largest record that a cache accepts.
const MAX_LINE: u64 = 64 << 20;
/// How many bad lines are named without `-v`.
const BAD_SHOWN: u64 = 20;
/// The first bytes of a file that zstd has compressed.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Imports a file, or the standard input.
pub(super) fn run(context: &Context, file: &Path) -> Result<Outcome, Failure> {
    let mut input = open(file)?;
    interrupt::flag()?;
    let store = context.create_store()?;
    let mut import = Import {
        context,
        store: &store,
        batch: Vec::new(),
        imported: 0,
        bad: 0,
    };
    let mut bar = Bar::new(context, &context.root, false);
    let mut line = Vec::new();
    let mut number = 0;
    let result = loop {
        number += 1;
        match next_line(&mut input, &mut line) {
            Ok(0) => break Ok(()),
            Ok(read) if read > MAX_LINE => {
                import.tell_bad(
                    number,
                    &format!("it is longer than {}", format::bytes(MAX_LINE)),
                );
            }
            Ok(_) => {
                if let Err(failure) = import.line(number, line.trim_ascii()) {
                    break Err(failure);
                }
            }
            Err(cause) => {
                let message = format!("cannot read line {number} of {}", file.display());
                break Err(Error::new(ErrorKind::Io, message).because(cause).into());
            }
        }
        bar.count(format!(
            "Importing  {} records",
            format::count(import.imported)
        ));
        if let Err(stopped) = interrupt::check() {
            break Err(stopped);
        }
    };
    bar.clear();
    // What was read is kept, whatever came after it.
    import.flush()?;
    let (imported, bad) = (import.imported, import.bad);
    let records = format::plural(imported, "record", "records");
    context.note(&format!("Imported {records}"));
    result?;
    warn_of_tree(context)?;
    if bad == 0 {
        return Ok(Outcome::Found);
    }
    let hidden = if context.global.verbose > 0 {
        0
    } else {
        bad.saturating_sub(BAD_SHOWN)
    };
    if hidden > 0 {
        eprintln!(
            "and {} more (-v names them all)",
            format::plural(hidden, "bad line", "bad lines")
        );
    }
    let lines = format::plural(bad, "line was", "lines were");
    let message = format!("{lines} not imported; {records} were");
    Err(Error::new(ErrorKind::InvalidInput, message)
        .with_help("mend the lines and import them again; what is there already is replaced")
        .into())
}

/// A query would bring a database that follows a tree back in line with it.
fn warn_of_tree(context: &Context) -> Result<(), Failure> {
    if let Some(tree) = super::tree::Tree::read(context.config.database())? {
        context.note(&format!(
            "note: this database follows {}; the next index or query (without --cached) removes \
             records of files that are not there",
            tree.root.display()
        ));
    }
    Ok(())
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let raw: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let fail = |cause| {
            Error::new(ErrorKind::Io, format!("cannot open {}", file.display())).because(cause)
        };
        Box::new(File::open(file).map_err(fail)?)
    };
    let mut reader = BufReader::with_capacity(256 << 10, raw);
    let fail =
        |cause| Error::new(ErrorKind::Io, format!("cannot read {}", file.display())).because(cause);
    // Told by content: the standard input has no name.
    if reader.fill_buf().map_err(fail)?.starts_with(&ZSTD_MAGIC) {
        let decoder = zstd::Decoder::with_buffer(reader).map_err(fail)?;
        return Ok(Box::new(BufReader::with_capacity(256 << 10, decoder)));
    }
    Ok(Box::new(reader))
}

/// Reads a line without its end; how many bytes it took, 0 at the end of the input. Of a line that is
/// too long only the beginning is kept.
fn next_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    let mut read = input.take(MAX_LINE + 1).read_until(b'\n', line)? as u64;
    if read > MAX_LINE && line.last() != Some(&b'\n') {
        line.clear();
        read += input.skip_until(b'\n')? as u64;
    }
    Ok(read)
}

/// An import in progress.
struct Import<'a> {
    context: &'a Context,
    store: &'a dyn MetadataStore,
    batch: Vec<(u64, FileMetadata)>,
    imported: u64,
    bad: u64,
}

impl Import<'_> {
    fn line(&mut self, number: u64, line: &[u8]) -> Result<(), Failure> {
        if line.is_empty() {
            return Ok(());
        }
        match serde_json::from_slice(line) {
            Ok(record) => self.batch.push((number, record)),
            Err(error) => self.tell_bad(number, &reason(&error)),
        }
        if self.batch.len() >= BATCH {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes the batch in one transaction, or, if the store refuses it, record by record, to find
    /// the one that is to blame.
    fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        let writes: Vec<Write> = batch
            .iter()
            .map(|(_, record)| Write::Put(record.clone()))
            .collect();
        let refused = |error: &Error| {
            matches!(
                error.kind(),
                ErrorKind::InvalidRecord | ErrorKind::InvalidPath
            )
        };
        match self.store.write(&writes) {
            Ok(_) => self.imported += batch.len() as u64,
            Err(error) if refused(&error) => {
                for (number, record) in &batch {
                    match self.store.put(record) {
                        Ok(_) => self.imported += 1,
                        Err(error) if refused(&error) => {
                            self.tell_bad(*number, &format!("{error:#}"))
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn tell_bad(&mut self, number: u64, reason: &str) {
        self.bad += 1;
        if self.bad <= BAD_SHOWN || self.context.global.verbose > 0 {
            eprintln!("line {number}: {}", printable(reason));
        }
    }
}

/// What is wrong with a line: its own number is the one that counts, not the parser's.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line 1 column ") {
        Some(at) => format!("{} at column {}", &text[..at], error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_anywhere() {
        let mut input: &[u8] = b"a\n\nb";
        let mut line = Vec::new();
        let mut sizes = Vec::new();
        while let read @ 1.. = next_line(&mut input, &mut line).unwrap() {
            sizes.push(read);
        }
        assert_eq!(sizes, [2, 1, 1]);
    }
}
