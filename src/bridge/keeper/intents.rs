//! Who claims which key, and what should become of it.

use std::cmp::Ordering;
use std::sync::Arc;

use tracing::warn;

use super::Keeper;
use crate::bridge::desired::{Kept, Update, Want};
use crate::bridge::plan::Wanted;
use crate::config::Deregister;
use crate::container::Moment;
use crate::registry::{Mark, Registry};
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
    Register(Arc<Service>, Option<Mark>),
    Keep(Arc<Service>, Kept),
    /// Whether an event told of it, and not only a list.
    Withdraw(Arc<Service>, bool),
}

impl Keeper {
    pub(super) fn update(&mut self, update: &Update) {
        let standing = match &update.want {
            Want::Registered(_) => Some(Standing::Registered(None)),
            Want::Paused(_) => Some(Standing::Registered(Some(Mark::Paused))),
            Want::Kept(_, Kept::Draining) if !self.registry.capabilities().marks => None,
            Want::Kept(_, why) => Some(Standing::Kept(*why)),
            Want::Absent | Want::Missing | Want::Forgotten => None,
        };
        let claim = standing
            .zip(update.want.service())
            .map(|(standing, service)| Claim { service: Arc::clone(service), standing });
        let key = claim.as_ref().map(|claim| self.registry.key(&claim.service));
        let old = update.was.as_ref().map(|was| self.registry.key(was));
        let old = old.filter(|old| self.places.disclaim(old, &update.source));
        if let (Some(key), Some(claim)) = (&key, claim) {
            self.places.claim(key, claim);
        }
        if let Some(old) = old.filter(|old| Some(old) != key.as_ref()) {
            if update.want != Want::Forgotten {
                self.intend(old, update.want != Want::Missing);
            } else if self.places.get(&old).is_none_or(|place| place.claims.is_empty()) {
                self.forget(&old);
            } else {
                // What it left there, if it did, stays like that of whoever is left.
                self.places.change(&old, |place| place.intent = None);
                self.intend(old, true);
            }
        }
        if let Some(key) = key {
            self.intend(key, true);
        }
    }

    /// Makes out of the claims on a key what should become of it; `told` is whether an event told of the change.
    pub(super) fn intend(&mut self, key: Arc<str>, told: bool) {
        let Some(place) = self.places.get(&key) else { return };
        let claimed = |service: &Service| place.claims.iter().any(|claim| claim.service.is_from(&service.source()));
        let intent = match (place.claims.first(), &place.intent) {
            // What stands there is not what was kept, but what served in its place afterwards, and no longer does.
            (
                Some(Claim { standing: Standing::Kept(_), .. }),
                Some(Intent::Register(served, ..) | Intent::Withdraw(served, _)),
            ) if !claimed(served) => Intent::Withdraw(Arc::clone(served), told),
            (Some(Claim { service, standing: Standing::Kept(why) }), _) => Intent::Keep(Arc::clone(service), *why),
            (Some(Claim { service, standing: Standing::Registered(mark) }), _) => {
                Intent::Register(Arc::clone(service), *mark)
            }
            (None, Some(intent)) => Intent::Withdraw(Arc::clone(intent.service()), told),
            (None, None) => return,
        };
        if let Some((winner, losers)) = place.claims.split_first() {
            for loser in losers.iter().filter(|loser| matches!(loser.standing, Standing::Registered(_))) {
                say_ignored(&self.name, &loser.service, &winner.service);
            }
        }
        if place.intent.as_ref() != Some(&intent) {
            self.rejected.remove(&key);
            self.guard.clear(&key);
            self.places.change(&key, |place| place.intent = Some(intent));
            self.dirty.insert(key);
        }
    }

    /// Nobody looks after this key any more; whatever stands there stays.
    pub(super) fn forget(&mut self, key: &Arc<str>) {
        self.places.change(key, |place| place.intent = None);
        self.rejected.remove(key);
        self.complaints.remove(key);
        if self.registry.capabilities().marks && self.known {
            self.look_again();
        }
    }

    /// Why the entry at this key is to be marked, if it is.
    pub(super) fn mark(&self, key: &str) -> Option<Mark> {
        let mark = match self.places.intent(key) {
            Some(Intent::Register(_, mark)) => *mark,
            Some(Intent::Keep(_, Kept::Draining)) => Some(Mark::Draining),
            Some(Intent::Keep(..)) => Some(Mark::Ended),
            Some(Intent::Withdraw(..)) | None => (self.rules.deregister == Deregister::Never).then_some(Mark::Ended),
        };
        mark.filter(|_| self.registry.capabilities().marks)
    }
}

impl Claim {
    /// What runs comes before what failed, then the older container, then the lower port.
    pub(super) fn rank(&self, other: &Self) -> Ordering {
        fn order(claim: &Claim) -> (bool, Moment, Source) {
            let Claim { service, standing } = claim;
            (matches!(standing, Standing::Kept(_)), service.origin.created, service.source())
        }
        order(self).cmp(&order(other))
    }
}

fn say_ignored(registry: &str, loser: &Service, winner: &Service) {
    let (container, id) = (loser.origin.container.short(), &*loser.id);
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
    /// What should become of its key in this registry.
    pub(super) fn wanted(&self, registry: &dyn Registry) -> Wanted {
        match self {
            Self::Register(service, _) => Wanted::Service(registry.fingerprint(service)),
            Self::Keep(_, why) => Wanted::Kept { dangling: *why == Kept::Failed },
            Self::Withdraw(..) => Wanted::Withdrawn,
        }
    }

    pub(super) fn service(&self) -> &Arc<Service> {
        let (Self::Register(service, ..) | Self::Keep(service, _) | Self::Withdraw(service, _)) = self;
        service
    }
}
