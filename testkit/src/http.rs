//! Just enough HTTP/1.1 for tests to ask a server, and to stand between two programs: one request for each connection.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::net::{Place, Stream};

/// A request, as it came or as it is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path with its parameters, as it was written.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Reply {
    /// The first header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

/// Sends a request over a connection of its own and reads the whole answer.
///
/// # Errors
/// Those of the connection, or an answer that is not HTTP.
pub async fn send(place: &Place, request: &Request) -> io::Result<Reply> {
    let mut stream = place.connect().await?;
    let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.path);
    if request.header("host").is_none() {
        head += "host: localhost\r\n";
    }
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), "connection" | "content-length" | "transfer-encoding" | "expect") {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head += &format!("content-length: {}\r\n\r\n", request.body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&request.body).await?;
    let mut stream = BufReader::new(stream);
    let (first, headers) = head_of(&mut stream).await?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(not_http)?;
    let body = body_of(&mut stream, &headers, true).await?;
    Ok(Reply { status, headers, body })
}

/// Reads one request.
pub(crate) async fn receive(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<Request> {
    let (first, headers) = head_of(stream).await?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Err(not_http()) };
    let body = body_of(stream, &headers, false).await?;
    Ok(Request { method: method.to_owned(), path: path.to_owned(), headers, body })
}

/// Answers it, and ends the connection.
pub(crate) async fn answer(stream: &mut BufReader<Box<dyn Stream>>, reply: &Reply) -> io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {} \r\nconnection: close\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        if !matches!(name.as_str(), "connection" | "content-length" | "transfer-encoding") {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&reply.body).await?;
    stream.shutdown().await
}

async fn head_of(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<(String, Vec<(String, String)>)> {
    let first = line_of(stream).await?;
    let mut headers = Vec::new();
    loop {
        let line = line_of(stream).await?;
        if line.is_empty() {
            return Ok((first, headers));
        }
        let (name, value) = line.split_once(':').ok_or_else(not_http)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

async fn line_of(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

async fn body_of(
    stream: &mut BufReader<Box<dyn Stream>>,
    headers: &[(String, String)],
    to_the_end: bool,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if header(headers, "transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line_of(stream).await?, 16).map_err(|_| not_http())?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await?;
            line_of(stream).await?;
            if size == 0 {
                return Ok(body);
            }
            body.append(&mut chunk);
        }
    }
    match header(headers, "content-length").map(str::parse) {
        Some(Ok(length)) => {
            body.resize(length, 0);
            stream.read_exact(&mut body).await?;
        }
        Some(Err(_)) => return Err(not_http()),
        None if to_the_end => {
            stream.read_to_end(&mut body).await?;
        }
        None => {}
    }
    Ok(body)
}

fn not_http() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not HTTP")
}
