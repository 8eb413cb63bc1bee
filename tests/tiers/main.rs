//! What every tier promises, one body for all of them: memory under each policy, disk, a Redis server,
//! and tiers above each other. Time stands still unless a test moves it.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

#[cfg(feature = "sqlite")]
mod disk;
#[cfg(feature = "sqlite")]
mod disk_faults;
#[cfg(all(unix, feature = "sqlite"))]
mod disk_kill;
#[cfg(feature = "sqlite")]
mod disk_views;
mod every;
mod flaky;
mod memory;
#[cfg(feature = "redis")]
#[path = "../redis_support/mod.rs"]
mod redis_support;
mod rules;
#[cfg(feature = "sqlite")]
mod spaces;
mod stack;
mod tiered;
mod tiered_model;
mod verbs;
