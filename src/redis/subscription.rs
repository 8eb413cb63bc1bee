//! A connection that hears what is published, and is used for nothing else.

use std::ops::ControlFlow;
use std::time::Duration;

use redis::RedisError;

use super::RedisClient;
use super::link::Link;
use crate::error::Result;

/// What a subscription hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// From now on it hears.
    Begin,
    /// A message, and its channel.
    Message(String, Vec<u8>),
    /// Nothing, for as long as one waits.
    Nothing,
}

impl RedisClient {
    /// Hears what is published in the channels, on a connection of its own, and tells it to `each`, until
    /// that breaks off. `each` is called at least every so often. Neither the pool nor the circuit
    /// breaker has a part in it.
    ///
    /// # Errors
    /// `Unavailable` if the connection cannot be made, or breaks: what was published since is not heard.
    pub(crate) fn hear(
        &self,
        channels: &[&str],
        every: Duration,
        mut each: impl FnMut(Heard) -> ControlFlow<()>,
    ) -> Result<()> {
        let told = |cause: RedisError| self.error(&cause);
        let link = Link::open(&self.options.info, self.options.timeout, 0);
        let mut link = link.map_err(told)?;
        link.subscribe(channels).map_err(told)?;
        let mut heard = Heard::Begin;
        while each(heard).is_continue() {
            heard = match link.message(every).map_err(told)? {
                Some((channel, payload)) => Heard::Message(channel, payload),
                None => Heard::Nothing,
            };
        }
        Ok(())
    }

    /// The number of the database that is used.
    pub(crate) fn database(&self) -> i64 {
        self.options.info.redis_settings().db()
    }
}
