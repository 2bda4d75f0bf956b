//! Connections to one Redis that are made when they are needed, and made again after a failure.
//!
//! Most requests share one connection. Transactions have another one to themselves, because `WATCH` is about everything
//! that is asked on a connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex as Lock, PoisonError};
use std::time::Duration;

use redis::RedisError;
use redis::aio::{MultiplexedConnection, PubSub};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::Target;
use super::connect::{ANSWER, Live, Reach, answers_plainly};
use super::failure::Failure;
use crate::http::{Fault, speaks_tls, try_tls};
use crate::registry::RegistryError;
use crate::registry::files::{self, CredentialFiles};
use crate::registry::reader::AccessNames;
use crate::registry::servers::Server;

/// The connections to one database.
pub(in crate::registry) struct Connection {
    reach: Reach,
    name: String,
    names: &'static AccessNames,
    /// The files of TLS.
    files: CredentialFiles,
    /// The shared connection, and the one of transactions, each with the epoch that it was made in.
    shared: Mutex<Option<(u64, Live)>>,
    alone: Mutex<Option<(u64, Live)>>,
    /// Connections of an earlier epoch are of no more use.
    epoch: AtomicU64,
    /// Whether the server has ever answered.
    answered: AtomicBool,
    /// The master that we are connected to, where sentinels say which it is.
    master: Lock<Option<Server>>,
}

impl Connection {
    /// Does not connect yet.
    pub(super) fn new(reach: Reach, names: &'static AccessNames) -> Self {
        let files = CredentialFiles::new(reach.tls.iter().flat_map(files::of_tls));
        Self {
            name: format!("Redis at {}", reach.target),
            reach,
            names,
            files,
            shared: Mutex::default(),
            alone: Mutex::default(),
            epoch: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            master: Lock::default(),
        }
    }

    /// Its name for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached.
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Does something with the shared connection, within a deadline.
    pub(super) async fn call<T, F>(
        &self,
        deadline: Duration,
        ask: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let asked = async {
            // A kept connection may have been closed meanwhile, so it is asked twice.
            let (live, is_kept) = self.shared().await?;
            match ask(live.connection.clone()).await.map_err(Failure::from) {
                Err(failure) if is_kept && failure.is_closed() => {
                    self.leave();
                    let (live, _) = self.shared().await?;
                    Ok(ask(live.connection.clone()).await?)
                }
                outcome => outcome,
            }
        };
        self.settled(timeout(deadline, asked).await.unwrap_or(Err(Failure::Late))).await
    }

    /// Does something with the connection of transactions, within a deadline; one caller after the other.
    pub(super) async fn transact<T, F>(
        &self,
        deadline: Duration,
        ask: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let asked = async {
            let mut alone = self.alone.lock().await;
            let kept = alone.take().filter(|(epoch, _)| *epoch == self.epoch());
            let (is_kept, (epoch, mut live)) = match kept {
                Some(kept) => (true, kept),
                None => (false, self.connect().await?),
            };
            let mut outcome = ask(live.connection.clone()).await;
            let mut made = epoch;
            if let Err(failure) = &outcome
                && is_kept
                && failure.is_closed()
            {
                self.leave();
                (made, live) = self.connect().await?;
                outcome = ask(live.connection.clone()).await;
            }
            // After a failure, it may still watch keys.
            if outcome.is_ok() {
                *alone = Some((made, live));
            }
            outcome
        };
        self.settled(timeout(deadline, asked).await.unwrap_or(Err(Failure::Late))).await
    }

    /// A connection of its own that hears of events.
    pub(super) async fn subscription(&self) -> Result<PubSub, RegistryError> {
        let made = timeout(ANSWER, self.reach.subscription()).await.unwrap_or(Err(Failure::Late));
        self.settled(made).await
    }

    /// Whether the sentinels still name the server that we are connected to. If not, the next request goes to the other.
    pub(super) async fn is_still_master(&self) -> Result<bool, RegistryError> {
        if !matches!(self.reach.target, Target::Sentinels(..)) {
            return Ok(true);
        }
        let asked = timeout(ANSWER, self.reach.master()).await.unwrap_or(Err(Failure::Late));
        // Without an answer of the sentinels, the master that we have is as good as any.
        let Ok(named) = asked else { return Ok(true) };
        let same = {
            let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
            master.is_none() || *master == named
        };
        if !same {
            self.leave();
        }
        Ok(same)
    }

    /// Returns when a file that TLS is spoken with has changed. The next request makes a new connection.
    pub(super) async fn credentials_changed(&self) {
        self.files.changed().await;
        self.leave();
    }

    /// What a failure of our own subscription means.
    pub(super) fn error(&self, failure: &Failure) -> RegistryError {
        failure.error(&self.name, self.names)
    }

    /// The result for the caller. After some failures, no connection that there is now is used again.
    async fn settled<T>(&self, outcome: Result<T, Failure>) -> Result<T, RegistryError> {
        let failure = match outcome {
            Ok(answer) => {
                self.answered.store(true, Ordering::Relaxed);
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        if failure.is_of_connection() {
            self.leave();
        }
        Err(match failure.fault() {
            Some((fault, reason)) => match self.explained(&fault, &reason).await {
                Some(text) => RegistryError::Unreachable(format!("{}: {text}", self.name)),
                None => self.error(&failure),
            },
            None => self.error(&failure),
        })
    }

    /// What is wrong with TLS, if that is what is wrong.
    async fn explained(&self, fault: &Fault, reason: &str) -> Option<String> {
        let names = self.names.tls();
        let Target::Server(server @ Server { host, port }) = &self.reach.target else { return None };
        let answered = self.answered.load(Ordering::Relaxed);
        match &self.reach.tls {
            Some(tls) => {
                let explained = names.explained(fault, reason);
                if explained != reason || answered {
                    return (explained != reason).then_some(explained);
                }
                let fault = match try_tls(host, *port, tls).await {
                    Some(tried) => tried.err()?,
                    None if answers_plainly(server).await => Fault::NoTls,
                    None => return None,
                };
                let explained = names.explained(&fault, reason);
                (explained != reason).then_some(explained)
            }
            None if answered => None,
            None => speaks_tls(host, *port).await.then(|| names.wanted()),
        }
    }

    /// The shared connection, and whether it was there before.
    async fn shared(&self) -> Result<(Live, bool), Failure> {
        let mut shared = self.shared.lock().await;
        if let Some((epoch, live)) = &*shared
            && *epoch == self.epoch()
        {
            return Ok((live.clone(), true));
        }
        *shared = None;
        let (epoch, live) = self.connect().await?;
        *shared = Some((epoch, live.clone()));
        Ok((live, false))
    }

    async fn connect(&self) -> Result<(u64, Live), Failure> {
        let epoch = self.epoch();
        let (live, master) = self.reach.live().await?;
        *self.master.lock().unwrap_or_else(PoisonError::into_inner) = master;
        Ok((epoch, live))
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn leave(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }
}
