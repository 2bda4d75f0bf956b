//! Speaks with the server: one message and its answer, signed and verified, or a transfer of the whole zone.
//!
//! Always over TCP: updates and sets of records are often too large for UDP, and nobody can answer in the server's stead.
//! A connection that failed once is not used again. A message goes to the server that answered last; if that one does not
//! answer, to the next.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType, TSigVerifier, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::registry::RegistryError;
use crate::registry::servers::Server;

use super::failure::{Fault, REQUEST, Words};
use super::key;
use super::message::question;
use super::settings::{KeySettings, Settings};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(4);
/// How many connections are kept. Servers close idle ones after a while.
const KEPT: usize = 16;
/// The maximum number of records in a transfer, so that no server fills the memory.
const MOST_RECORDS: usize = 2_000_000;

/// One or more servers.
pub(super) struct Client {
    servers: Vec<Server>,
    /// The index of the server that answered last.
    current: AtomicUsize,
    key: Option<KeySettings>,
    pub(super) words: Words,
    /// Connections, each with the index of its server.
    idle: Mutex<Vec<(usize, TcpStream)>>,
}

/// The servers, with the key of now.
pub(super) struct Session<'a> {
    client: &'a Client,
    signer: Option<TSigner>,
}

/// What a transfer is answered with.
pub(super) enum Transfer {
    /// All records of the zone.
    Whole(Vec<Record>),
    /// It is not for us.
    Denied,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            servers: settings.servers.clone(),
            current: AtomicUsize::default(),
            key: settings.key.clone(),
            words: Words::new(settings),
            idle: Mutex::default(),
        }
    }

    /// A session with the key of now.
    ///
    /// # Errors
    /// When the key's secret cannot be read.
    pub(super) async fn session(&self) -> Result<Session<'_>, RegistryError> {
        let signer = match &self.key {
            Some(key) => Some(key::signer(key).await?),
            None => None,
        };
        Ok(Session { client: self, signer })
    }

    fn take(&self, server: usize) -> Option<TcpStream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let place = idle.iter().position(|(of, _)| *of == server)?;
        Some(idle.swap_remove(place).1)
    }

    fn keep(&self, server: usize, stream: TcpStream) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push((server, stream));
        }
    }

    fn drop_idle(&self, server: usize) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| *of != server);
    }

    /// The servers, the one that answered last first.
    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (count, first) = (self.servers.len(), self.current.load(Ordering::Relaxed));
        (0..count).map(move |step| (first + step) % count)
    }

    /// A server answered: it is asked first from now on.
    fn answers(&self, server: usize) {
        self.current.store(server, Ordering::Relaxed);
    }

    async fn connect(&self, server: usize) -> Result<TcpStream, Fault> {
        let Server { host, port } = self.servers.get(server).ok_or(Fault::Lost)?;
        let stream = match timeout(CONNECT, TcpStream::connect((host.as_str(), *port))).await {
            Ok(stream) => stream.map_err(Fault::Connect)?,
            Err(_) => return Err(Fault::Late),
        };
        stream.set_nodelay(true).map_err(Fault::Connect)?;
        Ok(stream)
    }
}

impl Session<'_> {
    /// The words of its faults.
    pub(super) fn words(&self) -> &Words {
        &self.client.words
    }

    /// Sends a message, and returns the verified answer. A message may arrive twice: updates have conditions.
    ///
    /// # Errors
    /// When no answer can be used.
    pub(super) async fn ask(&self, message: Message) -> Result<Message, Fault> {
        let mut last = Fault::Lost;
        for server in self.client.in_turn() {
            match self.ask_one(server, message.clone()).await {
                Err(fault) if fault.is_away() => last = fault,
                answered => {
                    self.client.answers(server);
                    return answered;
                }
            }
        }
        Err(last)
    }

    async fn ask_one(&self, server: usize, message: Message) -> Result<Message, Fault> {
        let asked = async {
            if let Some(mut stream) = self.client.take(server)
                && let Ok(answer) = self.exchange(&mut stream, message.clone()).await
            {
                self.client.keep(server, stream);
                return Ok(answer);
            }
            let mut stream = self.client.connect(server).await?;
            let answer = self.exchange(&mut stream, message).await?;
            self.client.keep(server, stream);
            Ok(answer)
        };
        let answer = timeout(REQUEST, asked).await.unwrap_or(Err(Fault::Late));
        if answer.is_err() {
            self.client.drop_idle(server);
        }
        answer
    }

    async fn exchange(&self, stream: &mut TcpStream, message: Message) -> Result<Message, Fault> {
        let id = message.id;
        let mut reader = self.send(stream, message).await?;
        let answer = reader.next(stream).await?;
        if answer.id == id { Ok(answer) } else { Err(Fault::Foreign) }
    }

    async fn send(&self, stream: &mut TcpStream, mut message: Message) -> Result<Reader, Fault> {
        let unspeakable = |error: hickory_proto::ProtoError| Fault::Unspeakable(error.to_string());
        let verifier = match &self.signer {
            Some(signer) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                message.finalize(signer, now).map_err(unspeakable)?
            }
            None => None,
        };
        let bytes = message.to_vec().map_err(unspeakable)?;
        let length = u16::try_from(bytes.len()).map_err(|_| Fault::Unspeakable("it is too long".to_owned()))?;
        let framed = [&length.to_be_bytes()[..], &bytes].concat();
        stream.write_all(&framed).await.map_err(|_| Fault::Lost)?;
        Ok(Reader { verifier })
    }

    /// All records of a zone, if the server gives them to us.
    ///
    /// # Errors
    /// When there is no answer that can be used, or it is not whole.
    pub(super) async fn transfer(&self, zone: &Name) -> Result<Transfer, Fault> {
        let mut last = Fault::Lost;
        for server in self.client.in_turn() {
            let transfer = match self.transfer_once(server, zone).await {
                // A zone that changes at the moment, or a server that is short of connections.
                Err(Fault::Lost) => self.transfer_once(server, zone).await,
                transfer => transfer,
            };
            match transfer {
                Err(fault) if fault.is_away() => last = fault,
                transfer => {
                    self.client.answers(server);
                    return transfer;
                }
            }
        }
        Err(last)
    }

    async fn transfer_once(&self, server: usize, zone: &Name) -> Result<Transfer, Fault> {
        let mut stream = self.client.connect(server).await?;
        let mut reader = self.send(&mut stream, question(zone, RecordType::AXFR)).await?;
        let mut whole = Folded::default();
        loop {
            let next = timeout(REQUEST, reader.next(&mut stream)).await.unwrap_or(Err(Fault::Late));
            let message = match next {
                Ok(message) => message,
                // Some servers close the connection on whoever may not.
                Err(Fault::Lost) if whole.is_empty() => return Ok(Transfer::Denied),
                // PowerDNS says so where transfers are off; other questions will tell.
                Err(Fault::Signature(_)) if whole.is_empty() => return Ok(Transfer::Denied),
                Err(fault) => return Err(fault),
            };
            match message.response_code {
                ResponseCode::NoError => {}
                _ if whole.is_empty() => return Ok(Transfer::Denied),
                _ => return Err(Fault::Lost),
            }
            if whole.take(message.answers)? {
                return Ok(Transfer::Whole(whole.0));
            }
        }
    }
}

/// Records of a transfer, up to the SOA at its end.
#[derive(Default)]
struct Folded(Vec<Record>);

impl Folded {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the records of the next message; true if the transfer is whole.
    fn take(&mut self, records: Vec<Record>) -> Result<bool, Fault> {
        if records.is_empty() {
            return Err(Fault::Foreign);
        }
        for record in records {
            let is_soa = record.record_type() == RecordType::SOA;
            if self.0.is_empty() != is_soa {
                if is_soa {
                    return Ok(true);
                }
                if self.0.is_empty() || self.0.len() == MOST_RECORDS {
                    return Err(Fault::Foreign);
                }
            }
            self.0.push(record);
        }
        Ok(false)
    }
}

/// Reads the answers to one message.
struct Reader {
    verifier: Option<TSigVerifier>,
}

impl Reader {
    async fn next(&mut self, stream: &mut TcpStream) -> Result<Message, Fault> {
        let mut length = [0; 2];
        stream.read_exact(&mut length).await.map_err(|_| Fault::Lost)?;
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        match stream.read_exact(&mut bytes).await {
            Ok(_) => {}
            // Whatever it began with was no length.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Fault::Foreign),
            Err(_) => return Err(Fault::Lost),
        }
        answer(&bytes, self.verifier.as_mut())
    }
}

/// Reads an answer, and verifies it. An answer that refuses may come without a signature.
pub(super) fn answer(bytes: &[u8], verifier: Option<&mut TSigVerifier>) -> Result<Message, Fault> {
    let message = Message::from_vec(bytes).map_err(|_| Fault::Foreign)?;
    if message.message_type != MessageType::Response {
        return Err(Fault::Foreign);
    }
    let Some(verifier) = verifier else { return Ok(message) };
    if let Some(error) = message.signature().and_then(|signature| signature.data.error) {
        return Err(Fault::Signature(error));
    }
    match (message.signature(), message.response_code) {
        (None, ResponseCode::NoError | ResponseCode::NXDomain) => Err(Fault::Unproven),
        (None, _) => Ok(message),
        (Some(_), _) => match verifier.verify(bytes) {
            Ok(_) => Ok(message),
            Err(_) => Err(Fault::Unproven),
        },
    }
}
