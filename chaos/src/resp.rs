//! Just enough of Redis' wire protocol for an onlooker: a command and its answer, and a subscription. It shares no code with the
//! queue, so that what it reports does not depend on what is under test. It knows no key and no channel.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nil,
    Number(i64),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        match self {
            Value::Number(number) => u64::try_from(*number).unwrap_or(0),
            Value::Text(text) => text.parse().unwrap_or(0),
            _ => 0,
        }
    }

    pub(crate) fn list(self) -> Vec<Value> {
        match self {
            Value::List(values) => values,
            _ => Vec::new(),
        }
    }

    /// The texts of a flat list.
    pub(crate) fn texts(self) -> Vec<String> {
        let texts = self.list().into_iter();
        texts
            .filter_map(|value| value.text().map(str::to_owned))
            .collect()
    }
}

/// One connection; broken by any error.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = timeout(CONNECT, TcpStream::connect(("127.0.0.1", port)))
            .await
            .context("Redis does not take the connection")??;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::new(stream),
        })
    }

    /// Sends one command and reads its answer; an error answer is an error.
    pub(crate) async fn ask(
        &mut self,
        words: &[&str],
        patience: Duration,
    ) -> anyhow::Result<Value> {
        timeout(patience, async {
            self.send(words).await?;
            self.next().await
        })
        .await
        .with_context(|| format!("no answer to {}", words.join(" ")))?
    }

    pub(crate) async fn send(&mut self, words: &[&str]) -> anyhow::Result<()> {
        let mut line = format!("*{}\r\n", words.len());
        for word in words {
            line.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.write_all(line.as_bytes()).await?;
        Ok(())
    }

    /// The next answer, or the next message of a subscription.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        anyhow::ensure!(
            self.stream.read_line(&mut line).await? > 0,
            "Redis closed the connection"
        );
        let line = line.trim_end();
        let (kind, rest) = line
            .split_at_checked(1)
            .context("an empty line from Redis")?;
        match kind {
            "+" => Ok(Value::Text(rest.to_owned())),
            "-" => bail!("Redis: {rest}"),
            ":" => Ok(Value::Number(rest.parse()?)),
            "$" => match rest.parse::<i64>()? {
                length if length < 0 => Ok(Value::Nil),
                length => {
                    let mut bytes = vec![0; length as usize + 2];
                    self.stream.read_exact(&mut bytes).await?;
                    bytes.truncate(length as usize);
                    Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
                }
            },
            "*" => {
                let mut values = Vec::new();
                for _ in 0..rest.parse::<i64>()? {
                    values.push(Box::pin(self.next()).await?);
                }
                Ok(Value::List(values))
            }
            _ => bail!("not an answer of Redis: {line}"),
        }
    }
}

/// One command on a connection of its own.
pub(crate) async fn once(port: u16, words: &[&str]) -> anyhow::Result<Value> {
    let mut connection = Connection::open(port).await?;
    connection.ask(words, Duration::from_secs(2)).await
}
