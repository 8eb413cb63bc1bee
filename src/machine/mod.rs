//! What memory there is for this process, and how much of it is used: of the machine, and of each
//! control group that the process is in. The kernel's own files are read; elsewhere than on Linux the
//! `sysinfo` crate is asked, with the feature `pressure`.

mod cgroup;
mod files;
mod limit;
#[cfg(all(feature = "pressure", any(test, not(target_os = "linux"))))]
mod portable;

use std::path::PathBuf;

use self::files::Files;
pub use self::limit::MemoryLimit;

/// The source of the machine's own limit.
const MACHINE: &str = "machine";

/// The name of this machine, which others hardly have; `None` where it is not known.
#[cfg(all(feature = "cli", feature = "redis"))]
pub(crate) fn name() -> Option<String> {
    let files = Files::below("/".into());
    let names = ["etc/machine-id", "proc/sys/kernel/hostname"].into_iter();
    let mut names = names.filter_map(|file| match files.text(file) {
        files::Text::Says(name) => Some(name.trim().to_owned()),
        files::Text::Absent | files::Text::Unreadable => None,
    });
    names.find(|name| !name.is_empty())
}

/// The name of this boot of the machine, which no other has; `None` where it is not known.
#[cfg(feature = "sqlite")]
pub(crate) fn boot_name() -> Option<String> {
    match Files::below("/".into()).text("proc/sys/kernel/random/boot_id") {
        files::Text::Says(name) => Some(name),
        files::Text::Absent | files::Text::Unreadable => None,
    }
}

/// The memory of this machine and of the control groups above this process.
#[derive(Clone, Debug)]
pub struct SystemMemory {
    files: Files,
}

impl Default for SystemMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl SystemMemory {
    /// Of the machine that this process runs on.
    pub fn new() -> Self {
        Self::at("/")
    }

    /// Of a machine whose `/proc` and `/sys` are below this directory.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        SystemMemory {
            files: Files::below(root.into()),
        }
    }

    /// Every limit as it is now, the machine's first, then those of the control groups from the
    /// process's own upwards. One that exists and cannot be read is unknown.
    ///
    /// Of the machine, what the kernel calls available is not in use. Of a control group, page cache
    /// that was not used lately (`inactive_file`) is not: it is given back when it is wanted. But while
    /// members of the group wait for memory in a tenth of the time, by its pressure stall information,
    /// taking it back is evidently what they wait for, and it counts.
    pub fn limits(&self) -> Vec<MemoryLimit> {
        let mut limits = vec![self.machine()];
        limits.extend(cgroup::limits(&self.files));
        limits
    }

    #[cfg(target_os = "linux")]
    fn machine(&self) -> MemoryLimit {
        let info = self.files.keyed("proc/meminfo", ':');
        let (total, available) = (info.get("MemTotal"), info.get("MemAvailable"));
        let stalled = self.files.stall_share("proc/pressure/memory");
        match (total, available) {
            (Some(total), Some(available)) => {
                let used = total.saturating_sub(available);
                MemoryLimit::new(
                    MACHINE,
                    used.saturating_mul(1024),
                    total.saturating_mul(1024),
                )
            }
            _ => MemoryLimit::unknown(MACHINE),
        }
        .stalled(stalled)
    }

    #[cfg(not(target_os = "linux"))]
    fn machine(&self) -> MemoryLimit {
        #[cfg(feature = "pressure")]
        let machine = portable::machine();
        #[cfg(not(feature = "pressure"))]
        let machine = MemoryLimit::unknown(MACHINE);
        machine
    }

    /// The most memory that this process can ever have, in bytes, in whole MiB: the machine's, or
    /// that of the smallest control group above the process. `u64::MAX` where nobody tells.
    pub(crate) fn total_bytes(&self) -> u64 {
        let machine = self.machine().limit_bytes();
        let total = machine
            .into_iter()
            .chain(cgroup::smallest(&self.files))
            .min();
        match total.map(|bytes| bytes >> 20 << 20) {
            None | Some(0) => u64::MAX,
            Some(bytes) => bytes,
        }
    }
}

/// The most memory that this process can ever have, in bytes, in whole MiB; `u64::MAX` where the system
/// does not tell.
pub(crate) fn total_memory_bytes() -> u64 {
    SystemMemory::new().total_bytes()
}

#[cfg(test)]
mod tests;
