//! The least rights that each store must give, in that store's own words. The only table of them.
//!
//! docs/security.md and the pages of the registries say the same; `tests/check.rs` gives exactly these rights to a real server,
//! and shows that they are enough.

use crate::registry::{Site, Store};

/// The least rights for this site, as text to paste; `None` if the store has none. `node` is the Consul node, where it is
/// known; `expires` says whether entries have a TTL.
#[must_use]
pub fn least(site: &Site, node: Option<&str>, expires: bool) -> Option<String> {
    let Site { root, records, user, .. } = site;
    let user = user.as_deref().unwrap_or("registrator");
    let lines = match site.store {
        // A provider has the rights at its DNS service, by that service's own words; discoverd knows none.
        Store::Webhook | Store::Discoverd | Store::Other => return None,
        Store::Dns => {
            // Without a key, whoever comes from this address may.
            let (who, grant) = match &site.user {
                Some(key) => {
                    let zone = root.trim_end_matches('.');
                    (
                        format!("key {key:?}"),
                        format!("update-policy {{ grant {key:?} subdomain {zone} A AAAA SRV TXT; }};"),
                    )
                }
                None => ("ADDRESS".to_owned(), "allow-update { ADDRESS; };".to_owned()),
            };
            vec![grant, format!("allow-transfer {{ {who}; }};")]
        }
        Store::Consul => {
            let node = node.unwrap_or("NODE");
            vec![
                "service_prefix \"\" { policy = \"write\" }".to_owned(),
                format!("node {node:?} {{ policy = \"read\" }}"),
                format!("agent {node:?} {{ policy = \"read\" }}"),
            ]
        }
        Store::ConsulKv => {
            let mut lines: Vec<_> = prefixes(root, records.as_deref())
                .iter()
                // Consul's keys do not begin with a slash.
                .map(|prefix| format!("key_prefix {:?} {{ policy = \"write\" }}", prefix.trim_start_matches('/')))
                .collect();
            if expires || records.is_some() {
                lines.push("session_prefix \"\" { policy = \"write\" }".to_owned());
            }
            lines
        }
        Store::Etcd3 => {
            let mut lines = vec!["etcdctl role add registrator".to_owned()];
            lines.extend(prefixes(root, records.as_deref()).iter().map(|prefix| {
                format!("etcdctl role grant-permission registrator --prefix=true readwrite {}", quoted(prefix))
            }));
            lines.push(format!("etcdctl user add {}", quoted(user)));
            lines.push(format!("etcdctl user grant-role {} registrator", quoted(user)));
            lines
        }
        Store::Etcd2 => {
            let mut lines = vec!["etcdctl role add registrator".to_owned()];
            if !root.is_empty() {
                // Reading a whole folder is a right to its own name and all that begins with it.
                lines.push(format!("etcdctl role grant registrator --path {} --read", quoted(&format!("{root}*"))));
            }
            lines.extend(prefixes(root, records.as_deref()).iter().map(|prefix| {
                let path = quoted(&format!("{prefix}*"));
                format!("etcdctl role grant registrator --path {path} --readwrite")
            }));
            lines.push(format!("etcdctl user add {}", quoted(user)));
            lines.push(format!("etcdctl user grant {} --roles registrator", quoted(user)));
            lines
        }
        Store::ZooKeeper => {
            let path = if root.is_empty() { "/" } else { root };
            let mut lines = Vec::new();
            if site.user.is_some() {
                lines.push(format!("addauth digest {user}:PASSWORD"));
            }
            if !root.is_empty() {
                lines.push(format!("create {path}"));
            }
            // Our nodes carry their own ACL (?acl=); this one is for the node above them.
            lines.push(match &site.user {
                Some(_) => format!("setAcl {path} auth:{user}:PASSWORD:cdr,world:anyone:r"),
                None => format!("setAcl {path} world:anyone:cdr"),
            });
            lines
        }
        Store::Redis => {
            let Site { database, .. } = site;
            let channel = |pattern: &str| format!("&__keyspace@{database}__:{pattern}*");
            let mut words = vec![format!("ACL SETUSER {} on >PASSWORD resetchannels", double_quoted(user))];
            for prefix in prefixes(root, records.as_deref()) {
                words.push(double_quoted(&format!("~{prefix}*")));
                words.push(double_quoted(&channel(&prefix)));
            }
            // A pattern is allowed only to whom this very pattern is.
            words.extend(records.as_ref().map(|records| double_quoted(&channel(&format!("{records}/alive/")))));
            words.push(REDIS_COMMANDS.to_owned());
            vec![words.join(" ")]
        }
        Store::Eureka => vec![format!(
            "http.authorizeHttpRequests(r -> r.requestMatchers(\"{root}/**\").authenticated()).httpBasic(withDefaults())\
             .csrf(c -> c.ignoringRequestMatchers(\"{root}/**\"));"
        )],
    };
    Some(lines.join("\n"))
}

/// What is asked of Redis. Without `CONFIG`, the server itself must be set to tell of changes.
const REDIS_COMMANDS: &str = "+ping +select +scan +mget +exists +type +pttl +watch +unwatch +multi +exec +set +del \
                              +pexpire +subscribe +unsubscribe +psubscribe +info +time +role";

/// Where the rights are written: what the lines of [`least`] are for.
#[must_use]
pub fn place(store: Store) -> &'static str {
    match store {
        Store::Consul | Store::ConsulKv => "the rules of the token's policy",
        Store::Etcd2 => "with ETCDCTL_API=2, as an administrator",
        Store::Etcd3 => "with ETCDCTL_API=3, as an administrator",
        Store::ZooKeeper => "in zkCli.sh",
        Store::Redis => "in redis-cli, as an administrator; and set notify-keyspace-events to Kg$xe or more",
        Store::Eureka => "in the server's SecurityFilterChain (Spring Security), whose user is ours",
        Store::Dns => "in BIND's zone; Knot's and PowerDNS's words are in docs/dns-servers.md",
        Store::Webhook | Store::Discoverd | Store::Other => "none",
    }
}

/// The prefixes that are written below, each with a slash at its end; those below another one are left out.
fn prefixes(root: &str, records: Option<&str>) -> Vec<String> {
    let root = format!("{root}/");
    let records = records.map(|records| format!("{records}/")).filter(|records| !records.starts_with(&root));
    [root].into_iter().chain(records).collect()
}

/// A word for redis-cli.
fn double_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"'\\".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("{word:?}") }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(store: Store, root: &str, records: Option<&str>, user: Option<&str>) -> Site {
        let (root, records, user) = (root.to_owned(), records.map(str::to_owned), user.map(str::to_owned));
        Site { store, root, records, user, ..Site::default() }
    }

    #[test]
    fn each_store_is_told_in_its_own_words() {
        let services = ("/services", Some("/_registrator/services"));
        for (store, (root, records), user, expires, expected) in [
            (
                Store::Consul,
                ("", None),
                None,
                false,
                "service_prefix \"\" { policy = \"write\" }\nnode \"web1\" { policy = \"read\" }\nagent \"web1\" { policy = \
                 \"read\" }",
            ),
            (
                Store::ConsulKv,
                services,
                None,
                false,
                "key_prefix \"services/\" { policy = \"write\" }\nkey_prefix \"_registrator/services/\" { policy = \"write\" }\n\
                 session_prefix \"\" { policy = \"write\" }",
            ),
            (Store::ConsulKv, ("/a", None), None, false, "key_prefix \"a/\" { policy = \"write\" }"),
            (
                Store::ConsulKv,
                ("", Some("/_registrator")),
                None,
                true,
                "key_prefix \"\" { policy = \"write\" }\nsession_prefix \"\" { policy = \"write\" }",
            ),
            (
                Store::Etcd3,
                services,
                Some("it's me"),
                false,
                "etcdctl role add registrator\n\
                 etcdctl role grant-permission registrator --prefix=true readwrite /services/\n\
                 etcdctl role grant-permission registrator --prefix=true readwrite /_registrator/services/\n\
                 etcdctl user add 'it'\\''s me'\n\
                 etcdctl user grant-role 'it'\\''s me' registrator",
            ),
            (
                Store::Etcd2,
                ("/services", Some("/services/_registrator")),
                None,
                false,
                "etcdctl role add registrator\n\
                 etcdctl role grant registrator --path '/services*' --read\n\
                 etcdctl role grant registrator --path '/services/*' --readwrite\n\
                 etcdctl user add registrator\n\
                 etcdctl user grant registrator --roles registrator",
            ),
            (
                Store::ZooKeeper,
                ("/services", None),
                Some("me"),
                false,
                "addauth digest me:PASSWORD\ncreate /services\nsetAcl /services auth:me:PASSWORD:cdr,world:anyone:r",
            ),
            (Store::ZooKeeper, ("", None), None, false, "setAcl / world:anyone:cdr"),
            (
                Store::Redis,
                ("services", Some("_registrator/services")),
                Some("me"),
                true,
                "ACL SETUSER me on >PASSWORD resetchannels ~services/* &__keyspace@0__:services/* \
                 ~_registrator/services/* &__keyspace@0__:_registrator/services/* \
                 &__keyspace@0__:_registrator/services/alive/* +ping +select +scan +mget +exists +type +pttl +watch +unwatch \
                 +multi +exec +set +del +pexpire +subscribe +unsubscribe +psubscribe +info +time +role",
            ),
            (
                Store::Eureka,
                ("/eureka", None),
                Some("me"),
                false,
                "http.authorizeHttpRequests(r -> r.requestMatchers(\"/eureka/**\").authenticated()).httpBasic(withDefaults())\
                 .csrf(c -> c.ignoringRequestMatchers(\"/eureka/**\"));",
            ),
            (
                Store::Dns,
                ("services.example", None),
                Some("k1"),
                false,
                "update-policy { grant \"k1\" subdomain services.example A AAAA SRV TXT; };\nallow-transfer { key \"k1\"; };",
            ),
            (
                Store::Dns,
                ("services.example", None),
                None,
                false,
                "allow-update { ADDRESS; };\nallow-transfer { ADDRESS; };",
            ),
        ] {
            let said = least(&site(store, root, records, user), Some("web1"), expires);
            assert_eq!(said.as_deref(), Some(expected));
            assert_ne!(place(store), "none");
        }
        assert_eq!(least(&site(Store::Other, "", None, None), None, true), None);
        assert!(least(&site(Store::Consul, "", None, None), None, false).unwrap().contains("NODE"));
    }
}
