//! Who may go on now: only so many at the same time, and nobody takes the turns of others.
//!
//! Whoever shares something is of a group: the checks of one container, the requests of one client. Each group has a
//! share at most, whoever has fewest is next, and some permits are only for those who have none.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many may go on at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All together.
    pub most: usize,
    /// Further ones, of groups that have no other.
    pub reserve: usize,
    /// Of one group.
    pub share: usize,
}

/// Hands out permits, to members of groups.
pub struct Permits<G: Ord + Hash + Clone>(Arc<Shared<G>>);

struct Shared<G: Ord + Hash + Clone> {
    room: Room,
    state: Mutex<State<G>>,
}

struct State<G: Ord + Hash + Clone> {
    held: usize,
    /// Groups that hold or wait; others take no memory.
    groups: HashMap<G, Group<G>>,
    /// Groups that wait: fewest permits first, then who waits longest.
    queue: BTreeSet<(usize, u64, G)>,
    next: u64,
}

struct Group<G: Ord + Hash + Clone> {
    held: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Permit<G>>)>,
}

/// Leave to go on, given back when it is dropped.
pub struct Permit<G: Ord + Hash + Clone> {
    /// Taken when it is given back.
    from: Option<(Arc<Shared<G>>, G)>,
}

impl<G: Ord + Hash + Clone> Permits<G> {
    /// With this room, and nobody in it.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let state = State { held: 0, groups: HashMap::new(), queue: BTreeSet::new(), next: 0 };
        Self(Arc::new(Shared { room, state: Mutex::new(state) }))
    }

    /// Leave for one more of this group; `None` where there is no room.
    #[must_use]
    pub fn try_acquire(&self, group: &G) -> Option<Permit<G>> {
        let mut state = self.0.lock();
        state.has_room(self.0.room, group).then(|| Shared::permit(&self.0, &mut state, group))
    }

    /// Whether a group has all that it may have, so that waiting is in vain for now.
    #[must_use]
    pub fn is_sated(&self, group: &G) -> bool {
        self.0.lock().groups.get(group).is_some_and(|group| group.held >= self.0.room.share)
    }

    /// Whether more than half of all is held, or more than three quarters of what this group may hold.
    #[must_use]
    pub fn is_crowded(&self, group: &G) -> bool {
        let state = self.0.lock();
        let Room { most, share, .. } = self.0.room;
        state.held > most / 2 || state.groups.get(group).is_some_and(|group| group.held > share / 4 * 3)
    }

    /// Waits until one more of this group may go on. Whoever gives up loses nothing but its turn.
    pub async fn acquire(&self, group: &G) -> Permit<G> {
        let receiver = {
            let mut state = self.0.lock();
            let waits = state.groups.get(group).is_some_and(|group| !group.waiting.is_empty());
            if !waits && state.has_room(self.0.room, group) {
                return Shared::permit(&self.0, &mut state, group);
            }
            state.enqueue(group)
        };
        match receiver.await {
            Ok(permit) => permit,
            // Never: a sender is dropped only after it sent.
            Err(_) => Permit { from: None },
        }
    }
}

impl<G: Ord + Hash + Clone> Clone for Permits<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<G: Ord + Hash + Clone> Shared<G> {
    fn lock(&self) -> MutexGuard<'_, State<G>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permit(this: &Arc<Self>, state: &mut State<G>, group: &G) -> Permit<G> {
        state.count(group, true);
        Permit { from: Some((Arc::clone(this), group.clone())) }
    }

    /// Lets whoever is next go on, as long as there is room.
    fn hand_out(this: &Arc<Self>) {
        loop {
            let (sender, permit) = {
                let mut state = this.lock();
                let Some(group) = state.queue.first().map(|(_, _, group)| group.clone()) else { return };
                // Whoever comes later has at least as many.
                if !state.has_room(this.room, &group) {
                    return;
                }
                let Some(sender) = state.dequeue(&group) else { continue };
                (sender, Self::permit(this, &mut state, &group))
            };
            // Nobody may wait any more: then the permit is dropped, and handed on by that.
            let _ = sender.send(permit);
        }
    }
}

impl<G: Ord + Hash + Clone> State<G> {
    fn has_room(&self, room: Room, group: &G) -> bool {
        let Room { most, reserve, share } = room;
        let held = self.groups.get(group).map_or(0, |group| group.held);
        held < share && (self.held < most || (held == 0 && self.held < most + reserve))
    }

    /// One permit more, or one less.
    fn count(&mut self, name: &G, more: bool) {
        let group = self.groups.entry(name.clone()).or_default();
        let before = group.held;
        group.held = if more { before + 1 } else { before.saturating_sub(1) };
        self.held = if more { self.held + 1 } else { self.held.saturating_sub(1) };
        let (now, first) = (group.held, group.waiting.front().map(|(number, _)| *number));
        if let Some(first) = first {
            self.queue.remove(&(before, first, name.clone()));
            self.queue.insert((now, first, name.clone()));
        } else if now == 0 {
            self.groups.remove(name);
        }
    }

    fn enqueue(&mut self, name: &G) -> oneshot::Receiver<Permit<G>> {
        let (sender, receiver) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        let group = self.groups.entry(name.clone()).or_default();
        group.waiting.push_back((number, sender));
        if group.waiting.len() == 1 {
            self.queue.insert((group.held, number, name.clone()));
        }
        receiver
    }

    /// The first of a group that still waits.
    fn dequeue(&mut self, name: &G) -> Option<oneshot::Sender<Permit<G>>> {
        let group = self.groups.get_mut(name)?;
        let held = group.held;
        if let Some((first, _)) = group.waiting.front() {
            self.queue.remove(&(held, *first, name.clone()));
        }
        let mut open = None;
        while open.is_none()
            && let Some((_, sender)) = group.waiting.pop_front()
        {
            open = Some(sender).filter(|sender| !sender.is_closed());
        }
        match group.waiting.front() {
            Some((next, _)) => {
                self.queue.insert((held, *next, name.clone()));
            }
            None if held == 0 => {
                self.groups.remove(name);
            }
            None => {}
        }
        open
    }
}

impl<G: Ord + Hash + Clone> Default for Group<G> {
    fn default() -> Self {
        Self { held: 0, waiting: VecDeque::new() }
    }
}

impl<G: Ord + Hash + Clone> Drop for Permit<G> {
    fn drop(&mut self) {
        let Some((shared, group)) = self.from.take() else { return };
        shared.lock().count(&group, false);
        Shared::hand_out(&shared);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const ROOM: Room = Room { most: 64, reserve: 64, share: 16 };

    fn permits() -> Permits<usize> {
        Permits::new(ROOM)
    }

    /// A permit, if it is there at once.
    async fn at_once(permits: &Permits<usize>, group: &usize) -> Option<Permit<usize>> {
        timeout(Duration::ZERO, permits.acquire(group)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_has_its_share_and_no_more() {
        let permits = permits();
        let mut held = Vec::new();
        for _ in 0..ROOM.share {
            held.push(at_once(&permits, &1).await.unwrap());
        }
        assert!(at_once(&permits, &1).await.is_none());
        assert!(at_once(&permits, &2).await.is_some());
        held.pop();
        assert!(at_once(&permits, &1).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_nothing_may_go_on_though_others_take_all_they_can() {
        let permits = permits();
        let mut held = Vec::new();
        for number in 0..8 {
            for _ in 0..ROOM.share {
                held.extend(at_once(&permits, &number).await);
            }
        }
        // One each of those that came when all was taken.
        assert_eq!(held.len(), ROOM.most + 4);
        let mut others = Vec::new();
        for number in 100..200 {
            others.extend(at_once(&permits, &number).await);
        }
        assert_eq!(others.len(), ROOM.reserve - 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_fewest_is_next_and_among_those_who_waits_longest() {
        let permits = permits();
        let mut held = Vec::new();
        for number in 0..ROOM.most + ROOM.reserve {
            held.push(at_once(&permits, &number).await.unwrap());
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |name: usize| {
            let (permits, order) = (permits.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let permit = permits.acquire(&name).await;
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
        for _ in 0..ROOM.reserve + 2 {
            held.pop();
            tokio::task::yield_now().await;
        }
        assert_eq!(*order.lock().unwrap(), [1001, 1002]);
        held.clear();
        for task in waiting {
            drop(task.await.unwrap());
        }
        assert_eq!(order.lock().unwrap().len(), 4);
        let state = permits.0.lock();
        assert_eq!((state.held, state.groups.len(), state.queue.len()), (0, 0, 0), "nothing stays");
    }

    #[test]
    fn what_cannot_wait_is_told_at_once_and_hears_of_a_crowd() {
        let permits = permits();
        let mut held = Vec::new();
        for group in 0..4 {
            for _ in 0..ROOM.share {
                held.push(permits.try_acquire(&group).unwrap());
            }
            assert!(permits.try_acquire(&group).is_none());
            assert!(permits.is_crowded(&group) && permits.is_sated(&group));
            assert_eq!(permits.is_crowded(&100), group >= 2, "{group}");
        }
        let other = permits.try_acquire(&100);
        assert!(other.is_some() && permits.try_acquire(&100).is_none());
        drop((held, other));
        assert!(!permits.is_crowded(&0) && permits.0.lock().groups.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_is_passed_over() {
        let permits = permits();
        let mut held = Vec::new();
        for _ in 0..ROOM.share {
            held.push(at_once(&permits, &1).await.unwrap());
        }
        assert!(at_once(&permits, &1).await.is_none());
        let waiting = tokio::spawn({
            let permits = permits.clone();
            async move { permits.acquire(&1).await }
        });
        tokio::task::yield_now().await;
        held.pop();
        drop(timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap());
        held.clear();
        let state = permits.0.lock();
        assert_eq!((state.held, state.groups.len(), state.queue.len()), (0, 0, 0));
    }
}
