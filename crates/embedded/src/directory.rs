//! The catalog as the DNS server sees it.

use std::net::IpAddr;
use std::sync::Arc;

use super::catalog::{Catalog, Status};
use super::dns::{Directory, Instance, Node, Owner};

/// Answers DNS from the catalog.
pub(super) struct CatalogDirectory {
    catalog: Arc<Catalog>,
    node: Arc<Node>,
    none: Arc<[Instance]>,
}

impl CatalogDirectory {
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        let node = Node {
            name: catalog.node.name.as_str().into(),
            addresses: vec![catalog.node.address],
            // What HTTP says of the node, too.
            meta: [("consul-network-segment".to_owned(), String::new())].into(),
        };
        Self { catalog, node: Arc::new(node), none: Arc::new([]) }
    }
}

impl Directory for CatalogDirectory {
    fn instances(&self, name: &str) -> Arc<[Instance]> {
        let Some(group) = self.catalog.service(name, true).group else { return Arc::clone(&self.none) };
        let told = group.rendered.dns.get_or_init(|| {
            let instances = group.instances.iter().map(|instance| Instance {
                node: Arc::clone(&self.node.name),
                address: instance.definition.address.clone(),
                port: instance.definition.port,
                tags: instance.definition.tags.clone(),
                critical: instance.status() == Status::Critical,
            });
            instances.collect()
        });
        Arc::clone(told)
    }

    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.node.name.eq_ignore_ascii_case(name).then(|| Arc::clone(&self.node))
    }

    fn owner(&self, address: IpAddr) -> Option<Owner> {
        if self.node.addresses.contains(&address) {
            return Some(Owner::Node(self.node.name.to_string()));
        }
        self.catalog.instance_at(address).map(|instance| Owner::Service(instance.definition.name.to_string()))
    }
}
