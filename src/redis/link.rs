//! A connection to the server: made by the thread that needs it, asked one thing at a time, and dropped
//! as soon as anything about it is in doubt.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use redis::{ConnectionInfo, ErrorKind as Kind, Pipeline, RedisError, Value};

use super::fault::{Fault, Trouble};
use super::instance::Instance;
use super::stream::{Stream, Unread};

/// A connection that was not asked for this long what its server is, is asked that before it is used:
/// it may have been closed without a word, or the server may be a replica by now.
const CHECKED: Duration = Duration::from_secs(10);
/// The most bytes of the replies to one request. Of a longer value nothing is read; of a list, and of
/// several replies, what comes before that. The connection ends.
pub(crate) const MAX_REPLY: usize = 65 << 20;

/// A place in the pool, with or without a connection. The pool hands out places, so that whoever wants
/// a connection finds out at once, and by himself, what keeps it from being made.
#[derive(Default)]
pub(super) struct Slot(Option<Link>);

/// Makes places: see [`Slot`].
#[derive(Debug)]
pub(super) struct Slots;

impl r2d2::ManageConnection for Slots {
    type Connection = Slot;
    type Error = Infallible;

    fn connect(&self) -> Result<Slot, Infallible> {
        Ok(Slot::default())
    }

    fn is_valid(&self, _: &mut Slot) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Slot) -> bool {
        false
    }
}

impl Slot {
    /// Takes the connection out, if it can still be trusted: none was found broken since it was made, and
    /// its server takes writes, as far as is known.
    pub(super) fn take(&mut self, generation: u64) -> Option<Link> {
        let mut link = self.0.take().filter(|link| link.generation == generation)?;
        if link.checked_at.elapsed() >= CHECKED {
            link.check().ok()?;
        }
        Some(link)
    }

    /// Keeps a connection that all of its replies were read from.
    pub(super) fn keep(&mut self, link: Link) {
        self.0 = Some(link);
    }
}

/// An open connection.
pub(crate) struct Link {
    stream: Stream,
    /// What the server calls it: see [`Link::identity`].
    identity: Option<Identity>,
    /// Which server it is, if it told.
    instance: Option<Instance>,
    /// How often connections had been found broken when this one was made.
    generation: u64,
    /// When its server was last seen to take writes.
    checked_at: Instant,
    timeout: Duration,
    /// How long a read waits as it is set now.
    read_timeout: Duration,
    /// Whether the server watches keys for the transaction to come.
    is_watching: bool,
    /// What was sent to be done, and is not known to be: the reply did not come.
    doubt: Option<Doubt>,
    /// A reply was too long, and the rest of it may still come.
    is_cut: bool,
}

/// What may have been done, or be done at any time later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Twice is as good as once.
    Repeatable,
    /// Twice is something else.
    Final,
}

/// How the server knows a connection: by its number, which begins anew when the server does, and by the
/// name that we gave it, which nobody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) name: String,
}

impl Link {
    /// Connects, says who we are, and sees to it that the server is one that takes writes: what a
    /// replica says may be old.
    pub(super) fn open(
        info: &ConnectionInfo,
        timeout: Duration,
        generation: u64,
    ) -> Result<Link, RedisError> {
        let stream = Stream::connect(info, timeout)?;
        stream.set_read_timeout(timeout)?;
        let mut link = Link {
            stream,
            identity: None,
            instance: None,
            generation,
            checked_at: Instant::now(),
            timeout,
            read_timeout: timeout,
            is_watching: false,
            doubt: None,
            is_cut: false,
        };
        link.introduce(info)?;
        Ok(link)
    }

    fn introduce(&mut self, info: &ConnectionInfo) -> Result<(), RedisError> {
        let settings = info.redis_settings();
        let mut hello = redis::pipe();
        if let Some(password) = settings.password() {
            let auth = hello.cmd("AUTH");
            settings.username().map(|name| auth.arg(name));
            hello.arg(password);
        }
        if settings.db() != 0 {
            hello.cmd("SELECT").arg(settings.db());
        }
        if !hello.is_empty() {
            accept(self.exchange(&hello)?)?;
        }
        self.check()
    }

    /// Sees to it that the server takes writes, that this connection has a name there, and that it is known
    /// which server it is.
    fn check(&mut self) -> Result<(), RedisError> {
        let mut ask = redis::pipe();
        let name = format!("cardex-{:016x}", fastrand::u64(..));
        ask.cmd("ROLE").cmd("CLIENT").arg("SETNAME").arg(&name);
        ask.cmd("CLIENT").arg("INFO");
        Instance::ask(&mut ask);
        let replies = self.exchange(&ask)?;
        let [role, _, client, told @ ..]: [Value; 3 + Instance::REPLIES] =
            replies.try_into().unwrap_or_default();
        match role {
            // A user may be kept from asking.
            Value::ServerError(e) if Fault::of(&e.clone().into()) != Fault::Declined => {
                return Err(e.into());
            }
            Value::Array(parts) if parts.first().and_then(text).is_some_and(|r| r != "master") => {
                let what = "the server is a replica, and what it says may be old";
                return Err((redis::ServerErrorKind::ReadOnly.into(), what).into());
            }
            _ => {}
        }
        self.identity = text(&client).and_then(|line| Identity::parse(line, name));
        self.instance = Instance::read(&told)?;
        self.checked_at = Instant::now();
        Ok(())
    }

    /// Which server it is, as it was told last; `None` if it does not tell.
    pub(crate) fn instance(&self) -> Option<Instance> {
        self.instance
    }

    /// The same, asked now.
    pub(crate) fn instance_now(&mut self) -> Result<Option<Instance>, Trouble> {
        let mut ask = redis::pipe();
        Instance::ask(&mut ask);
        let replies = self.exchange(&ask)?;
        self.instance = Instance::read(&replies.try_into().unwrap_or_default())?;
        Ok(self.instance)
    }

    /// How the server names this connection, if it told.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What is in doubt.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Asks what changes nothing. The replies in their order.
    pub(crate) fn ask(&mut self, pipe: &Pipeline) -> Result<Vec<Value>, Trouble> {
        Ok(accept(self.replies(pipe)?)?)
    }

    /// The same, with the server's refusals among the replies, but for that of the first.
    pub(crate) fn ask_each(&mut self, pipe: &Pipeline) -> Result<Vec<Value>, Trouble> {
        let replies = self.replies(pipe)?;
        replies.first().cloned().map_or(Ok(()), accepted)?;
        Ok(replies)
    }

    /// The same, and has the server watch keys for the next transaction: `pipe` begins with `WATCH`.
    pub(crate) fn watch(&mut self, pipe: &Pipeline) -> Result<Vec<Value>, Trouble> {
        self.is_watching = true;
        self.ask_each(pipe)
    }

    /// Has something done that must not be done twice. The replies in their order; `None` for a
    /// transaction that was not made because a key that was watched has changed.
    pub(crate) fn tell(&mut self, pipe: &Pipeline) -> Result<Option<Vec<Value>>, Trouble> {
        self.have_done(pipe, Doubt::Final)
    }

    /// The same, of what is as good twice as once: it is sent again if the reply does not come.
    pub(crate) fn tell_again(&mut self, pipe: &Pipeline) -> Result<Option<Vec<Value>>, Trouble> {
        self.have_done(pipe, Doubt::Repeatable)
    }

    fn have_done(&mut self, pipe: &Pipeline, doubt: Doubt) -> Result<Option<Vec<Value>>, Trouble> {
        self.doubt = Some(doubt);
        let replies = self.replies(pipe)?;
        self.doubt = None;
        Ok(outcome(pipe, replies)?)
    }

    /// Leaves nothing behind for whoever has the connection next; an error if nobody can use it.
    pub(super) fn finish(&mut self) -> Result<(), Trouble> {
        if self.is_cut {
            return Err(Trouble::TooLong);
        }
        if self.is_watching {
            let unwatch = redis::pipe().cmd("UNWATCH").clone();
            self.ask(&unwatch)?;
            self.is_watching = false;
        }
        Ok(())
    }

    fn replies(&mut self, pipe: &Pipeline) -> Result<Vec<Value>, Trouble> {
        self.exchange(pipe).map_err(|error| match self.is_cut {
            true => Trouble::TooLong,
            false => error.into(),
        })
    }

    /// Sends it all, and reads as many replies as there will be, all within the time-out. Errors are
    /// those of the connection, which is of no use then; those of the server are among the replies.
    fn exchange(&mut self, pipe: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let begin = Instant::now();
        self.stream.send(&pipe.get_packed_pipeline())?;
        // A transaction is acknowledged at its beginning, and again at its end.
        let around = if pipe.is_transaction() { 2 } else { 0 };
        let mut replies = Vec::with_capacity(pipe.len() + around);
        let mut room = MAX_REPLY;
        for _ in 0..pipe.len() + around {
            if !self.stream.has_some() {
                self.wait_no_longer_than(begin)?;
            }
            replies.push(self.read(&mut room)?);
        }
        if pipe.is_transaction() {
            self.is_watching = false;
        }
        Ok(replies)
    }

    fn read(&mut self, room: &mut usize) -> Result<Value, Unread> {
        let reply = self.stream.read(room);
        self.is_cut |= matches!(reply, Err(Unread::TooLong));
        reply
    }

    /// Has the next read end when the time-out that began then does, or a sixteenth of it later: setting
    /// it is a system call.
    fn wait_no_longer_than(&mut self, begin: Instant) -> Result<(), RedisError> {
        let left = self.timeout.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        if self.read_timeout.abs_diff(left) > self.timeout / 16 {
            self.stream.set_read_timeout(left)?;
            self.read_timeout = left;
        }
        Ok(())
    }
}

/// What the server made of it; its first refusal, if it refused any of it.
fn outcome(pipe: &Pipeline, replies: Vec<Value>) -> Result<Option<Vec<Value>>, RedisError> {
    let mut replies = accept(replies)?;
    if !pipe.is_transaction() {
        return Ok(Some(replies));
    }
    match replies.pop() {
        Some(Value::Array(replies)) => Ok(Some(accept(replies)?)),
        Some(Value::Nil) => Ok(None),
        _ => Err((Kind::Parse, "no reply to a transaction").into()),
    }
}

fn accept(replies: Vec<Value>) -> Result<Vec<Value>, RedisError> {
    replies
        .iter()
        .find(|reply| matches!(reply, Value::ServerError(_)))
        .map_or(Ok(()), |refusal| accepted(refusal.clone()))?;
    Ok(replies)
}

fn accepted(reply: Value) -> Result<(), RedisError> {
    match reply {
        Value::ServerError(refusal) => Err(refusal.into()),
        _ => Ok(()),
    }
}

pub(super) fn text(reply: &Value) -> Option<&str> {
    match reply {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

impl Identity {
    /// Of the line that the server says of a connection, if it says this name.
    fn parse(line: &str, name: String) -> Option<Self> {
        let field = |field: &str| {
            let mut words = line.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix(field))
        };
        let id = field("id=")?.to_owned();
        (field("name=") == Some(&name)).then_some(Identity { id, name })
    }

    /// Whether it is the connection that the server says this of.
    fn is_that_of(&self, line: &str) -> bool {
        Identity::parse(line, self.name.clone()).as_ref() == Some(self)
    }
}

impl Link {
    /// Has the server close another connection, if it is still open.
    pub(super) fn close_other(&mut self, other: &Identity) -> Result<(), Trouble> {
        let mut list = redis::pipe();
        list.cmd("CLIENT").arg("LIST").arg("ID").arg(&other.id);
        let listed = self.ask(&list)?;
        let is_open = listed.first().and_then(text);
        if is_open.is_some_and(|line| other.is_that_of(line)) {
            let mut kill = redis::pipe();
            kill.cmd("CLIENT").arg("KILL").arg("ID").arg(&other.id);
            self.tell_again(&kill)?;
        }
        Ok(())
    }
}

impl Link {
    /// Hears what is published in the channels from now on, and is asked nothing else.
    pub(super) fn subscribe(&mut self, channels: &[&str]) -> Result<(), RedisError> {
        let mut subscribe = redis::pipe();
        subscribe.cmd("SUBSCRIBE").arg(channels);
        accept(self.exchange(&subscribe)?)?;
        Ok(())
    }

    /// The next message, and its channel; `None` if none begins for so long.
    pub(super) fn message(
        &mut self,
        within: Duration,
    ) -> Result<Option<(String, Vec<u8>)>, RedisError> {
        if !self.stream.has_some() {
            self.stream.set_read_timeout(within)?;
            match self.stream.wait() {
                Err(error) if is_nothing(&error) => return Ok(None),
                waited => waited?,
            }
            self.stream.set_read_timeout(self.timeout)?;
        }
        let mut room = MAX_REPLY;
        let words = match self.read(&mut room)? {
            Value::Array(words) => words,
            Value::ServerError(refusal) => return Err(refusal.into()),
            _ => return Err((Kind::Parse, "no message").into()),
        };
        match <[Value; 3]>::try_from(words) {
            Ok([kind, channel, Value::BulkString(payload)]) if text(&kind) == Some("message") => {
                let channel = text(&channel).unwrap_or_default().to_owned();
                Ok(Some((channel, payload)))
            }
            // A channel more is heard.
            _ => Ok(None),
        }
    }
}

/// Whether nothing came, and the socket is as it was: a signal may end a wait early.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_a_signal_ends_early_is_no_broken_connection() {
        let is_nothing = |kind: io::ErrorKind| is_nothing(&kind.into());
        assert!(is_nothing(io::ErrorKind::Interrupted));
        assert!(is_nothing(io::ErrorKind::WouldBlock));
        assert!(!is_nothing(io::ErrorKind::UnexpectedEof));
        assert!(!is_nothing(io::ErrorKind::ConnectionReset));
    }
}
