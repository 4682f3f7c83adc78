//! Which addresses a source may lie at: public ones, and what the administrator allows. Pure; it opens nothing. A name is
//! judged by the addresses that it resolves to, never by its letters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

/// Longer ones are somebody's mistake.
const LONGEST_URL_BYTES: usize = 2048;

/// A network: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network such as 10.1.0.0/16 or fd00:1::/32")]
pub struct NotACidr(String);

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, NotACidr> {
        let fail = || NotACidr(text.to_owned());
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| fail())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| fail())?,
            None => most,
        };
        if bits > most {
            return Err(fail());
        }
        Ok(Self { address, bits })
    }
}

impl Cidr {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => same_start(
                net.to_bits().into(),
                address.to_bits().into(),
                32,
                self.bits,
            ),
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                same_start(net.to_bits(), address.to_bits(), 128, self.bits)
            }
            _ => false,
        }
    }
}

fn same_start(a: u128, b: u128, width: u32, bits: u8) -> bool {
    let rest = width - u32::from(bits).min(width);
    a.checked_shr(rest) == b.checked_shr(rest)
}

/// Why an address of a source is not gone to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It cannot be used at all.
    #[error("{0}")]
    Invalid(&'static str),
    /// It leads where only the administrator may send us.
    #[error(
        "{0} is or leads to an address that is not public; the API's administrator can allow it with --allow-source-cidr"
    )]
    Forbidden(String),
}

/// What may be reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    allowed: Vec<Cidr>,
}

impl Policy {
    pub(crate) fn new(allowed: Vec<Cidr>) -> Self {
        Self { allowed }
    }

    /// Whether one may connect there.
    pub(crate) fn permits(&self, address: IpAddr) -> bool {
        let plain = unwrapped(address);
        self.allowed
            .iter()
            .any(|net| net.contains(plain) || net.contains(address))
            || is_public(plain)
    }

    /// Reads an address as far as that is possible without asking anyone: an IP literal is judged here, a name later.
    pub(crate) fn read(&self, text: &str) -> Result<Url, Refusal> {
        if text.len() > LONGEST_URL_BYTES {
            return Err(Refusal::Invalid("the address has more than 2048 bytes"));
        }
        let url = Url::parse(text).map_err(|_| Refusal::Invalid("the address is not a URL"))?;
        self.check(&url)?;
        Ok(url)
    }

    /// The same for one that a server redirects to.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Invalid(
                "the address must begin with http:// or https://",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Invalid(
                "the address holds a user name or password; use one with a signature instead",
            ));
        }
        // Ports of other services, to some of which HTTP can be made to look like their own language.
        if url
            .port()
            .is_some_and(|port| port < 1024 && port != 80 && port != 443)
        {
            return Err(Refusal::Invalid("the port must be 80, 443 or above 1023"));
        }
        let literal = match url.host() {
            None => return Err(Refusal::Invalid("the address names no host")),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
        };
        match self.permits(literal) {
            true => Ok(()),
            false => Err(Refusal::Forbidden(literal.to_string())),
        }
    }
}

/// The IPv4 address inside an IPv6 one, where that is what one would reach: mapped, and behind NAT64's well-known prefix.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return IpAddr::V4(mapped);
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127, ..]                    // this network, private, loopback
            | [100, 64..=127, ..]             // carriers' NAT (and a cloud's metadata)
            | [169, 254, ..]                  // link-local, metadata
            | [172, 16..=31, ..]              // private
            | [192, 168, ..]                  // private
            | [192, 0, 0 | 2, _]              // protocol assignments, examples
            | [192, 88, 99, _]                // 6to4 relays
            | [198, 18 | 19, ..]              // benchmarks
            | [198, 51, 100, _]               // examples
            | [203, 0, 113, _]                // examples
            | [168, 63, 129, 16]              // a cloud's metadata, at a public address
            | [224..=255, ..] // multicast, reserved, broadcast
    )
}

/// Of IPv6 only what is given out to the public; everything else is special in some way.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, second, ..] if second < 0x200 => false, // Teredo, benchmarks, ORCHID and other assignments
        [0x2001, 0xdb8, ..] => false,                    // examples
        [0x2002, ..] => false,                           // 6to4: an IPv4 address in disguise
        [0x3fff, second, ..] if second < 0x1000 => false, // examples
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(allowed: &[&str], address: &str) -> bool {
        let allowed = allowed.iter().map(|net| net.parse().unwrap()).collect();
        Policy::new(allowed).permits(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_gone_to() {
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "169.254.169.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "100::1",
            "4000::1",
            // An IPv4 address in an IPv6 coat: mapped, compatible, translated, NAT64 and its local form.
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "::ffff:0:7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::808:808",
            "64:ff9b:0:1::808:808",
        ] {
            assert!(!permits(&[], bad), "{bad}");
        }
        for good in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "168.63.129.17",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(permits(&[], good), "{good}");
        }
    }

    #[test]
    fn what_is_allowed_is_gone_to_in_every_form_and_nothing_else() {
        let nets = ["10.1.0.0/16", "fd00:1::/32", "127.0.0.1"];
        for good in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "fd00:1::5",
            "127.0.0.1",
        ] {
            assert!(permits(&nets, good), "{good}");
        }
        for bad in [
            "10.2.0.1",
            "127.0.0.2",
            "fd00:2::1",
            "169.254.169.254",
            "::1",
        ] {
            assert!(!permits(&nets, bad), "{bad}");
        }
        assert!(permits(&["0.0.0.0/0"], "127.0.0.1") && !permits(&["0.0.0.0/0"], "::1"));
        assert!(permits(&["::/0"], "::1") && permits(&["64:ff9b:1::/48"], "64:ff9b:1::1"));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "host/8",
            "/8",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_judged_as_far_as_they_can_be_read() {
        let policy = Policy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let strict = Policy::default();
        // Every spelling of an IPv4 address is that address.
        for loopback in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
        ] {
            let url = format!("http://{loopback}:8080/a.wav");
            assert!(policy.read(&url).is_ok(), "{url}");
            assert!(
                matches!(strict.read(&url), Err(Refusal::Forbidden(_))),
                "{url}"
            );
        }
        assert!(matches!(
            strict.read("http://169.254.169.254/latest"),
            Err(Refusal::Forbidden(_))
        ));
        assert!(matches!(
            strict.read("http://[::1]/"),
            Err(Refusal::Forbidden(_))
        ));
        for bad in [
            "",
            "a.wav",
            "/a.wav",
            "file:///etc/passwd",
            "ftp://example.org/a",
            "gopher://example.org/",
            "data:audio/wav;base64,AA",
            "http://",
            "http://user@example.org/",
            "http://:pass@example.org/",
            "https://u:p@example.org/a",
            "http://example.org:22/",
            "http://example.org:25/",
            "http://example.org:65536/",
            "http://[::1/",
            "http://exa mple.org/",
            "http://example.org:6379x/",
            "javascript:alert(1)",
            "redis://example.org/",
        ] {
            assert!(
                matches!(strict.read(bad), Err(Refusal::Invalid(_))),
                "{bad}"
            );
        }
        assert!(
            strict
                .read(&format!("http://example.org/{}", "a".repeat(2048)))
                .is_err()
        );
        for good in [
            "https://example.org/a.flac?sig=x",
            "http://example.org:8080/a",
            "http://EXAMPLE.org",
            "https://8.8.8.8/a",
        ] {
            assert!(strict.read(good).is_ok(), "{good}");
        }
    }
}
