//! What a cache of derived results promises, one behaviour a file. Time stands still unless a test moves
//! it.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

mod batches;
mod failures;
mod keys;
mod model;
mod numbers;
mod support;
mod switch;
mod times;
mod values;
