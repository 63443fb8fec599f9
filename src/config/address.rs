//! Base URLs of providers: what may be reached, and with or without TLS.
//!
//! Must not resolve names: this is a check of what was written. Keys and prompts go to these
//! addresses, so a URL that leads somewhere else than it seems to is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
const HOST_BYTES_MAX: usize = 253;
/// Names under which clouds serve credentials to whoever asks.
const METADATA_NAMES: [&str; 4] = ["metadata", "metadata.google.internal", "metadata.goog", "instance-data"];

/// Whether link-local and metadata addresses may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLocal {
    /// The rule.
    Refused,
    /// `allow_link_local = true`.
    Allowed,
}

/// A base URL that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// `https`.
    pub tls: bool,
    /// Name in lower case, or address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Without a slash at its end; empty for the root.
    pub path: String,
}

impl BaseUrl {
    /// The `host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls { HTTPS_PORT } else { HTTP_PORT };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

/// Why a base URL is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `http://` or `https://`.
    #[error("must begin with https:// (or http:// for this machine and private addresses)")]
    Scheme,
    /// `user:password@`.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// `?` or `#`.
    #[error("must not hold a query or fragment")]
    Query,
    /// No host, or letters that hosts do not have.
    #[error("has no valid host name")]
    Host,
    /// Not from 1 to 65535.
    #[error("has no valid port")]
    Port,
    /// A path with odd characters.
    #[error("has a path with characters that do not belong there")]
    Path,
    /// An IPv4 address in another notation than four decimal numbers.
    #[error("writes an IP address in a notation that hides it{0}")]
    HiddenAddress(String),
    /// Link-local and cloud metadata.
    #[error("leads to a link-local or metadata address")]
    LinkLocal,
    /// Unspecified, multicast, broadcast, reserved.
    #[error("leads to an address that no provider can have")]
    Unusable,
    /// `http://` to the outside.
    #[error("is http:// to a public address, which would send keys in the clear")]
    PlainHttp,
}

/// Checks a base URL.
///
/// # Errors
/// When it is malformed, hides where it leads, or leads where no provider should be.
pub fn parse(url: &str, link_local: LinkLocal) -> Result<BaseUrl, AddressError> {
    let (tls, rest) = split_scheme(url)?;
    if rest.contains(['?', '#']) {
        return Err(AddressError::Query);
    }
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err(AddressError::UserInfo);
    }
    let path = path.trim_end_matches('/');
    if path.bytes().any(|b| !(b.is_ascii_alphanumeric() || b"/-._~:@%".contains(&b))) || path.contains("..") {
        return Err(AddressError::Path);
    }
    let (host, port) = split_port(authority, if tls { HTTPS_PORT } else { HTTP_PORT })?;
    let (host, reach) = parse_host(host)?;
    match reach {
        Reach::Unusable => return Err(AddressError::Unusable),
        Reach::LinkLocal if link_local == LinkLocal::Refused => return Err(AddressError::LinkLocal),
        Reach::Public if !tls => return Err(AddressError::PlainHttp),
        Reach::LinkLocal | Reach::Public | Reach::Private => {}
    }
    Ok(BaseUrl { tls, host, port, path: path.to_owned() })
}

fn split_scheme(url: &str) -> Result<(bool, &str), AddressError> {
    let (scheme, rest) = url.split_once("://").ok_or(AddressError::Scheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Ok((true, rest)),
        "http" => Ok((false, rest)),
        _ => Err(AddressError::Scheme),
    }
}

fn split_port(authority: &str, usual: u16) -> Result<(&str, u16), AddressError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (_, after) = rest.split_once(']').ok_or(AddressError::Host)?;
        let host = authority.strip_suffix(after).ok_or(AddressError::Host)?;
        match after {
            "" => (host, None),
            after => (host, Some(after.strip_prefix(':').ok_or(AddressError::Host)?)),
        }
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    let Some(port) = port else { return Ok((host, usual)) };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { port.parse().unwrap_or(0) } else { 0 };
    if port == 0 { Err(AddressError::Port) } else { Ok((host, port)) }
}

/// How far away a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Private,
    Public,
    LinkLocal,
    Unusable,
}

fn parse_host(host: &str) -> Result<(String, Reach), AddressError> {
    if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inside.parse().map_err(|_| AddressError::Host)?;
        return Ok((address.to_string(), reach_v6(address)));
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(allowed) {
        return Err(AddressError::Host);
    }
    if host.split('.').any(str::is_empty) {
        return Err(AddressError::Host);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok((host, reach_v4(address)));
    }
    // Resolvers read a host whose last part is a number as an address: 2130706433, 0x7f.1, 0177.0.0.1.
    if host.rsplit('.').next().is_some_and(is_number) {
        let hint = hidden_v4(&host).map_or_else(String::new, |address| format!(" (it is {address})"));
        return Err(AddressError::HiddenAddress(hint));
    }
    let reach = reach_name(&host);
    Ok((host, reach))
}

fn reach_name(host: &str) -> Reach {
    if METADATA_NAMES.contains(&host) {
        return Reach::LinkLocal;
    }
    let is_local = !host.contains('.') || [".localhost", ".local", ".internal"].iter().any(|end| host.ends_with(end));
    if is_local { Reach::Private } else { Reach::Public }
}

fn is_number(part: &str) -> bool {
    match part.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => part.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// The address that one to four numbers mean to a resolver; the last one fills what is left.
fn hidden_v4(host: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u64> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|number| *number > 255) {
        return None;
    }
    let mut address: u64 = 0;
    for number in first {
        address = (address << 8) | number;
    }
    let bits_left = 8 * (4 - u32::try_from(first.len()).ok()?);
    if *last >= 1 << bits_left {
        return None;
    }
    u32::try_from((address << bits_left) | last).ok().map(Ipv4Addr::from)
}

fn number(part: &str) -> Option<u64> {
    if let Some(hex) = part.strip_prefix("0x") {
        return if hex.is_empty() { Some(0) } else { u64::from_str_radix(hex, 16).ok() };
    }
    match part.strip_prefix('0') {
        Some("") => Some(0),
        Some(octal) => u64::from_str_radix(octal, 8).ok(),
        None => part.parse().ok(),
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(inner) = embedded_v4(address) {
        return reach_v4(inner);
    }
    let first = address.segments()[0];
    // AWS serves metadata at fd00:ec2::254.
    if address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) || first & 0xffc0 == 0xfe80 {
        return Reach::LinkLocal;
    }
    if address.is_unspecified() || address.is_multicast() {
        return Reach::Unusable;
    }
    if address.is_loopback() || first & 0xfe00 == 0xfc00 { Reach::Private } else { Reach::Public }
}

/// The IPv4 address inside a mapped, compatible, 6to4 or NAT64 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, _] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(joined(high, low))
        }
        _ => None,
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, d] = address.octets();
    let metadata = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
    if address.is_link_local() || metadata.contains(&[a, b, c, d]) {
        return Reach::LinkLocal;
    }
    if a == 0 || a >= 224 {
        return Reach::Unusable;
    }
    let is_shared = a == 100 && (64..128).contains(&b);
    if address.is_loopback() || address.is_private() || is_shared { Reach::Private } else { Reach::Public }
}

/// Whether an address can only be reached from this machine.
pub fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(address.is_loopback(), |inner| inner.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-69: a base URL that hides or mistakes where it leads is refused.
    #[test]
    fn hostile_addresses_are_refused() {
        let hidden = |address: &str| AddressError::HiddenAddress(format!(" (it is {address})"));
        let cases = [
            ("http://2130706433/v1", hidden("127.0.0.1")),
            ("http://0x7f.1/v1", hidden("127.0.0.1")),
            ("http://0x7f000001", hidden("127.0.0.1")),
            ("http://0177.0.0.1", hidden("127.0.0.1")),
            ("https://0xa9fea9fe/", hidden("169.254.169.254")),
            ("https://169.254.43518", hidden("169.254.169.254")),
            ("https://2852039166", hidden("169.254.169.254")),
            ("https://1.2.3.4.5", AddressError::HiddenAddress(String::new())),
            ("https://256.1.1.1", AddressError::HiddenAddress(String::new())),
            ("http://169.254.169.254/latest", AddressError::LinkLocal),
            ("https://169.254.169.254", AddressError::LinkLocal),
            ("http://[::ffff:169.254.169.254]/", AddressError::LinkLocal),
            ("http://[::ffff:a9fe:a9fe]/", AddressError::LinkLocal),
            ("http://[64:ff9b::a9fe:a9fe]/", AddressError::LinkLocal),
            ("http://[2002:a9fe:a9fe::1]/", AddressError::LinkLocal),
            ("http://[fe80::1]/", AddressError::LinkLocal),
            ("http://[fd00:ec2::254]/", AddressError::LinkLocal),
            ("http://metadata.google.internal./v1", AddressError::LinkLocal),
            ("http://METADATA/", AddressError::LinkLocal),
            ("http://100.100.100.200", AddressError::LinkLocal),
            ("http://0.0.0.0:8080", AddressError::Unusable),
            ("http://[::]:8080", AddressError::Unusable),
            ("https://224.0.0.1", AddressError::Unusable),
            ("https://255.255.255.255", AddressError::Unusable),
            ("http://api.openai.com/v1", AddressError::PlainHttp),
            ("http://8.8.8.8/v1", AddressError::PlainHttp),
            ("http://[::ffff:8.8.8.8]/v1", AddressError::PlainHttp),
            ("http://localhost.evil.com", AddressError::PlainHttp),
            ("https://user@api.openai.com/v1", AddressError::UserInfo),
            ("https://api.openai.com@evil.com/v1", AddressError::UserInfo),
            ("https://u:p@127.0.0.1", AddressError::UserInfo),
            ("https://api.openai.com/v1?x=1", AddressError::Query),
            ("https://evil.com#@api.openai.com", AddressError::Query),
            ("ftp://api.openai.com", AddressError::Scheme),
            ("api.openai.com", AddressError::Scheme),
            ("https://", AddressError::Host),
            ("https://exa mple.com", AddressError::Host),
            ("https://ex\u{e4}mple.com", AddressError::Host),
            ("https://127%2e0.0.1", AddressError::Host),
            ("https://\u{ff11}27.0.0.1", AddressError::Host),
            ("https://a..b", AddressError::Host),
            ("https://[::1", AddressError::Host),
            ("https://[::1]x", AddressError::Host),
            ("https://[fe80::1%25eth0]/", AddressError::Host),
            ("https://a:0", AddressError::Port),
            ("https://a:65536", AddressError::Port),
            ("https://a:", AddressError::Port),
            ("https://a:+1", AddressError::Port),
            ("https://a/../b", AddressError::Path),
            ("https://a/b\r\nx: y", AddressError::Path),
            ("https://a\\@b", AddressError::UserInfo),
        ];
        for (url, error) in cases {
            assert_eq!(parse(url, LinkLocal::Refused), Err(error), "{url}");
        }
    }

    #[test]
    fn good_addresses_are_taken_apart() {
        let cases = [
            ("https://api.openai.com/v1", "api.openai.com", 443, "/v1", "api.openai.com"),
            ("HTTPS://API.OpenAI.com./v1/", "api.openai.com", 443, "/v1", "api.openai.com"),
            ("http://127.0.0.1:9001", "127.0.0.1", 9001, "", "127.0.0.1:9001"),
            ("http://localhost:11434/v1", "localhost", 11434, "/v1", "localhost:11434"),
            ("http://vllm:8000/v1/", "vllm", 8000, "/v1", "vllm:8000"),
            ("http://gpu.internal/v1", "gpu.internal", 80, "/v1", "gpu.internal"),
            ("http://10.1.2.3", "10.1.2.3", 80, "", "10.1.2.3"),
            ("http://[::1]:8000/v1", "::1", 8000, "/v1", "[::1]:8000"),
            ("http://[::ffff:127.0.0.1]:8000", "::ffff:127.0.0.1", 8000, "", "[::ffff:127.0.0.1]:8000"),
            ("http://[fd12::1]", "fd12::1", 80, "", "[fd12::1]"),
            ("https://8.8.8.8:444/x", "8.8.8.8", 444, "/x", "8.8.8.8:444"),
        ];
        for (url, host, port, path, authority) in cases {
            let base = parse(url, LinkLocal::Refused).unwrap();
            assert_eq!((base.host.as_str(), base.port, base.path.as_str()), (host, port, path), "{url}");
            assert_eq!(base.authority(), authority, "{url}");
        }
        assert!(parse("http://169.254.10.1:8000", LinkLocal::Allowed).is_ok());
    }
}
