//! What the server says, as values of ours.

use redis::Value;

use crate::redis::Trouble;

pub(super) fn replies(replies: Option<Vec<Value>>) -> Vec<Value> {
    replies.unwrap_or_default()
}

pub(super) fn array(reply: &Value) -> &[Value] {
    match reply {
        Value::Array(values) => values,
        _ => &[],
    }
}

pub(super) fn bytes(reply: &Value) -> Option<&[u8]> {
    match reply {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

pub(super) fn text(reply: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(reply)?).ok()
}

/// The number in a reply; what is none is as good as "not there".
pub(super) fn number(reply: &Value) -> i64 {
    match reply {
        Value::Int(number) => *number,
        _ => -2,
    }
}

/// A refusal, but for that of what is no string, which is as good as not there.
pub(super) fn refused(reply: &Value) -> Result<(), Trouble> {
    match reply {
        Value::ServerError(refusal) if refusal.code() != "WRONGTYPE" => {
            Err(redis::RedisError::from(refusal.clone()).into())
        }
        _ => Ok(()),
    }
}

/// A reply that is not what was asked for.
pub(super) fn no_reply() -> Trouble {
    let what = "the reply is none to what was asked";
    Trouble::Server((redis::ErrorKind::Parse, what).into())
}
