//! The accept loop: connections in, each served under its limits until it ends, is shed, or the server
//! stops.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::body::Tracked;
use super::connections::{Connections, Ticket};
use super::guard::Guard;
use super::patience::Patient;
use super::reply::harden;
use super::state::State;

/// The rest after a connection could not be taken for want of something.
const REST: Duration = Duration::from_millis(10);

/// What a server does with a connection.
#[derive(Debug)]
pub(super) struct Accept {
    pub(super) state: Arc<State>,
    pub(super) router: Router,
    pub(super) guard: Guard,
}

impl Accept {
    /// Serves until the server is to stop, and then what is under way, for `drain` at most. Returns
    /// whether all of it came to its end.
    pub(super) async fn run(self, listener: TcpListener, drain: Duration) -> bool {
        let this = Arc::new(self);
        let connections = Arc::new(Connections::new(this.state.options().max_connections));
        let mut stopping = this.state.stopping.clone();
        let mut tasks = JoinSet::new();
        loop {
            this.state.metrics.connections(connections.len());
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                // Only the server itself holds the other end.
                _ = stopping.wait_for(|stop| *stop) => break,
                Some(_) = tasks.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Where all are at work, the new one is closed at once.
                    if let Some(ticket) = connections.admit() {
                        tasks.spawn(Arc::clone(&this).serve(stream, ticket));
                    }
                }
                Err(cause) => this.recover(&cause, &connections).await,
            }
        }
        drop(listener);
        let ended = async { while tasks.join_next().await.is_some() {} };
        let is_drained = tokio::time::timeout(drain, ended).await.is_ok();
        tasks.abort_all();
        is_drained
    }

    /// A connection could not be taken: mostly nothing of ours. Where files are what is wanting, a
    /// connection that has none under way makes room.
    async fn recover(&self, cause: &io::Error, connections: &Connections) {
        let errno = Errno::from_io_error(cause);
        if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) && connections.shed() {
            tracing::warn!("there are too many open files: an idle connection is closed");
        }
        tokio::time::sleep(REST).await;
    }

    /// Serves a connection to its end.
    async fn serve(self: Arc<Self>, stream: TcpStream, ticket: Ticket) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Answers are written whole: there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let options = self.state.options();
        let ticket = &ticket;
        let this = &self;
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            this.answer(router.clone(), request, local.ip(), ticket)
        });
        let most = usize::try_from(options.max_header_bytes).unwrap_or(usize::MAX);
        let io = Patient::new(stream, options.request_timeout);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_buf_size(most)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        let mut stopping = self.state.stopping.clone();
        tokio::select! {
            _ = connection.as_mut() => return,
            () = ticket.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        // Who has not asked yet has nothing to wait for; others get what they asked for.
        if !ticket.is_fresh() {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }

    async fn answer(
        &self,
        router: TowerToHyperService<Router>,
        request: Request<Incoming>,
        local: IpAddr,
        ticket: &Ticket,
    ) -> Result<Response<Tracked>, std::convert::Infallible> {
        let busy = ticket.request();
        let response = match self.guard.check(&request, local) {
            Ok(()) => router.call(request).await?,
            Err(problem) => {
                self.state.metrics.refused();
                problem.into_response()
            }
        };
        // A stream is not known beforehand, and holds two pieces at a time.
        let size = response.body().size_hint().exact().unwrap_or_default();
        let (response, room) = match self.state.limits.room(size) {
            Ok(room) => (response, room),
            Err(problem) => (problem.into_response(), None),
        };
        let mut response = response.map(|body: Body| Tracked::new(body, busy, room));
        harden(response.headers_mut());
        Ok(response)
    }
}
