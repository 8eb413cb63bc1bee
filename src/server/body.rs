//! Bodies of answers: one that keeps its request under way, and its room, until it has been written to
//! the socket, and one that is written while it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

use super::connections::Busy;
use super::limits::Permit;

/// The body of an answer. Its request is under way, and its room taken, until the last of its bytes is
/// written or the connection is gone.
#[derive(Debug)]
pub(super) struct Tracked {
    body: Body,
    held: Arc<Held>,
}

/// What an answer holds as long as there is some of it in memory.
#[derive(Debug)]
struct Held {
    _busy: Busy,
    _room: Option<Permit>,
}

/// A piece of a body on its way to the socket.
struct Piece {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Tracked {
    pub(super) fn new(body: Body, busy: Busy, room: Option<Permit>) -> Self {
        let held = Arc::new(Held {
            _busy: busy,
            _room: room,
        });
        Tracked { body, held }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let held = &self.held;
        let track = |bytes| {
            let _held = Arc::clone(held);
            Bytes::from_owner(Piece { bytes, _held })
        };
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(track))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of pieces that come when there are any. It ends when their sender is dropped.
#[derive(Debug)]
pub(super) struct Pieces(pub(super) mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::connections::Connections;
    use super::super::limits::Limits;
    use super::*;

    #[tokio::test]
    async fn the_room_of_a_body_is_taken_until_its_bytes_are_gone() {
        let limits = Limits::new(1);
        let connections = Arc::new(Connections::new(1));
        let ticket = connections.admit().unwrap();
        let all = Limits::MAX_BODY_BYTES;
        let room = limits.room(all).unwrap();
        assert!(limits.room(Limits::FREE_BODY_BYTES + 1).is_err());
        assert!(limits.room(Limits::FREE_BODY_BYTES).unwrap().is_none());
        let mut body = Tracked::new(Body::from("answer"), ticket.request(), room);
        let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert_eq!(bytes, "answer");
        assert!(limits.room(all).is_err(), "it is not written yet");
        assert!(connections.admit().is_none(), "its request is under way");
        drop(bytes);
        assert!(
            limits.room(all + 1).unwrap().is_some(),
            "the largest fits alone"
        );
        assert!(connections.admit().is_some());
    }
}
