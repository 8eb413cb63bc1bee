//! Answering over HTTP: queries, records, changes and counts of one project, for programs and people of
//! this machine.
//!
//! It serves what it is given, a [`Cardex`], and adds nothing to what that knows: each route is one verb
//! of the library. It listens on this machine only, unless it is told otherwise and given a token; who
//! asks under another name is not answered, and nothing is changed without the token. Whatever a client
//! can make it do is bounded: headers, bodies, pages, times, requests at once, connections, waits.
//!
//! The only asynchronous code of this crate is here. Work that may wait for the database is done on
//! threads of its own, never on those that serve the sockets.

mod accept;
mod auth;
mod blocking;
mod body;
mod bus;
mod caches;
mod call;
mod connections;
mod dispatch;
mod events;
mod guard;
mod limits;
mod metrics;
mod openapi;
mod options;
mod page;
mod patience;
mod problem;
mod reply;
mod routes;
mod samples;
mod state;
mod table;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use self::accept::Accept;
use self::caches::Caches;
use self::events::Feed;
use self::guard::Guard;
use self::limits::Limits;
use self::metrics::Metrics;
pub use self::options::ServerOptions;
use self::samples::Samples;
pub use self::state::Served;
use self::state::State;
use crate::cardex::Cardex;
use crate::error::{Error, ErrorKind, Result};
use crate::worker::Worker;

/// How long requests under way may take once the server is to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How long is waited for the accept loop beyond that.
const DRAIN_SLACK: Duration = Duration::from_secs(1);
/// Threads that serve sockets: they never wait for anything else.
const MAX_THREADS: usize = 4;
/// Connections that the kernel holds until they are taken.
const BACKLOG: u32 = 1024;

/// A running server. It stops when it is told to or dropped, on any thread.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    drained: Receiver<bool>,
    _runtime: Background,
    _sampler: Worker,
    /// Loads the index; it has ended long ago, mostly.
    _loader: Worker,
}

impl Server {
    /// Listens, and answers from then on. An index that is not loaded yet is loaded by a thread of the
    /// server's own; until that has succeeded, whatever needs it is a `NotLoaded` error and `/readyz`
    /// says so.
    ///
    /// # Errors
    /// `InvalidConfig` if reading wants a token and there is none, or if the token file is
    /// refused; `Io` if that or the address cannot be had.
    pub fn start(options: ServerOptions, served: Served) -> Result<Server> {
        let cardex = served.cardex.clone();
        let auth = options.auth()?;
        let reading_wants_token = options.reading_wants_token();
        let runtime = Background::start(&options)?;
        let listener = listen(runtime.handle(), options.listen)?;
        let address = listener
            .local_addr()
            .map_err(cannot_listen(options.listen))?;
        let (stop, stopping) = watch::channel(false);
        let caches = Caches::new(Arc::clone(&served.coordinator));
        let state = Arc::new(State {
            cardex: cardex.clone(),
            metrics: Metrics::new(&cardex, &caches, served.results.as_ref()),
            caches,
            served,
            auth,
            reading_wants_token,
            limits: Limits::new(options.max_requests),
            feed: Feed::start(cardex.clone())?,
            samples: Samples::default(),
            options: ArcSwap::from_pointee(options),
            started: Instant::now(),
            stopping,
        });
        let sampler = Samples::take(&state)?;
        let accept = Accept {
            router: dispatch::router(&state),
            guard: Guard::new(address),
            state: Arc::clone(&state),
        };
        let (tell, drained) = sync_channel(1);
        runtime.handle().spawn(async move {
            // Nobody may wait for it any more.
            let _ = tell.send(accept.run(listener, DRAIN).await);
        });
        Ok(Server {
            address,
            state,
            stop,
            drained,
            _runtime: runtime,
            _sampler: sampler,
            _loader: load(cardex)?,
        })
    }

    /// A function that has this server take the limits of each request (sizes, times, pages) from other
    /// options, from the next connection or request on. The address, the token and how many there may be
    /// at once stay. It does not keep the server, and does nothing once that is gone.
    pub fn reconfigure(&self) -> impl Fn(&ServerOptions) + Send + Sync + use<> {
        let state = Arc::downgrade(&self.state);
        move |options| {
            if let Some(state) = state.upgrade() {
                let taken = state.options().with_limits_of(options);
                state.options.store(Arc::new(taken));
            }
        }
    }

    /// The address that it listens on, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: takes no more connections, ends waits for changes at once, and gives requests under way
    /// five seconds. Returns whether all of them came to their end.
    pub fn stop(self) -> bool {
        self.stop.send_replace(true);
        let drained = self.drained.recv_timeout(DRAIN + DRAIN_SLACK);
        drained.unwrap_or(false)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// The threads that serve. They may be dropped on a thread that must not wait, one of another runtime:
/// by whoever drops the server, and by a start that fails.
#[derive(Debug)]
struct Background {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Background {
    fn start(options: &ServerOptions) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .thread_name("cardex-serve")
            .worker_threads(processors.min(MAX_THREADS))
            .max_blocking_threads(options.max_requests + limits::MAX_WATCHERS)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|cause| {
            let message = "cannot start the threads of the server";
            Error::new(ErrorKind::Io, message).because(cause)
        })?;
        Ok(Background {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn listen(runtime: &Handle, address: SocketAddr) -> Result<TcpListener> {
    let _inside = runtime.enter();
    let listen = || {
        let socket = match address.is_ipv4() {
            true => TcpSocket::new_v4()?,
            false => TcpSocket::new_v6()?,
        };
        // A server that was stopped just now has left connections that hold its port for a while.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(cannot_listen(address))
}

fn cannot_listen(address: SocketAddr) -> impl FnOnce(std::io::Error) -> Error {
    move |cause| {
        let is_taken = cause.kind() == std::io::ErrorKind::AddrInUse;
        let error = Error::new(ErrorKind::Io, format!("cannot listen on {address}"));
        let error = error.because(cause);
        match is_taken {
            true => error.with_help("something else listens there: choose another port, or 0"),
            false => error,
        }
    }
}

/// Loads the index, unless it is loaded already.
fn load(cardex: Cardex) -> Result<Worker> {
    let loader = Worker::spawn("cardex-load", move |_| {
        if cardex.snapshot().is_err()
            && let Err(error) = cardex.load()
        {
            tracing::warn!("the index is not loaded: {error:#}");
        }
        None
    })?;
    loader.ring();
    Ok(loader)
}
