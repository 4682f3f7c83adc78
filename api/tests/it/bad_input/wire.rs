//! HTTP/1.1 by hand, so that a request may be as wrong as it likes: no client library sends a NUL or a false length. It knows
//! bytes and answers, nothing of the service.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer of the table takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the request that the connection took before its answer was complete.
    pub(crate) sent_bytes: usize,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends and reads at once: an answer may come before the request is out.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Result<Answer, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    let (mut reader, mut writer) = stream.into_split();
    let head_only = request.starts_with(b"HEAD ");
    let mut sent_bytes = 0;
    let answered = {
        let send = async {
            for piece in request.chunks(64 * 1024) {
                // The server may have closed its side after an early answer.
                if writer.write_all(piece).await.is_err() {
                    break;
                }
                sent_bytes += piece.len();
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            answered = tokio::time::timeout(PATIENCE, read_answer(&mut reader, head_only)) => answered,
            () = send => unreachable!("sending never ends"),
        }
    };
    let mut answer = answered.map_err(|_| format!("no answer within {PATIENCE:?}"))??;
    answer.sent_bytes = sent_bytes;
    Ok(answer)
}

/// One answer; of an event stream only its head.
pub(crate) async fn read_answer(
    reader: &mut (impl AsyncReadExt + Unpin),
    head_only: bool,
) -> Result<Answer, String> {
    let mut got = Vec::new();
    let end = loop {
        if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if read_some(reader, &mut got).await? == 0 {
            return Err(format!(
                "the connection ended without an answer, after {:?}",
                String::from_utf8_lossy(&got)
            ));
        }
    };
    let mut answer = parse_head(&String::from_utf8_lossy(&got[..end]))?;
    if answer.status == 100 {
        return Err("an interim answer".to_owned());
    }
    let is_stream = answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    if head_only || is_stream || matches!(answer.status, 204 | 304) {
        return Ok(answer);
    }
    let mut body = got.split_off(end + 4);
    let length: Option<usize> = answer
        .header("content-length")
        .and_then(|length| length.parse().ok());
    while length.is_none_or(|length| body.len() < length) {
        if read_some(reader, &mut body).await? == 0 {
            break;
        }
    }
    if length.is_some_and(|length| body.len() != length) {
        return Err(format!("{} bytes of {length:?} came", body.len()));
    }
    answer.body = body;
    Ok(answer)
}

async fn read_some(
    reader: &mut (impl AsyncReadExt + Unpin),
    into: &mut Vec<u8>,
) -> Result<usize, String> {
    let mut piece = [0; 16 * 1024];
    let count = reader
        .read(&mut piece)
        .await
        .map_err(|error| format!("the connection broke: {error}"))?;
    into.extend_from_slice(&piece[..count]);
    Ok(count)
}

fn parse_head(head: &str) -> Result<Answer, String> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| format!("no HTTP answer: {head:?}"))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Ok(Answer {
        status,
        headers,
        ..Answer::default()
    })
}
