//! Where a host is reached, found out again at each snapshot.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;

use crate::machine::HostAddress;

/// Finds out under which address others reach a host.
pub type Locate = Arc<dyn Fn() -> BoxFuture<'static, HostAddress> + Send + Sync>;

/// Where a host is reached, found out again at each snapshot.
pub struct Address {
    locate: Locate,
    relocating: Option<AbortOnDropHandle<HostAddress>>,
}

impl Address {
    /// An address that was just found out by this.
    #[must_use]
    pub fn new(locate: Locate) -> Self {
        Self { locate, relocating: None }
    }

    pub(super) fn look_again(&mut self) {
        self.relocating = Some(AbortOnDropHandle::new(tokio::spawn((self.locate)())));
    }

    /// The address, once it is found out.
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
