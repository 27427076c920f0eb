//! Logs and metrics.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How often collected histogram samples are folded, so that they do not pile up unread.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of histograms whose name ends in `_seconds`: from the engine's microseconds to a
/// slow upstream.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01,
    0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];
/// Upper bounds of histograms whose name ends in `_bytes`.
const BYTES_BUCKETS: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    8_388_608.0,
];
/// Upper bounds of histograms whose name ends in `_count` (batch sizes).
const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0,
];

/// How logs are written (to standard error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Form of the log.
    pub log_format: LogFormat,
    /// Filter directives, for example `info,proctor_edge=debug`.
    pub log_filter: String,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
        }
    }
}

/// Logging or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter directives cannot be read.
    #[error("the log filter cannot be read")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// This process logs already.
    #[error("logging is set up already")]
    Logging(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This process collects metrics already, or the recorder refuses our buckets.
    #[error("metrics cannot be collected")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts logging for the whole process. Call it once, first.
///
/// # Errors
/// A filter that cannot be read, or a second call.
pub fn init_logging(settings: &TelemetrySettings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log_filter).map_err(TelemetryError::Filter)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError::Logging)
}

/// Everything the process has counted, as Prometheus reads it.
#[derive(Clone)]
pub struct Metrics(Arc<PrometheusHandle>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Collects what this process counts with the `metrics` macros. Call it once.
    ///
    /// # Errors
    /// A second call.
    pub fn install() -> Result<Self, TelemetryError> {
        let handle = builder()?
            .install_recorder()
            .map_err(|error| TelemetryError::Metrics(Box::new(error)))?;
        let upkeep = handle.clone();
        std::thread::Builder::new()
            .name("metrics-upkeep".into())
            .spawn(move || {
                loop {
                    std::thread::sleep(UPKEEP_INTERVAL);
                    upkeep.run_upkeep();
                }
            })
            .map_err(|error| TelemetryError::Metrics(Box::new(error)))?;
        Ok(Self(Arc::new(handle)))
    }

    /// Collects nothing: for tests that need no metrics but a handle.
    ///
    /// # Errors
    /// As [`Self::install`], except for the second call.
    pub fn detached() -> Result<Self, TelemetryError> {
        Ok(Self(Arc::new(builder()?.build_recorder().handle())))
    }

    /// Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

fn builder() -> Result<PrometheusBuilder, TelemetryError> {
    let mut builder = PrometheusBuilder::new();
    for (suffix, buckets) in [
        ("_seconds", SECONDS_BUCKETS),
        ("_bytes", BYTES_BUCKETS),
        ("_count", COUNT_BUCKETS),
    ] {
        builder = builder
            .set_buckets_for_metric(Matcher::Suffix(suffix.into()), buckets)
            .map_err(|error| TelemetryError::Metrics(Box::new(error)))?;
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_with_our_buckets() {
        let metrics = Metrics::install().unwrap();
        metrics::counter!("proctor_test_total", "kind" => "a").increment(2);
        metrics::histogram!("proctor_test_seconds").record(0.000_015);
        let text = metrics.render();
        assert!(text.contains("proctor_test_total{kind=\"a\"} 2"), "{text}");
        assert!(
            text.contains("proctor_test_seconds_bucket{le=\"0.00002\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("proctor_test_seconds_bucket{le=\"0.00001\"} 0"),
            "{text}"
        );
        assert!(matches!(
            Metrics::install(),
            Err(TelemetryError::Metrics(_))
        ));
    }

    #[test]
    fn logging_starts_once_and_only_with_a_filter_it_understands() {
        let bad = TelemetrySettings {
            log_filter: "a=b=c".into(),
            ..Default::default()
        };
        assert!(matches!(init_logging(&bad), Err(TelemetryError::Filter(_))));
        let json = TelemetrySettings {
            log_format: LogFormat::Json,
            ..Default::default()
        };
        init_logging(&json).unwrap();
        assert!(matches!(
            init_logging(&json),
            Err(TelemetryError::Logging(_))
        ));
    }
}
