//! `Patient`: a socket whose writes end with an error when its peer takes nothing for too long, or takes
//! too long for all of an answer. Reads have the limits of headers and bodies.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// So many times as long as for one write is waited for all that is written before the next flush: an
/// answer as a whole, or an event.
const WHOLE: u32 = 10;

/// A stream, and how long its writes may wait.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// When what waits has waited long enough.
    end: Pin<Box<Sleep>>,
    is_waiting: bool,
    /// When the writes since the last flush must have ended.
    whole: Option<Instant>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Patient {
            stream,
            patience,
            end: Box::pin(sleep(patience)),
            is_waiting: false,
            whole: None,
        }
    }

    /// What a write came to, unless it has waited long enough.
    fn bound<T>(
        &mut self,
        wrote: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let now = Instant::now();
        let whole = *self.whole.get_or_insert(now + self.patience * WHOLE);
        if now >= whole {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if wrote.is_ready() {
            self.is_waiting = false;
            return wrote;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.end.as_mut().reset(whole.min(now + self.patience));
        }
        ready!(self.end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.bound(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        let flushed = self.bound(flushed, context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.whole = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bound(ended, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_write_that_nobody_takes_ends_and_one_that_is_taken_goes_on() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = Patient::new(ours, Duration::from_millis(50));
        ours.write_all(b"1234").await.unwrap();
        let mut taken = [0; 4];
        theirs.read_exact(&mut taken).await.unwrap();
        ours.write_all(b"5678").await.unwrap();
        let error = ours.write_all(b"9").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_bit_by_bit_ends_too() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = Patient::new(ours, Duration::from_secs(1));
        let taker = tokio::spawn(async move {
            let mut taken = [0; 4];
            // Never long enough for a write to give up.
            loop {
                sleep(Duration::from_millis(900)).await;
                theirs.read_exact(&mut taken).await.unwrap();
            }
        });
        let start = Instant::now();
        for _ in 0..20 {
            ours.write_all(b"1234").await.unwrap();
            ours.flush().await.unwrap();
        }
        assert!(
            start.elapsed() > Duration::from_secs(15),
            "each one is flushed"
        );
        let start = Instant::now();
        let error = ours.write_all(&[0; 400]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let took = start.elapsed();
        assert!((9..=10).contains(&took.as_secs()), "{took:?}");
        taker.abort();
    }
}
