//! Container image names, and the names under which ECR serves them over IPv6.
//!
//! Source: Amazon ECR user guide, "Making requests to Amazon ECR": the IPv4-only host of a private
//! registry is `<account>.dkr.ecr.<region>.amazonaws.com`, the dual-stack one
//! `<account>.dkr-ecr.<region>.on.aws` (China: `.on.amazonwebservices.com.cn`; FIPS: `dkr-ecr-fips`);
//! `public.ecr.aws` is `ecr-public.aws.com`.

/// Where an image comes from, as far as IPv6 goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    /// A private ECR registry under its IPv4-only name.
    Ecr,
    /// ECR Public under its IPv4-only name.
    EcrPublic,
    /// ECR under a dual-stack name.
    DualStack,
    /// Any other host; whether it has an IPv6 address is not known here.
    Other(String),
}

/// The registry of an image name.
pub fn registry(image: &str) -> Registry {
    let host = host(image);
    if private_host(host).is_some() {
        Registry::Ecr
    } else if host == "public.ecr.aws" {
        Registry::EcrPublic
    } else if host == "ecr-public.aws.com"
        || host.ends_with(".on.aws")
        || host.ends_with(".on.amazonwebservices.com.cn")
    {
        Registry::DualStack
    } else {
        Registry::Other(host.to_owned())
    }
}

/// The same image under a dual-stack name, or `None` where there is none to rewrite.
/// Repository, tag and digest stay as they are.
pub fn dual_stack(image: &str) -> Option<String> {
    let host = host(image);
    let rest = &image[host.len()..];
    if host == "public.ecr.aws" {
        return Some(format!("ecr-public.aws.com{rest}"));
    }
    let private = private_host(host)?;
    let domain = if private.china { "on.amazonwebservices.com.cn" } else { "on.aws" };
    let fips = if private.fips { "-fips" } else { "" };
    Some(format!("{}.dkr-ecr{fips}.{}.{domain}{rest}", private.account, private.region))
}

/// The host of an image name; Docker Hub where the name has none.
fn host(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

struct PrivateHost<'a> {
    account: &'a str,
    region: &'a str,
    fips: bool,
    china: bool,
}

fn private_host(host: &str) -> Option<PrivateHost<'_>> {
    let (china, rest) = match host.strip_suffix(".amazonaws.com.cn") {
        Some(rest) => (true, rest),
        None => (false, host.strip_suffix(".amazonaws.com")?),
    };
    let mut parts = rest.split('.');
    let (account, dkr, ecr, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let fips = ecr == "ecr-fips";
    (digits && dkr == "dkr" && (ecr == "ecr" || fips) && parts.next().is_none()).then_some(PrivateHost {
        account,
        region,
        fips,
        china,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites_by_table() {
        let table = [
            (
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com/web:1",
                Some("123456789012.dkr-ecr.eu-central-1.on.aws/web:1"),
            ),
            (
                "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/a/b@sha256:0f",
                Some("123456789012.dkr-ecr-fips.us-east-1.on.aws/a/b@sha256:0f"),
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/web",
                Some("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/web"),
            ),
            ("public.ecr.aws/nginx/nginx:1.27", Some("ecr-public.aws.com/nginx/nginx:1.27")),
            ("123456789012.dkr-ecr.eu-central-1.on.aws/web:1", None),
            ("nginx:1.27", None),
            ("ghcr.io/owner/app:2", None),
            ("12345.dkr.ecr.eu-central-1.amazonaws.com/web", None),
        ];
        for (image, wanted) in table {
            assert_eq!(dual_stack(image).as_deref(), wanted, "{image}");
        }
    }

    #[test]
    fn registries_by_table() {
        assert_eq!(registry("nginx"), Registry::Other("docker.io".into()));
        assert_eq!(registry("ghcr.io/a/b"), Registry::Other("ghcr.io".into()));
        assert_eq!(registry("public.ecr.aws/x/y"), Registry::EcrPublic);
        assert_eq!(registry("123456789012.dkr-ecr.eu-central-1.on.aws/web:1"), Registry::DualStack);
    }
}
