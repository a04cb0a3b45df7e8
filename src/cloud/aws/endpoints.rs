//! Where the calls go: whether every service in use has an endpoint on this machine.
//!
//! The answer comes from the resolved configuration (environment, profile, the switch that ignores
//! both), by the same precedence as in the SDK's clients, so that what is judged is what is used.

use std::net::IpAddr;

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

/// The service ids of the SDKs in use, as they name the settings `AWS_ENDPOINT_URL_<SERVICE>`.
const SERVICES: [&str; 8] =
    ["ECS", "Elastic Load Balancing v2", "CloudWatch", "Application Auto Scaling", "Route 53", "STS", "SNS", "WAFV2"];

/// Whether every service has an endpoint set, and each of them is a loopback address.
pub(super) fn are_loopback(config: &SdkConfig) -> bool {
    SERVICES.iter().all(|service| endpoint(config, service).is_some_and(|url| is_loopback(&url)))
}

/// The endpoint that is set for a service, for itself or for all.
fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
    config
        .service_config()
        .and_then(|settings| settings.load_config(key))
        .or_else(|| config.endpoint_url().map(str::to_string))
}

fn is_loopback(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_recognised() {
        for url in ["http://127.0.0.1:5000", "http://localhost:5000/", "https://[::1]:443/x", "http://127.9.9.9"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://ecs.eu-central-1.amazonaws.com",
            "http://localhost.example.com",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1:5000",
            "127.0.0.1:5000",
            "",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn no_endpoint_is_not_loopback() {
        assert!(!are_loopback(&SdkConfig::builder().build()));
        assert!(are_loopback(&SdkConfig::builder().endpoint_url("http://127.0.0.1:1").build()));
    }
}
