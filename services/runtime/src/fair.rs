//! A connection that lets others run: whoever reads from it has to wait a turn after so many bytes, however many more there
//! are.
//!
//! An HTTP/2 connection takes all frames that are there in one go. Of the smallest kind (settings, pings, resets) a flood
//! holds tens of thousands, and their sender need not even have said who it is: each such connection would keep a worker
//! from all else for as long as that takes, and a busy worker looks only after dozens of such turns whether anybody else has
//! something to say.
//!
//! And it has to wait longer once it sent more frames beside its calls than anybody needs: with a machine's processors busy
//! acknowledging them, whatever other processes do takes longer, too.

use crate::frames::Frames;
use crate::peers::{Pace, Peer};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Bytes that are read in one turn: a call of ours, or a hundred of the smallest frames.
const TURN_BYTES: usize = 2 * 1024;

/// Frames beside calls. Clients of ours send a few when they connect, a ping now and then, and windows as they read answers.
const BESIDE: Pace = Pace {
    burst: 1_000,
    apart: Duration::from_millis(5),
};

/// A stream that is read in turns, and the place that it takes meanwhile.
#[derive(Debug)]
pub(crate) struct Fair<S = TcpStream, P = Peer> {
    stream: S,
    /// What of this turn is left.
    left: usize,
    frames: Frames,
    beside: Pace,
    /// When all frames beside calls would have been in their pace.
    paid: Instant,
    wait: Option<Pin<Box<Sleep>>>,
    _place: P,
}

impl<S, P> Fair<S, P> {
    pub(crate) fn new(stream: S, place: P) -> Self {
        Self::with(BESIDE, stream, place)
    }

    fn with(beside: Pace, stream: S, place: P) -> Self {
        Self {
            stream,
            left: TURN_BYTES,
            frames: Frames::new(),
            beside,
            paid: Instant::now(),
            wait: None,
            _place: place,
        }
    }

    /// Frames beside calls have come: from when on more is read.
    fn charge(&mut self, frames: u32) {
        let Pace { burst, apart } = self.beside;
        let now = Instant::now();
        let paid = self.paid.max(now).checked_add(apart.saturating_mul(frames));
        self.paid = paid.unwrap_or(now);
        let allowed = now.checked_add(apart.saturating_mul(burst));
        let ahead = allowed.map(|allowed| self.paid.saturating_duration_since(allowed));
        let ahead = ahead.filter(|ahead| !ahead.is_zero());
        self.wait = ahead.map(|ahead| Box::pin(tokio::time::sleep(ahead)));
    }
}

impl<S: AsyncRead + Unpin, P: Unpin> AsyncRead for Fair<S, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        if self.left == 0 {
            self.left = TURN_BYTES;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut turn = [0; TURN_BYTES];
        let most = self.left.min(buffer.remaining());
        let mut part = ReadBuf::new(turn.get_mut(..most).unwrap_or_default());
        match Pin::new(&mut self.stream).poll_read(context, &mut part) {
            Poll::Pending => {
                // It waits anyway.
                self.left = TURN_BYTES;
                Poll::Pending
            }
            Poll::Ready(read) => {
                self.left = self.left.saturating_sub(part.filled().len());
                match self.frames.note(part.filled()) {
                    0 => {}
                    frames => self.charge(frames),
                }
                buffer.put_slice(part.filled());
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin, P: Unpin> AsyncWrite for Fair<S, P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Fair {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::AsyncReadExt;

    /// All bytes come, and others have their turns meanwhile.
    #[tokio::test]
    async fn a_flood_is_read_in_turns() {
        let flood = vec![7; 10 * TURN_BYTES];
        let (turns, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (taken, over) = (Arc::clone(&turns), Arc::clone(&ended));
        let other = tokio::spawn(async move {
            while over.load(Ordering::Relaxed) == 0 {
                taken.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let mut read = Vec::new();
        let count = Fair::new(&flood[..], ())
            .read_to_end(&mut read)
            .await
            .unwrap();
        ended.store(1, Ordering::Relaxed);
        other.await.unwrap();
        assert_eq!((count, &read), (flood.len(), &flood));
        assert!(turns.load(Ordering::Relaxed) >= 9, "{turns:?}");
    }

    /// As many settings as anybody may send come at once, more when their time has come, and no call behind them before.
    #[tokio::test]
    async fn who_sends_frames_beside_calls_without_end_is_read_slowly() {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for _ in 0..1_000 {
            flood.extend(settings);
        }
        let pace = |apart| Pace { burst: 500, apart };
        let mut all = Vec::new();
        let mut slowly = Fair::with(pace(Duration::from_micros(10)), &flood[..], ());
        slowly.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, flood);

        let mut come = Vec::new();
        let mut hardly = Fair::with(pace(Duration::from_secs(3600)), &flood[..], ());
        let reading = hardly.read_to_end(&mut come);
        let ended = tokio::time::timeout(Duration::from_millis(100), reading).await;
        assert!(ended.is_err(), "it waits");
        let frames = come.len() / settings.len();
        assert!((500..800).contains(&frames), "{frames}");
    }
}
