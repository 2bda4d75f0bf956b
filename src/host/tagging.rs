//! Adds the tags of `-tags` to the containers, before they are described.
//!
//! This is a separate stage because a template may fetch a URL (`httpGet`) and wait for it. Only its own container
//! waits: the changes of one container stay in order, and other containers are not delayed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::container::{Container, ContainerId};
use crate::docker::{Change, Snapshot, Unknown, Unread};
use crate::event::{Event, Events};
use crate::template::{Evaluated, ForcedTags};

/// How long a snapshot waits for the templates of its containers; slower ones follow one by one.
const GRACE: Duration = Duration::from_secs(1);

/// A container with the tags from `-tags`.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// The container.
    pub container: Arc<Container>,
    /// Its forced tags; empty if the template failed.
    pub tags: Arc<[String]>,
}

/// A [`Change`] with its tags.
#[derive(Clone, Debug)]
pub enum Seen {
    /// All containers, and those that are listed but not known yet.
    Snapshot {
        /// Every container.
        containers: Vec<Tagged>,
        /// Listed, but not known (its template may still be running): its state is unchanged.
        unknown: Vec<Unknown>,
        /// Known, but delayed: its state is unchanged as well.
        held: Vec<ContainerId>,
    },
    /// One container in its present state.
    Changed(Tagged),
    /// A container that was told to stop.
    Stopping(ContainerId),
    /// A container that no longer exists.
    Gone(ContainerId),
    /// As above, but no event reported its end.
    Missing(ContainerId),
}

/// The changes with their tags; the changes of one container in order.
pub fn tagged(changes: mpsc::Receiver<Change>, tags: Arc<ForcedTags>, events: Events) -> impl Stream<Item = Seen> {
    let stage = Stage {
        changes,
        tags,
        events,
        evaluations: FuturesUnordered::new(),
        begun: 0,
        waiting: HashMap::new(),
        ready: VecDeque::new(),
    };
    stream::unfold(stage, async |mut stage| stage.next().await.map(|seen| (seen, stage)))
}

struct Stage {
    changes: mpsc::Receiver<Change>,
    tags: Arc<ForcedTags>,
    events: Events,
    /// The running template evaluations.
    evaluations: FuturesUnordered<BoxFuture<'static, Done>>,
    /// The number of evaluations started.
    begun: u64,
    /// Containers whose template is running.
    waiting: HashMap<ContainerId, Waiting>,
    /// The changes to pass on.
    ready: VecDeque<Seen>,
}

/// A container whose template is running.
struct Waiting {
    /// The evaluation that counts; results of others are out of date.
    evaluation: u64,
    container: Arc<Container>,
    /// What was seen of the container since.
    behind: VecDeque<Behind>,
}

enum Behind {
    Changed(Arc<Container>),
    Stopping,
}

/// A finished evaluation.
struct Done {
    evaluation: u64,
    container: Arc<Container>,
    evaluated: Evaluated,
}

impl Stage {
    async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some(seen) = self.ready.pop_front() {
                return Some(seen);
            }
            tokio::select! {
                biased;
                Some(done) = self.evaluations.next() => self.done(done),
                change = self.changes.recv() => self.take(change?).await,
            }
        }
    }

    async fn take(&mut self, change: Change) {
        match change {
            Change::Changed(container) => match self.waiting.get_mut(&container.id) {
                Some(waiting) => waiting.follow(container),
                None => self.tag(container),
            },
            Change::Stopping(id) => match self.waiting.get_mut(&id) {
                Some(waiting) => waiting.behind.push_back(Behind::Stopping),
                None => self.ready.push_back(Seen::Stopping(id)),
            },
            Change::Gone(id) => {
                self.waiting.remove(&id);
                self.ready.push_back(Seen::Gone(id));
            }
            Change::Missing(id) => {
                self.waiting.remove(&id);
                self.ready.push_back(Seen::Missing(id));
            }
            Change::Snapshot(snapshot) => self.snapshot(snapshot).await,
        }
    }

    /// Passes on a container with its tags, now or later.
    fn tag(&mut self, container: Arc<Container>) {
        if self.tags.may_block() {
            self.begin(container);
        } else {
            let tagged = self.tag_now(container);
            self.ready.push_back(Seen::Changed(tagged));
        }
    }

    fn tag_now(&self, container: Arc<Container>) -> Tagged {
        let evaluated = Evaluated { tags: self.tags.evaluate(&container), failed_requests: Vec::new() };
        self.told(container, evaluated)
    }

    fn begin(&mut self, container: Arc<Container>) {
        self.begun += 1;
        let evaluation = self.begun;
        let waiting = Waiting { evaluation, container: Arc::clone(&container), behind: VecDeque::new() };
        self.waiting.insert(container.id.clone(), waiting);
        let tags = Arc::clone(&self.tags);
        self.evaluations.push(Box::pin(async move {
            let evaluated = tags.evaluate_apart(Arc::clone(&container)).await;
            Done { evaluation, container, evaluated }
        }));
    }

    /// An evaluation has finished: passes on its container, and what was seen of it since.
    fn done(&mut self, done: Done) {
        let Some((tagged, mut behind)) = self.finished(done) else { return };
        let id = tagged.container.id.clone();
        self.ready.push_back(Seen::Changed(tagged));
        while let Some(next) = behind.pop_front() {
            match next {
                Behind::Stopping => self.ready.push_back(Seen::Stopping(id.clone())),
                Behind::Changed(container) => {
                    self.begin(container);
                    if let Some(waiting) = self.waiting.get_mut(&id) {
                        waiting.behind = std::mem::take(&mut behind);
                    }
                }
            }
        }
    }

    /// A container with its tags, and what was seen of it since; `None` if the evaluation is out of date.
    fn finished(&mut self, done: Done) -> Option<(Tagged, VecDeque<Behind>)> {
        let Done { evaluation, container, evaluated } = done;
        let waiting = self.waiting.remove(&container.id)?;
        if waiting.evaluation != evaluation {
            self.waiting.insert(container.id.clone(), waiting);
            return None;
        }
        Some((self.told(container, evaluated), waiting.behind))
    }

    fn told(&self, container: Arc<Container>, evaluated: Evaluated) -> Tagged {
        for why in evaluated.failed_requests {
            self.events.emit(Event::HttpGetFailed { why });
        }
        let tags = evaluated.tags.map(Arc::from).unwrap_or_else(|error| {
            self.events.emit(Event::TagsFailed { container: container.id.clone(), why: error.to_string() });
            Arc::default()
        });
        Tagged { container, tags }
    }

    /// A full list replaces everything seen before, except stop signals.
    async fn snapshot(&mut self, snapshot: Snapshot) {
        let Snapshot { containers, mut unknown } = snapshot;
        if !self.tags.may_block() {
            let containers = containers.into_iter().map(|container| self.tag_now(container)).collect();
            self.ready.push_back(Seen::Snapshot { containers, unknown, held: Vec::new() });
            return;
        }
        let order: Vec<ContainerId> = containers.iter().map(|container| container.id.clone()).collect();
        let mut before = std::mem::take(&mut self.waiting);
        for container in containers {
            let id = container.id.clone();
            let earlier = before.remove(&id);
            let told_to_stop = earlier.as_ref().is_some_and(Waiting::is_told_to_stop);
            match earlier {
                // An evaluation for an unchanged container continues.
                Some(waiting) if waiting.container == container => {
                    self.waiting.insert(id.clone(), Waiting { behind: VecDeque::new(), ..waiting });
                }
                _ => self.begin(container),
            }
            if let Some(waiting) = self.waiting.get_mut(&id).filter(|_| told_to_stop) {
                waiting.behind.push_back(Behind::Stopping);
            }
        }
        let (mut ready, stopped) = self.gather(Instant::now() + GRACE).await;
        let containers = order.iter().filter_map(|id| ready.remove(id)).collect();
        let unread = |(id, waiting): (&ContainerId, &Waiting)| Unknown {
            id: id.clone(),
            name: Some((*waiting.container.name).into()),
            why: Unread::NotYet,
        };
        let mut late: Vec<_> = self.waiting.iter().map(unread).collect();
        late.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        unknown.extend(late);
        self.ready.push_back(Seen::Snapshot { containers, unknown, held: Vec::new() });
        self.ready.extend(stopped.into_iter().map(Seen::Stopping));
    }

    /// The running evaluations, and which of their containers were told to stop in the meantime.
    async fn gather(&mut self, until: Instant) -> (HashMap<ContainerId, Tagged>, Vec<ContainerId>) {
        let (mut ready, mut stopped) = (HashMap::new(), Vec::new());
        while !self.waiting.is_empty() {
            let Ok(Some(done)) = timeout_at(until, self.evaluations.next()).await else { break };
            let Some((tagged, behind)) = self.finished(done) else { continue };
            let id = tagged.container.id.clone();
            if !behind.is_empty() {
                stopped.push(id.clone());
            }
            ready.insert(id, tagged);
        }
        (ready, stopped)
    }
}

impl Waiting {
    /// It changed again: the state in between does not matter.
    fn follow(&mut self, container: Arc<Container>) {
        match self.behind.back_mut() {
            Some(Behind::Changed(last)) => *last = container,
            _ => self.behind.push_back(Behind::Changed(container)),
        }
    }

    fn is_told_to_stop(&self) -> bool {
        self.behind.iter().any(|behind| matches!(behind, Behind::Stopping))
    }
}

#[cfg(test)]
mod tests;
