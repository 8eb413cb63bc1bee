//! Which files of a tree are candidates: a walk that goes where git would. It stats files and opens
//! none.
//!
//! - `.gitignore` files count at every depth, negations included, also those above the root up to
//!   the repository's top, and `.git/info/exclude`; a user's own global ignore file does not: two
//!   people who share a database must see the same files.
//! - Hidden files and directories are walked as git walks them: `.github/` is source like any
//!   other. `.git` itself never is, nor are the stores of other version control systems and ours.
//! - Symbolic links are told of and not followed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, WalkBuilder, WalkState};
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::FilePath;

use super::secrets::looks_secret;
use super::skip::{SkipReason, Skipped};

/// Directories that are never walked, whatever the ignore rules say.
const NEVER: &[&str] = &[".git", ".hg", ".svn", ".jj", ".cardex"];

/// A regular file that no rule excludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: FilePath,
    pub(super) size_bytes: u64,
    pub(super) last_modified: Option<DateTime<Utc>>,
}

/// What a walk found, in no order.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) candidates: Vec<Candidate>,
    /// Files that were seen and are no candidates, and directories that could not be read.
    pub(super) skipped: Vec<Skipped>,
}

/// The globs of `exclude`, in the syntax of `.gitignore`, relative to the root.
///
/// # Errors
/// `InvalidPattern` naming the glob.
pub(super) fn excludes(root: &Path, globs: &[String]) -> Result<Override> {
    let refuse = |glob: &str, cause: ignore::Error| {
        Error::new(
            ErrorKind::InvalidPattern,
            format!("`{glob}` is no glob to exclude files with"),
        )
        .because(cause)
    };
    let mut builder = OverrideBuilder::new(root);
    for glob in globs {
        builder
            .add(&format!("!{glob}"))
            .map_err(|cause| refuse(glob, cause))?;
    }
    builder
        .build()
        .map_err(|cause| refuse(&globs.join(" "), cause))
}

/// Walks the tree, or only what lies at and below the paths of `only`.
///
/// # Errors
/// `Io` if the root cannot be read, `Cancelled` if `stop` was set.
pub(super) fn walk(
    root: &Path,
    excludes: &Override,
    only: Option<&[FilePath]>,
    threads: usize,
    stop: &AtomicBool,
) -> Result<Walked> {
    // Fails here, with the root's name, rather than as an empty tree.
    std::fs::read_dir(root).map_err(|cause| {
        Error::new(
            ErrorKind::Io,
            format!("cannot read the directory {}", root.display()),
        )
        .because(cause)
    })?;
    let mut builder = WalkBuilder::new(root);
    builder
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .git_ignore(true)
        .git_exclude(true)
        .parents(true)
        .require_git(false)
        .follow_links(false)
        .overrides(excludes.clone())
        .threads(threads);
    let filter_root = root.to_path_buf();
    let only = only.map(<[FilePath]>::to_vec);
    builder.filter_entry(move |entry| {
        let named_never = entry
            .file_name()
            .to_str()
            .is_some_and(|name| NEVER.contains(&name));
        if entry.depth() > 0 && named_never {
            return false;
        }
        match (&only, entry.path().strip_prefix(&filter_root)) {
            (Some(only), Ok(inside)) => only.iter().any(|path| on_the_way(path, inside)),
            _ => true,
        }
    });
    let all = Mutex::new(Walked::default());
    builder.build_parallel().run(|| {
        Box::new(|entry| {
            if stop.load(Ordering::Relaxed) {
                return WalkState::Quit;
            }
            let seen = match entry {
                Ok(entry) => look(root, &entry),
                Err(error) => unreadable(root, &error).map(Seen::Skipped),
            };
            match seen {
                Some(Seen::Candidate(candidate)) => all.lock().candidates.push(candidate),
                Some(Seen::Skipped(skipped)) => all.lock().skipped.push(skipped),
                None => {}
            }
            WalkState::Continue
        })
    });
    if stop.load(Ordering::Relaxed) {
        return Err(Error::new(
            ErrorKind::Cancelled,
            "the walk was told to stop",
        ));
    }
    Ok(all.into_inner())
}

/// Whether an entry is an ancestor of `path`, `path` itself, or below it.
fn on_the_way(path: &FilePath, entry: &Path) -> bool {
    let path = Path::new(path.as_str());
    path.starts_with(entry) || entry.starts_with(path)
}

enum Seen {
    Candidate(Candidate),
    Skipped(Skipped),
}

/// Judges one entry; none for directories and for files that are gone again.
fn look(root: &Path, entry: &DirEntry) -> Option<Seen> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return None;
    }
    let inside = entry.path().strip_prefix(root).ok()?;
    let skip = |reason| {
        Some(Seen::Skipped(Skipped {
            path: inside.to_path_buf(),
            reason,
        }))
    };
    let Ok(path) = FilePath::under(root, inside) else {
        return skip(SkipReason::BadPath);
    };
    if looks_secret(&path) {
        return skip(SkipReason::Secret);
    }
    if kind.is_symlink() {
        return skip(SkipReason::Symlink);
    }
    if !kind.is_file() {
        return skip(SkipReason::NotAFile);
    }
    match entry.metadata() {
        Ok(metadata) => Some(Seen::Candidate(Candidate {
            path,
            size_bytes: metadata.len(),
            last_modified: metadata.modified().ok().and_then(time),
        })),
        Err(error) => match error.io_error() {
            Some(io) if io.kind() == std::io::ErrorKind::NotFound => None,
            _ => skip(SkipReason::Unreadable(error.to_string())),
        },
    }
}

/// A time of the file system; none if no calendar has it.
pub(super) fn time(at: std::time::SystemTime) -> Option<DateTime<Utc>> {
    match at.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => {
            DateTime::from_timestamp(i64::try_from(after.as_secs()).ok()?, after.subsec_nanos())
        }
        Err(before) => {
            let before = chrono::TimeDelta::from_std(before.duration()).ok()?;
            DateTime::UNIX_EPOCH.checked_sub_signed(before)
        }
    }
}

/// What could not be read, by its path. None for what is gone again.
fn unreadable(root: &Path, error: &ignore::Error) -> Option<Skipped> {
    if error
        .io_error()
        .is_some_and(|io| io.kind() == std::io::ErrorKind::NotFound)
    {
        return None;
    }
    // Without a path, anything may be missing: the empty path is above everything.
    let path = path_of(error).map(|path| path.strip_prefix(root).unwrap_or(path).to_path_buf());
    let cause = error
        .io_error()
        .map_or_else(|| error.to_string(), ToString::to_string);
    Some(Skipped {
        path: path.unwrap_or_default(),
        reason: SkipReason::Unreadable(cause),
    })
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    let mut error = error;
    loop {
        match error {
            ignore::Error::WithPath { path, .. } => return Some(path),
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
                error = err;
            }
            ignore::Error::Partial(errors) => error = errors.first()?,
            _ => return None,
        }
    }
}
