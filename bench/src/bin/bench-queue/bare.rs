//! What three round trips to Redis cost when nearly nothing is done in them: enqueue = a body and a list, claim = RPOPLPUSH, acknowledge =
//! LREM and DEL. No lease, no token, no event, no outbox, no counter, no client library. It is no queue that one could use; no
//! queue of three round trips can be faster than it, so its row is the ceiling of the table.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bench::process::processor_time;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::contender::Figures;

const ENQUEUE: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('LPUSH', 'waiting', ARGV[2]) return 1";
const CLAIM: &str = "local id = redis.call('RPOPLPUSH', 'waiting', 'running') if not id then return '' end \
     redis.call('GET', 'body:' .. id) return id";
const ACKNOWLEDGE: &str =
    "redis.call('LREM', 'running', 0, ARGV[1]) redis.call('DEL', KEYS[1]) return 1";

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, default_value = "")]
    socket: String,
    #[arg(long)]
    tasks: usize,
    #[arg(long)]
    warm_up: usize,
    #[arg(long)]
    clients: usize,
    #[arg(long)]
    payload: usize,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection: one command at a time.
struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    request: Vec<u8>,
}

impl Connection {
    async fn open(options: &Options) -> Result<Self> {
        let stream: Box<dyn Stream> = if options.port > 0 {
            let stream = TcpStream::connect(("127.0.0.1", options.port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        } else {
            Box::new(UnixStream::connect(&options.socket).await?)
        };
        Ok(Self {
            stream: BufReader::new(stream),
            request: Vec::new(),
        })
    }

    /// The answer as text, whatever its type.
    async fn call(&mut self, words: &[&[u8]]) -> Result<Vec<u8>> {
        self.request.clear();
        self.request
            .extend(format!("*{}\r\n", words.len()).into_bytes());
        for word in words {
            self.request
                .extend(format!("${}\r\n", word.len()).into_bytes());
            self.request.extend_from_slice(word);
            self.request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&self.request).await?;
        let mut head = Vec::new();
        self.stream.read_until(b'\n', &mut head).await?;
        let (kind, rest) = head.split_first().context("the server hung up")?;
        let rest = rest.trim_ascii().to_vec();
        match kind {
            b'$' => {
                let bytes: usize = String::from_utf8(rest)?.parse()?;
                let mut body = vec![0; bytes + 2];
                self.stream.read_exact(&mut body).await?;
                body.truncate(bytes);
                Ok(body)
            }
            b'-' => bail!("{}", String::from_utf8_lossy(&rest)),
            _ => Ok(rest),
        }
    }

    async fn load(&mut self, script: &str) -> Result<Vec<u8>> {
        self.call(&[b"SCRIPT", b"LOAD", script.as_bytes()]).await
    }
}

pub(crate) fn run(options: &Options) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(cycle(options, "warm", options.warm_up))?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let pid = std::process::id();
    let before = processor_time(pid)?;
    let figures = runtime.block_on(cycle(options, "task", options.tasks))?;
    Ok(Figures {
        cpu_seconds: (processor_time(pid)? - before).as_secs_f64(),
        ..figures
    })
}

async fn cycle(options: &Options, phase: &str, count: usize) -> Result<Figures> {
    let body = vec![b'x'; options.payload];
    let start = Instant::now();
    let mut all = JoinSet::new();
    for first in 0..options.clients {
        let mut connection = Connection::open(options).await?;
        let (script, body) = (connection.load(ENQUEUE).await?, body.clone());
        let (phase, step) = (phase.to_owned(), options.clients);
        all.spawn(async move {
            for n in (first..count).step_by(step) {
                let id = format!("{phase}-{n}");
                let key = format!("body:{id}");
                let words = [
                    b"EVALSHA",
                    &script[..],
                    b"1",
                    key.as_bytes(),
                    &body[..],
                    id.as_bytes(),
                ];
                connection.call(&words).await?;
            }
            Ok(())
        });
    }
    let ended: Result<Vec<()>> = all.join_all().await.into_iter().collect();
    ended?;
    let enqueue_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..options.clients {
        let mut connection = Connection::open(options).await?;
        let claim = connection.load(CLAIM).await?;
        let acknowledge = connection.load(ACKNOWLEDGE).await?;
        all.spawn(async move {
            let mut done = Vec::new();
            loop {
                let id = connection.call(&[b"EVALSHA", &claim, b"0"]).await?;
                if id.is_empty() {
                    return Ok(done);
                }
                let key = [b"body:", &id[..]].concat();
                connection
                    .call(&[b"EVALSHA", &acknowledge, b"1", &key, &id])
                    .await?;
                done.push(id);
            }
        });
    }
    let ended: Result<Vec<Vec<Vec<u8>>>> = all.join_all().await.into_iter().collect();
    let finished = ended?.concat();
    let drain_seconds = start.elapsed().as_secs_f64();
    ensure!(
        finished.len() == count,
        "{} of {count} tasks",
        finished.len()
    );
    let distinct: HashSet<&Vec<u8>> = finished.iter().collect();
    Ok(Figures {
        finished: finished.len(),
        distinct: distinct.len(),
        settled: true,
        enqueue_seconds,
        drain_seconds,
        cpu_seconds: 0.0,
    })
}
