//! Results that are derived from files: when they are answered, and when they are made anew.

#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

mod files;
mod graph;
mod history;
mod races;
mod restart;
mod world;
