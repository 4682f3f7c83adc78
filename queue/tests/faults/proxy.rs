//! A proxy between a client and redis-server that breaks the wire at one place of one call, when it is told to. It knows
//! where requests and replies end, and the scripts by their hashes; it never changes a byte.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

use crate::resp::{Frames, words};

/// Where the wire breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing of the request reaches the server.
    BeforeRequest,
    /// The server acts; nothing of its reply reaches the client.
    AfterRequest,
    /// The server acts; half of its reply reaches the client.
    HalfReply,
    /// The client has its whole reply, and then a dead connection.
    AfterReply,
    /// The connection ends, and the request reaches the server only with `deliver_late`.
    Late,
    /// The connection stays open, and nothing passes any more in either direction.
    Silent,
}

/// Which call the cut is for.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// EVALSHA of this hash.
    Script(String),
    /// SCRIPT LOAD of this text.
    Load(String),
    /// A command by its name.
    Command(&'static str),
    /// A message of pub/sub.
    Message,
}

impl Call {
    fn is(&self, request: &[Vec<u8>]) -> bool {
        let word = |at: usize| request.get(at).map(Vec::as_slice).unwrap_or_default();
        match self {
            Call::Script(hash) => {
                word(0).eq_ignore_ascii_case(b"EVALSHA") && word(1) == hash.as_bytes()
            }
            Call::Load(text) => {
                word(0).eq_ignore_ascii_case(b"SCRIPT")
                    && word(1).eq_ignore_ascii_case(b"LOAD")
                    && word(2) == text.as_bytes()
            }
            Call::Command(name) => word(0).eq_ignore_ascii_case(name.as_bytes()),
            Call::Message => word(0) == b"message" || word(0) == b"pmessage",
        }
    }
}

struct Shared {
    server: PathBuf,
    plan: Mutex<Option<(Call, Cut)>>,
    cuts: AtomicUsize,
    connections: AtomicUsize,
    late: Mutex<Vec<Vec<u8>>>,
    /// Nothing that is accepted from now on gets an answer.
    deaf: Mutex<bool>,
}

pub(crate) struct Proxy {
    shared: Arc<Shared>,
    socket: PathBuf,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn before(server: PathBuf) -> Self {
        // Beside the server's own socket, so that it goes with the server's folder.
        let socket = server.with_file_name(format!("wire-{:08x}.sock", rand::random::<u32>()));
        let listener = UnixListener::bind(&socket).unwrap();
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::default(),
            cuts: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            late: Mutex::default(),
            deaf: Mutex::new(false),
        });
        let own = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                own.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, Arc::clone(&own)));
            }
        });
        Self {
            shared,
            socket,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Breaks the wire at the next such call, once.
    pub(crate) fn cut_next(&self, call: Call, cut: Cut) {
        *self.shared.plan.lock().unwrap() = Some((call, cut));
    }

    /// How often the wire has been broken.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// New connections are taken and never answered.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        *self.shared.deaf.lock().unwrap() = deaf;
    }

    /// Brings the requests that were held back to the server, on a connection of their own, and waits until it has acted.
    pub(crate) async fn deliver_late(&self) -> usize {
        let held = std::mem::take(&mut *self.shared.late.lock().unwrap());
        let (read, mut write) = UnixStream::connect(&self.shared.server)
            .await
            .unwrap()
            .into_split();
        let mut replies = Frames::new(read);
        for request in &held {
            write.write_all(request).await.unwrap();
            let reply = replies.next().await.expect("an answer of the server");
            let text = String::from_utf8_lossy(&reply).into_owned();
            assert!(!text.starts_with('-'), "a late request failed: {text}");
        }
        held.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// What happens to this request or message; None = it passes.
    fn fate(&self, words: &[Vec<u8>]) -> Option<Cut> {
        let mut plan = self.plan.lock().unwrap();
        let (_, cut) = plan.take_if(|(call, _)| call.is(words))?;
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Some(cut)
    }
}

/// One connection; it ends with its cut. Dropping both halves is what the client sees as a dead connection.
async fn carry(client: UnixStream, shared: Arc<Shared>) {
    let deaf = *shared.deaf.lock().unwrap();
    if deaf {
        return silence(client).await;
    }
    let Ok(server) = UnixStream::connect(&shared.server).await else {
        return;
    };
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (mut requests, mut replies) = (Frames::new(from_client), Frames::new(from_server));
    // One fate for each reply that is still to come, but for pub/sub, where replies outnumber requests.
    let mut fates: VecDeque<Option<Cut>> = VecDeque::new();
    let mut subscribed = false;
    loop {
        tokio::select! {
            request = requests.next() => {
                let Some(request) = request else { return };
                let request_words = words(&request);
                let first = request_words[0].to_ascii_uppercase();
                let fate = shared.fate(&request_words);
                match fate {
                    Some(Cut::BeforeRequest) => return,
                    Some(Cut::Late) => return shared.late.lock().unwrap().push(request),
                    Some(Cut::Silent) => return silence((requests, replies, to_client, to_server)).await,
                    _ => {}
                }
                subscribed |= first.ends_with(b"SUBSCRIBE");
                fates.push_back(fate);
                if to_server.write_all(&request).await.is_err() {
                    return;
                }
            }
            reply = replies.next() => {
                let Some(reply) = reply else { return };
                let reply_words = words(&reply);
                let fate = match subscribed {
                    true if Call::Message.is(&reply_words) => shared.fate(&reply_words),
                    _ => fates.pop_front().flatten(),
                };
                match fate {
                    None => if to_client.write_all(&reply).await.is_err() { return },
                    Some(Cut::AfterRequest) => return,
                    Some(Cut::HalfReply) => {
                        let _ = to_client.write_all(&reply[..reply.len() / 2]).await;
                        return;
                    }
                    Some(Cut::Silent) => return silence((requests, replies, to_client, to_server)).await,
                    Some(_) => {
                        let _ = to_client.write_all(&reply).await;
                        return;
                    }
                }
            }
        }
    }
}

/// Keeps the sockets and does nothing with them, for as long as the test runs.
async fn silence<T>(sockets: T) {
    std::future::pending::<()>().await;
    drop(sockets);
}
