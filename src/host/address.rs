//! The host's address, looked up again at each snapshot.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;

use crate::machine::HostAddress;

/// Looks up the address at which others reach a host.
pub type Locate = Arc<dyn Fn() -> BoxFuture<'static, HostAddress> + Send + Sync>;

/// The host's address, looked up again at each snapshot.
pub struct Address {
    locate: Locate,
    relocating: Option<AbortOnDropHandle<HostAddress>>,
}

impl Address {
    /// An address that this function has just found.
    #[must_use]
    pub fn new(locate: Locate) -> Self {
        Self { locate, relocating: None }
    }

    pub(super) fn look_again(&mut self) {
        self.relocating = Some(AbortOnDropHandle::new(tokio::spawn((self.locate)())));
    }

    /// Waits for the result of the lookup.
    pub(super) async fn found(&mut self) -> Option<HostAddress> {
        match &mut self.relocating {
            Some(task) => {
                let found = task.await.ok();
                self.relocating = None;
                found
            }
            None => std::future::pending().await,
        }
    }
}
