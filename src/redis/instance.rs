//! Which server it is that one speaks to.

use std::num::NonZeroU64;

use redis::{Pipeline, RedisError, Value};

use super::fault::Fault;
use super::link::text;

/// Part of every digest.
const CONTEXT: &str = "cardex 2026 redis server instance 1";

/// One run of one server, with the data that it has had since: another number after each start, and after
/// each time that it took over the data of another one. What it holds of an earlier instance may be older
/// than what was acknowledged there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instance(NonZeroU64);

impl Instance {
    /// How many replies [`Instance::ask`] has.
    pub(crate) const REPLIES: usize = 2;

    /// Asks the server which one it is.
    pub(crate) fn ask(pipe: &mut Pipeline) {
        pipe.cmd("INFO").arg("server");
        pipe.cmd("INFO").arg("replication");
    }

    /// The replies to [`Instance::ask`]; `None` if the server does not tell, or not to this user. One that
    /// cannot tell now, as it loads its data or runs a script, is an error.
    pub(crate) fn read(replies: &[Value; Self::REPLIES]) -> Result<Option<Self>, RedisError> {
        for reply in replies {
            if let Value::ServerError(refusal) = reply {
                let error = RedisError::from(refusal.clone());
                if Fault::of(&error) != Fault::Declined {
                    return Err(error);
                }
            }
        }
        let [server, replication] = replies.each_ref().map(text);
        Ok(server.and_then(|server| Self::told(server, replication.unwrap_or_default())))
    }

    /// As the server tells it (`INFO server`, `INFO replication`); `None` if it does not.
    fn told(server: &str, replication: &str) -> Option<Self> {
        let run = field(server, "run_id")?;
        // That of the history of its data: another one once it was a replica.
        let history = field(replication, "master_replid").unwrap_or_default();
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(format!("{run} {history}").as_bytes());
        let digest = hasher.finalize();
        let number = digest.as_bytes().first_chunk().copied()?;
        NonZeroU64::new(u64::from_le_bytes(number)).map(Instance)
    }

    /// The instance of a number; 0 is none.
    pub(crate) fn known(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Instance)
    }

    /// As a number that [`Instance::known`] takes.
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }
}

fn field<'t>(info: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_and_another_history_are_other_instances() {
        let told = |run: &str, history: &str| {
            let server = format!("# Server\r\nredis_version:7.0.15\r\nrun_id:{run}\r\n");
            let replication = format!("role:master\r\nmaster_replid:{history}\r\n");
            Instance::told(&server, &replication)
        };
        let one = told("abc", "def");
        assert!(one.is_some() && one == told("abc", "def"));
        for other in [told("abd", "def"), told("abc", "deg"), told("abcdef", "")] {
            assert!(other.is_some() && one != other);
        }
        assert_eq!(told("", "def"), None);
        assert_eq!(Instance::told("", ""), None);
        let number = one.map_or(0, Instance::number);
        assert_eq!(Instance::known(number), one);
        assert_eq!(Instance::known(0), None);
    }

    #[test]
    fn who_may_not_ask_is_told_nothing_and_who_cannot_be_told_now_asks_again() {
        let reply = |line: &str| redis::parse_redis_value(line.as_bytes()).unwrap();
        let server = Value::BulkString(b"run_id:abc\r\n".to_vec());
        let replication = Value::BulkString(b"master_replid:def\r\n".to_vec());
        let read = |server: &Value, replication: &Value| {
            Instance::read(&[server.clone(), replication.clone()])
        };
        let one = read(&server, &replication).unwrap();
        assert!(one.is_some());
        let declined = reply("-NOPERM this user has no permissions\r\n");
        assert_eq!(read(&declined, &declined).unwrap(), None);
        assert!(
            read(&server, &declined)
                .unwrap()
                .is_some_and(|other| Some(other) != one)
        );
        for busy in ["-BUSY a script is running\r\n", "-LOADING the dataset\r\n"] {
            let busy = reply(busy);
            assert!(read(&busy, &busy).is_err());
            assert!(read(&server, &busy).is_err());
        }
    }
}
