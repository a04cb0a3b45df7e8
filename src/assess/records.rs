//! Rules about Route 53 records and the load balancer behind them.
//!
//! A record moves only where its form is one that can be put back exactly, and where what is written
//! beside it means what a stage says. Everything else is refused with the reason.

use super::routing;
use crate::finding::Finding;
use crate::inventory::{HostedName, Inventory, Record};
use crate::playbook::Playbook;
use crate::traffic::Share;
use crate::traffic::records::{GreenName, RecordSet, expressible, record_sets};

/// Seconds above which a way home is called slow.
const SLOW_TTL: u32 = 300;
/// Members that a set may have (Route 53 guide, quotas).
const MEMBERS_MAX: usize = 100;
/// Records of all deletions and creations in one batch (Route 53 guide, quotas).
const BATCH_MAX: usize = 1000;

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let mut findings = routing::groups(inventory);
    findings.extend(balancers(inventory));
    if inventory.names.is_empty() {
        findings.push(
            Finding::block("no-record", "no record leads to blue's load balancer")
                .evidence(inventory.load_balancers.iter().map(|b| b.dns_name.clone()).collect::<Vec<_>>().join(", "))
                .remedy(
                    "name the records in `dns_weights.records`; a zone of another account cannot be changed from here",
                ),
        );
    }
    for name in &inventory.names {
        findings.extend([zone(name), absent(name), elsewhere(name), one_family(name)].into_iter().flatten());
    }
    for set in record_sets(inventory) {
        let rules = [policy(&set), members(&set, inventory), identifier(playbook, &set), values(&set)];
        findings.extend(rules.into_iter().flatten());
        findings.extend([ttl(&set), evaluated(&set), address(&set), health_check(&set)].into_iter().flatten());
        findings.extend(coarse(playbook, &set));
    }
    findings.extend(too_many(inventory));
    findings.extend(stages(playbook));
    findings.extend(left(inventory));
    findings
}

fn balancers(inventory: &Inventory) -> Vec<Finding> {
    let mut findings: Vec<Finding> = inventory.load_balancers.iter().filter_map(routing::state).collect();
    if inventory.load_balancers.len() > 1 {
        findings.push(
            Finding::block("several-load-balancers", "the service is behind several load balancers")
                .evidence(inventory.load_balancers.iter().map(|b| b.name.clone()).collect::<Vec<_>>().join(", "))
                .remedy("records lead to one of them: restrict the run with `service.target_groups`"),
        );
    }
    findings
}

fn shown(name: &HostedName) -> String {
    format!("{} in zone {} ({})", name.name.trim_end_matches('.'), name.zone.name.trim_end_matches('.'), name.zone.id)
}

fn zone(name: &HostedName) -> Option<Finding> {
    let owner = name.zone.linked_service.as_ref()?;
    Some(
        Finding::block("zone-not-editable", format!("the zone of {} belongs to {owner}", shown(name)))
            .remedy("only that service can change it: move the name to a zone of your own first"),
    )
}

fn absent(name: &HostedName) -> Option<Finding> {
    name.records.is_empty().then(|| {
        Finding::block("record-not-found", format!("there is no address record {}", shown(name)))
            .remedy("check `dns_weights.records`; without the field every record that leads to blue is found")
    })
}

fn elsewhere(name: &HostedName) -> Option<Finding> {
    (!name.records.is_empty() && name.moving.is_empty()).then(|| {
        let targets: Vec<&str> = name.records.iter().filter_map(Record::leads_by_name).collect();
        Finding::block("record-leads-elsewhere", format!("{} does not lead to blue's load balancer", shown(name)))
            .evidence(format!("it leads to {}", targets.join(", ")))
            .remedy("name the record that leads to the load balancer itself; those that lead to that one follow it")
    })
}

/// Clients over IPv4 and IPv6 ask for records of their own.
fn one_family(name: &HostedName) -> Option<Finding> {
    let has = |kind: &str| name.records.iter().any(|r| r.kind == kind);
    if has("A") && !has("AAAA") {
        return Some(
            Finding::info("no-aaaa-record", format!("{} has no AAAA record", shown(name)))
                .remedy("clients come over IPv4 only, which the load balancer still takes; add an AAAA alias to let them come over IPv6"),
        );
    }
    let both = has("A") && has("AAAA");
    let one = both && !name.moving.is_empty() && !["A", "AAAA"].iter().all(|k| name.moving.iter().any(|m| m == k));
    one.then(|| {
        Finding::warn(
            "families-differ",
            format!("only the {} record of {} leads to blue", name.moving.join(", "), shown(name)),
        )
        .remedy("clients of the other family go where they went; check that this is meant")
    })
}

fn policy(set: &RecordSet) -> Option<Finding> {
    let (record, policy) = set.recorded.iter().find_map(|r| Some((r, r.rest.keys().next()?)))?;
    let (rule, what) = if policy == "TrafficPolicyInstanceId" {
        ("traffic-policy", "was made by a traffic policy".to_owned())
    } else {
        ("routing-policy", format!("has the routing policy {policy}"))
    };
    Some(
        Finding::block(rule, format!("{} {what}", set.place()))
            .evidence(record.set_identifier.clone().unwrap_or_default())
            .remedy("only simple and weighted records can be moved: move behind a name of its own, or use `listener_weights`"),
    )
}

fn members(set: &RecordSet, inventory: &Inventory) -> Option<Finding> {
    let leads = |r: &&Record| inventory.load_balancers.iter().any(|b| r.leads_to(&b.dns_name));
    let blue = set.recorded.iter().filter(leads).count();
    if blue > 1 {
        return Some(
            Finding::block("several-blue-records", format!("{blue} members of {} lead to blue", set.place()))
                .remedy("make them one, with the sum of their weights"),
        );
    }
    if !set.simple() && set.blue().weight == Some(0) {
        return Some(
            Finding::block("record-without-weight", format!("blue's member of {} has weight 0", set.place()))
                .remedy("nothing can be shifted there; name the records that have traffic in `dns_weights.records`"),
        );
    }
    (set.recorded.len() >= MEMBERS_MAX).then(|| {
        Finding::block("set-is-full", format!("{} has {} members", set.place(), set.recorded.len()))
            .remedy(format!("a set has at most {MEMBERS_MAX}: make room for green's"))
    })
}

fn identifier(playbook: &Playbook, set: &RecordSet) -> Option<Finding> {
    let taken =
        |r: &&Record| r.set_identifier.as_ref().is_some_and(|i| i.starts_with(&format!("migrate-{}-", playbook.name)));
    let found = set.recorded.iter().find(taken)?;
    Some(
        Finding::block("identifier-taken", format!("{} has a member with this run's identifier", set.place()))
            .evidence(found.set_identifier.clone().unwrap_or_default())
            .remedy("it is left from another run: restore the record, or give the playbook another `name`"),
    )
}

fn values(set: &RecordSet) -> Option<Finding> {
    let record = set.recorded.iter().find(|r| r.resource_records.len() > 1)?;
    Some(
        Finding::block("several-values", format!("{} has {} values", set.place(), record.resource_records.len()))
            .remedy("a weighted record has one: replace it by an alias to the load balancer"),
    )
}

fn ttl(set: &RecordSet) -> Option<Finding> {
    let seconds = set.blue().follows_after();
    (seconds > SLOW_TTL).then(|| {
        Finding::warn("slow-records", format!("{} has a TTL of {seconds} s", set.place()))
            .evidence("clients follow a shift, and a rollback, only after so long")
            .remedy("lower it to 60 a day before the run")
    })
}

fn evaluated(set: &RecordSet) -> Option<Finding> {
    set.blue().alias_target.as_ref().is_some_and(|a| a.evaluate_target_health).then(|| {
        Finding::info("target-health-evaluated", format!("{} evaluates the health of its load balancer", set.place()))
            .remedy("at 100% blue has weight 0, which then means: only where green's load balancer is not healthy. A load balancer with an empty target group is not")
    })
}

fn address(set: &RecordSet) -> Option<Finding> {
    set.becomes_alias().then(|| {
        Finding::warn("record-of-addresses", format!("{} names addresses and no load balancer", set.place()))
            .evidence("whether they are blue's cannot be seen from here; you named the record")
            .remedy("green's record is an alias to its load balancer, because addresses do not follow one")
    })
}

fn health_check(set: &RecordSet) -> Option<Finding> {
    let id = set.blue().health_check_id.as_ref()?;
    Some(Finding::warn("record-with-health-check", format!("{} has the health check {id}", set.place())).remedy(
        "green's record gets none, because the check asks blue; give green one of its own if answers depend on it",
    ))
}

/// Stages that the weights of a set cannot express, because others in it are too heavy.
fn coarse(playbook: &Playbook, set: &RecordSet) -> Option<Finding> {
    let green = GreenName { run: playbook.name.clone(), dns_name: String::new(), zone: String::new() };
    let off = playbook.stages.iter().find_map(|stage| {
        let achieved = set.share_of(&set.at_share(&green, stage.green), &green)?;
        let wish = stage.green.fraction();
        (expressible(stage.green) && !(wish / 2.0..=wish * 2.0).contains(&achieved)).then_some((stage.green, achieved))
    });
    let (wish, achieved) = off?;
    Some(
        Finding::block("weights-too-coarse", format!("{} cannot give green {wish}", set.place()))
            .evidence(format!("beside the other members the nearest is {:.1}%", achieved * 100.0))
            .remedy("multiply the weights of all members by the same number, up to 255, or make the stage larger"),
    )
}

fn too_many(inventory: &Inventory) -> Option<Finding> {
    let records = record_sets(inventory).iter().map(|s| 2 * s.recorded.len() + 2).sum::<usize>();
    (records > BATCH_MAX).then(|| {
        Finding::block("too-many-records", format!("moving all these names takes {records} changes at once"))
            .remedy(format!("one batch has at most {BATCH_MAX}: name fewer in `dns_weights.records`"))
    })
}

/// The decoder refuses these with their lines; a playbook from elsewhere is refused here.
fn stages(playbook: &Playbook) -> Option<Finding> {
    let stage = playbook.stages.iter().find(|s| s.green != Share::NONE && !expressible(s.green))?;
    Some(
        Finding::block("stage-not-expressible", format!("records cannot give green {}", stage.green))
            .remedy("their weights are 0 to 255, so the smallest share is 0.4%"),
    )
}

fn left(inventory: &Inventory) -> Vec<Finding> {
    let shown = |n: &crate::inventory::NameLeft| {
        let kind = if n.zone.private { "private " } else { "" };
        format!("{} {} ({kind}zone {})", n.name.trim_end_matches('.'), n.kind, n.zone.id)
    };
    let list = |left: &[&crate::inventory::NameLeft]| left.iter().map(|n| shown(n)).collect::<Vec<_>>().join(", ");
    let (following, beside): (Vec<_>, Vec<_>) = inventory.names_left.iter().partition(|n| n.through.is_some());
    let mut findings = Vec::new();
    if !beside.is_empty() {
        findings.push(
            Finding::warn("records-left-behind", format!("{} more records lead to blue and do not move", beside.len()))
                .evidence(list(&beside))
                .remedy("their clients stay with blue, and `migrate finish` waits until they are gone; leave `records` and `zone` out to move all"),
        );
    }
    if !following.is_empty() {
        findings.push(
            Finding::info(
                "records-that-follow",
                format!("{} records lead to names that move, and follow", following.len()),
            )
            .evidence(list(&following))
            .remedy("nothing to do; their own TTL is added to the time that clients take"),
        );
    }
    findings
}
