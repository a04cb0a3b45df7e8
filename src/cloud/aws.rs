//! The AWS adapter: the port on the official SDKs.
//!
//! The port is synchronous and this adapter is not: it owns a tokio runtime, blocks on it at the
//! port, and fans out inside a verb. SDK types and tokio stay inside. A verb costs as few sequential
//! round trips as the APIs allow; [`Cloud::observe`] asks for everything at once.
//!
//! What it keeps: a failed mutation is never called "nothing happened" unless that is proven
//! (`errors`, `patience`); what a listener, rule, service or task definition has and we do not
//! understand is carried or refused, never dropped in silence (`actions`, `copies`); nothing is
//! adopted that does not bear the run's tags (`tags`).
//!
//! What it does not do: wait for anything to become healthy, compare before writing, or settle an
//! unknown outcome. Those need the journal, and are `operation`'s.

mod actions;
mod anatomy;
mod balancers;
mod cloudwatch;
mod copies;
mod creation;
mod ecs;
mod elb;
mod endpoints;
mod errors;
mod identity;
mod names;
mod notices;
mod patience;
mod registries;
mod renames;
mod routes;
mod scaling;
mod tags;
mod ties;
mod trials;
mod updates;

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use futures_util::future::{join, try_join, try_join4};
use tokio::runtime::Runtime;

use super::{
    Cause, Cloud, CloudError, Day, DayWindow, Identity, MetricWindow, Minute, NewRule, NewScaling, NewService,
    NewTargetGroup, NewTaskDefinition, RouteWrite, Sight, Watch,
};
use crate::inventory::{
    Alarm, LoadBalancer, Route, ScalableTarget, Service, Suspension, TargetGroup, Task, TaskDefinition,
};

/// An AWS account and region.
#[derive(Debug)]
pub struct Aws {
    runtime: Runtime,
    config: SdkConfig,
    region: String,
    ecs: ecs::Ecs,
    elb: elb::Elb,
    scaling: scaling::Scaling,
    discovery: registries::Discovery,
    dns: names::Dns,
    waf: anatomy::Waf,
    cloudwatch: aws_sdk_cloudwatch::Client,
    sts: aws_sdk_sts::Client,
}

impl Aws {
    /// Reads the standard AWS configuration: environment, profiles, SSO, web identity, endpoints.
    /// The region given, if any, wins over the configured one. Nothing is contacted, except that
    /// without any region the instance metadata service is asked for one.
    pub fn connect(region: Option<&str>) -> Result<Aws, CloudError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("aws")
            .enable_all()
            .build()
            .map_err(|error| cannot_start(format!("no threads for the AWS SDK: {error}")))?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(patience::reading())
            .timeout_config(patience::timeouts());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_string()));
        }
        let config = runtime.block_on(loader.load());
        Aws::on(runtime, config)
    }

    fn on(runtime: Runtime, config: SdkConfig) -> Result<Aws, CloudError> {
        let region = config.region().map(|region| region.as_ref().to_string()).ok_or_else(|| {
            cannot_start(
                "no AWS region is set; give `region:` in the playbook, AWS_REGION, or one in the profile".to_string(),
            )
        })?;
        /// The clients of one service: for reads, and for writes with their stricter retries.
        macro_rules! reads_and_writes {
            ($sdk:ident) => {{
                let writes = $sdk::config::Builder::from(&config)
                    .retry_config(patience::writing(config.retry_config()))
                    .retry_classifier(patience::OnlyAfterNothing);
                ($sdk::Client::new(&config), $sdk::Client::from_conf(writes.build()))
            }};
        }
        let (reads, writes) = reads_and_writes!(aws_sdk_ecs);
        let ecs = ecs::Ecs { reads, writes };
        let (reads, writes) = reads_and_writes!(aws_sdk_elasticloadbalancingv2);
        let elb = elb::Elb { reads, writes };
        let (reads, writes) = reads_and_writes!(aws_sdk_applicationautoscaling);
        let scaling = scaling::Scaling { reads, writes };
        let (reads, writes) = reads_and_writes!(aws_sdk_servicediscovery);
        let discovery = registries::Discovery { reads, writes };
        let (reads, writes) = reads_and_writes!(aws_sdk_route53);
        let dns = names::Dns { reads, writes };
        let (reads, writes) = reads_and_writes!(aws_sdk_wafv2);
        let waf = anatomy::Waf { reads, writes };
        let cloudwatch = aws_sdk_cloudwatch::Client::new(&config);
        let sts = aws_sdk_sts::Client::new(&config);
        Ok(Aws { runtime, config, region, ecs, elb, scaling, discovery, dns, waf, cloudwatch, sts })
    }

    /// Whether every service in use has an endpoint set that is on this machine, as emulators are.
    pub fn endpoints_are_loopback(&self) -> bool {
        endpoints::are_loopback(&self.config)
    }

    async fn scaling_of(&self, watched: Option<&(String, String)>) -> Result<Option<ScalableTarget>, CloudError> {
        match watched {
            Some((cluster, service)) => self.scaling.of(cluster, service).await,
            None => Ok(None),
        }
    }

    async fn alarms(&self, names: &[String]) -> Option<Result<Vec<Alarm>, CloudError>> {
        if names.is_empty() {
            return None;
        }
        Some(cloudwatch::alarms(&self.cloudwatch, names).await)
    }

    async fn minutes(&self, window: Option<&MetricWindow>) -> Option<Result<Vec<Minute>, CloudError>> {
        Some(cloudwatch::minutes(&self.cloudwatch, window?).await)
    }
}

fn cannot_start(message: String) -> CloudError {
    CloudError { operation: "AWS configuration".to_string(), cause: Cause::Refused, message }
}

impl Cloud for Aws {
    fn identity(&self) -> Result<Identity, CloudError> {
        self.runtime.block_on(identity::of(&self.sts, &self.config, &self.region))
    }

    fn service(&self, cluster: &str, name: &str) -> Result<Option<Service>, CloudError> {
        let wanted = [(cluster.to_string(), name.to_string())];
        let found = self.runtime.block_on(self.ecs.services(&wanted))?;
        Ok(found.into_iter().next().flatten())
    }

    fn task_definition(&self, arn: &str) -> Result<TaskDefinition, CloudError> {
        self.runtime.block_on(self.ecs.task_definition(arn))
    }

    fn target_groups(&self, arns: &[String]) -> Result<Vec<TargetGroup>, CloudError> {
        self.runtime.block_on(self.elb.target_groups(arns))
    }

    fn target_group_named(&self, name: &str) -> Result<Option<TargetGroup>, CloudError> {
        self.runtime.block_on(self.elb.target_group_named(name))
    }

    fn load_balancers(&self, arns: &[String]) -> Result<Vec<LoadBalancer>, CloudError> {
        self.runtime.block_on(self.elb.load_balancers(arns))
    }

    fn routes(&self, load_balancers: &[String]) -> Result<Vec<Route>, CloudError> {
        self.runtime.block_on(self.elb.routes(load_balancers))
    }

    fn scaling(&self, cluster: &str, service: &str) -> Result<Option<ScalableTarget>, CloudError> {
        self.runtime.block_on(self.scaling.of(cluster, service))
    }

    fn task_definition_tagged(
        &self,
        family: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Option<String>, CloudError> {
        self.runtime.block_on(self.ecs.definition_tagged(family, tags))
    }

    fn tasks(&self, cluster: &str, service: &str) -> Result<Vec<Task>, CloudError> {
        self.runtime.block_on(self.ecs.tasks(cluster, service))
    }

    fn observe(&self, watch: &Watch) -> Result<Sight, CloudError> {
        self.runtime.block_on(async {
            let estate = try_join4(
                self.elb.routes_of(&watch.listeners),
                self.elb.health(&watch.target_groups),
                self.ecs.services(&watch.services),
                self.scaling_of(watch.scaling.as_ref()),
            );
            let signals = join(self.alarms(&watch.alarms), self.minutes(watch.metrics.as_ref()));
            let estate = try_join(estate, self.dns.names(&watch.names));
            let (estate, (alarms, metrics)) = join(estate, signals).await;
            let ((routes, health, services, scaling), names) = estate?;
            Ok(Sight { routes, health, services, names, scaling, alarms, metrics })
        })
    }

    fn day(&self, window: &DayWindow) -> Result<Day, CloudError> {
        self.runtime.block_on(cloudwatch::day(&self.cloudwatch, window))
    }

    fn create_target_group(&self, wanted: &NewTargetGroup) -> Result<String, CloudError> {
        self.runtime.block_on(self.elb.create_target_group(wanted))
    }

    fn set_target_group_attributes(&self, arn: &str, attributes: &BTreeMap<String, String>) -> Result<(), CloudError> {
        self.runtime.block_on(self.elb.set_attributes(arn, attributes))
    }

    fn create_probe_rule(&self, wanted: &NewRule) -> Result<String, CloudError> {
        self.runtime.block_on(self.elb.create_probe_rule(wanted))
    }

    fn delete_rule(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.elb.delete_rule(arn))
    }

    fn register_task_definition(&self, wanted: &NewTaskDefinition) -> Result<String, CloudError> {
        self.runtime.block_on(self.ecs.register(wanted))
    }

    fn create_service(&self, wanted: &NewService) -> Result<String, CloudError> {
        self.runtime.block_on(self.ecs.create_service(wanted))
    }

    fn set_desired_count(&self, cluster: &str, service: &str, count: u32) -> Result<(), CloudError> {
        self.runtime.block_on(self.ecs.set_desired_count(cluster, service, count))
    }

    fn set_actions(&self, writes: &[RouteWrite]) -> Vec<Result<(), CloudError>> {
        self.runtime.block_on(self.elb.set_actions(writes))
    }

    fn suspend_scaling(&self, resource: &str, suspended: Suspension) -> Result<(), CloudError> {
        self.runtime.block_on(self.scaling.suspend(resource, suspended))
    }

    fn copy_scaling(&self, wanted: &NewScaling) -> Result<(), CloudError> {
        self.runtime.block_on(self.scaling.copy(wanted))
    }

    fn remove_scaling(&self, cluster: &str, service: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.scaling.remove(cluster, service))
    }

    fn delete_service(&self, cluster: &str, service: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.ecs.delete_service(cluster, service))
    }

    fn delete_target_group(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.elb.delete_target_group(arn))
    }

    fn deregister_task_definition(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.ecs.deregister(arn))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use aws_config::retry::RetryConfig;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, future};

    use super::*;

    /// A server that gives every request the same answer, and counts them. `None` hangs up.
    fn server(answer: Option<&'static str>) -> (String, Arc<AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                read_request(&mut stream);
                counted.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        (url, requests)
    }

    fn read_request(stream: &mut TcpStream) {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&seen).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if read == 0 || body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return;
            }
        }
    }

    fn aws(url: &str, credentials: impl ProvideCredentials + 'static) -> Aws {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(url)
            .credentials_provider(credentials)
            .timeout_config(patience::timeouts())
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)));
        let config = runtime.block_on(loader.load());
        Aws::on(runtime, config).unwrap()
    }

    fn key() -> Credentials {
        Credentials::new("AKIDEXAMPLE", "secret", None, None, "test")
    }

    /// The causes of a failed mutation and a failed read, and how often each was tried.
    fn failures(answer: Option<&'static str>) -> ((Cause, u32), (Cause, u32)) {
        let (url, requests) = server(answer);
        let aws = aws(&url, key());
        let mutation = aws.set_desired_count("prod", "web", 1).unwrap_err();
        let mutations = requests.swap(0, Ordering::SeqCst);
        let read = aws.service("prod", "web").unwrap_err();
        ((mutation.cause, mutations), (read.cause, requests.load(Ordering::SeqCst)))
    }

    const HEAD: &str = "content-type: application/x-amz-json-1.1\r\nconnection: close";

    /// The answer of ECS with this status and error code.
    fn answer(status: u16, code: &str) -> Option<&'static str> {
        let body = format!("{{\"__type\":\"{code}\",\"message\":\"said so\"}}");
        let text = format!("HTTP/1.1 {status} No\r\n{HEAD}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Some(Box::leak(text.into_boxed_str()))
    }

    #[test]
    fn a_lost_answer_is_unknown_and_only_reads_are_tried_again() {
        assert_eq!(failures(None), ((Cause::Unknown, 1), (Cause::Unknown, 3)));
        assert_eq!(failures(answer(500, "ServerException")), ((Cause::Unknown, 1), (Cause::Unknown, 3)));
    }

    #[test]
    fn what_changed_nothing_is_tried_again() {
        assert_eq!(failures(answer(400, "ThrottlingException")), ((Cause::Throttled, 4), (Cause::Throttled, 3)));
    }

    #[test]
    fn definitive_answers_are_final() {
        for (status, code, cause) in [
            (400, "AccessDeniedException", Cause::Denied),
            (400, "ExpiredTokenException", Cause::Credentials),
            (400, "InvalidParameterException", Cause::Refused),
        ] {
            assert_eq!(failures(answer(status, code)), ((cause, 1), (cause, 1)), "{code}");
        }
    }

    #[test]
    fn no_connection_is_unreachable() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for url in [format!("http://{closed}"), format!("https://{closed}"), "http://nowhere.invalid".to_string()] {
            let error = aws(&url, key()).set_desired_count("prod", "web", 1).unwrap_err();
            assert_eq!(error.cause, Cause::Unreachable, "{url}: {error}");
            assert_eq!(error.operation, "ecs:UpdateService");
        }
    }

    #[derive(Debug)]
    struct Nobody;

    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no profile has any")))
        }
    }

    #[test]
    fn missing_credentials_are_named_as_such() {
        let (url, requests) = server(None);
        let error = aws(&url, Nobody).set_desired_count("prod", "web", 1).unwrap_err();
        assert_eq!((error.cause, requests.load(Ordering::SeqCst)), (Cause::Credentials, 0));
        assert!(error.message.contains("no profile has any"), "{error}");
    }

    #[test]
    fn a_region_is_needed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = Aws::on(runtime, SdkConfig::builder().build()).unwrap_err();
        assert!(error.message.contains("AWS_REGION"), "{error}");
    }

    #[test]
    fn connecting_contacts_nobody() {
        let (url, requests) = server(None);
        assert!(aws(&url, key()).endpoints_are_loopback());
        assert_eq!(requests.load(Ordering::SeqCst), 0);
    }
}
