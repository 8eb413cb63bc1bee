//! `/v1/events`: changes as server-sent events, until the client or the server has enough.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Method, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::body::Pieces;
use super::super::call::Call;
use super::super::events::Listener;
use super::super::limits::Permit;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, POSITION, Parameter, Route, Waiting};
use super::changes::read;
use crate::position::Position;
use crate::store::{Change, ChangeSet};

const EVENT_STREAM: &str = "text/event-stream";
/// A line that says nothing comes this often: whoever is gone is noticed, and nobody in between gives
/// up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// An event names at most so many files.
const MAX_FILES: usize = 1000;
/// At most so many files are read at a time.
const BATCH: usize = 10_000;
/// Sent first: a client that was cut off comes again after a second.
const RETRY: &str = "retry: 1000\n\n";

pub(in super::super) static EVENTS: Route = Route {
    method: Method::GET,
    path: "/v1/events",
    doc: "Changes as they are committed: events `change` with `{position, changed, deleted}`, and \
          `lost` with `{position}` where the log cannot tell what changed: ask everything anew then. \
          The id of an event is its position; `Last-Event-ID` resumes from there.",
    access: Access::Read,
    parameters: &[Parameter::text(
        "since",
        "The position to begin from, where there is no `Last-Event-ID`; now, if it is not said.",
    )
    .formed(POSITION)],
    body: None,
    answer: Answers::Other(EVENT_STREAM),
    action: Action::Wait(events),
};

fn events(state: Arc<State>, call: Call, headers: HeaderMap) -> Waiting {
    Box::pin(async move {
        let permit = state.limits.waiter()?;
        // Whoever listens before he looks where he is misses nothing.
        let listener = state.feed.listen();
        let now = state.cardex.snapshot()?.position();
        let last = headers.get("last-event-id").map(HeaderValue::as_bytes);
        let since = match last.filter(|last| !last.is_empty()) {
            // An id that is none of ours is a position that the log does not know.
            Some(last) => std::str::from_utf8(last)
                .ok()
                .and_then(|last| last.parse().ok())
                .unwrap_or_default(),
            None => call.position("since")?.unwrap_or(now),
        };
        // One piece waits to be sent while the next one is made.
        let (pieces, body) = mpsc::channel(1);
        let stream = Stream {
            state,
            listener,
            pieces,
            _permit: permit,
        };
        tokio::spawn(stream.run(since));
        let mut response = Response::new(Body::new(Pieces(body)));
        let content_type = HeaderValue::from_static(EVENT_STREAM);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(response)
    })
}

/// What is sent to one client.
struct Stream {
    state: Arc<State>,
    listener: Listener,
    pieces: mpsc::Sender<Bytes>,
    _permit: Permit,
}

/// The stream has ended: the client has gone or takes nothing, or the server stops.
struct Ended;

#[derive(Serialize)]
struct Changed<'a> {
    position: String,
    changed: Vec<&'a str>,
    deleted: Vec<&'a str>,
}

#[derive(Serialize)]
struct Lost {
    position: String,
}

impl Stream {
    async fn run(mut self, since: Position) {
        let mut stopping = self.state.stopping.clone();
        tokio::select! {
            _ = self.tell(since) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }

    /// Tells what changes, until nobody hears it. An error of the database ends it, too: the client
    /// comes again, and resumes.
    async fn tell(&mut self, mut since: Position) -> Result<(), Ended> {
        self.send(RETRY.to_owned()).await?;
        loop {
            let set = match self.listener.since(since) {
                Some(set) => set,
                None => read(&self.state, since, BATCH).await.map_err(|_| Ended)?,
            };
            if set.is_fresh_instance {
                since = self.lost().await?;
            } else {
                self.changed(&set).await?;
                since = set.position;
                if set.is_truncated {
                    continue;
                }
            }
            self.wait().await?;
        }
    }

    /// Waits until there may be something to tell.
    async fn wait(&mut self) -> Result<(), Ended> {
        loop {
            tokio::select! {
                () = self.listener.changed() => return Ok(()),
                () = self.pieces.closed() => return Err(Ended),
                () = sleep(KEEP_ALIVE) => {}
            }
            self.send(":\n\n".to_owned()).await?;
        }
    }

    /// Tells that the log cannot tell what changed: whoever asks anew knows more than this position.
    async fn lost(&self) -> Result<Position, Ended> {
        let now = self.state.cardex.snapshot().map_err(|_| Ended)?.position();
        let position = now.to_string();
        self.event("lost", now, &Lost { position }).await?;
        Ok(now)
    }

    async fn changed(&self, set: &ChangeSet) -> Result<(), Ended> {
        let mut pieces = set.changes.chunks(MAX_FILES).peekable();
        while let Some(piece) = pieces.next() {
            let position = match (pieces.peek(), piece.last()) {
                (Some(_), Some(last)) => set.position.at(last.version),
                _ => set.position,
            };
            let paths = |is_deleted| {
                let some = piece
                    .iter()
                    .filter(move |change| change.is_deleted == is_deleted);
                some.map(|change: &Change| change.path.as_str()).collect()
            };
            let changed = Changed {
                position: position.to_string(),
                changed: paths(false),
                deleted: paths(true),
            };
            self.event("change", position, &changed).await?;
        }
        Ok(())
    }

    async fn event(
        &self,
        name: &str,
        position: Position,
        data: &impl Serialize,
    ) -> Result<(), Ended> {
        // JSON has no line breaks of its own.
        let data = serde_json::to_string(data).map_err(|_| Ended)?;
        self.send(format!("event: {name}\nid: {position}\ndata: {data}\n\n"))
            .await
    }

    /// Sends a piece; a client that takes none for as long as a request may take is given up.
    async fn send(&self, piece: String) -> Result<(), Ended> {
        let patience = self.state.options().request_timeout;
        let sent = timeout(patience, self.pieces.send(piece.into())).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(Ended),
        }
    }
}
