//! What Prometheus would read.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// One line: a name, its labels and a value.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let matcher = Matcher::Prefix("dlock".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(matcher, &[0.01, 1.0]);
        builder.unwrap().install_recorder().unwrap()
    })
}

/// Begins to record.
pub(crate) fn record() {
    recorder();
}

/// The page itself.
pub(crate) fn page() -> String {
    recorder().render()
}

/// What was recorded of the locker of this name.
pub(crate) fn samples(locker: &str) -> Vec<Sample> {
    let page = page();
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let samples = lines.map(sample);
    samples
        .filter(|sample| sample.labels.get("locker").is_some_and(|name| name == locker))
        .collect()
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels = labels.trim_end_matches('}').split("\",");
    let labels = labels.by_ref().filter(|label| !label.is_empty()).map(|label| {
        let (name, value) = label.split_once("=\"").unwrap();
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
}

/// The sum of all samples of this name that have these labels.
pub(crate) fn sum(locker: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |sample: &Sample| {
        labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|is| is == value))
    };
    let samples = samples(locker).into_iter().filter(|sample| sample.name == name);
    samples.filter(has).map(|sample| sample.value).sum()
}

/// All gauges of this locker but those of its connections.
pub(crate) fn gauges(locker: &str) -> Vec<Sample> {
    let mut gauges = samples(locker);
    gauges.retain(|sample| ["dlock_held", "dlock_waiting"].contains(&&*sample.name));
    gauges
}
