//! Ignore rules, as git has them: the `.gitignore` files from a repository's top down to a
//! directory, and the top's `info/exclude`. Rules end at a repository's top: what stands above it
//! is of another project. A tree in no repository has the rules of its own files alone.
//!
//! Nothing here waits: a pipe or device in a rule file's place is told of and not opened. Rules that
//! exist and cannot be read count as none, and are told of, so that nobody takes the answer for the
//! whole truth.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::RandomState;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use parking_lot::{Mutex, RwLock};
use rustix::fs::{Mode, OFlags};

use super::skip::{SkipReason, Skipped};

/// A larger rule file is not read. Real ones have a few hundred lines.
const MAX_RULES_BYTES: u64 = 4 << 20;

/// The rules of a tree. Each directory's are read when the first of its entries is judged.
#[derive(Debug)]
pub(super) struct Rules {
    root: PathBuf,
    /// By directory; none where no rule holds.
    levels: RwLock<HashMap<OsString, Option<Arc<Level>>, RandomState>>,
    untold: Mutex<Vec<Skipped>>,
}

/// The rules of a directory, and by `above` those that hold where it says nothing.
#[derive(Debug)]
struct Level {
    rules: Gitignore,
    above: Option<Arc<Level>>,
}

impl Rules {
    /// The rules of the tree below `root`, an absolute path without links.
    pub(super) fn new(root: &Path) -> Self {
        let rules = Rules {
            root: root.to_path_buf(),
            levels: RwLock::default(),
            untold: Mutex::default(),
        };
        let top = root.ancestors().find(|directory| is_top(directory));
        // From the top down to the root; the root alone where there is no repository.
        let mut directories: Vec<&Path> = root
            .ancestors()
            .take_while(|directory| directory.starts_with(top.unwrap_or(root)))
            .collect();
        directories.reverse();
        let mut level = None;
        for directory in directories {
            level = rules.read_level(directory, level);
        }
        rules.levels.write().insert(root.into(), level);
        rules
    }

    /// Whether a rule excludes an entry below the root. To be asked of directories first: what is
    /// below an excluded one is excluded, whatever the rules say of it.
    pub(super) fn exclude(&self, path: &Path, is_directory: bool) -> bool {
        let nearest = path.parent().and_then(|parent| self.level(parent));
        let levels = std::iter::successors(nearest.as_deref(), |level| level.above.as_deref());
        for level in levels {
            match level.rules.matched(path, is_directory) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }

    /// The rule files that could not be read since this was last asked.
    pub(super) fn take_untold(&self) -> Vec<Skipped> {
        std::mem::take(&mut *self.untold.lock())
    }

    fn level(&self, directory: &Path) -> Option<Arc<Level>> {
        if let Some(level) = self.levels.read().get(directory.as_os_str()) {
            return level.clone();
        }
        // Parents are judged before their children, so this is one step but for a caller's whim.
        let above = match directory.starts_with(&self.root) {
            true => directory.parent().and_then(|parent| self.level(parent)),
            false => return None,
        };
        let level = self.read_level(directory, above);
        let mut levels = self.levels.write();
        levels.entry(directory.into()).or_insert(level).clone()
    }

    fn read_level(&self, directory: &Path, above: Option<Arc<Level>>) -> Option<Arc<Level>> {
        let above = match is_top(directory) {
            true => {
                let file = common_directory(directory).join("info/exclude");
                // Git follows a link there, and none to a `.gitignore`.
                let file = fs::canonicalize(&file).unwrap_or(file);
                let told = directory.join(".git/info/exclude");
                self.read_file(directory, &file, &told, None)
            }
            false => above,
        };
        let file = directory.join(".gitignore");
        self.read_file(directory, &file, &file, above)
    }

    /// Puts the rules of a file on top of others. `told` is the name it has in reports.
    fn read_file(
        &self,
        directory: &Path,
        file: &Path,
        told: &Path,
        above: Option<Arc<Level>>,
    ) -> Option<Arc<Level>> {
        let rules = read(file).and_then(|text| match text {
            Some(text) => parse(directory, &text).map(Some),
            None => Ok(None),
        });
        match rules {
            Ok(Some(rules)) if !rules.is_empty() => Some(Arc::new(Level { rules, above })),
            Ok(_) => above,
            Err(reason) => {
                let path = self.relative(told);
                self.untold.lock().push(Skipped { path, reason });
                above
            }
        }
    }

    /// A path as seen from the root, also above it.
    fn relative(&self, path: &Path) -> PathBuf {
        let shared = self.root.ancestors().find(|above| path.starts_with(above));
        let shared = shared.unwrap_or(Path::new(""));
        let up = self.root.strip_prefix(shared).unwrap_or(Path::new(""));
        let mut out: PathBuf = up.components().map(|_| "..").collect();
        out.push(path.strip_prefix(shared).unwrap_or(path));
        out
    }
}

/// The directories above a tree that may hold rules for it: from its root, exclusive, to the top of its
/// repository; and none if it is in no repository.
#[cfg(feature = "watch")]
pub(super) fn directories_above(root: &Path) -> Vec<PathBuf> {
    let Some(top) = root.ancestors().find(|directory| is_top(directory)) else {
        return Vec::new();
    };
    let above = root.ancestors().skip(1);
    let above = above.take_while(|directory| directory.starts_with(top));
    above.map(Path::to_path_buf).collect()
}

/// The directory of the `exclude` file of a repository that begins here.
#[cfg(feature = "watch")]
pub(super) fn info_directory(top: &Path) -> PathBuf {
    common_directory(top).join("info")
}

/// Whether a repository begins here.
fn is_top(directory: &Path) -> bool {
    fs::symlink_metadata(directory.join(".git")).is_ok()
}

/// Where a repository keeps what its worktrees share: `.git`, or where that file points.
fn common_directory(top: &Path) -> PathBuf {
    let git = top.join(".git");
    let line = |file: &Path| read(file).ok().flatten();
    let pointed = line(&git).and_then(|text| {
        let to = text.strip_prefix("gitdir:")?.trim();
        Some(top.join(to))
    });
    let Some(directory) = pointed else {
        return git;
    };
    match line(&directory.join("commondir")) {
        Some(common) => directory.join(common.trim()),
        None => directory,
    }
}

/// The text of a small regular file; none if there is none.
fn read(path: &Path) -> Result<Option<String>, SkipReason> {
    let fail = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(SkipReason::RulesUnread(cause.to_string())),
    };
    // Before it is opened: to open a device can have effects.
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(None),
        Ok(metadata) if metadata.is_symlink() => return Err(SkipReason::Symlink),
        Ok(metadata) if !metadata.is_file() => return Err(SkipReason::NotAFile),
        Ok(_) => {}
        Err(cause) => return fail(cause),
    }
    // And for what took its place since then.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(cause) => return fail(cause.into()),
    };
    let mut bytes = Vec::new();
    match file.metadata() {
        Ok(metadata) if !metadata.is_file() => return Err(SkipReason::NotAFile),
        Ok(_) => {}
        Err(cause) => return fail(cause),
    }
    match file.take(MAX_RULES_BYTES + 1).read_to_end(&mut bytes) {
        Ok(length) if length as u64 > MAX_RULES_BYTES => Err(SkipReason::RulesUnread(format!(
            "it is larger than {MAX_RULES_BYTES} bytes"
        ))),
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(cause) => fail(cause),
    }
}

/// Lines that are no glob are left out, as git does.
fn parse(directory: &Path, text: &str) -> Result<Gitignore, SkipReason> {
    let mut builder = GitignoreBuilder::new(directory);
    for line in text.trim_start_matches('\u{feff}').lines() {
        // A bad line says nothing.
        let _ = builder.add_line(None, line);
    }
    builder
        .build()
        .map_err(|cause| SkipReason::RulesUnread(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worktree_has_the_excludes_of_its_repository() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("main/.git/info/exclude", "*.out\n");
        write("main/.git/worktrees/w/commondir", "../..\n");
        write("w/.git", "gitdir: ../main/.git/worktrees/w\n");
        let rules = Rules::new(&root.join("w"));
        assert!(rules.exclude(&root.join("w/a.out"), false));
        assert!(!rules.exclude(&root.join("w/a.py"), false));
        assert!(rules.take_untold().is_empty());
    }

    #[test]
    fn paths_above_the_root_are_told_from_the_root() {
        let rules = Rules::new(Path::new("/nowhere/in/here"));
        for (path, told) in [
            ("/nowhere/.gitignore", "../../.gitignore"),
            ("/nowhere/in/here/a/.gitignore", "a/.gitignore"),
        ] {
            assert_eq!(rules.relative(Path::new(path)), Path::new(told));
        }
    }
}
