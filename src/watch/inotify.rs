//! What Linux tells of changes: one watch a directory, set before the directory is listed, so that nothing
//! which is made in between is missed. Directories that are left out of the tree are not watched.
//!
//! Only changes are asked for, not that somebody opens or reads: otherwise each look at the tree would
//! fill the queue of events, and a queue that overflows is answered by a look at the tree.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ignore::overrides::Override;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::coalesce::Event;
use super::shared::{Mode, Shared};
use super::watches::Watches;
use crate::error::{Error, ErrorKind, Result};
use crate::extract::{Filter, excludes, outside};
use crate::health::Reason;
use crate::primitives::Mutex;
use crate::worker::Worker;

/// How many bytes of events are read at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// So many events are taken before new directories are watched: what is made in them meanwhile is found
/// when they are listed.
const MAX_EVENTS: usize = 8192;

/// The files that hold ignore rules, here and in a repository's `info`.
const RULE_FILES: [&str; 2] = [".gitignore", "exclude"];

/// What whoever brings the tree in asks of who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    /// Look whether every directory is watched, and then have the whole tree looked at.
    Reconcile,
    /// Begin anew: the root is another directory than before.
    Reset,
}

/// The thread that listens. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Backend {
    doorbell: Arc<Doorbell>,
    _listener: Worker,
}

/// Wakes the listener where it waits for events.
#[derive(Debug)]
struct Doorbell {
    bell: OwnedFd,
    asked: Mutex<Option<Ask>>,
    is_over: AtomicBool,
}

impl Doorbell {
    fn ring(&self) {
        // Fails only where the count is full, and then it is rung.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Backend {
    /// Watches the tree, and has it looked at as soon as it is watched. `ring` is called when a path waits
    /// and none did before.
    ///
    /// # Errors
    /// `Io` if there is no thread or descriptor to be had, `InvalidPattern` for an ignore pattern.
    pub(super) fn start(shared: &Arc<Shared>, ring: impl Fn() + Send + 'static) -> Result<Backend> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = bell.map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot make a descriptor to be woken by")
                .because(std::io::Error::from(cause))
        })?;
        let doorbell = Arc::new(Doorbell {
            bell,
            asked: Mutex::new(Some(Ask::Reset)),
            is_over: AtomicBool::new(false),
        });
        let mut listener = Listener {
            quiet: excludes(&shared.root, shared.options.ignored())?,
            shared: Arc::clone(shared),
            ring: Box::new(ring),
            doorbell: Arc::clone(&doorbell),
            queue: None,
            watches: Watches::default(),
            rules: HashSet::new(),
            filter: None,
            stale: BTreeMap::new(),
            found: Vec::new(),
            overflowed: None,
            now: Duration::ZERO,
        };
        let listener = Worker::spawn("cardex-watch-events", move |stop| listener.round(stop))?;
        doorbell.ring();
        listener.ring();
        Ok(Backend {
            doorbell,
            _listener: listener,
        })
    }

    /// Asks for it; never waits. The larger of two requests stands for both.
    pub(super) fn ask(&self, ask: Ask) {
        {
            let mut asked = self.doorbell.asked.lock();
            *asked = (*asked).max(Some(ask));
        }
        self.doorbell.ring();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.doorbell.is_over.store(true, Ordering::Release);
        self.doorbell.ring();
    }
}

/// How many directories this user may watch; none if that is not known.
pub fn watch_limit() -> Option<u64> {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    limit.trim().parse().ok()
}

/// An event as it was read.
struct Heard {
    watch: i32,
    flags: ReadFlags,
    name: Name,
}

/// Whom an event is about.
enum Name {
    /// The directory itself.
    Itself,
    /// What is in it under this name.
    Child(String),
    /// A name that no record can have.
    NoText,
}

/// What the thread knows.
struct Listener {
    shared: Arc<Shared>,
    ring: Box<dyn Fn() + Send>,
    doorbell: Arc<Doorbell>,
    /// The queue of events; none while nothing is watched.
    queue: Option<OwnedFd>,
    watches: Watches,
    /// Watches of directories outside of the tree that hold rules for it.
    rules: HashSet<i32>,
    /// The ignore rules, until they may have changed.
    filter: Option<Filter>,
    quiet: Override,
    /// Directories that are to be watched anew with all below them, and then looked at.
    stale: BTreeMap<String, Event>,
    /// What is told at the end of this round, in this order: a few for each event that was read. The two
    /// halves of a rename are told together, however long the directory of the new name takes to be watched.
    found: Vec<(String, Event)>,
    /// When events were lost, first and last.
    overflowed: Option<(Duration, Duration)>,
    /// When the events of this round were read. All of them count from then, so that the two halves of a
    /// rename are due together.
    now: Duration,
}

impl Listener {
    /// Waits for events and takes them.
    fn round(&mut self, stop: &AtomicBool) -> Option<Duration> {
        if self.doorbell.is_over.load(Ordering::Acquire) {
            return None;
        }
        self.wait();
        let asked = self.doorbell.asked.lock().take();
        match asked {
            Some(Ask::Reset) => self.reset(),
            Some(Ask::Reconcile) if self.queue.is_none() => self.reset(),
            Some(Ask::Reconcile) => self.renew(""),
            None => {}
        }
        let heard = self.read();
        self.now = self.shared.clock.elapsed();
        for event in heard {
            self.take(&event);
        }
        self.take_overflow();
        self.watch_stale(stop);
        self.tell_all();
        let directories = self.watches.len();
        let counts = &self.shared.counts;
        counts.directories.store(directories, Ordering::Relaxed);
        Some(Duration::ZERO)
    }

    /// Waits for events, for a request, or until lost events are to be answered.
    fn wait(&self) {
        let left = self.overflow_due().map(|due| {
            let left = due.saturating_sub(self.shared.clock.elapsed());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut ready = vec![PollFd::new(&self.doorbell.bell, PollFlags::IN)];
        if let Some(queue) = &self.queue {
            ready.push(PollFd::new(queue, PollFlags::IN));
        }
        // Whatever it fails with, the round looks at both.
        let _ = poll(&mut ready, left.as_ref());
        let _ = rustix::io::read(&self.doorbell.bell, &mut [0; 8]);
    }

    /// Lost events are answered as a path is that changes all the time.
    fn overflow_due(&self) -> Option<Duration> {
        let options = &self.shared.options;
        let (first, last) = self.overflowed?;
        Some((last + options.quiet()).min(first + options.longest()))
    }

    fn take_overflow(&mut self) {
        let now = self.shared.clock.elapsed();
        if self.overflow_due().is_some_and(|due| due <= now) {
            self.overflowed = None;
            self.renew("");
        }
    }

    /// Takes what the queue holds, up to a limit.
    fn read(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        let Some(queue) = &self.queue else {
            return heard;
        };
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(queue, &mut buffer);
        let broken = loop {
            // What was read is taken to its end.
            if heard.len() >= MAX_EVENTS && reader.is_buffer_empty() {
                break None;
            }
            match reader.next() {
                Ok(event) => heard.push(Heard {
                    watch: event.wd(),
                    flags: event.events(),
                    name: match event.file_name().map(|name| name.to_str()) {
                        None => Name::Itself,
                        Some(Ok(name)) => Name::Child(name.to_owned()),
                        Some(Err(_)) => Name::NoText,
                    },
                }),
                Err(Errno::AGAIN) => break None,
                Err(Errno::INTR) => {}
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = broken {
            let why = std::io::Error::from(error);
            self.poll_instead(Reason::new(
                "watch-broken",
                format!("events cannot be read: {why}"),
            ));
        }
        heard
    }

    /// What an event means for the paths that wait.
    fn take(&mut self, heard: &Heard) {
        if heard.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            let first = self.overflowed.map_or(self.now, |(first, _)| first);
            self.overflowed = Some((first, self.now));
            self.shared.counts.overflows.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.rules.contains(&heard.watch) {
            self.take_outside(heard);
            return;
        }
        let Some(directory) = self.watches.path(heard.watch).map(str::to_owned) else {
            return;
        };
        match &heard.name {
            Name::Itself => self.take_itself(heard, &directory),
            Name::Child(name) => self.take_child(heard.flags, &directory, name),
            Name::NoText => {}
        }
    }

    /// Rules outside of the tree may have changed.
    fn take_outside(&mut self, heard: &Heard) {
        if heard.flags.contains(ReadFlags::IGNORED) {
            self.rules.remove(&heard.watch);
        }
        if let Name::Child(name) = &heard.name
            && RULE_FILES.contains(&name.as_str())
        {
            self.renew("");
        }
    }

    /// What happened to a directory that is watched: its parent is told as well, but that of the root.
    fn take_itself(&mut self, heard: &Heard, directory: &str) {
        let ended = ReadFlags::IGNORED | ReadFlags::UNMOUNT | ReadFlags::DELETE_SELF;
        if directory.is_empty() {
            if heard.flags.intersects(ended | ReadFlags::MOVE_SELF) {
                self.lose();
            } else if heard.flags.contains(ReadFlags::ATTRIB) {
                self.renew("");
            }
        } else if heard.flags.contains(ReadFlags::IGNORED) {
            self.watches.forget(heard.watch);
        }
    }

    fn take_child(&mut self, flags: ReadFlags, directory: &str, name: &str) {
        let path = match directory {
            "" => name.to_owned(),
            directory => format!("{directory}/{name}"),
        };
        // Where a repository begins, the rules of another one end.
        if name == ".gitignore" || name == ".git" {
            self.count();
            self.renew(directory);
        }
        let event = if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            Event::Created
        } else if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            Event::Deleted
        } else {
            Event::Modified
        };
        let is_directory = flags.contains(ReadFlags::ISDIR);
        let moved = ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
        if is_directory && flags.intersects(moved) {
            // Its rules went with it, or came with it.
            self.filter = None;
        }
        if is_directory && event == Event::Deleted {
            self.unwatch(&path, &HashSet::new());
        }
        if self.is_left_out(&path, is_directory) {
            return;
        }
        self.count();
        match is_directory && event != Event::Deleted {
            true => {
                self.stale.insert(path, event);
            }
            false => self.found.push((path, event)),
        }
    }

    fn count(&self) {
        self.shared.counts.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells what was found in this round, all of it at once: what is due meanwhile is taken with all of it,
    /// or with none.
    fn tell_all(&mut self) {
        if self.shared.events(self.now, self.found.drain(..)) {
            (self.ring)();
        }
    }

    /// The rules that hold below a directory may have changed, or watches may be missing there.
    fn renew(&mut self, directory: &str) {
        self.filter = None;
        self.stale.insert(directory.to_owned(), Event::Modified);
    }

    fn is_left_out(&mut self, path: &str, is_directory: bool) -> bool {
        let (shared, path) = (&self.shared, self.absolute(path));
        let filter = self.filter.get_or_insert_with(|| shared.scanner().filter());
        filter.leaves_out(&path, is_directory)
            || self.quiet.matched(&path, is_directory).is_ignore()
    }

    fn absolute(&self, path: &str) -> PathBuf {
        match path {
            "" => self.shared.root.clone(),
            path => self.shared.root.join(path),
        }
    }

    /// Begins anew: with an empty queue and no watches.
    fn reset(&mut self) {
        self.forget_all();
        match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(queue) => self.queue = Some(queue),
            Err(cause) => {
                let reason = Reason::new("watch-limit", format!("no watch can be had: {cause}"))
                    .with_help("raise fs.inotify.max_user_instances (sysctl)");
                self.poll_instead(reason);
                return;
            }
        }
        self.shared.is_blind.store(false, Ordering::Release);
        self.renew("");
        for directory in outside::above(&self.shared.root) {
            self.watch_rules(&directory);
        }
    }

    fn forget_all(&mut self) {
        self.queue = None;
        self.watches = Watches::default();
        self.rules.clear();
        self.stale.clear();
        self.filter = None;
        self.overflowed = None;
    }

    /// The root is not where it was. Whoever brings the tree in says what to do.
    fn lose(&mut self) {
        self.forget_all();
        self.shared.is_blind.store(true, Ordering::Release);
        (self.ring)();
    }

    /// Nothing can be watched, or not all of it, which is the same.
    fn poll_instead(&mut self, reason: Reason) {
        self.forget_all();
        self.shared.is_blind.store(false, Ordering::Release);
        self.shared.set_mode(Mode::Polling(reason));
        self.shared.reconcile_at_once();
        (self.ring)();
    }

    /// Watches the directories that are new, or whose rules are, and has them looked at.
    fn watch_stale(&mut self, stop: &AtomicBool) {
        for (directory, event) in std::mem::take(&mut self.stale) {
            if let Err(reason) = self.watch_below(&directory, stop) {
                self.poll_instead(reason);
                return;
            }
            if self.queue.is_none() || stop.load(Ordering::Relaxed) {
                return;
            }
            if directory.is_empty() {
                self.shared.set_mode(Mode::Events);
                self.shared.reconcile_at_once();
                (self.ring)();
            } else {
                self.found.push((directory, event));
            }
        }
    }

    /// Watches a directory and all below it that belong to the tree, each before it is listed; watches of
    /// others end.
    fn watch_below(&mut self, top: &str, stop: &AtomicBool) -> Result<(), Reason> {
        let mut seen = HashSet::new();
        let mut open = vec![top.to_owned()];
        if !top.is_empty() && self.is_left_out(top, true) {
            open.clear();
        }
        while let Some(directory) = open.pop() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let path = self.absolute(&directory);
            let Some(watch) = self.add(&path, WATCHED)? else {
                continue;
            };
            self.watches.set(watch, &directory);
            seen.insert(watch);
            // What cannot be listed is told of by whoever reads the tree.
            let Ok(entries) = fs::read_dir(&path) else {
                continue;
            };
            for entry in entries.filter_map(Result::ok) {
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                if name == ".git" {
                    self.watch_rules(&outside::info(&path));
                }
                let below = match directory.as_str() {
                    "" => name,
                    directory => format!("{directory}/{name}"),
                };
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_directory && !self.is_left_out(&below, true) {
                    open.push(below);
                }
            }
        }
        self.unwatch(top, &seen);
        Ok(())
    }

    fn unwatch(&mut self, top: &str, stay: &HashSet<i32>) {
        let ended = self.watches.take_below(top, stay);
        if let Some(queue) = &self.queue {
            for watch in ended {
                // The watch of a directory that is gone has ended already.
                let _ = inotify::remove_watch(queue, watch);
            }
        }
    }

    fn watch_rules(&mut self, directory: &Path) {
        // Where that cannot be, the next look at the whole tree finds what has changed.
        if let Ok(Some(watch)) = self.add(directory, RULES) {
            self.rules.insert(watch);
        }
    }

    /// The watch of a directory; none if there is no such directory, or none that may be read.
    fn add(&self, path: &Path, flags: WatchFlags) -> Result<Option<i32>, Reason> {
        let Some(queue) = &self.queue else {
            return Ok(None);
        };
        let most = self.shared.options.most_directories();
        if self.watches.len() >= most {
            let message = format!("no more than {most} directories are to be watched");
            return Err(Reason::new("watch-limit", message));
        }
        match inotify::add_watch(queue, path, flags) {
            Ok(watch) => Ok(Some(watch)),
            Err(Errno::NOSPC) => {
                let watched = self.watches.len();
                let message = match watch_limit() {
                    Some(limit) => format!(
                        "no more than {watched} directories could be watched, and \
                         fs.inotify.max_user_watches is {limit} for all programs of this user"
                    ),
                    None => format!("no more than {watched} directories could be watched"),
                };
                let help = "raise fs.inotify.max_user_watches (sysctl), or exclude directories that \
                            are no source";
                Err(Reason::new("watch-limit", message).with_help(help))
            }
            Err(cause @ (Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::BADF)) => {
                let message = format!("{} cannot be watched: {cause}", path.display());
                Err(Reason::new("watch-broken", message))
            }
            Err(_) => Ok(None),
        }
    }
}

/// What is asked for of a directory of the tree.
const WATCHED: WatchFlags = RULES
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::EXCL_UNLINK);

/// And of one that holds rules.
const RULES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW);
