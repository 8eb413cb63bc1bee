//! `cardex db export`: every record as a line of JSON, in path order and of one instant. A file
//! appears whole or not at all, with the mode that it had; what is no file is written to as it is.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cardex::store::{MetadataStore, ScanReport};
use cardex::{Error, ErrorKind};

use super::args::Format;
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable, say};
use super::{Outcome, format, interrupt};

/// zstd's own default: the best of what costs little.
const ZSTD_LEVEL: i32 = 3;
/// As many links as Linux follows to find a file.
const MAX_LINKS: usize = 40;

/// Exports to a file, or to the standard output.
pub(super) fn run(context: &Context, file: Option<&Path>) -> Result<Outcome, Failure> {
    context.format("db export", &[Format::Jsonl])?;
    let store = context.existing_store()?;
    let is_stdout = |file: &&Path| ["-", "/dev/stdout"].map(Path::new).contains(file);
    let report = match file.filter(|file| !is_stdout(file)) {
        Some(file) => {
            assert_other(file, context.config.database())?;
            let report = to_file(&store, file)?;
            let records = format::plural(report.files, "record", "records");
            context.note(&format!("Exported {records} to {}", file.display()));
            report
        }
        None => to_stdout(&store)?,
    };
    for row in &report.skipped {
        say(&format!(
            "{}: {}",
            printable(&row.path),
            printable(&row.reason)
        ));
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
    let target = Target::open(file).map_err(fail)?;
    if matches!(target, Target::Whole(_)) {
        // From here on a signal ends the export at a line, and what was written is removed.
        interrupt::flag()?;
    }
    let report = write(store, &target, file, fail).map_err(|error| {
        // It may be the signal's work.
        interrupt::check().err().unwrap_or(error.into())
    })?;
    target.keep().map_err(fail)?;
    Ok(report)
}

fn write(
    store: &dyn MetadataStore,
    target: &Target,
    name: &Path,
    fail: impl Fn(io::Error) -> Error,
) -> Result<ScanReport, Error> {
    let mut plain = BufWriter::with_capacity(256 << 10, target.file());
    if name.extension().is_some_and(|extension| extension == "zst") {
        let mut encoder = zstd::Encoder::new(plain, ZSTD_LEVEL).map_err(&fail)?;
        let report = each_line(store, &mut encoder, &fail)?;
        encoder
            .finish()
            .and_then(|mut plain| plain.flush())
            .map_err(fail)?;
        Ok(report)
    } else {
        let report = each_line(store, &mut plain, &fail)?;
        plain.flush().map_err(fail)?;
        Ok(report)
    }
}

fn each_line(
    store: &dyn MetadataStore,
    out: &mut dyn Write,
    fail: impl Fn(io::Error) -> Error,
) -> Result<ScanReport, Error> {
    store.for_each(&mut |found| {
        if interrupt::check().is_err() {
            return Err(Error::new(ErrorKind::Cancelled, "the export was stopped"));
        }
        serde_json::to_writer(&mut *out, &found.record)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(&fail)
    })
}

/// An export over the database would end it.
fn assert_other(file: &Path, database: &Path) -> Result<(), Error> {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    match (fs::metadata(file), fs::metadata(database)) {
        (Ok(found), Ok(database)) if same(&found, &database) => {}
        _ => return Ok(()),
    }
    let message = format!("{} is the database itself", file.display());
    Err(Error::new(ErrorKind::InvalidInput, message).with_help("name another file"))
}

/// What an export is written to.
enum Target {
    /// A file, which appears when it is whole.
    Whole(Fresh),
    /// A pipe or a device: it has no other content that could be lost, and must stay what it is.
    Direct(File),
}

impl Target {
    /// Links are followed to what they lead to, and stay.
    fn open(file: &Path) -> io::Result<Self> {
        match fs::metadata(file) {
            Ok(found) if found.is_file() => {
                let name = fs::canonicalize(file)?;
                Ok(Target::Whole(Fresh::replacing(name, &found)?))
            }
            Ok(_) => Ok(Target::Direct(File::options().write(true).open(file)?)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                Ok(Target::Whole(Fresh::new(end_of_links(file)?)?))
            }
            Err(cause) => Err(cause),
        }
    }

    fn file(&self) -> &File {
        match self {
            Target::Whole(fresh) => &fresh.file,
            Target::Direct(file) => file,
        }
    }

    fn keep(self) -> io::Result<()> {
        match self {
            Target::Whole(fresh) => fresh.keep(),
            Target::Direct(_) => Ok(()),
        }
    }
}

/// The name that links lead to when there is no file of that name yet.
fn end_of_links(file: &Path) -> io::Result<PathBuf> {
    let mut name = file.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&name) {
            Ok(target) => name = name.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(name),
        }
    }
    Err(io::Error::other("too many links"))
}

/// A file under another name until it is whole; it is removed again unless it is kept.
struct Fresh {
    file: File,
    path: PathBuf,
    name: PathBuf,
    kept: bool,
}

impl Fresh {
    /// A file that is not there yet gets the mode that this process gives files.
    fn new(name: PathBuf) -> io::Result<Self> {
        Self::create(name, 0o666)
    }

    /// The owner and the mode of the old file go over to the new one.
    fn replacing(name: PathBuf, old: &Metadata) -> io::Result<Self> {
        let fresh = Self::create(name, 0o600)?;
        let made = fresh.file.metadata()?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            // Only root may give files away; for others the new file is theirs.
            let _ = std::os::unix::fs::fchown(&fresh.file, Some(old.uid()), Some(old.gid()));
        }
        let mode = fs::Permissions::from_mode(old.mode() & 0o777);
        fresh.file.set_permissions(mode)?;
        Ok(fresh)
    }

    fn create(name: PathBuf, mode: u32) -> io::Result<Self> {
        let mut path = name.clone().into_os_string();
        path.push(format!(".{}.new", std::process::id()));
        let path = PathBuf::from(path);
        let mut options = File::options();
        options.write(true).create_new(true).mode(mode);
        Ok(Fresh {
            file: options.open(&path)?,
            path,
            name,
            kept: false,
        })
    }

    fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.name)?;
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
