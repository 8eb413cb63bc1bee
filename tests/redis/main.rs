//! The tier on a real Redis server, and all that a server and the way to it can do to it. Time is the
//! server's own here: lifetimes are short ones, and what must happen is waited for, with a deadline.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

#[path = "../redis_support/mod.rs"]
mod redis_support;

mod away;
mod damage;
mod faults;
mod limits;
mod model;
mod restart;
mod sharing;
mod tiered;
mod verbs;
