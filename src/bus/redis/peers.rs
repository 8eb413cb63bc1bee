//! What a node knows of the others: which of their messages it has heard, which it must have missed, and
//! since when it is sure. Plain values, told the time by whoever asks.
//!
//! A message carries its sender's number, one more than that of the message before. The registry, a hash
//! on the server, has each node's last number, written in one transaction with the message, and how often
//! its heart has beaten. So a node that reads the registry knows what it should have heard, even if no
//! message ever gets through. Whatever it cannot be sure of is a [`Doubt`]: then all copies leave, and
//! whatever was published before that is settled.
//!
//! *Invariant*: at any time, what was published more than three heartbeats ago was heard, or followed by
//! a doubt, as long as [`Peers::tick`] is asked four times a heartbeat at least.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::redis::Instance;

/// The most nodes that are followed. With more, nothing is sure.
pub(super) const MAX_NODES: usize = 1000;
/// A node whose heart has not beaten for so many heartbeats is dead: nobody waits for it any more.
const DEAD: u32 = 30;

/// What makes a node doubt that its copies are true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    Start,
    Reconnected,
    Gap,
    Lost,
    NewIncarnation,
    SameName,
    Silent,
    Gone,
    RegistryLost,
    Unconfirmed,
    OtherServer,
    TooManyNodes,
}

impl Doubt {
    /// In words.
    pub(super) fn cause(self) -> &'static str {
        match self {
            Doubt::Start => "the node begins",
            Doubt::Reconnected => "the node hears again",
            Doubt::Gap => "a number is missing among a node's messages",
            Doubt::Lost => "a message of a node was not heard",
            Doubt::NewIncarnation => "a node began anew",
            Doubt::SameName => "two nodes have one name",
            Doubt::Silent => "a node fell silent",
            Doubt::Gone => "a node is gone",
            Doubt::RegistryLost => "the server has lost what nodes said",
            Doubt::Unconfirmed => "nobody can say what was missed",
            Doubt::OtherServer => "another server, or the same one begun anew",
            Doubt::TooManyNodes => "too many nodes to follow",
        }
    }
}

/// What a node says of itself in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) incarnation: u64,
    /// Of its last message; 0 before the first.
    pub(super) number: u64,
    /// How often its heart has beaten.
    pub(super) beat: u64,
}

/// What the registry said.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// The others, by name.
    pub(super) nodes: BTreeMap<String, Standing>,
    /// Whether what this node has written there is there still.
    pub(super) has_mine: bool,
    /// Which server; `None` if it does not tell.
    pub(super) server: Option<Instance>,
}

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a number of its own.
    Invalidation,
    /// It has the number of the last one that has.
    Heartbeat,
    /// The same, and the last one.
    Bye,
}

/// What a message says of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sender: String,
    pub(super) incarnation: u64,
    pub(super) number: u64,
    pub(super) kind: Kind,
}

/// The others.
#[derive(Debug)]
pub(super) struct Peers {
    me: String,
    incarnation: u64,
    heartbeat: Duration,
    nodes: BTreeMap<String, Peer>,
    server: Option<Instance>,
    /// When the last reading began; `None` before the first.
    read: Option<Duration>,
    /// What was published before this was heard, or followed by a doubt.
    sure: Duration,
}

#[derive(Debug)]
struct Peer {
    incarnation: u64,
    /// The greatest number that was heard, or settled by a doubt.
    heard: u64,
    /// A greater one that the last reading found: its message may be on its way.
    missed: Option<u64>,
    beat: Option<u64>,
    /// Its heart has beaten after this.
    alive: Duration,
    /// What it published before this is settled.
    settled: Duration,
}

/// What is to be done about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// It is our own.
    pub(super) is_echo: bool,
    pub(super) doubt: Option<Doubt>,
}

impl Peers {
    /// Nobody is known yet.
    pub(super) fn new(me: String, incarnation: u64, heartbeat: Duration, now: Duration) -> Self {
        Peers {
            me,
            incarnation,
            heartbeat,
            nodes: BTreeMap::new(),
            server: None,
            read: None,
            sure: now,
        }
    }

    /// How long something may be unsure: three heartbeats, less the time until the next tick.
    fn patience(&self) -> Duration {
        self.heartbeat * 11 / 4
    }

    /// A message was heard. Whatever it says is done also if it comes twice, or late.
    pub(super) fn hear(&mut self, head: &Head, now: Duration) -> Heard {
        let mine = head.sender == self.me;
        let is_echo = mine && head.incarnation == self.incarnation;
        let doubt = match mine {
            true => (!is_echo).then_some(Doubt::SameName),
            false => self.hear_another(head, now),
        };
        if head.kind == Kind::Bye && !mine {
            self.nodes.remove(&head.sender);
        }
        self.settle(doubt, now);
        Heard { is_echo, doubt }
    }

    fn hear_another(&mut self, head: &Head, now: Duration) -> Option<Doubt> {
        let is_news = head.kind == Kind::Invalidation;
        let Some(peer) = self.nodes.get_mut(&head.sender) else {
            if self.nodes.len() >= MAX_NODES {
                return Some(Doubt::TooManyNodes);
            }
            let peer = Peer::new(head.incarnation, head.number, now);
            self.nodes.insert(head.sender.clone(), peer);
            return (head.number > u64::from(is_news)).then_some(Doubt::Gap);
        };
        if peer.incarnation != head.incarnation {
            *peer = Peer::new(head.incarnation, head.number, now);
            return Some(Doubt::NewIncarnation);
        }
        let expected = peer.heard + u64::from(is_news);
        let is_gap = head.number > expected;
        peer.heard = peer.heard.max(head.number);
        is_gap.then_some(Doubt::Gap)
    }

    /// The registry was read, by a request that began then.
    pub(super) fn read(
        &mut self,
        reading: &Reading,
        began: Duration,
        now: Duration,
    ) -> Option<Doubt> {
        let before = self.read.replace(began);
        let mut doubts = Vec::new();
        if before.is_none() {
            doubts.push(Doubt::Start);
        }
        if reading.server != self.server {
            let was_known = self.server.is_some();
            self.server = reading.server;
            doubts.extend(was_known.then_some(Doubt::OtherServer));
        }
        if !reading.has_mine {
            doubts.push(Doubt::RegistryLost);
        }
        if reading.nodes.len() > MAX_NODES {
            doubts.push(Doubt::TooManyNodes);
        }
        let known = self.nodes.len();
        // One that is heard of and has not been read of yet may be older than this reading.
        self.nodes
            .retain(|name, peer| reading.nodes.contains_key(name) || peer.beat.is_none());
        if self.nodes.len() < known {
            doubts.push(Doubt::Gone);
        }
        for (name, standing) in reading.nodes.iter().take(MAX_NODES) {
            doubts.extend(self.compare(name, *standing, before.unwrap_or(began)));
        }
        let is_missing = |peer: &Peer| peer.missed.is_some();
        let sure = match self.nodes.values().any(is_missing) {
            true => before.unwrap_or(began),
            false => began,
        };
        self.sure = self.sure.max(sure);
        let doubt = doubts.into_iter().min().or_else(|| self.silent(now));
        self.settle(doubt, now);
        doubt
    }

    fn compare(&mut self, name: &str, standing: Standing, before: Duration) -> Option<Doubt> {
        let peer = self
            .nodes
            .entry(name.to_owned())
            .or_insert_with(|| Peer::new(standing.incarnation, 0, before));
        if peer.incarnation != standing.incarnation {
            *peer = Peer::new(standing.incarnation, standing.number, before);
            peer.beat = Some(standing.beat);
            return Some(Doubt::NewIncarnation);
        }
        if peer.beat != Some(standing.beat) {
            peer.beat = Some(standing.beat);
            peer.alive = peer.alive.max(before);
        }
        let is_lost = peer.missed.is_some_and(|missed| missed > peer.heard);
        peer.missed = (standing.number > peer.heard).then_some(standing.number);
        is_lost.then_some(Doubt::Lost)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Duration) -> Option<Doubt> {
        let is_sure = now < self.sure + self.patience();
        let doubt = match is_sure {
            true => self.silent(now),
            false => Some(Doubt::Unconfirmed),
        };
        self.settle(doubt, now);
        doubt
    }

    /// Messages may have been missed, for a reason of the caller's.
    pub(super) fn doubt(&mut self, doubt: Doubt, now: Duration) {
        self.settle(Some(doubt), now);
    }

    /// A node that may have published what nobody has heard of.
    fn silent(&self, now: Duration) -> Option<Doubt> {
        let patience = self.patience();
        let is_silent = |peer: &Peer| now >= peer.alive.max(peer.settled) + patience;
        self.nodes.values().any(is_silent).then_some(Doubt::Silent)
    }

    /// All copies leave now: whatever was published before is settled.
    fn settle(&mut self, doubt: Option<Doubt>, now: Duration) {
        if doubt.is_none() {
            return;
        }
        self.sure = self.sure.max(now);
        for peer in self.nodes.values_mut() {
            peer.settled = now;
            peer.heard = peer.missed.take().map_or(peer.heard, |n| n.max(peer.heard));
        }
    }

    /// The nodes that are dead, to be taken out of the registry.
    pub(super) fn dead(&self, now: Duration) -> Vec<String> {
        let is_dead = |peer: &Peer| now >= peer.alive + self.heartbeat * DEAD;
        let dead = self.nodes.iter().filter(|(_, peer)| is_dead(peer));
        dead.map(|(name, _)| name.clone()).collect()
    }

    /// How many others are known.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl Peer {
    fn new(incarnation: u64, heard: u64, alive: Duration) -> Self {
        Peer {
            incarnation,
            heard,
            missed: None,
            beat: None,
            alive,
            settled: alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const H: Duration = Duration::from_secs(1);

    fn peers() -> Peers {
        let mut peers = Peers::new("me".to_owned(), 1, H, Duration::ZERO);
        let first = peers.read(&reading(&[]), Duration::ZERO, Duration::ZERO);
        assert_eq!(first, Some(Doubt::Start));
        peers
    }

    fn reading(nodes: &[(&str, u64, u64)]) -> Reading {
        let standing = |&(name, number, beat): &(&str, u64, u64)| {
            let standing = Standing {
                incarnation: 1,
                number,
                beat,
            };
            (name.to_owned(), standing)
        };
        Reading {
            nodes: nodes.iter().map(standing).collect(),
            has_mine: true,
            server: Instance::known(1),
        }
    }

    fn head(sender: &str, number: u64, kind: Kind) -> Head {
        Head {
            sender: sender.to_owned(),
            incarnation: 1,
            number,
            kind,
        }
    }

    fn hear(peers: &mut Peers, number: u64, kind: Kind) -> Option<Doubt> {
        peers.hear(&head("a", number, kind), H / 2).doubt
    }

    #[test]
    fn numbers_in_their_order_are_no_doubt_and_a_gap_is() {
        let mut peers = peers();
        assert_eq!(hear(&mut peers, 1, Kind::Invalidation), None);
        assert_eq!(hear(&mut peers, 1, Kind::Invalidation), None, "doubled");
        assert_eq!(hear(&mut peers, 1, Kind::Heartbeat), None);
        assert_eq!(hear(&mut peers, 3, Kind::Invalidation), Some(Doubt::Gap));
        assert_eq!(hear(&mut peers, 2, Kind::Invalidation), None, "late");
        assert_eq!(hear(&mut peers, 4, Kind::Heartbeat), Some(Doubt::Gap));
        let mut again = head("a", 1, Kind::Invalidation);
        again.incarnation = 2;
        assert_eq!(peers.hear(&again, H).doubt, Some(Doubt::NewIncarnation));
        let stranger = peers.hear(&head("b", 7, Kind::Invalidation), H);
        assert_eq!(stranger.doubt, Some(Doubt::Gap));
    }

    #[test]
    fn an_echo_is_known_by_its_sender() {
        let mut peers = peers();
        let mut own = head("me", 5, Kind::Invalidation);
        let heard = peers.hear(&own, H);
        assert_eq!((heard.is_echo, heard.doubt), (true, None));
        own.incarnation = 2;
        let heard = peers.hear(&own, H);
        assert_eq!((heard.is_echo, heard.doubt), (false, Some(Doubt::SameName)));
    }

    #[test]
    fn what_the_registry_knows_and_nobody_heard_is_lost_at_the_second_reading() {
        let mut peers = peers();
        let mut read = |number, half: u32| {
            let now = H * half / 2;
            peers.read(&reading(&[("a", number, u64::from(half))]), now, now)
        };
        assert_eq!(read(0, 1), None);
        assert_eq!(read(1, 2), None, "it may be on its way");
        assert_eq!(read(1, 3), Some(Doubt::Lost));
        assert_eq!(read(1, 4), None, "settled");
    }

    #[test]
    fn a_registry_that_is_lost_or_of_another_server_is_a_doubt() {
        let mut peers = peers();
        let mut lost = reading(&[]);
        lost.has_mine = false;
        assert_eq!(peers.read(&lost, H, H), Some(Doubt::RegistryLost));
        let mut other = reading(&[]);
        other.server = Instance::known(2);
        assert_eq!(peers.read(&other, H, H), Some(Doubt::OtherServer));
        assert_eq!(peers.read(&other, H, H), None);
    }

    #[test]
    fn silence_is_doubted_again_and_again_until_the_node_is_dead() {
        let mut peers = peers();
        let (mut doubts, mut is_buried) = (Vec::new(), false);
        for quarter in 1..200 {
            let now = H * quarter / 4;
            let mut nodes = reading(&[("a", 0, 1)]);
            is_buried |= !peers.dead(now).is_empty();
            if is_buried {
                nodes = reading(&[]);
            }
            let read = peers.read(&nodes, now, now);
            doubts.extend(read.or_else(|| peers.tick(now)));
        }
        assert_eq!(doubts.pop(), Some(Doubt::Gone));
        assert!((9..=11).contains(&doubts.len()), "{doubts:?}");
        assert!(doubts.iter().all(|doubt| *doubt == Doubt::Silent));
    }

    /// What happens in a quarter of a heartbeat.
    #[derive(Clone, Debug)]
    struct Quarter {
        /// Which nodes publish.
        publish: Vec<usize>,
        /// What becomes of each message: lost, heard once, twice, or in the quarter after the next.
        fates: Vec<u8>,
        /// Whether the registry can be read.
        is_read: bool,
        /// Which nodes' hearts stop here for good.
        stops: Option<usize>,
    }

    fn quarter() -> impl Strategy<Value = Quarter> {
        let nodes = prop::collection::vec(0..3_usize, 0..3);
        let fates = prop::collection::vec(0..4_u8, 3);
        let stops = prop::option::weighted(0.02, 0..3_usize);
        (nodes, fates, prop::bool::weighted(0.7), stops).prop_map(
            |(publish, fates, is_read, stops)| Quarter {
                publish,
                fates,
                is_read,
                stops,
            },
        )
    }

    proptest! {
        /// The model knows when each message was published, and believes a message to be settled when it
        /// was heard, or when there was any doubt since.
        #[test]
        fn what_is_lost_is_doubted_within_three_heartbeats(
            quarters in prop::collection::vec(quarter(), 1..120),
        ) {
            let names = ["a", "b", "c"];
            let mut peers = Peers::new("me".to_owned(), 1, H, Duration::ZERO);
            let (mut numbers, mut beats, mut is_stopped) = ([0_u64; 3], [0_u64; 3], [false; 3]);
            // When each unsettled message was published, and those that are on their way.
            let mut unsettled: Vec<(usize, u64, Duration)> = Vec::new();
            let mut late: Vec<(usize, Head)> = Vec::new();
            for (at, quarter) in quarters.iter().enumerate() {
                let now = H * u32::try_from(at).unwrap() / 4;
                let mut is_doubted = false;
                if let Some(node) = quarter.stops {
                    is_stopped[node] = true;
                }
                for (node, beat) in beats.iter_mut().enumerate() {
                    // Each heart beats in a quarter of its own.
                    *beat += u64::from(!is_stopped[node] && at % 4 == node);
                }
                let mut arriving: Vec<Head> = Vec::new();
                for (place, &node) in quarter.publish.iter().enumerate() {
                    let was_registered = !is_stopped[node];
                    numbers[node] += u64::from(was_registered);
                    let number = numbers[node];
                    unsettled.push((node, number, now));
                    if !was_registered {
                        // It writes, and can tell nobody any more.
                        continue;
                    }
                    let message = head(names[node], number, Kind::Invalidation);
                    match quarter.fates[place] {
                        0 => {}
                        1 => arriving.push(message),
                        2 => arriving.extend([message.clone(), message]),
                        _ => late.push((at + 2, message)),
                    }
                }
                late.retain(|(then, message)| {
                    if *then == at {
                        arriving.push(message.clone());
                    }
                    *then > at
                });
                for message in arriving {
                    let heard = peers.hear(&message, now);
                    is_doubted |= heard.doubt.is_some();
                    let node = names.iter().position(|name| *name == message.sender);
                    // What a stopped node wrote later was told by no message.
                    unsettled.retain(|(one, number, then)| {
                        Some(*one) != node || *number != message.number || is_stopped[*one] && *then == now
                    });
                }
                if at % 2 == 0 && quarter.is_read {
                    let nodes = names.iter().enumerate().map(|(node, name)| {
                        let (number, beat) = (numbers[node], beats[node]);
                        let standing = Standing { incarnation: 1, number, beat };
                        ((*name).to_owned(), standing)
                    });
                    let dead = peers.dead(now);
                    let reading = Reading {
                        nodes: nodes.filter(|(name, _)| !dead.contains(name)).collect(),
                        ..reading(&[])
                    };
                    // Nobody waits for the dead.
                    unsettled.retain(|(node, ..)| !dead.iter().any(|name| name == names[*node]));
                    is_doubted |= peers.read(&reading, now, now).is_some();
                }
                is_doubted |= peers.tick(now).is_some();
                if is_doubted {
                    unsettled.clear();
                }
                for (node, number, then) in &unsettled {
                    prop_assert!(now - *then < H * 3, "{node} {number} {then:?} {now:?}");
                }
            }
        }
    }
}
