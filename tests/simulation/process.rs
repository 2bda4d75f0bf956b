//! The program on a simulated host: started, supervised as a service manager does, killed, stopped.

use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use registrator::app::{self, Control, Surroundings};
use registrator::cli;
use registrator::config::Config;
use registrator::docker::Docker;
use registrator::event::Events;
use registrator::host::Locate;
use registrator::machine::HostAddress;
use registrator::registry::{Opened, Policy};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::engine::Wire;
use crate::store::{Client, Link};
use crate::world::{Shared, lock};

/// How long a stop may take, whatever hangs.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// How long the service manager waits before it starts the program again.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// A life of the program.
pub(crate) struct Process {
    control: Control,
    task: AbortHandle,
}

/// Starts the program, if it does not run.
pub(crate) fn launch(world: &Shared, host: usize) {
    let mut at = lock(world);
    if at.hosts[host].alive || at.hosts[host].given_up {
        return;
    }
    at.hosts[host].born();
    at.counts.lives += 1;
    let client = (host, at.hosts[host].life);
    at.note(|| format!("host {host}: the program starts"));
    let control = Control::default();
    let task = tokio::spawn(live(Arc::clone(world), client, control.clone()));
    at.hosts[host].process = Some(Process { control, task: task.abort_handle() });
    drop(at);
    let world = Arc::clone(world);
    tokio::spawn(async move {
        let outcome = task.await;
        {
            let mut world = lock(&world);
            match outcome {
                Ok(Ok(())) => world.note(|| format!("host {host}: the program ends")),
                Ok(Err(error)) => world.note(|| format!("host {host}: the program fails: {error}")),
                Err(error) if error.is_cancelled() => return,
                Err(error) => world.violated(format!("a panic: {error}")),
            }
            if !world.lives(client) {
                return;
            }
            world.hosts[host].dies();
        }
        sleep(RESTART_PAUSE).await;
        relaunch(world, host).await;
    });
}

/// [`launch`], in a box, since each launch is watched by a task that launches again.
fn relaunch(world: Shared, host: usize) -> BoxFuture<'static, ()> {
    Box::pin(async move { launch(&world, host) })
}

/// `kill -9`: from now on, nothing that it does reaches anything.
pub(crate) fn kill(world: &Shared, host: usize) {
    let mut at = lock(world);
    at.note(|| format!("host {host}: the program is killed"));
    at.hosts[host].dies();
    let process = at.hosts[host].process.take();
    drop(at);
    if let Some(process) = process {
        process.task.abort();
    }
}

/// Asks it to stop, and holds it to its promise.
pub(crate) async fn stop(world: &Shared, host: usize) {
    let client = {
        let mut at = lock(world);
        at.hosts[host].stopping = true;
        let Some(process) = at.hosts[host].process.as_ref().filter(|_| at.hosts[host].alive) else { return };
        at.note(|| format!("host {host}: the program is told to stop"));
        process.control.stop.cancel();
        (host, at.hosts[host].life)
    };
    let asked = Instant::now();
    while lock(world).lives(client) {
        if asked.elapsed() > STOP_DEADLINE {
            lock(world).violated(format!("host {host}: it does not stop within {STOP_DEADLINE:?}"));
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// SIGHUP.
pub(crate) fn resync(world: &Shared, host: usize) {
    let mut at = lock(world);
    at.asks(host);
    if let Some(process) = &at.hosts[host].process {
        process.control.resync.notify_one();
    }
}

async fn live(world: Shared, client: Client, control: Control) -> Result<(), String> {
    let config = configuration(&world, client.0)?;
    let wire = Wire { world: Arc::clone(&world), client };
    let docker = tokio::select! {
        biased;
        () = control.stop.cancelled() => return Ok(()),
        docker = Docker::over(Arc::new(wire), &config.docker) => docker.map_err(|error| error.to_string())?,
    };
    let registries = (0..)
        .zip(&config.registries)
        .map(|(store, settings)| {
            let link = Link::new(&world, store, client, settings);
            Opened {
                name: settings.uri.as_str().into(),
                adapter: "simulated",
                owner: settings.owner.as_str().into(),
                policy: if lock(&world).stores[store].upsert_only { Policy::UpsertOnly } else { Policy::Sync },
                registry: Arc::new(link),
            }
        })
        .collect();
    let locate: Locate = Arc::new(move || {
        let world = Arc::clone(&world);
        Box::pin(async move {
            sleep(Duration::from_millis(30)).await;
            let address = lock(&world).located(client);
            HostAddress::by_name("simulated", address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])))
        })
    });
    let surroundings = Surroundings { docker, registries, locate };
    app::serve(surroundings, config, control, Events::to_log()).await.map_err(|error| error.to_string())
}

/// The settings, by way of a command line.
fn configuration(world: &Shared, host: usize) -> Result<Config, String> {
    let world = lock(world);
    let at = &world.hosts[host];
    let settings = &at.settings;
    let mut arguments = vec!["-hostname".to_owned(), at.rules.hostname.clone()];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    if let Some(ip) = &at.rules.ip {
        option("-ip", ip.clone());
    }
    option("-tags", at.rules.tags.join(","));
    option("-deregister", settings.deregister.to_owned());
    option("-on-shutdown", settings.on_shutdown.to_owned());
    option("-resync", settings.resync.unwrap_or_default().to_string());
    option("-retry-attempts", settings.attempts.to_string());
    option("-ttl", settings.ttl.unwrap_or_default().to_string());
    option("-ttl-refresh", settings.ttl.map(|ttl| ttl / 3).unwrap_or_default().to_string());
    option(&format!("-cleanup={}", settings.cleanup), String::new());
    option(&format!("-internal={}", settings.internal), String::new());
    option(&format!("-adopt={}", settings.adopt), String::new());
    option(&format!("-owner-meta={}", settings.records_owner), String::new());
    option("-removal-guard", settings.guard.to_string());
    option("-drain", settings.drain.unwrap_or_default().to_string());
    arguments.retain(|argument| !argument.is_empty());
    for store in &world.stores {
        let policy = if store.upsert_only { "?policy=upsert-only" } else { "" };
        arguments.push(format!("simulated://{}{policy}", store.name));
    }
    cli::parse(arguments.into_iter().map(OsString::from), &Arc::default(), "simulated")
        .map(cli::Parsed::into_config)
        .map_err(|answer| answer.stderr)
}
