//! Every write to the records of a hosted zone: compare, swap, wait until all servers answer with it.
//!
//! Invariants: records are written only when they show what we last wrote, or what an interrupted
//! write of ours would have left; every write deletes by the exact values that were read, so that AWS
//! itself refuses it where somebody was faster; all records of a zone move in one batch, so that no
//! client meets two address families of different minds; and a write counts only when its change is
//! in sync. The id of a change is journaled. Where it was lost, the same records are swapped for
//! themselves, which gives another.
//!
//! Not here: how long resolvers keep old answers. The bake and the waits of [`super::quiet`] mind that.

use chrono::TimeDelta;

use super::routes::{capacity, outdated, redeployed, too_few};
use super::scaling::released_key;
use super::{CHANGE, Drift, Made, Outcome, Scene};
use crate::clock::Wake;
use crate::cloud::names::RecordChange;
use crate::cloud::{Cause, CloudError, Sight, Watch};
use crate::inventory::record::same_records;
use crate::inventory::{Inventory, Record};
use crate::traffic::Share;
use crate::traffic::records::{GreenName, RecordSet, record_sets, weights};

/// Looks before what is refused, or looks changed by others, is believed: reads lag by seconds.
const LOOKS: u32 = 5;
/// The name of the change that restores the records.
const HOME: &str = "home";

/// The name under which the id of a change is kept.
fn change_key(zone: &str, goal: &str) -> String {
    format!("{CHANGE}{zone}:{goal}")
}

/// What the records shall become.
struct Goal<'a> {
    /// Tells the change from others of the run.
    name: String,
    wanted: &'a dyn Fn(&RecordSet) -> Vec<Record>,
    /// What may be there before.
    acceptable: &'a dyn Fn(&RecordSet, &[Record]) -> bool,
    /// Whether what is ours is written beside records that somebody else changed.
    homeward: bool,
}

/// Gives green `share` in every record; at 0 % each simple record becomes a weighted set of blue alone.
pub(super) fn shift(scene: &Scene, share: Share) -> Result<Outcome, CloudError> {
    let Some(green) = scene.green_name() else { return Ok(unnamed()) };
    let sight = look(scene)?;
    let refusal = redeployed(scene, &sight).or_else(|| too_few(scene, &sight, share));
    if let Some(refusal) = refusal {
        return Ok(refusal);
    }
    let joining = share == Share::NONE;
    let goal = Goal {
        name: share.to_string(),
        wanted: &|set| set.at_share(&green, share),
        acceptable: &|set, found| {
            (joining && same_records(found, &set.recorded))
                || scene.written.iter().any(|s| same_records(found, &set.at_share(&green, *s)))
        },
        homeward: false,
    };
    reach(scene, &goal, sight)
}

/// Restores every record as it was recorded, once blue can carry the traffic, in one batch a zone.
/// Records that somebody else changed stay; a set of which nothing is left answers nobody, so it is
/// home, and that it is gone is noted.
pub(super) fn go_home(scene: &Scene) -> Result<Outcome, CloudError> {
    let green = scene.green_name();
    let sight = look(scene)?;
    let written = |set: &RecordSet, found: &[Record]| {
        let shares = || green.iter().flat_map(|g| scene.written.iter().map(move |s| set.at_share(g, *s)));
        shares().any(|records| same_records(found, &records))
    };
    let goal = Goal {
        name: HOME.to_owned(),
        wanted: &|set| set.recorded.clone(),
        acceptable: &|set, found| same_records(found, &set.recorded) || written(set, found),
        homeward: true,
    };
    let exposed = scene.written.iter().any(|s| *s > Share::NONE);
    let there = compare(scene, &goal, &sight).into_iter().any(|c| !same_records(&c.found, &c.set.recorded));
    if exposed
        && there
        && let Some(not_yet) = capacity(scene, &sight)?
    {
        return Ok(not_yet);
    }
    let mut outcome = reach(scene, &goal, sight)?;
    if let Outcome::Done(made) = &mut outcome {
        for hold in &scene.scaling {
            // What fails here is done by the undo of the hold.
            if scene.cloud.suspend_scaling(&hold.resource, hold.was).is_ok() {
                made.insert(released_key(hold), "true".to_owned());
            }
        }
    }
    Ok(outcome)
}

/// Puts green in blue's place: the simple record leads to green, the weighted set has green for blue.
pub(super) fn replace_blue(scene: &Scene) -> Result<Outcome, CloudError> {
    let Some(green) = scene.green_name() else { return Ok(unnamed()) };
    let sight = look(scene)?;
    let refusal = outdated(scene, &sight).or_else(|| too_few(scene, &sight, Share::ALL));
    if let Some(refusal) = refusal {
        return Ok(refusal);
    }
    let goal = Goal {
        name: "in-place".to_owned(),
        wanted: &|set| set.replaced(&green),
        acceptable: &|set, found| same_records(found, &set.at_share(&green, Share::ALL)),
        homeward: false,
    };
    reach(scene, &goal, sight)
}

pub(super) fn places(scene: &Scene) -> Watch {
    let names = scene.inventory.names.iter().map(|n| (n.zone.id.clone(), n.name.clone()));
    Watch { names: names.collect(), ..Watch::default() }
}

/// The first set that does not show the share that was settled last.
pub(super) fn strayed(scene: &Scene, sight: &Sight) -> Option<Drift> {
    let green = scene.green_name()?;
    let share = scene.written.first().copied().unwrap_or(Share::NONE);
    let stray = record_sets(scene.inventory).into_iter().find_map(|set| {
        let (wanted, found) = (set.at_share(&green, share), found(scene, sight, &set));
        (!same_records(&wanted, &found)).then(|| drift(&set, &wanted, &found))
    });
    stray.or_else(|| stranger(scene, sight))
}

/// A record that still sends somebody to blue.
pub(super) fn still_serving(scene: &Scene) -> Result<Option<Drift>, CloudError> {
    let sight = scene.cloud.observe(&places(scene))?;
    Ok(record_sets(scene.inventory).into_iter().find_map(|set| {
        let found = found(scene, &sight, &set);
        let serving = found.iter().any(|r| set.is_blue(r) && r.weight != Some(0));
        serving.then(|| Drift {
            what: set.place(),
            expected: "no record to blue's load balancer".to_owned(),
            found: told(&found),
        })
    }))
}

fn unnamed() -> Outcome {
    Outcome::NotYet("green's load balancer is not known yet".to_owned())
}

fn look(scene: &Scene) -> Result<Sight, CloudError> {
    let pairs = scene.pairs();
    scene.cloud.observe(&Watch {
        target_groups: pairs.iter().flat_map(|p| [p.blue.clone(), p.green.clone()]).collect(),
        services: [&scene.blue, &scene.green].map(|f| (f.cluster.clone(), f.service.clone())).to_vec(),
        ..places(scene)
    })
}

/// The records of a set as they were seen.
fn found(scene: &Scene, sight: &Sight, set: &RecordSet) -> Vec<Record> {
    let at = scene.inventory.names.iter().position(|n| n.zone.id == set.zone.id && n.name == set.name);
    let records = at.and_then(|at| sight.names.get(at)).into_iter().flatten();
    records.filter(|r| r.kind == set.kind).cloned().collect()
}

/// A set beside what it shall be.
struct Compared {
    set: RecordSet,
    found: Vec<Record>,
    wanted: Vec<Record>,
    /// Whether it may be written.
    ours: bool,
}

impl Compared {
    fn gone(&self) -> bool {
        self.found.is_empty()
    }

    fn shown(&self) -> bool {
        same_records(&self.found, &self.wanted)
    }
}

fn compare(scene: &Scene, goal: &Goal, sight: &Sight) -> Vec<Compared> {
    let compared = |set: RecordSet| {
        let (found, wanted) = (found(scene, sight, &set), (goal.wanted)(&set));
        let ours = same_records(&found, &wanted) || (goal.acceptable)(&set, &found);
        Compared { set, found, wanted, ours }
    };
    record_sets(scene.inventory).into_iter().map(compared).collect()
}

/// An address record of another type beside those of a name that moves: its clients would not move.
fn stranger(scene: &Scene, sight: &Sight) -> Option<Drift> {
    scene.inventory.names.iter().zip(&sight.names).find_map(|(name, seen)| {
        let known = |r: &Record| name.records.iter().any(|k| k.kind == r.kind);
        let new = seen.iter().find(|r| r.is_address() && !known(r))?;
        Some(Drift {
            what: format!("record {} {} in zone {}", name.name.trim_end_matches('.'), new.kind, name.zone.id),
            expected: "no record of this type, as at the start".to_owned(),
            found: told(std::slice::from_ref(new)),
        })
    })
}

fn drift(set: &RecordSet, expected: &[Record], found: &[Record]) -> Drift {
    let found = if found.is_empty() { "nothing: it was deleted".to_owned() } else { told(found) };
    Drift { what: set.place(), expected: told(expected), found }
}

/// Records for people, and exactly: [`super::commands`] reads the second part.
fn told(records: &[Record]) -> String {
    format!("{}, that is {}", weights(records), serde_json::to_string(records).unwrap_or_default())
}

/// The drift that bars the goal, if any.
fn barred(scene: &Scene, goal: &Goal, sight: &Sight, compared: &[Compared]) -> Option<Drift> {
    let last = scene.written.first().copied().unwrap_or(Share::NONE);
    let expected = |c: &Compared| scene.green_name().map_or(c.set.recorded.clone(), |g| c.set.at_share(&g, last));
    let foreign = compared.iter().find(|c| !(c.ours || goal.homeward && c.gone()));
    let drifted = foreign.map(|c| drift(&c.set, &expected(c), &c.found));
    drifted.or_else(|| if goal.homeward { None } else { stranger(scene, sight) })
}

/// One step towards the goal: a write, whose id is then journaled, or a look at what is under way.
fn reach(scene: &Scene, goal: &Goal, first: Sight) -> Result<Outcome, CloudError> {
    let mut sight = first;
    for attempt in 1..=LOOKS {
        let last = attempt == LOOKS;
        let compared = compare(scene, goal, &sight);
        let barred = barred(scene, goal, &sight, &compared);
        if let Some(drift) = barred.clone().filter(|_| last && !goal.homeward) {
            return Ok(Outcome::Drift(drift));
        }
        if barred.is_none() || last {
            match swap(scene, goal, &compared) {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => return Ok(arrived(goal, &compared, barred)),
                Err(error) if error.cause == Cause::Refused && !last => {}
                Err(error) => return Err(error),
            }
        }
        // What was read may be what was there a moment ago.
        if scene.clock.wait(scene.clock.now() + TimeDelta::seconds(1)) != Wake::Reached && !last {
            return Ok(Outcome::NotYet("the records do not show yet what was written last".to_owned()));
        }
        sight = look(scene)?;
    }
    Ok(Outcome::NotYet("the records do not show yet what was written last".to_owned()))
}

fn arrived(goal: &Goal, compared: &[Compared], barred: Option<Drift>) -> Outcome {
    if let Some(drift) = barred {
        return Outcome::Drift(drift);
    }
    let gone = compared.iter().filter(|c| goal.homeward && c.gone());
    Outcome::Done(gone.map(|c| (format!("gone:{}", c.set.place()), "deleted by somebody else".to_owned())).collect())
}

/// Writes the first zone that needs it, or says what is under way; `None` where all is in sync.
fn swap(scene: &Scene, goal: &Goal, compared: &[Compared]) -> Result<Option<Outcome>, CloudError> {
    let mut zones: Vec<&str> = compared.iter().map(|c| c.set.zone.id.as_str()).collect();
    zones.dedup();
    let mut underway = None;
    for zone in zones {
        let sets: Vec<&Compared> = compared.iter().filter(|c| c.set.zone.id == zone && c.ours && !c.gone()).collect();
        if sets.is_empty() {
            continue;
        }
        let key = change_key(zone, &goal.name);
        let known = scene.made.get(&key).filter(|_| sets.iter().all(|c| c.shown()));
        let in_sync = match known.map(|id| scene.cloud.change_in_sync(id)) {
            Some(Err(error)) if error.cause != Cause::NotFound => return Err(error),
            Some(Ok(in_sync)) => Some(in_sync),
            // Route 53 forgets changes; one that is made again says the same.
            Some(Err(_)) | None => None,
        };
        match in_sync {
            Some(true) => {}
            Some(false) => {
                underway = Some(Outcome::NotYet(format!("Route 53's servers take the records of {zone} over")))
            }
            None => {
                let id = scene.cloud.change_records(&RecordChange {
                    zone: zone.to_owned(),
                    comment: format!("migrate {}: green {}", scene.run, goal.name),
                    delete: sets.iter().flat_map(|c| c.found.clone()).collect(),
                    create: sets.iter().flat_map(|c| c.wanted.clone()).collect(),
                })?;
                return Ok(Some(Outcome::Underway(Made::from([(key, id)]))));
            }
        }
    }
    Ok(underway)
}

impl Scene<'_> {
    /// DNS name of green's load balancer and the hosted zone of that name, once they are known.
    pub fn green_balancer_name(&self) -> Option<(String, String)> {
        self.green_name().map(|green| (green.dns_name, green.zone))
    }

    /// Green, as records lead to it.
    pub(super) fn green_name(&self) -> Option<GreenName> {
        green_name(self.run, self.inventory, self.made)
    }
}

/// Green, as records lead to it, once its load balancer is known: the one that the playbook names, or
/// the one that was made.
pub fn green_name(run: &str, inventory: &Inventory, made: &Made) -> Option<GreenName> {
    if let Some(named) = &inventory.green_balancer {
        return Some(GreenName::of(run, named));
    }
    let made = |key: &str| made.get(key).cloned();
    let (dns_name, zone) = (made(super::GREEN_BALANCER_DNS)?, made(super::GREEN_BALANCER_ZONE)?);
    Some(GreenName { run: run.to_owned(), dns_name, zone })
}
