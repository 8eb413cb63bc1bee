//! `TreeWitness`: what files and directories are like, by asking the file system. It needs no watcher and
//! no index, sees a change as soon as it is made, and costs one `stat` a file.
//!
//! A file system gives equal times to changes that follow closely upon each other. Of a file that changed
//! just now, the contents are compared as well, as git does with its index ("racy git"). "Just now" is told
//! by this machine's clock: on a network disk whose server's clock is behind by more than a tenth of a second,
//! and of what is written through shared memory without a call, a change may go unseen until the next one.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::stamp::{FileStamp, Stamp, Witness};
use crate::dependencies::Source;
use crate::error::{Error, ErrorKind, Result};

/// The most files and directories below a directory that are looked at: what was made from a larger one
/// is not kept.
const MOST_BELOW: usize = 10_000;
/// The largest file whose contents are compared.
const MOST_BYTES: u64 = 16 << 20;
/// How far apart two changes may be that bear the same time: a tick of the kernel, ten times over.
const TICK_NS: i64 = 100_000_000;
/// The same on file systems that count in seconds, or in pairs of them.
const COARSE_NS: i64 = 2_100_000_000;
/// A directory that changes by being used: no result is taken to be made from it unless it names it.
const LEFT_OUT: &str = ".cardex";
/// Another one, of which these parts count: what is checked out, staged and committed.
const GIT: &str = ".git";
const GIT_PARTS: [&str; 8] = [
    "HEAD",
    "index",
    "packed-refs",
    "logs/HEAD",
    "config",
    "FETCH_HEAD",
    "MERGE_HEAD",
    "ORIG_HEAD",
];

/// Files and directories below a root, as they are on disk.
#[derive(Clone, Debug)]
pub struct TreeWitness {
    root: PathBuf,
}

impl TreeWitness {
    /// The tree below a root.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        TreeWitness { root: root.into() }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file or directory, if links on its way do not lead out of the root.
    fn resolve(&self, source: &Source) -> Result<Option<PathBuf>> {
        let path = self.root.join(source.as_str());
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(failed(&path, e)),
        };
        let root = self.root.canonicalize();
        let root = root.map_err(|e| failed(&self.root, e))?;
        if real.starts_with(&root) {
            return Ok(Some(real));
        }
        let message = format!("a link leads {source} out of the root");
        Err(Error::new(ErrorKind::InvalidPath, message))
    }

    fn look(&self, source: &Source) -> Result<Option<Stamp>> {
        // A link that leads nowhere is something, and may lead somewhere soon.
        let Some(path) = self.resolve(source)? else {
            let is_link = self.root.join(source.as_str()).symlink_metadata().is_ok();
            return Ok((!is_link).then_some(Stamp::Gone));
        };
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(e) if is_absent(&e) => return Ok(Some(Stamp::Gone)),
            Err(e) => return Err(failed(&path, e)),
        };
        if metadata.is_dir() {
            return self.directory(&path);
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(file(&path, &metadata, nanoseconds_now())?.map(Stamp::File))
    }
}

impl Witness for TreeWitness {
    fn stamp(&self, source: &Source) -> Result<Option<Stamp>> {
        match self.look(source) {
            // Nobody hears of changes out there.
            Err(error) if error.kind() == ErrorKind::InvalidPath => Ok(None),
            looked => looked,
        }
    }

    fn is_still(&self, source: &Source, stamp: &Stamp) -> Result<bool> {
        let Stamp::File(was) = stamp else {
            return Ok(self.stamp(source)?.as_ref() == Some(stamp));
        };
        let Ok(Some(path)) = self.resolve(source) else {
            return Ok(false);
        };
        let Ok(metadata) = path.metadata() else {
            return Ok(false);
        };
        if !metadata.is_file() || !was.is_of(&metadata) {
            return Ok(false);
        }
        match &was.digest {
            None => Ok(true),
            Some(digest) => Ok(contents(&path, was.size).ok().as_ref() == Some(digest)),
        }
    }
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        FileStamp {
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            identity: (metadata.dev(), metadata.ino()),
            digest: None,
        }
    }

    fn is_of(&self, metadata: &Metadata) -> bool {
        let now = FileStamp::of(metadata);
        FileStamp {
            digest: self.digest.clone(),
            ..now
        } == *self
    }

    /// Whether the next change might bear the same times.
    fn is_recent(&self, now: i64) -> bool {
        let times = [self.modified, self.changed];
        times.into_iter().any(|time| {
            let tick = match time % 1_000_000_000 {
                0 => COARSE_NS,
                _ => TICK_NS,
            };
            time > now.saturating_sub(tick)
        })
    }
}

/// What a file is like; `None` if it is too large to compare its contents, and that is needed, or if it
/// changes meanwhile.
fn file(path: &Path, metadata: &Metadata, now: i64) -> Result<Option<FileStamp>> {
    let mut stamp = FileStamp::of(metadata);
    if !stamp.is_recent(now) {
        return Ok(Some(stamp));
    }
    if stamp.size > MOST_BYTES {
        return Ok(None);
    }
    match contents(path, stamp.size) {
        Ok(digest) => {
            stamp.digest = Some(digest);
            Ok(Some(stamp))
        }
        Err(e) if is_absent(&e) || e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(failed(path, e)),
    }
}

/// A digest of the contents, which are of this size.
fn contents(path: &Path, size: u64) -> io::Result<String> {
    let mut file = io::Read::take(std::fs::File::open(path)?, size + 1);
    let mut hasher = blake3::Hasher::new();
    if io::copy(&mut file, &mut hasher)? != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(short(&hasher))
}

fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}

impl TreeWitness {
    /// What a directory is like, all below it included; `None` if there is too much of that, if it changes
    /// meanwhile, or if a link in it leads to what cannot be told with it.
    fn directory(&self, path: &Path) -> Result<Option<Stamp>> {
        let root = self.root.canonicalize();
        let root = root.map_err(|e| failed(&self.root, e))?;
        let now = nanoseconds_now();
        let mut found: Vec<(PathBuf, String)> = Vec::new();
        let mut ahead = vec![path.to_path_buf()];
        while let Some(next) = ahead.pop() {
            let entries = match std::fs::read_dir(&next) {
                Ok(entries) => entries,
                Err(e) if is_absent(&e) => return Ok(None),
                Err(e) => return Err(failed(&next, e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| failed(&next, e))?;
                let path = entry.path();
                let metadata = match path.symlink_metadata() {
                    Ok(metadata) => metadata,
                    Err(e) if is_absent(&e) => return Ok(None),
                    Err(e) => return Err(failed(&path, e)),
                };
                let name = entry.file_name();
                if name == LEFT_OUT {
                    continue;
                }
                if name == GIT {
                    let Some(parts) = git(&path, &metadata, now)? else {
                        return Ok(None);
                    };
                    found.extend(parts);
                    ahead.extend(Some(path.join("refs")).filter(|refs| refs.is_dir()));
                    continue;
                }
                let Some(like) = inside(&path, &metadata, now, &root)? else {
                    return Ok(None);
                };
                if metadata.is_dir() {
                    ahead.push(path.clone());
                }
                found.push((path, like));
                if found.len() > MOST_BELOW {
                    return Ok(None);
                }
            }
        }
        found.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for (path, like) in &found {
            for part in [path.as_os_str().as_encoded_bytes(), like.as_bytes()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Ok(Some(Stamp::Directory(found.len() as u64, short(&hasher))))
    }
}

/// What a repository is like, but for its references, which are walked; `None` if it lies elsewhere.
fn git(path: &Path, metadata: &Metadata, now: i64) -> Result<Option<Vec<(PathBuf, String)>>> {
    if !metadata.is_dir() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for part in GIT_PARTS.map(|part| path.join(part)) {
        let Ok(metadata) = part.metadata() else {
            continue;
        };
        match file(&part, &metadata, now)? {
            Some(stamp) => parts.push((part, format!("f{stamp:?}"))),
            None => return Ok(None),
        }
    }
    Ok(Some(parts))
}

/// What something in a directory is like. Of a directory only that it is one: what is in it follows. A link
/// counts with the file that it leads to, below the root; one that leads elsewhere is `None`.
fn inside(path: &Path, metadata: &Metadata, now: i64, root: &Path) -> Result<Option<String>> {
    if metadata.is_dir() {
        return Ok(Some("d".to_owned()));
    }
    if metadata.is_symlink() {
        let Ok(target) = path.canonicalize() else {
            return Ok(None);
        };
        let Ok(metadata) = target.metadata() else {
            return Ok(None);
        };
        if !target.starts_with(root) || !metadata.is_file() {
            return Ok(None);
        }
        let stamp = file(&target, &metadata, now)?;
        return Ok(stamp.map(|stamp| format!("l{} {stamp:?}", target.display())));
    }
    if !metadata.is_file() {
        return Ok(Some("o".to_owned()));
    }
    // With its digest while it is recent, and without it later: so a directory seems to have changed once
    // more than it has, never once less.
    Ok(file(path, metadata, now)?.map(|stamp| format!("f{stamp:?}")))
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// By the clock that file systems take their times from.
fn nanoseconds_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn failed(path: &Path, cause: io::Error) -> Error {
    let message = format!("cannot look at {}", path.display());
    Error::new(ErrorKind::Io, message).because(cause)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Tree {
        folder: tempfile::TempDir,
        witness: TreeWitness,
    }

    impl Tree {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let witness = TreeWitness::new(folder.path());
            Tree { folder, witness }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn source(&self, path: &str) -> Source {
            Source::under(self.folder.path(), path).unwrap()
        }

        fn stamp(&self, path: &str) -> Stamp {
            self.witness.stamp(&self.source(path)).unwrap().unwrap()
        }

        fn is_still(&self, path: &str, stamp: &Stamp) -> bool {
            self.witness.is_still(&self.source(path), stamp).unwrap()
        }

        /// Whether each of the changes is seen at this source.
        fn sees(&self, source: &str, change: impl FnOnce(&Path)) -> bool {
            let stamp = self.stamp(source);
            assert!(self.is_still(source, &stamp), "{source}: {stamp:?}");
            change(self.folder.path());
            !self.is_still(source, &stamp)
        }
    }

    #[test]
    fn a_file_that_is_written_replaced_removed_or_made_is_another_one() {
        let tree = Tree::new();
        tree.write("a", "one");
        assert!(tree.sees("a", |root| fs::write(root.join("a"), "two").unwrap()));
        assert!(tree.sees("a", |root| {
            fs::write(root.join("b"), "two").unwrap();
            fs::rename(root.join("b"), root.join("a")).unwrap();
        }));
        assert!(tree.sees("a", |root| fs::remove_file(root.join("a")).unwrap()));
        assert_eq!(tree.stamp("a"), Stamp::Gone);
        assert!(tree.sees("a", |root| fs::write(root.join("a"), "").unwrap()));
        assert!(tree.sees("a", |root| {
            fs::remove_file(root.join("a")).unwrap();
            fs::create_dir(root.join("a")).unwrap();
        }));
        assert!(!tree.sees("a", |_| {}));
    }

    #[test]
    fn a_change_that_bears_the_same_time_is_seen() {
        let tree = Tree::new();
        let mut at_once = 0;
        for n in 0..200 {
            tree.write("a", "one");
            let Stamp::File(before) = tree.stamp("a") else {
                panic!("it is a file");
            };
            let other = if n % 2 == 0 { "two" } else { "six" };
            tree.write("a", other);
            let path = tree.folder.path().join("a");
            at_once += usize::from(before.is_of(&path.metadata().unwrap()));
            assert!(!tree.is_still("a", &Stamp::File(before)));
        }
        eprintln!("{at_once} of 200 changes bore the time of the one before");
    }

    #[test]
    fn a_time_that_is_put_back_hides_nothing() {
        let tree = Tree::new();
        tree.write("a", "one");
        assert!(tree.sees("a", |root| {
            let path = root.join("a");
            let modified = path.metadata().unwrap().modified().unwrap();
            fs::write(&path, "two").unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(modified).unwrap();
        }));
    }

    #[test]
    fn a_directory_is_all_that_is_below_it() {
        let tree = Tree::new();
        tree.write("d/e/a", "one");
        tree.write("d/.git/objects/one", "one");
        tree.write("d/.git/HEAD", "ref: refs/heads/main");
        tree.write("d/.git/refs/heads/main", "one");
        tree.write("other", "one");
        for source in ["d", "d/e", "."] {
            assert!(tree.sees(source, |root| fs::write(root.join("d/e/a"), "two").unwrap()));
            assert!(tree.sees(source, |root| fs::write(root.join("d/e/b"), "").unwrap()));
            assert!(tree.sees(source, |root| fs::remove_file(root.join("d/e/b")).unwrap()));
            assert!(tree.sees(source, |root| {
                fs::create_dir(root.join("d/e/f")).unwrap();
            }));
            assert!(tree.sees(source, |root| {
                fs::rename(root.join("d/e/f"), root.join("d/e/g")).unwrap();
            }));
            fs::remove_dir(tree.folder.path().join("d/e/g")).unwrap();
            let elsewhere =
                |root: &Path| fs::write(root.join("d/.git/objects/one"), "two").unwrap();
            assert!(!tree.sees(source, elsewhere));
        }
        for part in ["HEAD", "refs/heads/main", "refs/heads/new", "index"] {
            let path = format!("d/.git/{part}");
            assert!(
                tree.sees("d", |root| fs::write(root.join(&path), "two!").unwrap()),
                "{part}"
            );
        }
        assert!(!tree.sees("d", |root| fs::write(root.join("other"), "two").unwrap()));
    }

    #[test]
    fn what_nobody_hears_of_has_no_stamp() {
        let (tree, outside) = (Tree::new(), tempfile::tempdir().unwrap());
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, tree.folder.path().join(name)).unwrap();
        };
        link(outside.path(), "out");
        link(Path::new("nowhere"), "dangling");
        for name in ["out", "dangling"] {
            assert_eq!(tree.witness.stamp(&tree.source(name)).unwrap(), None);
        }
        tree.write("a", "one");
        link(Path::new("a"), "in");
        assert!(tree.sees("in", |root| fs::write(root.join("a"), "two").unwrap()));
        let many = tree.folder.path().join("many");
        fs::create_dir(&many).unwrap();
        for n in 0..=MOST_BELOW {
            fs::File::create(many.join(n.to_string())).unwrap();
        }
        assert_eq!(tree.witness.stamp(&tree.source("many")).unwrap(), None);
    }

    #[test]
    fn a_link_in_a_directory_counts_with_what_it_leads_to() {
        let tree = Tree::new();
        let link = |to: &str, name: &str| {
            let name = tree.folder.path().join(name);
            std::os::unix::fs::symlink(to, name).unwrap();
        };
        tree.write("src/a", "one");
        tree.write("lib/a", "one");
        link("../lib/a", "src/linked");
        assert!(tree.sees("src", |root| fs::write(root.join("lib/a"), "two").unwrap()));
        for (to, name) in [
            ("../lib", "src/dir"),
            ("/etc/hostname", "src/out"),
            ("no", "src/none"),
        ] {
            link(to, name);
            assert_eq!(
                tree.witness.stamp(&tree.source("src")).unwrap(),
                None,
                "{name}"
            );
            fs::remove_file(tree.folder.path().join(name)).unwrap();
        }
        tree.write("worktree/.git", "gitdir: /elsewhere");
        assert_eq!(tree.witness.stamp(&tree.source("worktree")).unwrap(), None);
    }

    #[test]
    fn an_old_file_is_told_by_its_times_alone() {
        let witness = TreeWitness::new(env!("CARGO_MANIFEST_DIR"));
        let source = Source::under(witness.root(), "Cargo.toml").unwrap();
        let stamp = witness.stamp(&source).unwrap().unwrap();
        assert!(matches!(&stamp, Stamp::File(file) if file.digest.is_none()));
        assert!(witness.is_still(&source, &stamp).unwrap());
        let text = serde_json::to_string(&stamp).unwrap();
        assert_eq!(serde_json::from_str::<Stamp>(&text).unwrap(), stamp);
    }
}
