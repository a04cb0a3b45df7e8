//! Shares of traffic, and the weights of target groups and records that express them.
//!
//! Invariant: a forward action that is edited here keeps every tuple that is not ours, in its place,
//! with its share of the traffic; and its weights are never all zero.

pub mod records;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inventory::{Action, ForwardConfig, GroupStickiness, WeightedGroup};

/// A part of the whole in steps of 0.1 %, from 0 to 100 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    pub const NONE: Share = Share(0);
    pub const ALL: Share = Share(1000);

    /// # Panics
    /// Above 1000, which is a mistake of the program.
    pub const fn from_permille(permille: u16) -> Self {
        assert!(permille <= 1000, "a share is at most 1000 permille");
        Share(permille)
    }

    pub const fn permille(self) -> u16 {
        self.0
    }

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}%", self.0 / 10),
            tenths => write!(f, "{}.{}%", self.0 / 10, tenths),
        }
    }
}

/// Why a text is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    #[error("not a percentage such as 10% or 0.5%")]
    Form,
    #[error("a percentage lies between 0% and 100%")]
    Range,
    #[error("the smallest step of a percentage is 0.1%")]
    Step,
}

impl std::str::FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let number = text.trim().strip_suffix('%').ok_or(ShareError::Form)?.trim_end();
        let (whole, tenths) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(tenths) || (number.contains('.') && tenths.is_empty()) {
            return Err(ShareError::Form);
        }
        let tenths = tenths.trim_end_matches('0');
        if tenths.len() > 1 {
            return Err(ShareError::Step);
        }
        let whole: u32 = whole.parse().map_err(|_| ShareError::Range)?;
        let tenths: u32 = if tenths.is_empty() { 0 } else { tenths.parse().map_err(|_| ShareError::Form)? };
        let permille = whole.checked_mul(10).map(|w| w + tenths).filter(|p| *p <= 1000).ok_or(ShareError::Range)?;
        Ok(Share(u16::try_from(permille).map_err(|_| ShareError::Range)?))
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A percentage from 0% to 100% in steps of 0.1%, such as 10% or 0.5%.",
            "pattern": r"^\s*\d+(\.\d0*)?\s*%\s*$"
        })
    }
}

/// A blue target group and the green one that stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub blue: String,
    pub green: String,
    /// Seconds, 1 to 604,800, for which an action that names both keeps a client on its side; `None`
    /// where blue's targets are not sticky. ELBv2 refuses an action of several target groups one of
    /// which is sticky, unless the action is sticky too.
    pub sticky: Option<i32>,
}

/// The largest weight of a target group tuple (ELBv2 API reference, `TargetGroupTuple`).
pub const WEIGHT_MAX: u32 = 999;

/// Whether these actions send traffic to a blue group, and so take part in every shift.
pub fn takes_part(actions: &[Action], blue: &[String]) -> bool {
    tuples(actions).iter().any(|t| t.weight.unwrap_or(1) > 0 && blue.contains(&t.target_group_arn))
}

/// The tuples of the forward action, also where it names its only group in the short form.
pub fn tuples(actions: &[Action]) -> Vec<WeightedGroup> {
    let Some(forward) = actions.iter().find(|a| a.kind == "forward") else { return Vec::new() };
    match (&forward.forward_config, &forward.target_group_arn) {
        (Some(config), _) if !config.target_groups.is_empty() => config.target_groups.clone(),
        (_, Some(arn)) => vec![WeightedGroup { target_group_arn: arn.clone(), weight: Some(1) }],
        _ => Vec::new(),
    }
}

/// The tuples as people read them, such as `web=90 web-ipv6=10`: each group's name with its weight.
pub fn weights(actions: &[Action]) -> String {
    let shown = |t: WeightedGroup| {
        let arn = t.target_group_arn;
        let name = arn.split_once(":targetgroup/").and_then(|(_, rest)| rest.split('/').next()).unwrap_or(&arn);
        format!("{name}={}", t.weight.unwrap_or(1))
    };
    tuples(actions).into_iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// The original actions with green receiving `share` of what blue received.
///
/// Green's tuples stand behind the others. Where nothing but one pair has weight, whole percents are
/// written as (100 - p, p) and tenths as (1000 - t, t). Beside other groups all weights are scaled by
/// the smallest factor that makes the split exact, or as exact as [`WEIGHT_MAX`] allows, so the other
/// groups keep their share of the traffic. An action that was not sticky becomes so where a pair's
/// targets are; going home takes that away again, and with it the hold of the cookies.
pub fn at_share(original: &[Action], pairs: &[Pair], share: Share) -> Vec<Action> {
    let before = tuples(original);
    let split = split(&before, pairs, share);
    let named = |p: &&Pair| before.iter().any(|t| t.target_group_arn == p.blue);
    let sticky = pairs.iter().filter(named).filter_map(|p| p.sticky).min();
    let mut actions = edit_forward(original, |_| split.clone());
    if let Some(seconds) = sticky
        && let Some(config) = actions.iter_mut().find_map(|a| a.forward_config.as_mut())
        && config.target_group_stickiness_config.as_ref().and_then(|c| c.enabled) != Some(true)
    {
        config.target_group_stickiness_config =
            Some(GroupStickiness { enabled: Some(true), duration_seconds: Some(seconds) });
    }
    actions
}

/// The original actions with green in blue's place, nothing else changed.
pub fn replaced(original: &[Action], pairs: &[Pair]) -> Vec<Action> {
    let successor = |arn: &str| pairs.iter().find(|p| p.blue == arn).map(|p| p.green.clone());
    edit_forward(original, |groups| {
        let mut groups = groups.to_vec();
        for group in &mut groups {
            if let Some(green) = successor(&group.target_group_arn) {
                group.target_group_arn = green;
            }
        }
        groups
    })
}

fn edit_forward(original: &[Action], edit: impl Fn(&[WeightedGroup]) -> Vec<WeightedGroup>) -> Vec<Action> {
    let groups = tuples(original);
    let mut actions = original.to_vec();
    if let Some(forward) = actions.iter_mut().find(|a| a.kind == "forward") {
        let edited = edit(&groups);
        forward.target_group_arn = match edited.as_slice() {
            [only] => Some(only.target_group_arn.clone()),
            _ => None,
        };
        let stickiness = forward.forward_config.take().and_then(|c| c.target_group_stickiness_config);
        forward.forward_config =
            Some(ForwardConfig { target_groups: edited, target_group_stickiness_config: stickiness });
    }
    actions
}

fn split(before: &[WeightedGroup], pairs: &[Pair], share: Share) -> Vec<WeightedGroup> {
    let kept: Vec<&WeightedGroup> =
        before.iter().filter(|t| !pairs.iter().any(|p| p.green == t.target_group_arn)).collect();
    let pair_of = |t: &WeightedGroup| pairs.iter().find(|p| p.blue == t.target_group_arn);
    let members: Vec<Member> =
        kept.iter().map(|t| Member { weight: t.weight.unwrap_or(1), ours: pair_of(t).is_some() }).collect();
    let divided = divide(&members, share, WEIGHT_MAX);
    let tuple = |arn: &String, weight: u32| WeightedGroup { target_group_arn: arn.clone(), weight: Some(weight) };
    let mut after: Vec<WeightedGroup> =
        kept.iter().zip(&divided).map(|(t, (rest, _))| tuple(&t.target_group_arn, *rest)).collect();
    for pair in pairs {
        let at = kept.iter().position(|t| t.target_group_arn == pair.blue);
        after.extend(at.map(|at| tuple(&pair.green, divided[at].1)));
    }
    after
}

/// One of those that share traffic by their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    weight: u32,
    /// Whether it is blue's, so that green receives a part of it.
    ours: bool,
}

/// What each member keeps and what green receives of it, so that green gets `share` of what is ours
/// and the others keep their part of the whole; no weight is above `most`.
fn divide(members: &[Member], share: Share, most: u32) -> Vec<(u32, u32)> {
    let permille = u32::from(share.permille());
    let foreign = members.iter().any(|m| !m.ours && m.weight > 0);
    let mut ours = members.iter().filter(|m| m.ours);
    let alone = !foreign && ours.next().is_some_and(|m| m.weight > 0) && ours.next().is_none();
    let whole = (alone && share != Share::NONE).then(|| ratio(permille, most));
    let factor = if share == Share::NONE || whole.is_some() { 1 } else { scale(members, permille, most) };
    let part = |weight: u32| -> u32 {
        let whole = weight * factor;
        let exact = (whole * permille + 500) / 1000;
        if permille == 0 || permille == 1000 {
            return exact;
        }
        // A weight that cannot be split stays with blue: too little exposure beats too much.
        exact.clamp(u32::from(whole >= 2), whole.saturating_sub(1))
    };
    let of = |member: &Member| match whole {
        _ if !member.ours => (member.weight * factor, 0),
        Some(pair) => pair,
        None => (member.weight * factor - part(member.weight), part(member.weight)),
    };
    members.iter().map(of).collect()
}

/// Two weights for blue and green that stand alone: whole percents as (100 - p, p), tenths as
/// (1000 - t, t) where so much is allowed, and otherwise the smallest that come closest.
fn ratio(permille: u32, most: u32) -> (u32, u32) {
    if permille.is_multiple_of(10) {
        return (100 - permille / 10, permille / 10);
    }
    if most >= WEIGHT_MAX {
        return (1000 - permille, permille);
    }
    let pair = |sum: u32| {
        let green = ((sum * permille + 500) / 1000).clamp(1, sum - 1);
        (sum - green, green)
    };
    // The error as a fraction of the sum, in billionths: exact enough to tell sums below 1000 apart.
    let error = |(blue, green): &(u32, u32)| {
        let sum = u64::from(blue + green);
        (u64::from(*green) * 1000).abs_diff(sum * u64::from(permille)) * 1_000_000 / sum
    };
    let pairs = (2..=2 * most).map(pair).filter(|(blue, green)| *blue <= most && *green <= most);
    pairs.min_by_key(error).unwrap_or((1, 1))
}

/// The smallest factor that splits every blue weight exactly, else the one with the smallest error.
fn scale(members: &[Member], permille: u32, most: u32) -> u32 {
    let heaviest = members.iter().map(|m| m.weight).max().unwrap_or(1).max(1);
    let error = |factor: u32| -> u32 {
        let of = |w: u32| {
            let rest = w * factor * permille % 1000;
            // The error of the rounded weight, relative to the blue weight, in millionths.
            rest.min(1000 - rest) * 1000 / (w * factor).max(1)
        };
        members.iter().filter(|m| m.ours).map(|m| if m.weight == 0 { 0 } else { of(m.weight) }).max().unwrap_or(0)
    };
    (1..=(most / heaviest).max(1)).min_by_key(|factor| error(*factor)).unwrap_or(1)
}

/// The share of blue's traffic that green receives under these actions, from 0 to 1; `None` where
/// neither has weight.
pub fn share_of(actions: &[Action], pairs: &[Pair]) -> Option<f64> {
    let tuples = tuples(actions);
    let weight = |pick: fn(&Pair) -> &String| -> u32 {
        tuples
            .iter()
            .filter(|t| pairs.iter().any(|p| *pick(p) == t.target_group_arn))
            .map(|t| t.weight.unwrap_or(1))
            .sum()
    };
    let (blue, green) = (weight(|p| &p.blue), weight(|p| &p.green));
    (blue + green > 0).then(|| f64::from(green) / f64::from(blue + green))
}

/// Whether two action lists mean the same to the load balancer.
///
/// The API answers a plain `TargetGroupArn` action in both forms, an absent weight as 1, and absent
/// stickiness as disabled, so these count as equal. Everything else must be equal to the letter.
pub fn same(one: &[Action], other: &[Action]) -> bool {
    let normal = |actions: &[Action]| -> Vec<Action> {
        let mut actions: Vec<Action> = actions.to_vec();
        actions.sort_by_key(|a| a.order.unwrap_or(i32::MAX));
        let alone = actions.len() == 1;
        for action in &mut actions {
            if alone {
                action.order = None;
            }
            if action.kind == "forward" {
                let mut groups = tuples(std::slice::from_ref(action));
                if let [only] = groups.as_mut_slice() {
                    only.weight = Some(1);
                }
                for group in &mut groups {
                    group.weight = Some(group.weight.unwrap_or(1));
                }
                let sticky = action
                    .forward_config
                    .take()
                    .and_then(|c| c.target_group_stickiness_config)
                    .filter(|s| s.enabled == Some(true));
                action.target_group_arn = None;
                action.forward_config =
                    Some(ForwardConfig { target_groups: groups, target_group_stickiness_config: sticky });
            }
        }
        actions
    };
    normal(one) == normal(other)
}

#[cfg(test)]
mod weights {
    use proptest::prelude::*;

    use super::*;

    fn forward(groups: &[(&str, u32)]) -> Vec<Action> {
        let target_groups = groups
            .iter()
            .map(|(arn, weight)| WeightedGroup { target_group_arn: (*arn).to_owned(), weight: Some(*weight) })
            .collect();
        let forward_config = Some(ForwardConfig { target_groups, target_group_stickiness_config: None });
        vec![Action { kind: "forward".to_owned(), forward_config, ..Action::default() }]
    }

    fn pair() -> Vec<Pair> {
        vec![Pair { blue: "blue".to_owned(), green: "green".to_owned(), sticky: None }]
    }

    fn weights(actions: &[Action]) -> Vec<(String, u32)> {
        tuples(actions).into_iter().map(|t| (t.target_group_arn, t.weight.unwrap_or(1))).collect()
    }

    fn shown(groups: &[(&str, u32)], share: &str) -> String {
        let share: Share = share.parse().expect("a share");
        let split = at_share(&forward(groups), &pair(), share);
        weights(&split).iter().map(|(n, w)| format!("{n}={w}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn weights_by_table() {
        assert_eq!(shown(&[("blue", 1)], "0%"), "blue=1 green=0");
        assert_eq!(shown(&[("blue", 1)], "1%"), "blue=99 green=1");
        assert_eq!(shown(&[("blue", 1)], "0.5%"), "blue=995 green=5");
        assert_eq!(shown(&[("blue", 7)], "50%"), "blue=50 green=50");
        assert_eq!(shown(&[("blue", 1)], "100%"), "blue=0 green=100");
        assert_eq!(shown(&[("blue", 60), ("other", 40)], "0%"), "blue=60 other=40 green=0");
        assert_eq!(shown(&[("blue", 60), ("other", 40)], "10%"), "blue=54 other=40 green=6");
        assert_eq!(shown(&[("blue", 60), ("other", 40)], "1%"), "blue=297 other=200 green=3");
        assert_eq!(shown(&[("blue", 60), ("other", 40)], "100%"), "blue=0 other=40 green=60");
        assert_eq!(shown(&[("blue", 0), ("other", 40)], "50%"), "blue=0 other=40 green=0");
        assert_eq!(shown(&[("other", 0), ("blue", 2)], "25%"), "other=0 blue=75 green=25");
    }

    #[test]
    fn a_short_form_action_gains_a_group_and_goes_back() {
        let plain = vec![Action { kind: "forward".into(), target_group_arn: Some("blue".into()), ..Action::default() }];
        let both = at_share(&plain, &pair(), Share::from_permille(100));
        assert_eq!(both[0].target_group_arn, None);
        assert_eq!(weights(&both), [("blue".to_owned(), 90), ("green".to_owned(), 10)]);
        let done = replaced(&plain, &pair());
        assert_eq!(done[0].target_group_arn.as_deref(), Some("green"));
        assert!(same(&plain, &forward(&[("blue", 1)])));
        assert!(!same(&plain, &both));
    }

    #[test]
    fn authentication_stickiness_and_order_survive() {
        let mut actions = forward(&[("blue", 1)]);
        actions[0].order = Some(2);
        let sticky = GroupStickiness { enabled: Some(true), duration_seconds: Some(60) };
        if let Some(config) = &mut actions[0].forward_config {
            config.target_group_stickiness_config = Some(sticky.clone());
        }
        let oidc = Action {
            kind: "authenticate-oidc".into(),
            order: Some(1),
            rest: [("AuthenticateOidcConfig".to_owned(), serde_json::json!({"ClientId": "x"}))].into(),
            ..Action::default()
        };
        actions.insert(0, oidc.clone());
        let shifted = at_share(&actions, &pair(), Share::from_permille(10));
        assert_eq!(shifted[0], oidc);
        assert_eq!(shifted[1].order, Some(2));
        let config = shifted[1].forward_config.as_ref().expect("a forward");
        assert_eq!(config.target_group_stickiness_config, Some(sticky));
    }

    proptest! {
        #[test]
        fn other_groups_keep_their_share(blue in 1u32..=999, other in 0u32..=999, permille in 0u16..=1000) {
            let before = forward(&[("blue", blue), ("other", other)]);
            let share = Share::from_permille(permille);
            let after = at_share(&before, &pair(), share);
            let weights = weights(&after);
            let total: u32 = weights.iter().map(|(_, w)| w).sum();
            prop_assert!(total > 0);
            prop_assert!(weights.iter().all(|(_, w)| *w <= WEIGHT_MAX));
            if other > 0 {
                let of_other = f64::from(weights[1].1) / f64::from(total);
                prop_assert!((of_other - f64::from(other) / f64::from(blue + other)).abs() < 1e-12);
            }
            let green = share_of(&after, &pair()).expect("weights");
            let step = 1.0 / f64::from(blue);
            prop_assert!((green - share.fraction()).abs() <= step.max(1e-12), "{green} for {share}");
            prop_assert_eq!(green == 0.0, permille == 0 || (blue == 1 && other > 499 && green == 0.0));
            prop_assert!(same(&after, &at_share(&before, &pair(), share)));
        }

        #[test]
        fn a_share_reads_back(permille in 0u16..=1000) {
            let share = Share::from_permille(permille);
            prop_assert_eq!(share.to_string().parse::<Share>().expect("a share"), share);
        }
    }
}
