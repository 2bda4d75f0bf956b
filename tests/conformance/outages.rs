//! A store that is away, refuses, hangs, is slow, or starts again: each method ends and says so, and
//! works when it is back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use registrator::registry::{Entry, Marked, Registry, RegistryError};
use registrator::service::{Check, CheckKind, Heartbeat, Service};
use testkit::proxy::Cutter;
use testkit::servers::Server;
use testkit::wait::becomes;

use super::batches::Batches as _;
use super::{assert_held, at_port, check, register, remove_all, service, with};

/// How long any method may take, whatever the store does.
const LONGEST: Duration = Duration::from_secs(30);
/// How long a server's return may take to be noticed.
const NOTICED: Duration = Duration::from_secs(60);
/// By how much a slow store's answers are late.
const LATE: Duration = Duration::from_millis(150);

/// Proves what holds whatever becomes of the server, which must keep its data over a restart. `open` opens a
/// registry on the server that is at an address; where entries live as long as a session, one of a minute.
pub(crate) async fn prove_outages(server: &mut impl Server, open: impl Fn(SocketAddr) -> Arc<dyn Registry>) {
    one_that_refuses_is_unreachable_until_it_is_back(server, &open).await;
    one_that_never_answered_is_unreachable(&open).await;
    one_that_is_slow_is_waited_for(server, &open).await;

    let registry = open(server.address());
    let kept = Arc::new(service("host:kept:80"));
    register(&*registry, std::slice::from_ref(&kept)).await;
    one_that_hangs_is_left_and_used_again(server, &*registry, &kept).await;
    one_that_restarts_with_its_data_is_read_as_before(server, &*registry, &kept).await;
    one_that_restarts_without_its_data_is_told_of_and_filled_again(server, &*registry, &kept).await;
}

async fn one_that_refuses_is_unreachable_until_it_is_back(
    server: &impl Server,
    open: &impl Fn(SocketAddr) -> Arc<dyn Registry>,
) {
    let mut cutter = Cutter::tcp(server.address()).await;
    let registry = open(cutter.address());
    let kept = Arc::new(service("kept"));
    register(&*registry, std::slice::from_ref(&kept)).await;
    cutter.refuse().await;
    assert_unreachable(&*registry).await;
    cutter.restore().await;
    back(&*registry).await;
    assert_held(&*registry, std::slice::from_ref(&kept)).await;
    remove_all(&*registry).await;
}

async fn one_that_never_answered_is_unreachable(open: &impl Fn(SocketAddr) -> Arc<dyn Registry>) {
    // The system accepts connections in its stead.
    let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    assert_unreachable(&*open(hung.local_addr().expect("its address"))).await;
}

async fn one_that_is_slow_is_waited_for(server: &impl Server, open: &impl Fn(SocketAddr) -> Arc<dyn Registry>) {
    let cutter = Cutter::tcp(server.address()).await;
    cutter.delay(LATE);
    let registry = open(cutter.address());
    let services: Vec<_> = (0..20).map(|n| Arc::new(at_port(&format!("host:slow-{n}:80"), 8000 + n))).collect();
    registry.ping().await.expect("it answers in the end");
    register(&*registry, &services).await;
    assert_held(&*registry, &services).await;
    remove_all(&*registry).await;
}

async fn one_that_hangs_is_left_and_used_again(server: &impl Server, registry: &dyn Registry, kept: &Arc<Service>) {
    server.freeze();
    assert_unreachable(registry).await;
    server.thaw();
    back(registry).await;
    assert_held(registry, std::slice::from_ref(kept)).await;
}

async fn one_that_restarts_with_its_data_is_read_as_before(
    server: &mut impl Server,
    registry: &dyn Registry,
    kept: &Arc<Service>,
) {
    server.restart().await;
    back(registry).await;
    assert_held(registry, std::slice::from_ref(kept)).await;
    register(registry, std::slice::from_ref(kept)).await;
}

async fn one_that_restarts_without_its_data_is_told_of_and_filled_again(
    server: &mut impl Server,
    registry: &dyn Registry,
    kept: &Arc<Service>,
) {
    // What was before has been told of.
    while tokio::time::timeout(Duration::from_secs(2), registry.changed()).await.is_ok() {}
    let told = tokio::time::timeout(NOTICED, registry.changed());
    let (told, ()) = tokio::join!(told, server.restart_empty());
    assert!(told.is_ok(), "nobody told of it");
    becomes(Ok(Vec::new()), NOTICED, || registry.entries()).await;
    let one = std::slice::from_ref(kept);
    becomes(vec![Ok(())], NOTICED, || registry.register(one)).await;
    assert_held(registry, one).await;
}

/// Waits until it is reached again: a connection that was kept open may break once more.
async fn back(registry: &dyn Registry) {
    becomes(Ok(()), NOTICED, || registry.ping()).await;
    becomes(true, NOTICED, async || registry.entries().await.is_ok()).await;
}

/// What would be there if the service were registered.
pub(super) fn entry_of(registry: &dyn Registry, service: &Service) -> Entry {
    let canonical = registry.canonical(service);
    Entry {
        key: canonical.key,
        service_id: service.id.clone(),
        owner: None,
        fingerprint: canonical.fingerprint,
        marked: Marked::No,
        critical: false,
        content: None,
    }
}

/// Every method ends in time, and says that the store cannot be reached.
pub(crate) async fn assert_unreachable(registry: &dyn Registry) {
    // More than are written at once, so that a batch has some that have not begun.
    let ttl = |id: &str| {
        let heartbeat = Some(Heartbeat::Container);
        with(service(id), |service| {
            service.check = Some(Box::new(Check { heartbeat, ..check(CheckKind::Ttl(LONGEST)) }));
        })
    };
    let services: Vec<_> = (0..100).map(|n| ttl(&format!("s{n}"))).collect();
    let entries: Vec<_> = services.iter().map(|service| entry_of(registry, service)).collect();
    let all = async {
        tokio::join!(
            registry.ping(),
            registry.entries(),
            registry.register(&services),
            registry.deregister(&entries),
            registry.refresh(&services),
        )
    };
    let (ping, listed, registered, removed, refreshed) =
        tokio::time::timeout(LONGEST, all).await.expect("every method ends by its deadline");
    assert!(matches!(ping, Err(RegistryError::Unreachable(_))), "{ping:?}");
    assert!(matches!(listed, Err(RegistryError::Unreachable(_))), "{listed:?}");
    let refreshes = services.iter().any(|service| registry.refresh_interval(service).is_some());
    for (what, results) in [("register", registered), ("deregister", removed), ("refresh", refreshed)] {
        assert_eq!(results.len(), services.len());
        if what != "refresh" || refreshes {
            for result in results {
                assert!(matches!(result, Err(RegistryError::Unreachable(_))), "{what}: {result:?}");
            }
        }
    }
}
