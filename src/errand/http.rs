//! One HTTP request on the machine's network, with the TLS of the AWS SDK.
//!
//! A request that only asks goes straight to an address that is looked up here, so that it can be
//! held to IPv6 or sent to another host than the one it names; one that changes something goes
//! through the proxy of the environment, as other programs of this machine do.

use std::io::Read;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::{Request, Response};

/// The answer, whatever its status, or why there is none.
pub(super) fn exchange(request: &Request, body_bytes: u64) -> Result<Response, String> {
    let secure = request.url.starts_with("https:");
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(request.timeout))
        .max_idle_connections(0)
        .user_agent(concat!("migrate/", env!("CARGO_PKG_VERSION")));
    if secure {
        config = config.tls_config(tls(request)?);
    }
    let direct = request.body.is_none();
    if direct {
        config = config.proxy(None);
    }
    let config = config.build();
    let agent = match direct {
        true => Agent::with_parts(config, DefaultConnector::default(), Known(addresses(request)?)),
        false => Agent::new_with_config(config),
    };
    let answer = match &request.body {
        None => {
            let get =
                request.headers.iter().fold(agent.get(&request.url), |get, (name, value)| get.header(name, value));
            get.call()
        }
        Some(body) => {
            let post = agent.post(&request.url).header("Content-Type", "application/json");
            request.headers.iter().fold(post, |post, (name, value)| post.header(name, value)).send(body)
        }
    };
    let answer = answer.map_err(|error| in_words(&error, request))?;
    let (head, body) = answer.into_parts();
    let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let mut bytes = Vec::new();
    // An answer that breaks off has a status all the same; what came of its body is what there is.
    let _ = body.into_reader().take(body_bytes).read_to_end(&mut bytes);
    Ok(Response { status: head.status.as_u16(), headers, body: String::from_utf8_lossy(&bytes).into_owned() })
}

fn tls(request: &Request) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    if request.insecure {
        return Ok(config.disable_verification(true).build());
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err("this machine has no root certificates: install ca-certificates, or set SSL_CERT_FILE".to_owned());
    }
    let roots: Vec<Certificate<'static>> =
        found.certs.iter().map(|c| Certificate::from_der(c.as_ref()).to_owned()).collect();
    Ok(config.root_certs(RootCerts::new_with_certs(&roots)).build())
}

/// Where a request goes that names a host, or must go to another.
fn addresses(request: &Request) -> Result<Vec<SocketAddr>, String> {
    let uri: Uri = request.url.parse().map_err(|error| format!("`{}` cannot be asked: {error}", request.url))?;
    let port = uri.port_u16().unwrap_or(if request.url.starts_with("https:") { 443 } else { 80 });
    let named = uri.host().unwrap_or_default();
    let host = request.connect_to.as_deref().unwrap_or(named).trim_matches(['[', ']']);
    let found = (host, port).to_socket_addrs().map_err(|error| format!("{host} has no address: {error}"))?;
    let all: Vec<SocketAddr> = found.collect();
    let wanted: Vec<SocketAddr> = all.iter().copied().filter(|a| !request.ipv6 || a.is_ipv6()).collect();
    match (wanted.is_empty(), all.first()) {
        (false, _) => Ok(wanted),
        (true, Some(other)) => Err(format!("{host} has no IPv6 address (AAAA record), only {}", other.ip())),
        (true, None) => Err(format!("{host} has no address")),
    }
}

/// Addresses that are known already.
#[derive(Debug)]
struct Known(Vec<SocketAddr>);

impl Resolver for Known {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        for address in self.0.iter().take(16) {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

fn in_words(error: &Error, request: &Request) -> String {
    match error {
        Error::Timeout(_) => format!("no answer within {} s", request.timeout.as_secs_f64()),
        Error::HostNotFound => "the host has no address".to_owned(),
        other => other.to_string(),
    }
}
