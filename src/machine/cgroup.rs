//! The control groups above this process, of both versions: the process's own, and every one above it
//! up to where the hierarchy is mounted, since each may have a limit.

use std::path::{Component, Path, PathBuf};

use super::files::{Files, Number, Text};
use super::limit::MemoryLimit;

/// At most so many groups above each other are read.
const MAX_DEPTH: usize = 64;
/// Members of a group wait for memory in so large a share of the time: its page cache is not free.
const STALLED: f64 = 0.10;
/// A limit of the first version at or above this is none: it is the largest number of whole pages.
const UNLIMITED: u64 = 1 << 62;

/// Which of the two kinds of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// `memory.limit_in_bytes`.
    One,
    /// `memory.max` and `memory.high`.
    Two,
}

/// The groups of one hierarchy that this process is in.
struct Hierarchy {
    version: Version,
    /// Where the hierarchy is mounted, as a path of the machine.
    mount: PathBuf,
    /// From there to the process's own group.
    own: PathBuf,
}

/// The limit of one group.
struct Bound {
    name: String,
    directory: PathBuf,
    version: Version,
    /// The smallest that can be read; `None` if none can.
    bytes: Option<u64>,
    /// A file beside it that cannot be read, and may have a smaller one.
    unread: Option<&'static str>,
}

/// The limits of all groups above the process that have one, from its own upwards.
pub(super) fn limits(files: &Files) -> Vec<MemoryLimit> {
    match bounds(files) {
        Ok(bounds) => bounds
            .iter()
            .flat_map(|bound| bound.limits(files))
            .collect(),
        Err(source) => vec![MemoryLimit::unknown(source)],
    }
}

/// The smallest limit that is known.
pub(super) fn smallest(files: &Files) -> Option<u64> {
    let bounds = bounds(files).ok()?;
    bounds.iter().filter_map(|bound| bound.bytes).min()
}

/// The groups above the process that have a limit; or the file that cannot be read, without which it
/// is not known which they are.
fn bounds(files: &Files) -> Result<Vec<Bound>, &'static str> {
    let mut bounds = Vec::new();
    for hierarchy in hierarchies(files)? {
        let groups = hierarchy.own.ancestors().take(MAX_DEPTH);
        bounds.extend(groups.filter_map(|group| hierarchy.bound(files, group)));
    }
    Ok(bounds)
}

/// The hierarchies that limit memory, of those that are mounted.
fn hierarchies(files: &Files) -> Result<Vec<Hierarchy>, &'static str> {
    let (groups, mounts) = ("proc/self/cgroup", "proc/self/mountinfo");
    let groups = match files.text(groups) {
        Text::Says(text) => text,
        // A kernel without control groups.
        Text::Absent => return Ok(Vec::new()),
        Text::Unreadable => return Err("cgroup"),
    };
    let Text::Says(mounts) = files.text(mounts) else {
        return Err("cgroup");
    };
    let mounted: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
    let own: Vec<(Version, &str)> = groups.lines().filter_map(own_group).collect();
    let paths = own.iter().map(|(_, path)| *path);
    let places = mounted.iter().flat_map(|mount| [mount.root, mount.point]);
    // A path that is not UTF-8 would lead elsewhere.
    if paths
        .chain(places)
        .any(|path| path.contains(char::REPLACEMENT_CHARACTER))
    {
        return Err("cgroup");
    }
    Ok(own
        .into_iter()
        .filter_map(|(version, path)| {
            let mount = mounted.iter().find(|mount| mount.version == version)?;
            Some(Hierarchy {
                version,
                mount: PathBuf::from(unescaped(mount.point)),
                own: below_mount(path, &unescaped(mount.root)),
            })
        })
        .collect())
}

/// A line of `/proc/self/cgroup`: `0::/path`, or `4:memory:/path`.
fn own_group(line: &str) -> Option<(Version, &str)> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    if id == "0" && controllers.is_empty() {
        return Some((Version::Two, path));
    }
    let limits_memory = controllers.split(',').any(|one| one == "memory");
    limits_memory.then_some((Version::One, path))
}

/// A mounted hierarchy of control groups that may limit memory.
struct Mount<'l> {
    version: Version,
    /// The group that is seen at the mount point.
    root: &'l str,
    point: &'l str,
}

impl<'l> Mount<'l> {
    /// A line of `/proc/self/mountinfo`: `ID PARENT DEVICE ROOT POINT OPTIONS … - TYPE SOURCE SUPER`.
    fn parse(line: &'l str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let version = match (kind.next()?, kind.nth(1)) {
            ("cgroup2", _) => Version::Two,
            ("cgroup", Some(options)) if options.split(',').any(|one| one == "memory") => {
                Version::One
            }
            _ => return None,
        };
        Some(Mount {
            version,
            root,
            point,
        })
    }
}

/// The kernel writes blanks, tabs, line ends and backslashes of a path in octal.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

/// A group's path from where the group `root` is seen. A process whose group is not below that, as in
/// some containers, sees its own group there.
fn below_mount(group: &str, root: &str) -> PathBuf {
    let relative = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
    let parts = relative.components();
    let is_plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    match parts.clone().all(|part| is_plain(&part)) {
        true => parts.collect(),
        false => PathBuf::new(),
    }
}

impl Hierarchy {
    /// The limit of a group, `path` below the mount point, if it has one.
    fn bound(&self, files: &Files, path: &Path) -> Option<Bound> {
        let directory = self.mount.join(path);
        let limits = match self.version {
            Version::One => &["memory.limit_in_bytes"][..],
            // Above `high` its members are held up until they take less.
            Version::Two => &["memory.max", "memory.high"][..],
        };
        let mut bytes = None;
        let mut unread = None;
        for limit in limits {
            match files.number(directory.join(limit)) {
                Number::Absent => {}
                Number::Unreadable => unread = Some(*limit),
                Number::Is(limit) if self.version == Version::One && limit >= UNLIMITED => {}
                Number::Is(limit) => {
                    bytes = Some(bytes.map_or(limit, |least: u64| least.min(limit)))
                }
            }
        }
        (bytes.is_some() || unread.is_some()).then(|| Bound {
            name: format!("cgroup /{}", path.display()),
            directory,
            version: self.version,
            bytes,
            unread,
        })
    }
}

impl Bound {
    /// Its limit, and after it the one that is unknown beside it.
    fn limits(&self, files: &Files) -> impl Iterator<Item = MemoryLimit> {
        let unread = self.unread.filter(|_| self.bytes.is_some());
        let unread = unread.map(|file| MemoryLimit::unknown(format!("{} {file}", self.name)));
        std::iter::once(self.measure(files)).chain(unread)
    }

    /// How much of it is used.
    fn measure(&self, files: &Files) -> MemoryLimit {
        let (current, inactive) = match self.version {
            Version::One => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::Two => ("memory.current", "inactive_file"),
        };
        let stalled = files.stall_share(self.directory.join("memory.pressure"));
        let used = match files.number(self.directory.join(current)) {
            Number::Is(used) => Some(used),
            Number::Absent | Number::Unreadable => None,
        };
        match (used, self.bytes) {
            (Some(used), Some(limit)) => {
                let is_stalled = stalled.is_some_and(|share| share >= STALLED);
                let stat = files.keyed(self.directory.join("memory.stat"), ' ');
                let reclaimable = stat.get(inactive).filter(|_| !is_stalled);
                let used = used.saturating_sub(reclaimable.unwrap_or(0));
                MemoryLimit::new(&self.name, used, limit)
            }
            _ => MemoryLimit::unknown(&self.name),
        }
        .stalled(stalled)
    }
}
