//! The server over real sockets: every route, every refusal, every limit, and its end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../gated_store/mod.rs"]
mod gated_store;

mod changes;
mod client;
mod limits;
mod refusals;
mod routes;
mod slow;
mod stop;
mod support;
