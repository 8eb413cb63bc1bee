//! What nodes leave on the server for each other: the registry, with each node's standing.
//!
//! ```text
//! cardex:bus:{PREFIX}:nodes     a hash: a node's name -> INCARNATION:NUMBER:BEAT
//! cardex:bus:{PREFIX}:DATABASE  the channel of the nodes' messages
//! PREFIX:invalidate             the channel of everybody's patterns
//! ```
//!
//! Channels have no database: that of the messages has its number in its name, and what is said in the
//! other one is heard by the nodes of all databases.

use redis::{Pipeline, RedisError, Value};

use super::peers::{MAX_NODES, Reading, Standing};
use crate::redis::Instance;

/// The registry is forgotten after this time without a heartbeat, in milliseconds: an hour.
const NODES_KEPT_MS: u64 = 3_600_000;

/// How all of it is called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) nodes: String,
    pub(super) messages: String,
    pub(super) patterns: String,
}

/// What was read, with what is no business of the peers.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) reading: Reading,
    pub(super) is_master: bool,
}

impl Names {
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        let start = format!("cardex:bus:{{{prefix}}}");
        Names {
            nodes: format!("{start}:nodes"),
            messages: format!("{start}:{database}"),
            patterns: format!("{prefix}:invalidate"),
        }
    }

    /// Says how a node stands, and sends its message, in one step.
    pub(super) fn say(&self, node: &str, standing: Standing, message: &str) -> Pipeline {
        let Standing {
            incarnation,
            number,
            beat,
        } = standing;
        let mut say = redis::pipe();
        say.atomic();
        say.cmd("HSET").arg(&self.nodes).arg(node);
        say.arg(format!("{incarnation}:{number}:{beat}"));
        say.cmd("PEXPIRE").arg(&self.nodes).arg(NODES_KEPT_MS);
        say.cmd("PUBLISH").arg(&self.messages).arg(message);
        say
    }

    /// Takes nodes out, and sends a message if there is one, in one step.
    pub(super) fn take_out(&self, nodes: &[String], message: Option<&str>) -> Pipeline {
        let mut out = redis::pipe();
        out.atomic().cmd("HDEL").arg(&self.nodes).arg(nodes);
        if let Some(message) = message {
            out.cmd("PUBLISH").arg(&self.messages).arg(message);
        }
        out
    }

    pub(super) fn look(&self) -> Pipeline {
        let mut look = redis::pipe();
        look.cmd("HGETALL").arg(&self.nodes);
        look.cmd("ROLE");
        Instance::ask(&mut look);
        look
    }

    /// The replies to [`Names::look`]. What a user may not ask is not known; what is no standing of a
    /// node is nobody's. `None` of what are no such replies.
    pub(super) fn read(
        &self,
        replies: &[Value],
        node: &str,
        incarnation: u64,
    ) -> Result<Option<Registry>, RedisError> {
        let [nodes, role, told @ ..] = replies else {
            return Ok(None);
        };
        let Ok(told) = <&[Value; Instance::REPLIES]>::try_from(told) else {
            return Ok(None);
        };
        let mut registry = Registry {
            is_master: is_master(role),
            ..Registry::default()
        };
        for (name, standing) in pairs(nodes).into_iter().take(MAX_NODES + 2) {
            let Some(standing) = Standing::parse(&standing) else {
                continue;
            };
            if name == node {
                registry.reading.has_mine = standing.incarnation == incarnation;
            } else {
                registry.reading.nodes.insert(name, standing);
            }
        }
        registry.reading.server = Instance::read(told)?;
        Ok(Some(registry))
    }
}

impl Standing {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.splitn(3, ':').map(|number| number.parse().ok());
        Some(Standing {
            incarnation: numbers.next()??,
            number: numbers.next()??,
            beat: numbers.next()??,
        })
    }
}

fn is_master(role: &Value) -> bool {
    match role {
        Value::Array(parts) => parts.first().and_then(text) == Some("master"),
        // A user may be kept from asking.
        _ => true,
    }
}

/// The fields of a hash that are texts.
fn pairs(reply: &Value) -> Vec<(String, String)> {
    let Value::Array(values) = reply else {
        return Vec::new();
    };
    let (pairs, _) = values.as_chunks::<2>();
    let texts = pairs.iter().filter_map(|[name, value]| {
        let (name, value) = (text(name)?, text(value)?);
        Some((name.to_owned(), value.to_owned()))
    });
    texts.collect()
}

fn text(reply: &Value) -> Option<&str> {
    match reply {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_registry_is_read_and_what_is_no_node_is_nobody() {
        let names = Names::new("cache", 3);
        assert_eq!(names.messages, "cardex:bus:{cache}:3");
        let nodes = [
            "a", "7:3:9", "me", "5:0:1", "b", "rubbish", "c", "1:2", "d", "-1:0:0",
        ];
        let replies = [
            Value::Array(nodes.map(bulk).to_vec()),
            Value::Array(vec![bulk("master"), Value::Int(0)]),
            bulk("# Server\r\nredis_version:7\r\nrun_id:abc\r\n"),
            bulk("# Replication\r\nmaster_replid:def\r\n"),
        ];
        let read_as = |replies: &[Value], incarnation| {
            let read = names.read(replies, "me", incarnation);
            read.unwrap()
        };
        let read = read_as(&replies, 5).unwrap();
        assert!(read.is_master && read.reading.has_mine);
        let server = read.reading.server;
        assert!(server.is_some());
        let mut detour = replies.clone();
        detour[3] = bulk("# Replication\r\nmaster_replid:deg\r\n");
        let other = read_as(&detour, 5).unwrap().reading.server;
        assert!(other.is_some() && other != server, "it was a replica");
        let standing = Standing {
            incarnation: 7,
            number: 3,
            beat: 9,
        };
        assert_eq!(read.reading.nodes, [("a".to_owned(), standing)].into());
        let read = read_as(&replies, 6).unwrap();
        assert!(!read.reading.has_mine, "of another incarnation");
        assert!(read_as(&replies[..2], 5).is_none());
    }
}
