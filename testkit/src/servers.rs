//! Where the servers are that `dev/install-servers` installs, and what each can be made to do.

use std::env;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The program of that name: of `REGISTRATOR_TEST_SERVERS`, else of `target/servers`, else of the machine.
///
/// # Panics
/// When it is nowhere.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let chosen = env::var_os("REGISTRATOR_TEST_SERVERS").map(PathBuf::from);
    let installed =
        [chosen, Some(workspace.join("target/servers"))].into_iter().flatten().map(|folder| folder.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    installed
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|binary| binary.is_file())
        .unwrap_or_else(|| panic!("there is no {name} on this machine: run dev/install-servers"))
}

/// A server that can be broken, as the conformance suite needs it.
pub trait Server {
    /// Where it serves.
    fn address(&self) -> SocketAddr;

    /// Starts it again, at the same place, with what it held.
    fn restart(&mut self) -> impl Future<Output = ()>;

    /// Starts it again, at the same place, with nothing in it.
    fn restart_empty(&mut self) -> impl Future<Output = ()>;

    /// Stops it where it stands: it accepts connections, and answers none.
    fn freeze(&self);

    /// Lets it go on.
    fn thaw(&self);
}

/// The methods of a server are its own.
macro_rules! server {
    ($kind:ty) => {
        impl crate::servers::Server for $kind {
            fn address(&self) -> std::net::SocketAddr {
                self.address()
            }
            async fn restart(&mut self) {
                self.restart().await;
            }
            async fn restart_empty(&mut self) {
                self.restart_empty().await;
            }
            fn freeze(&self) {
                self.freeze();
            }
            fn thaw(&self) {
                self.thaw();
            }
        }
    };
}
pub(crate) use server;
