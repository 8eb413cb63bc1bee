//! A tree that is watched and its records agree in the end, whatever happens to the tree. Each test makes
//! it happen to real files, and compares the records with those that a fresh index of the same tree gives.
//!
//! `CARDEX_TEST_WATCH_FILES` says how many files a burst has (20,000).

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot do its work has failed its test"
)]

#[path = "../stalls/mod.rs"]
mod stalls;

mod bursts;
mod command;
mod directories;
mod editors;
mod latency;
mod limits;
mod root;
mod rules;
mod support;
mod trouble;
