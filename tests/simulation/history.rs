//! A history: settings, and what happens, step by step. A seed makes all of it.

use std::time::Duration;

use fastrand::Rng;
use registrator::registry::Cause;

use crate::container::{Made, Network};
use crate::store::Shape;
use crate::{engine, store};

/// What a host's program is started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) deregister: &'static str,
    pub(crate) on_shutdown: &'static str,
    pub(crate) cleanup: bool,
    pub(crate) internal: bool,
    pub(crate) ip: bool,
    pub(crate) resync: Option<u64>,
    pub(crate) ttl: Option<u64>,
    pub(crate) attempts: i8,
    pub(crate) adopt: bool,
    pub(crate) guard: u8,
    pub(crate) drain: Option<u64>,
    pub(crate) records_owner: bool,
}

/// What a registry is like.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) shape: Shape,
    pub(crate) tells: bool,
    pub(crate) upsert_only: bool,
    pub(crate) marks: bool,
    /// It removes services by itself that were critical for as long as their check says.
    pub(crate) reaps: bool,
}

/// Everything that a seed decides before anything runs.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) hosts: Vec<Settings>,
    pub(crate) stores: Vec<Kind>,
    pub(crate) steps: Vec<(Duration, Step)>,
    /// In the end, this registry gets well long after the others.
    pub(crate) last_to_heal: usize,
    /// The second host goes by the first one's name, at another address, until everything is to come to rest.
    pub(crate) twin: bool,
    /// Hosts render a file as well (`-render`). It costs time, so only some do.
    pub(crate) renders: bool,
}

/// Something that happens. `pick` chooses among what is there at that time.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Create {
        host: usize,
        kind: u8,
        pick: usize,
        start: bool,
    },
    Start {
        host: usize,
        pick: usize,
    },
    Die {
        host: usize,
        pick: usize,
        code: i64,
    },
    /// It is sent its stop signal, and ends after a while, or not.
    Stop {
        host: usize,
        pick: usize,
        pause: u64,
        ends: bool,
    },
    Restart {
        host: usize,
        pick: usize,
        code: i64,
        pause: u64,
    },
    Remove {
        host: usize,
        pick: usize,
        slowly: bool,
    },
    Rename {
        host: usize,
        pick: usize,
        name: usize,
    },
    Pause {
        host: usize,
        pick: usize,
    },
    Health {
        host: usize,
        pick: usize,
        health: &'static str,
    },
    Reconnect {
        host: usize,
        pick: usize,
        network: &'static str,
    },
    Disconnect {
        host: usize,
        pick: usize,
    },
    EngineFails {
        host: usize,
        faults: engine::Faults,
    },
    /// It answers, and knows of no container for a while.
    EngineIsEmpty {
        host: usize,
        pause: u64,
    },
    EngineRestarts {
        host: usize,
        pause: u64,
        containers_live: bool,
    },
    StreamBreaks {
        host: usize,
        in_a_line: bool,
    },
    StreamIsMute {
        host: usize,
    },
    HostMoves {
        host: usize,
    },
    StoreFails {
        store: usize,
        faults: store::Faults,
    },
    StoreIsWiped {
        store: usize,
    },
    EntryIsRemoved {
        store: usize,
        pick: usize,
    },
    EntryIsChanged {
        store: usize,
        pick: usize,
    },
    EntryAppears {
        store: usize,
        kind: u8,
        pick: usize,
    },
    /// Somebody rewrites an entry as soon as it is as it should be, so many times.
    EntryIsFought {
        store: usize,
        pick: usize,
        gap: u64,
        times: u32,
    },
    /// A check of the registry's own finds a service dead, or alive again.
    CheckTurns {
        store: usize,
        pick: usize,
        critical: bool,
    },
    Killed {
        host: usize,
        pause: u64,
    },
    Stopped {
        host: usize,
        pause: u64,
    },
    Resync {
        host: usize,
    },
}

/// Names of containers, few enough to be used again.
pub(crate) const NAMES: [&str; 7] = ["web", "db", "cache", "mail", "dns", "one", "two"];
/// How many kinds of containers [`made`] knows.
const KINDS: u8 = 18;

/// A container of this kind; `other` is one whose network it can share.
pub(crate) fn made(kind: u8, other: Option<String>) -> Made {
    let plain = Made {
        image: "app",
        ports: vec![((80, false), true)],
        network: Network::Bridge,
        service_name: None,
        service_id: None,
        tags: Vec::new(),
        ignored: false,
        nonsense: false,
        reaped_after: None,
    };
    match kind {
        1 => Made { ports: vec![((80, false), true), ((443, false), true)], service_name: Some("front"), ..plain },
        2 => Made { ports: vec![((53, true), true)], tags: vec!["a", "b"], ..plain },
        3 | 4 => Made { service_id: Some("claimed"), ..plain },
        5 => Made { network: Network::Host, ports: vec![((9000, false), false)], ..plain },
        6 | 7 if other.is_some() => Made {
            network: other.map_or(Network::Bridge, Network::Shared),
            ports: vec![((7000, false), false)],
            image: "sidecar",
            ..plain
        },
        8 => Made { network: Network::None, ..plain },
        9 => Made { ignored: true, ..plain },
        10 => Made { nonsense: true, service_name: Some("hidden"), ..plain },
        11 => Made { ports: vec![((80, false), true), ((81, false), false)], ..plain },
        12 => Made { service_id: Some("theirs"), ..plain },
        13 => Made { service_id: Some("legacy"), ..plain },
        14 => Made { reaped_after: Some(90), ..plain },
        // Hostile on purpose: many ports, and an ID that another owner has; what they say of themselves cannot be.
        16 => Made {
            ports: (1..=60).map(|number| ((number, false), number % 20 == 0)).collect(),
            nonsense: true,
            tags: vec!["a\u{202e}b", "../..", "traefik.enable=true"],
            ..plain
        },
        17 => Made { service_id: Some("theirs"), nonsense: true, ..plain },
        15 => Made { reaped_after: Some(30), service_id: Some("claimed"), ..plain },
        _ => plain,
    }
}

impl History {
    pub(crate) fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let hosts = if rng.u8(0..10) < 6 { 1 } else { 2 };
        let stores = rng.usize(1..=3);
        let mut history = Self {
            hosts: (0..hosts).map(|_| settings(rng)).collect(),
            stores: (0..stores).map(|_| kind(rng)).collect(),
            steps: Vec::new(),
            last_to_heal: rng.usize(0..stores),
            twin: hosts > 1 && rng.u8(0..4) == 0,
            renders: seed % 8 == 5,
        };
        if history.twin {
            history.hosts[1] = Settings { ip: true, ..history.hosts[0].clone() };
        }
        if let [one, other] = &mut history.hosts[..]
            && !history.twin
        {
            // Two that record nothing cannot know that what is there is the other's.
            other.records_owner |= !one.records_owner;
        }
        for _ in 0..rng.usize(5..50) {
            let step = step(rng, hosts, stores);
            history.steps.push((gap(rng), step));
        }
        if rng.u8(0..4) == 0 {
            // Writes that failed arrive after those that came later, and nothing else happens any more.
            let faults = store::Faults { late: 60, ..store::Faults::default() };
            history.steps.push((gap(rng), Step::StoreFails { store: rng.usize(0..stores), faults }));
            for _ in 0..8 {
                let (host, pick) = (rng.usize(0..hosts), rng.usize(0..1000));
                let step = match rng.u8(0..3) {
                    0 => Step::Create { host, kind: 0, pick, start: true },
                    1 => Step::Die { host, pick, code: 0 },
                    _ => Step::Restart { host, pick, code: 0, pause: rng.u64(0..2_000) },
                };
                history.steps.push((Duration::from_millis(rng.u64(50..2_000)), step));
            }
        }
        history
    }
}

fn settings(rng: &mut Rng) -> Settings {
    Settings {
        deregister: ["always", "on-success", "on-success", "never"][rng.usize(0..4)],
        on_shutdown: ["keep", "keep", "deregister", "critical"][rng.usize(0..4)],
        cleanup: rng.u8(0..3) == 0,
        internal: rng.u8(0..3) == 0,
        ip: rng.bool(),
        resync: (rng.u8(0..3) == 0).then_some(60),
        ttl: (rng.u8(0..3) == 0).then_some(60),
        attempts: if rng.bool() { -1 } else { 2 },
        adopt: rng.u8(0..4) == 0,
        guard: [100, 100, 50, 0][rng.usize(0..4)],
        drain: [None, None, Some(3), Some(20)][rng.usize(0..4)],
        records_owner: rng.u8(0..6) > 0,
    }
}

fn kind(rng: &mut Rng) -> Kind {
    let shape = if rng.u8(0..3) == 0 { Shape::ByPlace } else { Shape::ById };
    Kind { shape, tells: rng.bool(), upsert_only: rng.u8(0..8) == 0, marks: rng.bool(), reaps: rng.bool() }
}

/// Mostly things come one upon the other; sometimes everything has time to come to rest.
fn gap(rng: &mut Rng) -> Duration {
    Duration::from_millis(match rng.u8(0..100) {
        0..40 => rng.u64(0..50),
        40..75 => rng.u64(50..3_000),
        75..95 => rng.u64(3_000..40_000),
        _ => rng.u64(40_000..120_000),
    })
}

fn step(rng: &mut Rng, hosts: usize, stores: usize) -> Step {
    let (host, store, pick) = (rng.usize(0..hosts), rng.usize(0..stores), rng.usize(0..1000));
    let code = [0, 1, 2, 137, 143, 255][rng.usize(0..6)];
    match rng.u8(0..112) {
        0..20 => Step::Create { host, kind: rng.u8(0..KINDS), pick, start: rng.u8(0..8) > 0 },
        20..26 => Step::Start { host, pick },
        26..34 => Step::Die { host, pick, code },
        34..40 => Step::Restart { host, pick, code, pause: rng.u64(0..3_000) },
        40..48 => Step::Remove { host, pick, slowly: rng.bool() },
        48..52 => Step::Rename { host, pick, name: rng.usize(0..NAMES.len()) },
        52..54 => Step::Pause { host, pick },
        54..56 => Step::Health { host, pick, health: ["starting", "healthy", "unhealthy"][rng.usize(0..3)] },
        56..59 => Step::Reconnect { host, pick, network: ["bridge", "back"][rng.usize(0..2)] },
        59..60 => Step::Disconnect { host, pick },
        60..67 => Step::EngineFails { host, faults: engine_faults(rng) },
        67..70 => Step::EngineRestarts { host, pause: rng.u64(0..30_000), containers_live: rng.bool() },
        70..74 => Step::StreamBreaks { host, in_a_line: rng.bool() },
        74..75 => Step::StreamIsMute { host },
        75..76 => Step::HostMoves { host },
        76..84 => Step::StoreFails { store, faults: store_faults(rng) },
        84..86 => Step::StoreIsWiped { store },
        86..88 => Step::EntryIsRemoved { store, pick },
        88..89 => Step::EntryIsChanged { store, pick },
        89..91 => Step::EntryAppears { store, kind: rng.u8(0..5), pick },
        91..95 => Step::Killed { host, pause: rng.u64(500..20_000) },
        95..97 => Step::Stopped { host, pause: rng.u64(500..20_000) },
        97..100 => Step::Resync { host },
        100..104 => Step::Stop { host, pick, pause: rng.u64(0..9_000), ends: rng.u8(0..6) > 0 },
        104..106 => Step::EngineIsEmpty { host, pause: rng.u64(500..30_000) },
        106..108 => Step::EntryIsFought { store, pick, gap: rng.u64(100..5_000), times: rng.u32(1..40) },
        _ => Step::CheckTurns { store, pick, critical: rng.u8(0..4) > 0 },
    }
}

fn engine_faults(rng: &mut Rng) -> engine::Faults {
    let mut of = |chance: u8, most: u8| if rng.u8(0..100) < chance { rng.u8(1..=most) } else { 0 };
    engine::Faults {
        failing: of(30, 60),
        hanging: of(30, 40),
        old: of(40, 80),
        cut: of(30, 40),
        partial: of(40, 100),
        dropped: of(50, 100),
        doubled: of(30, 60),
        delayed: of(40, 80),
        mangled: of(20, 40),
    }
}

fn store_faults(rng: &mut Rng) -> store::Faults {
    let slow = if rng.bool() { rng.u64(5..8_000) } else { 0 };
    let part = ["web", "claimed", "db", ""][rng.usize(0..4)];
    let cause = [Cause::Rights, Cause::Service, Cause::Server][rng.usize(0..3)];
    let announces = rng.bool();
    let well = store::Faults::default();
    match rng.u8(0..14) {
        0..2 => store::Faults { away: true, ..well },
        2..4 => store::Faults { frozen: true, ..well },
        4..6 => store::Faults { refuses: Some((cause, part)), slow, announces, ..well },
        6 => store::Faults { refuses: Some((Cause::Rights, "")), deaf: true, announces, ..well },
        7 => store::Faults { silent: rng.u8(1..80), slow, ..well },
        8 => store::Faults { slow, ..well },
        9..12 => well,
        _ => store::Faults { failing: rng.u8(0..50), mute: rng.u8(0..25), late: rng.u8(0..25), slow, ..well },
    }
}
