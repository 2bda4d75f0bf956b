//! Several owners on one store: each keeper touches what is its own, whoever else writes.

use std::sync::Arc;
use std::time::Duration;

use registrator::desired::{Command, Compare, Desired, Evidence, Mode, Occasion, Update};
use registrator::event::Events;
use registrator::reconcile::{Keeper, Rules};
use registrator::registry::Registry;
use registrator::service::Service;
use testkit::wait::{becomes, stays};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::batches::Batches as _;
use super::{Subject, at_port, entries, register, service, spread, with};

/// How long owners may take to agree; a watch is told of within a second or two.
const AGREED: Duration = Duration::from_secs(60);
/// How long what must not happen is waited for.
const A_WHILE: Duration = Duration::from_secs(2);

pub(super) async fn an_entry_says_whose_it_is(subject: &Subject, theirs: &dyn Registry) {
    let (mine, yours) = (Arc::new(service("mine")), Arc::new(at_port("yours", 8001)));
    register(&*subject.ours, std::slice::from_ref(&mine)).await;
    register(theirs, std::slice::from_ref(&yours)).await;
    let entries = entries(&*subject.ours).await;
    let owner = |registry: &dyn Registry, service| {
        entries.get(&registry.canonical(service).key).and_then(|entry| entry.owner.as_deref())
    };
    assert_eq!(owner(&*subject.ours, &mine), Some(subject.owner));
    assert_ne!(owner(theirs, &yours), Some(subject.owner));
    // Each removes its own.
    for (registry, service) in [(&*subject.ours, &mine), (theirs, &yours)] {
        let entry = entries[&registry.canonical(service).key].clone();
        assert_eq!(registry.deregister(&[entry]).await, [Ok(())]);
    }
    assert_eq!(subject.ours.entries().await, Ok(Vec::new()));
}

pub(super) async fn among_many_of_others_our_own_are_read(subject: &Subject, theirs: &dyn Registry, names: u16) {
    let ours = &*subject.ours;
    let one = |number| spread(at_port(&format!("other{number}"), 10_000 + number), number, names);
    let many: Vec<_> = (0..1100).map(one).collect();
    register(theirs, &many).await;
    let mine: Vec<_> = (0..3).map(|number| Arc::new(at_port(&format!("mine{number}"), 9000 + number))).collect();
    register(ours, &mine).await;
    let key = |service: &Service| ours.canonical(service).key;
    let all = entries(ours).await;
    let (kept, gone) = (key(&mine[1]), key(&mine[2]));
    assert_eq!(theirs.deregister(&[all[&gone].clone()]).await.len(), 1, "whatever it says to that");
    assert_eq!(ours.deregister(&[all[&gone].clone()]).await, [Ok(())]);
    register(theirs, &[Arc::new(at_port("late", 9100))]).await;
    // Where we write, and where we ask: another's, one that was written since, and one that is not there.
    let asked = [key(&mine[0]), key(&many[7]), key(&at_port("late", 9100)), key(&at_port("nowhere", 9200))];
    let part = ours.own_entries(&asked).await.expect("our own");
    let found = |key: &Arc<str>| part.iter().find(|entry| entry.key == *key);
    for key in [&asked[0], &kept, &asked[1]] {
        assert_eq!(found(key), all.get(key), "{key}");
    }
    assert_eq!(found(&kept).and_then(|entry| entry.owner.as_deref()), Some(subject.owner));
    assert!(found(&asked[2]).is_some_and(|entry| entry.owner.as_deref() != Some(subject.owner)));
    assert_eq!((found(&asked[3]), found(&gone)), (None, None));
    for (registry, services) in [(theirs, &many), (ours, &mine)] {
        let entries: Vec<_> = services.iter().filter_map(|service| all.get(&key(service)).cloned()).collect();
        assert!(registry.deregister(&entries).await.iter().all(Result::is_ok));
    }
    let left: Vec<_> = entries(ours).await.into_values().collect();
    assert_eq!(theirs.deregister(&left).await, [Ok(())]);
    assert_eq!(ours.entries().await, Ok(Vec::new()));
}

/// The program's own keeper, before a registry.
pub(super) struct Owner {
    commands: mpsc::UnboundedSender<Command>,
    _stop: DropGuard,
}

impl Owner {
    pub(super) fn new(owner: &str, registry: &Arc<dyn Registry>) -> Self {
        let rules = Rules { owner: owner.into(), hostname: "host".into(), ..Rules::default() };
        let (commands, told) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        tokio::spawn(Keeper::new(owner, Arc::clone(registry), rules, Events::to_log()).run(told, stop.clone()));
        Self { commands, _stop: stop.drop_guard() }
    }

    fn tell(&self, desired: Desired, service: &Service) {
        let update = Update { source: service.source(), was: Some(Arc::new(service.clone())), desired };
        self.commands.send(Command::Updates([update].into(), None)).expect("it runs");
    }

    pub(super) fn wants(&self, service: &Arc<Service>) {
        self.tell(Desired::Present(Arc::clone(service), Mode::Serving), service);
    }

    pub(super) fn lets_go(&self, service: &Service) {
        self.tell(Desired::Absent(Evidence::Event), service);
    }

    /// All that it may conclude, it concludes: what nothing stands behind goes, also without an owner.
    pub(super) fn compares(&self) {
        self.commands
            .send(Command::Compare(Compare { unknown: Arc::default(), cleanup: true, occasion: Occasion::Listed }))
            .expect("it runs");
    }
}

/// A service of a container's port of its own.
fn from_port(id: &str, port: u16) -> Arc<Service> {
    with(at_port(id, port), |service| service.origin.exposed_port = port)
}

/// Both of one host name by mistake, so that each would take the other's default IDs for its own.
pub(super) async fn two_owners_who_want_one_place_agree_on_whose_it_is(subject: &Subject, theirs: &Arc<dyn Registry>) {
    let ours = &subject.ours;
    let (shared, mine, yours) =
        (from_port("host:shared:80", 9000), from_port("host:mine:80", 9001), from_port("host:yours:80", 9002));
    let (we, they) = (Owner::new(subject.owner, ours), Owner::new("other-host", theirs));
    for (owner, own) in [(&we, &mine), (&they, &yours)] {
        owner.wants(&shared);
        owner.wants(own);
        owner.compares();
    }
    let place = ours.canonical(&shared).key;
    let holder = async || entries(&**ours).await.get(&place).and_then(|entry| entry.owner.clone());
    let held = async || {
        we.compares();
        they.compares();
        let mut keys: Vec<_> = entries(&**ours).await.into_keys().collect();
        keys.sort();
        keys
    };
    let mut all = [&shared, &mine, &yours].map(|service| ours.canonical(service).key);
    all.sort();
    becomes(all.to_vec(), AGREED, held).await;
    // One of the two has it, and the other lets it be.
    let settled = async || {
        let before = holder().await;
        for _ in 0..4 {
            we.compares();
            they.compares();
            tokio::time::sleep(A_WHILE / 4).await;
            if holder().await != before {
                return None;
            }
        }
        before
    };
    let has_it = testkit::wait::eventually("the place is one owner's", AGREED, settled).await;
    let (has, has_not) = if *has_it == *subject.owner { (&we, &they) } else { (&they, &we) };

    // What the other no longer wants stays with the one that has it.
    has_not.lets_go(&shared);
    stays("the other's entry", A_WHILE, async || held().await == all && holder().await.as_ref() == Some(&has_it)).await;
    // When the one that has it lets go, it is the other's.
    has_not.wants(&shared);
    has.lets_go(&shared);
    let taken_over = async || {
        let keys = held().await;
        keys == all && holder().await.is_some_and(|owner| owner != has_it)
    };
    becomes(true, AGREED, taken_over).await;

    // Whoever wants nothing any more takes its own along, and nothing else.
    has_not.lets_go(&shared);
    we.lets_go(&mine);
    becomes(vec![ours.canonical(&yours).key], AGREED, held).await;
    they.lets_go(&yours);
    becomes(Vec::new(), AGREED, held).await;
}
