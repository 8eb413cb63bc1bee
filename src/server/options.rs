//! What a server listens on, and the limits of what it does for anybody. Options can only be valid:
//! what is out of range is refused when it is set.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::auth::Auth;
use crate::error::{Error, ErrorKind, Result};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

/// Where a server listens, who may change things, and the limits of each request and of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    pub(super) listen: SocketAddr,
    pub(super) token_file: Option<PathBuf>,
    pub(super) token_for_reading: bool,
    pub(super) max_body_bytes: u64,
    pub(super) max_header_bytes: u64,
    pub(super) header_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) max_page: usize,
    pub(super) max_requests: usize,
    pub(super) max_connections: usize,
}

impl Default for ServerOptions {
    /// `127.0.0.1:7878`, without a token; bodies of 1 MiB, headers of 16 KiB within 5 s, 10 s a
    /// request, pages of 1,000 files, 64 requests at once on 1,024 connections.
    fn default() -> Self {
        ServerOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7878)),
            token_file: None,
            token_for_reading: false,
            max_body_bytes: MIB,
            max_header_bytes: 16 * KIB,
            header_timeout: 5 * SECOND,
            request_timeout: 10 * SECOND,
            max_page: 1000,
            max_requests: 64,
            max_connections: 1024,
        }
    }
}

impl ServerOptions {
    /// The same with the limits of each request from `other`.
    pub(super) fn with_limits_of(&self, other: &Self) -> Self {
        ServerOptions {
            listen: self.listen,
            token_file: self.token_file.clone(),
            token_for_reading: self.token_for_reading,
            max_requests: self.max_requests,
            max_connections: self.max_connections,
            ..*other
        }
    }

    /// Listens on this address; port 0 takes any that is free. An address that others can reach wants a
    /// token file, and is refused without one when the server is started.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The file that holds the token which changing verbs want. It is read when the server is started,
    /// and must be nobody's but its owner's. Default: none, and nothing can be changed.
    #[must_use]
    pub fn token_file(mut self, file: Option<PathBuf>) -> Self {
        self.token_file = file;
        self
    }

    /// Whether reading wants the token also where only this machine reaches the address: for a machine
    /// with several users, or a proxy before it. A server that has no token is not started then.
    /// Default: no.
    #[must_use]
    pub fn token_for_reading(mut self, on: bool) -> Self {
        self.token_for_reading = on;
        self
    }

    /// Where it is to listen.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Checks that a server can be started so: that the token file can be used, and that there is one
    /// where reading wants it. Whether the address can be had is not tried.
    ///
    /// # Errors
    /// `InvalidConfig` or `Io`, as [`Server::start`](super::Server::start).
    pub fn assert_usable(&self) -> Result<()> {
        self.auth().map(drop)
    }

    /// Who may change things.
    pub(super) fn auth(&self) -> Result<Auth> {
        let auth = Auth::read(self.token_file.as_deref())?;
        if !self.reading_wants_token() || auth.has_token() {
            return Ok(auth);
        }
        let (message, way_out) = match self.is_public() {
            true => (
                format!("others can reach {}, and there is no token", self.listen),
                "listen on 127.0.0.1",
            ),
            false => (
                "reading wants the token, and there is none".to_owned(),
                "set server.token_for_reading to false",
            ),
        };
        let help = format!("name a token file (server.token_file), or {way_out}");
        Err(Error::new(ErrorKind::InvalidConfig, message).with_help(help))
    }

    /// Whether other machines can reach it.
    fn is_public(&self) -> bool {
        !self.listen.ip().to_canonical().is_loopback()
    }

    /// Whether only the bearer of the token may read.
    pub(super) fn reading_wants_token(&self) -> bool {
        self.is_public() || self.token_for_reading
    }

    /// The longest body of a request, in bytes, 1 KiB to 16 MiB.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_body_bytes(mut self, bytes: u64) -> Result<Self> {
        let key = "server.max_body_bytes";
        within(KIB..=16 * MIB, bytes, key, "1KiB to 16MiB")?;
        self.max_body_bytes = bytes;
        Ok(self)
    }

    /// The longest request line and headers, in bytes, 8 KiB to 1 MiB.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_header_bytes(mut self, bytes: u64) -> Result<Self> {
        let key = "server.max_header_bytes";
        within(8 * KIB..=MIB, bytes, key, "8KiB to 1MiB")?;
        self.max_header_bytes = bytes;
        Ok(self)
    }

    /// How long a client may take to send a request line and its headers, 100 ms to a minute; so long
    /// may a connection be idle, too.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn header_timeout(mut self, time: Duration) -> Result<Self> {
        let key = "server.header_timeout";
        within_times(SECOND / 10..=60 * SECOND, time, key, "100ms to 1m")?;
        self.header_timeout = time;
        Ok(self)
    }

    /// How long a request is worked on, from its headers to its answer, 100 ms to ten minutes. What a
    /// client asked to wait for changes comes on top.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn request_timeout(mut self, time: Duration) -> Result<Self> {
        let key = "server.request_timeout";
        within_times(SECOND / 10..=600 * SECOND, time, key, "100ms to 10m")?;
        self.request_timeout = time;
        Ok(self)
    }

    /// The most files that one answer lists, 1 to 10,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_page(mut self, files: usize) -> Result<Self> {
        within(1..=10_000, files, "server.max_page", "1 to 10000")?;
        self.max_page = files;
        Ok(self)
    }

    /// How many requests are worked on at once, 1 to 1,024; whoever comes on top is told to come again.
    /// As many clients again may wait for changes.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_requests(mut self, requests: usize) -> Result<Self> {
        within(1..=1024, requests, "server.max_requests", "1 to 1024")?;
        self.max_requests = requests;
        Ok(self)
    }

    /// How many connections are open at once, 1 to 65,536. For one on top, the one that has been
    /// without a request for the longest time is closed.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_connections(mut self, connections: usize) -> Result<Self> {
        let key = "server.max_connections";
        within(1..=65_536, connections, key, "1 to 65536")?;
        self.max_connections = connections;
        Ok(self)
    }
}

fn within<T: PartialOrd + Display>(
    allowed: RangeInclusive<T>,
    value: T,
    key: &str,
    range: &str,
) -> Result<()> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Error::out_of_range(key, value, range))
}

fn within_times(
    allowed: RangeInclusive<Duration>,
    value: Duration,
    key: &str,
    range: &str,
) -> Result<()> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Error::out_of_range(key, format!("{value:?}"), range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn both_ends_of_every_range_are_allowed_and_nothing_beyond() {
        let new = ServerOptions::default;
        let ms = Duration::from_millis;
        let refused = |result: Result<ServerOptions>, key: &str| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(key), "{error}");
        };
        for bytes in [KIB, 16 * MIB] {
            assert_eq!(new().max_body_bytes(bytes).unwrap().max_body_bytes, bytes);
        }
        for bytes in [KIB - 1, 16 * MIB + 1] {
            refused(new().max_body_bytes(bytes), "`server.max_body_bytes`");
        }
        for bytes in [8 * KIB, MIB] {
            assert!(new().max_header_bytes(bytes).is_ok());
        }
        for bytes in [8 * KIB - 1, MIB + 1] {
            refused(new().max_header_bytes(bytes), "`server.max_header_bytes`");
        }
        for time in [ms(100), ms(60_000)] {
            assert!(new().header_timeout(time).is_ok());
        }
        for time in [ms(99), ms(60_001)] {
            refused(new().header_timeout(time), "`server.header_timeout`");
        }
        for time in [ms(100), ms(600_000)] {
            assert!(new().request_timeout(time).is_ok());
        }
        for time in [ms(99), ms(600_001)] {
            refused(new().request_timeout(time), "`server.request_timeout`");
        }
        for count in [0, 1_000_000] {
            refused(new().max_page(count), "`server.max_page`");
            refused(new().max_requests(count), "`server.max_requests`");
            refused(new().max_connections(count), "`server.max_connections`");
        }
        assert!(new().max_page(10_000).is_ok() && new().max_page(1).is_ok());
        assert!(new().max_requests(1024).is_ok() && new().max_requests(1).is_ok());
        assert!(new().max_connections(65_536).is_ok() && new().max_connections(1).is_ok());
    }
}
