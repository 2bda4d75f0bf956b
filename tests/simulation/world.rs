//! Everything that is simulated, and the judge of what the program does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use registrator::registry::{Mark, Marked, RegistryError};
use tokio::time::Instant;

use crate::container::{Container, Network};
use crate::engine::Engine;
use crate::files::Files;
use crate::history::Settings;
use crate::oracle::{self, Containers, Offer, Rules, Wanted, made_here, wanted};
use crate::process::Process;
use crate::store::{Client, Content, Held, InFlight, Reaped, Shape, Store, UNREAD};
use crate::trace::Trace;

/// How long after it learned something the program may still act as if it had not.
const REACTION: Duration = Duration::from_secs(5);
/// How long a container that ended several times may be held back: they count for a minute, and it waits for another.
const FLAPPING: Duration = Duration::from_secs(150);
/// How long everything must have been well before an entry of ours must not expire any more.
const RECOVERY: Duration = Duration::from_secs(150);

/// How long a container may count as one that is told to stop: what its stop may take beside `-drain`, when that was heard
/// late.
const STOPPING: Duration = Duration::from_secs(45);
/// How long after a SIGHUP everything may be tried again.
const ASKED: Duration = Duration::from_secs(240);
/// Within this time, one entry may be rewritten or removed so often, and refused so often.
const MINUTE: Duration = Duration::from_secs(60);
const REWRITES: usize = 15;
const REFUSALS: usize = 20;

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
    /// The second host goes by the first one's name, as long as it runs.
    pub(crate) twin: bool,
    /// Somebody rewrote entries again and again, so that they may be wrong for minutes.
    pub(crate) fought: bool,
    /// Entries that a life wrote, or found to be as it would have written them, and that were there ever since.
    own: BTreeSet<At>,
    /// What each life wrote last.
    last: BTreeMap<At, Content>,
    /// When each life rewrote or removed what others changed, and when it was refused, in the last minute.
    rewrites: BTreeMap<At, VecDeque<Instant>>,
    refusals: BTreeMap<At, VecDeque<Instant>>,
    /// When each life wrote for the first time.
    first_write: BTreeMap<Client, Instant>,
    /// Since when each life knows that an entry is critical.
    noticed: BTreeMap<At, Instant>,
}

/// An entry of a registry, as one life of one process sees it.
type At = (Client, usize, String);

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
    pub(crate) requests_refused: usize,
    pub(crate) reaped: usize,
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
        self.requests_refused += other.requests_refused;
        self.reaped += other.reaped;
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
    /// Nobody starts it again.
    pub(crate) given_up: bool,
    /// What it renders, if it does.
    pub(crate) files: Option<Files>,
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
    /// What was said there of where the service is: its key, its name and its place.
    places: BTreeSet<(String, String, String)>,
    /// Since when each container claims a key and runs, as far as this life was told.
    serving: BTreeMap<(usize, String, String), Instant>,
    /// When it was last asked to compare everything.
    pub(crate) asked: Option<Instant>,
    /// Whether the engine knew of no container once, in this life.
    pub(crate) saw_nothing: bool,
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
            given_up: false,
            files: None,
            alive_since: Instant::now(),
            died: BTreeMap::new(),
            known: BTreeMap::new(),
            located: String::new(),
            wants: VecDeque::new(),
            offered: BTreeMap::new(),
            places: BTreeSet::new(),
            serving: BTreeMap::new(),
            asked: None,
            saw_nothing: false,
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
        self.places.clear();
        self.serving.clear();
        self.asked = None;
        self.saw_nothing = self.engine.empty;
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
                self.places.insert((key.clone(), offer.content.name.clone(), offer.content.authority()));
                if !offer.kept {
                    self.seen.insert(key.clone());
                }
            }
        }
        let mut serving = BTreeMap::new();
        for shape in SHAPES {
            for (key, offer) in oracle::claims(&containers, &self.rules, &self.located, shape).filter(|it| !it.1.kept) {
                let claim = (index(shape), key, offer.container);
                let since = self.serving.get(&claim).copied().unwrap_or(now);
                serving.insert(claim, since);
            }
        }
        self.serving = serving;
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
        let known = self.known_containers();
        let keeps = |id: &String| known.get(id).is_some_and(|it| oracle::keeps(it, &known, &self.rules));
        self.offered.get(key).is_some_and(|by| by.iter().any(keeps))
    }

    /// Whether the start of a container may be held back, since it ends over and over, or one whose network it shares.
    fn flaps(&self, container: &str) -> bool {
        let often = |it: &Container| it.ends.iter().filter(|end| end.elapsed() < FLAPPING).count() >= 4;
        self.network_chain(container).any(often)
    }

    /// A container that is there, or as it was before it was removed.
    fn found(&self, id: &str) -> Option<&Container> {
        self.engine.containers.get(id).or_else(|| self.engine.removed.get(id))
    }

    /// A container, and those whose network it shares, one after the other.
    fn network_chain(&self, container: &str) -> impl Iterator<Item = &Container> {
        let find = |id: &str| self.found(id);
        let shared = move |it: &&Container| match &it.made.network {
            Network::Shared(other) => find(other),
            _ => None,
        };
        std::iter::successors(find(container), shared).take(10)
    }

    /// What is wrong with the file that it renders.
    fn fault_of_file(&self) -> Result<(), String> {
        let Some(files) = self.files.as_ref().filter(|_| self.alive) else { return Ok(()) };
        let lines = files.lines().ok_or_else(|| "there is none".to_owned())?;
        let claims = oracle::claims(&self.engine.containers, &self.rules, &self.address, Shape::ById);
        let (mut sure, mut all) = (BTreeMap::new(), Vec::new());
        for (_, offer) in claims.filter(|(_, offer)| !offer.kept) {
            let Offer { content, container, .. } = offer;
            let line = format!("{} {}", content.id, content.authority());
            if !self.flaps(&container) && !self.drains(&container) && !self.network_drains(&container) {
                // Of several with one ID, one is there.
                sure.entry(content.id).or_insert_with(Vec::new).push(line.clone());
            }
            all.push(line);
        }
        let missing = sure.values().find(|any| !any.iter().any(|line| lines.contains(line)));
        match (missing, lines.iter().find(|line| !all.contains(line))) {
            (Some(line), _) => Err(format!("{line:?} is missing in {lines:?}")),
            (_, Some(line)) => Err(format!("{line} is not offered by {all:?}")),
            _ => Ok(()),
        }
    }

    /// Whether a container may count as one that is told to stop.
    fn drains(&self, container: &str) -> bool {
        self.found(container).is_some_and(|it| self.was_told_to_stop(it))
    }

    /// Whether the network that a container shares may count as one whose container drains, and so still runs.
    fn network_drains(&self, container: &str) -> bool {
        self.network_chain(container).skip(1).any(|it| self.was_told_to_stop(it))
    }

    /// Whether a container may offer this ID whose network drains, and so counts as running.
    fn serves_in_a_drained_network(&self, service: &str) -> bool {
        let offers = |it: &Container| {
            let own = format!("{}:{}:", self.rules.hostname, it.name);
            service.starts_with(&own) || it.made.service_id == Some(service)
        };
        self.known.iter().any(|(id, known)| self.network_drains(id) && known.as_ref().is_some_and(offers))
    }

    fn was_told_to_stop(&self, container: &Container) -> bool {
        let longest = self.settings.drain.map(|drain| Duration::from_secs(drain) + STOPPING);
        container.told_to_stop.zip(longest).is_some_and(|(told, longest)| told.elapsed() < longest)
    }

    /// Whether an entry that nobody owns is one that it may take for what is offered there.
    fn adopts(&self, held: &Held, says_the_same: bool) -> bool {
        held.owner.is_some() || self.settings.adopt || made_here(&held.content.id, self.owner()) || says_the_same
    }

    /// The owner that it records with what it writes.
    pub(crate) fn recorded(&self) -> Option<&str> {
        self.rules.records_owner.then_some(self.owner())
    }

    /// Whether an entry that nobody owns is one that it removes at a resync, if nothing stands behind it.
    fn cleans_up(&self, held: &Held) -> bool {
        self.settings.cleanup && made_here(&held.content.id, self.owner())
    }

    /// Whether a container claims this that ended, and whose entry stays whatever it is.
    fn keeps(&self, shape: Shape, key: &str) -> bool {
        // By its place, what ended is known by where it stood.
        let stood = |container: &Container| {
            oracle::keeps(container, &self.engine.containers, &self.rules)
                && container.stood.iter().any(|(stood, _)| stood == key)
        };
        let offered = || self.truth(shape).get(key).is_some_and(|offers| offers.iter().any(|offer| offer.kept));
        self.settings.deregister == "never" && (offered() || self.engine.containers.values().any(stood))
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
            oracle::keeps(container, &self.engine.containers, &self.rules) && (stood || missed || beside())
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

/// Counts one more within a minute.
fn counted(times: &mut VecDeque<Instant>) -> usize {
    times.push_back(Instant::now());
    while times.front().is_some_and(|time| time.elapsed() > MINUTE) {
        times.pop_front();
    }
    times.len()
}

/// Whether what a registry removed by its own rule may be registered again.
fn is_another_chance(reaped: &Content, now: &Content) -> bool {
    let other = Content { health: reaped.health.clone(), ..now.clone() } != *reaped;
    other || now.health == "healthy" && reaped.health != "healthy"
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
            twin: false,
            fought: false,
            own: BTreeSet::new(),
            last: BTreeMap::new(),
            rewrites: BTreeMap::new(),
            refusals: BTreeMap::new(),
            first_write: BTreeMap::new(),
            noticed: BTreeMap::new(),
        }
    }

    /// The hosts whose services must be there in the end.
    fn lasting(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().take(self.lasting_hosts())
    }

    /// How many of the hosts are not another's twin.
    pub(crate) fn lasting_hosts(&self) -> usize {
        if self.twin { 1 } else { self.hosts.len() }
    }

    /// A person asks for everything to be compared and tried again.
    pub(crate) fn asks(&mut self, host: usize) {
        self.hosts[host].asked = Some(Instant::now());
        self.rewrites.retain(|(client, ..), _| client.0 != host);
        self.refusals.retain(|(client, ..), _| client.0 != host);
    }

    /// Every service is alive again, as far as registries can tell.
    pub(crate) fn every_check_passes(&mut self) {
        let held = self.stores.iter_mut().flat_map(|store| store.entries.values_mut());
        held.for_each(|held| held.critical = None);
    }

    /// Whether the start of a container may be held back.
    pub(crate) fn flaps(&self, host: usize, container: &str) -> bool {
        self.hosts[host].flaps(container)
    }

    /// A life read a registry.
    pub(crate) fn reads(&mut self, client: Client, store: usize, owner: &str, held: BTreeMap<String, Held>) {
        let before = self.views.insert((client, store), held);
        let view = &self.views[&(client, store)];
        for key in before.unwrap_or_default().into_keys().filter(|key| !view.contains_key(key)) {
            self.own.remove(&(client, store, key.clone()));
            self.noticed.remove(&(client, store, key));
        }
        let host = &self.hosts[client.0];
        for (key, held) in view {
            let at = (client, store, key.clone());
            let foreign = held.owner.as_deref().is_some_and(|other| other != owner);
            if foreign {
                self.own.remove(&at);
            } else if host.recorded() == held.owner.as_deref() {
                let as_offered = |offers: &Vec<Offer>| offers.iter().any(|offer| offer.content == held.content);
                let shape = self.stores[store].shape;
                if held.owner.is_some() || host.lately(shape).any(|wants| wants.get(key).is_some_and(as_offered)) {
                    self.own.insert(at.clone());
                }
            }
            if held.critical.is_some() {
                self.noticed.entry(at).or_insert_with(Instant::now);
            } else {
                self.noticed.remove(&at);
            }
        }
    }

    /// A write of a life was confirmed.
    pub(crate) fn wrote(&mut self, client: Client, store: usize, key: &str, held: Held) {
        let at = (client, store, key.to_owned());
        self.noticed.remove(&at);
        let changed = self.seen(client, store, key).is_some_and(|seen| seen.content != held.content);
        if self.last.insert(at.clone(), held.content.clone()).as_ref() == Some(&held.content) && changed {
            self.count_rewrite(client, store, key);
        }
        self.own.insert(at);
        self.views.entry((client, store)).or_default().insert(key.to_owned(), held);
    }

    /// A mark of a life was confirmed.
    pub(crate) fn marked(&mut self, client: Client, store: usize, key: &str, marked: Marked) {
        self.count_rewrite(client, store, key);
        if let Some(held) = self.views.entry((client, store)).or_default().get_mut(key) {
            held.marked = marked;
        }
    }

    /// A removal of a life was confirmed.
    pub(crate) fn removed(&mut self, client: Client, store: usize, key: &str) {
        self.count_rewrite(client, store, key);
        let at = (client, store, key.to_owned());
        self.own.remove(&at);
        self.noticed.remove(&at);
        if let Some(view) = self.views.get_mut(&(client, store)) {
            view.remove(key);
        }
    }

    /// Whether a registry refuses what concerns the service of this ID; who asks again and again is at fault.
    pub(crate) fn refuses(
        &mut self,
        client: Client,
        store: usize,
        (key, id): (&str, &str),
        registers: bool,
    ) -> Result<(), RegistryError> {
        let Some(refusal) = self.stores[store].refusal(id, registers) else { return Ok(()) };
        self.counts.requests_refused += 1;
        self.note(|| format!("store {store} refuses {key}"));
        if counted(self.refusals.entry((client, store, key.to_owned())).or_default()) > REFUSALS {
            self.violated(format!("host {} asks for {key} in store {store} again and again", client.0));
        }
        Err(refusal)
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
        let keeps = |it: &Container| !it.state.runs() && oracle::keeps(it, &host.known_containers(), &host.rules);
        if let Some(ended) = container.as_mut().filter(|container| keeps(container))
            && let Some(Some(before)) = host.known.get(id)
            && host.offered.values().any(|by| by.contains(id))
        {
            ended.name.clone_from(&before.name);
        }
        if host.known.get(id) != Some(&container) {
            host.known.insert(id.to_owned(), container);
            host.reconsider();
            let Some((_, wants)) = host.wants.back() else { return };
            // What was not wanted for a while, and is again, has another chance.
            for store in &mut self.stores {
                let wants = &wants[index(store.shape)];
                let reaped = store.reaped.iter_mut().filter(|(key, _)| !serves(wants.get(*key)));
                reaped.for_each(|(_, reaped)| reaped.known_to = reaped.known_to.filter(|known| known.0 != client.0));
            }
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
        self.first_write.entry(client).or_insert_with(Instant::now);
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

    /// Nobody is fought: what others change again and again is not answered each time.
    fn count_rewrite(&mut self, client: Client, store: usize, key: &str) {
        let at = (client, store, key.to_owned());
        if !self.hosts[client.0].stopping && counted(self.rewrites.entry(at).or_default()) > REWRITES {
            self.violated(format!("host {} fights over {key} in store {store}", client.0));
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
        if let Some(seen) = self.seen(client, store, key)
            && !(self.owns(client, store, key) || host.adopts(seen, seen.content.leads_where(content)))
        {
            return Err("takes over an entry that nobody owns");
        }
        if let Some(reaped) = self.stores[store].reaped.get(key)
            && reaped.known_to == Some(client)
            && host.asked.is_none_or(|asked| asked.elapsed() > ASKED)
            && !is_another_chance(&reaped.content, content)
        {
            return Err("registers again what the registry removed by its own rule");
        }
        self.fault_of_replacing(client, store, key, content)?;
        let shape = self.stores[store].shape;
        let is_it = |offer: &Offer| !offer.kept && offer.content == *content;
        let offered = |wants: &Wanted| wants.get(key).is_some_and(|offers| offers.iter().any(is_it));
        // The start of whoever comes first may be held back, and the place is another's until then.
        let instead = || {
            let containers = host.known_containers();
            let mut claims = oracle::claims(&containers, &host.rules, &host.located, shape);
            claims.any(|(claimed, offer)| claimed == key && is_it(&offer))
        };
        let out_of_use = |offer: &Offer| host.flaps(&offer.container) || host.drains(&offer.container);
        let held_back = |wants: &Wanted| wants.get(key).is_some_and(|offers| offers.iter().all(out_of_use));
        if host.lately(shape).any(offered)
            || host.lately(shape).any(held_back) && instead()
            || host.serves_in_a_drained_network(&content.id)
        {
            Ok(())
        } else {
            Err("writes what no container offers")
        }
    }

    /// Who holds a key keeps it while it runs.
    fn fault_of_replacing(&self, client: Client, store: usize, key: &str, content: &Content) -> Judgement {
        let host = &self.hosts[client.0];
        let shape = self.stores[store].shape;
        let Some(seen) = self.seen(client, store, key).filter(|_| self.owns(client, store, key)) else { return Ok(()) };
        let since = |offer: &Offer| {
            let claim = (index(shape), key.to_owned(), offer.container.clone());
            host.serving.get(&claim).copied()
        };
        let of = |wants: &Wanted, content: &Content| {
            let by = |offer: &&Offer| !offer.kept && offer.content == *content;
            wants.get(key).and_then(|offers| offers.iter().find(by).cloned())
        };
        let Some(now) = host.wants.back().map(|(_, wants)| &wants[index(shape)]) else { return Ok(()) };
        let (Some(holder), Some(new)) = (of(now, &seen.content), of(now, content)) else { return Ok(()) };
        let held = host.lately(shape).all(|wants| of(wants, &seen.content).is_some());
        let later = match (since(&holder), since(&new), self.first_write.get(&client)) {
            (Some(one), Some(other), Some(first)) => {
                one + REACTION < other && (holder.age < new.age || other > *first + REACTION)
            }
            _ => false,
        };
        let steady = !host.flaps(&holder.container) && !host.drains(&holder.container);
        if held && later && steady && holder.container != new.container {
            return Err("gives an ID to another container while the one that has it runs");
        }
        Ok(())
    }

    /// Whether an entry is this life's by its own work, whoever is recorded as its owner.
    fn owns(&self, client: Client, store: usize, key: &str) -> bool {
        self.own.contains(&(client, store, key.to_owned()))
    }

    /// Whether a life may take an entry for that of what it offered there.
    fn may_take(&self, client: Client, store: usize, key: &str, held: &Held) -> bool {
        let host = &self.hosts[client.0];
        let said = (key.to_owned(), held.content.name.clone(), held.content.authority());
        self.owns(client, store, key) || host.adopts(held, host.places.contains(&said))
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
        if !(cleans || self.may_take(client, store, key, seen)) {
            return Err("removes an entry that nobody owns, and that is not what its container offered");
        }
        if host.stopping {
            return if on_shutdown == "deregister" { Ok(()) } else { Err("removes an entry that a stop is to leave") };
        }
        let cleaned = cleanup && deregister == "on-success";
        let replaced =
            |offer: &Offer| host.offered.get(key).is_some_and(|by| by.iter().any(|by| *by != offer.container));
        let dispensable = |offer: &Offer| {
            offer.kept && (cleaned || cleanup && offer.unplaced || replaced(offer))
                || host.flaps(&offer.container)
                || !at.marks && deregister != "never" && host.drains(&offer.container)
        };
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
                && !host.saw_nothing
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
        if !self.may_take(client, store, key, seen) {
            return Err("marks an entry that nobody owns");
        }
        let offers = |wants: &Wanted| wants.get(key).cloned().unwrap_or_default();
        let any = |is: &dyn Fn(&Offer) -> bool| host.lately(at.shape).any(|wants| offers(wants).iter().any(is));
        let justified = match mark {
            Some(Mark::Left) => host.stopping && host.settings.on_shutdown == "critical",
            _ if host.stopping => false,
            Some(Mark::Paused) => {
                any(&|offer| offer.marked && !offer.kept) || host.serves_in_a_drained_network(&seen.content.id)
            }
            // By its place, an entry is known as kept only to the life that saw it served.
            Some(Mark::Ended) => {
                let nobody = at.shape == Shape::ByPlace || host.settings.deregister == "never" || host.kept_before(key);
                any(&|offer| offer.kept || host.flaps(&offer.container))
                    || nobody && host.lately(at.shape).any(|wants| !wants.contains_key(key))
            }
            Some(Mark::Draining) => {
                let containers = host.known_containers();
                let mut claims = oracle::claims(&containers, &host.rules, &host.located, at.shape);
                claims.any(|(claimed, offer)| claimed == key && host.drains(&offer.container))
                    || host.offered.get(key).is_some_and(|by| by.iter().any(|container| host.drains(container)))
            }
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
                let drains = |host: &Host| {
                    host.offered.get(&key).is_some_and(|by| by.iter().any(|container| host.drains(container)))
                };
                let steady = !(self.twin || self.fought)
                    && host.is_some_and(|host| host.wants_steadily(at.shape, &key) && !drains(host));
                let well = at.well_since.is_some_and(|since| since + RECOVERY < now)
                    && host.is_some_and(|host| host.alive && host.alive_since + RECOVERY < now);
                let unsure = at.unsure;
                at.touched();
                at.is_robbed();
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

    /// Takes away what was critical for long, where a registry has such a rule.
    pub(crate) fn reap(&mut self) {
        let now = Instant::now();
        for store in 0..self.stores.len() {
            let at = &self.stores[store];
            let gone: Vec<_> =
                at.entries.iter().filter(|(_, held)| at.overdue(held, now)).map(|(key, _)| key.clone()).collect();
            for key in gone {
                let Some(held) = self.stores[store].entries.remove(&key) else { continue };
                self.note(|| format!("store {store}: {key} was critical for too long"));
                self.counts.reaped += 1;
                let known_to = self.knows_why(store, &key, &held);
                let at = &mut self.stores[store];
                at.planted.remove(&key);
                if known_to.is_none() {
                    at.is_robbed();
                }
                at.touched();
                at.reaped.insert(key, Reaped { content: held.content, at: now, known_to });
            }
        }
    }

    /// Which life must know why this entry goes now, if any must.
    fn knows_why(&self, store: usize, key: &str, held: &Held) -> Option<Client> {
        let at = &self.stores[store];
        let since = held.critical?;
        let well = at.tells && !self.twin && at.well_since.is_some_and(|well| well + UNREAD / 2 < since);
        let host = self.hosts.iter().position(|host| held.owner.as_deref() == host.recorded())?;
        let client = (host, self.hosts[host].life);
        let noticed = self.noticed.get(&(client, store, key.to_owned()));
        let noticed = noticed.is_some_and(|noticed| *noticed < since + Duration::from_secs(15));
        let robbed = at.robbed.is_some_and(|robbed| robbed.elapsed() < UNREAD);
        let steady = self.hosts[host].wants_steadily(at.shape, key);
        (well && noticed && !robbed && steady && held.owner.is_some()).then_some(client)
    }

    /// Compares a registry with what it should hold; `resynced` if everybody compared everything since
    /// the last thing that happened.
    pub(crate) fn check(&mut self, store: usize, resynced: bool) {
        if let Err(fault) = self.difference(store, resynced) {
            let when = if resynced { "after a resync" } else { "without a resync" };
            self.violated(format!("in the end, {when}, store {store} is not right: {fault}"));
        }
    }

    /// Every rendered file must name what runs on its host, and nothing else.
    pub(crate) fn check_files(&mut self) {
        let wrong = self.lasting().find_map(|host| host.fault_of_file().err());
        if let Some(fault) = wrong {
            self.violated(format!("in the end, a rendered file is not right: {fault}"));
        }
    }

    fn difference(&self, store: usize, resynced: bool) -> Result<(), String> {
        let at = &self.stores[store];
        let mut claims: BTreeMap<String, Vec<(&Host, Offer)>> = BTreeMap::new();
        for host in self.lasting() {
            for (key, offer) in each(host.truth(at.shape)).filter(|(_, offer)| !offer.kept) {
                claims.entry(key).or_default().push((host, offer));
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
            let takes = |held: &Held| {
                claims.iter().any(|(host, offer)| host.adopts(held, held.content.leads_where(&offer.content)))
            };
            if at.planted.get(key).is_some_and(|held| held.owner.is_some() || !takes(held)) {
                continue;
            }
            let held = at.entries.get(key);
            let still_reaped = |reaped: &Reaped| {
                !resynced && claims.iter().any(|(_, offer)| !is_another_chance(&reaped.content, &offer.content))
            };
            if held.is_none() && at.reaped.get(key).is_some_and(still_reaped) {
                continue;
            }
            let as_offered = |held: &Held, host: &Host, offer: &Offer| {
                let wrong_mark = if offer.marked { Marked::No } else { Marked::Ours };
                held.owner.as_deref() == host.recorded()
                    && held.content == offer.content
                    && !(at.marks && held.marked == wrong_mark)
            };
            let left_by_another = held.is_some_and(|held| {
                let mut others = self.lasting().filter(|host| claims.iter().all(|(by, _)| host.owner() != by.owner()));
                let other = others.find(|host| held.owner.as_deref() == Some(host.owner()));
                other.is_some_and(|other| at.upsert_only || other.leaves(at, key, held, resynced))
            });
            let right = held.is_some_and(|held| claims.iter().any(|(host, offer)| as_offered(held, host, offer)));
            // One without a record is taken over only by who made it, or would have made it.
            let left_by_nobody = held.is_some_and(|held| held.owner.is_none() && !takes(held));
            if !right && !left_by_another && !left_by_nobody {
                let claims: Vec<_> = claims.iter().map(|(host, offer)| (host.recorded(), offer)).collect();
                return Err(format!("{key} is {held:?}, and should be one of {claims:?}"));
            }
        }
        let others = at.entries.iter().filter(|(key, _)| !claims.contains_key(*key));
        others.filter(|_| !at.upsert_only).try_for_each(|(key, held)| {
            // What came back after it was removed is another instance's, for all that anybody can know.
            let brought_back = self.twin && at.emptied.contains(key);
            // A container of ours that failed keeps what stands there, whichever of the two instances wrote it last.
            let kept = |host: &Host| {
                let now = |offers: &Vec<Offer>| offers.iter().any(|offer| offer.kept);
                host.kept_before(key) || host.truth(at.shape).get(key).is_some_and(now)
            };
            let stays = match held.owner.as_deref() {
                _ if brought_back => true,
                None if self.twin && self.lasting().any(kept) => true,
                None => {
                    let cleaned =
                        resynced && self.lasting().any(|host| host.cleans_up(held) && !host.keeps(at.shape, key));
                    // What a life wrote itself goes when its container does, whether or not that is recorded.
                    let ours = |(index, host): (usize, &Host)| {
                        host.alive
                            && !host.rules.records_owner
                            && self.owns((index, host.life), store, key)
                            && !host.leaves(at, key, held, resynced)
                    };
                    !cleaned && !self.lasting().enumerate().any(ours)
                }
                Some(owner) => {
                    let host = self.lasting().find(|host| host.owner() == owner);
                    host.is_none_or(|host| host.leaves(at, key, held, resynced))
                }
            };
            if stays { Ok(()) } else { Err(format!("{key} was left behind: {held:?}")) }
        })
    }
}
