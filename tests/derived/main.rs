//! Results that are derived from files: when they are answered, and when they are made anew.

#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

#[path = "../gated_store/mod.rs"]
mod gated_store;

mod files;
mod graph;
mod history;
mod index;
mod index_copies;
mod index_history;
mod project;
mod races;
mod restart;
mod world;
