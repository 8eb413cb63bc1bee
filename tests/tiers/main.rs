//! What every tier promises, one body for all of them: memory under each policy, disk, and
//! tiers above each other. Time stands
//! still unless a test moves it.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

#[cfg(feature = "sqlite")]
mod disk;
mod every;
mod flaky;
mod memory;
mod rules;
#[cfg(feature = "sqlite")]
mod spaces;
mod stack;
mod tiered;
mod tiered_model;
mod verbs;
