//! Who we are, and for how long.
//!
//! The expiry is that of the credentials now in use. Providers that refresh by themselves (SSO, web
//! identity) may hand out later ones; whether they can is not known beforehand.

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use chrono::{DateTime, Utc};
use futures_util::future::join;

use super::errors::during;
use crate::cloud::{CloudError, Identity};

pub(super) async fn of(sts: &aws_sdk_sts::Client, config: &SdkConfig, region: &str) -> Result<Identity, CloudError> {
    let (caller, expires) = join(sts.get_caller_identity().send(), expiry(config)).await;
    let caller = caller.map_err(during("sts:GetCallerIdentity"))?;
    Ok(Identity {
        account: caller.account().unwrap_or_default().to_string(),
        caller: caller.arn().unwrap_or_default().to_string(),
        region: region.to_string(),
        expires,
    })
}

/// A provider that fails here fails the call to STS as well, and is reported there.
async fn expiry(config: &SdkConfig) -> Option<DateTime<Utc>> {
    let credentials = config.credentials_provider()?.provide_credentials().await.ok()?;
    credentials.expiry().map(DateTime::<Utc>::from)
}
