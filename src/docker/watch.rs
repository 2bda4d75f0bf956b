//! The watch: one task that follows an engine through outages, restarts and lost events.
//!
//! It opens the event stream before it lists, so that there is no gap; an inspect follows every hint. When the stream
//! or a list fails, it reconnects and inspects everything again. Streams can lose events without failing (dockerd drops
//! them for slow readers, and forgets them when it restarts). So a cheap list is compared with the one before every
//! [`CHECK`], less often for long lists. [`super::tracker`] decides what that means for each container.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Change;
use super::client::{Docker, EventStream};
use super::decode::Listed;
use super::errors::RequestError;
use super::events::Received;
use super::outage::{Failure, Outage};
use super::refusals::{Refusals, Request};
use super::tracker::{Inspected, Tracker};
use crate::backoff::Backoff;
use crate::config::DockerConfig;
use crate::container::{Container, ContainerId};
use crate::event::{Event, Events};
use crate::pool::Pool;

/// The first and the longest pause before a reconnect; jitter makes each up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The capacity of the channel of changes.
const CHANNEL: usize = 64;
/// How often a list is compared with the one before.
const CHECK: Duration = Duration::from_secs(30);
/// The interval per container in the list, if that is longer: reading one takes less than a thousandth of it, but the
/// engine needs longer to send it.
const CHECK_EACH: Duration = Duration::from_millis(10);
/// The first check after a possible loss: a new stream sends its headers before the engine subscribes it, and an
/// invalid line may have been an event.
const CHECK_SOON: Duration = Duration::from_secs(1);
/// A stream that lasted this long was good: the next pause is short again.
const GOOD: Duration = Duration::from_secs(10);

/// Follows the engine in its own task, until `stop` or until the receiver is gone.
///
/// A notified `resync`, and every [`DockerConfig::resync`], inspects everything again. A slow receiver loses nothing:
/// each change is reported with the state at the time when it is taken.
#[must_use]
pub fn watch(
    docker: Docker,
    config: &DockerConfig,
    resync: Arc<Notify>,
    stop: CancellationToken,
    events: Events,
) -> mpsc::Receiver<Change> {
    let (changes, receiver) = mpsc::channel(CHANNEL);
    let watch = Watch {
        docker,
        tracker: Tracker::new(config.list_all),
        images: Pool::default(),
        settings: Pool::default(),
        events,
        connection: Connection::Down { until: Instant::now() },
        work: FuturesUnordered::new(),
        connections: 0,
        listing: None,
        listing_since: Instant::now(),
        pass_wanted: true,
        check: CHECK,
        next_check: Instant::now() + CHECK,
        resync: config.resync.map(|every| (every, Instant::now() + every)),
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        outage: None,
        refusals: Refusals::default(),
        has_listened: false,
        has_skipped: false,
    };
    tokio::spawn(watch.run(changes, resync, stop));
    receiver
}

struct Watch {
    docker: Docker,
    tracker: Tracker,
    /// Values that replicas share.
    images: Pool<str>,
    settings: Pool<[String]>,
    events: Events,
    connection: Connection,
    /// Requests in flight.
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// How many were started: answers to earlier ones are ignored.
    connections: u64,
    /// The list in flight, and since when.
    listing: Option<Purpose>,
    listing_since: Instant,
    /// A pass should begin as soon as possible.
    pass_wanted: bool,
    /// The interval of checks, and the next one.
    check: Duration,
    next_check: Instant,
    /// The interval, and the next time.
    resync: Option<(Duration, Instant)>,
    backoff: Backoff,
    outage: Option<Outage>,
    refusals: Refusals,
    has_listened: bool,
    has_skipped: bool,
}

/// The interval of checks for a list of this many containers.
fn check_every(containers: usize) -> Duration {
    CHECK.max(CHECK_EACH * u32::try_from(containers).unwrap_or(u32::MAX))
}

/// The connection to the engine.
enum Connection {
    Down { until: Instant },
    Opening,
    Up { stream: Box<EventStream>, since: Instant },
}

#[derive(Clone, Copy)]
enum Purpose {
    Pass,
    Check,
}

/// An answer or a failure.
enum Done {
    Opened(u64, Result<(Docker, EventStream), Failure>),
    Listed(u64, Result<Vec<Listed>, RequestError>),
    Inspected(ContainerId, Result<Option<Container>, RequestError>),
}

impl Watch {
    async fn run(mut self, changes: mpsc::Sender<Change>, resync: Arc<Notify>, stop: CancellationToken) {
        loop {
            let wake = self.begin_what_is_due();
            let Self { tracker, connection, work, .. } = &mut self;
            // A fixed order, so that nothing depends on chance; timed work is started above.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = changes.closed() => return,
                () = resync.notified() => self.pass_wanted = true,
                Ok(place) = changes.reserve(), if tracker.has_changes() => {
                    if let Some(change) = self.tracker.take_change() {
                        place.send(change);
                    }
                }
                Some(done) = work.next(), if !work.is_empty() => self.finish(done),
                received = receive(connection) => self.receive(received),
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Starts all requests that are due. Returns the latest time for the next call.
    fn begin_what_is_due(&mut self) -> Instant {
        let now = Instant::now();
        if let Some((every, next)) = &mut self.resync
            && now >= *next
        {
            *next = now + *every;
            self.pass_wanted = true;
        }
        self.advise(now);
        match self.connection {
            Connection::Down { until } if now >= until => self.open(),
            Connection::Down { .. } | Connection::Opening => {}
            Connection::Up { .. } => {
                self.list_if_due(now);
                while let Some(id) = self.tracker.next(now) {
                    let docker = self.docker.clone();
                    self.work.push(Box::pin(async move {
                        let said = docker.inspect(&id).await;
                        Done::Inspected(id, said)
                    }));
                }
                self.tracker.tick(now);
            }
        }
        self.wake(now)
    }

    fn wake(&self, now: Instant) -> Instant {
        let connection = match self.connection {
            Connection::Down { until } => Some(until),
            Connection::Opening => None,
            Connection::Up { .. } => {
                self.tracker.due().into_iter().chain(self.listing.is_none().then_some(self.next_check)).min()
            }
        };
        let resync = self.resync.map(|(_, next)| next);
        let advice = self.outage.as_ref().and_then(Outage::advise_at);
        [connection, resync, advice].into_iter().flatten().min().unwrap_or(now + CHECK)
    }

    fn open(&mut self) {
        self.connection = Connection::Opening;
        self.connections += 1;
        let (number, docker) = (self.connections, self.docker.clone());
        self.work.push(Box::pin(async move {
            Done::Opened(
                number,
                async {
                    // The engine may have been replaced by another version.
                    let docker = docker.reconnect().await.map_err(Failure::Connect)?;
                    let stream = docker.events().await.map_err(|error| Failure::Request(Request::Events, error))?;
                    Ok((docker, stream))
                }
                .await,
            )
        }));
    }

    fn list_if_due(&mut self, now: Instant) {
        // One pass at a time; otherwise, frequent resyncs would never end in a snapshot.
        let purpose = if self.listing.is_some() {
            return;
        } else if self.pass_wanted && !self.tracker.in_pass() {
            Purpose::Pass
        } else if now >= self.next_check {
            Purpose::Check
        } else {
            return;
        };
        if let Purpose::Pass = purpose {
            self.pass_wanted = false;
        } else {
            self.next_check = now + self.check;
        }
        self.listing = Some(purpose);
        self.listing_since = now;
        self.tracker.listing();
        let (number, docker) = (self.connections, self.docker.clone());
        self.work.push(Box::pin(async move { Done::Listed(number, docker.list().await) }));
    }

    fn finish(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Opened(number, _) | Done::Listed(number, _) if number != self.connections => {}
            Done::Opened(_, Ok((docker, stream))) => {
                self.docker = docker;
                self.connection = Connection::Up { stream: Box::new(stream), since: now };
                self.next_check = now + CHECK_SOON;
                self.answered(Request::Events, None, now);
                if !std::mem::replace(&mut self.has_listened, true) {
                    self.events.emit(Event::Listening);
                }
            }
            Done::Opened(_, Err(failure)) => self.lose(&failure),
            Done::Listed(_, Ok(list)) => {
                self.check = check_every(list.len());
                self.events.emit(Event::DockerListed { containers: list.len(), took: now - self.listing_since });
                self.answered(Request::List, None, now);
                if let Some(away) = self.outage.take().and_then(|outage| outage.end(now)) {
                    self.events.emit(Event::DockerBack { endpoint: self.docker.endpoint().to_owned(), away });
                }
                match self.listing.take() {
                    Some(Purpose::Pass) => self.tracker.begin_pass(list, now),
                    Some(Purpose::Check) => self.tracker.check(list),
                    None => {}
                }
            }
            Done::Listed(_, Err(error)) => self.lose(&Failure::Request(Request::List, error)),
            Done::Inspected(id, said) => self.inspected(&id, said, now),
        }
    }

    fn inspected(&mut self, id: &ContainerId, said: Result<Option<Container>, RequestError>, now: Instant) {
        let (said, error) = match said {
            Ok(Some(mut container)) => {
                self.images.share(&mut container.image);
                self.settings.share(&mut container.env);
                (Inspected::Is(Arc::new(container)), None)
            }
            Ok(None) => (Inspected::Gone, None),
            Err(RequestError::ContainerTooLarge { name }) => {
                (Inspected::TooLarge(name.clone()), Some(RequestError::ContainerTooLarge { name }))
            }
            Err(error) => (Inspected::Failed, Some(error)),
        };
        let first_failure = self.tracker.inspected(id, said, now);
        match error {
            None => self.answered(Request::Inspect, Some(id), now),
            Some(error @ RequestError::ContainerTooLarge { .. }) if first_failure => {
                self.events.emit(Event::ContainerTooLarge { container: id.clone(), what: error.to_string() });
            }
            Some(error) if error.is_refusal() => self.refused(Request::Inspect, Some(id), &error),
            // During an outage, its own line is enough.
            Some(error) if first_failure && matches!(self.connection, Connection::Up { .. }) => {
                self.events.emit(Event::InspectFailed { container: id.clone(), why: error.to_string() });
                if let RequestError::Timeout = error {
                    // The event stream is as old as the silent connection, and may be silent for the same reason. It is
                    // opened again; a list then shows what was missed.
                    self.disconnect(now);
                }
            }
            Some(error) => debug!("Docker cannot inspect {}: {error}", id.short()),
        }
    }

    fn receive(&mut self, received: Result<Received, RequestError>) {
        match received {
            Ok(Received { hints, signals, skipped, actions }) => {
                if !actions.is_empty() {
                    self.events.emit(Event::DockerEvents { actions });
                }
                // Before the hints, so that their results come after it.
                for (id, signal) in signals {
                    self.tracker.signalled(&id, signal);
                }
                for id in hints {
                    self.tracker.hint(id);
                }
                if skipped > 0 {
                    self.next_check = self.next_check.min(Instant::now() + CHECK_SOON);
                    if !std::mem::replace(&mut self.has_skipped, true) {
                        self.events.emit(Event::EventsSkipped { count: skipped });
                    }
                }
            }
            Err(error) => self.lose(&Failure::Request(Request::Events, error)),
        }
    }

    /// A failure that needs a new connection.
    fn lose(&mut self, failure: &Failure) {
        let now = Instant::now();
        let is_socket = self.docker.is_socket();
        if self.outage.get_or_insert_with(|| Outage::new(now)).failed(failure, is_socket) {
            let endpoint = self.docker.endpoint().to_owned();
            self.events.emit(Event::DockerLost { endpoint, why: failure.to_string() });
        } else {
            debug!("Docker at {} is still lost: {failure}", self.docker.endpoint());
        }
        if let Failure::Request(request, error) = failure
            && error.is_refusal()
        {
            self.refused(*request, None, error);
        }
        if matches!(self.connection, Connection::Up { since, .. } if now >= since + GOOD) {
            self.backoff.reset();
        }
        let pause = self.backoff.pause();
        self.disconnect(now + pause);
        self.pass_wanted = true;
        self.tracker.abandon_pass();
    }

    /// Drops the connection; reconnects at this time.
    fn disconnect(&mut self, until: Instant) {
        self.connection = Connection::Down { until };
        self.connections += 1;
        // The answer of a list in flight is ignored.
        self.pass_wanted |= matches!(self.listing.take(), Some(Purpose::Pass));
    }

    fn refused(&mut self, request: Request, container: Option<&ContainerId>, error: &RequestError) {
        if self.refusals.refused(request, container, Instant::now()) {
            self.events.emit(Event::DockerRefuses {
                endpoint: self.docker.endpoint().to_owned(),
                path: request.path(),
                why: format!("{error}; {}", request.right()),
            });
        }
    }

    fn answered(&mut self, request: Request, container: Option<&ContainerId>, now: Instant) {
        if let Some(refused_for) = self.refusals.answered(request, container, now) {
            let endpoint = self.docker.endpoint().to_owned();
            self.events.emit(Event::DockerAllows { endpoint, path: request.path(), refused_for });
        }
    }

    fn advise(&mut self, now: Instant) {
        if let Some((away, hint)) = self.outage.as_mut().and_then(|outage| outage.advise(now)) {
            self.events.emit(Event::DockerStillLost { endpoint: self.docker.endpoint().to_owned(), away, hint });
        }
    }
}

/// The engine's next message; never, without a stream.
async fn receive(connection: &mut Connection) -> Result<Received, RequestError> {
    match connection {
        Connection::Up { stream, .. } => stream.next().await,
        Connection::Down { .. } | Connection::Opening => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_asked_for_less_often() {
        for (containers, seconds) in [(0, 30), (100, 30), (3_000, 30), (10_000, 100), (50_000, 500)] {
            assert_eq!(check_every(containers), Duration::from_secs(seconds), "{containers}");
        }
    }
}
