//! Connections to what is checked, where the policy lets them go; and why one was not made, in the words that
//! Consul's users know.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use registrator_words::authority;
use tokio::net::{TcpStream, lookup_host};

use super::Permit;
use super::policy::Policy;
use crate::definition::Target;

/// Makes the connections of one probe.
#[derive(Clone, Copy)]
pub(super) struct Dialer<'a> {
    pub(super) policy: &'a Policy,
    /// Where the instance's address leads.
    pub(super) target: Target,
    pub(super) permit: &'a Arc<Permit>,
}

impl Dialer<'_> {
    /// Connects to the first address of a host that answers, of those where a check may go.
    ///
    /// # Errors
    /// Why there is no connection: `dial tcp 10.0.0.1:80: connect: connection refused`.
    pub(super) async fn connect(self, host: &str, port: u16) -> Result<TcpStream, String> {
        let name = authority(host, port);
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.resolve(host, port).await.map_err(|error| refused(&name, &error))?,
        };
        let mut reason = format!("dial tcp {name}: no address");
        for address in addresses {
            reason = match self.policy.connects(address.ip(), self.target) {
                Err(refusal) => refusal.to_string(),
                Ok(()) => match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => refused(&name, &error),
                },
            };
        }
        Err(reason)
    }

    /// The addresses of a name. The system's resolver cannot be told to stop, so the permit is held until it has.
    async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let (host, permit) = (host.to_owned(), Arc::clone(self.permit));
        let resolving = tokio::spawn(async move {
            let resolved = lookup_host((host, port)).await.map(Iterator::collect);
            drop(permit);
            resolved
        });
        resolving.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// `dial tcp 10.0.0.1:80: connect: connection refused`
fn refused(target: &str, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {target}: {reason}")
}

/// `dial tcp 10.0.0.1:80: i/o timeout`
pub(super) fn timed_out(target: &str) -> String {
    format!("dial tcp {target}: i/o timeout")
}
