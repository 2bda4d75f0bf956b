//! Who claims which key, and what should become of it.

use std::cmp::Ordering;
use std::sync::Arc;

use tracing::warn;

use super::Keeper;
use crate::bridge::desired::{Kept, Update, Want};
use crate::bridge::plan::Wanted;
use crate::config::Deregister;
use crate::registry::{Canonical, Mark};
use crate::service::{Service, Source};

/// A service that is to stand at a key.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) service: Arc<Service>,
    pub(super) standing: Standing,
}

/// How it is to stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Just so, and marked for this reason.
    Registered(Option<Mark>),
    /// Whatever stands there stays.
    Kept(Kept),
}

/// What should become of one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Register(Arc<Service>, Canonical, Option<Mark>),
    Keep(Arc<Service>, Kept),
    /// Whether an event told of it, and not only a list.
    Withdraw(Arc<Service>, bool),
}

impl Keeper {
    pub(super) fn update(&mut self, update: &Update) {
        let standing = match &update.want {
            Want::Registered(_) => Some(Standing::Registered(None)),
            Want::Paused(_) => Some(Standing::Registered(Some(Mark::Paused))),
            Want::Kept(_, Kept::Draining) if !self.registry.marks() => None,
            Want::Kept(_, why) => Some(Standing::Kept(*why)),
            Want::Absent | Want::Missing | Want::Forgotten => None,
        };
        let claim = standing
            .zip(update.want.service())
            .map(|(standing, service)| Claim { service: Arc::clone(service), standing });
        let key = claim.as_ref().map(|claim| self.registry.canonical(&claim.service).key);
        let old = match &key {
            Some(key) => self.keys.insert(update.source.clone(), key.clone()),
            None => self.keys.remove(&update.source),
        };
        if let Some(claims) = old.as_ref().and_then(|old| self.claims.get_mut(old)) {
            claims.retain(|claim| claim.service.source() != update.source);
        }
        if let (Some(key), Some(claim)) = (&key, claim) {
            let claims = self.claims.entry(key.clone()).or_insert_with(|| Vec::with_capacity(1));
            claims.push(claim);
            claims.sort_by(Claim::rank);
        }
        if let Some(old) = old.filter(|old| Some(old) != key.as_ref()) {
            if update.want != Want::Forgotten {
                self.intend(old, update.want != Want::Missing);
            } else if self.claims.get(&old).is_none_or(Vec::is_empty) {
                self.forget(&old);
            } else {
                // What it left there, if it did, stays like that of whoever is left.
                self.intents.remove(&old);
                self.intend(old, true);
            }
        }
        if let Some(key) = key {
            self.intend(key, true);
        }
    }

    /// Makes out of the claims on a key what should become of it; `told` is whether an event told of the change.
    pub(super) fn intend(&mut self, key: Arc<str>, told: bool) {
        let claims = self.claims.get(&key).map(Vec::as_slice).unwrap_or_default();
        let claimed = |service: &Service| claims.iter().any(|claim| claim.service.source() == service.source());
        let intent = match (claims.first(), self.intents.get(&key)) {
            // What stands there is not what was kept, but what served in its place afterwards, and no longer does.
            (
                Some(Claim { standing: Standing::Kept(_), .. }),
                Some(Intent::Register(served, ..) | Intent::Withdraw(served, _)),
            ) if !claimed(served) => Intent::Withdraw(Arc::clone(served), told),
            (Some(Claim { service, standing: Standing::Kept(why) }), _) => Intent::Keep(Arc::clone(service), *why),
            (Some(Claim { service, standing: Standing::Registered(mark) }), _) => {
                let canonical = Canonical { key: Arc::clone(&key), ..self.registry.canonical(service) };
                Intent::Register(Arc::clone(service), canonical, *mark)
            }
            (None, Some(intent)) => Intent::Withdraw(Arc::clone(intent.service()), told),
            (None, None) => {
                self.claims.remove(&key);
                return;
            }
        };
        if let Some((winner, losers)) = claims.split_first() {
            for loser in losers.iter().filter(|loser| matches!(loser.standing, Standing::Registered(_))) {
                say_ignored(&self.name, &loser.service, &winner.service);
            }
        } else {
            self.claims.remove(&key);
        }
        if self.intents.get(&key) != Some(&intent) {
            self.rejected.remove(&key);
            self.guard.clear(&key);
            self.dirty.insert(key.clone());
            self.intents.insert(key, intent);
        }
    }

    /// Nobody looks after this key any more; whatever stands there stays.
    pub(super) fn forget(&mut self, key: &str) {
        self.claims.remove(key);
        self.intents.remove(key);
        self.rejected.remove(key);
        self.complaints.remove(key);
        if self.registry.marks() && self.known {
            self.look_again();
        }
    }

    /// Why the entry at this key is to be marked, if it is.
    pub(super) fn mark(&self, key: &str) -> Option<Mark> {
        let mark = match self.intents.get(key) {
            Some(Intent::Register(_, _, mark)) => *mark,
            Some(Intent::Keep(_, Kept::Draining)) => Some(Mark::Draining),
            Some(Intent::Keep(..)) => Some(Mark::Ended),
            Some(Intent::Withdraw(..)) | None => (self.rules.deregister == Deregister::Never).then_some(Mark::Ended),
        };
        mark.filter(|_| self.registry.marks())
    }
}

impl Claim {
    /// What runs comes before what failed, then the older container, then the lower port.
    pub(super) fn rank(&self, other: &Self) -> Ordering {
        fn order(claim: &Claim) -> (bool, &str, Source) {
            let Claim { service, standing } = claim;
            (matches!(standing, Standing::Kept(_)), &service.origin.created, service.source())
        }
        order(self).cmp(&order(other))
    }
}

fn say_ignored(registry: &str, loser: &Service, winner: &Service) {
    let (container, id) = (loser.origin.container.short(), &loser.id);
    let other = winner.origin.container.short();
    warn!(
        registry,
        container,
        service = id,
        "ignored: {container} service on port {}: {id} is that of port {} of {other}; give one of them another SERVICE_ID",
        loser.origin.exposed_port,
        winner.origin.exposed_port,
    );
}

impl Intent {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        match self {
            Self::Register(_, canonical, _) => Wanted::Service(canonical),
            Self::Keep(_, why) => Wanted::Kept { dangling: *why == Kept::Failed },
            Self::Withdraw(..) => Wanted::Withdrawn,
        }
    }

    pub(super) fn service(&self) -> &Arc<Service> {
        let (Self::Register(service, ..) | Self::Keep(service, _) | Self::Withdraw(service, _)) = self;
        service
    }
}
