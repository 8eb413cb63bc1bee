//! What befalls a database from outside, a fault a test, under one rule: while it lasts, what is
//! answered stays exact for its position and grows old, whatever asks for more is an error that names
//! the cause, and nothing that was accepted is lost; after the cure the cache is exact again by itself.

#![cfg(all(unix, feature = "sqlite"))]
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its parts are for it alone"
)]

#[path = "../stalls/mod.rs"]
mod stalls;

mod clock;
mod disk;
mod file;
mod foreign;
mod locks;
mod log_files;
mod programs;
mod rows;
mod schema;
mod victim;
