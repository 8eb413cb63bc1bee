//! The bus between processes that share a Redis server. What one changes in a tier that they share,
//! the others forget in their own tiers, in a moment; and what a message cannot tell them, because it was
//! lost, they find out by themselves, within three heartbeats: see `peers`.
//!
//! Three threads: one speaks (messages, heartbeats, and looks at the registry), one hears, on a
//! connection of its own, and one watches the time, because each of the others may be waiting for a
//! server that does not answer. While nobody can say what was missed, all copies leave again and again,
//! so that no copy is older than three heartbeats.
//!
//! Any other program says `PUBLISH cache:invalidate 'users:7:*'`: a pattern of full keys, `NAME:KEY`.
//! Every node forgets what matches, in the shared tier, too. Such a message has no number: if it is lost,
//! nobody knows.

mod peers;
mod registry;
mod speaker;
mod wire;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;

use self::peers::{Doubt, Peers};
use self::registry::Names;
use self::speaker::Speaker;
use super::queue::Queue;
use super::{CAPACITY, Invalidation, InvalidationBus, KeyedCache, Origin, Reach, What};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::health::{Health, HealthState, Reason};
use crate::kv::{KvCache, KvChange};
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::{Condvar, Mutex};
use crate::redis::{Heard, RedisClient};
use crate::stats::Counter;
use crate::tier::KeyPattern;
use crate::worker::Worker;

/// The times between heartbeats that make sense.
const HEARTBEATS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// How long the first word to the server is waited for.
const BEGIN_WAIT: Duration = Duration::from_secs(2);
/// How often the thread that hears looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(200);

/// How a node takes part. Options can only be valid: what is out of range is refused when it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusOptions {
    heartbeat: Duration,
    prefix: String,
    node: Option<String>,
}

impl Default for BusOptions {
    /// A heartbeat a second, the prefix `cache`, and a name of the node that is random.
    fn default() -> Self {
        BusOptions {
            heartbeat: Duration::from_secs(1),
            prefix: "cache".to_owned(),
            node: None,
        }
    }
}

impl BusOptions {
    /// The time between two heartbeats, 100 ms to a minute, the same in all nodes: a copy that is no
    /// longer true is served for at most three, whatever is lost.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn heartbeat(mut self, time: Duration) -> Result<Self> {
        if !(HEARTBEATS.0..=HEARTBEATS.1).contains(&time) {
            let (key, time) = ("coordination.heartbeat", format!("{time:?}"));
            return Err(Error::out_of_range(key, time, "100ms to 60s"));
        }
        self.heartbeat = time;
        Ok(self)
    }

    /// What sets the channels of these nodes apart, the same in all of them: others publish patterns
    /// in `PREFIX:invalidate`.
    ///
    /// # Errors
    /// `InvalidConfig` unless it has 1 to 100 letters, digits, `_`, `-` and `.`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self> {
        self.prefix = name("prefix of the bus", prefix)?;
        Ok(self)
    }

    /// The node's name, which no other node has.
    ///
    /// # Errors
    /// `InvalidConfig` unless it has 1 to 100 letters, digits, `_`, `-` and `.`.
    pub fn node(mut self, node: &str) -> Result<Self> {
        self.node = Some(name("name of the node", node)?);
        Ok(self)
    }
}

fn name(what: &str, text: &str) -> Result<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=100).contains(&text.len()) && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(40).collect();
    let message = format!("the {what} {shown:?} is not allowed");
    Err(Error::new(ErrorKind::InvalidConfig, message)
        .with_help("give 1 to 100 letters, digits, `_`, `-` and `.`"))
}

/// A node among those that share a Redis server. Dropped, it says good-bye.
pub struct RedisBus {
    node: Arc<Node>,
    // In the order in which they end.
    watcher: Option<Worker>,
    speaker: Option<Arc<Worker>>,
    hearer: Option<Worker>,
    last_words: Arc<Mutex<Speaker>>,
}

/// What the threads share.
struct Node {
    client: Arc<RedisClient>,
    bus: Arc<InvalidationBus>,
    clock: Arc<dyn Clock>,
    heartbeat: Duration,
    names: Names,
    name: String,
    incarnation: u64,
    peers: Mutex<Peers>,
    outgoing: Mutex<Outgoing>,
    published: Condvar,
    state: Mutex<State>,
    counts: Counts,
}

/// What others are to be told.
struct Outgoing {
    queue: Queue,
    put: u64,
    /// How many of these have been tried, and what came of the last try.
    tried: u64,
    outcome: Result<()>,
    /// Whether the first heartbeat and the first look were tried.
    has_begun: bool,
}

/// What does not work now.
#[derive(Clone, Default)]
struct State {
    publishing: Option<Error>,
    reading: Option<Error>,
    hearing: Option<Error>,
    /// The server does not say which one it is.
    is_anonymous: bool,
    last_doubt: Option<Doubt>,
}

#[derive(Debug, Default)]
struct Counts {
    messages: Counter,
    failed: Counter,
    heard: Counter,
    echoes: Counter,
    unreadable: Counter,
    patterns: Counter,
    invalid_patterns: Counter,
    doubts: Counter,
}

/// What came of telling others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Told {
    /// The message is out. Who misses it finds out within three heartbeats.
    Sent,
    /// Nobody was told; it is tried again with each heartbeat. Others serve what they have until they
    /// find this node silent, or are told.
    Nobody(Error),
    /// It is not out yet.
    Waiting,
}

/// What a node has done since its start, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RedisBusStats {
    /// The node's name.
    pub node: String,
    /// How many other nodes are known.
    pub nodes: usize,
    /// Messages with events that were sent; heartbeats do not count.
    pub messages: u64,
    /// Attempts to publish that failed.
    pub failed: u64,
    /// Events that wait to be told.
    pub waiting: usize,
    /// Messages of others that were heard, heartbeats included.
    pub heard: u64,
    /// Messages of its own that came back: what is said gets through.
    pub echoes: u64,
    /// Messages that could not be read, and were not believed.
    pub unreadable: u64,
    /// Patterns of other programs.
    pub patterns: u64,
    /// The same that are none.
    pub invalid_patterns: u64,
    /// How often copies left because messages may have been missed.
    pub doubts: u64,
    /// Why, the last time.
    pub last_doubt: Option<&'static str>,
}

impl RedisBus {
    /// A node on the client's server, whose word goes to the bus. The first heartbeat is out before this
    /// returns, if the server answers within two seconds. One that is away, or takes longer, is no error:
    /// until it answers, the node's health says so, and others do not know the node.
    ///
    /// # Errors
    /// `Io` if the threads cannot be started, or the system has no random numbers.
    pub fn start(
        client: Arc<RedisClient>,
        options: BusOptions,
        bus: Arc<InvalidationBus>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let name = options.node.map_or_else(random_name, Ok)?;
        // Another number than that of any earlier start of the same name.
        let incarnation = clock.now().timestamp_micros().unsigned_abs();
        let now = clock.elapsed();
        let peers = Peers::new(name.clone(), incarnation, options.heartbeat, now);
        let node = Arc::new(Node {
            names: Names::new(&options.prefix, client.database()),
            client,
            bus,
            clock,
            heartbeat: options.heartbeat,
            name,
            incarnation,
            peers: Mutex::new(peers),
            outgoing: Mutex::new(Outgoing {
                queue: Queue::new(CAPACITY),
                put: 0,
                tried: 0,
                outcome: Ok(()),
                has_begun: false,
            }),
            published: Condvar::default(),
            state: Mutex::new(State::unanswered()),
            counts: Counts::default(),
        });
        let (watching, hearing) = (Arc::clone(&node), Arc::clone(&node));
        let watcher = Worker::spawn("bus-watch", move |_| watching.watch())?;
        let hearer = Worker::spawn("bus-hear", move |stop| hearing.hear(stop))?;
        let last_words = Arc::new(Mutex::new(Speaker::new(Arc::clone(&node))));
        let speaking = Arc::clone(&last_words);
        // The lock is the thread's own: nobody else takes it before the thread has ended.
        let speaker = Worker::spawn("bus-speak", move |stop| speaking.lock().round(stop))?;
        speaker.ring();
        node.await_beginning();
        watcher.ring();
        hearer.ring();
        Ok(RedisBus {
            node,
            watcher: Some(watcher),
            hearer: Some(hearer),
            speaker: Some(Arc::new(speaker)),
            last_words,
        })
    }

    /// Has the cache take part: what it changes is told to the other nodes, which forget it in the cache
    /// of the same name, and what they change is forgotten here. Copies that it has already leave, such as
    /// those of a file: nobody can say what was missed since they were made.
    ///
    /// A cache that has no shared tier takes part in what callers and other programs invalidate; since it
    /// cannot be looked up anywhere what it missed, all of it leaves when messages may have been missed.
    ///
    /// # Errors
    /// `Coordinator` if the bus has a cache of this name already.
    pub fn share(&self, cache: &KvCache) -> Result<()> {
        let bus = &self.node.bus;
        bus.subscribe_keys(Arc::new(Coherent(cache.clone())))?;
        if !cache.tier().is_shared() {
            return Ok(());
        }
        if let Err(error) = cache.forget_copies(&KeyPattern::all()) {
            bus.unsubscribe_keys(cache.name());
            return Err(error);
        }
        self.speak_for(cache);
        Ok(())
    }

    /// Has what the cache changes told to the other nodes, as in [`RedisBus::share`], and no more: what
    /// they change is not forgotten here. For a program that ends at once, and has no copies in memory.
    pub fn speak_for(&self, cache: &KvCache) {
        let name = cache.name().to_owned();
        let voice = self.voice();
        let tell = move |pattern: KeyPattern, cause: &str| {
            let cache = Some(name.clone());
            let reach = Reach::Copies;
            let what = What::Keys {
                cache,
                pattern,
                reach,
            };
            voice.tell(Invalidation::of(what, Origin::Api, cause));
        };
        let repaired = tell.clone();
        cache.on_change(move |change| match change {
            KvChange::Key(key) => tell(KeyPattern::exactly(key), "a value changed"),
            KvChange::Matching(pattern) => tell(pattern.clone(), "values were deleted"),
            KvChange::All => tell(KeyPattern::all(), "a cache was emptied"),
        });
        // What others read there meanwhile was old, and they may have been told before they read it.
        cache.tier().on_repair(Arc::new(move || {
            repaired(KeyPattern::all(), "the shared tier was put right");
        }));
    }

    /// Tells everybody: this process's bus, and the other nodes, in a moment.
    pub fn publish(&self, invalidation: Invalidation) {
        self.node.bus.publish(invalidation.clone());
        self.voice().tell(invalidation);
    }

    /// The same, and waits for at most so long to know whether others were told.
    pub fn publish_and_wait(&self, invalidation: Invalidation, within: Duration) -> Told {
        self.node.bus.publish(invalidation.clone());
        let ticket = self.voice().tell(invalidation);
        self.wait_for(ticket, within)
    }

    /// Waits for at most so long to know whether others were told what was to be told until now. While the
    /// server is known to be away, it does not wait.
    pub fn told(&self, within: Duration) -> Told {
        let (ticket, is_tried) = {
            let outgoing = self.node.outgoing.lock();
            (outgoing.put, outgoing.tried >= outgoing.put)
        };
        let failing = self.node.state.lock().publishing.clone();
        match failing {
            Some(error) if !is_tried => Told::Nobody(error),
            _ => self.wait_for(ticket, within),
        }
    }

    fn wait_for(&self, ticket: u64, within: Duration) -> Told {
        let mut outgoing = self.node.outgoing.lock();
        let is_untried = |outgoing: &mut Outgoing| outgoing.tried < ticket;
        self.node
            .published
            .wait_while_for(&mut outgoing, is_untried, within);
        match &outgoing.outcome {
            _ if outgoing.tried < ticket => Told::Waiting,
            Ok(()) => Told::Sent,
            Err(error) => Told::Nobody(error.clone()),
        }
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node.name
    }

    /// The bus of this process.
    pub fn bus(&self) -> &Arc<InvalidationBus> {
        &self.node.bus
    }

    /// Whether others are told, and heard. Asks nobody.
    pub fn health(&self) -> Health {
        let state = self.node.state.lock().clone();
        let waiting = self.node.outgoing.lock().queue.len();
        let mut health = Health::healthy("bus");
        let told = format!("other processes are not told what changes ({waiting} wait)");
        let found = [
            (state.publishing, "not-published", told.as_str()),
            (
                state.reading,
                "not-confirmed",
                "it is not known what others said",
            ),
            (state.hearing, "not-heard", "what others say is heard late"),
        ];
        for (error, code, what) in found {
            if let Some(error) = error {
                let reason = Reason::new(code, format!("{what}: {error:#}"));
                let help = error.help().unwrap_or("it is tried again by itself");
                health = health.but(HealthState::Degraded, reason.with_help(help));
            }
        }
        if state.is_anonymous {
            let what =
                "the server does not say which one it is: another one in its place goes unseen";
            let reason = Reason::new("server-unknown", what).with_help("allow INFO to the user");
            health = health.but(HealthState::Degraded, reason);
        }
        health
    }

    /// What it has done since its start.
    pub fn stats(&self) -> RedisBusStats {
        let (node, counts) = (&self.node, &self.node.counts);
        RedisBusStats {
            node: node.name.clone(),
            nodes: node.peers.lock().len(),
            messages: counts.messages.get(),
            failed: counts.failed.get(),
            waiting: node.outgoing.lock().queue.len(),
            heard: counts.heard.get(),
            echoes: counts.echoes.get(),
            unreadable: counts.unreadable.get(),
            patterns: counts.patterns.get(),
            invalid_patterns: counts.invalid_patterns.get(),
            doubts: counts.doubts.get(),
            last_doubt: node.state.lock().last_doubt.map(Doubt::cause),
        }
    }

    fn voice(&self) -> Voice {
        Voice {
            node: Arc::downgrade(&self.node),
            speaker: self
                .speaker
                .as_ref()
                .map(Arc::downgrade)
                .unwrap_or_default(),
        }
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        drop(self.watcher.take());
        // It hears the last words, and need not be waited for.
        self.hearer.as_ref().inspect(|hearer| hearer.stop());
        drop(self.speaker.take());
        // Unless its thread is held up by the server: then others find it silent.
        if let Some(mut speaker) = self.last_words.try_lock() {
            speaker.end();
        }
        drop(self.hearer.take());
    }
}

/// The way to the others, for who does not keep the node alive.
#[derive(Clone)]
struct Voice {
    node: Weak<Node>,
    speaker: Weak<Worker>,
}

impl Voice {
    /// Puts it among what others are to be told; its ticket.
    fn tell(&self, invalidation: Invalidation) -> u64 {
        let Some(node) = self.node.upgrade() else {
            return 0;
        };
        let ticket = {
            let mut outgoing = node.outgoing.lock();
            outgoing.put += 1;
            outgoing.queue.push(invalidation);
            outgoing.put
        };
        if let Some(speaker) = self.speaker.upgrade() {
            speaker.ring();
        }
        ticket
    }
}

impl State {
    /// As it is before the first word.
    fn unanswered() -> Self {
        let message = "the server has not answered yet";
        State {
            publishing: Some(Error::new(ErrorKind::Unavailable, message)),
            ..State::default()
        }
    }
}

impl Node {
    /// Waits until the speaker has been to the server, for as long as a start may take.
    fn await_beginning(&self) {
        let mut outgoing = self.outgoing.lock();
        let is_early = |outgoing: &mut Outgoing| !outgoing.has_begun;
        self.published
            .wait_while_for(&mut outgoing, is_early, BEGIN_WAIT);
    }

    /// Doubts what nobody has confirmed.
    fn watch(&self) -> Option<Duration> {
        let doubt = self.peers.lock().tick(self.clock.elapsed());
        self.publish_doubt(doubt);
        Some(self.heartbeat / 8)
    }

    /// All copies leave, if there is a doubt.
    fn publish_doubt(&self, doubt: Option<Doubt>) {
        let Some(doubt) = doubt else {
            return;
        };
        self.counts.doubts.bump();
        self.state.lock().last_doubt = Some(doubt);
        tracing::debug!(node = self.name, "all copies leave: {}", doubt.cause());
        let (what, origin) = (
            What::Revalidate { cache: None },
            Origin::Redis { sender: None },
        );
        self.bus
            .publish(Invalidation::of(what, origin, doubt.cause()));
    }

    /// Hears until the connection breaks, or is deaf: then again in a moment.
    fn hear(&self, stop: &AtomicBool) -> Option<Duration> {
        let channels = [&*self.names.messages, &*self.names.patterns];
        let mut last = self.clock.elapsed();
        let heard = self
            .client
            .hear(&channels, GLANCE.min(self.heartbeat), |heard| {
                let now = self.clock.elapsed();
                match heard {
                    Heard::Begin => self.begin_hearing(now),
                    Heard::Message(channel, payload) if channel == self.names.patterns => {
                        self.hear_pattern(&payload);
                    }
                    Heard::Message(_, payload) => {
                        last = now;
                        self.hear_node(&payload, now);
                    }
                    Heard::Nothing => {}
                }
                // Not even our own heart is heard.
                let is_deaf = now >= last + self.heartbeat * 3;
                match is_deaf || stop.load(Ordering::Relaxed) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let deaf = || Error::new(ErrorKind::Unavailable, "nothing is heard on the connection");
        self.state.lock().hearing = Some(heard.err().unwrap_or_else(deaf));
        Some(self.heartbeat / 4)
    }

    fn begin_hearing(&self, now: Duration) {
        let again = self.state.lock().hearing.take().is_some();
        if again {
            self.peers.lock().doubt(Doubt::Reconnected, now);
            self.publish_doubt(Some(Doubt::Reconnected));
        }
    }

    fn hear_node(&self, payload: &[u8], now: Duration) {
        let (head, events) = match wire::decode(payload) {
            Ok(message) => message,
            Err(error) => {
                // If it was a node's, its number is in the registry.
                self.counts.unreadable.bump();
                tracing::warn!("{error:#}");
                return;
            }
        };
        let heard = self.peers.lock().hear(&head, now);
        match heard.is_echo {
            true => self.counts.echoes.bump(),
            false => {
                self.counts.heard.bump();
                events.into_iter().for_each(|event| self.bus.publish(event));
            }
        }
        self.publish_doubt(heard.doubt);
    }

    fn hear_pattern(&self, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload);
        match KeyPattern::new(&text) {
            Ok(pattern) => {
                self.counts.patterns.bump();
                let (cache, reach) = (None, Reach::Everywhere);
                let what = What::Keys {
                    cache,
                    pattern,
                    reach,
                };
                let cause = format!("PUBLISH {}", self.names.patterns);
                let origin = Origin::Redis { sender: None };
                self.bus.publish(Invalidation::of(what, origin, cause));
            }
            Err(error) => {
                self.counts.invalid_patterns.bump();
                tracing::warn!(channel = self.names.patterns, "{error:#}");
            }
        }
    }
}

/// A cache that takes part.
struct Coherent(KvCache);

impl KeyedCache for Coherent {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn forget_copies(&self, pattern: &KeyPattern) -> Result<usize> {
        KeyedCache::forget_copies(&self.0, pattern)
    }

    fn revalidate(&self) -> Result<usize> {
        KeyedCache::forget_copies(&self.0, &KeyPattern::all())
    }

    fn forget(&self, pattern: &KeyPattern) -> Result<usize> {
        KeyedCache::forget(&self.0, pattern)
    }
}

/// 16 hexadecimal digits.
fn random_name() -> Result<String> {
    let bytes = crate::tier::random::<8>()?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus")
            .field("node", &self.node.name)
            .field("heartbeat", &self.node.heartbeat)
            .finish_non_exhaustive()
    }
}
