//! The bytes between us and the server: a socket, and the replies that come on it, in the second version
//! of the server's protocol.
//!
//! Replies are read here and not by the library, which takes in whatever a server sends, half a gigabyte
//! of it, before anybody can see how long it is. Here the server's word on the length comes first, and
//! what nobody wants is left where it is: see [`Unread::TooLong`].

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind as Kind, RedisError, Value};

/// How much is read at once. Most replies are shorter.
const BUFFER: usize = 16 << 10;
/// The longest line of a reply: numbers, states and refusals.
const MAX_LINE: u64 = 64 << 10;
/// How deep lists lie within lists.
const MAX_DEPTH: usize = 8;

/// An open socket, and what was read from it and not asked for yet.
pub(super) struct Stream {
    replies: Replies<Socket>,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why a reply was not read. The stream is of no use from then on.
#[derive(Debug)]
pub(super) enum Unread {
    /// The socket failed, or did not answer in time.
    Io(io::Error),
    /// It is longer than the room that there is for it. Nothing of a value was read; of a list, what there
    /// was room for.
    TooLong,
    /// These are no bytes of a reply.
    Nonsense,
}

impl Stream {
    /// Connects. How long a name is looked up is the system's; each of its addresses is tried for so long.
    pub(super) fn connect(info: &ConnectionInfo, timeout: Duration) -> Result<Self, RedisError> {
        let socket = match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let tcp = connect_tcp(host, *port, timeout)?;
                tcp.set_nodelay(true)?;
                Socket::Tcp(tcp)
            }
            ConnectionAddr::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
            _ => return Err((Kind::InvalidClientConfig, "no way to this address").into()),
        };
        socket.set_write_timeout(timeout)?;
        Ok(Stream {
            replies: Replies::new(socket),
        })
    }

    /// How long each read waits from now on.
    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self.replies.reader.get_ref() {
            Socket::Tcp(socket) => socket.set_read_timeout(Some(timeout)),
            Socket::Unix(socket) => socket.set_read_timeout(Some(timeout)),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.replies.reader.get_mut().write_all(bytes)
    }

    /// Whether some of the next reply is here already.
    pub(super) fn has_some(&self) -> bool {
        !self.replies.reader.buffer().is_empty()
    }

    /// Waits for the next reply to begin. An error says nothing of the stream: nothing was read.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        match self.replies.reader.fill_buf()? {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next reply, if there is room for it; from the room its bytes are taken.
    pub(super) fn read(&mut self, room: &mut usize) -> Result<Value, Unread> {
        self.replies.read(room, MAX_DEPTH)
    }
}

fn connect_tcp(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Replies, out of bytes.
struct Replies<R> {
    reader: BufReader<R>,
    /// The last line, without its end.
    line: Vec<u8>,
}

impl<R: Read> Replies<R> {
    fn new(reader: R) -> Self {
        Replies {
            reader: BufReader::with_capacity(BUFFER, reader),
            line: Vec::new(),
        }
    }

    fn read(&mut self, room: &mut usize, depth: usize) -> Result<Value, Unread> {
        self.read_line()?;
        *room = room.checked_sub(self.line.len()).ok_or(Unread::TooLong)?;
        let Some((kind, rest)) = self.line.split_first() else {
            return Err(Unread::Nonsense);
        };
        match kind {
            b'$' => match length(rest)? {
                Some(length) => self.read_bulk(length, room),
                None => Ok(Value::Nil),
            },
            b'*' => match length(rest)? {
                Some(length) if depth > 0 => {
                    let bytes = length.saturating_mul(size_of::<Value>());
                    *room = room.checked_sub(bytes).ok_or(Unread::TooLong)?;
                    let mut values = Vec::with_capacity(length);
                    for _ in 0..length {
                        values.push(self.read(room, depth - 1)?);
                    }
                    Ok(Value::Array(values))
                }
                Some(_) => Err(Unread::Nonsense),
                None => Ok(Value::Nil),
            },
            b':' => Ok(Value::Int(number(rest).ok_or(Unread::Nonsense)?)),
            b'+' if rest == b"OK" => Ok(Value::Okay),
            b'+' => {
                let text = String::from_utf8(rest.to_vec());
                Ok(Value::SimpleString(text.map_err(|_| Unread::Nonsense)?))
            }
            b'-' => self.refusal(),
            _ => Err(Unread::Nonsense),
        }
    }

    fn read_line(&mut self) -> Result<(), Unread> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE);
        limited.read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Err(Unread::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        match self.line.strip_suffix(b"\r\n").map(<[u8]>::len) {
            Some(length) => self.line.truncate(length),
            None if self.line.ends_with(b"\n") || self.line.len() as u64 == MAX_LINE => {
                return Err(Unread::Nonsense);
            }
            None => return Err(Unread::Io(io::ErrorKind::UnexpectedEof.into())),
        }
        Ok(())
    }

    fn read_bulk(&mut self, length: usize, room: &mut usize) -> Result<Value, Unread> {
        *room = room.checked_sub(length).ok_or(Unread::TooLong)?;
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes)?;
        if !bytes.ends_with(b"\r\n") {
            return Err(Unread::Nonsense);
        }
        bytes.truncate(length);
        Ok(Value::BulkString(bytes))
    }

    /// The line as the library understands refusals.
    fn refusal(&mut self) -> Result<Value, Unread> {
        self.line.extend_from_slice(b"\r\n");
        redis::parse_redis_value(&self.line).map_err(|_| Unread::Nonsense)
    }
}

/// A length; `None` of what is not there.
fn length(digits: &[u8]) -> Result<Option<usize>, Unread> {
    match number(digits) {
        Some(-1) => Ok(None),
        Some(number) => usize::try_from(number).map(Some),
        None => return Err(Unread::Nonsense),
    }
    .map_err(|_| Unread::Nonsense)
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Socket {
    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.set_write_timeout(Some(timeout)),
            Socket::Unix(socket) => socket.set_write_timeout(Some(timeout)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Unread::Io(error)
    }
}

impl From<Unread> for RedisError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Io(error) => error.into(),
            Unread::TooLong => (Kind::Parse, "the reply is too long").into(),
            Unread::Nonsense => (Kind::Parse, "these are no bytes of a reply").into(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], mut room: usize) -> Result<Value, Unread> {
        Replies::new(bytes).read(&mut room, MAX_DEPTH)
    }

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    #[test]
    fn replies_are_read_as_the_library_reads_them() {
        for bytes in [
            "+OK\r\n",
            "+PONG\r\n",
            ":-2\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "$0\r\n\r\n",
            "$4\r\na\r\nb\r\n",
            "*0\r\n",
            "*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n-ERR no\r\n",
            "-LOADING Redis is loading the dataset in memory\r\n",
            "-ERR max number of clients reached\r\n",
            "-WRONGPASS invalid\r\n",
        ] {
            let theirs = redis::parse_redis_value(bytes.as_bytes()).unwrap();
            assert_eq!(read(bytes.as_bytes(), 1000).unwrap(), theirs, "{bytes:?}");
            for end in 0..bytes.len() {
                let cut = read(&bytes.as_bytes()[..end], 1000);
                assert!(matches!(cut, Err(Unread::Io(_))), "{bytes:?} cut at {end}");
            }
        }
    }

    #[test]
    fn nothing_is_read_for_which_there_is_no_room() {
        let bytes = b"*2\r\n$3\r\nabc\r\n$5\r\nhello\r\n";
        // The lines `*2`, `$3` and `$5`, two values, and their bytes.
        let room = 6 + 2 * size_of::<Value>() + 8;
        let whole = Value::Array(vec![bulk(b"abc"), bulk(b"hello")]);
        assert_eq!(read(bytes, room).unwrap(), whole);
        for room in 0..room {
            assert!(matches!(read(bytes, room), Err(Unread::TooLong)), "{room}");
        }
        // None of these is there.
        for bytes in ["$536870912\r\n", "*9223372036854775807\r\n"] {
            let read = read(bytes.as_bytes(), 64 << 20);
            assert!(matches!(read, Err(Unread::TooLong)), "{bytes}");
        }
    }

    #[test]
    fn long_lines_take_room_as_values_do() {
        let lines = format!(
            "*100\r\n{}",
            format!("+{}\r\n", "x".repeat(60_000)).repeat(100)
        );
        let room = 100 * size_of::<Value>();
        let short = read(lines.as_bytes(), room + 100_000);
        assert!(matches!(short, Err(Unread::TooLong)));
        let whole = read(lines.as_bytes(), room + lines.len());
        assert!(matches!(whole, Ok(Value::Array(values)) if values.len() == 100));
    }

    #[test]
    fn what_is_no_reply_is_nonsense() {
        let deep = "*1\r\n".repeat(100);
        let long = format!("+{}\r\n", "x".repeat(100_000));
        for bytes in [
            "\r\n",
            "HTTP/1.1\r\n",
            "$-2\r\n",
            "$x\r\n",
            ":\r\n",
            ":1\n",
            "$1\r\nabc\r\n",
            &deep,
            &long,
        ] {
            let read = read(bytes.as_bytes(), 1000);
            assert!(matches!(read, Err(Unread::Nonsense)), "{bytes:.20?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec("[$*:+\\-0-9\r\nx]{0,3}", 0..30)) {
            let bytes = bytes.concat();
            if let Ok(value) = read(bytes.as_bytes(), 1000) {
                prop_assert_eq!(value, redis::parse_redis_value(bytes.as_bytes()).unwrap());
            }
        }
    }
}
