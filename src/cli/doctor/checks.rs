//! What the doctor looks at.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cardex::extract::Language;
use cardex::kv::CachesSetup;
use cardex::store::SqliteStore;
use cardex::watch;
use cardex::{CacheCoordinator, HealthState, Reason};
use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::cli::context::Context;
use crate::cli::{format, index, project};

/// A database wants room for its log beside it.
const LEAST_FREE_BYTES: u64 = 64 << 20;

/// What this process has open beside the connections of its pool: files, pipes, the follower.
const OTHER_DESCRIPTORS: u64 = 64;

/// How many findings of a damaged database are told.
const MAX_FINDINGS: usize = 10;

/// A project and how it is set up.
pub(super) struct Subject<'c> {
    context: &'c Context,
}

impl<'c> Subject<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Subject { context }
    }

    /// Every check, the ones that others rest on first.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.project(), self.data(), self.disk(), sqlite()];
        let database = self.database();
        let is_sound = database.health.state.serves();
        checks.push(database);
        if is_sound && self.context.has_database() {
            checks.push(self.index());
        }
        checks.extend([
            self.memory(),
            self.descriptors(),
            self.watches(),
            self.server(),
            self.results(),
            languages(),
        ]);
        checks
    }

    fn project(&self) -> Check {
        let root = &self.context.root;
        let check = Check::new("project", root.display().to_string());
        match fs::read_dir(root) {
            Ok(_) => check,
            Err(cause) => {
                let message = format!("the root cannot be listed: {cause}");
                let reason = Reason::new("io", message).with_help("give yourself read permission");
                check.but(HealthState::Unhealthy, reason)
            }
        }
    }

    /// The file and the server of derived results. Nothing is opened; the server is asked whether it is
    /// there.
    fn results(&self) -> Check {
        let unknown = Check::new("results", "");
        let setup = match self.context.caches_setup(false) {
            Ok(setup) => setup,
            Err(error) => return unknown.but(HealthState::Unhealthy, Reason::from(&error)),
        };
        let file = setup.disk_path().map(|path| path.display().to_string());
        let server = setup.redis_server().map(|server| match setup.has_bus() {
            true => format!("{server} with a bus"),
            false => format!("{server} without a bus (coordination.enabled)"),
        });
        let seen: Vec<String> = file.into_iter().chain(server).collect();
        let seen = match seen.is_empty() {
            true => "nothing is kept yet".to_owned(),
            false => seen.join(", "),
        };
        let check = Check::new("results", seen);
        if !setup.is_enabled() {
            let reason = Reason::new("disabled", "they are switched off (tiers.enabled)");
            return check.but(HealthState::Disabled, reason);
        }
        // In memory alone: whether the types fit together.
        let clock = Arc::new(cardex::SystemClock);
        if let Err(error) = setup.clone().without_disk().open(None, clock) {
            return check.but(HealthState::Unhealthy, Reason::from(&error));
        }
        match ping(&setup) {
            Ok(()) => check,
            // The file and the memory go on without it.
            Err(error) => check.but(HealthState::Degraded, Reason::from(&error)),
        }
    }

    /// The directory of the database, and who else may use it.
    fn data(&self) -> Check {
        let directory = self.directory();
        let mut check = Check::new("directory", directory.display().to_string());
        if !directory.exists() {
            let message = "it does not exist yet";
            let reason = Reason::new("not-found", message).with_help("`cardex index` makes it");
            return check.but(HealthState::Unknown, reason);
        }
        if let Err(error) = project::assert_no_links(self.database_file(), &self.context.root) {
            check = check.but(HealthState::Unhealthy, Reason::from(&error));
        }
        if let Some(what) = project::unwritable(self.database_file()) {
            let message = format!("{} cannot be written to", what.display());
            let help = "SQLite keeps its log and locks beside the database even while it only \
                        reads: change the modes, or keep the database elsewhere with --db PATH";
            let reason = Reason::new("io", message).with_help(help);
            check = check.but(HealthState::Unhealthy, reason);
        }
        let others = [self.database_file(), &directory]
            .into_iter()
            .filter(|path| path.starts_with(self.context.root.join(project::DATA)))
            .filter_map(|path| Some((path, mode_of_others(path)?)));
        for (path, mode) in others {
            let message = format!("{} may be used by others (mode {mode:04o})", path.display());
            let help = format!("chmod go= {}", path.display());
            let reason = Reason::new("open-to-others", message).with_help(help);
            check = check.but(HealthState::Degraded, reason);
        }
        check
    }

    /// The room that is left, and whether locks and shared memory can be relied on.
    fn disk(&self) -> Check {
        let directory = self.directory();
        let existing = directory.ancestors().find(|path| path.exists());
        let existing = existing.unwrap_or(&self.context.root);
        let free = match statvfs(existing) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
            Err(cause) => {
                let reason = Reason::new("io", format!("its free space is not known: {cause}"));
                return Check::new("disk", existing.display().to_string())
                    .but(HealthState::Unknown, reason);
            }
        };
        let mut check = Check::new("disk", format!("{} free", format::bytes(free)));
        if free < LEAST_FREE_BYTES {
            let least = format::bytes(LEAST_FREE_BYTES);
            let reason = Reason::new("little-room", format!("less than {least} are free"))
                .with_help("free some, or keep the database on another disk with --db PATH");
            check = check.but(HealthState::Degraded, reason);
        }
        if let Some(kind) = network_file_system(existing) {
            let message = format!("{} is on {kind}", existing.display());
            let help = "SQLite's log needs memory shared by all who use it, which no network file \
                        system has: keep the database on a disk of this machine with --db PATH";
            let reason = Reason::new("network-file-system", message).with_help(help);
            check = check.but(HealthState::Unhealthy, reason);
        }
        check
    }

    /// Whether the database is there, sound, and writes down every change.
    fn database(&self) -> Check {
        let file = self.database_file();
        let check = Check::new("database", file.display().to_string());
        if !self.context.has_database() {
            let reason = Reason::new("not-found", "it does not exist yet")
                .with_help("`cardex index` makes it from the source tree");
            return check.but(HealthState::Unknown, reason);
        }
        let findings = match SqliteStore::check_file(file) {
            Ok(findings) => findings,
            Err(error) => return check.but(HealthState::Unhealthy, Reason::from(&error)),
        };
        let more = findings.len().saturating_sub(MAX_FINDINGS);
        let mut check = findings
            .iter()
            .take(MAX_FINDINGS)
            .fold(check, |check, found| {
                let reason = Reason::new(found.check, found.message.clone())
                    .with_help("`cardex db check --repair` mends what can be mended");
                check.but(HealthState::Unhealthy, reason)
            });
        if more > 0 {
            let reason = Reason::new("more", format!("{more} more findings"));
            check = check.but(HealthState::Unhealthy, reason);
        }
        check
    }

    /// The index that the database gives, and what it leaves out.
    fn index(&self) -> Check {
        let loaded = self
            .context
            .existing_store()
            .map(Arc::new)
            .and_then(|store| self.context.load(store));
        match loaded {
            Err(error) => Check::new("index", "").but(HealthState::Unhealthy, Reason::from(&error)),
            Ok((cardex, report)) => {
                let (files, took) = (report.files, format::duration(report.duration));
                let seen = format!("{}, read in {took}", format::plural(files, "file", "files"));
                Check::new("index", seen).found(cardex.health())
            }
        }
    }

    /// How much of the memory is used, by whomever.
    fn memory(&self) -> Check {
        let options = self.context.config.coordinator().clone();
        let stats = CacheCoordinator::new(options).stats();
        let tightest = stats.pressure.tightest();
        let seen = match tightest.and_then(|limit| Some((limit, limit.share()?))) {
            Some((limit, share)) => format!("{:.1} % of {} is used", share * 100.0, limit.source()),
            None => "not known".to_owned(),
        };
        let health = stats.pressure.health(stats.pressure_threshold);
        Check::new("memory", seen).found(health)
    }

    /// Whether the server could start with what it is told.
    fn server(&self) -> Check {
        let options = self.context.config.server();
        let check = Check::new("server", options.address().to_string());
        match options.assert_usable() {
            Ok(()) => check,
            Err(error) => check.but(HealthState::Unhealthy, Reason::from(&error)),
        }
    }

    /// How many files this process may have open.
    fn descriptors(&self) -> Check {
        // None is no limit.
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        // Each connection has the database, its log and its shared memory open.
        let connections = 3 * u64::from(self.context.config.sqlite().pool_size());
        let wanted = connections + OTHER_DESCRIPTORS;
        let check = Check::new(
            "descriptors",
            format!("{} may be open", format::count(limit)),
        );
        if limit >= wanted {
            return check;
        }
        let message = format!("{wanted} may be wanted at once");
        let reason = Reason::new("few-descriptors", message)
            .with_help("raise it (ulimit -n), or lower database.max_connections");
        check.but(HealthState::Degraded, reason)
    }

    /// How many directories may be watched, and how many there are.
    fn watches(&self) -> Check {
        let scanner = index::scanner(self.context);
        let counted =
            scanner.and_then(|scanner| watch::directories(&scanner, &AtomicBool::new(false)));
        let directories = match counted {
            Ok(directories) => directories,
            Err(error) => {
                return Check::new("watch", "").but(HealthState::Unknown, Reason::from(&error));
            }
        };
        let seen = format::plural(directories, "directory", "directories");
        let Some(limit) = watch::watch_limit() else {
            return Check::new("watch", seen);
        };
        let seen = format!("{seen}; {} may be watched", format::count(limit));
        let check = Check::new("watch", seen);
        if limit > directories {
            return check;
        }
        let message = "`cardex watch` would poll the tree: there are more directories than this user \
                       may watch";
        let reason = Reason::new("watch-limit", message)
            .with_help("raise fs.inotify.max_user_watches (sysctl), or exclude what is no source");
        check.but(HealthState::Degraded, reason)
    }

    fn database_file(&self) -> &Path {
        self.context.config.database()
    }

    fn directory(&self) -> PathBuf {
        let parent = self.database_file().parent();
        parent.unwrap_or(&self.context.root).to_path_buf()
    }
}

/// SQLite is compiled in; a version that can lose commits is refused when a database is opened.
fn sqlite() -> Check {
    Check::new("sqlite", SqliteStore::engine_version())
}

fn languages() -> Check {
    Check::new(
        "languages",
        format!("{} are known by name", Language::all().count()),
    )
}

/// The mode of a path, if it lets others than its owner do anything.
fn mode_of_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The kind of a file system that other machines share, if it is one.
#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Option<&'static str> {
    // The numbers of statfs(2).
    let kind = rustix::fs::statfs(path).ok()?.f_type as u32;
    match kind {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x00c3_6400 => Some("Ceph"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(feature = "redis")]
fn ping(setup: &CachesSetup) -> cardex::Result<()> {
    let clock: Arc<dyn cardex::Clock> = Arc::new(cardex::SystemClock);
    let client = setup.redis_client(&clock);
    client.map_or(Ok(()), |client| client.ping())
}

#[cfg(not(feature = "redis"))]
fn ping(_: &CachesSetup) -> cardex::Result<()> {
    Ok(())
}
