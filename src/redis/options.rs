//! Where the server is, and how much is asked of it.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo};

use crate::error::{Error, ErrorKind, Result};
use crate::redact::redact;

const CONNECTIONS: RangeInclusive<u32> = 1..=1000;
const ATTEMPTS: RangeInclusive<u32> = 1..=10;
const FAILURES: RangeInclusive<u32> = 1..=1000;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(300);
const COOLDOWN: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

/// The server, and the limits of a [`RedisClient`](super::RedisClient). Options can only be valid: what
/// is out of range is refused when it is set.
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) info: ConnectionInfo,
    pub(super) max_connections: u32,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) breaker_failures: u32,
    pub(super) breaker_cooldown: Duration,
}

impl RedisOptions {
    /// The server at `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or at the socket
    /// `unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]`: 20 connections, time-outs of 5 seconds, 3
    /// attempts, after which the circuit opens for a second.
    ///
    /// # Errors
    /// `InvalidConfig` if it is no such URL, with its password left out. TLS (`rediss:`) is not built in.
    pub fn new(url: &str) -> Result<Self> {
        let info = url.into_connection_info().map_err(|cause| {
            let message = format!("`redis.url` = {:?} is no address of a server", redact(url));
            // The cause tells what is wrong without telling the URL.
            Error::new(ErrorKind::InvalidConfig, message)
                .with_help("give redis://HOST:PORT/DATABASE, or unix:///PATH")
                .because(cause)
        })?;
        Ok(RedisOptions {
            info,
            max_connections: 20,
            timeout: Duration::from_secs(5),
            attempts: 3,
            breaker_failures: 3,
            breaker_cooldown: Duration::from_secs(1),
        })
    }

    /// At most this many connections, 1 to 1000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_connections(mut self, connections: u32) -> Result<Self> {
        self.max_connections = within("redis.max_connections", connections, CONNECTIONS)?;
        Ok(self)
    }

    /// How long is waited for a connection of the pool, for one to be made, and for a reply, each; 1 ms
    /// to 5 minutes.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self> {
        self.timeout = within_time("redis.timeout", timeout, TIMEOUT)?;
        Ok(self)
    }

    /// How often is tried what may be tried again, 1 to 10.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn attempts(mut self, attempts: u32) -> Result<Self> {
        self.attempts = within("redis.attempts", attempts, ATTEMPTS)?;
        Ok(self)
    }

    /// After how many attempts that failed one after the other the circuit opens, 1 to 1000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn breaker_failures(mut self, failures: u32) -> Result<Self> {
        self.breaker_failures = within("redis.breaker_failures", failures, FAILURES)?;
        Ok(self)
    }

    /// How long the server is left alone then, 1 ms to 1 hour. Each probe that fails doubles it, up to
    /// eight times as long.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn breaker_cooldown(mut self, cooldown: Duration) -> Result<Self> {
        self.breaker_cooldown = within_time("redis.breaker_cooldown", cooldown, COOLDOWN)?;
        Ok(self)
    }

    /// The server as it may be shown: its address and its database, without user and password.
    pub fn server(&self) -> String {
        let database = self.info.redis_settings().db();
        match self.info.addr() {
            redis::ConnectionAddr::Unix(path) if database == 0 => {
                format!("unix://{}", path.display())
            }
            redis::ConnectionAddr::Unix(path) => format!("unix://{}?db={database}", path.display()),
            address => format!("redis://{address}/{database}"),
        }
    }
}

fn within(key: &str, value: u32, range: RangeInclusive<u32>) -> Result<u32> {
    if range.contains(&value) {
        return Ok(value);
    }
    let range = format!("{} to {}", range.start(), range.end());
    Err(Error::out_of_range(key, value, &range))
}

fn within_time(key: &str, value: Duration, range: RangeInclusive<Duration>) -> Result<Duration> {
    if range.contains(&value) {
        return Ok(value);
    }
    let range = format!("{:?} to {:?}", range.start(), range.end());
    Err(Error::out_of_range(key, format!("{value:?}"), &range))
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("server", &self.server())
            .field("max_connections", &self.max_connections)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .field("breaker_failures", &self.breaker_failures)
            .field("breaker_cooldown", &self.breaker_cooldown)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("redis://me:p%40ss@h:7000/2", "redis://h:7000/2"),
            ("redis://:secret@127.0.0.1", "redis://127.0.0.1:6379/0"),
            ("unix:///run/r.sock?pass=x&db=3", "unix:///run/r.sock?db=3"),
        ] {
            let options = RedisOptions::new(url).unwrap();
            assert_eq!(options.server(), shown);
            let debug = format!("{options:?}");
            assert!(
                !debug.contains("ss\"") && !debug.contains("secret"),
                "{debug}"
            );
        }
    }

    #[test]
    fn what_is_no_server_is_refused_without_telling_its_password() {
        for url in [
            "",
            "localhost:6379",
            "http://me:hunter2@h",
            "rediss://me:hunter2@h",
            "redis://me:hunter2@h/x",
            "redis://me:hunter2@",
        ] {
            let error = RedisOptions::new(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
            let told = format!("{error:#} {}", error.help().unwrap());
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        let options = || RedisOptions::new("redis://h").unwrap();
        let refused = [
            options().max_connections(0),
            options().max_connections(1001),
            options().timeout(Duration::ZERO),
            options().timeout(Duration::from_secs(301)),
            options().attempts(0),
            options().attempts(11),
            options().breaker_failures(0),
            options().breaker_cooldown(Duration::ZERO),
        ];
        for options in refused {
            assert_eq!(options.unwrap_err().kind(), ErrorKind::InvalidConfig);
        }
        let error = options().timeout(Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "`redis.timeout` = 0ns is out of range");
        assert_eq!(error.help(), Some("give 1ms to 300s"));
    }
}
