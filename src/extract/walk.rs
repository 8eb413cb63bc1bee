//! Which files of a tree are candidates: a walk that goes where git would. It stats files and opens
//! none but those with ignore rules.
//!
//! - `.gitignore` files count at every depth, negations included, also those above the root up to
//!   the repository's top and no further, and `.git/info/exclude`; a user's own global ignore file
//!   does not: two people who share a database must see the same files.
//! - Hidden files and directories are walked as git walks them: `.github/` is source like any
//!   other. `.git` itself never is, nor are the stores of other version control systems and ours.
//! - Symbolic links are told of and not followed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Datelike, Utc};
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, WalkBuilder, WalkState};
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::FilePath;

use super::rules::Rules;
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
    /// Files that were seen and are no candidates, directories and ignore rules that could not be
    /// read.
    pub(super) skipped: Vec<Skipped>,
}

/// The globs of `exclude`, in the syntax of `.gitignore`, relative to the root.
///
/// # Errors
/// `InvalidPattern` naming the glob.
pub(crate) fn excludes(root: &Path, globs: &[String]) -> Result<Override> {
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

/// What of a tree is left out, by the rules of one moment: each rule file is read once, when the first
/// entry beside it is judged.
#[derive(Debug)]
pub(crate) struct Filter {
    excludes: Override,
    leave_out: HashSet<PathBuf>,
    rules: Rules,
}

impl Filter {
    pub(super) fn new(root: &Path, excludes: Override, leave_out: HashSet<PathBuf>) -> Self {
        Filter {
            excludes,
            leave_out,
            rules: Rules::new(root),
        }
    }

    /// Whether an entry below the root is no part of the tree. To be asked of directories first: what
    /// is below an excluded one is excluded, whatever the rules say of it.
    pub(crate) fn leaves_out(&self, path: &Path, is_directory: bool) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| NEVER.contains(&name))
            || self.leave_out.contains(path)
            || self.excludes.matched(path, is_directory).is_ignore()
            || self.rules.exclude(path, is_directory)
    }
}

/// Where rules of a tree stand that are not in it: directories above its root, and those of the repository
/// that begins in a directory.
#[cfg(feature = "watch")]
pub(crate) mod outside {
    use std::path::{Path, PathBuf};

    use crate::extract::rules;

    /// The directories above the root, up to the top of its repository, that may hold a `.gitignore`; and
    /// the one of that repository's `exclude` file, if it begins there.
    pub(crate) fn above(root: &Path) -> Vec<PathBuf> {
        let mut above = rules::directories_above(root);
        if let Some(top) = above.last() {
            above.push(rules::info_directory(top));
        }
        above
    }

    /// The directory of the `exclude` file of a repository that begins here.
    pub(crate) fn info(top: &Path) -> PathBuf {
        rules::info_directory(top)
    }
}

/// Some paths of a tree, and all below them: asked in time that does not depend on how many they are.
#[derive(Debug)]
pub(super) struct Only {
    paths: HashSet<PathBuf>,
    above: HashSet<PathBuf>,
}

impl Only {
    pub(super) fn new(paths: &[FilePath]) -> Self {
        let paths = paths.iter().map(|path| PathBuf::from(path.as_str()));
        let paths: HashSet<PathBuf> = paths.collect();
        let above = paths.iter().flat_map(|path| path.ancestors().skip(1));
        let above = above.map(Path::to_path_buf).collect();
        Only { paths, above }
    }

    /// Whether an entry, by its path from the root, is one of the paths or below one.
    pub(super) fn has(&self, entry: &Path) -> bool {
        entry.ancestors().any(|above| self.paths.contains(above))
    }

    /// Whether an entry is one of the paths, below one, or on the way to one.
    fn is_on_the_way(&self, entry: &Path) -> bool {
        self.above.contains(entry) || self.has(entry)
    }
}

/// Walks the tree, or only what lies at and below the paths of `only`.
///
/// # Errors
/// `Io` if the root cannot be read, `Cancelled` if `stop` was set.
pub(super) fn walk(
    root: &Path,
    filter: Filter,
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
        .git_ignore(false)
        .git_exclude(false)
        .parents(false)
        .follow_links(false)
        .threads(threads);
    let filter_root = root.to_path_buf();
    let only = only.map(Only::new);
    let filter = Arc::new(filter);
    let asked = Arc::clone(&filter);
    builder.filter_entry(move |entry| {
        if entry.depth() == 0 {
            return true;
        }
        if let (Some(only), Ok(inside)) = (&only, entry.path().strip_prefix(&filter_root))
            && !only.is_on_the_way(inside)
        {
            return false;
        }
        let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        !asked.leaves_out(entry.path(), is_directory)
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
    let mut walked = all.into_inner();
    tell(&mut walked, filter.rules.take_untold());
    Ok(walked)
}

/// Adds the rule files that could not be read, each in the place of what else was seen there.
fn tell(walked: &mut Walked, rules: Vec<Skipped>) {
    if rules.is_empty() {
        return;
    }
    let paths: HashSet<PathBuf> = rules.iter().map(|rule| rule.path.clone()).collect();
    let told = |path: &Path| paths.contains(path);
    walked
        .candidates
        .retain(|candidate| !told(Path::new(candidate.path.as_str())));
    walked.skipped.retain(|skipped| !told(&skipped.path));
    walked.skipped.extend(rules);
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

/// A time of the file system; none if no calendar has it, or its year has more than four digits, which
/// no record can have.
pub(super) fn time(at: std::time::SystemTime) -> Option<DateTime<Utc>> {
    let time = any_time(at)?;
    (0..=9999).contains(&time.year()).then_some(time)
}

fn any_time(at: std::time::SystemTime) -> Option<DateTime<Utc>> {
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_time_that_no_record_can_have_is_none() {
        let last = 253_402_300_799;
        let year = |seconds| time(UNIX_EPOCH + Duration::from_secs(seconds)).map(|at| at.year());
        assert_eq!(year(last), Some(9999));
        assert_eq!(year(last + 1), None);
        assert_eq!(year(300_000_000_000), None);
        let before = UNIX_EPOCH.checked_sub(Duration::from_secs(90_000_000_000));
        assert_eq!(before.and_then(time), None);
    }
}
