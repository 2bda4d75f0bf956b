//! Everything that is simulated, and the judge of what the program does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use registrator::registry::{Mark, Marked};
use tokio::time::Instant;

use crate::container::{Container, Network};
use crate::engine::Engine;
use crate::history::Settings;
use crate::oracle::{self, Containers, Offer, Rules, Wanted, made_here, wanted};
use crate::process::Process;
use crate::store::{Client, Content, Held, InFlight, Shape, Store};
use crate::trace::Trace;

/// How long after it learned something the program may still act as if it had not.
const REACTION: Duration = Duration::from_secs(5);
/// How long a container that ended several times may be held back: they count for a minute, and it waits for another.
const FLAPPING: Duration = Duration::from_secs(150);
/// How long everything must have been well before an entry of ours must not expire any more.
const RECOVERY: Duration = Duration::from_secs(150);

/// The world, shared by all that happens in it.
pub(crate) type Shared = Arc<Mutex<World>>;

/// The world, for a moment; never held while anything waits.
pub(crate) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) trace: Arc<Trace>,
    /// The first promise that was broken.
    pub(crate) violation: Option<String>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) stores: Vec<Store>,
    /// What each life of each process knows of each store.
    pub(crate) views: BTreeMap<(Client, usize), BTreeMap<String, Held>>,
    pub(crate) writing: InFlight,
    pub(crate) counts: Counts,
}

/// How much happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) histories: usize,
    pub(crate) steps: usize,
    pub(crate) lives: usize,
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    pub(crate) removals: usize,
    pub(crate) marks: usize,
    pub(crate) refreshes: usize,
    pub(crate) events_lost: usize,
    pub(crate) lists_partial: usize,
    pub(crate) requests_failed: usize,
    pub(crate) requests_hung: usize,
    /// Registries that had to be exact without a resync.
    pub(crate) exact_by_itself: usize,
    /// Registries that had to be exact after one.
    pub(crate) exact: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.lives += other.lives;
        self.reads += other.reads;
        self.writes += other.writes;
        self.removals += other.removals;
        self.marks += other.marks;
        self.refreshes += other.refreshes;
        self.events_lost += other.events_lost;
        self.lists_partial += other.lists_partial;
        self.requests_failed += other.requests_failed;
        self.requests_hung += other.requests_hung;
        self.exact_by_itself += other.exact_by_itself;
        self.exact += other.exact;
    }
}

/// A host: an engine, and the program beside it.
pub(crate) struct Host {
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    pub(crate) engine: Engine,
    /// Where others reach it.
    pub(crate) address: String,
    /// Which life of the program is, or was, the last.
    pub(crate) life: u64,
    pub(crate) alive: bool,
    pub(crate) alive_since: Instant,
    pub(crate) died: BTreeMap<u64, Instant>,
    /// What this life was told of each container; `None` where it is gone.
    pub(crate) known: BTreeMap<String, Option<Container>>,
    /// What this life was told of the host's address.
    pub(crate) located: String,
    /// What it should have wanted, since when; at least for the time of a reaction.
    wants: VecDeque<(Instant, [Wanted; 2])>,
    /// Every key that this life ever wanted something of, and the containers that offered it.
    offered: BTreeMap<String, BTreeSet<String>>,
    /// Those that a container no longer offers that is still there.
    withdrawn: BTreeSet<String>,
    /// Those at which this life was told of a container that runs.
    seen: BTreeSet<String>,
    /// When each key was last offered by a container that runs.
    served: BTreeMap<String, Instant>,
    /// Whether it was told to stop.
    pub(crate) stopping: bool,
    /// Whether something changed that only a resync can find out.
    pub(crate) unsure: bool,
    pub(crate) process: Option<Process>,
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    To(&'a Content),
    Away,
    Mark(Option<Mark>),
}

/// What is wrong with a write, if anything.
type Judgement = Result<(), &'static str>;

const SHAPES: [Shape; 2] = [Shape::ById, Shape::ByPlace];

fn index(shape: Shape) -> usize {
    match shape {
        Shape::ById => 0,
        Shape::ByPlace => 1,
    }
}

/// Every offer, with its key.
fn each(wanted: Wanted) -> impl Iterator<Item = (String, Offer)> {
    wanted.into_iter().flat_map(|(key, offers)| offers.into_iter().map(move |offer| (key.clone(), offer)))
}

/// Whether one of these runs.
fn serves(offers: Option<&Vec<Offer>>) -> bool {
    offers.is_some_and(|offers| offers.iter().any(|offer| !offer.kept))
}

impl Host {
    pub(crate) fn new(settings: Settings, rules: Rules, address: String) -> Self {
        Self {
            settings,
            rules,
            engine: Engine::default(),
            address,
            life: 0,
            alive: false,
            alive_since: Instant::now(),
            died: BTreeMap::new(),
            known: BTreeMap::new(),
            located: String::new(),
            wants: VecDeque::new(),
            offered: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            seen: BTreeSet::new(),
            served: BTreeMap::new(),
            stopping: false,
            unsure: false,
            process: None,
        }
    }

    /// The name under which it writes.
    pub(crate) fn owner(&self) -> &str {
        &self.rules.hostname
    }

    /// What should stand in a registry of this shape.
    pub(crate) fn truth(&self, shape: Shape) -> Wanted {
        wanted(&self.engine.containers, &self.rules, &self.address, shape)
    }

    /// Keeps in mind what is offered now, for the time when it no longer is.
    pub(crate) fn remember(&mut self) {
        let (all, rules, address) = (&self.engine.containers, &self.rules, &self.address);
        let mut offers: Vec<_> = SHAPES.iter().flat_map(|shape| each(self.truth(*shape))).collect();
        offers.retain(|(_, offer)| !offer.kept);
        let served: Vec<_> = offers.iter().map(|(key, _)| key.clone()).collect();
        // Where nothing is ever removed, whoever claimed a key stands behind what is there.
        if rules.deregister == "never" {
            offers.extend(SHAPES.iter().flat_map(|shape| oracle::claims(all, rules, address, *shape)));
        }
        for (key, offer) in offers {
            if let Some(container) = self.engine.containers.get_mut(&offer.container) {
                container.stood.insert((key, offer.content.authority()));
            }
        }
        self.served.extend(served.into_iter().map(|key| (key, Instant::now())));
    }

    /// Keeps in mind what the program takes a container for, and writes: as far as it knows, it was there.
    fn served(&mut self, key: &str, content: &Content, shape: Shape) {
        let by = oracle::claims(&self.known_containers(), &self.rules, &self.located, shape)
            .find(|(at, offer)| !offer.kept && at == key && offer.content.id == content.id)
            .map(|(_, offer)| offer.container);
        if let Some(container) = by.and_then(|id| self.engine.containers.get_mut(&id)) {
            container.stood.insert((key.to_owned(), content.authority()));
        }
    }

    fn known_containers(&self) -> Containers {
        self.known.iter().filter_map(|(id, known)| Some((id.clone(), known.clone()?))).collect()
    }

    /// A new life begins, and knows nothing.
    pub(crate) fn born(&mut self) {
        self.life += 1;
        self.alive = true;
        self.alive_since = Instant::now();
        self.known.clear();
        self.wants.clear();
        self.offered.clear();
        self.withdrawn.clear();
        self.seen.clear();
        self.stopping = false;
        self.reconsider();
    }

    pub(crate) fn dies(&mut self) {
        if std::mem::take(&mut self.alive) {
            self.died.insert(self.life, Instant::now());
        }
    }

    /// Works out what the program should want, from what it was told.
    fn reconsider(&mut self) {
        let containers = self.known_containers();
        let wants = SHAPES.map(|shape| wanted(&containers, &self.rules, &self.located, shape));
        let now = Instant::now();
        for (key, offers) in wants.iter().flatten() {
            for offer in offers {
                self.offered.entry(key.clone()).or_default().insert(offer.container.clone());
                if !offer.kept {
                    self.seen.insert(key.clone());
                }
            }
        }
        let offers = |container: &String, key: &String| {
            let by = |offers: &Vec<Offer>| offers.iter().any(|offer| offer.container == *container);
            wants.iter().any(|wants| wants.get(key).is_some_and(by))
        };
        for (key, by) in &self.offered {
            if by.iter().any(|container| containers.contains_key(container) && !offers(container, key)) {
                self.withdrawn.insert(key.clone());
            }
        }
        self.wants.push_back((now, wants));
        while self.wants.get(1).is_some_and(|(since, _)| *since + REACTION < now) {
            self.wants.pop_front();
        }
    }

    /// What it may act by: what it should have wanted within the time of a reaction.
    fn lately(&self, shape: Shape) -> impl Iterator<Item = &Wanted> {
        let now = Instant::now();
        let outdated = self.wants.iter().skip(1).take_while(move |(since, _)| *since + REACTION < now).count();
        self.wants.iter().skip(outdated).map(move |(_, wants)| &wants[index(shape)])
    }

    /// Whether it should want a service to stand there, and should have for a while.
    fn wants_steadily(&self, shape: Shape, key: &str) -> bool {
        self.lately(shape).all(|wants| serves(wants.get(key)))
    }

    /// Whether a container offered this that failed, and was renamed since.
    fn kept_before(&self, key: &str) -> bool {
        let keeps =
            |id: &String| matches!(self.known.get(id), Some(Some(container)) if oracle::keeps(container, &self.rules));
        self.offered.get(key).is_some_and(|by| by.iter().any(keeps))
    }

    /// Whether the start of a container may be held back, since it ends over and over, or one whose network it shares.
    fn flaps(&self, container: &str) -> bool {
        let find = |id: &str| self.engine.containers.get(id);
        let shared = |it: &&Container| match &it.made.network {
            Network::Shared(other) => find(other),
            _ => None,
        };
        let often = |it: &Container| it.ends.iter().filter(|end| end.elapsed() < FLAPPING).count() >= 4;
        std::iter::successors(find(container), shared).take(10).any(often)
    }

    /// Whether an entry that nobody owns is one that it removes at a resync, if nothing stands behind it.
    fn cleans_up(&self, held: &Held) -> bool {
        self.settings.cleanup && made_here(&held.content.id, self.owner())
    }

    /// Whether a container claims this that ended, and whose entry stays whatever it is.
    fn keeps(&self, shape: Shape, key: &str) -> bool {
        self.settings.deregister == "never"
            && self.truth(shape).get(key).is_some_and(|offers| offers.iter().any(|offer| offer.kept))
    }

    /// Whether a container stood there that runs, as far as it was told.
    fn left_running(&self, key: &str) -> bool {
        let runs = |known: &Option<Container>| known.as_ref().is_some_and(|container| container.state.runs());
        let stood = |id| self.engine.containers.get(id).is_some_and(|it| it.stood.iter().any(|(at, _)| at == key));
        self.known.iter().any(|(id, known)| runs(known) && stood(id))
    }

    /// Whether an entry of its own may be there that no container offers.
    fn leaves(&self, at: &Store, key: &str, held: &Held, resynced: bool) -> bool {
        // One that served in the place of what failed is told apart by the life that saw it serve.
        let never = self.settings.deregister == "never";
        let seen = |served: &Instant| *served >= self.alive_since && self.seen.contains(key);
        let unseen = never || self.served.get(key).is_some_and(|served| !seen(served));
        let kept = self.engine.containers.values().any(|container| {
            let here: Vec<_> = container.stood.iter().filter(|(at, _)| at == key).collect();
            // It served while this registry was away, and ended before it was back: what stands is whose it was before.
            let missed = !here.is_empty() && here.iter().all(|stood| !at.written.contains(*stood));
            let stood = here.iter().any(|(_, what)| unseen || *what == held.content.authority());
            // It ran beside another of the same ID, and nobody saw which of the two served there.
            let beside = || {
                let mut claims = oracle::claims(&self.engine.containers, &self.rules, &self.located, at.shape);
                unseen && claims.any(|(claimed, offer)| claimed == key && offer.container == container.id)
            };
            oracle::keeps(container, &self.rules) && (stood || missed || beside())
        });
        let stays = match (kept, never) {
            (true, true) => true,
            (true, false) => !(resynced && self.cleans_up(held)),
            (false, true) => !(resynced && self.settings.cleanup),
            (false, false) => false,
        };
        let marked = !resynced || !at.marks || held.marked != Marked::No;
        stays && marked
    }
}

impl World {
    pub(crate) fn new(rng: Rng, trace: Arc<Trace>, hosts: Vec<Host>, stores: Vec<Store>) -> Self {
        Self {
            rng,
            trace,
            violation: None,
            hosts,
            stores,
            views: BTreeMap::new(),
            writing: InFlight::new(),
            counts: Counts::default(),
        }
    }

    /// Something to be read by who looks for a fault.
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        self.trace.note(what);
    }

    pub(crate) fn violated(&mut self, what: String) {
        self.trace.note(|| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    pub(crate) fn lives(&self, (host, life): Client) -> bool {
        let host = &self.hosts[host];
        host.alive && host.life == life
    }

    pub(crate) fn died(&self, (host, life): Client) -> Option<Instant> {
        self.hosts[host].died.get(&life).copied()
    }

    /// An answer of the engine arrived.
    pub(crate) fn learned(&mut self, client: Client, id: &str, mut container: Option<Container>) {
        let host = &mut self.hosts[client.0];
        // What stays of a container that ended is what it last offered, whatever it is called since.
        if let Some(ended) = container.as_mut().filter(|container| oracle::keeps(container, &host.rules))
            && let Some(Some(before)) = host.known.get(id)
            && host.offered.values().any(|by| by.contains(id))
        {
            ended.name.clone_from(&before.name);
        }
        if host.known.get(id) != Some(&container) {
            host.known.insert(id.to_owned(), container);
            host.reconsider();
        }
    }

    /// The host's address was found out.
    pub(crate) fn located(&mut self, client: Client) -> String {
        let host = &mut self.hosts[client.0];
        host.located = host.address.clone();
        host.reconsider();
        host.located.clone()
    }

    /// Judges a write that begins.
    pub(crate) fn judge(&mut self, client: Client, store: usize, owner: &str, key: &str, change: Change<'_>) {
        match change {
            Change::To(_) => self.counts.writes += 1,
            Change::Away => self.counts.removals += 1,
            Change::Mark(_) => self.counts.marks += 1,
        }
        self.note(|| format!("host {} writes {key} in store {store}: {change:?}", client.0));
        if let Change::To(content) = change {
            let shape = self.stores[store].shape;
            self.hosts[client.0].served(key, content, shape);
        }
        let fault = self.common_fault(client, store, owner, key).and_then(|()| match change {
            Change::To(content) => self.fault_of_writing(client, store, key, content),
            Change::Away => self.fault_of_removing(client, store, key),
            Change::Mark(mark) => self.fault_of_marking(client, store, key, mark),
        });
        if let Err(fault) = fault {
            self.violated(format!("host {} {fault}, in store {store}: {key} {change:?}", client.0));
        }
    }

    fn seen(&self, client: Client, store: usize, key: &str) -> Option<&Held> {
        self.views.get(&(client, store))?.get(key)
    }

    fn common_fault(&self, client: Client, store: usize, owner: &str, key: &str) -> Judgement {
        if !self.views.contains_key(&(client, store)) {
            return Err("writes to a registry that it has not read");
        }
        let theirs = self.seen(client, store, key).and_then(|seen| seen.owner.as_deref());
        if theirs.is_some_and(|other| other != owner) {
            return Err("writes to an entry of another owner");
        }
        Ok(())
    }

    fn fault_of_writing(&self, client: Client, store: usize, key: &str, content: &Content) -> Judgement {
        let host = &self.hosts[client.0];
        if host.stopping {
            return Err("registers something, though it is told to stop");
        }
        if self.seen(client, store, key).is_some_and(|seen| seen.owner.is_some() && seen.content == *content) {
            return Err("writes what it knows to be there already");
        }
        let shape = self.stores[store].shape;
        let is_it = |offer: &Offer| !offer.kept && offer.content == *content;
        let offered = |wants: &Wanted| wants.get(key).is_some_and(|offers| offers.iter().any(is_it));
        // The start of whoever comes first may be held back, and the place is another's until then.
        let instead = || {
            let containers = host.known_containers();
            let mut claims = oracle::claims(&containers, &host.rules, &host.located, shape);
            claims.any(|(claimed, offer)| claimed == key && is_it(&offer))
        };
        let held_back = |wants: &Wanted| {
            wants.get(key).is_some_and(|offers| offers.iter().all(|offer| host.flaps(&offer.container)))
        };
        if host.lately(shape).any(offered) || host.lately(shape).any(held_back) && instead() {
            Ok(())
        } else {
            Err("writes what no container offers")
        }
    }

    fn fault_of_removing(&self, client: Client, store: usize, key: &str) -> Judgement {
        let host = &self.hosts[client.0];
        let at = &self.stores[store];
        let Settings { cleanup, deregister, on_shutdown, .. } = host.settings;
        let Some(seen) = self.seen(client, store, key) else { return Err("removes what it knows is not there") };
        let ours = seen.owner.is_some();
        if at.upsert_only {
            return Err("removes an entry under a policy that removes none");
        }
        let cleans = cleanup && made_here(&seen.content.id, &host.rules.hostname);
        if !(ours || cleans || host.offered.contains_key(key)) {
            return Err("removes an entry that nobody owns");
        }
        if host.stopping {
            return if on_shutdown == "deregister" { Ok(()) } else { Err("removes an entry that a stop is to leave") };
        }
        let cleaned = cleanup && deregister == "on-success";
        let replaced =
            |offer: &Offer| host.offered.get(key).is_some_and(|by| by.iter().any(|by| *by != offer.container));
        let dispensable = |offer: &Offer| offer.kept && (cleaned || replaced(offer)) || host.flaps(&offer.container);
        let free = |wants: &Wanted| wants.get(key).is_none_or(|offers| offers.iter().all(dispensable));
        if !host.lately(at.shape).any(free) {
            return Err("removes the entry of a service that runs, or is to be kept");
        }
        if deregister == "never" && ours && !cleanup && !host.withdrawn.contains(key) && !host.left_running(key) {
            return Err("removes the entry of a container that ended");
        }
        // Nothing that it was told can have led to this.
        let never_asked_after = |offer: &Offer| {
            !offer.kept
                && seen.content == offer.content
                && !host.known.contains_key(&offer.container)
                && host.engine.runs_since(&offer.container).is_some_and(|since| since < host.alive_since)
        };
        if host.truth(at.shape).get(key).is_some_and(|offers| offers.iter().any(never_asked_after)) {
            return Err("removes the entry of a container that it never asked after");
        }
        Ok(())
    }

    fn fault_of_marking(&self, client: Client, store: usize, key: &str, mark: Option<Mark>) -> Judgement {
        let host = &self.hosts[client.0];
        let at = &self.stores[store];
        let Some(seen) = self.seen(client, store, key) else { return Err("marks what it knows is not there") };
        match (seen.marked, mark) {
            (Marked::Theirs, _) => return Err("marks what another hand has marked"),
            (Marked::Ours, Some(_)) | (Marked::No, None) => return Err("marks what it knows to be marked just so"),
            _ => {}
        }
        let offers = |wants: &Wanted| wants.get(key).cloned().unwrap_or_default();
        let any = |is: &dyn Fn(&Offer) -> bool| host.lately(at.shape).any(|wants| offers(wants).iter().any(is));
        let justified = match mark {
            Some(Mark::Left) => host.stopping && host.settings.on_shutdown == "critical",
            _ if host.stopping => false,
            Some(Mark::Paused) => any(&|offer| offer.marked && !offer.kept),
            // By its place, an entry is known as kept only to the life that saw it served.
            Some(Mark::Ended) => {
                let nobody = at.shape == Shape::ByPlace || host.settings.deregister == "never" || host.kept_before(key);
                any(&|offer| offer.kept || host.flaps(&offer.container))
                    || nobody && host.lately(at.shape).any(|wants| !wants.contains_key(key))
            }
            Some(_) => false,
            None => any(&|offer| !offer.marked),
        };
        if justified { Ok(()) } else { Err("marks an entry without a reason") }
    }

    /// Takes away what has expired.
    pub(crate) fn expire(&mut self) {
        let now = Instant::now();
        for store in 0..self.stores.len() {
            let at = &mut self.stores[store];
            let over = |held: &Held| held.expires.is_some_and(|expires| expires <= now);
            let gone: Vec<_> = at.entries.iter().filter(|(_, held)| over(held)).map(|(key, _)| key.clone()).collect();
            for key in gone {
                let Some(held) = self.stores[store].entries.remove(&key) else { continue };
                self.note(|| format!("store {store}: {key} expired"));
                let at = &mut self.stores[store];
                let host = self.hosts.iter().find(|host| held.owner.as_deref() == Some(host.owner()));
                let steady = host.is_some_and(|host| host.wants_steadily(at.shape, &key));
                let well = at.well_since.is_some_and(|since| since + RECOVERY < now)
                    && host.is_some_and(|host| host.alive && host.alive_since + RECOVERY < now);
                let unsure = at.unsure;
                at.touched();
                if steady {
                    // Its owner refreshes it, and so finds out.
                    at.unsure = unsure;
                }
                if steady && well {
                    self.violated(format!("the entry {key} in store {store} expired, though all is well"));
                }
            }
        }
    }

    /// Compares a registry with what it should hold; `resynced` if everybody compared everything since
    /// the last thing that happened.
    pub(crate) fn check(&mut self, store: usize, resynced: bool) {
        if let Err(fault) = self.difference(store, resynced) {
            let when = if resynced { "after a resync" } else { "without a resync" };
            self.violated(format!("in the end, {when}, store {store} is not right: {fault}"));
        }
    }

    fn difference(&self, store: usize, resynced: bool) -> Result<(), String> {
        let at = &self.stores[store];
        let mut claims: BTreeMap<String, Vec<(&str, Offer)>> = BTreeMap::new();
        for host in &self.hosts {
            for (key, offer) in each(host.truth(at.shape)).filter(|(_, offer)| !offer.kept) {
                claims.entry(key).or_default().push((host.owner(), offer));
            }
        }
        for (key, held) in &at.planted {
            let now = at.entries.get(key);
            // What nobody owns is as good as ours where a container of ours stands behind it, or stood.
            let behind = |host: &Host| {
                let stood = |container: &Container| container.stood.iter().any(|(stood, _)| stood == key);
                host.truth(at.shape).contains_key(key) || host.engine.containers.values().any(stood)
            };
            let adopted = held.owner.is_none() && (now.is_none() || self.hosts.iter().any(behind));
            let untouched = now == Some(held) || adopted;
            if !untouched {
                return Err(format!("the entry {key}, which is not ours, is {now:?}; it was {held:?}"));
            }
        }
        for (key, claims) in &claims {
            if at.planted.get(key).is_some_and(|held| held.owner.is_some()) {
                continue;
            }
            let held = at.entries.get(key);
            let as_offered = |held: &Held, owner: &str, offer: &Offer| {
                let wrong_mark = if offer.marked { Marked::No } else { Marked::Ours };
                held.owner.as_deref() == Some(owner)
                    && held.content == offer.content
                    && !(at.marks && held.marked == wrong_mark)
            };
            let left_by_another = held.is_some_and(|held| {
                let mut others =
                    self.hosts.iter().filter(|host| claims.iter().all(|(owner, _)| host.owner() != *owner));
                let other = others.find(|host| held.owner.as_deref() == Some(host.owner()));
                other.is_some_and(|other| at.upsert_only || other.leaves(at, key, held, resynced))
            });
            let right = held.is_some_and(|held| claims.iter().any(|(owner, offer)| as_offered(held, owner, offer)));
            if !right && !left_by_another {
                return Err(format!("{key} is {held:?}, and should be one of {claims:?}"));
            }
        }
        let others = at.entries.iter().filter(|(key, _)| !claims.contains_key(*key));
        others.filter(|_| !at.upsert_only).try_for_each(|(key, held)| {
            let stays = match held.owner.as_deref() {
                None => !resynced || !self.hosts.iter().any(|host| host.cleans_up(held) && !host.keeps(at.shape, key)),
                Some(owner) => {
                    let host = self.hosts.iter().find(|host| host.owner() == owner);
                    host.is_none_or(|host| host.leaves(at, key, held, resynced))
                }
            };
            if stays { Ok(()) } else { Err(format!("{key} was left behind: {held:?}")) }
        })
    }
}
