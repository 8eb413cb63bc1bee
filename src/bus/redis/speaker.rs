//! The node's own voice: what it has to tell, its heartbeats, and its looks at the registry. One thread,
//! so that numbers go out in their order; it may wait for a server as long as a client does.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::peers::{Head, Kind, Standing};
use super::registry::Registry;
use super::wire::{MAX_EVENTS, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::primitives::atomic::{AtomicBool, Ordering};

/// What the thread knows.
pub(super) struct Speaker {
    node: Arc<Node>,
    /// The number of the last message that is out.
    number: u64,
    beat: u64,
    next_beat: Duration,
    next_look: Duration,
    /// Whether the registry was told of this node, and should know it.
    is_registered: bool,
    /// Whether the last thing that was asked of the server was done.
    is_well: bool,
}

impl Speaker {
    pub(super) fn new(node: Arc<Node>) -> Self {
        let now = node.clock.elapsed();
        Speaker {
            node,
            number: 0,
            beat: 0,
            next_beat: now,
            next_look: now,
            is_registered: false,
            is_well: true,
        }
    }

    /// What is due, the first time a heartbeat and a look; when to come again.
    pub(super) fn round(&mut self, stop: &AtomicBool) -> Option<Duration> {
        let now = self.node.clock.elapsed();
        let is_due = now >= self.next_beat;
        // What failed waits for the next heartbeat.
        if self.is_well || is_due {
            self.send(stop);
        }
        if is_due && !stop.load(Ordering::Relaxed) {
            self.beat();
        }
        if now >= self.next_look && !stop.load(Ordering::Relaxed) {
            self.look();
        }
        self.node.outgoing.lock().has_begun = true;
        self.node.published.notify_all();
        let now = self.node.clock.elapsed();
        Some(self.next_beat.min(self.next_look).saturating_sub(now))
    }

    /// The last words. A server that does not answer is not waited for again.
    pub(super) fn end(&mut self) {
        if !self.is_well {
            return;
        }
        self.send(&AtomicBool::new(false));
        let head = self.head(Kind::Bye, self.number);
        let bye = encode(&head, &[]).and_then(|message| {
            let me = [self.node.name.clone()];
            let bye = self.node.names.take_out(&me, Some(&message));
            self.node.client.run(|link| link.tell_again(&bye))
        });
        if let Err(error) = bye {
            tracing::debug!("the node cannot say good-bye: {error:#}");
        }
    }

    /// Tells others what waits.
    fn send(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let (events, upto) = {
                let mut outgoing = self.node.outgoing.lock();
                let events = outgoing.queue.take(MAX_EVENTS);
                // Those of a full message may not be all.
                let upto = (outgoing.queue.len() == 0).then_some(outgoing.put);
                (events, upto)
            };
            if events.is_empty() {
                return;
            }
            let head = self.head(Kind::Invalidation, self.number + 1);
            let outcome = encode(&head, &events).and_then(|message| self.say(&head, &message));
            let mut outgoing = self.node.outgoing.lock();
            match &outcome {
                Ok(()) => {
                    self.number = head.number;
                    self.node.counts.messages.bump();
                    outgoing.tried = upto.unwrap_or(outgoing.tried);
                }
                Err(_) => {
                    outgoing.queue.put_back(events);
                    outgoing.tried = outgoing.put;
                }
            }
            let failed = outcome.is_err();
            outgoing.outcome = outcome;
            drop(outgoing);
            self.node.published.notify_all();
            if failed {
                return;
            }
        }
    }

    fn beat(&mut self) {
        self.beat += 1;
        let head = self.head(Kind::Heartbeat, self.number);
        // Its own failure is told where it happens.
        _ = encode(&head, &[]).and_then(|message| self.say(&head, &message));
        self.next_beat = self.node.clock.elapsed() + self.node.heartbeat;
    }

    /// Says how the node stands, and the message. It may be out although this fails: then its number
    /// comes twice.
    fn say(&mut self, head: &Head, message: &str) -> Result<()> {
        let standing = Standing {
            incarnation: head.incarnation,
            number: head.number,
            beat: self.beat,
        };
        let node = &self.node;
        let say = node.names.say(&node.name, standing, message);
        let said = node.client.run(|link| link.tell_again(&say)).map(drop);
        self.is_registered |= said.is_ok();
        self.is_well = said.is_ok();
        if let Err(error) = &said {
            node.counts.failed.bump();
            tracing::debug!("others are not told: {error:#}");
        }
        node.state.lock().publishing = said.as_ref().err().cloned();
        said
    }

    /// Looks at the registry: what should have been heard, and which server it is.
    fn look(&mut self) {
        let node = Arc::clone(&self.node);
        let began = node.clock.elapsed();
        let read = self.read();
        let now = node.clock.elapsed();
        self.next_look = now + node.heartbeat / 2;
        self.is_well = read.is_ok();
        let registry = match read {
            Ok(registry) => registry,
            Err(error) => {
                node.state.lock().reading = Some(error);
                return;
            }
        };
        let doubt = node.peers.lock().read(&registry.reading, began, now);
        {
            let mut state = node.state.lock();
            state.reading = None;
            state.is_anonymous = registry.reading.server.is_none();
        }
        node.publish_doubt(doubt);
        self.bury(now);
    }

    fn read(&self) -> Result<Registry> {
        let node = &self.node;
        let look = node.names.look();
        let registry = node.client.run(|link| {
            let replies = link.ask_each(&look)?;
            let read = node.names.read(&replies, &node.name, node.incarnation);
            Ok(read?)
        })?;
        let mut registry = registry.ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "the registry of the nodes is unreadable",
            )
        })?;
        if !registry.is_master {
            let message = format!("the Redis server {} is a replica", node.client.server());
            return Err(Error::new(ErrorKind::Unavailable, message)
                .with_help("name the server that takes writes"));
        }
        registry.reading.has_mine |= !self.is_registered;
        Ok(registry)
    }

    /// Takes the dead out of the registry.
    fn bury(&mut self, now: Duration) {
        let dead = self.node.peers.lock().dead(now);
        if dead.is_empty() {
            return;
        }
        let out = self.node.names.take_out(&dead, None);
        // The next look finds them again.
        _ = self.node.client.run(|link| link.tell_again(&out));
    }

    fn head(&self, kind: Kind, number: u64) -> Head {
        Head {
            sender: self.node.name.clone(),
            incarnation: self.node.incarnation,
            number,
            kind,
        }
    }
}
