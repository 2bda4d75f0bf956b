//! What a reconciler promises, tested without a clock, a task or a store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::*;
use crate::config::Deregister;
use crate::container::{ContainerId, Health, Moment, Protocol};
use crate::desired::{Desired, Kept, Mode};
use crate::reconcile::SyncState;
use crate::registry::{Capabilities, Content, Mark};
use crate::service::{AddressOf, Check, CheckKind, Origin};

/// A registry whose keys are service IDs, or contain the port, so that services change keys.
#[derive(Default)]
struct Form {
    by_port: bool,
    /// How often its data was lost.
    losses: Arc<AtomicU64>,
}

#[async_trait]
impl Registry for Form {
    fn capabilities(&self) -> Capabilities {
        Capabilities { marks: true, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        if self.by_port { service.port.to_string().into() } else { Arc::clone(&service.id) }
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        service.port.into()
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn read(&self, _scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        Ok(Vec::new())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        vec![Ok(()); writes.len()]
    }

    fn continuity(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }
}

/// A reconciler, and the store that this test plays.
struct Bench {
    reconciler: Reconciler,
    now: Instant,
    store: BTreeMap<Arc<str>, Entry>,
    /// How often the store's data was lost.
    losses: Arc<AtomicU64>,
    lines: Vec<String>,
    /// The store's answer to each write, unless it succeeds.
    refuses: Option<fn(&Write) -> Option<RegistryError>>,
    /// All writes.
    written: Vec<Write>,
    /// `-owner-meta`.
    records_owner: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with(Form::default(), rules())
    }

    fn with(form: Form, rules: Rules) -> Self {
        let now = Instant::now();
        let losses = Arc::clone(&form.losses);
        let reconciler = Reconciler::new("store://".into(), Arc::new(form), rules, 0, now);
        Self {
            reconciler,
            now,
            store: BTreeMap::new(),
            losses,
            lines: Vec::new(),
            refuses: None,
            written: Vec::new(),
            records_owner: true,
        }
    }

    /// A bench on which these services are registered.
    fn serving(services: &[Arc<Service>]) -> Self {
        let mut bench = Self::new();
        bench.compare();
        services.iter().for_each(|service| bench.serve(service));
        bench.settle();
        bench.written.clear();
        bench.lines.clear();
        bench
    }

    fn tell(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.reconciler.on(input, self.now);
        let (told, rest): (Vec<_>, _) = effects.into_iter().partition(|effect| matches!(effect, Effect::Emit(_)));
        for effect in told {
            let Effect::Emit(event) = effect else { unreachable!() };
            if !event.is_measurement() {
                self.lines.push(event.line().text);
            }
        }
        rest
    }

    fn serve(&mut self, service: &Arc<Service>) {
        self.update(service, Some(service), Desired::Present(Arc::clone(service), Mode::Serving));
    }

    fn update(&mut self, service: &Service, was: Option<&Arc<Service>>, desired: Desired) {
        let update = Update { source: service.source(), was: was.cloned(), desired };
        self.tell(Input::Command(Command::Updates([update].into(), None)));
    }

    fn compare(&mut self) {
        self.compared(Vec::new(), Occasion::Listed);
    }

    fn compared(&mut self, unknown: Vec<Unknown>, occasion: Occasion) {
        let compare = Compare { unknown: unknown.into(), cleanup: false, occasion };
        self.tell(Input::Command(Command::Compare(compare)));
    }

    /// Performs effects until none is left.
    fn settle(&mut self) {
        for _ in 0..100 {
            let mut idle = true;
            for effect in self.tell(Input::Tick) {
                let answer = match effect {
                    Effect::Read(_) => Input::Read(Ok(self.store.values().cloned().collect()), Duration::ZERO),
                    Effect::Apply(writes) => Input::Done(writes.into_iter().map(|write| self.apply(write)).collect()),
                    Effect::Refresh(due) => Input::Refreshed(due.into_iter().map(|(key, _)| (key, Ok(()))).collect()),
                    Effect::AskEngine | Effect::WakeAt(_) | Effect::Emit(_) => continue,
                };
                idle = false;
                self.tell(answer);
            }
            if idle {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn apply(&mut self, write: Write) -> Outcome {
        let result = self.refuses.and_then(|refuses| refuses(&write)).map_or(Ok(()), Err);
        if result.is_ok() {
            match &write.action {
                Action::Put(service) => {
                    let owner = self.records_owner.then_some("us");
                    self.store.insert(Arc::clone(&write.key), entry(service, owner));
                }
                Action::Remove(_) => drop(self.store.remove(&write.key)),
                Action::Mark(entry, _) => self.store.get_mut(&entry.key).unwrap().marked = Marked::Ours,
                Action::Unmark(entry) => self.store.get_mut(&entry.key).unwrap().marked = Marked::No,
            }
        }
        self.written.push(write.clone());
        Outcome { write, result, took: Duration::ZERO }
    }

    /// Lets time pass second by second, as if the store reported each change.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.tell(Input::Changed(Change::Content));
            self.settle();
        }
    }

    fn state(&self, key: &str) -> SyncState {
        self.reconciler.status(key, self.now).expect("a record").state
    }

    fn puts(&mut self) -> usize {
        let written = std::mem::take(&mut self.written);
        written.iter().filter(|write| matches!(write.action, Action::Put(_))).count()
    }
}

fn rules() -> Rules {
    Rules { owner: "us".into(), hostname: "host".into(), ..Rules::default() }
}

fn service(id: &str, port: u16) -> Arc<Service> {
    Arc::new(Service {
        id: id.into(),
        name: "web".to_owned(),
        address: "10.0.0.1".into(),
        port,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: ContainerId::from(id),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            hostname: id.into(),
            exposed_port: 80,
            address_of: AddressOf::Container,
        },
    })
}

fn entry(service: &Service, owner: Option<&str>) -> Entry {
    let content =
        Content { name: service.name.clone(), address: service.address.to_string(), port: service.port, tags: vec![] };
    Entry {
        key: Arc::clone(&service.id),
        service_id: Arc::clone(&service.id),
        owner: owner.map(Arc::from),
        fingerprint: service.port.into(),
        marked: Marked::No,
        critical: false,
        content: Some(Box::new(content)),
    }
}

fn no_rights(_: &Write) -> Option<RegistryError> {
    Some(RegistryError::rights("ACL not found"))
}

#[test]
fn a_service_that_moves_to_another_key_leaves_the_old_one_to_who_took_it() {
    let mut bench = Bench::with(Form { by_port: true, ..Form::default() }, rules());
    let target = |bench: &Bench, key: &str| {
        let record = bench.reconciler.records.get(key).expect("a record");
        match record.target() {
            Target::Put(service, _) => format!("put {}", service.id),
            other => format!("{other:?}").chars().take(6).collect(),
        }
    };
    bench.update(&service("a", 1), None, Desired::Present(service("a", 1), Mode::Serving));
    bench.update(&service("b", 2), None, Desired::Present(service("b", 2), Mode::Serving));
    // They swap their places.
    bench.update(&service("a", 1), Some(&service("a", 1)), Desired::Present(service("a", 2), Mode::Serving));
    bench.update(&service("b", 2), Some(&service("b", 2)), Desired::Present(service("b", 1), Mode::Serving));
    assert_eq!((target(&bench, "1"), target(&bench, "2")), ("put b".to_owned(), "put a".to_owned()));
    bench.update(&service("a", 2), Some(&service("a", 2)), Desired::Absent(Evidence::Event));
    assert_eq!(target(&bench, "2"), "Remove");
}

#[test]
fn a_plan_says_what_would_be_written_and_what_is_left_alone() {
    let mut bench = Bench::new();
    for (id, owner) in [("theirs", Some("them")), ("taken", Some("them")), ("host:gone:80", Some("us")), ("hand", None)]
    {
        bench.store.insert(id.into(), entry(&service(id, 1), owner));
    }
    bench.store.insert("old".into(), entry(&service("old", 1), Some("us")));
    bench.store.insert("right".into(), entry(&service("right", 1), Some("us")));
    bench.compare();
    for (id, port) in [("new", 1), ("old", 2), ("right", 1), ("taken", 5)] {
        bench.serve(&service(id, port));
    }
    // Everything is read, and nothing is done.
    let effects = bench.tell(Input::Tick);
    assert!(matches!(&effects[..], [Effect::Read(Scope { keys: None, .. })]), "{effects:?}");
    let entries = bench.store.values().cloned().collect();
    bench.tell(Input::Read(Ok(entries), Duration::ZERO));
    let plan = bench.reconciler.plan(bench.now);
    let writes: Vec<_> = plan.writes.iter().map(|planned| (&*planned.write.key, planned.write.reason)).collect();
    assert_eq!(writes, [("host:gone:80", Reason::Dangling), ("new", Reason::Missing), ("old", Reason::Differs)]);
    let left: Vec<_> = plan.left.into_iter().collect();
    let expected = [(Left::Right, 1), (Left::Foreign, 1), (Left::InTheWay("them".into()), 1), (Left::Unowned, 1)];
    assert_eq!(left, expected);
}

#[test]
fn what_is_refused_is_tried_again_until_it_is_taken_and_a_person_is_told_now_and_then() {
    let mut bench = Bench::serving(&[service("b", 1)]);
    bench.refuses = Some(no_rights);
    bench.serve(&service("a", 1));
    bench.update(&service("b", 1), Some(&service("b", 1)), Desired::Absent(Evidence::Event));
    bench.settle();
    assert_eq!((bench.state("a"), bench.state("b")), (SyncState::Refused, SyncState::Refused));
    bench.pass(600);
    let told = |bench: &Bench, part: &str| bench.lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(told(&bench, "failed:"), 2, "{:?}", bench.lines);
    assert_eq!(told(&bench, "store:// has refused 2 services for 2m"), 1, "{:?}", bench.lines);
    assert_eq!(told(&bench, "has refused"), 2);
    assert!(bench.written.len() < 60, "{}", bench.written.len());
    bench.refuses = None;
    bench.pass(26);
    assert_eq!(bench.store.keys().map(|key| &**key).collect::<Vec<_>>(), ["a"]);
    assert_eq!(told(&bench, "takes again what it refused for 10m"), 1, "{:?}", bench.lines);
}

#[test]
fn the_removal_of_an_entry_without_a_container_is_tried_again_as_well() {
    let mut bench = Bench::new();
    bench.store.insert("host:gone:80".into(), entry(&service("host:gone:80", 1), Some("us")));
    bench.refuses = Some(no_rights);
    bench.compare();
    bench.settle();
    bench.now += Duration::from_secs(100);
    bench.settle();
    bench.refuses = None;
    // Nobody reads the registry meanwhile.
    bench.now += Duration::from_secs(26);
    bench.settle();
    assert_eq!(bench.store.len(), 0);
    // One that an external writer removes is not refused any more.
    let mut bench = Bench::new();
    bench.store.insert("host:gone:80".into(), entry(&service("host:gone:80", 1), Some("us")));
    bench.refuses = Some(no_rights);
    bench.compare();
    bench.settle();
    bench.store.clear();
    bench.pass(600);
    assert!(!bench.lines.iter().any(|line| line.contains("has refused")), "{:?}", bench.lines);
}

#[test]
fn another_credential_and_another_service_are_tried_at_once() {
    let mut bench = Bench::serving(&[]);
    bench.refuses = Some(no_rights);
    bench.serve(&service("a", 1));
    bench.pass(100);
    bench.written.clear();
    bench.tell(Input::Changed(Change::Credentials));
    bench.settle();
    assert_eq!(bench.puts(), 1);
    // The same service again is no change.
    bench.serve(&service("a", 1));
    bench.settle();
    assert_eq!(bench.puts(), 0);
    bench.update(&service("a", 1), Some(&service("a", 1)), Desired::Present(service("a", 2), Mode::Serving));
    bench.settle();
    assert_eq!(bench.puts(), 1);
}

#[test]
fn thousands_of_refused_services_flood_neither_the_registry_nor_the_log_and_are_all_taken_at_once() {
    let services: Vec<_> = (0..4_000).map(|number| service(&format!("s{number:05}"), 1)).collect();
    let mut bench = Bench::new();
    bench.refuses = Some(no_rights);
    bench.compare();
    services.iter().for_each(|service| bench.serve(service));
    bench.settle();
    assert_eq!(bench.puts(), 4_000);
    assert!(bench.lines.len() < 30, "{} lines", bench.lines.len());
    assert!(bench.lines.iter().any(|line| line.contains("3980 more writes failed like this")), "{:?}", bench.lines);
    bench.pass(60);
    let tries = bench.puts();
    assert!(tries < 4_000, "{tries} tries in a minute");
    bench.refuses = None;
    bench.pass(26);
    assert_eq!(bench.store.len(), 4_000);
}

#[test]
fn who_rewrites_our_entries_is_named_once_and_answered_ever_more_rarely_until_it_stops() {
    let ours = service("a", 1);
    let mut bench = Bench::serving(std::slice::from_ref(&ours));
    let mut theirs = (*ours).clone();
    theirs.address = "10.0.0.2".into();
    let theirs = Entry { fingerprint: 9, ..entry(&theirs, Some("us")) };
    let mut rewrites = 0;
    for _ in 0..600 {
        // It rewrites each of our writes within a second.
        if bench.store[&*ours.id].fingerprint != 9 {
            bench.store.insert(Arc::clone(&ours.id), theirs.clone());
            rewrites += 1;
        }
        bench.pass(1);
    }
    assert!((6..=12).contains(&rewrites), "{rewrites} rewrites in ten minutes");
    let named = "another instance writes a and others under the owner \"us\": 10.0.0.1 here, 10.0.0.2 there";
    assert_eq!(bench.lines.iter().filter(|line| line.contains(named)).count(), 1, "{:?}", bench.lines);
    assert_eq!(bench.state("a"), SyncState::Contested);
    // It stops: the entry is ours within the longest pause, and the end is reported.
    bench.pass(301);
    assert_eq!((bench.store[&*ours.id].fingerprint, bench.state("a")), (1, SyncState::InSync));
    bench.pass(301);
    assert!(
        bench.lines.iter().any(|line| line.contains("no other instance writes our entries any more")),
        "{:?}",
        bench.lines
    );
}

#[test]
fn a_write_that_failed_hides_no_fight_and_one_that_arrives_late_is_none() {
    let ours = service("a", 1);
    let mut bench = Bench::serving(std::slice::from_ref(&ours));
    bench.refuses = Some(|_| Some(RegistryError::Unreachable("no answer".to_owned())));
    bench.update(&ours, Some(&ours), Desired::Present(service("a", 2), Mode::Serving));
    bench.settle();
    bench.refuses = None;
    bench.pass(10);
    for (fingerprint, contested) in [(2, false), (9, true)] {
        bench.update(&ours, Some(&service("a", 2)), Desired::Present(service("a", 3), Mode::Serving));
        bench.pass(1);
        for _ in 0..5 {
            bench.store.get_mut("a").unwrap().fingerprint = fingerprint;
            bench.pass(1);
        }
        assert_eq!(bench.state("a") == SyncState::Contested, contested, "{:?}", bench.lines);
    }
}

#[test]
fn who_undoes_our_marks_is_not_fought_either() {
    // There, the container runs; here, it is paused, or was never there.
    for mode in [Some(Mode::Paused), None] {
        let theirs = service("a", 1);
        let mut bench = Bench::with(Form::default(), Rules { deregister: Deregister::Never, ..rules() });
        bench.store.insert("a".into(), entry(&theirs, Some("us")));
        bench.compare();
        if let Some(mode) = mode {
            bench.update(&theirs, None, Desired::Present(Arc::clone(&theirs), mode));
        }
        for _ in 0..600 {
            bench.pass(1);
            bench.store.get_mut("a").unwrap().marked = Marked::No;
        }
        let marks = bench.written.len();
        assert!((4..=12).contains(&marks), "{marks} marks in ten minutes, {mode:?}");
        let named = "another instance writes a and others under the owner";
        assert_eq!(bench.lines.iter().filter(|line| line.contains(named)).count(), 1, "{:?}", bench.lines);
        bench.pass(301);
        assert_eq!(bench.store["a"].marked, Marked::Ours);
    }
}

#[test]
fn what_the_registry_removed_by_its_own_rule_stays_removed_until_there_is_another_chance() {
    let minute = Duration::from_secs(60);
    let mut checked = (*service("a", 1)).clone();
    checked.health = Health::Unhealthy;
    checked.check = Some(Box::new(Check {
        kind: CheckKind::Tcp,
        interval: minute,
        timeout: None,
        initial_status: None,
        deregister_after: Some(minute),
        heartbeat: None,
    }));
    let other = service("other", 1);
    let change = |change: fn(&mut Service)| {
        let mut changed = checked.clone();
        change(&mut changed);
        Arc::new(changed)
    };
    type Chance = fn(&mut Service);
    let chances: [(&str, Chance, bool); 5] = [
        ("nothing", |_| {}, false),
        ("starts again", |service| service.origin.started = Moment(7), true),
        ("other metadata", |service| service.port = 2, true),
        ("healthy", |service| service.health = Health::Healthy, true),
        ("still starting", |service| service.health = Health::Starting, false),
    ];
    for (what, chance, again) in chances {
        let service = Arc::new(checked.clone());
        let mut bench = Bench::serving(&[Arc::clone(&service), Arc::clone(&other)]);
        bench.store.get_mut("a").unwrap().critical = true;
        bench.pass(70);
        bench.store.remove("a");
        bench.pass(300);
        assert_eq!((bench.puts(), bench.state("a")), (0, SyncState::Reaped), "{what}");
        assert!(bench.lines.iter().any(|line| line.contains("CHECK_DEREGISTER_AFTER")));
        let changed = change(chance);
        bench.update(&service, Some(&service), Desired::Present(changed, Mode::Serving));
        bench.pass(5);
        assert_eq!(bench.puts() == 1, again, "{what}");
        // A resync is no reason to try again; a person's request is.
        if !again {
            bench.compare();
            bench.pass(5);
            assert_eq!(bench.puts(), 0, "{what}");
            bench.compared(Vec::new(), Occasion::Asked);
            bench.pass(5);
            assert_eq!(bench.puts(), 1, "{what}");
        }
    }
    // A person's request that comes before the removal was noticed counts as well.
    let service = Arc::new(checked.clone());
    let mut bench = Bench::serving(&[Arc::clone(&service), Arc::clone(&other)]);
    bench.store.get_mut("a").unwrap().critical = true;
    bench.pass(70);
    bench.store.remove("a");
    bench.compared(Vec::new(), Occasion::Asked);
    bench.pass(5);
    assert_eq!(bench.puts(), 1);
    // That another owner removes an entry at the same time says nothing about ours.
    let service = Arc::new(checked.clone());
    let mut bench = Bench::serving(&[Arc::clone(&service)]);
    bench.store.insert("theirs".into(), Entry { critical: true, ..entry(&other, Some("them")) });
    bench.store.get_mut("a").unwrap().critical = true;
    bench.pass(70);
    bench.store.clear();
    bench.pass(300);
    assert_eq!((bench.puts(), bench.state("a")), (0, SyncState::Reaped));
    // An entry that is lost with all others, or too early, is written again at once.
    let mut bench = Bench::serving(&[Arc::clone(&service), Arc::clone(&other)]);
    bench.store.get_mut("a").unwrap().critical = true;
    bench.pass(70);
    bench.store.clear();
    bench.pass(1);
    assert_eq!(bench.puts(), 2);
    // The same if the registry was unreachable in the meantime: it may have lost its data.
    bench.store.get_mut("a").unwrap().critical = true;
    bench.pass(70);
    bench.losses.fetch_add(1, Ordering::Relaxed);
    bench.store.remove("a");
    bench.pass(1);
    assert_eq!(bench.puts(), 1);
    bench.store.get_mut("a").unwrap().critical = true;
    bench.pass(10);
    bench.store.remove("a");
    bench.pass(1);
    assert_eq!(bench.puts(), 1);
}

#[test]
fn an_entry_without_an_owner_is_taken_over_only_where_it_is_ours_by_its_form_or_by_what_it_says() {
    for (id, port, adopt, taken) in [
        ("host:web:80", 9, false, true),
        ("vault", 1, false, true),
        ("vault", 9, false, false),
        ("vault", 9, true, true),
    ] {
        let mut bench = Bench::with(Form::default(), Rules { adopt, ..rules() });
        // A digest of its own, like an entry without our owner.
        let stands = Entry { fingerprint: 77, ..entry(&service(id, port), None) };
        bench.store.insert(id.into(), stands.clone());
        bench.compare();
        bench.serve(&service(id, 1));
        bench.settle();
        assert_eq!(bench.puts() == 1, taken, "{id} {port} {adopt}");
        bench.update(&service(id, 1), Some(&service(id, 1)), Desired::Absent(Evidence::Event));
        bench.settle();
        assert_eq!(bench.store.get(id), (!taken).then_some(&stands), "{id} {port} {adopt}");
        let told = bench.lines.iter().any(|line| line.contains("-adopt"));
        assert_eq!(told, !taken, "{:?}", bench.lines);
    }
}

#[test]
fn an_entry_that_is_not_taken_over_is_not_marked_when_its_container_fails_either() {
    for adopt in [false, true] {
        let mut bench = Bench::with(Form::default(), Rules { adopt, ..rules() });
        bench.store.insert("vault".into(), Entry { fingerprint: 77, ..entry(&service("vault", 9), None) });
        bench.compare();
        bench.update(&service("vault", 1), None, Desired::Present(service("vault", 1), Mode::Kept(Kept::Failed)));
        bench.settle();
        assert_eq!(bench.written.len(), usize::from(adopt), "{:?}", bench.written);
    }
}

#[test]
fn what_this_run_wrote_is_ours_also_where_no_owner_is_recorded() {
    let mut bench = Bench::with(Form::default(), Rules { deregister: Deregister::Never, ..rules() });
    bench.records_owner = false;
    bench.compare();
    bench.serve(&service("a", 1));
    bench.settle();
    bench.update(&service("a", 1), Some(&service("a", 1)), Desired::Forgotten);
    bench.settle();
    let last = bench.written.last().expect("a write");
    assert!(matches!(last.action, Action::Mark(_, Mark::Ended)), "{last:?}");
}

#[test]
fn of_two_that_claim_an_id_the_one_that_is_there_keeps_it_and_a_default_id_is_nobody_elses() {
    let claim = |container: &str, created: i64, port: u16, claimed: bool| {
        let mut service = (*service("one", port)).clone();
        service.origin =
            Origin { container: container.into(), created: Moment(created), claimed, ..service.origin.clone() };
        Arc::new(service)
    };
    let holder = |bench: &Bench| bench.store.get("one").map(|entry| entry.fingerprint);
    // At our start, the older container gets it.
    let mut bench = Bench::new();
    bench.serve(&claim("young", 2, 2, true));
    bench.serve(&claim("old", 1, 1, true));
    bench.compare();
    bench.settle();
    assert_eq!(holder(&bench), Some(1));
    // Afterwards, the present holder keeps it, even against an older container that starts later.
    bench.serve(&claim("oldest", 0, 3, true));
    bench.settle();
    assert_eq!(holder(&bench), Some(1));
    // The container whose default ID it is gets it.
    bench.serve(&claim("default", 9, 4, false));
    bench.settle();
    assert_eq!(holder(&bench), Some(4));
    for (container, created, port, claimed, next) in
        [("default", 9, 4, false, Some(1)), ("old", 1, 1, true, Some(2)), ("young", 2, 2, true, Some(3))]
    {
        let gone = claim(container, created, port, claimed);
        bench.update(&gone, Some(&gone), Desired::Absent(Evidence::Event));
        bench.settle();
        assert_eq!(holder(&bench), next, "without {container}");
    }
}

#[test]
fn a_container_of_which_nothing_is_known_holds_up_what_it_could_offer_and_nothing_else() {
    let mut bench = Bench::new();
    for id in ["host:big:80", "host:gone:80", "claimed"] {
        bench.store.insert(id.into(), entry(&service(id, 1), Some("us")));
    }
    bench.compared(vec![Unknown { name: Some("big".into()) }], Occasion::Listed);
    bench.settle();
    assert_eq!(bench.store.keys().map(|key| &**key).collect::<Vec<_>>(), ["claimed", "host:big:80"]);
    bench.compared(vec![Unknown { name: None }], Occasion::Listed);
    bench.settle();
    assert_eq!(bench.store.len(), 2);
    bench.compare();
    bench.settle();
    assert_eq!(bench.store.len(), 0);
}

#[test]
fn the_result_of_each_comparison_and_the_end_of_an_outage_are_told() {
    let mut bench = Bench::serving(&[service("a", 1), service("b", 1)]);
    bench.store.remove("a");
    bench.serve(&service("b", 1));
    bench.update(&service("b", 1), Some(&service("b", 1)), Desired::Present(service("b", 2), Mode::Serving));
    bench.store.insert("host:gone:80".into(), entry(&service("host:gone:80", 1), Some("us")));
    bench.compare();
    bench.settle();
    assert_eq!(bench.lines.last().unwrap(), "store://: compared: 0 right, 1 added, 1 changed, 1 removed");
    bench.compare();
    bench.settle();
    assert_eq!(bench.lines.last().unwrap(), "store://: compared: 2 right, 0 added, 0 changed, 0 removed");
    bench.refuses = Some(|_| Some(RegistryError::Unreachable("the store is away".to_owned())));
    bench.serve(&service("c", 1));
    bench.settle();
    bench.pass(30);
    bench.refuses = None;
    bench.pass(15);
    assert_eq!(bench.lines.iter().filter(|line| line.contains("the store is away; trying again")).count(), 1);
    let back = bench.lines.iter().find(|line| line.contains("reached again after")).expect("it is back");
    assert!(back.ends_with("2 right, 1 added, 0 changed, 0 removed"), "{back}");
}

#[test]
fn at_the_end_a_refused_removal_is_not_asked_for_again_and_again() {
    let rules = Rules { on_shutdown: crate::config::OnShutdown::Deregister, ..rules() };
    let mut bench = Bench::with(Form::default(), rules);
    let service = service("a", 1);
    bench.compare();
    bench.serve(&service);
    bench.settle();
    bench.written.clear();
    bench.refuses = Some(no_rights);
    // It changes at the same time, so that another write of it is due as well.
    let mut changed = (*service).clone();
    changed.port = 2;
    bench.update(&service, Some(&service), Desired::Present(Arc::new(changed), Mode::Serving));
    bench.tell(Input::Shutdown);
    bench.settle();
    assert!(bench.reconciler.is_finished() && bench.written.len() <= 2, "{:?}", bench.written);
}
