//! What went wrong with the server, and what follows from it: whether the connection is still good,
//! whether another attempt may do better, and whether the circuit opens.

use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};

use crate::error::Error;

/// Why a piece of work on a connection came to no end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// An error of ours, or of our caller's: the server did what it was asked.
    Ours(Error),
    /// The server's, or that of the way to it.
    Server(RedisError),
    /// The server did what it was asked, and its reply is longer than anybody reads.
    TooLong,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Ours(error)
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Trouble::Server(error)
    }
}

/// The kinds of failures, by what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection broke, timed out, or no longer makes sense. What was sent may have been done.
    /// Another connection may do better; the failure counts.
    Lost,
    /// The server did nothing, and may do it in a while, or at another machine of the same name: it
    /// loads its data, runs a script, is a replica, is lacking a part of its cluster. Tried again on
    /// another connection; the failure counts.
    Busy,
    /// The server knows us not: another attempt is of no use, and the circuit opens at once.
    Refused,
    /// The server is well and does not do this: it has no room (OOM), cannot save (MISCONF), does not
    /// allow it to this user (NOPERM), does not know the command. The same connection does other
    /// things; nothing is counted.
    Declined,
}

impl Fault {
    pub(super) fn of(error: &RedisError) -> Fault {
        match error.kind() {
            Kind::Io | Kind::Parse => Fault::Lost,
            Kind::AuthenticationFailed | Kind::InvalidClientConfig => Fault::Refused,
            Kind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly,
            ) => Fault::Busy,
            Kind::Server(ServerErrorKind::ResponseError)
                if error
                    .detail()
                    .is_some_and(|detail| detail.starts_with("max number of clients")) =>
            {
                Fault::Busy
            }
            _ => match error.code() {
                Some("WRONGPASS" | "NOAUTH") => Fault::Refused,
                Some("BUSY") => Fault::Busy,
                _ => Fault::Declined,
            },
        }
    }

    /// What a person can do about it.
    pub(super) fn help(self) -> &'static str {
        match self {
            Fault::Lost => "see whether the server runs, and is reached at this address",
            Fault::Busy => "wait for the server, or name the one that takes writes",
            Fault::Refused => "give the user and the password in redis.url",
            Fault::Declined => "see the server's memory, its disk, and what it allows to this user",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(reply: &str) -> Fault {
        let value = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        Fault::of(&value.extract_error().unwrap_err())
    }

    #[test]
    fn each_refusal_of_a_server_has_its_consequence() {
        for (reply, expected) in [
            ("WRONGPASS invalid username-password pair", Fault::Refused),
            ("NOAUTH Authentication required.", Fault::Refused),
            (
                "LOADING Redis is loading the dataset in memory",
                Fault::Busy,
            ),
            ("BUSY Redis is busy running a script.", Fault::Busy),
            (
                "READONLY You can't write against a read only replica.",
                Fault::Busy,
            ),
            ("MASTERDOWN Link with MASTER is down", Fault::Busy),
            ("ERR max number of clients reached", Fault::Busy),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Fault::Declined,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                Fault::Declined,
            ),
            ("NOPERM this user has no permissions", Fault::Declined),
            ("ERR unknown command", Fault::Declined),
        ] {
            assert_eq!(fault(reply), expected, "{reply}");
        }
        let cut = redis::parse_redis_value(b"$5\r\nab").unwrap_err();
        assert_eq!(Fault::of(&cut), Fault::Lost);
    }
}
