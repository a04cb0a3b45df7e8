//! Actions of listeners and rules between the SDK's types and our JSON-shaped [`Action`].
//!
//! Every member of every kind of action is carried, both ways. The mirror structures below name
//! them once; a member that they do not know is refused when an action is written, never dropped,
//! because `ModifyRule` replaces the whole list and what is left out is lost.
//!
//! Two members of an OIDC action are about writing only and are never kept: the API does not return
//! `ClientSecret`, and `UseExistingClientSecret` is what stands in for it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_elasticloadbalancingv2::types as elb;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::errors::refused;
use crate::cloud::CloudError;
use crate::inventory::{Action, ForwardConfig, GroupStickiness, WeightedGroup};

const OIDC: &str = "AuthenticateOidcConfig";
const COGNITO: &str = "AuthenticateCognitoConfig";
const REDIRECT: &str = "RedirectConfig";
const FIXED_RESPONSE: &str = "FixedResponseConfig";
const JWT: &str = "JwtValidationConfig";

/// What a listener or rule has, as it was described.
pub(super) fn read(actions: &[elb::Action]) -> Vec<Action> {
    actions.iter().map(read_one).collect()
}

/// What to send for these actions, by the API call `operation`.
pub(super) fn write(operation: &str, actions: &[Action]) -> Result<Vec<elb::Action>, CloudError> {
    actions.iter().map(|action| write_one(operation, action)).collect()
}

fn read_one(action: &elb::Action) -> Action {
    let mut rest = BTreeMap::new();
    let mut keep = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            rest.insert(name.to_string(), value);
        }
    };
    keep(OIDC, action.authenticate_oidc_config().map(|config| json(&Oidc::read(config))));
    keep(COGNITO, action.authenticate_cognito_config().map(|config| json(&Cognito::read(config))));
    keep(REDIRECT, action.redirect_config().map(|config| json(&Redirect::read(config))));
    keep(FIXED_RESPONSE, action.fixed_response_config().map(|config| json(&FixedResponse::read(config))));
    keep(JWT, action.jwt_validation_config().map(|config| json(&Jwt::read(config))));
    Action {
        kind: action.r#type().map(|kind| kind.as_str().to_string()).unwrap_or_default(),
        order: action.order(),
        target_group_arn: action.target_group_arn().map(str::to_string),
        forward_config: action.forward_config().map(read_forward),
        rest,
    }
}

fn read_forward(config: &elb::ForwardActionConfig) -> ForwardConfig {
    ForwardConfig {
        target_groups: config
            .target_groups()
            .iter()
            .map(|tuple| WeightedGroup {
                target_group_arn: tuple.target_group_arn().unwrap_or_default().to_string(),
                weight: tuple.weight().and_then(|weight| u32::try_from(weight).ok()),
            })
            .collect(),
        target_group_stickiness_config: config.target_group_stickiness_config().map(|stickiness| GroupStickiness {
            enabled: stickiness.enabled(),
            duration_seconds: stickiness.duration_seconds(),
        }),
    }
}

fn write_one(operation: &str, action: &Action) -> Result<elb::Action, CloudError> {
    let groups = action.forward_config.as_ref().map_or(0, |config| config.target_groups.len());
    let mut written = elb::Action::builder()
        .r#type(elb::ActionTypeEnum::from(action.kind.as_str()))
        .set_order(action.order)
        // With several groups the API wants them in the forward part alone.
        .set_target_group_arn(action.target_group_arn.clone().filter(|_| groups <= 1))
        .set_forward_config(action.forward_config.as_ref().map(|config| write_forward(operation, config)).transpose()?);
    for (name, value) in &action.rest {
        let config = Config { operation, name, value };
        written = match name.as_str() {
            OIDC => {
                let mut oidc = config.parsed::<Oidc>()?.write();
                oidc.use_existing_client_secret = Some(true);
                written.authenticate_oidc_config(oidc)
            }
            COGNITO => written.authenticate_cognito_config(config.parsed::<Cognito>()?.write()),
            REDIRECT => written.redirect_config(config.parsed::<Redirect>()?.write()),
            FIXED_RESPONSE => written.fixed_response_config(config.parsed::<FixedResponse>()?.write()),
            JWT => written.jwt_validation_config(config.parsed::<Jwt>()?.write()),
            _ => return Err(config.unknown()),
        };
    }
    Ok(written.build())
}

fn write_forward(operation: &str, config: &ForwardConfig) -> Result<elb::ForwardActionConfig, CloudError> {
    let mut written = elb::ForwardActionConfig::builder();
    for group in &config.target_groups {
        let weight = group.weight.map(i32::try_from).transpose();
        let weight =
            weight.map_err(|_| refused(operation, format!("weight of {} is out of range", group.target_group_arn)))?;
        written = written.target_groups(
            elb::TargetGroupTuple::builder().target_group_arn(&group.target_group_arn).set_weight(weight).build(),
        );
    }
    if let Some(stickiness) = &config.target_group_stickiness_config {
        written = written.target_group_stickiness_config(
            elb::TargetGroupStickinessConfig::builder()
                .set_enabled(stickiness.enabled)
                .set_duration_seconds(stickiness.duration_seconds)
                .build(),
        );
    }
    Ok(written.build())
}

/// One `...Config` of an action on its way out.
struct Config<'a> {
    operation: &'a str,
    name: &'a str,
    value: &'a Value,
}

impl Config<'_> {
    fn parsed<T: DeserializeOwned>(&self) -> Result<T, CloudError> {
        T::deserialize(self.value).map_err(|error| {
            refused(self.operation, format!("`{}` of an action cannot be sent without loss: {error}", self.name))
        })
    }

    fn unknown(&self) -> CloudError {
        refused(
            self.operation,
            format!("`{}` of an action is not known here; sending the rest would lose it", self.name),
        )
    }
}

/// The mirrors hold strings, numbers and lists of them, which always have a JSON form.
fn json(mirror: &impl Serialize) -> Value {
    serde_json::to_value(mirror).unwrap_or_default()
}

/// A member in the JSON form of the API, and as the SDK has it.
trait Mirror<Sdk> {
    fn read(sdk: &Sdk) -> Self;
    fn write(self) -> Sdk;
}

/// Defines a structure by naming its members once, and its [`Mirror`] of the SDK's structure.
macro_rules! mirror {
    ($name:ident of $sdk:ty { $($field:ident: $kind:ty,)* }) => {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct $name {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $field: Option<$kind>,)*
        }

        impl Mirror<$sdk> for $name {
            fn read(sdk: &$sdk) -> Self {
                Self { $($field: sdk.$field.as_ref().map(Mirror::read),)* }
            }

            fn write(self) -> $sdk {
                let mut sdk = <$sdk>::builder().build();
                $(sdk.$field = self.$field.map(Mirror::write);)*
                sdk
            }
        }
    };
}

mirror!(Oidc of elb::AuthenticateOidcActionConfig {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    user_info_endpoint: String,
    client_id: String,
    session_cookie_name: String,
    scope: String,
    session_timeout: i64,
    authentication_request_extra_params: BTreeMap<String, String>,
    on_unauthenticated_request: String,
});

mirror!(Cognito of elb::AuthenticateCognitoActionConfig {
    user_pool_arn: String,
    user_pool_client_id: String,
    user_pool_domain: String,
    session_cookie_name: String,
    scope: String,
    session_timeout: i64,
    authentication_request_extra_params: BTreeMap<String, String>,
    on_unauthenticated_request: String,
});

mirror!(Redirect of elb::RedirectActionConfig {
    protocol: String,
    port: String,
    host: String,
    path: String,
    query: String,
    status_code: String,
});

mirror!(FixedResponse of elb::FixedResponseActionConfig {
    message_body: String,
    status_code: String,
    content_type: String,
});

mirror!(Jwt of elb::JwtValidationActionConfig {
    jwks_endpoint: String,
    issuer: String,
    additional_claims: Vec<Claim>,
});

mirror!(Claim of elb::JwtValidationActionAdditionalClaim {
    format: String,
    name: String,
    values: Vec<String>,
});

/// Members that are the same on both sides.
macro_rules! same {
    ($($kind:ty)*) => {
        $(impl Mirror<$kind> for $kind {
            fn read(sdk: &$kind) -> Self {
                sdk.clone()
            }

            fn write(self) -> $kind {
                self
            }
        })*
    };
}

same!(String i64 Vec<String>);

/// Enumerations of the SDK, which keep the values that it does not know.
macro_rules! text {
    ($($sdk:ty),*) => {
        $(impl Mirror<$sdk> for String {
            fn read(sdk: &$sdk) -> Self {
                sdk.as_str().to_string()
            }

            fn write(self) -> $sdk {
                self.as_str().into()
            }
        })*
    };
}

text!(
    elb::AuthenticateOidcActionConditionalBehaviorEnum,
    elb::AuthenticateCognitoActionConditionalBehaviorEnum,
    elb::RedirectActionStatusCodeEnum,
    elb::JwtValidationActionAdditionalClaimFormatEnum
);

impl Mirror<HashMap<String, String>> for BTreeMap<String, String> {
    fn read(sdk: &HashMap<String, String>) -> Self {
        sdk.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn write(self) -> HashMap<String, String> {
        self.into_iter().collect()
    }
}

impl Mirror<Vec<elb::JwtValidationActionAdditionalClaim>> for Vec<Claim> {
    fn read(sdk: &Vec<elb::JwtValidationActionAdditionalClaim>) -> Self {
        sdk.iter().map(Claim::read).collect()
    }

    fn write(self) -> Vec<elb::JwtValidationActionAdditionalClaim> {
        self.into_iter().map(Claim::write).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action(value: Value) -> Action {
        // `rest` is a member of its own in our JSON form, so the API's members are sorted into it.
        let Value::Object(mut members) = value else { panic!("an action is an object") };
        let mut rest = serde_json::Map::new();
        for name in [OIDC, COGNITO, REDIRECT, FIXED_RESPONSE, JWT, "SurpriseConfig"] {
            if let Some(config) = members.remove(name) {
                rest.insert(name.to_string(), config);
            }
        }
        members.insert("Rest".to_string(), Value::Object(rest));
        serde_json::from_value(Value::Object(members)).unwrap()
    }

    fn there_and_back(original: &Action) -> Action {
        let written = write("elasticloadbalancing:ModifyRule", std::slice::from_ref(original)).unwrap();
        read(&written).remove(0)
    }

    #[test]
    fn every_kind_survives() {
        let kinds = [
            json!({"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {
                "Issuer": "https://id.example.com", "AuthorizationEndpoint": "https://id.example.com/a",
                "TokenEndpoint": "https://id.example.com/t", "UserInfoEndpoint": "https://id.example.com/u",
                "ClientId": "web", "SessionCookieName": "S", "Scope": "openid email", "SessionTimeout": 604_800,
                "AuthenticationRequestExtraParams": {"prompt": "login", "display": "page"},
                "OnUnauthenticatedRequest": "authenticate"}}),
            json!({"Type": "authenticate-cognito", "Order": 2, "AuthenticateCognitoConfig": {
                "UserPoolArn": "arn:p", "UserPoolClientId": "c", "UserPoolDomain": "d", "SessionCookieName": "S",
                "Scope": "openid", "SessionTimeout": 60, "AuthenticationRequestExtraParams": {"a": "b"},
                "OnUnauthenticatedRequest": "deny"}}),
            json!({"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "Host": "#{host}",
                "Path": "/#{path}", "Query": "#{query}", "StatusCode": "HTTP_301"}}),
            json!({"Type": "fixed-response", "FixedResponseConfig": {"MessageBody": "gone", "StatusCode": "410",
                "ContentType": "text/plain"}}),
            json!({"Type": "jwt-validation", "Order": 1, "JwtValidationConfig": {"JwksEndpoint": "https://j",
                "Issuer": "https://i", "AdditionalClaims": [{"Format": "string-array", "Name": "n", "Values": ["a", "b"]}]}}),
            json!({"Type": "forward", "Order": 50_000, "TargetGroupArn": "arn:a", "ForwardConfig": {
                "TargetGroups": [{"TargetGroupArn": "arn:a", "Weight": 1}],
                "TargetGroupStickinessConfig": {"Enabled": true, "DurationSeconds": 3600}}}),
            json!({"Type": "forward", "ForwardConfig": {"TargetGroups": [
                {"TargetGroupArn": "arn:a", "Weight": 999}, {"TargetGroupArn": "arn:b", "Weight": 0},
                {"TargetGroupArn": "arn:c"}]}}),
            json!({"Type": "forward", "TargetGroupArn": "arn:a"}),
            json!({"Type": "a-kind-of-2030", "Order": 3}),
        ];
        for kind in kinds {
            let original = action(kind);
            assert_eq!(there_and_back(&original), original);
        }
    }

    #[test]
    fn oidc_keeps_its_secret_by_not_knowing_it() {
        let described = elb::Action::builder()
            .r#type(elb::ActionTypeEnum::AuthenticateOidc)
            .authenticate_oidc_config(
                elb::AuthenticateOidcActionConfig::builder()
                    .client_id("web")
                    .client_secret("hush")
                    .use_existing_client_secret(false)
                    .build(),
            )
            .build();
        let ours = read(&[described]);
        assert_eq!(ours[0].rest[OIDC], json!({"ClientId": "web"}));
        let written = write("x", &ours).unwrap();
        let config = written[0].authenticate_oidc_config().unwrap();
        assert_eq!(config.use_existing_client_secret(), Some(true));
        assert_eq!(config.client_secret(), None);
    }

    #[test]
    fn several_groups_stand_in_the_forward_part_alone() {
        let ours = action(json!({"Type": "forward", "TargetGroupArn": "arn:a", "ForwardConfig": {"TargetGroups": [
            {"TargetGroupArn": "arn:a", "Weight": 99}, {"TargetGroupArn": "arn:b", "Weight": 1}]}}));
        let written = write("x", &[ours]).unwrap();
        assert_eq!(written[0].target_group_arn(), None);
        assert_eq!(written[0].forward_config().unwrap().target_groups().len(), 2);
    }

    #[test]
    fn what_is_not_known_is_refused_rather_than_lost() {
        let member = action(json!({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Teapot": 1}}));
        let config = action(json!({"Type": "surprise", "SurpriseConfig": {"A": 1}}));
        for ours in [member, config] {
            let error = write("elasticloadbalancing:ModifyRule", &[ours]).unwrap_err();
            assert_eq!(error.cause, crate::cloud::Cause::Refused);
        }
    }
}
