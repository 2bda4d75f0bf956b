//! The events as they come: server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use registrator_web::{Network, Permit};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::answer::{Answer, response};
use super::hub::Hub;
use super::query::After;
use super::{look, query};

/// How often a reader hears something, so that it and what lies between knows that the connection is alive.
const PULSE: Duration = Duration::from_secs(15);
/// How often a change that is no event is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Events that come together are sent together.
const GATHER: Duration = Duration::from_millis(20);

struct Reader {
    hub: Hub,
    news: watch::Receiver<u64>,
    /// The number of the last event that was sent.
    sent: u64,
    version: u64,
    quiet_since: Instant,
    /// One of the places for readers.
    _place: Permit<Network>,
}

/// The events after the `Last-Event-ID`, or after `?after=N`; with `?after=now` only new ones; without
/// any of these, those that are kept as well.
pub(super) fn stream(hub: &Hub, headers: &HeaderMap, asked: &str, place: Permit<Network>) -> Answer {
    let news = hub.listeners.journal.listen();
    let given = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let asked = query::after(asked).map(|after| match after {
        After::Now => *news.borrow(),
        After::Number(number) => number,
    });
    let reader = Reader {
        hub: hub.clone(),
        news,
        sent: given.or(asked).unwrap_or(0),
        version: 0,
        quiet_since: Instant::now(),
        _place: place,
    };
    let parts = stream::unfold(reader, async |mut reader| {
        let part = reader.next().await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(part))), reader))
    });
    response(StatusCode::OK, "text/event-stream; charset=utf-8", StreamBody::new(parts).boxed_unsync())
}

impl Reader {
    /// The next part of the stream.
    async fn next(&mut self) -> String {
        if self.version == 0 {
            self.version = look::version(&self.hub).await.max(1);
            return format!("retry: 1000\n\n{}", self.events());
        }
        loop {
            let came = timeout(LOOK, self.news.changed()).await;
            if matches!(came, Ok(Ok(()))) {
                sleep(GATHER).await;
                self.news.mark_unchanged();
            }
            let mut part = self.events();
            let version = look::version(&self.hub).await.max(1);
            if version != self.version {
                self.version = version;
                part += &format!("event: version\ndata: {version:x}\n\n");
            }
            if part.is_empty() && self.quiet_since.elapsed() >= PULSE {
                part = ":\n\n".to_owned();
            }
            if !part.is_empty() {
                self.quiet_since = Instant::now();
                return part;
            }
        }
    }

    fn events(&mut self) -> String {
        let mut part = String::new();
        for happened in self.hub.listeners.journal.after(self.sent) {
            self.sent = happened.number;
            let data = serde_json::to_string(&*happened).unwrap_or_default();
            part += &format!("id: {}\ndata: {data}\n\n", happened.number);
        }
        part
    }
}
