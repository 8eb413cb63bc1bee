//! Machines and containers laid out as files: what the kernel would say in each.

use super::*;

/// A machine of files.
struct Machine(tempfile::TempDir);

impl Machine {
    /// 1000 MiB, of which 400 are available, and no control groups.
    fn new() -> Self {
        let machine = Machine(tempfile::tempdir().unwrap());
        machine.file(
            "proc/meminfo",
            "MemTotal: 1024000 kB\nMemFree: 10240 kB\nMemAvailable: 409600 kB\n",
        )
    }

    /// The same in a group of the second version.
    fn in_group(group: &str) -> Self {
        Machine::new()
            .file("proc/self/cgroup", &format!("0::{group}\n"))
            .file(
                "proc/self/mountinfo",
                "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            )
    }

    fn file(self, path: &str, text: &str) -> Self {
        let file = self.0.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        self
    }

    /// A file that is there and cannot be read, whoever asks.
    fn unreadable(self, path: &str) -> Self {
        std::fs::create_dir_all(self.0.path().join(path)).unwrap();
        self
    }

    fn memory(&self) -> SystemMemory {
        SystemMemory::at(self.0.path())
    }

    /// Source, used and limit in MiB of each; what is unknown is none.
    fn limits(&self) -> Vec<(String, Option<u64>, Option<u64>)> {
        let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes >> 20);
        let limits = self.memory().limits();
        let limit = |limit: &MemoryLimit| {
            let (used, most) = (mib(limit.used_bytes()), mib(limit.limit_bytes()));
            (limit.source().to_owned(), used, most)
        };
        limits.iter().map(limit).collect()
    }
}

fn known(source: &str, used: u64, limit: u64) -> (String, Option<u64>, Option<u64>) {
    (source.to_owned(), Some(used), Some(limit))
}

fn unknown(source: &str) -> (String, Option<u64>, Option<u64>) {
    (source.to_owned(), None, None)
}

const MIB: u64 = 1 << 20;

fn mib(n: u64) -> String {
    format!("{}\n", n * MIB)
}

#[test]
fn a_machine_has_memory_for_its_tests() {
    let total = total_memory_bytes();
    assert!(total > 64 << 20, "{total}");
    assert!(total == u64::MAX || total.is_multiple_of(1 << 20));
}

#[test]
fn what_is_available_is_not_in_use() {
    let machine = Machine::new();
    assert_eq!(machine.limits(), [known("machine", 600, 1000)]);
    assert_eq!(machine.memory().total_bytes(), 1000 * MIB);
}

#[test]
fn a_machine_that_does_not_tell_is_unknown_and_not_idle() {
    for machine in [
        Machine(tempfile::tempdir().unwrap()),
        Machine(tempfile::tempdir().unwrap()).unreadable("proc/meminfo"),
        Machine::new().file("proc/meminfo", "MemTotal: 1024000 kB\nMemFree: 1 kB\n"),
        Machine::new().file("proc/meminfo", "garbage"),
    ] {
        assert_eq!(machine.limits(), [unknown("machine")]);
        assert_eq!(machine.memory().limits()[0].share(), None);
        assert_eq!(machine.memory().total_bytes(), u64::MAX);
    }
}

#[test]
fn every_group_above_the_process_counts_and_their_idle_page_cache_does_not() {
    let machine = Machine::in_group("/pods/one/app")
        .file("sys/fs/cgroup/pods/one/app/memory.max", "max\n")
        .file("sys/fs/cgroup/pods/one/app/memory.high", &mib(200))
        .file("sys/fs/cgroup/pods/one/app/memory.current", &mib(150))
        .file("sys/fs/cgroup/pods/one/app/memory.stat", "anon 5\n")
        .file("sys/fs/cgroup/pods/one/memory.max", "max\n")
        .file("sys/fs/cgroup/pods/memory.max", &mib(500))
        .file("sys/fs/cgroup/pods/memory.high", &mib(600))
        .file("sys/fs/cgroup/pods/memory.current", &mib(450))
        .file(
            "sys/fs/cgroup/pods/memory.stat",
            &format!("anon 1\ninactive_file {}active_file 7\n", mib(300)),
        );
    assert_eq!(
        machine.limits(),
        [
            known("machine", 600, 1000),
            known("cgroup /pods/one/app", 150, 200),
            known("cgroup /pods", 150, 500),
        ]
    );
    assert_eq!(machine.memory().total_bytes(), 200 * MIB);
}

#[test]
fn page_cache_counts_while_the_group_waits_for_memory() {
    let group = |stalled: &str| {
        Machine::in_group("/a")
            .file("sys/fs/cgroup/a/memory.max", &mib(100))
            .file("sys/fs/cgroup/a/memory.current", &mib(95))
            .file(
                "sys/fs/cgroup/a/memory.stat",
                &format!("inactive_file {}", mib(60)),
            )
            .file(
                "sys/fs/cgroup/a/memory.pressure",
                &format!(
                    "some avg10={stalled} avg60=0.00 avg300=0.00 total=1\n\
                     full avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"
                ),
            )
    };
    for (stalled, share, used) in [
        ("0.00", 0.0, 35),
        ("9.99", 0.0999, 35),
        ("10.00", 0.1, 95),
        ("80.00", 0.8, 95),
    ] {
        let machine = group(stalled);
        assert_eq!(machine.limits()[1], known("cgroup /a", used, 100));
        assert_eq!(machine.memory().limits()[1].stall_share(), Some(share));
    }
    let machine = group("nonsense");
    assert_eq!(machine.memory().limits()[1].stall_share(), None);
}

#[test]
fn a_group_whose_use_cannot_be_read_is_unknown() {
    let machine = Machine::in_group("/a").file("sys/fs/cgroup/a/memory.max", &mib(100));
    assert_eq!(machine.limits()[1..], [unknown("cgroup /a")]);
    assert_eq!(machine.memory().total_bytes(), 100 * MIB);
    let machine = machine.file("sys/fs/cgroup/a/memory.current", "much\n");
    assert_eq!(machine.limits()[1..], [unknown("cgroup /a")]);
    let machine = Machine::in_group("/a")
        .unreadable("sys/fs/cgroup/a/memory.max")
        .file("sys/fs/cgroup/a/memory.current", &mib(1));
    assert_eq!(machine.limits()[1..], [unknown("cgroup /a")]);
    let machine = Machine::new().unreadable("proc/self/cgroup");
    assert_eq!(machine.limits()[1..], [unknown("cgroup")]);
    let machine = Machine::new().file("proc/self/cgroup", "0::/a\n");
    assert_eq!(machine.limits()[1..], [unknown("cgroup")]);
}

#[test]
fn a_limit_that_can_be_read_counts_beside_one_that_cannot() {
    let machine = Machine::in_group("/a")
        .file("sys/fs/cgroup/a/memory.max", &mib(100))
        .unreadable("sys/fs/cgroup/a/memory.high")
        .file("sys/fs/cgroup/a/memory.current", &mib(95));
    assert_eq!(
        machine.limits()[1..],
        [
            known("cgroup /a", 95, 100),
            unknown("cgroup /a memory.high")
        ]
    );
    assert_eq!(machine.memory().total_bytes(), 100 * MIB);
}

#[test]
fn a_mount_point_that_is_no_text_hides_no_other() {
    let machine = Machine::in_group("/a")
        .file("sys/fs/cgroup/a/memory.max", &mib(100))
        .file("sys/fs/cgroup/a/memory.current", &mib(95));
    let mounts = machine.0.path().join("proc/self/mountinfo");
    let mut lines = b"29 23 0:25 / /mnt/\xff\xfe rw - tmpfs tmpfs rw\n".to_vec();
    lines.extend(std::fs::read(&mounts).unwrap());
    std::fs::write(&mounts, lines).unwrap();
    assert_eq!(machine.limits()[1..], [known("cgroup /a", 95, 100)]);
    // The process's own group is not known if its name is none.
    let groups = machine.0.path().join("proc/self/cgroup");
    std::fs::write(groups, b"0::/\xff\n").unwrap();
    assert_eq!(machine.limits()[1..], [unknown("cgroup")]);
}

#[test]
fn the_first_version_has_its_own_names() {
    let machine = Machine::new()
        .file(
            "proc/self/cgroup",
            "5:cpu,cpuacct:/elsewhere\n4:memory:/docker/0a\n0::/\n",
        )
        .file(
            "proc/self/mountinfo",
            "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 /docker/0a /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        )
        .file("sys/fs/cgroup/mem ory/memory.limit_in_bytes", &mib(300))
        .file("sys/fs/cgroup/mem ory/memory.usage_in_bytes", &mib(250))
        .file(
            "sys/fs/cgroup/mem ory/memory.stat",
            &format!("inactive_file 1\ntotal_inactive_file {}", mib(50)),
        );
    assert_eq!(machine.limits()[1..], [known("cgroup /", 200, 300)]);
    let machine = machine.file(
        "sys/fs/cgroup/mem ory/memory.limit_in_bytes",
        "9223372036854771712\n",
    );
    assert_eq!(machine.limits().len(), 1, "no limit");
}

#[test]
fn a_group_that_leads_out_of_what_is_mounted_is_the_mounted_one() {
    for group in ["/../other", "/elsewhere/x", "/a/../../b"] {
        let machine = Machine::in_group(group)
            .file(
                "proc/self/mountinfo",
                "30 23 0:26 /pods /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            )
            .file("sys/fs/cgroup/memory.max", &mib(10))
            .file("sys/fs/cgroup/memory.current", &mib(1));
        assert_eq!(machine.limits()[1..], [known("cgroup /", 1, 10)], "{group}");
    }
}

#[cfg(all(feature = "pressure", target_os = "linux"))]
#[test]
fn what_other_systems_are_asked_agrees_with_the_kernels_own_files() {
    let (kernel, asked) = (SystemMemory::new().machine(), portable::machine());
    assert_eq!(kernel.limit_bytes(), asked.limit_bytes());
    let (kernel, asked) = (kernel.share().unwrap(), asked.share().unwrap());
    assert!((kernel - asked).abs() < 0.2, "{kernel} {asked}");
}
