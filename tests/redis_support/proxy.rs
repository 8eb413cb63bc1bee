//! A way to a server that can be made bad while it is used.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How the way is.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Clear,
    /// Each piece of a reply takes so much longer.
    Slow(Duration),
    /// After so many bytes of a reply, both ends are told that the other one is gone.
    CutReply(usize),
    /// Requests arrive, replies do not.
    LosesReplies,
    /// What is published does not arrive; replies do.
    LosesMessages,
    /// What is published arrives twice.
    DoublesMessages,
    /// What is published arrives so much later.
    SlowMessages(Duration),
    /// What is published arrives in two halves, the second one so much later.
    TearsMessages(Duration),
    /// After so many bytes of what is published, both ends are told that the other one is gone.
    CutsMessages(usize),
    /// Requests arrive when it is told to let them go: see [`Proxy::let_go`].
    HoldsRequests,
    /// Nothing arrives, and nobody is told.
    Hole,
    /// Whoever connects is turned away, and so is whoever says something.
    Closed,
}

/// Between clients, at a TCP port, and a server at a socket.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<PathBuf>,
    way: Mutex<Way>,
    is_over: AtomicBool,
    lets_go: AtomicBool,
    /// Requests that were held and are on their way.
    late: AtomicUsize,
    /// Connections that were made so far.
    connections: AtomicUsize,
    /// What was published with news in it, and was lost or cut.
    lost: AtomicUsize,
}

impl Proxy {
    pub fn to(server: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: Mutex::new(server.to_owned()),
            way: Mutex::new(Way::Clear),
            is_over: AtomicBool::new(false),
            lets_go: AtomicBool::new(false),
            late: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if theirs.is_over.load(Ordering::Relaxed) {
                    break;
                }
                theirs.connections.fetch_add(1, Ordering::Relaxed);
                if let Ok(client) = client {
                    theirs.connect(client);
                }
            }
        });
        Proxy { port, shared }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Leads to another server from now on. Connections that are there stay as they are.
    pub fn lead_to(&self, server: &Path) {
        *self.shared.server.lock().unwrap() = server.to_owned();
    }

    pub fn make(&self, way: Way) {
        *self.shared.way.lock().unwrap() = way;
    }

    /// Lets go of the requests that were held, and returns once each of them was sent on, if the server
    /// still took it.
    pub fn let_go(&self, requests: usize) {
        self.shared.lets_go.store(true, Ordering::Relaxed);
        super::soon("the requests arrive late", || {
            self.shared.late.load(Ordering::Relaxed) >= requests
        });
    }

    /// Holds requests again from now on, if that is the way.
    pub fn hold(&self) {
        self.shared.lets_go.store(false, Ordering::Relaxed);
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How much of what was published was lost or cut, but for heartbeats.
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // The thread that waits for clients sees one more.
        _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn way(&self) -> Way {
        *self.way.lock().unwrap()
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        if matches!(self.way(), Way::Closed) {
            return;
        }
        let server = self.server.lock().unwrap().clone();
        let Ok(server) = UnixStream::connect(server) else {
            return;
        };
        client.set_nodelay(true).unwrap();
        let up = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (one, other) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || one.requests(up.0, up.1));
        thread::spawn(move || other.replies(server, client));
    }

    fn requests(&self, mut client: TcpStream, mut server: UnixStream) {
        let mut piece = [0; 16 << 10];
        while let Ok(length @ 1..) = client.read(&mut piece) {
            match self.way() {
                Way::Hole => {}
                Way::Closed => break,
                Way::HoldsRequests => {
                    while !self.lets_go.load(Ordering::Relaxed) {
                        if self.is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        thread::yield_now();
                    }
                    let sent = server.write_all(&piece[..length]);
                    self.late.fetch_add(1, Ordering::Relaxed);
                    if sent.is_err() {
                        break;
                    }
                }
                _ => {
                    if server.write_all(&piece[..length]).is_err() {
                        break;
                    }
                }
            }
        }
        _ = server.shutdown(Shutdown::Both);
        _ = client.shutdown(Shutdown::Both);
    }

    fn replies(&self, mut server: UnixStream, mut client: TcpStream) {
        let mut piece = [0; 16 << 10];
        while let Ok(length @ 1..) = server.read(&mut piece) {
            let is_message = contains(&piece[..length], b"message\r\n$");
            let is_news = is_message && contains(&piece[..length], b"\"invalidation\"");
            let told = match self.way() {
                Way::LosesMessages if is_message => {
                    self.lost.fetch_add(is_news.into(), Ordering::Relaxed);
                    continue;
                }
                Way::CutsMessages(most) if is_message => {
                    _ = client.write_all(&piece[..length.min(most)]);
                    self.lost.fetch_add(is_news.into(), Ordering::Relaxed);
                    break;
                }
                Way::TearsMessages(by) if is_message => {
                    let (head, rest) = piece[..length].split_at(length / 2);
                    let told = client.write_all(head);
                    thread::sleep(by);
                    told.and_then(|()| client.write_all(rest))
                }
                Way::DoublesMessages if is_message => client.write_all(&piece[..length].repeat(2)),
                Way::SlowMessages(by) if is_message => {
                    thread::sleep(by);
                    client.write_all(&piece[..length])
                }
                Way::LosesReplies | Way::Hole => continue,
                Way::Closed => break,
                Way::CutReply(most) => {
                    _ = client.write_all(&piece[..length.min(most)]);
                    break;
                }
                Way::Slow(by) => {
                    thread::sleep(by);
                    client.write_all(&piece[..length])
                }
                _ => client.write_all(&piece[..length]),
            };
            if told.is_err() {
                break;
            }
        }
        _ = server.shutdown(Shutdown::Both);
        _ = client.shutdown(Shutdown::Both);
    }
}

/// Whether the bytes are in the piece.
fn contains(piece: &[u8], bytes: &[u8]) -> bool {
    piece.windows(bytes.len()).any(|window| window == bytes)
}
