//! Any bytes as the answers of a DNS server that a zone is read from and written to: never a panic, never a hang, and
//! every refusal is one line.
//!
//! The input is a row of answers, each behind its length in two bytes; they are given in turn, with the number of the
//! question that they answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::vec::IntoIter;

use registrator::config::{Environment, RegistryConfig};
use registrator::event::Events;
use registrator::registry::{Action, Entry, Marked, Reason, RegistryError, Scope, Write, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// No call may take longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let mut answers = Vec::new();
    let mut rest = data;
    while let Some((length, more)) = rest.split_at_checked(2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).min(more.len());
        let (answer, more) = more.split_at(length);
        answers.push(answer.to_vec());
        rest = more;
    }
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("rfc2136://{}/example", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, answers));
        timeout(DEADLINE, ask(uri)).await.unwrap();
    });
}

async fn ask(uri: String) {
    let config = RegistryConfig {
        uri,
        owner: "host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(Environment::default()),
    };
    let registry = open(&config, &Events::new(|_| {})).unwrap().registry;
    let scope = Scope { keys: None, contents: true, looks: false };
    let mut said = vec![registry.ping().await];
    match registry.read(&scope).await {
        Ok(entries) => {
            for Entry { key, owner, content, .. } in &entries {
                assert!(key.ends_with(".example"), "{key:?} is outside of the zone");
                assert!(owner.is_some() && content.is_some(), "{key:?} has no owner or no content");
            }
        }
        Err(error) => said.push(Err(error)),
    }
    let entry = Entry {
        key: "a.web.example".into(),
        service_id: "a".into(),
        owner: Some("host".into()),
        fingerprint: 0,
        marked: Marked::No,
        critical: false,
        content: None,
    };
    let write = Write { key: entry.key.clone(), action: Action::Remove(entry), reason: Reason::Withdrawn };
    said.extend(registry.apply(&[write]).await);
    for result in said {
        if let Err(
            RegistryError::Unreachable(line) | RegistryError::Refused { text: line, .. } | RegistryError::Taken(line),
        ) = result
        {
            assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
        }
    }
}

/// Gives the answers, one to each question; then connections are closed.
async fn serve(listener: TcpListener, answers: Vec<Vec<u8>>) {
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, Arc::clone(&answers)));
    }
}

async fn converse(mut stream: TcpStream, answers: Arc<Mutex<IntoIter<Vec<u8>>>>) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; length.into()];
        stream.read_exact(&mut question).await?;
        let Some(mut answer) = answers.lock().unwrap().next() else { return Ok(()) };
        let number = answer.len().min(question.len()).min(2);
        answer[..number].copy_from_slice(&question[..number]);
        stream.write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX)).await?;
        stream.write_all(&answer).await?;
    }
}
