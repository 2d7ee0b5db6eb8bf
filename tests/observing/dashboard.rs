//! The dashboard in the docs names only metrics and labels that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use dlock_tests::{Site, eventually, in_time};
use serde_json::Value;

use crate::prometheus::{record, samples};

const SOON: Duration = Duration::from_secs(20);
/// What Prometheus itself adds.
const OF_BUCKETS: &str = "le";

/// Lets everything happen that is counted on a lease in a file.
async fn everything(site: Site) -> BTreeMap<String, BTreeSet<String>> {
    record();
    let name = site.namespace.clone();
    let site = site.ttl(Duration::from_millis(600));
    let (locker, other) = (site.locker().await, site.named("other").locker().await);
    let guard = locker.lock("k").label("kind").acquire().await.unwrap();
    assert!(locker.lock("k").label("kind").try_acquire().await.unwrap().is_none());
    let renewed = || samples(&name).iter().any(|sample| sample.name.starts_with("dlock_renew"));
    eventually("it is renewed", SOON, renewed).await;
    assert!(other.break_lock("k").await.unwrap());
    in_time("the loss", SOON, guard.lost()).await;
    let guard = locker.lock("k").label("kind").acquire().await.unwrap();
    assert!(other.break_lock("k").await.unwrap());
    guard.release().await.unwrap_err();
    let lost = || samples(&name).iter().any(|sample| sample.name == "dlock_lost");
    eventually("it is counted as lost", SOON, lost).await;
    let mut metrics: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for sample in samples(&name) {
        metrics.entry(sample.name).or_default().extend(sample.labels.into_keys());
    }
    metrics
}

pub(crate) async fn names_what_there_is(site: Site) {
    let mut metrics = everything(site).await;
    // Of a release that the database does not confirm; `count_releases_that_fail` is its test.
    let of_losses: BTreeSet<_> =
        metrics["dlock_lost"].iter().filter(|label| *label != "reason").cloned().collect();
    metrics.entry("dlock_release_failed".to_owned()).or_insert(of_losses);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut named = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let (text, legend) =
                (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap());
            let metric = text
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .find(|word| word.starts_with("dlock_"))
                .unwrap();
            let labels = metrics
                .get(metric)
                .unwrap_or_else(|| panic!("no metric {metric}, of {:?}", metrics.keys()));
            for label in by(text).chain(selected(text)).chain(shown(legend)) {
                assert!(
                    labels.contains(label) || label == OF_BUCKETS,
                    "{metric} has no label {label}, but {labels:?}"
                );
            }
            named.insert(metric.to_owned());
        }
    }
    // And of each metric there is something to see.
    let bases = |names: &BTreeSet<String>| -> BTreeSet<String> {
        names.iter().map(|name| base(name).to_owned()).collect()
    };
    assert_eq!(bases(&named), bases(&metrics.into_keys().collect()));
}

/// The name without what Prometheus appends for a histogram.
fn base(metric: &str) -> &str {
    ["_bucket", "_count", "_sum"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric)
}

/// The labels in `by (…)`.
fn by(text: &str) -> impl Iterator<Item = &str> {
    text.split("by (").skip(1).flat_map(|rest| rest.split(')').next().unwrap().split(", "))
}

/// The labels in `{label=…}`.
fn selected(text: &str) -> impl Iterator<Item = &str> {
    let within = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    within.flat_map(|labels| labels.split(',')).filter_map(|label| label.split(['=', '!']).next())
}

/// The labels that a legend shows, `{{label}}`.
fn shown(legend: &str) -> impl Iterator<Item = &str> {
    legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next())
}
