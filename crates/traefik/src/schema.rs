//! The options of Traefik's routers, services and middlewares that labels can set, and what each takes.
//!
//! Taken from Traefik's reference of its dynamic configuration, and held against the program itself: a test
//! gives every row to a real Traefik of [`VERSION`]. Two things are not here because no label sets them in Traefik
//! either: services made of other services (weighted, mirroring, failover), and transports.
//!
//! A row is a path below the object, as files spell it: `#` is a place in a list (`domains[0]` in labels), `*` any key
//! of a map.

use crate::object::{Protocol, Section};
use crate::value::Kind;

use Kind::{Bool, Duration, Int, List, Switch, Text};

/// The version of Traefik that the tables are of.
pub const VERSION: &str = "3.7";

/// An option: its path, and what it takes.
pub type Row = (&'static str, Kind);

/// A table of options.
type Table = (Protocol, Section, &'static [Row]);

/// Every option, by what it is of.
pub const EVERY_OPTION: &[Table] = &[
    (Protocol::Http, Section::Routers, HTTP_ROUTERS),
    (Protocol::Http, Section::Services, HTTP_SERVICES),
    (Protocol::Http, Section::Middlewares, HTTP_MIDDLEWARES),
    (Protocol::Tcp, Section::Routers, TCP_ROUTERS),
    (Protocol::Tcp, Section::Services, TCP_SERVICES),
    (Protocol::Tcp, Section::Middlewares, TCP_MIDDLEWARES),
    (Protocol::Udp, Section::Routers, UDP_ROUTERS),
];

const HTTP_ROUTERS: &[Row] = &[
    ("entryPoints", List),
    ("middlewares", List),
    ("observability.accessLogs", Bool),
    ("observability.metrics", Bool),
    ("observability.traceVerbosity", Text),
    ("observability.tracing", Bool),
    ("priority", Int),
    ("rule", Text),
    ("ruleSyntax", Text),
    ("service", Text),
    ("tls", Switch),
    ("tls.certResolver", Text),
    ("tls.domains.#.main", Text),
    ("tls.domains.#.sans", List),
    ("tls.options", Text),
];

const HTTP_SERVICES: &[Row] = &[
    ("loadBalancer.healthCheck.followRedirects", Bool),
    ("loadBalancer.healthCheck.headers.*", Text),
    ("loadBalancer.healthCheck.hostname", Text),
    ("loadBalancer.healthCheck.interval", Duration),
    ("loadBalancer.healthCheck.method", Text),
    ("loadBalancer.healthCheck.mode", Text),
    ("loadBalancer.healthCheck.path", Text),
    ("loadBalancer.healthCheck.port", Int),
    ("loadBalancer.healthCheck.scheme", Text),
    ("loadBalancer.healthCheck.status", Int),
    ("loadBalancer.healthCheck.timeout", Duration),
    ("loadBalancer.healthCheck.unhealthyInterval", Duration),
    ("loadBalancer.passHostHeader", Bool),
    ("loadBalancer.passiveHealthCheck.failureWindow", Duration),
    ("loadBalancer.passiveHealthCheck.maxFailedAttempts", Int),
    ("loadBalancer.responseForwarding.flushInterval", Duration),
    ("loadBalancer.serversTransport", Text),
    ("loadBalancer.sticky", Switch),
    ("loadBalancer.sticky.cookie", Switch),
    ("loadBalancer.sticky.cookie.domain", Text),
    ("loadBalancer.sticky.cookie.expires", Int),
    ("loadBalancer.sticky.cookie.httpOnly", Bool),
    ("loadBalancer.sticky.cookie.maxAge", Int),
    ("loadBalancer.sticky.cookie.name", Text),
    ("loadBalancer.sticky.cookie.path", Text),
    ("loadBalancer.sticky.cookie.sameSite", Text),
    ("loadBalancer.sticky.cookie.secure", Bool),
    ("loadBalancer.strategy", Text),
];

const HTTP_MIDDLEWARES: &[Row] = &[
    ("addPrefix.prefix", Text),
    ("basicAuth.headerField", Text),
    ("basicAuth.realm", Text),
    ("basicAuth.removeHeader", Bool),
    ("basicAuth.users", List),
    ("basicAuth.usersFile", Text),
    ("buffering.disableRequestBuffer", Bool),
    ("buffering.disableResponseBuffer", Bool),
    ("buffering.maxRequestBodyBytes", Int),
    ("buffering.maxResponseBodyBytes", Int),
    ("buffering.memRequestBodyBytes", Int),
    ("buffering.memResponseBodyBytes", Int),
    ("buffering.retryExpression", Text),
    ("chain.middlewares", List),
    ("circuitBreaker.checkPeriod", Duration),
    ("circuitBreaker.expression", Text),
    ("circuitBreaker.fallbackDuration", Duration),
    ("circuitBreaker.recoveryDuration", Duration),
    ("circuitBreaker.responseCode", Int),
    ("compress", Switch),
    ("compress.defaultEncoding", Text),
    ("compress.encodings", List),
    ("compress.excludedContentTypes", List),
    ("compress.includedContentTypes", List),
    ("compress.minResponseBodyBytes", Int),
    ("contentType", Switch),
    ("contentType.autoDetect", Bool),
    ("digestAuth.headerField", Text),
    ("digestAuth.realm", Text),
    ("digestAuth.removeHeader", Bool),
    ("digestAuth.users", List),
    ("digestAuth.usersFile", Text),
    ("encodedCharacters.allowEncodedBackSlash", Bool),
    ("encodedCharacters.allowEncodedHash", Bool),
    ("encodedCharacters.allowEncodedNullCharacter", Bool),
    ("encodedCharacters.allowEncodedPercent", Bool),
    ("encodedCharacters.allowEncodedQuestionMark", Bool),
    ("encodedCharacters.allowEncodedSemicolon", Bool),
    ("encodedCharacters.allowEncodedSlash", Bool),
    ("errors.query", Text),
    ("errors.service", Text),
    ("errors.status", List),
    ("errors.statusRewrites.*", Int),
    ("forwardAuth.addAuthCookiesToResponse", List),
    ("forwardAuth.address", Text),
    ("forwardAuth.authRequestHeaders", List),
    ("forwardAuth.authResponseHeaders", List),
    ("forwardAuth.authResponseHeadersRegex", Text),
    ("forwardAuth.authSigninURL", Text),
    ("forwardAuth.forwardBody", Bool),
    ("forwardAuth.headerField", Text),
    ("forwardAuth.maxBodySize", Int),
    ("forwardAuth.maxResponseBodySize", Int),
    ("forwardAuth.preserveLocationHeader", Bool),
    ("forwardAuth.preserveRequestMethod", Bool),
    ("forwardAuth.tls.ca", Text),
    ("forwardAuth.tls.caOptional", Bool),
    ("forwardAuth.tls.cert", Text),
    ("forwardAuth.tls.insecureSkipVerify", Bool),
    ("forwardAuth.tls.key", Text),
    ("forwardAuth.trustForwardHeader", Bool),
    ("grpcWeb.allowOrigins", List),
    ("headers.accessControlAllowCredentials", Bool),
    ("headers.accessControlAllowHeaders", List),
    ("headers.accessControlAllowMethods", List),
    ("headers.accessControlAllowOriginList", List),
    ("headers.accessControlAllowOriginListRegex", List),
    ("headers.accessControlExposeHeaders", List),
    ("headers.accessControlMaxAge", Int),
    ("headers.addVaryHeader", Bool),
    ("headers.allowedHosts", List),
    ("headers.browserXssFilter", Bool),
    ("headers.contentSecurityPolicy", Text),
    ("headers.contentSecurityPolicyReportOnly", Text),
    ("headers.contentTypeNosniff", Bool),
    ("headers.customBrowserXSSValue", Text),
    ("headers.customFrameOptionsValue", Text),
    ("headers.customRequestHeaders.*", Text),
    ("headers.customResponseHeaders.*", Text),
    ("headers.featurePolicy", Text),
    ("headers.forceSTSHeader", Bool),
    ("headers.frameDeny", Bool),
    ("headers.hostsProxyHeaders", List),
    ("headers.isDevelopment", Bool),
    ("headers.permissionsPolicy", Text),
    ("headers.publicKey", Text),
    ("headers.referrerPolicy", Text),
    ("headers.sslForceHost", Bool),
    ("headers.sslHost", Text),
    ("headers.sslProxyHeaders.*", Text),
    ("headers.sslRedirect", Bool),
    ("headers.sslTemporaryRedirect", Bool),
    ("headers.stsIncludeSubdomains", Bool),
    ("headers.stsPreload", Bool),
    ("headers.stsSeconds", Int),
    ("inFlightReq.amount", Int),
    ("inFlightReq.sourceCriterion.ipStrategy.depth", Int),
    ("inFlightReq.sourceCriterion.ipStrategy.excludedIPs", List),
    ("inFlightReq.sourceCriterion.ipStrategy.ipv6Subnet", Int),
    ("inFlightReq.sourceCriterion.requestHeaderName", Text),
    ("inFlightReq.sourceCriterion.requestHost", Bool),
    ("ipAllowList.ipStrategy", Switch),
    ("ipAllowList.ipStrategy.depth", Int),
    ("ipAllowList.ipStrategy.excludedIPs", List),
    ("ipAllowList.ipStrategy.ipv6Subnet", Int),
    ("ipAllowList.rejectStatusCode", Int),
    ("ipAllowList.sourceRange", List),
    ("ipWhiteList.ipStrategy", Switch),
    ("ipWhiteList.ipStrategy.depth", Int),
    ("ipWhiteList.ipStrategy.excludedIPs", List),
    ("ipWhiteList.ipStrategy.ipv6Subnet", Int),
    ("ipWhiteList.sourceRange", List),
    ("passTLSClientCert.info.issuer.commonName", Bool),
    ("passTLSClientCert.info.issuer.country", Bool),
    ("passTLSClientCert.info.issuer.domainComponent", Bool),
    ("passTLSClientCert.info.issuer.locality", Bool),
    ("passTLSClientCert.info.issuer.organization", Bool),
    ("passTLSClientCert.info.issuer.province", Bool),
    ("passTLSClientCert.info.issuer.serialNumber", Bool),
    ("passTLSClientCert.info.notAfter", Bool),
    ("passTLSClientCert.info.notBefore", Bool),
    ("passTLSClientCert.info.sans", Bool),
    ("passTLSClientCert.info.serialNumber", Bool),
    ("passTLSClientCert.info.subject.commonName", Bool),
    ("passTLSClientCert.info.subject.country", Bool),
    ("passTLSClientCert.info.subject.domainComponent", Bool),
    ("passTLSClientCert.info.subject.locality", Bool),
    ("passTLSClientCert.info.subject.organization", Bool),
    ("passTLSClientCert.info.subject.organizationalUnit", Bool),
    ("passTLSClientCert.info.subject.province", Bool),
    ("passTLSClientCert.info.subject.serialNumber", Bool),
    ("passTLSClientCert.pem", Bool),
    ("plugin.*.*", Text),
    ("rateLimit.average", Int),
    ("rateLimit.burst", Int),
    ("rateLimit.period", Duration),
    ("rateLimit.redis.db", Int),
    ("rateLimit.redis.dialTimeout", Duration),
    ("rateLimit.redis.endpoints", List),
    ("rateLimit.redis.maxActiveConns", Int),
    ("rateLimit.redis.minIdleConns", Int),
    ("rateLimit.redis.password", Text),
    ("rateLimit.redis.poolSize", Int),
    ("rateLimit.redis.readTimeout", Duration),
    ("rateLimit.redis.tls.ca", Text),
    ("rateLimit.redis.tls.cert", Text),
    ("rateLimit.redis.tls.insecureSkipVerify", Bool),
    ("rateLimit.redis.tls.key", Text),
    ("rateLimit.redis.username", Text),
    ("rateLimit.redis.writeTimeout", Duration),
    ("rateLimit.sourceCriterion.ipStrategy.depth", Int),
    ("rateLimit.sourceCriterion.ipStrategy.excludedIPs", List),
    ("rateLimit.sourceCriterion.ipStrategy.ipv6Subnet", Int),
    ("rateLimit.sourceCriterion.requestHeaderName", Text),
    ("rateLimit.sourceCriterion.requestHost", Bool),
    ("redirectRegex.permanent", Bool),
    ("redirectRegex.regex", Text),
    ("redirectRegex.replacement", Text),
    ("redirectScheme.permanent", Bool),
    ("redirectScheme.port", Text),
    ("redirectScheme.scheme", Text),
    ("replacePath.path", Text),
    ("replacePathRegex.regex", Text),
    ("replacePathRegex.replacement", Text),
    ("retry.attempts", Int),
    ("retry.disableRetryOnNetworkError", Bool),
    ("retry.initialInterval", Duration),
    ("retry.maxRequestBodyBytes", Int),
    ("retry.retryNonIdempotentMethod", Bool),
    ("retry.status", List),
    ("retry.timeout", Duration),
    ("stripPrefix.forceSlash", Bool),
    ("stripPrefix.prefixes", List),
    ("stripPrefixRegex.regex", List),
];

const TCP_ROUTERS: &[Row] = &[
    ("entryPoints", List),
    ("middlewares", List),
    ("priority", Int),
    ("rule", Text),
    ("ruleSyntax", Text),
    ("service", Text),
    ("tls", Switch),
    ("tls.certResolver", Text),
    ("tls.domains.#.main", Text),
    ("tls.domains.#.sans", List),
    ("tls.options", Text),
    ("tls.passthrough", Bool),
];

const TCP_SERVICES: &[Row] = &[
    ("loadBalancer.healthCheck.expect", Text),
    ("loadBalancer.healthCheck.interval", Duration),
    ("loadBalancer.healthCheck.port", Int),
    ("loadBalancer.healthCheck.send", Text),
    ("loadBalancer.healthCheck.timeout", Duration),
    ("loadBalancer.healthCheck.unhealthyInterval", Duration),
    ("loadBalancer.proxyProtocol", Switch),
    ("loadBalancer.proxyProtocol.version", Int),
    ("loadBalancer.serversTransport", Text),
    ("loadBalancer.terminationDelay", Int),
];

const TCP_MIDDLEWARES: &[Row] =
    &[("inFlightConn.amount", Int), ("ipAllowList.sourceRange", List), ("ipWhiteList.sourceRange", List)];

const UDP_ROUTERS: &[Row] = &[("entryPoints", List), ("service", Text)];

/// What labels say of the server of a service, below `loadBalancer.server`: ours to spell as one of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerOption {
    Port,
    Scheme,
    Url,
    Weight,
    PreservePath,
    Tls,
}

/// Which protocols have which of them.
const SERVER: &[(Protocol, &str, ServerOption)] = &[
    (Protocol::Http, "port", ServerOption::Port),
    (Protocol::Http, "scheme", ServerOption::Scheme),
    (Protocol::Http, "url", ServerOption::Url),
    (Protocol::Http, "weight", ServerOption::Weight),
    (Protocol::Http, "preservePath", ServerOption::PreservePath),
    (Protocol::Tcp, "port", ServerOption::Port),
    (Protocol::Tcp, "tls", ServerOption::Tls),
    (Protocol::Udp, "port", ServerOption::Port),
];

/// The option of a server with this name.
pub(crate) fn server_option(protocol: Protocol, name: &str) -> Option<ServerOption> {
    let found = SERVER.iter().find(|(of, known, _)| *of == protocol && known.eq_ignore_ascii_case(name))?;
    Some(found.2)
}

/// The options of a kind of object.
pub(crate) fn options(protocol: Protocol, section: Section) -> &'static [Row] {
    let table = EVERY_OPTION.iter().find(|(of, kind, _)| (*of, *kind) == (protocol, section));
    table.map_or(&[], |(_, _, options)| options)
}
