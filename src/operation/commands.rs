//! What is left to do by hand, as AWS CLI commands that can be pasted.
//!
//! They do what the operations would have done, for the case that those cannot: a run that is stuck
//! says so in commands and not in advice.

use super::{
    CopyListeners, Drift, GREEN_BALANCER, ListenerCopy, Made, Operation, SmokeTest, TASK_DEFINITION, green_key,
    listener_key, probe_key, smoke,
};
use crate::inventory::{Action, Inventory, Record, Route, RouteAt};
use crate::playbook::Shift;
use crate::traffic::records::{GreenName, RecordSet, record_sets};
use crate::traffic::{Pair, Share, at_share};

/// The commands that put every place where traffic is told where to go back as it was recorded, each
/// with the name of its place, as a drift names it.
pub fn home_commands(inventory: &Inventory, shift: &Shift, routes: &[&Route]) -> Vec<(String, String)> {
    let region = &inventory.region;
    match shift {
        Shift::ListenerWeights(_) | Shift::ListenerSwap(_) => {
            routes.iter().map(|r| (r.at.arn().to_owned(), route_command(region, r))).collect()
        }
        Shift::DnsWeights(_) | Shift::InPlace(_) => Vec::new(),
    }
}

/// The commands that put records back as they were recorded, for each share that they may show now: a
/// batch whose deletions are not what is there is refused whole, so at most one of them has an effect.
pub fn record_commands(inventory: &Inventory, green: Option<&GreenName>, written: &[Share]) -> Vec<(String, String)> {
    let sets = record_sets(inventory);
    let Some(green) = green else { return Vec::new() };
    let mut zones: Vec<&str> = sets.iter().map(|s| s.zone.id.as_str()).collect();
    zones.dedup();
    let mut commands = Vec::new();
    for zone in zones {
        for share in written {
            let swap = |set: &RecordSet| (set.at_share(green, *share), set.recorded.clone());
            let of_zone: Vec<_> = sets.iter().filter(|s| s.zone.id == zone).map(swap).collect();
            commands.push((format!("zone {zone} at {share}"), batch_command(zone, &of_zone)));
        }
    }
    commands
}

/// The command that puts records that drifted to what they shall be: it deletes exactly what was found.
pub fn drifted_record_command(
    inventory: &Inventory,
    drift: &Drift,
    wanted: impl Fn(&RecordSet) -> Vec<Record>,
) -> Option<String> {
    let set = record_sets(inventory).into_iter().find(|set| set.place() == drift.what)?;
    let exact = drift.found.split_once("that is ").map(|(_, exact)| exact);
    // What was deleted has nothing to be deleted.
    let found = exact.map_or(Some(Vec::new()), |text| serde_json::from_str(text).ok())?;
    Some(batch_command(&set.zone.id, &[(found, wanted(&set))]))
}

/// One batch: everything old is deleted before anything new is created.
fn batch_command(zone: &str, swaps: &[(Vec<Record>, Vec<Record>)]) -> String {
    let change =
        |action: &str, record: &Record| serde_json::json!({"Action": action, "ResourceRecordSet": cli_record(record)});
    let old = swaps.iter().flat_map(|(old, _)| old).map(|r| change("DELETE", r));
    let new = swaps.iter().flat_map(|(_, new)| new).map(|r| change("CREATE", r));
    let batch =
        serde_json::json!({"Comment": "as before the migration", "Changes": old.chain(new).collect::<Vec<_>>()});
    let batch = quoted(&batch.to_string());
    format!("aws route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch {batch}")
}

/// A record as the AWS CLI takes it: the members of `rest` beside the others.
fn cli_record(record: &Record) -> serde_json::Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.remove("Rest");
        object.extend(record.rest.clone());
    }
    value
}

/// The commands that set every place to `share` again, each with the name of its place: the way out of
/// a drift for who wants the run to go on.
pub fn share_commands(inventory: &Inventory, routes: &[&Route], pairs: &[Pair], share: Share) -> Vec<(String, String)> {
    let at = |r: &&Route| {
        let route = Route { actions: at_share(&r.actions, pairs, share), ..(*r).clone() };
        (r.at.arn().to_owned(), route_command(&inventory.region, &route))
    };
    routes.iter().map(at).collect()
}

impl Operation {
    /// The undo of this operation. What was made under a name that the journal never learnt is looked up.
    pub fn undo_commands(&self, region: &str, made: &Made) -> Vec<String> {
        undo_commands(self, region, made)
    }
}

/// The command that puts a route back as it was recorded.
fn route_command(region: &str, route: &Route) -> String {
    let actions = quoted(&serde_json::Value::from(cli_actions(&route.actions)).to_string());
    match &route.at {
        RouteAt::Listener(arn) => {
            format!("aws elbv2 modify-listener --region {region} --listener-arn {arn} --default-actions {actions}")
        }
        RouteAt::Rule(arn) => {
            format!("aws elbv2 modify-rule --region {region} --rule-arn {arn} --actions {actions}")
        }
    }
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The commands that remove the rules of a smoke test, found by their condition.
fn test_rule_commands(test: &SmokeTest, region: &str) -> Vec<String> {
    let query = quoted(&format!("Rules[?Conditions[?{}]].RuleArn", smoke::query(&test.smoke)));
    let delete = |listener: &String| {
        let rules = format!("aws elbv2 describe-rules --region {region} --listener-arn {listener}");
        format!("aws elbv2 delete-rule --region {region} --rule-arn \"$({rules} --query {query} --output text)\"")
    };
    test.listeners.iter().map(delete).collect()
}

fn undo_commands(operation: &Operation, region: &str, made: &Made) -> Vec<String> {
    let made = |key: String| made.get(&key);
    match operation {
        Operation::Smoke(test) => test_rule_commands(test, region),
        Operation::CreateTargetGroup(new) => {
            let arn = made(green_key(&new.from)).cloned().unwrap_or_else(|| {
                let name = &new.name;
                let query = "--query 'TargetGroups[0].TargetGroupArn' --output text";
                format!("\"$(aws elbv2 describe-target-groups --region {region} --names {name} {query})\"")
            });
            vec![format!("aws elbv2 delete-target-group --region {region} --target-group-arn {arn}")]
        }
        Operation::AssociateGreen(probe) => {
            let arn = made(probe_key(&probe.load_balancer)).cloned().unwrap_or_else(|| {
                let query = format!("Rules[?Conditions[?contains(Values, `{}`)]].RuleArn", probe.host);
                let listener = &probe.listener;
                let query = format!("--query {} --output text", quoted(&query));
                format!("\"$(aws elbv2 describe-rules --region {region} --listener-arn {listener} {query})\"")
            });
            vec![format!("aws elbv2 delete-rule --region {region} --rule-arn {arn}")]
        }
        Operation::CreateLoadBalancer(new) => {
            let arn = made(GREEN_BALANCER.to_owned()).cloned().unwrap_or_else(|| {
                let name = &new.name;
                let query = "--query 'LoadBalancers[0].LoadBalancerArn' --output text";
                format!("\"$(aws elbv2 describe-load-balancers --region {region} --names {name} {query})\"")
            });
            vec![
                format!("aws elbv2 delete-load-balancer --region {region} --load-balancer-arn {arn}"),
                format!("aws elbv2 wait load-balancers-deleted --region {region} --load-balancer-arns {arn}"),
            ]
        }
        Operation::CreateListeners(CopyListeners { load_balancer: Some(balancer), listeners }) => {
            let delete = |l: &ListenerCopy| {
                let arn = made(listener_key(&l.from)).cloned().unwrap_or_else(|| {
                    let query = format!("Listeners[?Port==`{}`].ListenerArn", l.port);
                    let query = format!("--query {} --output text", quoted(&query));
                    format!(
                        "\"$(aws elbv2 describe-listeners --region {region} --load-balancer-arn {balancer} {query})\""
                    )
                });
                format!("aws elbv2 delete-listener --region {region} --listener-arn {arn}")
            };
            listeners.iter().map(delete).collect()
        }
        Operation::RegisterTaskDefinition(new) => {
            let arn = made(TASK_DEFINITION.to_owned()).cloned().unwrap_or_else(|| {
                let (family, query) = (&new.family, "--query 'taskDefinitionArns[-1]' --output text");
                format!("\"$(aws ecs list-task-definitions --region {region} --family-prefix {family} {query})\"")
            });
            vec![format!("aws ecs deregister-task-definition --region {region} --task-definition {arn}")]
        }
        Operation::CreateService(new) => {
            let (cluster, service) = (&new.cluster, &new.name);
            vec![
                format!("aws ecs delete-service --region {region} --cluster {cluster} --service {service} --force"),
                format!("aws ecs wait services-inactive --region {region} --cluster {cluster} --services {service}"),
            ]
        }
        Operation::HoldScaling(hold) => {
            let state = serde_json::json!({
                "DynamicScalingInSuspended": hold.was.dynamic_in,
                "DynamicScalingOutSuspended": hold.was.dynamic_out,
                "ScheduledScalingSuspended": hold.was.scheduled,
            });
            let target = format!("--resource-id {} --scalable-dimension ecs:service:DesiredCount", hold.resource);
            let state = quoted(&state.to_string());
            vec![format!(
                "aws application-autoscaling register-scalable-target --region {region} --service-namespace ecs \
                 {target} --suspended-state {state}"
            )]
        }
        Operation::CopyScaling(copy) => {
            // Clusters go by name there, never by ARN.
            let cluster = copy.cluster.rsplit('/').next().unwrap_or_default();
            vec![format!(
                "aws application-autoscaling deregister-scalable-target --region {region} --service-namespace ecs \
                 --resource-id service/{cluster}/{} --scalable-dimension ecs:service:DesiredCount",
                copy.service
            )]
        }
        _ => Vec::new(),
    }
}

/// Actions as the AWS CLI takes them: the members of `rest` beside the others, and an OIDC secret
/// that is kept.
fn cli_actions(actions: &[Action]) -> Vec<serde_json::Value> {
    actions
        .iter()
        .map(|action| {
            let mut value = serde_json::to_value(action).unwrap_or_default();
            if let Some(object) = value.as_object_mut() {
                object.remove("Rest");
                for (name, config) in &action.rest {
                    let mut config = config.clone();
                    if name == "AuthenticateOidcConfig" {
                        config["UseExistingClientSecret"] = true.into();
                    }
                    object.insert(name.clone(), config);
                }
            }
            value
        })
        .collect()
}
