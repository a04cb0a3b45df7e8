//! From what an SDK call failed with to what it means to us.
//!
//! The one question that matters is whether a change may have happened. A failure is only given a
//! cause that says "changed nothing" when that is proven: the service answered with a definitive
//! 4xx, or no connection was ever made. Everything else is [`Cause::Unknown`], and the journal
//! settles it by reading back. This holds for the whole call only because a mutation is never
//! retried after an attempt whose outcome is open; see `patience`.
//!
//! The message is for people: what the service said with its code and request id, and for the two
//! causes that only they can mend, what to do.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecs::config::http::HttpResponse;
use aws_sdk_ecs::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::RequestId;

use crate::cloud::{Cause, CloudError};

/// What turns the failure of this API call into ours: the argument of `map_err`.
pub(super) fn during<E>(operation: &str) -> impl FnOnce(SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| translated(operation, &error)
}

/// A refusal that is ours: the answer was well-formed, but not one to go on with.
pub(super) fn refused(operation: &str, message: impl Into<String>) -> CloudError {
    CloudError { operation: operation.to_string(), cause: Cause::Refused, message: message.into() }
}

/// The answer, or `None` where what was asked about does not exist.
pub(super) fn existing<T>(answer: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.cause == Cause::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn translated<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let (cause, said) = if in_chain::<CredentialsError>(error).is_some() {
        (Cause::Credentials, innermost(error))
    } else {
        match error {
            SdkError::ServiceError(service) => {
                let meta = service.err();
                let status = service.raw().status().as_u16();
                let message = meta.message().unwrap_or("no message");
                (
                    cause_of_answer(meta.code(), message, status),
                    answer(meta.code(), message, status, error.request_id()),
                )
            }
            SdkError::ConstructionFailure(_) => (Cause::Refused, innermost(error)),
            SdkError::DispatchFailure(failure) => {
                let connector = failure.as_connector_error();
                let unsent = connector.is_some_and(never_sent);
                if unsent { (Cause::Unreachable, innermost(error)) } else { (Cause::Unknown, chain(error)) }
            }
            SdkError::TimeoutError(_) => (Cause::Unknown, "no answer in time".to_string()),
            SdkError::ResponseError(response) => {
                let status = response.raw().status().as_u16();
                (Cause::Unknown, format!("an answer with HTTP status {status} that cannot be read: {}", chain(error)))
            }
            other => (Cause::Unknown, chain(other)),
        }
    };
    CloudError { operation: operation.to_string(), cause, message: advised(operation, cause, said) }
}

/// What an answer of the service with this code means.
fn cause_of_answer(code: Option<&str>, message: &str, status: u16) -> Cause {
    const CREDENTIALS: [&str; 10] = [
        "ExpiredToken",
        "RequestExpired",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "SignatureDoesNotMatch",
        "InvalidSignature",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "InvalidAccessKeyId",
        "AuthFailure",
    ];
    let code = code.unwrap_or_default();
    let starts = |names: &[&str]| names.iter().any(|name| code.starts_with(name));
    if starts(&CREDENTIALS) {
        Cause::Credentials
    } else if starts(&["AccessDenied", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError"]) {
        Cause::Denied
    } else if is_throttling(code, message, status) {
        Cause::Throttled
    } else if leaves_open(status) {
        Cause::Unknown
    } else if code.contains("NotFound") || code.starts_with("NoSuch") {
        Cause::NotFound
    } else {
        Cause::Refused
    }
}

/// Whether an answer with this HTTP status leaves open what happened: a failure of the server, or of
/// something between it and us, and a request that was given up on.
pub(super) fn leaves_open(status: u16) -> bool {
    status >= 500 || status == 408
}

/// Whether the service turned the call away for its number. It has then not looked at it.
fn is_throttling(code: &str, message: &str, status: u16) -> bool {
    status == 429
        || [
            "Throttl",
            "RequestLimitExceeded",
            "RequestThrottled",
            "TooManyRequests",
            "SlowDown",
            "BandwidthLimitExceeded",
            // Application Auto Scaling, while another change of the same target is under way.
            "ConcurrentUpdateException",
            // Route 53, while an earlier change of the same zone is not taken in.
            "PriorRequestNotComplete",
        ]
        .iter()
        .any(|name| code.starts_with(name))
        || message.contains("Rate exceeded")
}

/// Whether the connection failed before anything could be sent: a name that does not resolve, a
/// refused connection, a time-out or a failed TLS handshake while connecting.
///
/// The SDK files all of these under the same kinds as a connection lost half-way, so the HTTP
/// client's own error is asked. Should the SDK ever change its HTTP client, nothing is found, and
/// the outcome is unknown, which is the safe side.
pub(super) fn never_sent(error: &ConnectorError) -> bool {
    in_chain::<hyper_util::client::legacy::Error>(error).is_some_and(hyper_util::client::legacy::Error::is_connect)
}

/// What the service said, with what its support asks for.
fn answer(code: Option<&str>, message: &str, status: u16, request: Option<&str>) -> String {
    let code = code.map_or_else(|| format!("HTTP status {status}"), str::to_string);
    match request {
        Some(request) => format!("{code}: {message} (request {request})"),
        None => format!("{code}: {message}"),
    }
}

/// Adds what to do, where only people can do something.
fn advised(operation: &str, cause: Cause, said: String) -> String {
    match cause {
        Cause::Denied => format!("{said}; allow `{operation}` to the caller"),
        Cause::Credentials => {
            format!(
                "no valid credentials: {said}; get fresh AWS credentials, such as with `aws sso login`, or check AWS_PROFILE"
            )
        }
        Cause::Unreachable => format!("no connection could be made: {said}"),
        Cause::Refused | Cause::NotFound | Cause::Throttled | Cause::Unknown => said,
    }
}

/// The first error of this type among the error and its sources.
fn in_chain<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error and its sources, outermost first, without repetition.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// The last source: what it is really about.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_causes() {
        let cases = [
            ("AccessDeniedException", 400, Cause::Denied),
            ("AccessDenied", 403, Cause::Denied),
            ("UnauthorizedOperation", 403, Cause::Denied),
            ("ExpiredToken", 403, Cause::Credentials),
            ("ExpiredTokenException", 400, Cause::Credentials),
            ("InvalidClientTokenId", 403, Cause::Credentials),
            ("UnrecognizedClientException", 400, Cause::Credentials),
            ("SignatureDoesNotMatch", 403, Cause::Credentials),
            ("ThrottlingException", 400, Cause::Throttled),
            ("Throttling", 400, Cause::Throttled),
            ("Throttling", 503, Cause::Throttled),
            ("RequestLimitExceeded", 503, Cause::Throttled),
            ("ConcurrentUpdateException", 400, Cause::Throttled),
            ("PriorRequestNotComplete", 400, Cause::Throttled),
            ("NoSuchHostedZone", 404, Cause::NotFound),
            ("NoSuchChange", 404, Cause::NotFound),
            ("InvalidChangeBatch", 400, Cause::Refused),
            ("ObjectNotFoundException", 400, Cause::NotFound),
            ("RuleNotFound", 400, Cause::NotFound),
            ("ClusterNotFoundException", 400, Cause::NotFound),
            ("InvalidParameterException", 400, Cause::Refused),
            ("PriorityInUse", 400, Cause::Refused),
            ("LimitExceededException", 400, Cause::Refused),
            ("ServerException", 500, Cause::Unknown),
            ("InternalFailure", 500, Cause::Unknown),
            ("ServiceUnavailable", 503, Cause::Unknown),
            ("ResourceNotFound", 502, Cause::Unknown),
            ("RequestTimeout", 408, Cause::Unknown),
        ];
        for (code, status, cause) in cases {
            assert_eq!(cause_of_answer(Some(code), "", status), cause, "{code} with {status}");
        }
        assert_eq!(cause_of_answer(None, "Rate exceeded", 400), Cause::Throttled);
        assert_eq!(cause_of_answer(None, "", 429), Cause::Throttled);
        assert_eq!(cause_of_answer(None, "", 418), Cause::Refused);
    }

    #[test]
    fn people_are_told_what_to_do() {
        let denied = advised("ecs:CreateService", Cause::Denied, "AccessDenied: no".to_string());
        assert!(denied.contains("`ecs:CreateService`"), "{denied}");
        let expired = advised("ecs:CreateService", Cause::Credentials, "ExpiredToken: old".to_string());
        assert!(expired.contains("aws sso login"), "{expired}");
        assert_eq!(answer(Some("X"), "y", 400, Some("r-1")), "X: y (request r-1)");
        assert_eq!(answer(None, "no message", 404, None), "HTTP status 404: no message");
    }
}
