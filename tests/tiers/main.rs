//! What every tier promises, one body for all of them: memory under each policy, and disk. Time stands
//! still unless a test moves it.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

#[cfg(feature = "sqlite")]
mod disk;
#[cfg(feature = "sqlite")]
mod disk_faults;
#[cfg(all(unix, feature = "sqlite"))]
mod disk_kill;
mod every;
mod memory;
mod rules;
#[cfg(feature = "sqlite")]
mod spaces;
mod verbs;
