//! The tables besides the options for the usage, the man page and the reference.

/// A form of registry URI, and its meaning.
pub(super) const REGISTRIES: &[(&str, &str)] = &[
    ("consul://HOST:PORT", "a Consul agent; consul: is consul://127.0.0.1:8500"),
    ("consul-tls://HOST:PORT", "a Consul agent, over TLS"),
    ("consul-unix:///PATH", "a Consul agent's unix socket"),
    ("consulkv://HOST/PREFIX", "Consul's key-value store, with its port; also consul://HOST/PREFIX"),
    ("consulkv-tls://HOST", "Consul's key-value store, over TLS; with a PREFIX as well"),
    ("consulkv-unix:///PATH", "Consul's key-value store, by a unix socket; :/PREFIX behind the path"),
    ("etcd://HOSTS/PREFIX", "etcd, by its v2 API where that is served, else by v3; HOSTS are HOST:PORT,HOST:PORT"),
    ("etcd2://HOSTS/PREFIX", "etcd, by its v2 API; etcd-legacy:// is the same"),
    ("etcd3://HOSTS/PREFIX", "etcd, by its v3 API"),
    ("etcd-tls://HOSTS/PREFIX", "etcd, over TLS; etcd2-tls:// and etcd3-tls:// as well"),
    ("discoverd://HOSTS", "Flynn's discoverd, which is no longer maintained; HOSTS are HOST:PORT,HOST:PORT"),
    ("embedded://", "a registry inside: Consul's HTTP API on 127.0.0.1:8500, DNS on 127.0.0.1:8600"),
    ("eureka://HOSTS/PATH", "Eureka; PATH is /eureka (Spring Cloud) unless given, HOSTS are HOST:PORT,HOST:PORT"),
    ("eureka-tls://HOSTS/PATH", "Eureka, over TLS"),
    ("redis://HOST/DATABASE", "Redis or Valkey; the number DATABASE may be left out"),
    ("rediss://HOST:PORT", "Redis or Valkey, over TLS; valkeys:// is the same"),
    ("redis+sentinel://HOSTS", "Redis by its sentinels; /MASTER/DATABASE behind them"),
    (
        "rfc2136://HOSTS/ZONE",
        "DNS servers that take updates: BIND, Knot, PowerDNS, Windows; HOSTS are HOST:PORT,HOST:PORT",
    ),
    ("skydns2://HOSTS/DOMAIN", "SkyDNS 2 in etcd, by the API that etcd:// would take"),
    ("coredns://HOSTS/skydns", "CoreDNS's etcd plugin, by v3; needs ?zone=DOMAIN"),
    ("webhook+http://HOST/ZONE", "a webhook provider of external-dns (Cloudflare, Route 53, …); port 8888"),
    ("webhook+https://HOST/ZONE", "a webhook provider of external-dns, over TLS"),
    ("zookeeper://HOSTS/PATH", "ZooKeeper; HOSTS are HOST:PORT,HOST:PORT"),
    ("zookeeper-tls://HOSTS", "ZooKeeper, over TLS; with a PATH as well"),
];

/// A parameter of registry URIs, and its meaning.
pub(super) const PARAMETERS: &[(&str, &str)] = &[
    (
        "ttl=SECONDS",
        "any registry: replaces -ttl, 0 for ever; 90s and 5m as well; refreshed by -ttl-refresh, or every third of it",
    ),
    (
        "policy=POLICY",
        "any registry: sync makes it equal to what runs; upsert-only adds and changes entries, and never removes any",
    ),
    (
        "acl=ACL",
        "zookeeper: who may change our nodes. open: anyone, the default without a user; readable: this user, and \
         others may read; private: only this user",
    ),
    (
        "prefix=PREFIX",
        "redis: what all keys begin with, services by default; with a slash at its start only if you write one",
    ),
    ("zone=DOMAIN", "coredns: the domain that services are names of"),
    ("tsig-keyname=NAME", "rfc2136: the key that messages are signed with; without it they are not signed"),
    ("tsig-secret-alg=ALG", "rfc2136: hmac-sha256 (the default), hmac-sha384 or hmac-sha512"),
    ("tsig-secret-file=FILE", "rfc2136: holds the key's secret in base64, instead of RFC2136_TSIG_SECRET"),
    ("record-ttl=SECONDS", "rfc2136, webhook: the TTL of records, 60 by default"),
    ("ptr-zone=ZONES", "rfc2136: zones of reverse names, with commas, that get a PTR record for each entry"),
    ("srv=off", "webhook: no SRV records, for a provider that takes none"),
    ("interval=DURATION", "webhook: how often the provider's records are looked at, 30s by default"),
    ("auth=SCHEME", "zookeeper: how the URI's user:password is sent, digest (the default) or sasl"),
    (
        "ca=, cert=, key=FILE",
        "etcd, eureka-tls, redis, skydns2, coredns, webhook+https, zookeeper-tls: PEM files of the authority to trust, of our certificate and of its key",
    ),
    (
        "records=PATH",
        "consulkv, etcd, redis, skydns2, coredns: the prefix of the ownership records, instead of the default one",
    ),
];

/// A command line, and its effect.
pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("registrator embedded://", "this machine needs nothing else: what runs is found over HTTP and DNS"),
    ("registrator consul:", "register what runs here with the Consul agent on this host"),
    (
        "registrator -ip 10.0.0.5 -resync 600 -cleanup consul://10.0.0.5:8500",
        "under a fixed address, repaired every ten minutes",
    ),
    (
        "registrator -internal -tags '{{.Config.Hostname}}' consul-unix:///run/consul/http.sock",
        "container addresses, tagged",
    ),
    ("registrator explain web consul:", "why the container web is registered as it is"),
    ("registrator plan consul:", "what would be written, and why"),
    ("registrator validate compose.yml", "what is wrong in it, before anything is started"),
    ("registrator confd -h", "confd, built in: keeps files equal to what a store holds or to what runs"),
];

/// A variable that belongs to no option, and its effect.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("REGISTRATOR_URI", "registry URIs, separated by spaces, where the command line has none"),
    (
        "DOCKER_HOST",
        "the engine's address: unix:///path or tcp://host:port. By default, the first of these sockets that exists: \
         /tmp/docker.sock, /var/run/docker.sock, Podman's",
    ),
    ("DOCKER_TLS_VERIFY", "any value: use TLS with the engine, and verify its certificate"),
    ("DOCKER_CERT_PATH", "folder of ca.pem, cert.pem and key.pem; ~/.docker with DOCKER_TLS_VERIFY"),
    ("DOCKER_API_VERSION", "version of the engine's API, instead of the newest that both sides know"),
    ("CONSUL_HTTP_ADDR", "the agent's address, where the URI has none"),
    ("CONSUL_HTTP_TOKEN", "ACL token"),
    ("CONSUL_HTTP_TOKEN_FILE", "file that holds the ACL token"),
    ("CONSUL_HTTP_AUTH", "user:password for HTTP basic authentication"),
    ("CONSUL_HTTP_SSL", "true: use TLS with the agent"),
    ("CONSUL_HTTP_SSL_VERIFY", "false: accept any certificate of the agent"),
    ("CONSUL_CACERT", "PEM file of the authorities to trust"),
    ("CONSUL_CLIENT_CERT", "PEM file of our certificate"),
    ("CONSUL_CLIENT_KEY", "PEM file of our key"),
    ("CONSUL_NAMESPACE", "namespace to register in (Consul Enterprise)"),
    ("CONSUL_PARTITION", "admin partition to register in (Consul Enterprise)"),
    ("ETCD_ENDPOINTS", "etcd's addresses, where the URI has none; https:// before them for TLS"),
    ("ETCD_USER", "user:password for etcd, where the URI has none"),
    ("ETCD_CA_CERT_FILE", "PEM file of the authority to trust, where the URI has no ca="),
    ("ETCD_CERT_FILE", "PEM file of our certificate, where the URI has no cert="),
    ("ETCD_KEY_FILE", "PEM file of our key, where the URI has no key="),
    ("EUREKA_AUTH", "user:password for Eureka, where the URI has none"),
    (
        "EUREKA_AUTH_FILE",
        "file that holds user:password for Eureka, where the URI has none; read again when it changes",
    ),
    ("EUREKA_CACERT", "PEM file of the authority to trust, where the URI has no ca="),
    ("EUREKA_CLIENT_CERT", "PEM file of our certificate, where the URI has no cert="),
    ("EUREKA_CLIENT_KEY", "PEM file of our key, where the URI has no key="),
    ("REDIS_USER", "user:password for Redis, or :password for its default user, where the URI has none"),
    ("REDIS_SENTINEL_USER", "user:password or :password for the sentinels of redis+sentinel://"),
    ("REDIS_CA_CERT_FILE", "PEM file of the authority to trust, where the URI has no ca="),
    ("REDIS_CERT_FILE", "PEM file of our certificate, where the URI has no cert="),
    ("REDIS_KEY_FILE", "PEM file of our key, where the URI has no key="),
    ("RFC2136_TSIG_SECRET", "the secret of the key that tsig-keyname= names, in base64"),
    ("WEBHOOK_AUTH", "user:password for a webhook provider, where the URI has none"),
    (
        "WEBHOOK_AUTH_FILE",
        "file that holds user:password for a webhook provider, where the URI has none; read again when it changes",
    ),
    ("WEBHOOK_CACERT", "PEM file of the authority to trust, where the URI has no ca="),
    ("WEBHOOK_CLIENT_CERT", "PEM file of our certificate, where the URI has no cert="),
    ("WEBHOOK_CLIENT_KEY", "PEM file of our key, where the URI has no key="),
    ("ZOOKEEPER_AUTH", "user:password, where the URI has none"),
    ("ZOOKEEPER_CACERT", "PEM file of the authority to trust, where the URI has no ca="),
    ("ZOOKEEPER_CLIENT_CERT", "PEM file of our certificate, where the URI has no cert="),
    ("ZOOKEEPER_CLIENT_KEY", "PEM file of our key, where the URI has no key="),
];

/// An exit code, and its meaning.
pub(super) const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "stopped by SIGTERM or SIGINT, or a question was answered"),
    (
        "1",
        "could not start (one line says why), or could not stop within two seconds; also contradicting options, a \
         -retry-interval of 0 or less, an unknown -deregister mode, and a mistake in the file of -config",
    ),
    ("2", "invalid command line: no registry URI, an unknown option, or an invalid value of any other option"),
    ("64", "there is no such command; what 0, 1 and 2 say of a command stands with it"),
    ("128 + N", "a second signal, with number N, came before the stop was finished"),
];
