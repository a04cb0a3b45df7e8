//! What load balancers count: which metrics with which dimensions, and how the numbers of several target
//! groups become one side's.
//!
//! Names, dimensions and what is only reported when it is not zero follow the pages "CloudWatch metrics
//! for your Application Load Balancer" and ".. for your Network Load Balancer". Only the combinations of
//! dimensions that are listed there exist. A number that CloudWatch did not report stays absent.

use std::collections::{BTreeMap, BTreeSet};

use super::answers::{MINUTE, Question};
use crate::cloud::{Counts, LevelSource};
use crate::inventory::metric_name;

const APPLICATION: &str = "AWS/ApplicationELB";
pub(super) const NETWORK: &str = "AWS/NetworkELB";
/// The seconds until a target begins to answer, and how many requests had an answer.
const LATENCY: &str = "TargetResponseTime";
const BAD: [&str; 3] = ["HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount", "TargetTLSNegotiationErrorCount"];
/// What a Network Load Balancer counts of flows that go wrong; not by target group.
const BROKEN: [&str; 3] = ["TCP_Target_Reset_Count", "TCP_ELB_Reset_Count", "PortAllocationErrorCount"];

/// What an answer is added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measure {
    Requests,
    Bad,
    Unserved,
    ClientErrors,
    Latency,
    Samples,
    /// Slower than one of the two bounds.
    Slow(usize),
    /// The user's metric of this name.
    Own(String),
}

/// Whose metrics are asked for. A target group of an Application Load Balancer is only known together
/// with that; a Network Load Balancer counts new flows by target group alone, and everything as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// ARN.
    pub balancer: Option<&'a str>,
    /// ARN.
    pub group: Option<&'a str>,
    /// Name of an availability zone; `None` for all of them.
    pub zone: Option<&'a str>,
}

impl Place<'_> {
    fn dimensions(self) -> BTreeMap<String, String> {
        let zone = self.zone.map(|zone| ("AvailabilityZone", zone.to_string()));
        let balancer = self.balancer.map(|arn| ("LoadBalancer", metric_name(arn).to_owned()));
        let group = self.group.map(|arn| ("TargetGroup", metric_name(arn).to_owned()));
        [zone, balancer, group].into_iter().flatten().map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn ask<K>(self, of: K, namespace: &str, metric: &str, statistic: &str) -> Question<K> {
        let dimensions = self.dimensions();
        let narrowest = dimensions.get("TargetGroup").or_else(|| dimensions.get("LoadBalancer"));
        let zone = self.zone.map(|zone| format!(" in {zone}")).unwrap_or_default();
        let what = format!("{metric} of {}{zone}", narrowest.map_or("", String::as_str));
        let source = LevelSource::Metric {
            namespace: namespace.to_string(),
            metric: metric.to_string(),
            dimensions,
            statistic: statistic.to_string(),
        };
        Question { of, id: None, source, period: MINUTE, what }
    }

    /// Requests and those that failed, of a target group of an Application Load Balancer.
    pub(super) fn requests(self) -> Vec<Question<Measure>> {
        let sum = |measure, metric| self.ask(measure, APPLICATION, metric, "Sum");
        let bad = BAD.iter().map(|metric| sum(Measure::Bad, metric));
        std::iter::once(sum(Measure::Requests, "RequestCount")).chain(bad).collect()
    }

    /// Requests that the client got wrong.
    pub(super) fn client_errors(self) -> Question<Measure> {
        self.ask(Measure::ClientErrors, APPLICATION, "HTTPCode_Target_4XX_Count", "Sum")
    }

    /// Requests that the load balancer answered itself, of the whole load balancer.
    pub(super) fn unserved(self) -> Question<Measure> {
        self.ask(Measure::Unserved, APPLICATION, "HTTPCode_ELB_5XX_Count", "Sum")
    }

    /// A statistic of the latency.
    pub(super) fn latency<K>(self, of: K, statistic: &str) -> Question<K> {
        self.ask(of, APPLICATION, LATENCY, statistic)
    }

    /// New flows: of a target group alone, or of a whole Network Load Balancer.
    pub(super) fn flows(self) -> Question<Measure> {
        self.ask(Measure::Requests, NETWORK, "NewFlowCount", "Sum")
    }

    /// Flows of a whole Network Load Balancer that went wrong.
    pub(super) fn broken(self) -> Vec<Question<Measure>> {
        BROKEN.iter().map(|metric| self.ask(Measure::Bad, NETWORK, metric, "Sum")).collect()
    }

    /// Flows that are open on a target group.
    pub(super) fn open_flows(self) -> Question<()> {
        self.ask((), NETWORK, "ActiveFlowCount", "Maximum")
    }
}

/// The numbers of one minute, added up over target groups.
#[derive(Debug, Default)]
pub(super) struct Sum {
    counts: Counts,
    /// Groups that report samples, and those that report how many were slow.
    sampled: BTreeSet<usize>,
    told: [BTreeSet<usize>; 2],
}

impl Sum {
    /// Takes what was reported of the group with this number.
    pub(super) fn add(&mut self, group: usize, measure: &Measure, value: f64) {
        let plus = |slot: &mut Option<f64>| *slot = Some(slot.unwrap_or(0.0) + value);
        match measure {
            Measure::Requests => plus(&mut self.counts.requests),
            Measure::Bad => plus(&mut self.counts.bad),
            Measure::Unserved => plus(&mut self.counts.unserved),
            Measure::ClientErrors => plus(&mut self.counts.client_errors),
            Measure::Latency => {
                self.counts.latency = Some(match self.counts.latency {
                    // A number that is none must reach the gate, and `max` would swallow it.
                    Some(worst) if !worst.is_nan() && !value.is_nan() => worst.max(value),
                    Some(worst) => worst + value,
                    None => value,
                });
            }
            Measure::Samples => {
                plus(&mut self.counts.samples);
                if value != 0.0 {
                    self.sampled.insert(group);
                }
            }
            Measure::Slow(bound) => {
                if let (Some(slot), Some(told)) = (self.counts.slow.get_mut(*bound), self.told.get_mut(*bound)) {
                    plus(slot);
                    told.insert(group);
                }
            }
            Measure::Own(name) => {
                self.counts.own.insert(name.clone(), value);
            }
        }
    }

    /// A count of slow requests is only there where every group that has samples reports it: the others'
    /// would be taken for fast ones.
    pub(super) fn counts(mut self) -> Counts {
        for (slow, told) in self.counts.slow.iter_mut().zip(&self.told) {
            *slow = slow.filter(|_| self.sampled.is_subset(told));
        }
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(numbers: &[(usize, Measure, f64)]) -> Counts {
        let mut sum = Sum::default();
        numbers.iter().for_each(|(group, measure, value)| sum.add(*group, measure, *value));
        sum.counts()
    }

    #[test]
    fn numbers_are_added_and_absent_ones_stay_absent() {
        assert_eq!(sum(&[]), Counts::default());
        let both = sum(&[
            (0, Measure::Requests, 100.0),
            (1, Measure::Requests, 50.0),
            (0, Measure::Bad, 3.0),
            (0, Measure::Bad, 2.0),
            (0, Measure::Latency, 0.2),
            (1, Measure::Latency, 0.5),
            (1, Measure::ClientErrors, 4.0),
        ]);
        let expected = Counts { requests: Some(150.0), bad: Some(5.0), latency: Some(0.5), ..Counts::default() };
        assert_eq!(both, Counts { client_errors: Some(4.0), ..expected });
        let odd = sum(&[(0, Measure::Latency, f64::NAN), (1, Measure::Latency, 0.5)]);
        assert!(odd.latency.is_some_and(f64::is_nan), "{odd:?}");
    }

    #[test]
    fn slow_requests_of_all_groups_or_of_none() {
        use Measure::{Samples, Slow};
        let slow = |numbers: &[(usize, Measure, f64)]| sum(numbers).slow;
        let both = [(0, Samples, 10.0), (0, Slow(0), 1.0), (0, Slow(1), 0.0), (1, Samples, 5.0), (1, Slow(0), 2.0)];
        assert_eq!(slow(&both[..3]), [Some(1.0), Some(0.0)]);
        assert_eq!(slow(&both), [Some(3.0), None], "the second group does not say how many beyond the second bound");
        assert_eq!(slow(&both[..4]), [None, None]);
        let idle = [(0, Samples, 10.0), (0, Slow(0), 1.0), (1, Samples, 0.0)];
        assert_eq!(slow(&idle), [Some(1.0), None], "a group without samples has nothing to say");
        assert_eq!(slow(&[(0, Samples, f64::NAN)]), [None, None]);
    }
}
