//! What goes wrong in a simulated run, by name.
//!
//! A scenario is the outline that a person picks on the command line; the single faults that tests
//! inject at an exact call are in [`super::faults`]. A scenario changes only how green behaves or
//! how the cloud answers, never which operations there are.

use serde::{Deserialize, Serialize};

/// How the simulated world treats a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    #[default]
    Healthy,
    GreenErrors,
    GreenSlow,
    GreenUnreachable,
    MetricsOutage,
    Throttled,
    FamiliesRefused,
}

impl Scenario {
    pub const ALL: [Scenario; 7] = [
        Scenario::Healthy,
        Scenario::GreenErrors,
        Scenario::GreenSlow,
        Scenario::GreenUnreachable,
        Scenario::MetricsOutage,
        Scenario::Throttled,
        Scenario::FamiliesRefused,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Scenario::Healthy => "healthy",
            Scenario::GreenErrors => "green-errors",
            Scenario::GreenSlow => "green-slow",
            Scenario::GreenUnreachable => "green-unreachable",
            Scenario::MetricsOutage => "metrics-outage",
            Scenario::Throttled => "throttled",
            Scenario::FamiliesRefused => "families-refused",
        }
    }

    /// One line for people.
    pub const fn description(self) -> &'static str {
        match self {
            Scenario::Healthy => "green is as good as blue",
            Scenario::GreenErrors => "green answers 8% of its requests with an error",
            Scenario::GreenSlow => "green takes four times as long as blue",
            Scenario::GreenUnreachable => "green's tasks run, but its targets never become healthy",
            Scenario::MetricsOutage => "CloudWatch stops answering some minutes after green first receives traffic",
            Scenario::Throttled => "about every third call is refused because there are too many",
            Scenario::FamiliesRefused => {
                "the load balancer refuses target groups of both address families in one action"
            }
        }
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario `{given}`; choose one of {}", known())]
pub struct UnknownScenario {
    pub given: String,
}

fn known() -> String {
    Scenario::ALL.map(Scenario::name).join(", ")
}

impl std::str::FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        let wanted = Scenario::ALL.into_iter().find(|s| s.name() == text);
        wanted.ok_or_else(|| UnknownScenario { given: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_read_back_from_its_name() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.to_string().parse(), Ok(scenario));
            assert_eq!(serde_json::to_value(scenario).unwrap(), scenario.name());
            assert!(!scenario.description().is_empty());
        }
        let error = "green-red".parse::<Scenario>().unwrap_err();
        assert!(error.to_string().contains("healthy, green-errors"));
    }
}
