//! A recording at a URL of somebody else's choosing. The address that was judged is the one that is connected to: names are
//! resolved by our own resolver, whose answer goes straight to the connection, and IP literals are judged before. Redirects are
//! followed by hand, each judged like the first. No proxies, no cookies, no credentials, nothing unpacked.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, header, redirect};
use url::Url;

use super::address::{Policy, Refusal};
use super::failure::Failure;

const MOST_REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// How names become addresses.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

pub(crate) struct Http {
    policy: Arc<Policy>,
    lookup: Lookup,
    /// Made when it is first needed: it reads the machine's certificates, and a service without sources needs none.
    client: OnceLock<Client>,
}

impl Http {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::with_lookup(policy, Arc::new(|name| Box::pin(look_up(name))))
    }

    fn with_lookup(policy: Policy, lookup: Lookup) -> Self {
        Self {
            policy: Arc::new(policy),
            lookup,
            client: OnceLock::new(),
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let guarded = Guarded {
            policy: Arc::clone(&self.policy),
            lookup: Arc::clone(&self.lookup),
        };
        let client = Client::builder()
            .dns_resolver(Arc::new(guarded))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // A kept connection would be one to an address that was judged for another source.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("whatsthetab/", env!("CARGO_PKG_VERSION")))
            .build();
        match client {
            Ok(client) => Ok(self.client.get_or_init(|| client)),
            Err(cause) => Err(Failure::Away(format!(
                "failed to set up the client for sources: {}; are there CA certificates?",
                crate::error::causes(&cause)
            ))),
        }
    }

    /// Follows the address to an answer whose body is the recording.
    pub(super) async fn open(&self, text: &str) -> Result<Response, Failure> {
        let mut url = self.policy.read(text)?;
        for _ in 0..=MOST_REDIRECTS {
            let host = host_of(&url);
            let answer = self.client()?.get(url.clone()).send().await;
            let answer = answer.map_err(|error| failed(&error.without_url(), &host))?;
            // Once more, where one has arrived: whatever way led there.
            let reached = answer.remote_addr().map(|address| address.ip());
            if reached.is_none_or(|address| !self.policy.permits(address)) {
                return Err(Refusal::Forbidden(host).into());
            }
            let status = answer.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return match Failure::of_status(status, &host) {
                    Some(failure) => Err(failure),
                    None => Ok(answer),
                };
            }
            let next = answer
                .headers()
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|location| url.join(location).ok())
                .ok_or_else(|| {
                    Failure::last("source_invalid", format!("{host} redirects to nowhere"))
                })?;
            self.policy.check(&next)?;
            if url.scheme() == "https" && next.scheme() == "http" {
                let message = format!("{host} redirects from https to http");
                return Err(Failure::last("source_invalid", message));
            }
            url = next;
        }
        let message = format!("more than {MOST_REDIRECTS} redirects");
        Err(Failure::last("source_invalid", message))
    }
}

/// Answers with addresses that were judged, or not at all: a name with a forbidden address among others is refused whole.
struct Guarded {
    policy: Arc<Policy>,
    lookup: Lookup,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, lookup) = (Arc::clone(&self.policy), Arc::clone(&self.lookup));
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = lookup(name.clone()).await?;
            if found.iter().any(|address| !policy.permits(*address)) {
                return Err(Refusal::Forbidden(name).into());
            }
            let addresses: Vec<SocketAddr> = found
                .into_iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

async fn look_up(name: String) -> std::io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

pub(super) fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// What a failure of the connection or of a read means.
pub(super) fn failed(error: &reqwest::Error, host: &str) -> Failure {
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = below {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.clone().into();
        }
        below = cause.source();
    }
    if error.is_timeout() {
        return Failure::again("source_timeout", format!("{host} took too long"));
    }
    Failure::again(
        "source_unreachable",
        format!("{host} cannot be reached: {}", crate::error::causes(error)),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request with this text; counts them.
    async fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut request = vec![0; 4096];
                let read = socket.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let _ = socket.write_all(answer(&request).as_bytes()).await;
            }
        });
        (port, count)
    }

    fn ok(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn moved(to: &str) -> String {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    }

    /// Each look-up of a name gets the next list, the last one for ever.
    fn names(lists: &[&[&str]]) -> Lookup {
        let lists: Vec<Vec<IpAddr>> = lists
            .iter()
            .map(|list| list.iter().map(|ip| ip.parse().unwrap()).collect())
            .collect();
        let at = AtomicUsize::new(0);
        Arc::new(move |_| {
            let now = at.fetch_add(1, Ordering::Relaxed).min(lists.len() - 1);
            let list = lists[now].clone();
            Box::pin(async move { Ok(list) })
        })
    }

    fn allowing(nets: &[&str]) -> Policy {
        Policy::new(nets.iter().map(|net| net.parse().unwrap()).collect())
    }

    fn code(result: Result<Response, Failure>) -> String {
        match result {
            Ok(_) => "ok".to_owned(),
            Err(Failure::Final(error) | Failure::Again(error)) => error.code,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_where_it_leads_and_nothing_is_sent_to_a_forbidden_one() {
        let (port, count) = serve(|_| ok("x")).await;
        let url = format!("http://music.example:{port}/a.wav");
        for list in [
            &["127.0.0.1"][..],
            &["::ffff:127.0.0.1"],
            // One bad address among good ones is enough.
            &["8.8.8.8", "127.0.0.1"],
            &["169.254.169.254"],
        ] {
            let http = Http::with_lookup(Policy::default(), names(&[list]));
            assert_eq!(
                code(http.open(&url).await),
                "source_forbidden_address",
                "{list:?}"
            );
        }
        assert_eq!(count.load(Ordering::Relaxed), 0);
        let http = Http::with_lookup(allowing(&["127.0.0.0/8"]), names(&[&["127.0.0.1"]]));
        assert_eq!(code(http.open(&url).await), "ok");
    }

    #[tokio::test]
    async fn a_name_that_changes_its_address_is_judged_each_time() {
        // The first server is allowed and redirects to a name that meanwhile leads to loopback.
        let (private, count) = serve(|_| ok("secret")).await;
        let (port, _) = serve(move |_| moved(&format!("http://rebound.example:{private}/"))).await;
        let http = Http::with_lookup(
            allowing(&["127.0.0.1/32"]),
            names(&[&["127.0.0.1"], &["127.0.0.2"]]),
        );
        let url = format!("http://rebound.example:{port}/");
        assert_eq!(code(http.open(&url).await), "source_forbidden_address");
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn redirects_are_judged_and_counted() {
        let http = Http::new(allowing(&["127.0.0.1/32"]));
        for (to, wanted) in [
            (
                "http://169.254.169.254/latest/meta-data",
                "source_forbidden_address",
            ),
            ("http://[::1]:8009/", "source_forbidden_address"),
            ("http://2130706434/", "source_forbidden_address"),
            ("file:///etc/passwd", "source_invalid"),
            ("http://user:pass@127.0.0.1/", "source_invalid"),
            ("http://127.0.0.1:22/", "source_invalid"),
            // To itself, for ever.
            ("/again", "source_invalid"),
        ] {
            let (port, count) = serve(move |_| moved(to)).await;
            assert_eq!(
                code(http.open(&format!("http://127.0.0.1:{port}/")).await),
                wanted,
                "{to}"
            );
            assert!(count.load(Ordering::Relaxed) <= 1 + MOST_REDIRECTS);
        }
        let (port, _) = serve(|request| match request.starts_with("GET /b ") {
            true => ok("x"),
            false => moved("b"),
        })
        .await;
        assert_eq!(
            code(http.open(&format!("http://127.0.0.1:{port}/a")).await),
            "ok"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_said_without_the_address() {
        let http = Http::new(allowing(&["127.0.0.1/32"]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let result = http
            .open(&format!("http://127.0.0.1:{port}/a?signature=secret"))
            .await;
        let Err(Failure::Again(error)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(error.code, "source_unreachable");
        assert!(
            !error.message.contains("secret") && !error.message.contains("/a"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn no_header_tells_anything_about_us() {
        let (port, _) = serve(ok).await;
        let http = Http::new(allowing(&["127.0.0.1/32"]));
        let answer = http
            .open(&format!("http://127.0.0.1:{port}/a"))
            .await
            .unwrap();
        let seen = answer.text().await.unwrap().to_ascii_lowercase();
        for name in [
            "authorization",
            "cookie",
            "referer",
            "accept-encoding",
            "x-forwarded",
        ] {
            assert!(!seen.contains(name), "{seen}");
        }
    }
}
