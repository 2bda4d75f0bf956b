//! Any bytes as a Redis server's answers: never a panic, never a hang, and every refusal is one line.
//!
//! The input is answers, split at NULs and given in turn, one whenever something is asked. A server that is not asked
//! again soon closes the connection, since the client may wait for the rest of an answer that is not whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::answers;

/// How long all calls may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a server waits for the next request.
const IDLE: Duration = Duration::from_millis(5);

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let answers: Arc<Vec<Vec<u8>>> = Arc::new(data.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let turns = Arc::new(AtomicUsize::new(0));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&turns), Arc::clone(&answers)));
            }
        });
        timeout(DEADLINE, answers::ask(format!("redis://:pw@{address}/1"), address)).await.unwrap();
    });
}

async fn converse(mut stream: TcpStream, turns: Arc<AtomicUsize>, answers: Arc<Vec<Vec<u8>>>) {
    let mut asked = vec![0; 1 << 16];
    while let Ok(Ok(1..)) = timeout(IDLE, stream.read(&mut asked)).await {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        if stream.write_all(&answers[turn % answers.len()]).await.is_err() {
            return;
        }
    }
}
