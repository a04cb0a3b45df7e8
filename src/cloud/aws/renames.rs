//! What a scaling policy measures, moved from one service to its copy.
//!
//! The SDK's structures are moved whole, and only names in them are replaced: a target group in a
//! resource label or a dimension, and the service in a dimension. What names neither (the average
//! processor time of "the service", a queue's length) is right for the copy as it is. A target group
//! that has no twin stays: the user has left it out of the migration. Search expressions in metric
//! mathematics stay as they are written.

use aws_sdk_applicationautoscaling::types::{
    CustomizedMetricSpecification, PredictiveScalingCustomizedMetricSpecification, PredictiveScalingMetric,
    PredictiveScalingPolicyConfiguration, TargetTrackingMetric, TargetTrackingScalingPolicyConfiguration,
};

use crate::cloud::NewScaling;

/// What is called otherwise in the copy.
pub(super) struct Renames<'a> {
    service: (&'a str, &'a str),
    /// As CloudWatch names target groups: `targetgroup/<name>/<id>`.
    groups: Vec<(&'a str, &'a str)>,
}

impl<'a> Renames<'a> {
    pub(super) fn of(wanted: &'a NewScaling) -> Self {
        Renames {
            service: (&wanted.from, &wanted.service),
            groups: wanted.target_groups.iter().map(|(from, to)| (tail(from), tail(to))).collect(),
        }
    }

    pub(super) fn tracking(&self, config: &mut TargetTrackingScalingPolicyConfiguration) {
        if let Some(predefined) = &mut config.predefined_metric_specification {
            self.label(&mut predefined.resource_label);
        }
        if let Some(customized) = &mut config.customized_metric_specification {
            self.customized(customized);
        }
    }

    fn customized(&self, metric: &mut CustomizedMetricSpecification) {
        for dimension in metric.dimensions.iter_mut().flatten() {
            self.dimension(&dimension.name, &mut dimension.value);
        }
        let stats = metric.metrics.iter_mut().flatten().filter_map(|query| query.metric_stat.as_mut());
        stats.filter_map(|stat| stat.metric.as_mut()).for_each(|metric| self.tracked(metric));
    }

    fn tracked(&self, metric: &mut TargetTrackingMetric) {
        for dimension in metric.dimensions.iter_mut().flatten() {
            self.dimension(&dimension.name, &mut dimension.value);
        }
    }

    pub(super) fn predictive(&self, config: &mut PredictiveScalingPolicyConfiguration) {
        for metric in &mut config.metric_specifications {
            if let Some(pair) = &mut metric.predefined_metric_pair_specification {
                self.label(&mut pair.resource_label);
            }
            if let Some(scaling) = &mut metric.predefined_scaling_metric_specification {
                self.label(&mut scaling.resource_label);
            }
            if let Some(load) = &mut metric.predefined_load_metric_specification {
                self.label(&mut load.resource_label);
            }
            let customized = [
                &mut metric.customized_scaling_metric_specification,
                &mut metric.customized_load_metric_specification,
                &mut metric.customized_capacity_metric_specification,
            ];
            customized.into_iter().flatten().for_each(|metric| self.queries(metric));
        }
    }

    fn queries(&self, metric: &mut PredictiveScalingCustomizedMetricSpecification) {
        let stats = metric.metric_data_queries.iter_mut().filter_map(|query| query.metric_stat.as_mut());
        stats.filter_map(|stat| stat.metric.as_mut()).for_each(|metric| self.predicted(metric));
    }

    fn predicted(&self, metric: &mut PredictiveScalingMetric) {
        for dimension in metric.dimensions.iter_mut().flatten() {
            self.dimension(&dimension.name, &mut dimension.value);
        }
    }

    /// `app/<load balancer>/<id>/targetgroup/<target group>/<id>`.
    fn label(&self, label: &mut Option<String>) {
        let Some(label) = label else { return };
        let renamed = self.groups.iter().find_map(|(from, to)| {
            let balancer = label.strip_suffix(from)?;
            Some(format!("{balancer}{to}"))
        });
        if let Some(renamed) = renamed {
            *label = renamed;
        }
    }

    fn dimension(&self, name: &str, value: &mut String) {
        let renamed = match name {
            "ServiceName" => (*value == self.service.0).then_some(self.service.1),
            "TargetGroup" => self.groups.iter().find(|(from, _)| value == from).map(|(_, to)| *to),
            _ => None,
        };
        if let Some(renamed) = renamed {
            renamed.clone_into(value);
        }
    }
}

/// The part of a target group's ARN by which CloudWatch knows it.
fn tail(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use aws_sdk_applicationautoscaling::types::{
        MetricDimension, MetricType, PredefinedMetricSpecification, PredictiveScalingMetricDataQuery,
        PredictiveScalingMetricDimension, PredictiveScalingMetricSpecification, PredictiveScalingMetricStat,
        PredictiveScalingPredefinedMetricPairSpecification, TargetTrackingMetricDataQuery,
        TargetTrackingMetricDimension, TargetTrackingMetricStat,
    };

    use super::*;

    fn wanted() -> NewScaling {
        let arn = |tail: &str| format!("arn:aws:elasticloadbalancing:eu-central-1:1:{tail}");
        NewScaling {
            cluster: "prod".to_owned(),
            from: "web".to_owned(),
            service: "web-ipv6".to_owned(),
            min: 2,
            max: 9,
            target_groups: [(arn("targetgroup/web/0a"), arn("targetgroup/web-ipv6/0b"))].into(),
        }
    }

    const BLUE: &str = "app/shop/77/targetgroup/web/0a";
    const GREEN: &str = "app/shop/77/targetgroup/web-ipv6/0b";
    const OTHER: &str = "app/shop/77/targetgroup/other-web/0a1";

    #[test]
    fn the_label_names_the_copys_target_group() {
        let wanted = wanted();
        let tracked = |label: &str| {
            let metric = PredefinedMetricSpecification::builder()
                .predefined_metric_type(MetricType::AlbRequestCountPerTarget)
                .resource_label(label)
                .build()
                .unwrap();
            let mut config = TargetTrackingScalingPolicyConfiguration::builder()
                .target_value(1000.0)
                .disable_scale_in(true)
                .scale_out_cooldown(60)
                .predefined_metric_specification(metric)
                .build()
                .unwrap();
            let before = config.clone();
            Renames::of(&wanted).tracking(&mut config);
            let label = config.predefined_metric_specification.as_mut().unwrap().resource_label.take();
            let mut rest = before;
            rest.predefined_metric_specification.as_mut().unwrap().resource_label = None;
            assert_eq!(config, rest, "nothing else changes");
            label.unwrap()
        };
        assert_eq!(tracked(BLUE), GREEN);
        assert_eq!(tracked(OTHER), OTHER);
    }

    #[test]
    fn dimensions_name_the_copy() {
        let wanted = wanted();
        let values = [
            ("ServiceName", "web", "web-ipv6"),
            ("ServiceName", "queue", "queue"),
            ("ClusterName", "web", "web"),
            ("TargetGroup", "targetgroup/web/0a", "targetgroup/web-ipv6/0b"),
            ("LoadBalancer", "app/shop/77", "app/shop/77"),
        ];
        let plain =
            |(name, value, _): &(&str, &str, &str)| MetricDimension::builder().name(*name).value(*value).build();
        let math = |(name, value, _): &(&str, &str, &str)| {
            TargetTrackingMetricDimension::builder().name(*name).value(*value).build().unwrap()
        };
        let metric = TargetTrackingMetric::builder().set_dimensions(Some(values.iter().map(math).collect())).build();
        let stat = TargetTrackingMetricStat::builder().metric(metric).stat("Sum").build().unwrap();
        let query = TargetTrackingMetricDataQuery::builder().id("m1").metric_stat(stat).build().unwrap();
        let metric = CustomizedMetricSpecification::builder()
            .set_dimensions(Some(values.iter().map(|v| plain(v).unwrap()).collect()))
            .metrics(query)
            .build();
        let mut config = TargetTrackingScalingPolicyConfiguration::builder()
            .target_value(1.0)
            .customized_metric_specification(metric)
            .build()
            .unwrap();
        Renames::of(&wanted).tracking(&mut config);
        let metric = config.customized_metric_specification.unwrap();
        let expected: Vec<&str> = values.iter().map(|v| v.2).collect();
        let shown: Vec<&str> = metric.dimensions().iter().map(|d| d.value.as_str()).collect();
        assert_eq!(shown, expected);
        let inner = metric.metrics()[0].metric_stat().unwrap().metric().unwrap();
        assert_eq!(inner.dimensions().iter().map(|d| d.value.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_forecast_is_of_the_copys_metrics() {
        let pair = PredictiveScalingPredefinedMetricPairSpecification::builder()
            .predefined_metric_type("ALBRequestCount")
            .resource_label(BLUE)
            .build()
            .unwrap();
        let service = PredictiveScalingMetricDimension::builder().name("ServiceName").value("web").build().unwrap();
        let metric = PredictiveScalingMetric::builder().dimensions(service).build();
        let stat = PredictiveScalingMetricStat::builder().metric(metric).stat("Sum").build().unwrap();
        let query = PredictiveScalingMetricDataQuery::builder().id("m1").metric_stat(stat).build().unwrap();
        let load =
            PredictiveScalingCustomizedMetricSpecification::builder().metric_data_queries(query).build().unwrap();
        let specification = PredictiveScalingMetricSpecification::builder()
            .target_value(5.0)
            .predefined_metric_pair_specification(pair)
            .customized_load_metric_specification(load)
            .build()
            .unwrap();
        let mut config =
            PredictiveScalingPolicyConfiguration::builder().metric_specifications(specification).build().unwrap();
        Renames::of(&wanted()).predictive(&mut config);
        let shown = format!("{config:?}");
        assert!(shown.contains(GREEN) && !shown.contains(BLUE), "{shown}");
        assert!(shown.contains("\"web-ipv6\"") && !shown.contains("\"web\""), "{shown}");
    }
}
