//! What the invalidation bus promises: inside a process, and among processes that share a real Redis
//! server, whatever becomes of the server and of the messages. What must happen is waited for, with a
//! deadline; bounds are three heartbeats, as they are promised.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

#[path = "../redis_support/mod.rs"]
mod redis_support;
#[path = "../stalls/mod.rs"]
mod stalls;

mod database;
mod faults;
mod local;
mod locks;
mod messages;
mod processes;
mod support;
