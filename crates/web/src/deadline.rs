//! A connection that ends when its client does nothing for too long: asks nothing, or takes nothing of an answer.
//!
//! How long that is depends on how crowded it is, which can change while the client does nothing.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What becomes of a client's patience in a crowd.
const CROWDED: u32 = 10;

/// How long a client may do nothing.
pub(crate) struct Patience {
    /// Until it has asked.
    pub(crate) idle: Duration,
    /// Until it takes the next bytes of an answer.
    pub(crate) stalled: Duration,
    /// Whether it is crowded now: then either is a tenth of that.
    pub(crate) crowded: Box<dyn Fn() -> bool + Send + Sync>,
}

/// Since when nothing was asked on a connection.
pub(crate) struct Activity(Mutex<Option<Instant>>);

/// A request is being answered, until this is dropped.
pub(crate) struct Busy(Arc<Activity>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }
}

impl Activity {
    /// A request begins.
    pub(crate) fn begin(this: &Arc<Self>) -> Busy {
        this.set(None);
        Busy(Arc::clone(this))
    }

    /// `None` while a request is being answered.
    fn idle_since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, idle_since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = idle_since;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now()));
    }
}

/// A stream that fails when its client has had patience enough.
pub(crate) struct Deadline<S> {
    stream: S,
    patience: Patience,
    activity: Arc<Activity>,
    /// Since when a write waits.
    stalled_since: Option<Instant>,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
}

impl<S> Deadline<S> {
    /// A stream with this patience.
    pub(crate) fn new(stream: S, patience: Patience, activity: Arc<Activity>) -> Self {
        let (reading, writing) = (Box::pin(sleep(patience.idle)), Box::pin(sleep(patience.stalled)));
        Self { stream, patience, activity, stalled_since: None, reading, writing }
    }

    /// Lets the result of a write through; while there is none, watches the clock.
    fn watch<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = result {
            self.stalled_since = None;
            // Whoever takes an answer is not idle.
            if self.activity.idle_since().is_some() {
                self.activity.set(Some(Instant::now()));
            }
            return Poll::Ready(result);
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        let Self { patience, writing, .. } = self;
        until(since, patience.stalled, &patience.crowded, writing.as_mut(), context)
    }
}

/// Fails when this patience is over, counted from then. Looks again each tenth of it, since a crowd can come.
fn until<T>(
    since: Instant,
    patience: Duration,
    crowded: &dyn Fn() -> bool,
    mut timer: Pin<&mut Sleep>,
    context: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    let short = patience / CROWDED;
    loop {
        let passed = since.elapsed();
        if passed >= patience || (passed >= short && crowded()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // The next tenth, counted from the beginning.
        let tenths = u32::try_from(passed.as_nanos() / short.as_nanos().max(1)).unwrap_or(CROWDED);
        let next = since + (short * (tenths + 1)).min(patience);
        if timer.deadline() != next {
            timer.as_mut().reset(next);
        }
        ready!(timer.as_mut().poll(context));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadline<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, into);
        let Some(since) = self.activity.idle_since().filter(|_| result.is_pending()) else { return result };
        let Self { patience, reading, .. } = &mut *self;
        until(since, patience.idle, &patience.crowded, reading.as_mut(), context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn deadline<S>(stream: S, crowded: impl Fn() -> bool + Send + Sync + 'static) -> (Deadline<S>, Arc<Activity>) {
        let (idle, stalled) = (Duration::from_secs(60), Duration::from_secs(30));
        let activity = Arc::new(Activity::default());
        let patience = Patience { idle, stalled, crowded: Box::new(crowded) };
        (Deadline::new(stream, patience, Arc::clone(&activity)), activity)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_in_a_crowd_sooner() {
        for (crowded, seconds) in [(false, 30), (true, 3)] {
            let (ours, _theirs) = duplex(10);
            let (mut ours, _) = deadline(ours, move || crowded);
            let started = Instant::now();
            let error = ours.write_all(&[0; 100]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(started.elapsed(), Duration::from_secs(seconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_at_a_time_is_served() {
        let (ours, mut theirs) = duplex(10);
        let (mut ours, _) = deadline(ours, || false);
        let reading = async {
            for _ in 0..100 {
                sleep(Duration::from_secs(29)).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[0; 100]), reading);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_nothing_is_given_up_however_slowly_it_begins_to_and_in_a_crowd_sooner() {
        for (crowded, seconds) in [(false, 60), (true, 6)] {
            let (ours, mut theirs) = duplex(1000);
            let (mut ours, _) = deadline(ours, move || crowded);
            let dripping = tokio::spawn(async move {
                while theirs.write_u8(b'x').await.is_ok() {
                    sleep(Duration::from_secs(1)).await
                }
            });
            let started = Instant::now();
            let error = ours.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(started.elapsed(), Duration::from_secs(seconds));
            drop(ours);
            dripping.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_comes_later_counts_and_who_is_being_answered_may_wait() {
        let (ours, _theirs) = duplex(10);
        let start = Instant::now();
        let (mut ours, activity) = deadline(ours, move || start.elapsed() > Duration::from_secs(20));
        let busy = Activity::begin(&activity);
        let waiting = tokio::time::timeout(Duration::from_secs(600), ours.read_u8()).await;
        assert!(waiting.is_err(), "{waiting:?}");
        drop(busy);
        let since = Instant::now();
        assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(since.elapsed(), Duration::from_secs(6));
        let (ours, _theirs) = duplex(10);
        let start = Instant::now();
        let (mut ours, _) = deadline(ours, move || start.elapsed() > Duration::from_secs(20));
        assert!(ours.read_u8().await.is_err());
        assert_eq!(start.elapsed(), Duration::from_secs(24), "it is looked at again each tenth");
    }
}
