//! What the kernel counts of a process: its memory, threads and open files. What is measured is a
//! child of the bench, so that nothing else is counted.

use std::ffi::OsStr;
use std::process::Command;

/// What `/proc/self/status` says of this process, in bytes.
pub(crate) fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(key));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.expect("the kernel counts memory") * 1024
}

/// How many threads this process has.
pub(crate) fn threads() -> usize {
    entries("/proc/self/task")
}

/// How many files it has open, the one that counts them among them.
pub(crate) fn descriptors() -> usize {
    entries("/proc/self/fd")
}

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).expect("this is Linux").count()
}

/// Runs this program again, which knows by the variable that it is the child, and returns the
/// numbers that it prints.
pub(crate) fn child(variable: &str, value: &OsStr) -> Vec<f64> {
    let child = Command::new(std::env::current_exe().expect("this program has a file"))
        .env(variable, value)
        .output()
        .expect("a child can be started");
    eprint!("{}", String::from_utf8_lossy(&child.stderr));
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "the child failed: {output}");
    let numbers = output.split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}
