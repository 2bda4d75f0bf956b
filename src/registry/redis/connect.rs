//! Makes connections: over TCP or a unix socket, with TLS where it is wanted, to the master where sentinels know it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, RedisConnectionInfo, cmd};
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::address::{Login, Target};
use super::failure::Failure;
use crate::http::{Tls, tls_config};
use crate::registry::servers::Server;
use crate::registry::text::one_line;

/// How long connecting to one server may take, and an answer.
const CONNECT: Duration = Duration::from_secs(3);
pub(super) const ANSWER: Duration = Duration::from_secs(6);
/// How long it may take to find out whether a server speaks TLS.
const PROBE: Duration = Duration::from_secs(1);

/// What bytes go over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How servers are reached.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) target: Target,
    pub(super) database: i64,
    pub(super) tls: Option<Tls>,
    pub(super) login: Login,
    /// Who we are to the sentinels.
    pub(super) sentinel_login: Login,
}

/// A connection, which is closed when its last clone is dropped.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    _driver: Arc<AbortOnDropHandle<()>>,
}

impl Reach {
    /// A connection to the database. Returns the server that it leads to, if it is not always the same.
    pub(super) async fn live(&self) -> Result<(Live, Option<Server>), Failure> {
        let (stream, master) = self.stream().await?;
        let mut live = live(stream, &self.login).await?;
        if self.database != 0 {
            cmd("SELECT").arg(self.database).query_async::<()>(&mut live.connection).await?;
        }
        if master.is_some() {
            is_master(&mut live.connection).await?;
        }
        Ok((live, master))
    }

    /// A connection of its own that hears of events.
    pub(super) async fn subscription(&self) -> Result<PubSub, Failure> {
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(user) = &self.login.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.login.password {
            info = info.set_password(password.expose_secret());
        }
        let (stream, _) = self.stream().await?;
        Ok(PubSub::new(&info, stream).await?)
    }

    /// The server that the sentinels say is the master; `None` without sentinels.
    pub(super) async fn master(&self) -> Result<Option<Server>, Failure> {
        let Target::Sentinels(sentinels, master) = &self.target else { return Ok(None) };
        let mut last = Failure::Late;
        let mut unknown = false;
        for sentinel in sentinels {
            match timeout(CONNECT, self.ask(sentinel, master)).await {
                Ok(Ok(Some(server))) => return Ok(Some(server)),
                Ok(Ok(None)) => unknown = true,
                // It is the sentinel that refuses, so the server's own credentials are not to blame.
                Ok(Err(failure)) => match failure.answer() {
                    Some((code, text)) if code == "ERR" && text.starts_with("unknown command") => {
                        last = Failure::Other(format!(
                            "the sentinel {sentinel} is a Redis server and no sentinel; correct the host and the port in the \
                             URI"
                        ));
                    }
                    Some((code, text)) => {
                        last = Failure::Other(format!(
                            "the sentinel {sentinel} refuses to answer ({}); give its user and password in \
                             REDIS_SENTINEL_USER",
                            one_line(&format!("{code} {text}"), 300)
                        ));
                    }
                    None => last = failure,
                },
                Err(_) => {}
            }
        }
        if unknown {
            return Err(Failure::Other(format!(
                "its sentinels know no master {master:?}; correct the name in the URI"
            )));
        }
        Err(last)
    }

    async fn ask(&self, sentinel: &Server, master: &str) -> Result<Option<Server>, Failure> {
        let stream = tcp(sentinel, self.tls.as_ref()).await?;
        let mut live = live(stream, &self.sentinel_login).await?;
        let said: Option<(String, u16)> =
            cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut live.connection).await?;
        Ok(said.map(|(host, port)| Server { host, port }))
    }

    async fn stream(&self) -> Result<(Box<dyn Stream>, Option<Server>), Failure> {
        match &self.target {
            Target::Server(server) => Ok((tcp(server, self.tls.as_ref()).await?, None)),
            Target::Socket(path) => Ok((unix(path).await?, None)),
            Target::Sentinels(..) => {
                let master = self.master().await?;
                let Some(server) = &master else { return Err(Failure::Late) };
                Ok((tcp(server, self.tls.as_ref()).await?, master))
            }
        }
    }
}

/// A connection over a stream. It logs in by itself: the client's own way hides why the server refuses.
async fn live(stream: Box<dyn Stream>, login: &Login) -> Result<Live, Failure> {
    let info = RedisConnectionInfo::default().set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
    let driver = Arc::new(AbortOnDropHandle::new(tokio::spawn(driver)));
    if let Some(password) = &login.password {
        let mut auth = cmd("AUTH");
        if let Some(user) = &login.user {
            auth.arg(user);
        }
        auth.arg(password.expose_secret()).query_async::<()>(&mut connection).await?;
    }
    Ok(Live { connection, _driver: driver })
}

/// Sentinels tell of a master a moment before it is one.
async fn is_master(connection: &mut MultiplexedConnection) -> Result<(), Failure> {
    // Who may not ask is told by the first write.
    let Ok(role) = cmd("ROLE").query_async::<Vec<redis::Value>>(connection).await else { return Ok(()) };
    match role.into_iter().next().map(redis::from_redis_value::<String>) {
        Some(Ok(role)) if role != "master" => {
            Err(Failure::Other("the server that its sentinels name is not the master yet".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Whether a server answers without TLS: one that expects none waits for the end of what it takes for a command.
pub(super) async fn answers_plainly(server: &Server) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    };
    matches!(timeout(PROBE, asked).await, Ok(Ok(b'+' | b'-')))
}

async fn unix(path: &Path) -> Result<Box<dyn Stream>, Failure> {
    let connected = timeout(CONNECT, UnixStream::connect(path)).await.map_err(|_| Failure::Late)?;
    Ok(Box::new(connected?))
}

async fn tcp(server: &Server, tls: Option<&Tls>) -> Result<Box<dyn Stream>, Failure> {
    let connecting = async {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Box::new(stream) as Box<dyn Stream>) };
        // The files are read for each connection, so they may be renewed.
        let config = tls_config(tls).map_err(io::Error::other)?;
        let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok::<_, io::Error>(Box::new(stream) as Box<dyn Stream>)
    };
    Ok(timeout(CONNECT, connecting).await.map_err(|_| Failure::Late)??)
}
