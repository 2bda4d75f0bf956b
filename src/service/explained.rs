//! What is explained of one port.

use super::Service;
use super::decision::Decision;
use super::ignored::Ignored;
use crate::container::Protocol;

/// The result for one port, with the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortDecisions {
    /// Its number inside the container.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The service, or why there is none.
    pub outcome: Result<Service, Ignored>,
    /// Why each field is as it is. If the port is no service: the fields decided up to then.
    pub decisions: Vec<Decision>,
}
