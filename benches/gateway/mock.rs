//! The provider: answers every request from rendered text, over kept-alive connections, without delay.
//!
//! Must not know who asks. It reads no more of a body than its end, so that its own cost stays small and even.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::http;
use crate::script::{Answers, Shape};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 8_192;
/// Far above the largest body that is sent.
const REQUEST_BYTES_MAX: usize = 8 << 20;
/// A pace that is none.
const SILENCE: Duration = Duration::from_mins(1);
const READ_BYTES: usize = 64 << 10;

pub(crate) fn run(port: &str) -> anyhow::Result<()> {
    let port: u16 = port.parse().context("PORT")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(port)).context("mock")
}

async fn serve(port: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let listener = socket.listen(BACKLOG)?;
    let answers = Arc::new(Answers::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = Arc::clone(&answers);
        // A connection that breaks shows on the other side.
        tokio::spawn(async move { converse(stream, &answers).await.ok() });
    }
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(shape) = read_request(&mut stream, &mut buffer).await? {
        match shape {
            Shape::Unary => stream.write_all(&answers.unary).await?,
            Shape::Stream { pace_ms } => write_stream(&mut stream, answers, Duration::from_millis(pace_ms)).await?,
        }
    }
    Ok(())
}

/// One write an event, as providers do.
async fn write_stream(stream: &mut TcpStream, answers: &Answers, pace: Duration) -> io::Result<()> {
    stream.write_all(&answers.stream_head).await?;
    // Who falls silent has said something before; the first event has no content yet.
    let at_once = if pace < SILENCE { 1 } else { 2 };
    for (number, event) in answers.events.iter().enumerate() {
        // Not behind the last: the next request on this connection would wait.
        if number >= at_once && !pace.is_zero() {
            // A peer that leaves is not waited for: its socket is one of those that may be open.
            tokio::select! {
                () = tokio::time::sleep(pace) => {}
                _ = stream.read_u8() => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        stream.write_all(event).await?;
    }
    Ok(())
}

/// Reads one request whole; nothing when the connection was closed between two.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Shape>> {
    buffer.clear();
    let mut request_bytes = None;
    while request_bytes.is_none_or(|bytes| buffer.len() < bytes) {
        // Reading into the spare room avoids clearing it for each request.
        buffer.reserve(READ_BYTES.min(request_bytes.unwrap_or(READ_BYTES)));
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if request_bytes.is_none()
            && let Some(head) = http::Head::find(buffer)
        {
            let body_bytes = head.content_length().ok_or(io::ErrorKind::Unsupported)?;
            request_bytes = Some(head.bytes() + body_bytes);
        }
        if buffer.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    let bytes = request_bytes.unwrap_or(0);
    if buffer.len() > bytes { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some(Shape::of_body(buffer))) }
}
