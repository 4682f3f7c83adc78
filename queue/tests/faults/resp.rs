//! Where a request or a reply of the Redis protocol ends. Knows no command.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Whole frames out of a stream of bytes.
pub(crate) struct Frames<R> {
    stream: R,
    bytes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// The next frame; None at the end of the stream. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = length(&self.bytes) {
                return Some(self.bytes.drain(..length).collect());
            }
            if self.stream.read_buf(&mut self.bytes).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// Bytes of the first frame, if it is whole.
fn length(bytes: &[u8]) -> Option<usize> {
    let (kind, end) = (*bytes.first()?, line_end(bytes)?);
    let count = || -> Option<i64> { std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse().ok() };
    match kind {
        b'$' | b'=' | b'!' => match count().expect("a length of a bulk string") {
            -1 => Some(end),
            size => (bytes.len() >= end + size as usize + 2).then_some(end + size as usize + 2),
        },
        b'*' | b'~' | b'>' | b'%' => {
            let members = count().expect("a length of an array").max(0);
            let members = if kind == b'%' { members * 2 } else { members };
            let mut at = end;
            for _ in 0..members {
                at += length(bytes.get(at..)?)?;
            }
            Some(at)
        }
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Some(end),
        other => panic!("no frame begins with {:?}", char::from(other)),
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(2)
        .position(|two| two == b"\r\n")
        .map(|at| at + 2)
}

/// The words of a request, or of a flat reply.
pub(crate) fn words(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let Some(mut at) = line_end(frame).filter(|_| frame[0] == b'*') else {
        return words;
    };
    while at < frame.len() {
        let Some(end) = line_end(&frame[at..]) else {
            break;
        };
        let line = &frame[at + 1..at + end - 2];
        let size = std::str::from_utf8(line).ok().and_then(|n| n.parse().ok());
        match (frame[at], size) {
            (b'$', Some(size)) => {
                let size: usize = size;
                words.push(frame[at + end..at + end + size].to_vec());
                at += end + size + 2;
            }
            _ => at += end,
        }
    }
    words
}

#[test]
fn frames_end_where_they_end() {
    for (bytes, whole) in [
        ("+OK\r\n:1\r\n", Some(5)),
        ("$3\r\nabc\r\nx", Some(9)),
        ("$3\r\nab", None),
        ("$-1\r\n", Some(5)),
        ("*-1\r\n", Some(5)),
        ("*2\r\n:1\r\n*1\r\n$1\r\na\r\n:9\r\n", Some(19)),
        ("*2\r\n:1\r\n", None),
    ] {
        assert_eq!(length(bytes.as_bytes()), whole, "{bytes:?}");
    }
    assert_eq!(
        words(b"*2\r\n$4\r\nPING\r\n$2\r\n\r\n\r\n"),
        [b"PING".to_vec(), b"\r\n".to_vec()]
    );
}
