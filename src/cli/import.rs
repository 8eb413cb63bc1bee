//! `cardex db import`: records from JSON lines. Good lines are imported whatever the others are; each
//! bad one is named. Memory is bounded by a batch and by the length of a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;

use cardex::store::{MetadataStore, Write};
use cardex::{Error, ErrorKind, FileMetadata};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::context::Context;
use super::failure::Failure;
use super::output::{printable, say};
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
/// The first bytes of a text that says that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What is wrong with a file that is one JSON list.
const LIST: &str = "it is a list; each line is one record, an object in braces";

/// Imports a file, or the standard input.
pub(super) fn run(context: &Context, file: &Path) -> Result<Outcome, Failure> {
    context.global.no_format("db import")?;
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
    let mut bar = Bar::new(&context.global, &context.root, false);
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
            Err(_) if interrupt::check().is_err() => break interrupt::check(),
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
        let lines = format::plural(hidden, "bad line", "bad lines");
        say(&format!("and {lines} more (-v names them all)"));
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
    let raw = if file == Path::new("-") {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(file)
    };
    let fail =
        |cause| Error::new(ErrorKind::Io, format!("cannot open {}", file.display())).because(cause);
    let raw = Patient(raw.map_err(fail)?);
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

/// Waits for input a while at a time: a signal that is listened to restarts a read, and would
/// otherwise wait for whoever writes into the pipe.
struct Patient(File);

/// How long a signal waits at most to be noticed.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if interrupt::check().is_err() {
                return Err(io::Error::other("stopped by a signal"));
            }
            let mut input = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut input, Some(&WAIT)) {
                Ok(0) | Err(Errno::INTR) => {}
                // What is wrong with it, the read says.
                Ok(_) | Err(_) => return self.0.read(buffer),
            }
        }
    }
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
        // Windows programs begin a file with the mark of its encoding.
        let line = match number {
            1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            _ => line,
        };
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with(b"[") {
            // A list would be taken for the fields of a record in their order.
            self.tell_bad(number, LIST);
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
            say(&format!("line {number}: {}", printable(reason)));
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
