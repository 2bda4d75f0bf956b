//! Who may probe now: only so many run at the same time, and no container takes the places of others.
//!
//! A container whose checks go to silent addresses holds each permit for as long as a probe may take. So each has a
//! share at most, whoever has fewest is next, and some permits are only for those who have none.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Probes that run at the same time.
const MOST: usize = 64;
/// Further ones, of groups that run no other.
const RESERVE: usize = 64;
/// Probes of one group at the same time.
pub(super) const SHARE: usize = 16;

/// Hands out permits, to groups of checks.
#[derive(Clone, Default)]
pub(super) struct Permits(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    running: usize,
    /// Groups that run or wait; others take no memory.
    groups: HashMap<Arc<str>, Group>,
    /// Groups that wait: fewest probes first, then who waits longest.
    queue: BTreeSet<(usize, u64, Arc<str>)>,
    next: u64,
}

#[derive(Default)]
struct Group {
    running: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Permit>)>,
}

/// Leave to run one probe, given back when it is dropped.
pub(super) struct Permit {
    /// Taken when it is given back.
    state: Option<(Arc<Mutex<State>>, Arc<str>)>,
}

impl Permits {
    /// Waits until a probe of this group may run. Whoever gives up loses nothing but its turn.
    pub(super) async fn acquire(&self, group: &Arc<str>) -> Permit {
        let receiver = {
            let mut state = self.lock();
            let waits = state.groups.get(group).is_some_and(|group| !group.waiting.is_empty());
            if !waits && state.may_run(group) {
                return self.permit(&mut state, group);
            }
            state.enqueue(group)
        };
        match receiver.await {
            Ok(permit) => permit,
            // Never: a sender is dropped only after it sent.
            Err(_) => Permit { state: None },
        }
    }

    fn permit(&self, state: &mut State, group: &Arc<str>) -> Permit {
        state.count(group, true);
        Permit { state: Some((Arc::clone(&self.0), Arc::clone(group))) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets whoever is next run, as long as there is room.
    fn hand_out(&self) {
        loop {
            let (sender, permit) = {
                let mut state = self.lock();
                let Some(group) = state.queue.first().map(|(_, _, group)| Arc::clone(group)) else { return };
                // Whoever comes later has at least as many.
                if !state.may_run(&group) {
                    return;
                }
                let Some(sender) = state.dequeue(&group) else { continue };
                (sender, self.permit(&mut state, &group))
            };
            // Nobody may wait any more: then the permit is dropped, and handed on by that.
            let _ = sender.send(permit);
        }
    }
}

impl State {
    fn may_run(&self, group: &str) -> bool {
        let running = self.groups.get(group).map_or(0, |group| group.running);
        running < SHARE && (self.running < MOST || (running == 0 && self.running < MOST + RESERVE))
    }

    /// One probe more, or one less.
    fn count(&mut self, name: &Arc<str>, more: bool) {
        let group = self.groups.entry(Arc::clone(name)).or_default();
        let before = group.running;
        group.running = if more { before + 1 } else { before.saturating_sub(1) };
        self.running = if more { self.running + 1 } else { self.running.saturating_sub(1) };
        let (now, first) = (group.running, group.waiting.front().map(|(number, _)| *number));
        if let Some(first) = first {
            self.queue.remove(&(before, first, Arc::clone(name)));
            self.queue.insert((now, first, Arc::clone(name)));
        } else if now == 0 {
            self.groups.remove(name);
        }
    }

    fn enqueue(&mut self, name: &Arc<str>) -> oneshot::Receiver<Permit> {
        let (sender, receiver) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        let group = self.groups.entry(Arc::clone(name)).or_default();
        group.waiting.push_back((number, sender));
        if group.waiting.len() == 1 {
            self.queue.insert((group.running, number, Arc::clone(name)));
        }
        receiver
    }

    /// The first of a group that still waits.
    fn dequeue(&mut self, name: &Arc<str>) -> Option<oneshot::Sender<Permit>> {
        let group = self.groups.get_mut(name)?;
        let running = group.running;
        if let Some((first, _)) = group.waiting.front() {
            self.queue.remove(&(running, *first, Arc::clone(name)));
        }
        let mut open = None;
        while open.is_none()
            && let Some((_, sender)) = group.waiting.pop_front()
        {
            open = Some(sender).filter(|sender| !sender.is_closed());
        }
        match group.waiting.front() {
            Some((next, _)) => {
                self.queue.insert((running, *next, Arc::clone(name)));
            }
            None if running == 0 => {
                self.groups.remove(name);
            }
            None => {}
        }
        open
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((state, group)) = self.state.take() else { return };
        let permits = Permits(state);
        permits.lock().count(&group, false);
        permits.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn group(number: usize) -> Arc<str> {
        format!("container{number}").into()
    }

    /// A permit, if it is there at once.
    async fn at_once(permits: &Permits, group: &Arc<str>) -> Option<Permit> {
        timeout(Duration::ZERO, permits.acquire(group)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_has_its_share_and_no_more() {
        let permits = Permits::default();
        let mut held = Vec::new();
        for _ in 0..SHARE {
            held.push(at_once(&permits, &group(1)).await.unwrap());
        }
        assert!(at_once(&permits, &group(1)).await.is_none());
        assert!(at_once(&permits, &group(2)).await.is_some());
        held.pop();
        assert!(at_once(&permits, &group(1)).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_runs_nothing_may_run_though_others_take_all_they_can() {
        let permits = Permits::default();
        let mut held = Vec::new();
        for number in 0..8 {
            for _ in 0..SHARE {
                held.extend(at_once(&permits, &group(number)).await);
            }
        }
        // One each of those that came when all was taken.
        assert_eq!(held.len(), MOST + 4);
        let mut others = Vec::new();
        for number in 100..200 {
            others.extend(at_once(&permits, &group(number)).await);
        }
        assert_eq!(others.len(), RESERVE - 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_fewest_is_next_and_among_those_who_waits_longest() {
        let permits = Permits::default();
        let mut held = Vec::new();
        for number in 0..MOST + RESERVE {
            held.push(at_once(&permits, &group(number)).await.unwrap());
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |name: usize| {
            let (permits, order) = (permits.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let permit = permits.acquire(&group(name)).await;
                order.lock().unwrap().push(name);
                permit
            })
        };
        // The first has one already; the others have none.
        let mut waiting = Vec::new();
        for name in [0, 1001, 1002, 1001] {
            waiting.push(wait(name));
            tokio::task::yield_now().await;
        }
        for _ in 0..RESERVE + 2 {
            held.pop();
            tokio::task::yield_now().await;
        }
        assert_eq!(*order.lock().unwrap(), [1001, 1002]);
        held.clear();
        for task in waiting {
            drop(task.await.unwrap());
        }
        assert_eq!(order.lock().unwrap().len(), 4);
        let state = permits.lock();
        assert_eq!((state.running, state.groups.len(), state.queue.len()), (0, 0, 0), "nothing stays");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_is_passed_over() {
        let permits = Permits::default();
        let mut held = Vec::new();
        for _ in 0..SHARE {
            held.push(at_once(&permits, &group(1)).await.unwrap());
        }
        assert!(at_once(&permits, &group(1)).await.is_none());
        let waiting = tokio::spawn({
            let permits = permits.clone();
            async move { permits.acquire(&group(1)).await }
        });
        tokio::task::yield_now().await;
        held.pop();
        drop(timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap());
        held.clear();
        let state = permits.lock();
        assert_eq!((state.running, state.groups.len(), state.queue.len()), (0, 0, 0));
    }
}
