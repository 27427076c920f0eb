//! A connection that lets others run: whoever reads from it has to wait a turn after so many bytes, however many more there
//! are.
//!
//! An HTTP/2 connection takes all frames that are there in one go. Of the smallest kind (settings, pings, resets) a flood
//! holds tens of thousands, and their sender need not even have said who it is: each such connection would keep a worker
//! from all else for as long as that takes, and a busy worker looks only after dozens of such turns whether anybody else has
//! something to say.
//!
//! And it has to wait longer once it sent more frames beside its calls than anybody needs: with a machine's processors busy
//! acknowledging them, whatever other processes do takes longer, too. So it is with calls that it begins and gives up: of those
//! that are under way a connection has only so many, but one that was given up makes room for the next at once.

use crate::frames::{Frames, Noted};
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

/// Calls that are given up. A proxy gives up those of whoever hangs up, an edge those that take too long.
const GIVEN_UP: Pace = Pace {
    burst: 1_000,
    apart: Duration::from_millis(1),
};

/// A stream that is read in turns, and the place that it takes meanwhile.
#[derive(Debug)]
pub(crate) struct Fair<S = TcpStream, P = Peer> {
    stream: S,
    /// What of this turn is left.
    left: usize,
    frames: Frames,
    beside: Paced,
    given_up: Paced,
    wait: Option<Pin<Box<Sleep>>>,
    _place: P,
}

/// Frames of a kind that may come in some pace.
#[derive(Debug)]
struct Paced {
    pace: Pace,
    /// When all that came would have been in it.
    paid: Instant,
}

impl<S, P> Fair<S, P> {
    pub(crate) fn new(stream: S, place: P) -> Self {
        Self::with(BESIDE, GIVEN_UP, stream, place)
    }

    fn with(beside: Pace, given_up: Pace, stream: S, place: P) -> Self {
        let paid = Instant::now();
        let paced = |pace| Paced { pace, paid };
        Self {
            stream,
            left: TURN_BYTES,
            frames: Frames::new(),
            beside: paced(beside),
            given_up: paced(given_up),
            wait: None,
            _place: place,
        }
    }

    /// Frames have come that have their pace: from when on more is read.
    fn charge(&mut self, noted: Noted) {
        let now = Instant::now();
        let beside = self.beside.charge(noted.beside, now);
        let given_up = self.given_up.charge(noted.given_up, now);
        let ahead = beside.max(given_up);
        self.wait = (!ahead.is_zero()).then(|| Box::pin(tokio::time::sleep(ahead)));
    }
}

impl Paced {
    /// So many more came: how far they are ahead of what may come at once.
    fn charge(&mut self, frames: u32, now: Instant) -> Duration {
        let Pace { burst, apart } = self.pace;
        let paid = self.paid.max(now).checked_add(apart.saturating_mul(frames));
        self.paid = paid.unwrap_or(now);
        let allowed = now.checked_add(apart.saturating_mul(burst));
        let ahead = allowed.map(|allowed| self.paid.saturating_duration_since(allowed));
        ahead.unwrap_or_default()
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
                let noted = self.frames.note(part.filled());
                if noted != Noted::default() {
                    self.charge(noted);
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

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// A connection on which so many frames of each kind may come at once, and the next ones this far apart.
    fn with(apart: Duration, bytes: &[u8]) -> Fair<&[u8], ()> {
        let pace = Pace { burst: 500, apart };
        Fair::with(pace, pace, bytes, ())
    }

    /// How many bytes come before the rest has to wait.
    async fn come_before_a_pause(flood: &[u8]) -> usize {
        let mut come = Vec::new();
        let mut hardly = with(Duration::from_secs(3600), flood);
        let reading = hardly.read_to_end(&mut come);
        let ended = tokio::time::timeout(Duration::from_millis(100), reading).await;
        assert!(ended.is_err(), "it waits");
        come.len()
    }

    /// As many settings as anybody may send come at once, more when their time has come, and no call behind them before.
    #[tokio::test]
    async fn who_sends_frames_beside_calls_without_end_is_read_slowly() {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let mut flood = PREFACE.to_vec();
        for _ in 0..1_000 {
            flood.extend(settings);
        }
        let mut all = Vec::new();
        let mut slowly = with(Duration::from_micros(10), &flood);
        slowly.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, flood);

        let frames = come_before_a_pause(&flood).await / settings.len();
        assert!((500..800).contains(&frames), "{frames}");
    }

    /// Calls one after the other, each of which is given up as soon as it is begun.
    fn given_up(calls: u32) -> Vec<u8> {
        let streams = (0..calls).map(|call| (2 * call + 1).to_be_bytes());
        let frames = streams.flat_map(|stream| {
            let begun = [&[0, 0, 1, 1, 5][..], &stream, &[0x82]].concat();
            let reset = [&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 8]].concat();
            [begun, reset].concat()
        });
        PREFACE.iter().copied().chain(frames).collect()
    }

    /// Some calls may be given up, and more when their time has come; who does nothing else waits.
    #[tokio::test]
    async fn who_gives_up_calls_without_end_is_read_slowly() {
        let some = given_up(499);
        let mut all = Vec::new();
        let mut hardly = with(Duration::from_secs(3600), &some);
        hardly.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, some);

        let flood = given_up(5_000);
        let mut all = Vec::new();
        let mut slowly = with(Duration::from_micros(10), &flood);
        slowly.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, flood);

        let bytes_of_one = (flood.len() - PREFACE.len()) / 5_000;
        let calls = come_before_a_pause(&flood).await / bytes_of_one;
        assert!((500..800).contains(&calls), "{calls}");
    }
}
