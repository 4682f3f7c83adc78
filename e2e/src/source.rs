//! A file server for recordings on this machine, as small as HTTP can be: GET and HEAD of files in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::recording;

pub(crate) struct Source {
    address: SocketAddr,
    files: Files,
    asked: Arc<AtomicUsize>,
}

type Files = Arc<std::sync::Mutex<BTreeMap<String, Arc<Vec<u8>>>>>;

impl Source {
    pub(crate) async fn start(
        host: IpAddr,
        files: BTreeMap<String, Vec<u8>>,
    ) -> anyhow::Result<Source> {
        let listener = TcpListener::bind((host, 0)).await.with_context(|| {
            format!("cannot serve recordings at {host}; is E2E_HOST this machine?")
        })?;
        let address = listener.local_addr()?;
        let files: Files = Arc::new(std::sync::Mutex::new(
            files
                .into_iter()
                .map(|(path, bytes)| (path, Arc::new(bytes)))
                .collect(),
        ));
        let asked = Arc::new(AtomicUsize::new(0));
        let (served, count) = (Arc::clone(&files), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (files, count) = (Arc::clone(&served), Arc::clone(&count));
                tokio::spawn(async move {
                    // Whoever hangs up early has seen enough.
                    let _ = answer(stream, &files, &count).await;
                });
            }
        });
        Ok(Source {
            address,
            files,
            asked,
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address of a melody of that many seconds, which is made at the first call.
    pub(crate) fn long(&self, seconds: u32) -> String {
        let path = format!("/melody-{seconds}.wav");
        if let Ok(mut files) = self.files.lock() {
            files
                .entry(path.clone())
                .or_insert_with(|| Arc::new(recording::melody(seconds, seconds)));
        }
        self.url(&path)
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(stream: TcpStream, files: &Files, count: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await? == 0 || header.trim().is_empty() {
            break;
        }
    }
    count.fetch_add(1, Ordering::Relaxed);
    let mut words = request.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let found = match files.lock() {
        Ok(files) => files.get(path).cloned(),
        Err(_) => None,
    };
    let (status, body) = match &found {
        Some(bytes) => ("200 OK", bytes.as_slice()),
        None => ("404 Not Found", b"no such recording\n".as_slice()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(body).await?;
    }
    stream.shutdown().await
}
